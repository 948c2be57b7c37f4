"""Pooling."""

from __future__ import annotations

from typing import Any

from ..ops.conv import AvgPool2d, MaxPool2d
from ..ops.elementwise import check_tensor
from ..tensor import Tensor
from .sizes import Pair, pair

__all__ = ["avg_pool2d", "max_pool2d"]


def _pool_geometry(
    kernel_size: Pair,
    stride: Pair | None,
    padding: Pair,
    dilation: Pair,
    *flags: int,
) -> list[int]:
    kernel = pair(kernel_size, "kernel_size")
    steps = kernel if stride is None or stride == [] else pair(stride, "stride")
    return [*kernel, *steps, *pair(padding, "padding"), *pair(dilation, "dilation"), *flags]


def _check_planes(input: Tensor, op: str) -> None:
    check_tensor(input, op)
    if input.ndim not in (3, 4):
        raise RuntimeError(
            f"{op}: Expected 3D or 4D (batch mode) tensor for input, but got shape "
            f"{list(input.shape)}"
        )


def max_pool2d(
    input: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window, and with ``return_indices`` its index in the plane."""
    _check_planes(input, "max_pool2d")
    geometry = _pool_geometry(kernel_size, stride, padding, dilation, int(ceil_mode), 0, 0)
    values, indices = MaxPool2d(geometry).apply(input)
    return (values, indices) if return_indices else values


def avg_pool2d(
    input: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window."""
    _check_planes(input, "avg_pool2d")
    if divisor_override == 0:
        raise RuntimeError("divisor must be not zero")
    flags = (int(ceil_mode), int(count_include_pad), divisor_override or 0)
    return AvgPool2d(_pool_geometry(kernel_size, stride, padding, 1, *flags)).apply(input)
