"""Parametrizations of weights: `weight_norm`, `spectral_norm`, `orthogonal` as in
torch.nn.utils.parametrizations, and `drop_connect`.

Each is a function that registers a module with `parametrize.register_parametrization`.
"""

from __future__ import annotations

from typing import Any, TypeVar

from ...autograd import no_grad
from ...ops.random import Generator
from ...tensor import Tensor
from ..module import Module
from .orthogonal import Orthogonal, check_map
from .parametrize import is_parametrized, register_parametrization
from .spectral_norm import as_matrix, output_dim, random_unit, unit
from .weight_norm import norm_except_dim, normalized_weight

__all__ = ["drop_connect", "orthogonal", "spectral_norm", "weight_norm"]

T = TypeVar("T", bound=Module)


def _tensor(module: Module, name: str, what: str) -> Tensor:
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"{what}: {module} has no parameter or buffer {name!r}")
    return weight


# ---- weight normalisation ----


class _WeightNorm(Module):
    def __init__(self, dim: int | None) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return normalized_weight(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except_dim(weight, self.dim), weight


def weight_norm(module: T, name: str = "weight", dim: int | None = 0) -> T:
    """w = g · v / ‖v‖ (Salimans and Kingma, 2016): magnitude and direction as two parameters.

    ``original0`` is g, with a value for each index of `dim` (one for the whole tensor where it is
    None), ``original1`` is v, of the weight's shape. State of the older `nn.utils.weight_norm`
    can be loaded.
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(own: Any, state_dict: Any, prefix: str, *others: Any) -> None:
        old = [f"{prefix}{name}_g", f"{prefix}{name}_v"]
        if all(key in state_dict for key in old):
            for index, key in enumerate(old):
                new = f"{prefix}parametrizations.{name}.original{index}"
                state_dict[new] = state_dict.pop(key)

    module.register_load_state_dict_pre_hook(rename)
    return module


# ---- spectral normalisation ----


class _SpectralNorm(Module):
    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, n_power_iterations: int, dim: int, eps: float) -> None:
        super().__init__()
        ndim = weight.dim()
        if not -ndim <= dim < ndim:
            raise IndexError(
                f"spectral_norm: dim {dim} is out of range for a weight of {ndim} dimensions"
            )
        if n_power_iterations <= 0:
            raise ValueError(
                f"spectral_norm: n_power_iterations must be positive, got {n_power_iterations}"
            )
        self.dim = dim % ndim
        self.eps = eps
        if ndim > 1:
            self.n_power_iterations = n_power_iterations
            matrix = as_matrix(weight.detach(), self.dim)
            self.register_buffer("_u", random_unit(weight, matrix.shape[0], eps))
            self.register_buffer("_v", random_unit(weight, matrix.shape[1], eps))
            self._iterate(matrix, 15)

    @no_grad()
    def _iterate(self, matrix: Tensor, count: int) -> None:
        for _ in range(count):
            self._u.copy_(unit(matrix.mv(self._v), self.eps))
            self._v.copy_(unit(matrix.t().mv(self._u), self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        if weight.dim() == 1:
            return unit(weight, self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            self._iterate(matrix, self.n_power_iterations)
        # Copies: the next forward pass changes the buffers, and this one's backward needs them.
        sigma = self._u.clone().dot(matrix.mv(self._v.clone()))
        return weight / sigma

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(
    module: T,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> T:
    """W / σ(W), σ the largest singular value of the weight as a matrix (Miyato et al., 2018).

    σ = uᵀ W v, where u and v are buffers that every access in training mode brings nearer by
    `n_power_iterations` power iterations, in place. `dim` is the dimension of the outputs: 0, and 1
    for transposed convolutions. A vector is divided by its norm.
    """
    weight = _tensor(module, name, "spectral_norm")
    parametrization = _SpectralNorm(weight, n_power_iterations, output_dim(module, dim), eps)
    register_parametrization(module, name, parametrization)
    return module


# ---- orthogonal ----


def orthogonal(
    module: T,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> T:
    """Makes a matrix, or each of a batch of them, orthogonal: Qᵀ Q = I for a tall one, Q Qᵀ = I
    for a wide one.

    `orthogonal_map` is "matrix_exp" (Q = eᴬ, the default for square ones), "cayley"
    (Q = (I + A/2)(I - A/2)⁻¹), both of a skew-symmetric A, or "householder" (a product of
    reflections, the default for others). With `use_trivialization` (Lezcano-Casado, 2019) Q is
    multiplied by a constant orthogonal matrix, so that it starts from the present weight, made
    orthogonal where it is not.
    """
    weight = _tensor(module, name, "orthogonal")
    if weight.dim() < 2:
        raise ValueError(
            f"orthogonal: expected a matrix or a batch of matrices, got shape {list(weight.shape)}"
        )
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.shape[-2] == weight.shape[-1] else "householder"
    check_map(orthogonal_map)
    if use_trivialization and is_parametrized(module, name):
        raise ValueError(
            f"orthogonal: {name!r} is parametrized already, so it has no value of its own to start "
            "from; pass use_trivialization=False"
        )
    parametrization = Orthogonal(weight.shape, orthogonal_map, use_trivialization)
    register_parametrization(module, name, parametrization, unsafe=True)
    return module


# ---- DropConnect ----


class _DropConnect(Module):
    def __init__(self, p: float, generator: Generator | None) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"drop_connect: p must be between 0 and 1, got {p}")
        self.p = p
        self.generator = generator

    def forward(self, weight: Tensor) -> Tensor:
        if not self.training or self.p == 0.0:
            return weight
        mask = weight.detach().new_empty(weight.shape)
        mask.bernoulli_(1.0 - self.p, generator=self.generator)
        return weight * (mask if self.p == 1.0 else mask.mul_(1.0 / (1.0 - self.p)))

    def right_inverse(self, value: Tensor) -> Tensor:
        return value

    def extra_repr(self) -> str:
        return f"p={self.p}"


def drop_connect(
    module: T, name: str = "weight", p: float = 0.5, *, generator: Generator | None = None
) -> T:
    """DropConnect (Wan et al., 2013): masks single weights, as Dropout masks activations.

    In training, each access to the weight draws a new mask M of the weight's shape, which is 0 with
    probability `p`, and gives W ∘ M / (1 - p); so one mask holds for a whole batch. In evaluation
    the weight is W. (The paper draws a mask for each example, and averages over masks when it
    evaluates; scaling by 1 / (1 - p) in training has the same mean.)
    The mask comes from `generator`, by default minigrad's own, whose state is in memory: a replayed
    plan goes on drawing new masks.
    """
    _tensor(module, name, "drop_connect")
    register_parametrization(module, name, _DropConnect(p, generator), unsafe=True)
    return module
