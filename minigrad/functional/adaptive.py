"""Pooling to a given size: the window of element i of n reaches from ⌊i size / n⌋ to
⌈(i + 1) size / n⌉."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ..dtypes import dtype as DType
from ..ops.conv import AvgPool2d
from ..ops.elementwise import check_tensor
from ..ops.resample import Axis, Resample
from ..tensor import Tensor

__all__ = ["adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"]


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """The means of windows of (N, C, L) or (C, L), as many as ``output_size``."""
    return adaptive_avg_pool(input, _output_sizes(input, output_size, 1, "adaptive_avg_pool1d"))


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """The means of windows of (N, C, H, W) or (C, H, W), as many as ``output_size``; None keeps a
    size."""
    return adaptive_avg_pool(input, _output_sizes(input, output_size, 2, "adaptive_avg_pool2d"))


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """The means of windows of (N, C, D, H, W) or (C, D, H, W), as many as ``output_size``; None
    keeps a size."""
    return adaptive_avg_pool(input, _output_sizes(input, output_size, 3, "adaptive_avg_pool3d"))


def adaptive_windows(size: int, count: int) -> list[tuple[int, int]]:
    """The first element and the one behind the last of each window."""
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


@lru_cache(256)
def _means(size: int, count: int, kind: DType) -> Axis:
    rows = []
    for first, last in adaptive_windows(size, count):
        rows.append([(i, 1 / (last - first)) for i in range(first, last)])
    return Axis(size, rows, kind)


def _output_sizes(input: Tensor, output_size: Any, dims: int, op: str) -> list[int]:
    check_tensor(input, op)
    if input.ndim not in (dims + 1, dims + 2):
        raise RuntimeError(
            f"{op}: Expected {dims + 1}D or {dims + 2}D tensor, but got {list(input.shape)}"
        )
    sizes = [output_size] * dims if not isinstance(output_size, Sequence) else list(output_size)
    if len(sizes) == 1:
        sizes *= dims
    if len(sizes) != dims:
        # torch counts against all dimensions of the input first.
        kind = ValueError if len(sizes) >= input.ndim else RuntimeError
        raise kind(f"{op}: output_size must be {dims} numbers, but got {len(sizes)}")
    own = input.shape[input.ndim - dims :]
    sizes = [n if size is None else int(size) for n, size in zip(own, sizes, strict=True)]
    if min(sizes) < 0:
        raise RuntimeError(f"{op}: elements of output_size must be greater than or equal to 0")
    if 0 in input.shape[-dims:] or 0 in input.shape[1 : input.ndim - dims]:
        raise RuntimeError(
            f"{op}: Expected input to have non-zero size for non-batch dimensions, but input has "
            f"sizes {list(input.shape)}"
        )
    return sizes


def adaptive_avg_pool(input: Tensor, sizes: Sequence[int]) -> Tensor:
    """The means of windows of the last dimensions, as many as the sizes say."""
    dims = len(sizes)
    own = input.shape[input.ndim - dims :]
    if all(size == 1 for size in sizes):
        return input.mean(tuple(range(-dims, 0)), keepdim=True)
    if dims == 2 and 0 not in sizes and not own[0] % sizes[0] and not own[1] % sizes[1]:
        kernel = (own[0] // sizes[0], own[1] // sizes[1])
        return AvgPool2d([*kernel, *kernel, 0, 0, 1, 1, 0, 1, 0]).apply(input)
    kind = input.dtype
    return Resample([_means(n, size, kind) for n, size in zip(own, sizes, strict=True)]).apply(
        input
    )
