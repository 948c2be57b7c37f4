"""Patches of images as columns and back, and elements moved between channels and planes."""

from __future__ import annotations

import math

from ..ops.elementwise import check_tensor
from ..ops.fold import Fold, PixelShuffle, PixelUnshuffle, Unfold
from ..tensor import Tensor
from .sizes import Sizes, sizes_of

__all__ = ["fold", "pixel_shuffle", "pixel_unshuffle", "unfold"]


def unfold(
    input: Tensor,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> Tensor:
    """The patches under a kernel of (N, C, H, W) or (C, H, W), each a column: (N, C · kernel,
    positions)."""
    check_tensor(input, "unfold")
    if input.ndim not in (3, 4):
        kind = IndexError if input.ndim < 3 else RuntimeError
        raise kind(
            "unfold: Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other "
            f"non-zero dimensions for input, but got: {list(input.shape)}"
        )
    if 0 in input.shape[-3:]:
        raise RuntimeError(f"unfold: Expected non-zero dimensions, but got {list(input.shape)}")
    kernel, geometry = _geometry(kernel_size, dilation, padding, stride)
    if input.ndim == 3:
        return Unfold(kernel, geometry).apply(input.unsqueeze(0)).squeeze(0)
    return Unfold(kernel, geometry).apply(input)


def fold(
    input: Tensor,
    output_size: Sizes,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> Tensor:
    """Images (N, C, H, W) of the sums of patches, the columns of (N, C · kernel, positions); or all
    of it without N."""
    check_tensor(input, "fold")
    if input.ndim not in (2, 3):
        raise RuntimeError(
            "fold: Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and "
            f"non-zero dimensions for input, but got: {list(input.shape)}"
        )
    if 0 in input.shape[-2:]:
        raise RuntimeError(f"fold: Expected non-zero dimensions, but got {list(input.shape)}")
    size = sizes_of(output_size, 2, "output_size")
    kernel, geometry = _geometry(kernel_size, dilation, padding, stride)
    if input.ndim == 2:
        return Fold(size, kernel, geometry).apply(input.unsqueeze(0)).squeeze(0)
    return Fold(size, kernel, geometry).apply(input)


def _geometry(
    kernel_size: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    steps, margins = sizes_of(stride, 2, "stride"), sizes_of(padding, 2, "padding")
    spread = sizes_of(dilation, 2, "dilation")
    return sizes_of(kernel_size, 2, "kernel_size"), (*steps, *margins, *spread, 1)


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., C r², H, W) as (..., C, H r, W r): r² channels become squares of r × r pixels.

    Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network" (2016).
    """
    check_tensor(input, "pixel_shuffle")
    r = upscale_factor
    if input.ndim < 3:
        raise RuntimeError(
            f"pixel_shuffle expects input to have at least 3 dimensions, but got {input.ndim}"
        )
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    channels = input.shape[-3]
    if channels % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square "
            f"of upscale_factor, but input.size(-3)={channels} is not divisible by {r * r}"
        )
    return _on_images(PixelShuffle(r), input)


def _on_images(operation: PixelShuffle | PixelUnshuffle, input: Tensor) -> Tensor:
    """The operation on (N, C, H, W), whatever stands in front of C."""
    if input.ndim == 4:
        return operation.apply(input)
    lead = input.shape[:-3]
    result = operation.apply(input.reshape(math.prod(lead), *input.shape[-3:]))
    return result.reshape(*lead, *result.shape[1:])


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., C, H r, W r) as (..., C r², H, W): the inverse of ``pixel_shuffle``."""
    check_tensor(input, "pixel_unshuffle")
    r = downscale_factor
    if input.ndim < 3:
        raise RuntimeError(
            f"pixel_unshuffle expects input to have at least 3 dimensions, but got {input.ndim}"
        )
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    height, width = input.shape[-2:]
    if height % r or width % r:
        raise RuntimeError(
            "pixel_unshuffle expects height and width to be divisible by downscale_factor, but "
            f"got an input of shape {list(input.shape)} and downscale_factor={r}"
        )
    return _on_images(PixelUnshuffle(r), input)
