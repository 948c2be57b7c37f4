"""Regularizers of rows and filters: the slices of a weight along one dimension."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..dtypes import finfo
from ..tensor import Tensor
from .base import Regularizer
from .norms import shrink_norms_
from .selection import Patterns, Types


def group_norms(parameter: Tensor, dim: int) -> Tensor:
    """‖θ_g‖₂ of each slice along `dim`; the other dimensions are kept as 1."""
    if not -parameter.dim() <= dim < parameter.dim():
        raise IndexError(f"dim {dim} is out of range for a parameter of {parameter.dim()} dims")
    others = [d for d in range(parameter.dim()) if d != dim % parameter.dim()]
    return parameter.norm(2, others, keepdim=True) if others else parameter.abs()


class GroupLasso(Regularizer):
    """λ Σ_g √n_g ‖θ_g‖₂ over the slices g along `dim` (Yuan and Lin, 2006): rows of a Linear and
    filters of a convolution for 0, columns and input channels for 1.

    Gradient λ √n_g θ_g / ‖θ_g‖, and 0 at θ_g = 0. Proximal: θ_g → θ_g max(1 - lr λ √n_g / ‖θ_g‖,
    0), which makes whole slices zero; `nn.utils.prune.shrink` takes them out. n_g is the number of
    elements in a slice; without `scaled` it counts as 1.
    """

    def __init__(
        self,
        strength: float | Mapping[str, float],
        dim: int = 0,
        *,
        scaled: bool = True,
        modules: Types | None = None,
        names: Patterns | None = None,
    ) -> None:
        super().__init__(strength, modules=modules, names=names)
        self.dim = dim
        self.scaled = scaled

    def _factor(self, parameter: Tensor) -> float:
        size = parameter.numel() / max(parameter.shape[self.dim], 1)
        return math.sqrt(size) if self.scaled else 1.0

    def penalty(self, parameter: Tensor) -> Tensor:
        return group_norms(parameter, self.dim).sum() * self._factor(parameter)

    def gradient_of(self, parameter: Tensor) -> Tensor:
        norms = group_norms(parameter, self.dim).clamp(min=finfo(parameter.dtype).tiny)
        return parameter * (self._factor(parameter) / norms)

    def shrink_(self, parameter: Tensor, amount: Tensor) -> None:
        norms = group_norms(parameter, self.dim)
        shrink_norms_(parameter, norms, amount * self._factor(parameter))


class MaxNorm(Regularizer):
    """The constraint ‖θ_g‖₂ ≤ c for each slice along `dim` (Srebro and Shraibman, 2005): the
    weights into one unit for 0.

    Proximal only: a slice that is longer than c is scaled back to c. It depends neither on a
    strength nor on the learning rate.
    """

    default_form = "proximal"
    uses_learning_rate = False

    def __init__(
        self,
        c: float | Mapping[str, float] = 3.0,
        dim: int = 0,
        *,
        modules: Types | None = None,
        names: Patterns | None = None,
    ) -> None:
        super().__init__(c, modules=modules, names=names)
        self.dim = dim

    def shrink_(self, parameter: Tensor, amount: Tensor) -> None:
        norms = group_norms(parameter, self.dim).clamp(min=finfo(parameter.dtype).tiny)
        parameter.mul_((amount / norms).clamp(max=1.0))
