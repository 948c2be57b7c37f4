"""Losses that ask for a margin between scores or distances."""

from __future__ import annotations

from collections.abc import Callable

from ..dtypes import int64
from ..kernels import lib
from ..ops.creation import arange
from ..ops.elementwise import check_tensor, where
from ..tensor import Tensor
from .distances import pairwise_distance
from .reductions import reduced, reduction_of

__all__ = [
    "cosine_embedding_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The input where the target is 1, max(0, margin - input) where it is -1."""
    reduction = reduction_of(reduction, size_average, reduce)
    check_tensor(input, "hinge_embedding_loss")
    check_tensor(target, "hinge_embedding_loss", "target")
    apart = where(target != 1, (margin - input).clamp(min=0), 0.0)
    return reduced(apart + where(target != -1, input, 0.0), reduction)


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, -target · (input1 - input2) + margin): 1 asks for a larger input1, -1 for a smaller
    one."""
    reduction = reduction_of(reduction, size_average, reduce)
    check_tensor(input1, "margin_ranking_loss", "input1")
    check_tensor(target, "margin_ranking_loss", "target")
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            "margin_ranking_loss: All input tensors should have same dimension but got sizes: "
            f"input1: {list(input1.shape)}, input2: {list(input2.shape)}, target: "
            f"{list(target.shape)}"
        )
    return reduced((-target * (input1 - input2) + margin).clamp(min=0), reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos where the target is 1, max(0, cos - margin) where it is -1, of vectors (N, D) and
    targets (N), or (D) and ()."""
    reduction = reduction_of(reduction, size_average, reduce)
    check_tensor(input1, "cosine_embedding_loss", "input1")
    check_tensor(target, "cosine_embedding_loss", "target")
    if target.ndim > 1 or input1.ndim != target.ndim + 1 or input2.ndim != target.ndim + 1:
        raise RuntimeError(
            f"cosine_embedding_loss: {target.ndim}D target tensor expects {target.ndim + 1}D input "
            f"tensors (0D and 1D targets are supported), but found inputs with sizes "
            f"{list(input1.shape)} and {list(input2.shape)}."
        )
    squares = [(x * x).sum(-1) + 1e-12 for x in (input1, input2)]
    cosine = (input1 * input2).sum(-1) / (squares[0] * squares[1]).sqrt()
    apart = where(target == -1, (cosine - margin).clamp(min=0), 0.0)
    return reduced(where(target == 1, 1 - cosine, 0.0) + apart, reduction)


# ---- of class scores ----


def _as_batch(input: Tensor, op: str) -> Tensor:
    """Scores (N, C), made of (C) or a single one where needed."""
    check_tensor(input, op)
    if input.ndim > 2 or input.shape[-1:] == (0,):
        raise RuntimeError(
            f"{op}: Expected non-empty vector or matrix with optional 0-dim batch size, but got: "
            f"{list(input.shape)}"
        )
    return input if input.ndim == 2 else input.reshape(1, -1)


def _check_labels(target: Tensor, op: str) -> None:
    check_tensor(target, op, "target")
    if target.dtype is not int64:
        raise RuntimeError(
            f"{op}: expected target of scalar type Long but found {target.dtype}; convert it with "
            "target.long()"
        )


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Σ max(0, margin - x[t] + x[i])ᵖ · weight[t] / C over the classes i other than the target, for
    scores (N, C) or (C); p is 1 or 2."""
    reduction = reduction_of(reduction, size_average, reduce)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.ndim != 1:
        raise ValueError("weight must be one-dimensional")
    x = _as_batch(input, "multi_margin_loss")
    rows, classes = x.shape
    _check_labels(target, "multi_margin_loss")
    if target.ndim > 1 or target.numel() != rows:
        raise RuntimeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input "
            f"samples (batch size). Expected target size [{rows}], but got {list(target.shape)}"
        )
    if weight is not None and weight.shape != (classes,):
        raise RuntimeError(
            f"multi_margin_loss: inconsistent weight size, expected {classes} but got "
            f"{list(weight.shape)}"
        )
    # A negative label would count from the end: the lookup is to refuse it.
    labels = target.masked_fill(target < 0, classes).reshape(-1, 1)
    if not lib.mg_is_recording() and rows and labels.max().item() >= classes:
        raise RuntimeError(f"multi_margin_loss: target out of range [0, {classes})")
    gaps = (margin - x.gather(1, labels) + x).clamp(min=0)
    losses = gaps if p == 1 else gaps.square()
    if weight is not None:
        losses = losses * weight[labels]
    others = arange(classes).reshape(1, -1) != labels
    losses = (losses * others.to(x.dtype)).sum(1) / classes
    return reduced(losses if input.ndim == 2 else losses.reshape(()), reduction)


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Σ max(0, 1 - (x[t] - x[i])) / C over the targets t and the classes i that are none, of scores
    (N, C) or (C). A row of the target lists its classes up to the first -1."""
    reduction = reduction_of(reduction, size_average, reduce)
    x = _as_batch(input, "multilabel_margin_loss")
    classes = x.shape[1]
    _check_labels(target, "multilabel_margin_loss")
    if target.shape != input.shape:
        raise RuntimeError(
            f"multilabel_margin_loss: inconsistent target size: {list(target.shape)} for input of "
            f"size: {list(input.shape)}"
        )
    labels = target.reshape(x.shape)
    # How many -1 stand at or before each place: a product with a triangle of ones.
    places = arange(classes)
    triangle = (places.reshape(-1, 1) <= places).to(x.dtype)
    listed = ((labels < 0).to(x.dtype) @ triangle) == 0
    index = labels.masked_fill(~listed, 0)
    counted = listed.to(x.dtype)
    is_target = x.new_zeros(x.shape).scatter_add_(1, index, counted) > 0
    gaps = (1 - x.gather(1, index).unsqueeze(2) + x.unsqueeze(1)).clamp(min=0)
    pairs = counted.unsqueeze(2) * (~is_target).to(x.dtype).unsqueeze(1)
    losses = (gaps * pairs).sum((1, 2)) / classes
    return reduced(losses if input.ndim == 2 else losses.reshape(()), reduction)


# ---- of three points ----


def _check_triplet(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> None:
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of "
            f"dimensions, but got: anchor {anchor.ndim}D, positive {positive.ndim}D, and negative "
            f"{negative.ndim}D inputs"
        )


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin + d(anchor, positive) - d(anchor, negative)), d the p-norm distance along the
    last dimension. ``swap`` takes d(positive, negative) where it is smaller (Balntas et al.,
    2016)."""

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return pairwise_distance(a, b, p, eps)

    return triplet_margin_with_distance_loss(
        anchor,
        positive,
        negative,
        distance_function=distance,
        margin=margin,
        swap=swap,
        reduction=reduction_of(reduction, size_average, reduce),
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """``triplet_margin_loss`` with any distance; None: ``pairwise_distance``."""
    reduction = reduction_of(reduction)
    check_tensor(anchor, "triplet_margin_loss", "anchor")
    _check_triplet(anchor, positive, negative, margin)
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = far.minimum(distance(positive, negative))
    return reduced((margin + near - far).clamp(min=0), reduction)
