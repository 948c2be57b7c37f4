"""Dropout."""

from __future__ import annotations

from ..ops.random import Generator, bernoulli_
from ..tensor import Tensor

__all__ = ["dropout"]


def dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """In training each element is 0 with probability p, the others are divided by 1 - p."""
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0.0:
        return input
    mask = input.new_empty(input.shape)
    bernoulli_(mask, 1.0 - p, generator=generator)
    if p < 1.0:
        mask.mul_(1.0 / (1.0 - p))
    return input.mul_(mask) if inplace else input * mask
