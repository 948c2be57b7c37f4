"""Softmax, its logarithm, and the cross-entropy, fused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..autograd.engine import INPUTS, OUTPUT, Fused, Operation, already_freed
from ..autograd.grad_mode import is_grad_enabled
from ..kernels import NULL, Array, check, lib, own, several
from ..tensor import Tensor, wrap

REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}


class Softmax(Operation):
    """y = e^(x - max) / Σ e^(x - max) along a dimension;  dx = y (dy - Σ dy y)"""

    __slots__ = ("dim",)
    saves = OUTPUT
    logarithm = False

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, x: Array) -> Array:
        return own(lib.mg_softmax(x, self.dim, self.logarithm))

    def grad_x(self, grad: Tensor) -> Tensor:
        y = self.output
        if is_grad_enabled():  # to be differentiated again: plain operations
            return self.derivative(grad, y)
        return wrap(own(lib.mg_softmax_backward(grad._array, y._array, self.dim, self.logarithm)))

    def derivative(self, grad: Tensor, y: Tensor) -> Tensor:
        return y * (grad - (grad * y).sum(self.dim, True))


class LogSoftmax(Softmax):
    """y = x - max - ln Σ e^(x - max) along a dimension;  dx = dy - eʸ Σ dy"""

    __slots__ = ()
    logarithm = True

    def derivative(self, grad: Tensor, y: Tensor) -> Tensor:
        return grad - y.exp() * grad.sum(self.dim, True)


class CrossEntropy(Fused):
    """loss = -Σ w[t] ((1 - s) log p[t] + s/C Σ_c w[c]/w[t] log p[c]), p = softmax(x), summed or
    divided by Σ w[t];  dx = (p - target distribution) scaled likewise. The log-probabilities and
    the total weight stay from the forward pass."""

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
        if self.kept is None:
            already_freed()
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
    log_probabilities = LogSoftmax(1).apply(x)
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
