"""Losses of class scores, and what all loss layers share."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from ..functional import cross_entropy, ctc_loss, nll_loss
from ..tensor import Tensor
from .module import Module

__all__ = ["CTCLoss", "CrossEntropyLoss", "NLLLoss", "NLLLoss2d"]


def legacy_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction that torch's two old arguments stand for, where one of them is given."""
    if size_average is None and reduce is None:
        return reduction
    average = True if size_average is None else size_average
    chosen = ("mean" if average else "sum") if reduce in (None, True) else "none"
    warnings.warn(
        "size_average and reduce args will be deprecated, please use "
        f"reduction='{chosen}' instead.",
        stacklevel=4,
    )
    return chosen


class Loss(Module):
    """A loss with a reduction: "none", "mean" or "sum"."""

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.reduction = legacy_reduction(size_average, reduce, reduction)


class WeightedLoss(Loss):
    """One with a buffer of weights."""

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)


class NLLLoss(WeightedLoss):
    """-weight[target] · input[target] of log-probabilities (N, C) or (N, C, ...) or (C).

    The target holds class numbers, (N) or (N, ...) or a single one. "mean" divides by the weights'
    sum; targets equal to `ignore_index` count nothing.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return nll_loss(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class NLLLoss2d(NLLLoss):
    """The old name of NLLLoss for images, (N, C, H, W)."""


class CrossEntropyLoss(WeightedLoss):
    """NLLLoss of the log-softmax of logits (N, C) or (N, C, ...) or (C).

    The target holds class numbers, or probabilities of the logits' shape. `label_smoothing` mixes
    the target with a uniform distribution.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(
            input,
            target,
            self.weight,
            None,
            self.ignore_index,
            None,
            self.reduction,
            self.label_smoothing,
        )


class CTCLoss(Loss):
    """-log of the probability of all alignments of the targets with the input (Graves et al.,
    2006): log-probabilities (T, N, C), targets (N, S) or one after the other, lengths (N).

    `zero_infinity` makes the loss and the gradient 0 where no alignment exists.
    """

    def __init__(
        self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False
    ) -> None:
        super().__init__(reduction=reduction)
        self.blank = blank
        self.zero_infinity = zero_infinity

    def forward(
        self,
        log_probs: Tensor,
        targets: Tensor,
        input_lengths: Tensor | Sequence[int],
        target_lengths: Tensor | Sequence[int],
    ) -> Tensor:
        return ctc_loss(
            log_probs,
            targets,
            input_lengths,
            target_lengths,
            self.blank,
            self.reduction,
            self.zero_infinity,
        )
