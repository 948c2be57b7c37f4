"""Pooling to a given size. Adaptive: the window of element i of n reaches from ⌊i size / n⌋ to
⌈(i + 1) size / n⌉. Fractional: windows of one size at places drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ..dtypes import dtype as DType
from ..dtypes import int64
from ..kernels import Array
from ..ops.creation import arange
from ..ops.pool import AvgPool2d, MaxPool2d, WindowMax
from ..ops.random import rand
from ..ops.resample import Axis, Matrices, Resample
from ..ops.shape import cat, stack
from ..tensor import Tensor
from .pooling import check_dims, window_table
from .sizes import Sizes, sizes_of

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "fractional_max_pool2d",
    "fractional_max_pool3d",
]


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


def _output_sizes(input: Tensor, output_size: Any, dims: int, op: str) -> tuple[int, ...]:
    check_dims(input, dims, op)
    if isinstance(output_size, list):
        output_size = tuple(output_size)
    return _resolved(input.shape, output_size, dims, op)


@lru_cache(256)
def _resolved(shape: Sequence[int], output_size: Any, dims: int, op: str) -> tuple[int, ...]:
    """The output sizes of an input of that shape, with torch's errors."""
    sizes = list(output_size) if isinstance(output_size, tuple) else [output_size] * dims
    if len(sizes) == 1:
        sizes *= dims
    if len(sizes) != dims:
        # torch counts against all dimensions of the input first.
        kind = ValueError if len(sizes) >= len(shape) else RuntimeError
        raise kind(f"{op}: output_size must be {dims} numbers, but got {len(sizes)}")
    own = shape[len(shape) - dims :]
    sizes = [n if size is None else int(size) for n, size in zip(own, sizes, strict=True)]
    if min(sizes) < 0:
        raise RuntimeError(f"{op}: elements of output_size must be greater than or equal to 0")
    if 0 in own or 0 in shape[1 : len(shape) - dims]:
        raise RuntimeError(
            f"{op}: Expected input to have non-zero size for non-batch dimensions, but input has "
            f"sizes {list(shape)}"
        )
    return tuple(sizes)


@lru_cache(256)
def _mean_matrices(own: Sequence[int], sizes: tuple[int, ...], kind: DType) -> Matrices:
    return Matrices([_means(n, size, kind) for n, size in zip(own, sizes, strict=True)])


def adaptive_avg_pool(input: Tensor, sizes: Sequence[int]) -> Tensor:
    """The means of windows of the last dimensions, as many as the sizes say."""
    dims = len(sizes)
    own = input.shape[input.ndim - dims :]
    if all(size == 1 for size in sizes):
        return input.mean(tuple(range(-dims, 0)), keepdim=True)
    if dims == 2 and 0 not in sizes and not own[0] % sizes[0] and not own[1] % sizes[1]:
        kernel = (own[0] // sizes[0], own[1] // sizes[1])
        return AvgPool2d([*kernel, *kernel, 0, 0, 1, 1, 0, 1, 0]).apply(input)
    return Resample(_mean_matrices(own, tuple(sizes), input.dtype)).apply(input)


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest elements of windows of (N, C, L) or (C, L), as many as ``output_size``, and with
    ``return_indices`` their indices."""
    return _adaptive_max_pool(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest elements of windows of (N, C, H, W) or (C, H, W), as many as ``output_size``
    (None keeps a size), and with ``return_indices`` their indices in the plane."""
    return _adaptive_max_pool(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest elements of windows of (N, C, D, H, W) or (C, D, H, W), as many as
    ``output_size`` (None keeps a size), and with ``return_indices`` their indices in the volume."""
    return _adaptive_max_pool(3, input, output_size, return_indices)


@lru_cache(256)
def _windows(size: int, count: int) -> Array:
    return window_table([(first, last - first, 1) for first, last in adaptive_windows(size, count)])


def _adaptive_max_pool(dims: int, input: Tensor, output_size: Any, return_indices: bool) -> Any:
    sizes = _output_sizes(input, output_size, dims, f"adaptive_max_pool{dims}d")
    own = input.shape[input.ndim - dims :]
    if dims == 2 and 0 not in sizes and not own[0] % sizes[0] and not own[1] % sizes[1]:
        kernel = (own[0] // sizes[0], own[1] // sizes[1])
        values, indices = MaxPool2d([*kernel, *kernel, 0, 0, 1, 1, 0, 0, 0]).apply(input)
    else:
        windows = [_windows(n, size) for n, size in zip(own, sizes, strict=True)]
        values, indices = WindowMax(windows).apply(input)
    return (values, indices) if return_indices else values


# ---- fractional ----


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    output_size: Sizes | None = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """The largest elements of windows of (N, C, H, W) or (C, H, W) at places drawn at random, as
    many as ``output_size``, or the size times ``output_ratio``. ``_random_samples`` (N, C, 2),
    uniform in [0, 1), says where.

    Graham, "Fractional max-pooling" (2015).
    """
    return _fractional(
        2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples
    )


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Sizes,
    output_size: Sizes | None = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """The largest elements of windows of (N, C, D, H, W) or (C, D, H, W) at places drawn at random;
    see ``fractional_max_pool2d``. ``_random_samples`` is (N, C, 3)."""
    return _fractional(
        3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples
    )


def _fractional(
    dims: int,
    input: Tensor,
    kernel_size: Sizes,
    output_size: Sizes | None,
    output_ratio: Any,
    return_indices: bool,
    samples: Tensor | None,
) -> Any:
    op = f"fractional_max_pool{dims}d"
    if output_size is None and output_ratio is None:
        raise ValueError(f"{op} requires specifying either an output_size or an output_ratio")
    check_dims(input, dims, op)
    own = input.shape[-dims:]
    kernel = sizes_of(kernel_size, dims, "kernel_size")
    if output_size is None:
        ratios = [output_ratio] * dims if isinstance(output_ratio, float) else list(output_ratio)
        if len(ratios) > dims:
            raise ValueError(f"{op} requires output_ratio to be one number or {dims} of them")
        sizes = [int(n * ratio) for n, ratio in zip(own, ratios, strict=True)]
    else:
        sizes = list(sizes_of(output_size, dims, "output_size"))
    for n, k, size in zip(own, kernel, sizes, strict=True):
        if k < 1 or size < 1 or size + k - 1 > n:
            raise RuntimeError(
                f"{op}: pool size {kernel} and output size {sizes} are too large for an input of "
                f"shape {list(input.shape)}: a size must be at least output + pool - 1"
            )
    planes = input.shape[:-dims]
    wanted = (planes[0] if len(planes) == 2 else 1, planes[-1], dims)
    if samples is None:
        samples = rand(wanted, dtype=input.dtype)
    if samples.shape != wanted or samples.dtype is not input.dtype:
        raise RuntimeError(
            f"{op}: expected _random_samples of shape {list(wanted)} and {input.dtype}, but got "
            f"{list(samples.shape)} and {samples.dtype}"
        )
    # torch draws for the width first in a plane, for the depth first in a volume.
    places = samples.detach().reshape(-1, dims)
    order = (1, 0) if dims == 2 else (0, 1, 2)
    windows = [
        _fractional_windows(places[:, place], *each)._array
        for place, *each in zip(order, own, kernel, sizes, strict=True)
    ]
    values, indices = WindowMax(windows).apply(input)
    return (values, indices) if return_indices else values


def _fractional_windows(place: Tensor, size: int, kernel: int, count: int) -> Tensor:
    """(planes, windows, 3): window i begins at ⌊(i + u) step⌋ - ⌊u step⌋, the last at the end."""
    planes = place.shape[0]
    last = place.new_full((planes, 1), size - kernel, dtype=int64)
    starts = last
    if count > 1:
        step = (size - kernel) / (count - 1)
        u = place.unsqueeze(1)
        first = ((arange(count - 1, dtype=place.dtype) + u) * step).to(int64)
        starts = cat([first - (u * step).to(int64), last], 1)
    lengths = starts.new_full((planes, count), kernel)
    return stack([starts, lengths, starts.new_ones(planes, count)], 2)
