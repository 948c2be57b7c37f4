"""Convolution."""

from __future__ import annotations

from typing import Any

from ..ops.conv import Conv2d
from ..ops.elementwise import check_tensor
from ..tensor import Tensor
from .sizes import Pair, pair

__all__ = ["conv2d"]


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """The cross-correlation of (N, C, H, W) or (C, H, W) with kernels (O, C / groups, KH, KW)."""
    check_tensor(input, "conv2d")
    check_tensor(weight, "conv2d", "weight")
    if input.ndim == 3:
        batch = input.unsqueeze(0)
        return conv2d(batch, weight, bias, stride, padding, dilation, groups).squeeze(0)
    if weight.ndim != 4:
        raise RuntimeError(f"conv2d: expected a 4D weight, got shape {list(weight.shape)}")
    if input.ndim != 4:
        raise RuntimeError(
            "Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: "
            f"{list(input.shape)}"
        )
    strides, dilations = pair(stride, "stride"), pair(dilation, "dilation")
    if isinstance(padding, str):
        input, paddings = _named_padding(input, weight, padding, strides, dilations)
    else:
        paddings = pair(padding, "padding")
    geometry = (*strides, *paddings, *dilations, groups)
    if bias is None:
        return Conv2d(geometry).apply(input, weight)
    return Conv2d(geometry).apply(input, weight, bias)


def _named_padding(
    input: Tensor, weight: Tensor, padding: str, strides: Any, dilations: Any
) -> tuple[Tensor, tuple[int, int]]:
    """'valid' is none; 'same' keeps the size, the odd element going behind."""
    if padding == "valid":
        return input, (0, 0)
    if padding != "same":
        raise ValueError(f"Invalid padding string {padding!r}, should be one of 'valid', 'same'")
    if strides != (1, 1):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    totals = [d * (size - 1) for d, size in zip(dilations, weight.shape[2:], strict=True)]
    odd = [total % 2 for total in totals]
    if any(odd):
        n, c, height, width = input.shape
        padded = input.new_zeros(n, c, height + odd[0], width + odd[1])
        padded[:, :, :height, :width] = input
        input = padded
    return input, (totals[0] // 2, totals[1] // 2)
