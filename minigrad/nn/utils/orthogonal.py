"""The maps behind `parametrizations.orthogonal`, from matrix products and elementwise operations.

Nothing here reads a value, so a plan can replay all of it.
"""

from __future__ import annotations

from typing import Any

from ...autograd import Function, no_grad
from ...dtypes import float64
from ...ops.creation import eye, zeros_like
from ...ops.elementwise import where
from ...ops.random import randn
from ...ops.shape import cat
from ...tensor import Tensor
from ..module import Module

MAPS = ("matrix_exp", "cayley", "householder")


def check_map(name: str) -> None:
    """Raises ValueError for a map that is not there."""
    if name not in MAPS:
        raise ValueError(f"orthogonal: orthogonal_map must be one of {MAPS}, got {name!r}")


class Orthogonal(Module):
    """X to an orthogonal Q of the same shape (..., n, k); `base` is the constant factor, if any."""

    base: Tensor

    def __init__(self, shape: Any, orthogonal_map: str, use_trivialization: bool) -> None:
        super().__init__()
        self.shape = shape
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def _get_name(self) -> str:
        return "_Orthogonal"  # torch's name, as its repr shows it

    def forward(self, x: Tensor) -> Tensor:
        wide = x.shape[-2] < x.shape[-1]
        if wide:
            x = x.mT
        columns = x.shape[-1]
        if self.orthogonal_map == "householder":
            q = _reflections(x)
        else:
            skew = _skew(x)
            q = matrix_exp(skew) if self.orthogonal_map == "matrix_exp" else cayley(skew)
            q = q[..., :columns]
        if "base" in self._buffers:
            q = self.base @ q
        return q.mT if wide else q

    @no_grad()
    def right_inverse(self, value: Tensor) -> Tensor:
        if value.shape != self.shape:
            raise ValueError(
                f"orthogonal: expected a value of shape {list(self.shape)}, got {list(value.shape)}"
            )
        wide = value.shape[-2] < value.shape[-1]
        q = value.mT if wide else value
        rows, columns = q.shape[-2:]
        if "base" not in self._buffers:
            if self.orthogonal_map != "householder":
                raise NotImplementedError(
                    f"orthogonal: a value cannot be assigned through {self.orthogonal_map!r} with "
                    "use_trivialization=False"
                )
            packed = _factored(q)
            return packed.mT if wide else packed
        if rows > columns:
            more = randn(*q.shape[:-2], rows, rows - columns, dtype=q.dtype)
            q = orthonormal(cat([q, more], dim=-1))
        else:
            q = orthonormal(q)
        self.base = q
        # -1 on the diagonal: the signs of the reflections, for which 0 below it stands for none.
        return _diagonal(value, -1.0)


def _diagonal(like: Tensor, value: float) -> Tensor:
    """A matrix with one value on the diagonal, of the shape and dtype of another tensor."""
    return zeros_like(like) + eye(*like.shape[-2:], dtype=like.dtype) * value


def _skew(x: Tensor) -> Tensor:
    """The skew-symmetric matrix (..., n, n) of the lower triangle of x (..., n, k)."""
    rows, columns = x.shape[-2:]
    lower = x.tril()
    if rows != columns:
        lower = cat([lower, lower.new_zeros(*x.shape[:-1], rows - columns)], dim=-1)
    return lower - lower.mT


_SQUARINGS = 10
_TERMS = 10


def matrix_exp(a: Tensor) -> Tensor:
    """eᴬ = (e^(A / 2¹⁰))^(2¹⁰), with ten terms of Taylor's series for the inner one, in float64.

    E = e^(A / 2ˢ) - I is squared as (I + E)² - I = 2E + E², which keeps the digits of a small E.
    Rounding in float64 up to norms of A of about 500; beyond, accuracy falls off.
    """
    wide = a.to(float64) * 0.5**_SQUARINGS
    power = wide
    series = wide
    for n in range(2, _TERMS + 1):
        power = (power @ wide) * (1.0 / n)
        series = series + power
    for _ in range(_SQUARINGS):
        series = series * 2.0 + series @ series
    return (series + eye(a.shape[-1], dtype=float64)).to(a.dtype)


def cayley(a: Tensor) -> Tensor:
    """(I + A/2)(I - A/2)⁻¹ for a skew-symmetric A: (I - A/2)⁻¹ (I + A/2), as the two commute."""
    identity = eye(a.shape[-1], dtype=a.dtype)
    half = a * 0.5
    return Solve.apply(identity - half, identity + half)


class Solve(Function):
    """X = M⁻¹ B for M whose symmetric part is positive definite;  dB = M⁻ᵀ dX, dM = -dB Xᵀ"""

    @staticmethod
    def forward(ctx: Any, m: Tensor, b: Tensor) -> Tensor:
        x = _eliminate(m, b)
        ctx.save_for_backward(m, x)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        m, x = ctx.saved_tensors
        grad_b = Solve.apply(m.mT, grad)
        return -(grad_b @ x.mT), grad_b


def _eliminate(m: Tensor, b: Tensor) -> Tensor:
    """Gauss-Jordan elimination. Without pivots, which a positive definite symmetric part does not
    need: all leading minors are positive, and their Schur complements keep the property."""
    size = m.shape[-1]
    table = cat([m, b], dim=-1)
    identity = eye(size, dtype=m.dtype)
    for i in range(size):
        row = table[..., i : i + 1, :] / table[..., i : i + 1, i : i + 1]
        factors = table[..., :, i : i + 1] - identity[:, i : i + 1]
        table = table - factors @ row
    return table[..., size:]


def _reflections(x: Tensor) -> Tensor:
    """The first k columns of H₁ H₂ ... Hₖ, with Hᵢ = I - τᵢ vᵢ vᵢᵀ, vᵢ column i of x below the
    diagonal with 1 on it, τᵢ = 2 / ‖vᵢ‖², times the signs on the diagonal of x."""
    rows, columns = x.shape[-2:]
    identity = eye(rows, columns, dtype=x.dtype)
    vectors = x.tril(-1) + identity
    scales = 2.0 / vectors.square().sum(-2, keepdim=True)
    q = zeros_like(x.detach()) + identity
    for i in reversed(range(columns)):
        v = vectors[..., i : i + 1]
        q = q - (v * scales[..., i : i + 1]) @ (v.mT @ q)
    signs = (x.detach() * identity).sum(-2, keepdim=True).sign()
    return q * signs


def orthonormal(a: Tensor) -> Tensor:
    """The factor Q of A = Q R with a positive diagonal of R, for a tall A of full rank.

    Gram and Schmidt's columns, each cleared of those before it twice: "twice is enough" (Giraud,
    Langou and Rozloznik, 2005).
    """
    columns: list[Tensor] = []
    for i in range(a.shape[-1]):
        v = a[..., i : i + 1]
        for _ in range(2 if columns else 0):
            before = cat(columns, dim=-1)
            v = v - before @ (before.mT @ v)
        columns.append(v / v.norm(2, -2, keepdim=True))
    return cat(columns, dim=-1) if columns else a.clone()


def _factored(a: Tensor) -> Tensor:
    """What `_reflections` maps to `orthonormal(a)`: the vectors below the diagonal, signs on it."""
    rows, columns = a.shape[-2:]
    work = orthonormal(a)
    kept: list[Tensor] = []
    signs: list[Tensor] = []
    for i in range(columns):
        x = work[..., i:, i : i + 1]
        first = x[..., :1, :]
        # H x = ∓‖x‖ e₁ for v = x ± ‖x‖ e₁, with the sign that cancels nothing; ‖x‖ is 1 here.
        sign = where(first >= 0, 1.0, -1.0).to(a.dtype)
        v = cat([first + sign, x[..., 1:, :]], dim=-2)
        v = v / v[..., :1, :]
        scale = 2.0 / v.square().sum(-2, keepdim=True)
        part = work[..., i:, :]
        part = part - (v * scale) @ (v.mT @ part)
        work = cat([work[..., :i, :], part], dim=-2)
        above = v.new_zeros(*a.shape[:-2], i, 1)
        kept.append(cat([above, v], dim=-2))
        signs.append(-sign)
    packed = cat(kept, dim=-1).tril(-1)
    diagonal = cat(signs, dim=-1)
    return packed + eye(rows, columns, dtype=a.dtype) * diagonal


__all__ = ["Orthogonal", "Solve", "cayley", "check_map", "matrix_exp", "orthonormal"]
