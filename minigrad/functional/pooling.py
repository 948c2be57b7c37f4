"""Pooling with windows of one size: the largest element, the mean, the norm; and the way back from
the largest. One dimension is a plane of height 1. Volumes have their windows as tables
(``WindowMax``, ``Resample``)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from .. import array as arrays
from ..dtypes import dtype as DType
from ..dtypes import int64
from ..kernels import Array
from ..ops.elementwise import check_tensor
from ..ops.pool import AvgPool2d, MaxPool2d, PlaneScatter, WindowMax
from ..ops.resample import Axis, Matrices, Resample
from ..tensor import Tensor
from .sizes import Sizes, sizes_of

__all__ = [
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
]


def _strides(stride: Sizes | None, kernel: tuple[int, ...]) -> tuple[int, ...]:
    if stride is None or stride == [] or stride == ():
        return kernel
    return sizes_of(stride, len(kernel), "stride")


def check_dims(input: Tensor, dims: int, op: str) -> None:
    """(N, C, sizes...) or (C, sizes...)."""
    check_tensor(input, op)
    if input.ndim not in (dims + 1, dims + 2):
        raise RuntimeError(
            f"{op}: Expected {dims + 1}D or {dims + 2}D (batch mode) tensor for input, but got "
            f"shape {list(input.shape)}"
        )


# ---- the largest ----


def max_pool1d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window of (N, C, L) or (C, L), and with ``return_indices`` its
    index in L."""
    check_dims(input, 1, "max_pool1d")
    kernel = sizes_of(kernel_size, 1, "kernel_size")
    step = _strides(stride, kernel)[0]
    margin, spread = sizes_of(padding, 1, "padding")[0], sizes_of(dilation, 1, "dilation")[0]
    geometry = [1, kernel[0], 1, step, 0, margin, 1, spread, int(ceil_mode), 0, 0]
    values, indices = MaxPool2d(geometry).apply(input.unsqueeze(-2))
    values = values.squeeze(-2)
    return (values, indices.squeeze(-2)) if return_indices else values


def max_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window of (N, C, H, W) or (C, H, W), and with ``return_indices``
    its index in the plane."""
    check_dims(input, 2, "max_pool2d")
    kernel = sizes_of(kernel_size, 2, "kernel_size")
    margins, spread = sizes_of(padding, 2, "padding"), sizes_of(dilation, 2, "dilation")
    geometry = [*kernel, *_strides(stride, kernel), *margins, *spread, int(ceil_mode), 0, 0]
    values, indices = MaxPool2d(geometry).apply(input)
    return (values, indices) if return_indices else values


def max_pool3d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window of (N, C, D, H, W) or (C, D, H, W), and with
    ``return_indices`` its index in the volume."""
    op = "max_pool3d"
    check_dims(input, 3, op)
    kernel = sizes_of(kernel_size, 3, "kernel_size")
    margins, spread = sizes_of(padding, 3, "padding"), sizes_of(dilation, 3, "dilation")
    strides = _strides(stride, kernel)
    _check_volume(op, input, kernel, strides, margins, spread, ceil_mode)
    windows = [
        _windows(*each, ceil_mode)
        for each in zip(input.shape[-3:], kernel, strides, margins, spread, strict=True)
    ]
    values, indices = WindowMax(windows).apply(input)
    return (values, indices) if return_indices else values


def _count(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool) -> int:
    """How many windows: with `ceil` also one that ends behind the input, if it starts inside of it
    or in the padding in front."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (room + (stride - 1 if ceil else 0)) // stride + 1
    return count - (1 if ceil and (count - 1) * stride >= size + padding else 0)


def _check_volume(
    op: str,
    input: Tensor,
    kernel: Sequence[int],
    strides: Sequence[int],
    margins: Sequence[int],
    spread: Sequence[int],
    ceil: bool,
) -> None:
    """torch's errors of pools over volumes."""
    for name, values in (("kernel size", kernel), ("stride", strides), ("dilation", spread)):
        if min(values) < 1:
            raise RuntimeError(f"{op}: {name} should be greater than zero, but got {values}")
    for k, p, d in zip(kernel, margins, spread, strict=True):
        if p < 0 or p > (d * (k - 1) + 1) // 2:
            raise RuntimeError(
                f"{op}: pad should be non-negative and at most half of effective kernel size, but "
                f"got pad={p}, kernel_size={k} and dilation={d}"
            )
    shape = input.shape
    if 0 in shape[-4:]:
        raise RuntimeError(
            f"{op}: Expected input's non-batch dimensions to have positive length, but input has "
            f"a shape of {list(shape)}"
        )
    sizes = [
        _count(*each, ceil)
        for each in zip(shape[-3:], kernel, strides, margins, spread, strict=True)
    ]
    if min(sizes) < 1:
        raise RuntimeError(
            f"{op}: Given input size: {list(shape[-3:])}. Calculated output size: {sizes}. Output "
            "size is too small"
        )


def window_table(windows: Sequence[tuple[int, int, int]]) -> Array:
    """(first element, elements, step) of each window, for ``WindowMax``."""
    return arrays.from_data([windows], int64)


@lru_cache(256)
def _windows(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool) -> Array:
    windows = []
    for i in range(_count(size, kernel, stride, padding, dilation, ceil)):
        start = i * stride - padding
        inside = [place for k in range(kernel) if 0 <= (place := start + k * dilation) < size]
        # The dilation may step over the input: such a window has no elements.
        windows.append((inside[0] if inside else 0, len(inside), dilation))
    return window_table(windows)


# ---- the mean ----


def avg_pool1d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of (N, C, L) or (C, L)."""
    check_dims(input, 1, "avg_pool1d")
    kernel = sizes_of(kernel_size, 1, "kernel_size")
    step, margin = _strides(stride, kernel)[0], sizes_of(padding, 1, "padding")[0]
    flags = (int(ceil_mode), int(count_include_pad), 0)
    geometry = [1, kernel[0], 1, step, 0, margin, 1, 1, *flags]
    return AvgPool2d(geometry).apply(input.unsqueeze(-2)).squeeze(-2)


def avg_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of (N, C, H, W) or (C, H, W). ``count_include_pad`` counts the zeros
    of the padding, ``divisor_override`` divides by that number instead."""
    check_dims(input, 2, "avg_pool2d")
    if divisor_override == 0:
        raise RuntimeError("divisor must be not zero")
    kernel = sizes_of(kernel_size, 2, "kernel_size")
    flags = (int(ceil_mode), int(count_include_pad), divisor_override or 0)
    margins = sizes_of(padding, 2, "padding")
    return AvgPool2d([*kernel, *_strides(stride, kernel), *margins, 1, 1, *flags]).apply(input)


def avg_pool3d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of (N, C, D, H, W) or (C, D, H, W); see ``avg_pool2d``."""
    op = "avg_pool3d"
    check_dims(input, 3, op)
    if divisor_override == 0:
        raise RuntimeError("divisor must be not zero")
    kernel = sizes_of(kernel_size, 3, "kernel_size")
    strides, margins = _strides(stride, kernel), sizes_of(padding, 3, "padding")
    _check_volume(op, input, kernel, strides, margins, (1, 1, 1), ceil_mode)
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f"{op} is not implemented for {input.dtype}; convert it first")
    # The divisor is a product over the dimensions; a given one stands with the last of them.
    divisors = (None,) * 3 if divisor_override is None else (1, 1, divisor_override)
    axes = [
        _means(*each, ceil_mode, count_include_pad, divisor, input.dtype)
        for *each, divisor in zip(input.shape[-3:], kernel, strides, margins, divisors, strict=True)
    ]
    return Resample(Matrices(axes)).apply(input)


@lru_cache(256)
def _means(
    size: int,
    kernel: int,
    stride: int,
    padding: int,
    ceil: bool,
    include: bool,
    divisor: int | None,
    kind: DType,
) -> Axis:
    rows = []
    for i in range(_count(size, kernel, stride, padding, 1, ceil)):
        start = i * stride - padding
        stop = min(start + kernel, size + padding)
        inside = range(max(start, 0), min(stop, size))
        count = divisor or (stop - start if include else len(inside))
        rows.append([(place, 1 / count) for place in inside])
    return Axis(size, rows, kind)


# ---- the norm ----


def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """(Σ xᵖ)^(1/p) of each window of (N, C, L) or (C, L)."""
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """(Σ xᵖ)^(1/p) of each window of (N, C, H, W) or (C, H, W)."""
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """(Σ xᵖ)^(1/p) of each window of (N, C, D, H, W) or (C, D, H, W)."""
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


def _lp_pool(
    dims: int,
    input: Tensor,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None,
    ceil_mode: bool,
) -> Tensor:
    largest = (max_pool1d, max_pool2d, max_pool3d)[dims - 1]
    mean = (avg_pool1d, avg_pool2d, avg_pool3d)[dims - 1]
    if norm_type == math.inf:
        return largest(input.abs(), kernel_size, stride, 0, 1, ceil_mode)
    if norm_type == -math.inf:
        return -largest(-input.abs(), kernel_size, stride, 0, 1, ceil_mode)
    powers = mean(input.pow(norm_type), kernel_size, stride, 0, ceil_mode)
    taps = math.prod(sizes_of(kernel_size, dims, "kernel_size"))
    return (powers * taps).pow(1.0 / norm_type)


# ---- the way back from the largest ----


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Zeros (N, C, L) or (C, L) with the elements at the indices that ``max_pool1d`` returned."""
    return _unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Zeros (N, C, H, W) or (C, H, W) with the elements at the indices that ``max_pool2d``
    returned. Of several at one place the last stays."""
    return _unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Zeros (N, C, D, H, W) or (C, D, H, W) with the elements at the indices that ``max_pool3d``
    returned."""
    return _unpool(3, input, indices, kernel_size, stride, padding, output_size)


def _unpool(
    dims: int,
    input: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    output_size: Sequence[int] | None,
) -> Tensor:
    op = f"max_unpool{dims}d"
    check_tensor(input, op)
    check_tensor(indices, op, "indices")
    kernel = sizes_of(kernel_size, dims, "kernel_size")
    strides, margins = _strides(stride, kernel), sizes_of(padding, dims, "padding")
    if input.ndim < dims:
        raise IndexError(f"{op}: an input of shape {list(input.shape)} has too few dimensions")
    size = _unpooled_size(input.shape[-dims:], kernel, strides, margins, output_size)
    check_dims(input, dims, op)
    if indices.dtype is not int64:
        raise RuntimeError(
            f"{op}: elements in indices should be type int64 but got: {indices.dtype}"
        )
    if indices.shape != input.shape:
        raise RuntimeError(
            f"{op}: Expected shape of indices to be same as that of the input tensor "
            f"({list(input.shape)}) but got indices tensor with shape: {list(indices.shape)}"
        )
    return PlaneScatter(indices, size, replace=True).apply(input)


def _unpooled_size(
    shape: Sequence[int],
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    margins: tuple[int, ...],
    output_size: Sequence[int] | None,
) -> list[int]:
    size = [
        (n - 1) * s + k - 2 * p for n, s, k, p in zip(shape, strides, kernel, margins, strict=True)
    ]
    if output_size is None:
        if min(size) < 0:
            raise ValueError(f"max_unpooling: the output would have the size {size}")
        return size
    wanted = list(output_size)
    if len(wanted) == len(kernel) + 2:
        wanted = wanted[2:]
    if len(wanted) != len(kernel):
        raise ValueError(
            f"output_size should be a sequence containing {len(kernel)} or {len(kernel) + 2} "
            f"elements, but it has a length of '{len(wanted)}'"
        )
    for d, (n, s) in enumerate(zip(size, strides, strict=True)):
        if not n - s < wanted[d] < n + s or wanted[d] < 0:
            raise ValueError(
                f'invalid output_size "{wanted}" (dim {d} must be between {n - s} and {n + s})'
            )
    return wanted
