"""Norms of whole parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..dtypes import finfo
from ..ops.creation import eye
from ..tensor import Tensor
from .base import Regularizer, Total
from .selection import Patterns, Types


def soft_threshold_(parameter: Tensor, amount: Tensor) -> None:
    """In place sign(θ) · max(|θ| - a, 0): θ minus θ cut to [-a, a], which is 0 exactly within."""
    parameter.sub_(parameter.clamp(-amount, amount))


class L1(Regularizer):
    """λ ‖θ‖₁ = λ Σ |θᵢ|, gradient λ sign(θ) (Tibshirani, 1996).

    Proximal: θ → sign(θ) max(|θ| - lr λ, 0), which makes exact zeros.
    """

    def penalty(self, parameter: Tensor) -> Tensor:
        return parameter.abs().sum()

    def gradient_of(self, parameter: Tensor) -> Tensor:
        return parameter.sign()

    def shrink_(self, parameter: Tensor, amount: Tensor) -> None:
        soft_threshold_(parameter, amount)


class L2(Regularizer):
    """λ ‖θ‖_F² = λ Σ θᵢ², gradient 2λθ; with `half`, ½λ ‖θ‖_F², gradient λθ.

    Proximal: θ → θ / (1 + 2 lr λ). ``weight_decay=w`` of torch's optimizers is
    ``L2(w, half=True)``: form "gradient" for SGD and Adam, "decoupled" for AdamW.
    """

    def __init__(
        self,
        strength: float | Mapping[str, float],
        *,
        half: bool = False,
        modules: Types | None = None,
        names: Patterns | None = None,
    ) -> None:
        super().__init__(strength, modules=modules, names=names)
        self.half = half

    def penalty(self, parameter: Tensor) -> Tensor:
        squares = parameter.square().sum()
        return squares * 0.5 if self.half else squares

    def gradient_of(self, parameter: Tensor) -> Tensor:
        return parameter if self.half else parameter * 2.0

    def prepared(self, form: str, amount: Tensor) -> Tensor:
        amount = amount if self.half else amount * 2.0
        return 1.0 / (amount + 1.0) if form == "proximal" else 1.0 - amount

    def change_(self, form: str, parameter: Tensor, prepared: Tensor) -> None:
        parameter.mul_(prepared)  # both forms multiply by a number

    def shrink_(self, parameter: Tensor, amount: Tensor) -> None:
        parameter.mul_(self.prepared("proximal", amount))


class ElasticNet(Total):
    """λ₁ ‖θ‖₁ + λ₂ ‖θ‖_F² (Zou and Hastie, 2005).

    Proximal: the soft threshold, then the shrinking of L2, which is the proximal step of the sum.
    """

    def __init__(
        self,
        l1: float | Mapping[str, float],
        l2: float | Mapping[str, float],
        *,
        half: bool = False,
        modules: Types | None = None,
        names: Patterns | None = None,
    ) -> None:
        super().__init__(
            L1(l1, modules=modules, names=names), L2(l2, half=half, modules=modules, names=names)
        )


class PNorm(Regularizer):
    """λ ‖θ‖_p = λ (Σ |θᵢ|ᵖ)^(1/p) of each parameter, p ≥ 1, also inf.

    Gradient λ sign(θ) (|θ| / ‖θ‖_p)^(p-1), and 0 at θ = 0. Proximal for p = 1 (soft threshold) and
    p = 2 (θ max(1 - lr λ / ‖θ‖, 0)).
    """

    def __init__(
        self,
        strength: float | Mapping[str, float],
        p: float = 2.0,
        *,
        modules: Types | None = None,
        names: Patterns | None = None,
    ) -> None:
        super().__init__(strength, modules=modules, names=names)
        if not p >= 1:
            raise ValueError(f"PNorm: p must be at least 1, got {p}")
        self.p = p

    def penalty(self, parameter: Tensor) -> Tensor:
        p = self.p
        if p in (1, 2, math.inf):
            return parameter.norm(p)
        # Over the largest element, so that no power overflows or vanishes. It is constant here:
        # the norm of θ/m times m has the same gradient for any m.
        tiny = finfo(parameter.dtype).tiny
        largest = parameter.detach().abs().max().clamp(min=tiny)
        powers = (parameter.abs() / largest) ** p
        return powers.sum().clamp(min=tiny) ** (1.0 / p) * largest

    def gradient_of(self, parameter: Tensor) -> Tensor:
        p = self.p
        if p == 1:
            return parameter.sign()
        tiny = finfo(parameter.dtype).tiny
        size = parameter.abs()
        if p == math.inf:
            # Equal largest elements share it, as in autograd's rule for a maximum.
            at_most = (size == size.max()).to(parameter.dtype) * parameter.sign()
            return at_most / at_most.abs().sum().clamp(min=1.0)
        norm = self.penalty(parameter).clamp(min=tiny)
        return parameter / norm if p == 2 else parameter.sign() * (size / norm) ** (p - 1.0)

    def shrink_(self, parameter: Tensor, amount: Tensor) -> None:
        if self.p == 1:
            soft_threshold_(parameter, amount)
        elif self.p == 2:
            shrink_norms_(parameter, parameter.norm(), amount)
        else:
            raise self._missing(f"proximal step for p={self.p}", 'attach it with form="decoupled"')

    def _checked(self, form: str | None) -> str:
        form = super()._checked(form)
        if form == "proximal" and self.p not in (1, 2):
            raise self._missing(f"proximal step for p={self.p}", 'attach it with form="decoupled"')
        return form

    def __repr__(self) -> str:
        return super().__repr__().replace(")", f", p={self.p})", 1)


def shrink_norms_(parameter: Tensor, norms: Tensor, amount: Any) -> None:
    """In place θ max(1 - a / ‖θ‖, 0), with the norms of the parts that θ falls into."""
    tiny = finfo(parameter.dtype).tiny
    parameter.mul_((1.0 - amount / norms.clamp(min=tiny)).clamp(min=0.0))


class Orthogonality(Regularizer):
    """λ ‖W Wᵀ - I‖_F² of the weight as a matrix (outputs by the rest), with Wᵀ W for a tall one.

    Gradient 4λ (W Wᵀ - I) W (Brock et al., 2017). There is no proximal form; a weight that is
    orthogonal at all times is `nn.utils.parametrizations.orthogonal`.
    """

    def penalty(self, parameter: Tensor) -> Tensor:
        return self._excess(parameter.reshape(parameter.shape[0], -1)).square().sum()

    @staticmethod
    def _excess(w: Tensor) -> Tensor:
        product = w @ w.t() if w.shape[0] <= w.shape[1] else w.t() @ w
        return product - eye(product.shape[0], dtype=w.dtype)

    def gradient_of(self, parameter: Tensor) -> Tensor:
        w = parameter.reshape(parameter.shape[0], -1)
        excess = self._excess(w)
        product = excess @ w if w.shape[0] <= w.shape[1] else w @ excess
        return product.reshape(parameter.shape) * 4.0
