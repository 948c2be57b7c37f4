"""Connectionist temporal classification: the loss of a sequence whose alignment is not known."""

from __future__ import annotations

from collections.abc import Sequence

from ..dtypes import int64
from ..kernels import lib
from ..ops.creation import arange, full, tensor
from ..ops.elementwise import check_tensor, where
from ..ops.shape import cat
from ..tensor import Tensor
from .reductions import reduction_of

__all__ = ["ctc_loss"]

# Stands for log 0: finite, so that differences and gradients stay numbers.
_NEVER = -1e30


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | Sequence[int],
    target_lengths: Tensor | Sequence[int],
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-log of the probability of all alignments of targets with an input (Graves et al., 2006).

    ``log_probs``: (T, N, C), or (T, C) for one sequence, log-probabilities; ``targets``: (N, S), or
    all one after the other; lengths: (N). "mean" divides each loss by its target's length first.
    Where no alignment exists the loss is infinite; ``zero_infinity`` makes it and its gradient 0.

    The gradient is that of the formula. torch's adds e^log_probs, which changes nothing where
    log_probs are a ``log_softmax``.
    """
    reduction = reduction_of(reduction)
    check_tensor(log_probs, "ctc_loss", "log_probs")
    check_tensor(targets, "ctc_loss", "targets")
    single = log_probs.ndim == 2
    if single:
        log_probs, targets = log_probs.unsqueeze(1), targets.reshape(1, -1)
    if log_probs.ndim != 3:
        raise RuntimeError(
            f"ctc_loss: Expected 3-dimensional tensor (T, N, C), but got {list(log_probs.shape)} "
            "for argument #1 'log_probs'"
        )
    steps, batch, classes = log_probs.shape
    if not 0 <= blank < classes:
        raise RuntimeError(f"ctc_loss: blank must be in label range [0, {classes}), got {blank}")
    inputs = _lengths(input_lengths, batch, "input_lengths")
    lengths = _lengths(target_lengths, batch, "target_lengths")
    labels = _padded(targets.long(), lengths, batch)
    _check_values(inputs, lengths, steps, labels.shape[1])
    losses = _losses(log_probs, labels, inputs, lengths, blank)
    losses = losses.masked_fill(losses > -_NEVER / 2, 0.0 if zero_infinity else float("inf"))
    if reduction == "none":
        return losses.squeeze(0) if single else losses
    if reduction == "sum":
        return losses.sum()
    return (losses / lengths.clamp(min=1).to(losses.dtype)).mean()


def _lengths(given: Tensor | Sequence[int], batch: int, name: str) -> Tensor:
    if isinstance(given, Tensor):
        if given.is_floating_point():
            raise RuntimeError(f"ctc_loss: {name} must be integral, got {given.dtype}")
        lengths = given.reshape(-1).long()
    else:
        lengths = tensor([int(each) for each in given], dtype=int64)
    if lengths.numel() != batch:
        raise RuntimeError(f"ctc_loss: {name} must be of size batch_size, {batch}")
    return lengths


def _padded(targets: Tensor, lengths: Tensor, batch: int) -> Tensor:
    """Targets (N, S); those of (ΣS) are cut at the lengths."""
    if targets.ndim == 2:
        if targets.shape[0] != batch:
            raise RuntimeError(
                f"ctc_loss: Expected targets of {batch} sequences, got shape {list(targets.shape)}"
            )
        return targets
    if targets.ndim != 1:
        raise RuntimeError(
            f"ctc_loss: targets must have 1 or 2 dimensions, got shape {list(targets.shape)}"
        )
    total = targets.numel()
    if total == 0:
        return targets.new_zeros(batch, 0)
    places = arange(batch)
    # A sequence begins where those before it end.
    starts = (lengths * (places < places.unsqueeze(1)).long()).sum(1, keepdim=True)
    return targets[(starts + arange(total)).clamp(max=total - 1)]


def _check_values(inputs: Tensor, lengths: Tensor, steps: int, longest: int) -> None:
    if lib.mg_is_recording():  # a plan cannot look at values
        return
    for name, values, most in (
        ("input_lengths", inputs, steps),
        ("target_lengths", lengths, longest),
    ):
        for value in values.tolist():
            if not 0 <= value <= most:
                raise RuntimeError(
                    f"ctc_loss: Expected {name} to have values in [0, {most}], but got value "
                    f"{value}"
                )


def _shifted(alpha: Tensor, by: int) -> Tensor:
    """alpha[n, s - by], log 0 where there is none."""
    never = full((alpha.shape[0], by), _NEVER, dtype=alpha.dtype)
    return cat([never, alpha], 1)[:, : alpha.shape[1]]


def _log_sum(*terms: Tensor) -> Tensor:
    """log Σ e^term."""
    largest = terms[0].detach()
    for term in terms[1:]:
        largest = largest.maximum(term.detach())
    total = (terms[0] - largest).exp()
    for term in terms[1:]:
        total = total + (term - largest).exp()
    return largest + total.log()


def _losses(
    log_probs: Tensor, labels: Tensor, inputs: Tensor, lengths: Tensor, blank: int
) -> Tensor:
    """The forward algorithm: alpha[n, s] is the log-probability of all paths over the labels with
    blanks between them, blank l1 blank l2 ... blank, that have reached place s."""
    steps, batch, _ = log_probs.shape
    places = 2 * labels.shape[1] + 1
    place = arange(places).reshape(1, places)
    odd = place % 2 == 1
    if labels.shape[1]:
        label = labels[:, (arange(places) // 2).clamp(max=labels.shape[1] - 1)]
        # Places beyond a sequence's own hold padding, which may be no class at all.
        used = odd & (place < 2 * lengths.unsqueeze(1))
        # A negative label would count from the end: the lookup is to refuse it.
        label = where(used, where(label < 0, log_probs.shape[2], label), blank)
    else:
        label = labels.new_zeros(batch, places) + blank
    emitted = log_probs.gather(2, label.unsqueeze(0).expand(steps, batch, places))
    # From a label to the next one without the blank between, if they differ.
    before = cat([label.new_zeros(batch, 2) - 1, label], 1)[:, :places]
    skips = where(odd & (label != before) & (place > 1), 0.0, _NEVER).to(log_probs.dtype)
    alpha = where(place > 1, _NEVER, 0.0).to(log_probs.dtype).expand(batch, places)
    # Before the first step a path stands in front of place 0 or 1; an input of no steps aligns
    # with a target of no labels.
    nothing = where(place > 0, _NEVER, 0.0).to(log_probs.dtype).expand(batch, places)
    for step in range(steps):
        reached = alpha
        if step:
            reached = _log_sum(alpha, _shifted(alpha, 1), _shifted(alpha, 2) + skips)
        done = (inputs <= step).unsqueeze(1)
        alpha = where(done, alpha if step else nothing, reached + emitted[step])
    if steps == 0:
        alpha = nothing + emitted.sum(0)
    last = alpha.gather(1, (2 * lengths).unsqueeze(1)).squeeze(1)
    label_end = alpha.gather(1, (2 * lengths - 1).clamp(min=0).unsqueeze(1)).squeeze(1)
    return -_log_sum(last, where(lengths > 0, label_end, _NEVER).to(last.dtype))
