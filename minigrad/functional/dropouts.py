"""Dropout: of elements, of whole channels, and the forms that keep mean and variance."""

from __future__ import annotations

import math
import warnings

from ..ops.elementwise import check_tensor
from ..ops.random import Dropout, Generator, bernoulli_
from ..tensor import Tensor

__all__ = [
    "alpha_dropout",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "feature_alpha_dropout",
]

# What SELU tends to for small x: -scale · alpha.
_SATURATION = -1.7580993408473766


def _check(input: Tensor, p: float, op: str) -> None:
    check_tensor(input, op)
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    inverted: bool = True,
    generator: Generator | None = None,
) -> Tensor:
    """In training each element is 0 with probability p, the others are divided by 1 - p; outside
    of training the input stays as it is (Srivastava et al., 2014).

    ``inverted=False`` is the form of the first publications: in training the others stay as they
    are, outside of it every element is multiplied by 1 - p, the probability to keep it.
    """
    _check(input, p, "dropout")
    keep = 1.0 - p
    if not training:
        if inverted or p == 0.0:
            return input
        return input.mul_(keep) if inplace else input * keep
    if p == 0.0:
        return input
    scale = 1.0 / keep if inverted and p < 1.0 else 1.0
    if not inplace:
        return Dropout(keep, scale, generator).apply(input)
    mask = bernoulli_(input.new_empty(input.shape), keep, generator=generator)
    return input.mul_(mask if scale == 1.0 else mask.mul_(scale))


def _channel_mask(input: Tensor, keep: float, leading: int) -> Tensor:
    """1 with probability ``keep``, else 0, for each index of the leading dimensions: two for
    (N, C, ...), one for (C, ...)."""
    if input.ndim < leading:
        raise RuntimeError(
            "Feature dropout requires at least 2 dimensions in the input, got shape "
            f"{list(input.shape)}"
        )
    shape = [*input.shape[:leading], *([1] * (input.ndim - leading))]
    return bernoulli_(input.new_empty(shape), keep)


def _channels(input: Tensor, p: float, training: bool, inplace: bool, leading: int = 2) -> Tensor:
    """Dropout of whole channels."""
    if not training or p == 0.0:
        return input
    mask = _channel_mask(input, 1.0 - p, leading)
    if p < 1.0:
        mask.mul_(1.0 / (1.0 - p))
    return input.mul_(mask) if inplace else input * mask


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zeroes whole channels of (N, C, L) or (C, L) with probability p (Tompson et al., 2015)."""
    _check(input, p, "dropout1d")
    if input.ndim not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {input.ndim}D input of shape "
            f"{list(input.shape)}; dropout takes any shape"
        )
    return _channels(input, p, training, inplace, input.ndim - 1)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zeroes whole channels of (N, C, H, W) with probability p; three dimensions count as
    (N, C, L), as in torch, which warns of it."""
    _check(input, p, "dropout2d")
    if input.ndim == 3:
        warnings.warn(
            "dropout2d: a 3D input is taken for (N, C, L), as in torch; for that use dropout1d, "
            "for (C, H, W) unsqueeze(0) it",
            stacklevel=2,
        )
    elif input.ndim != 4:
        _warn_of_dimensions("dropout2d", input)
    return _channels(input, p, training, inplace)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zeroes whole channels of (N, C, D, H, W) or (C, D, H, W) with probability p."""
    _check(input, p, "dropout3d")
    if input.ndim not in (4, 5):
        _warn_of_dimensions("dropout3d", input)
    return _channels(input, p, training, inplace, 1 if input.ndim == 4 else 2)


def _warn_of_dimensions(op: str, input: Tensor) -> None:
    warnings.warn(
        f"{op}: an input of {input.ndim} dimensions is deprecated; use dropout, which takes any "
        "shape",
        stacklevel=3,
    )


def _alpha(input: Tensor, p: float, mask: Tensor, inplace: bool) -> Tensor:
    """Elements where the mask is 0 become SELU's saturation; then a · x + b restores mean 0 and
    variance 1 (Klambauer et al., 2017)."""
    a = 1.0 / math.sqrt((_SATURATION**2 * p + 1.0) * (1.0 - p))
    shift = (1.0 - mask) * (_SATURATION * a) - a * p * _SATURATION
    factor = mask * a
    return input.mul_(factor).add_(shift) if inplace else input * factor + shift


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Dropout for nets with SELU: keeps mean 0 and variance 1."""
    _check(input, p, "alpha_dropout")
    if not training or p == 0.0:
        return input
    if p == 1.0:
        return input.mul_(0.0) if inplace else input * 0.0
    mask = bernoulli_(input.new_empty(input.shape), 1.0 - p)
    return _alpha(input, p, mask, inplace)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """``alpha_dropout`` of whole channels of (N, C, ...)."""
    _check(input, p, "feature_alpha_dropout")
    if not training or p == 0.0:
        return input
    if p == 1.0:
        return input.mul_(0.0) if inplace else input * 0.0
    return _alpha(input, p, _channel_mask(input, 1.0 - p, 2), inplace)
