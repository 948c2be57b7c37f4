"""The adaptive softmax for many classes (Grave et al., 2017, https://arxiv.org/abs/1609.04309)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from ..functional import log_softmax
from ..ops.shape import cat
from ..tensor import Tensor
from .containers import ModuleList, Sequential
from .linear import Linear
from .module import Module

__all__ = ["AdaptiveLogSoftmaxWithLoss"]


class ASMOutput(NamedTuple):
    """The log-probability of each target, and the loss: minus their mean."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Classes sorted from the most to the least frequent are cut into clusters at `cutoffs`. `head`
    scores the classes of the first and one place for each other cluster; `tail` scores the classes
    of those, behind a projection to in_features / div_valueⁱ. Input (N, in_features) and targets
    (N), or (in_features) and ().
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        cuts = list(cutoffs)
        if not cuts:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        if (
            any(int(cut) != cut for cut in cuts)
            or any(a >= b for a, b in pairwise(cuts))
            or cuts[0] <= 0
            or cuts[-1] > n_classes - 1
        ):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing "
                f"order, where each value is between 1 and n_classes-1, got {cuts}"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*cuts, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = cuts[0]
        self.n_clusters = len(cuts)
        self.head_size = self.shortlist_size + self.n_clusters
        factory = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **factory)
        self.tail = ModuleList()
        for index, (low, high) in enumerate(pairwise(self.cutoffs)):
            hidden = int(in_features // div_value ** (index + 1))
            self.tail.append(
                Sequential(
                    Linear(in_features, hidden, bias=False, **factory),
                    Linear(hidden, high - low, bias=False, **factory),
                )
            )

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        for module in self.modules():
            if isinstance(module, Linear):
                module.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> ASMOutput:
        if target_.ndim > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if input_.ndim != target_.ndim + 1:
            raise RuntimeError(
                f"{target_.ndim}D target tensor expects {target_.ndim + 1}D input tensors, but "
                f"found inputs with size {list(input_.shape)}"
            )
        single = target_.ndim == 0
        input = input_.unsqueeze(0) if single else input_
        target = target_.reshape(-1)
        if input.shape[0] != target.shape[0]:
            raise RuntimeError(
                "Input and target should have the same size in the batch dimension, got "
                f"{list(input_.shape)} and {list(target_.shape)}"
            )
        output = self._of_targets(input, target)
        return ASMOutput(output.squeeze(0) if single else output, -output.mean())

    def _of_targets(self, input: Tensor, target: Tensor) -> Tensor:
        """The log-probability of each target; a cluster scores only the rows that need it."""
        low, high = int(target.min().item()), int(target.max().item())
        if low < 0 or high >= self.n_classes:
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range "
                f"[{low}, {high}] were found."
            )
        places = target
        output = input.new_zeros(target.shape)
        for index, (first, end) in enumerate(pairwise(self.cutoffs)):
            inside = (target >= first) & (target < end)
            rows = inside.nonzero().squeeze(1)
            if rows.numel() == 0:
                continue
            places = places.masked_fill(inside, self.shortlist_size + index)
            scores = log_softmax(self.tail[index](input[rows]), 1)
            chosen = scores.gather(1, (target[rows] - first).unsqueeze(1)).squeeze(1)
            output = output.index_put_((rows,), chosen)
        head = log_softmax(self.head(input), 1)
        return output + head.gather(1, places.unsqueeze(1)).squeeze(1)

    def log_prob(self, input: Tensor) -> Tensor:
        """The log-probabilities of all classes, (N, n_classes)."""
        head = log_softmax(self.head(input), 1)
        parts = [head[:, : self.shortlist_size]]
        for index, cluster in enumerate(self.tail):
            place = self.shortlist_size + index
            parts.append(log_softmax(cluster(input), 1) + head[:, place : place + 1])
        return cat(parts, 1)

    def predict(self, input: Tensor) -> Tensor:
        """The most probable class of each row, (N)."""
        return self.log_prob(input).argmax(dim=1)
