"""Losses element by element: of numbers, of probabilities, of distributions' parameters.

``reduction`` is "none", "mean" or "sum"; ``size_average`` and ``reduce`` are its old form.
"""

from __future__ import annotations

import math
import warnings

from ..kernels import lib
from ..ops import loss as _ops
from ..ops.creation import full as _full
from ..ops.elementwise import check_tensor, where
from ..tensor import Tensor
from .activation import logsigmoid
from .reductions import reduced, reduction_of

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "gaussian_nll_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "multilabel_soft_margin_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
]


def _pair(input: Tensor, target: Tensor, op: str, warn: bool = True) -> tuple[Tensor, Tensor]:
    """Both of one shape and dtype; other shapes are broadcast, with a warning."""
    if not (isinstance(input, Tensor) and isinstance(target, Tensor)):
        check_tensor(input, op)
        check_tensor(target, op, "target")
    if input.shape != target.shape:
        if warn:
            warnings.warn(
                f"{op}: a target of shape {list(target.shape)} for an input of shape "
                f"{list(input.shape)} is broadcast, which is hardly what is wanted; give both the "
                "same shape",
                stacklevel=3,
            )
        shape = (input.detach() * target.detach()).shape
        input, target = input.expand(shape), target.expand(shape)
    return _ops.of_one_dtype(input, target)


def _weighted(losses: Tensor, weight: Tensor, input: Tensor, reduction: str) -> Tensor:
    """Σ weight · loss / Σ weight, the sum, or each."""
    if weight.shape != input.shape:
        raise ValueError(
            f"Weights and input must have the same size, got {list(weight.shape)} and "
            f"{list(input.shape)}."
        )
    losses = losses * weight
    if reduction == "mean":
        return losses.sum() / weight.sum()
    return reduced(losses, reduction)


# ---- of numbers ----


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|input - target|; with weights of the input's shape the mean is divided by their sum."""
    reduction = reduction_of(reduction, size_average, reduce)
    x, t = _pair(input, target, "l1_loss")
    if weight is not None:
        return _weighted((x - t).abs(), weight, input, reduction)
    if not x.is_floating_point():
        return reduced((x - t).abs(), reduction)
    return _ops.L1Loss(reduction).apply(x, t)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(input - target)²; with weights of the input's shape the mean is divided by their sum."""
    reduction = reduction_of(reduction, size_average, reduce)
    x, t = _pair(input, target, "mse_loss")
    if weight is not None:
        return _weighted((x - t).square(), weight, input, reduction)
    return _ops.MseLoss(reduction).apply(x, t)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """d² / (2 beta) where d = |input - target| < beta, else d - beta / 2."""
    reduction = reduction_of(reduction, size_average, reduce)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    x, t = _pair(input, target, "smooth_l1_loss")
    if beta == 0:
        return _ops.L1Loss(reduction).apply(x, t)
    return _ops.SmoothL1Loss(reduction, beta).apply(x, t)


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """d² / 2 where d = |input - target| <= delta, else delta (d - delta / 2). With weights of the
    input's shape the mean is over the elements, not over the weights, as in torch."""
    reduction = reduction_of(reduction)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    x, t = _pair(input, target, "huber_loss")
    if weight is None:
        return _ops.HuberLoss(reduction, delta).apply(x, t)
    if weight.shape != input.shape:
        raise ValueError(
            f"Weights and input must have the same size, got {list(weight.shape)} and "
            f"{list(input.shape)}."
        )
    return reduced(_ops.HuberLoss("none", delta).apply(x, t) * weight, reduction)


# ---- of probabilities ----


def _check_same(input: Tensor, target: Tensor, op: str) -> None:
    check_tensor(input, op)
    check_tensor(target, op, "target")
    if input.shape != target.shape:
        raise ValueError(
            f"{op}: the target size {list(target.shape)} must be the same as the input size "
            f"{list(input.shape)}; reshape or expand one of them"
        )


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-target · log(input) - (1 - target) · log(1 - input) of probabilities, the logarithms not
    below -100. Inputs outside of [0, 1] raise."""
    reduction = reduction_of(reduction, size_average, reduce)
    _check_same(input, target, "binary_cross_entropy")
    if target.dtype is not input.dtype:
        raise RuntimeError(
            f"binary_cross_entropy: Found dtype {target.dtype} of the target but expected "
            f"{input.dtype}, that of the input; convert it with target.to(input.dtype)"
        )
    if weight is None:
        return _ops.BinaryCrossEntropy(reduction).apply(input, target)
    return reduced(_ops.BinaryCrossEntropy("none").apply(input, target) * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """``binary_cross_entropy`` of sigmoid(input), without overflow or cancellation. ``weight`` and
    ``pos_weight`` (the factor of the terms of target 1) broadcast to the input."""
    reduction = reduction_of(reduction, size_average, reduce)
    _check_same(input, target, "binary_cross_entropy_with_logits")
    if not target.is_floating_point():
        raise RuntimeError(
            f"binary_cross_entropy_with_logits: result type {input.dtype} can't be cast to the "
            f"target's type {target.dtype}; convert it with target.to(input.dtype)"
        )
    x, t = _ops.of_one_dtype(input, target)
    if weight is None and pos_weight is None:
        return _ops.BinaryCrossEntropyWithLogits(reduction).apply(x, t)
    if pos_weight is None:
        losses = _ops.BinaryCrossEntropyWithLogits("none").apply(x, t)
    else:
        losses = _ops.weighted_bce(x, t, pos_weight)
    return reduced(losses if weight is None else losses * weight, reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """target · (log(target) - input): the divergence of log-probabilities from probabilities, or
    with ``log_target`` from log-probabilities. "batchmean" divides the sum by the number of rows,
    which "mean" (with torch's warning) does not."""
    if size_average is not None or reduce is not None or reduction != "batchmean":
        chosen = reduction_of(reduction, size_average, reduce)
        if size_average is None and reduce is None and reduction == "mean":
            warnings.warn(
                "kl_div: reduction 'mean' divides by the number of elements; the divergence of the "
                "definition is 'batchmean'",
                stacklevel=2,
            )
    else:
        chosen = "sum"
    x, t = _pair(input, target, "kl_div", warn=False)
    loss = (_ops.KlDivLog if log_target else _ops.KlDiv)(chosen).apply(x, t)
    if reduction == "batchmean" and input.ndim:
        return loss / input.shape[0]
    return loss


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + e^(-target · input)) for targets 1 and -1."""
    reduction = reduction_of(reduction, size_average, reduce)
    x, t = _pair(input, target, "soft_margin_loss", warn=False)
    if x.shape != input.shape:
        raise RuntimeError(
            f"soft_margin_loss: an output with shape {list(input.shape)} doesn't match the "
            f"broadcast shape {list(x.shape)}; expand the input"
        )
    return _ops.SoftMarginLoss(reduction).apply(x, t)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The binary cross-entropy of scores, averaged over the last dimension, the classes; then
    reduced."""
    reduction = reduction_of(reduction, size_average, reduce)
    check_tensor(input, "multilabel_soft_margin_loss")
    losses = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        losses = losses * weight
    return reduced(losses.sum(-1) / input.shape[-1], reduction)


# ---- of distributions ----


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The negative log-likelihood of counts under rates: input - target · log(input + eps), or with
    ``log_input`` e^input - target · input. ``full`` adds Stirling's approximation of log(target!)
    where target > 1."""
    reduction = reduction_of(reduction, size_average, reduce)
    check_tensor(input, "poisson_nll_loss")
    check_tensor(target, "poisson_nll_loss", "target")
    logarithm = input if log_input else (input + eps).log()
    losses = (input.exp() if log_input else input) - target * logarithm
    if full:
        above = where(target > 1, target, 2.0)  # the logarithm stays finite
        stirling = target * above.log() - target + (above * (2 * math.pi)).log() * 0.5
        losses = losses + stirling.masked_fill(target <= 1, 0.0)
    return reduced(losses, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(log(var) + (input - target)² / var) / 2, var at least eps (its gradient passes there).
    ``var`` has the input's shape, or 1 in its last dimension or none for it, or is a number.
    ``full`` adds log(2π) / 2."""
    check_tensor(input, "gaussian_nll_loss")
    given = var if isinstance(var, Tensor) else _full(input.shape, float(var), dtype=input.dtype)
    # A recorded plan cannot look at values: there, eps takes the place of negative ones.
    if not lib.mg_is_recording() and (given < 0).any():
        raise ValueError("var has negative entry/entries")
    spread = given if given.shape == input.shape else _variance_of(given, input)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    low = (spread.detach() < eps).to(spread.dtype)
    spread = spread + low * (eps - spread.detach())
    losses = (spread.log() + (input - target).square() / spread) * 0.5
    if full:
        losses = losses + 0.5 * math.log(2 * math.pi)
    return reduced(losses, reduction)


def _variance_of(var: Tensor, input: Tensor) -> Tensor:
    """One variance for several elements: torch's rules."""
    if var.shape == input.shape[:-1]:
        return var.unsqueeze(-1)
    if var.ndim == input.ndim:
        others = [b for a, b in zip(input.shape, var.shape, strict=True) if a != b]
        if sum(others) == 1:
            return var
    raise ValueError(
        f"var is of incorrect size: {list(var.shape)} for an input of shape {list(input.shape)}"
    )
