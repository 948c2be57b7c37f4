"""Losses of class scores."""

from __future__ import annotations

from ..dtypes import int64
from ..kernels import Array
from ..ops.elementwise import check_tensor
from ..ops.softmax import CrossEntropy
from ..tensor import Tensor
from .activation import log_softmax
from .reductions import reduced, reduction_of

__all__ = ["cross_entropy", "nll_loss"]


def _check_classes(input: Tensor, target: Tensor, op: str) -> None:
    """The shapes of scores (N, C, ...) or (C) and class indices (N, ...) or ()."""
    expected = input.shape[:1] + input.shape[2:] if input.ndim > 1 else input.shape[:0]
    if input.ndim == 0:
        raise RuntimeError(f"{op}: the input must have at least one dimension (classes)")
    if target.shape != expected:
        if input.ndim > 1 and target.ndim and input.shape[0] != target.shape[0]:
            raise ValueError(
                f"Expected input batch_size ({input.shape[0]}) to match target batch_size "
                f"({target.shape[0]})."
            )
        raise RuntimeError(
            f"{op}: for an input of shape {list(input.shape)} the target must have shape "
            f"{list(expected)}, got {list(target.shape)}"
        )
    if target.dtype is not int64:
        raise RuntimeError(
            f"{op}: expected target of dtype minigrad.int64 (class indices), got {target.dtype}; "
            "convert it with target.long()"
        )


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The cross-entropy of scores (N, C, ...) or (C) and targets: class indices, or probabilities
    of the scores' shape."""
    reduction = reduction_of(reduction, size_average, reduce)
    check_tensor(input, "cross_entropy")
    check_tensor(target, "cross_entropy", "target")
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if not _is_plain(input._array, target._array):
        if target.shape == input.shape and target.is_floating_point():
            return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
        _check_classes(input, target, "cross_entropy")
    _check_weight(input, weight, "cross_entropy")
    return CrossEntropy(target, weight, ignore_index, label_smoothing, reduction).apply(input)


def _is_plain(scores: Array, target: Array) -> bool:
    """Whether these are scores (N, C) and class indices (N), as nearly always: a third of the time
    of a small cross-entropy is saved by looking for that first."""
    return (
        scores.ndim == 2
        and target.ndim == 1
        and target.dtype == int64.code
        and target.size * scores.shape[1] == scores.size
    )


def _check_weight(input: Tensor, weight: Tensor | None, op: str) -> None:
    if weight is None:
        return
    classes = input.shape[1 if input.ndim > 1 else 0]
    if weight.shape != (classes,):
        raise RuntimeError(
            f"{op}: weight tensor should be defined either for all {classes} classes or no classes "
            f"but got weight tensor of shape: {list(weight.shape)}"
        )
    if weight.dtype is not input.dtype:
        raise RuntimeError(
            f"{op}: expected weight of dtype {input.dtype} as the input, got {weight.dtype}"
        )


def _soft_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, smoothing: float
) -> Tensor:
    dim = 1 if input.ndim > 1 else 0
    classes = input.shape[dim]
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    scores = log_softmax(input, dim) * target
    if weight is not None:
        _check_weight(input, weight, "cross_entropy")
        view = [1] * input.ndim
        view[dim] = classes
        scores = scores * weight.reshape(view)
    losses = -scores.sum(dim)
    if reduction == "mean":
        return losses.sum() / (input.numel() // classes)
    return reduced(losses, reduction)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The negative log-likelihood of log-probabilities (N, C, ...) or (C) and class indices."""
    reduction = reduction_of(reduction, size_average, reduce)
    check_tensor(input, "nll_loss")
    _check_classes(input, target, "nll_loss")
    _check_weight(input, weight, "nll_loss")
    dim = 1 if input.ndim > 1 else 0
    kept = target != ignore_index
    index = target.masked_fill(~kept, 0)
    factors = kept.to(input.dtype) if weight is None else weight[index] * kept.to(input.dtype)
    picked = input.gather(dim, index.unsqueeze(dim)).squeeze(dim)
    losses = -(picked * factors).masked_fill(~kept, 0.0)
    return losses.sum() / factors.sum() if reduction == "mean" else reduced(losses, reduction)
