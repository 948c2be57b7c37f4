"""Scaled dot-product attention, fused, with the composition that it stands for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..autograd.engine import INPUTS, Fused, already_freed
from ..dtypes import bool_
from ..kernels import Array, check, lib, own, pointers, several
from ..tensor import Tensor, wrap
from .creation import ones, tril
from .matmul import matmul
from .random import bernoulli_
from .softmax import Softmax


class Attention(Fused):
    """Y = (P ∘ keep) V,  P = softmax(scale Q Kᵀ + mask), for Q (..., L, E), K (..., S, E) and
    V (..., S, F) of the same batch dimensions; causal: query i sees the keys up to i. A query that
    sees no key gives 0. Vaswani et al. 2017, https://arxiv.org/abs/1706.03762

    With D = (dY Vᵀ) ∘ keep:  dV = (P ∘ keep)ᵀ dY,  dS = P ∘ (D - Σ P ∘ D),  dQ = scale dS K,
    dK = scale dSᵀ Q. The operands are query, key, value, and then the mask and `keep` where there
    are; these two are constants.
    """

    __slots__ = ("scale", "causal", "has_mask", "kept")
    saves = INPUTS

    def __init__(self, scale: float, causal: bool, has_mask: bool) -> None:
        self.scale, self.causal, self.has_mask = scale, causal, has_mask
        self.kept: Any = None

    def _operands(self, operands: Sequence[Any]) -> list[Any]:
        """All five, None in the place of what there is not."""
        five = list(operands)
        if not self.has_mask:
            five.insert(3, None)
        return five if len(five) == 5 else [*five, None]

    def forward(self, *operands: Array) -> Array:
        outputs = several(2)
        given = pointers(self._operands(operands))
        check(lib.mg_attention(given, self.scale, self.causal, outputs))
        self.kept = own(outputs[1])
        return own(outputs[0])

    def composition(self, *inputs: Tensor) -> Tensor:
        query, key, value, mask, keep = self._operands(inputs)
        return attention_composed(query, key, value, mask, keep, self.scale, self.causal)

    def fused_backward(self, grad: Tensor) -> Sequence[Tensor | None]:
        if self.kept is None:
            already_freed()
        arrays = [None if each is None else each._array for each in self._operands(self.inputs)]
        outputs = several(3)
        check(
            lib.mg_attention_backward(
                grad._array, self.kept, pointers(arrays), self.scale, self.causal, outputs
            )
        )
        results: list[Tensor | None] = [wrap(own(each)) for each in outputs]
        return results + [None] * (len(self.edges) - 3)

    def release(self) -> None:
        super().release()
        self.kept = None


def attention_weights(
    query: Tensor, key: Tensor, mask: Tensor | None, scale: float, causal: bool
) -> Tensor:
    """The softmax of attention from plain operations; rows that see no key are 0."""
    scores = matmul(query, key.mT) * scale
    if causal:
        seen = tril(ones(scores.shape[-2:], dtype=bool_))
        scores = scores.masked_fill(~seen, -math.inf)
    if mask is None:
        return Softmax(scores.ndim - 1).apply(scores)
    scores = scores + mask
    nothing = (scores == -math.inf).all(-1, True)
    weights = Softmax(scores.ndim - 1).apply(scores.masked_fill(nothing, 0.0))
    return weights.masked_fill(nothing, 0.0)


def attention_composed(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    keep: Tensor | None,
    scale: float,
    causal: bool,
) -> Tensor:
    """See ``Attention``; the mask may need a gradient."""
    weights = attention_weights(query, key, mask, scale, causal)
    return matmul(weights if keep is None else weights * keep, value)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float,
    scale: float,
    causal: bool,
) -> Tensor:
    """See ``Attention``; dropout is the probability that a weight is 0."""
    keep = None
    if dropout > 0:
        keep = query.new_empty((*query.shape[:-1], key.shape[-2]))
        bernoulli_(keep, 1.0 - dropout)
        if dropout < 1:
            keep.mul_(1.0 / (1.0 - dropout))
    if mask is not None and mask.requires_grad:
        return attention_composed(query, key, value, mask, keep, scale, causal)
    constants = [each for each in (mask, keep) if each is not None]
    return Attention(scale, causal, mask is not None).apply(query, key, value, *constants)
