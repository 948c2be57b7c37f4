"""Softmax, its logarithm, and the cross-entropy, fused; each with the composition it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..autograd.engine import INPUTS, OUTPUT, Fused
from ..kernels import NULL, Array, check, lib, own, several
from ..tensor import Tensor, wrap
from .reduce import amax

REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}


class Softmax(Fused):
    """y = e^(x - max) / Σ e^(x - max) along a dimension;  dx = y (dy - Σ dy y)"""

    __slots__ = ("dim",)
    saves = INPUTS | OUTPUT
    logarithm = False

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, x: Array) -> Array:
        return own(lib.mg_softmax(x, self.dim, self.logarithm))

    def composition(self, x: Tensor) -> Tensor:  # type: ignore[override]
        exponentials = _from_largest(x, self.dim).exp()
        return exponentials / exponentials.sum(self.dim, True)

    def fused_backward(self, grad: Tensor) -> Sequence[Tensor]:
        y = self.output._array
        return [wrap(own(lib.mg_softmax_backward(grad._array, y, self.dim, self.logarithm)))]


class LogSoftmax(Softmax):
    """y = x - max - ln Σ e^(x - max) along a dimension;  dx = dy - eʸ Σ dy"""

    __slots__ = ()
    logarithm = True

    def composition(self, x: Tensor) -> Tensor:  # type: ignore[override]
        shifted = _from_largest(x, self.dim)
        return shifted - shifted.exp().sum(self.dim, True).log()


def _from_largest(x: Tensor, dim: int) -> Tensor:
    return x - amax(x.detach(), dim, True) if x.numel() else x


class CrossEntropy(Fused):
    """loss = -Σ w[t] ((1 - s) log p[t] + s/C Σ_c w[c]/w[t] log p[c]), p = softmax(x), summed or divided by
    Σ w[t];  dx = (p - target distribution) scaled likewise. The log-probabilities and the total weight
    stay from the forward pass."""

    __slots__ = ("target", "weight", "ignore_index", "smoothing", "reduction", "kept")
    saves = INPUTS

    def __init__(
        self,
        target: Tensor,
        weight: Tensor | None,
        ignore_index: int,
        smoothing: float,
        reduction: str,
    ) -> None:
        self.target, self.weight = target, weight
        self.ignore_index, self.smoothing, self.reduction = ignore_index, smoothing, reduction
        self.kept: Any = None

    def forward(self, x: Array) -> Array:
        outputs = several(3)
        check(
            lib.mg_cross_entropy(
                x,
                self.target._array,
                self._weight(),
                self.ignore_index,
                self.smoothing,
                REDUCTIONS[self.reduction],
                outputs,
            )
        )
        loss, log_probabilities, total = (own(each) for each in outputs)
        self.kept = (log_probabilities, total)
        return loss

    def _weight(self) -> Array:
        return NULL if self.weight is None else self.weight._array

    def composition(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return cross_entropy_composed(
            x, self.target, self.weight, self.ignore_index, self.smoothing, self.reduction
        )

    def fused_backward(self, grad: Tensor) -> Sequence[Tensor]:
        self.inputs  # noqa: B018  (raises where the graph was freed or the input changed)
        log_probabilities, total = self.kept
        result = lib.mg_cross_entropy_backward(
            grad._array,
            log_probabilities,
            self.target._array,
            self._weight(),
            total,
            self.ignore_index,
            self.smoothing,
            REDUCTIONS[self.reduction],
        )
        return [wrap(own(result))]

    def release(self) -> None:
        super().release()
        self.kept = None


def cross_entropy_composed(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    smoothing: float,
    reduction: str,
) -> Tensor:
    """The cross-entropy from plain operations, see ``CrossEntropy``."""
    if x.ndim == 1:
        x, target = x.unsqueeze(0), target.unsqueeze(0)
        single = True
    else:
        single = False
    log_probabilities = LogSoftmax(1).composition(x)
    classes = x.shape[1]
    kept = target != ignore_index
    index = target.masked_fill(~kept, 0).unsqueeze(1)
    weight = x.new_ones(classes) if weight is None else weight
    spread = weight.reshape([1, classes] + [1] * (x.ndim - 2))
    of_target = weight[index.squeeze(1)] * kept.to(x.dtype)
    picked = log_probabilities.gather(1, index).squeeze(1)
    losses = -of_target * picked * (1 - smoothing)
    if smoothing:
        smooth = -(log_probabilities * spread).sum(1) * kept.to(x.dtype)
        losses = losses + smooth * (smoothing / classes)
    if reduction == "none":
        return losses.squeeze(0) if single else losses
    return losses.sum() / of_target.sum() if reduction == "mean" else losses.sum()
