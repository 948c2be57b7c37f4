"""Interpolation: images of another size. All modes are separable, a sparse matrix along each
dimension (``ops/resample.py``); here are the matrices."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from ..dtypes import dtype as DType
from ..dtypes import float32
from ..ops.elementwise import check_tensor
from ..ops.resample import Axis, Matrices, Resample
from ..tensor import Tensor
from .adaptive import adaptive_avg_pool

__all__ = ["interpolate"]

DIMS = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3, "lanczos": 2}


def _single(value: float) -> float:
    """Rounded to float32. Coordinates are computed in the precision that torch uses, as rounding
    decides which neighbour is the nearest."""
    return struct.unpack("f", struct.pack("f", value))[0]


def _exact(value: float) -> float:
    return value


@lru_cache(256)
def _nearest(size: int, out: int, scale: float | None, exact: bool) -> Axis:
    """The element below i · step, or with `exact` below (i + ½) step."""
    if out == size:
        return Axis.map(size, range(size))
    step = _single(1 / scale) if scale else _single(_single(size) / out)
    if exact:
        places = [_single((i + 0.5) * step) for i in range(out)]
    elif out == 2 * size:
        places = [i / 2 for i in range(out)]
    else:
        places = [_single(i * step) for i in range(out)]
    return Axis.map(size, [min(math.floor(place), size - 1) for place in places])


def _places(
    size: int, out: int, scale: float | None, align_corners: bool, rounded: Callable
) -> list[float]:
    """Where the centre of each element of the result lies among the input's elements."""
    if align_corners:
        step = rounded((size - 1) / (out - 1)) if out > 1 else 0.0
        return [rounded(i * step) for i in range(out)]
    step = rounded(1 / scale) if scale else rounded(size / out)
    return [rounded(step * (i + 0.5) - 0.5) for i in range(out)]


@lru_cache(256)
def _linear(size: int, out: int, scale: float | None, align_corners: bool, kind: DType) -> Axis:
    """Two neighbours, weighted by their distance."""
    if size == out:
        return Axis.map(size, range(size))
    rows = []
    for place in _places(size, out, scale, align_corners, _single if kind is float32 else _exact):
        place = max(place, 0.0)
        low = min(math.floor(place), size - 1)
        weight = min(max(place - low, 0.0), 1.0)
        rows.append([(low, 1 - weight), (min(low + 1, size - 1), weight)])
    return Axis(size, rows, kind)


def _cubic_weight(distance: float, a: float) -> float:
    """Keys, "Cubic convolution interpolation for digital image processing" (1981)."""
    x = abs(distance)
    if x <= 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0


@lru_cache(256)
def _cubic(size: int, out: int, scale: float | None, align_corners: bool, kind: DType) -> Axis:
    """Four neighbours by the cubic kernel with a = -3/4; those outside are the last inside."""
    rows = []
    for place in _places(size, out, scale, align_corners, _single if kind is float32 else _exact):
        low = min(math.floor(place), size - 1)
        distance = min(max(place - low, 0.0), 1.0)
        rows.append(
            [
                (min(max(low + k, 0), size - 1), _cubic_weight(distance - k, -0.75))
                for k in (-1, 0, 1, 2)
            ]
        )
    return Axis(size, rows, kind)


def _triangle(x: float) -> float:
    return max(1 - abs(x), 0.0)


def _sharp_cubic(x: float) -> float:
    return _cubic_weight(x, -0.5)


def _windowed_sinc(x: float) -> float:
    def sinc(t: float) -> float:
        return math.sin(math.pi * t) / (math.pi * t) if t else 1.0

    return sinc(x) * sinc(x / 3) if -3 <= x < 3 else 0.0


# Half the width of a filter in elements, and the filter.
FILTERS: dict[str, tuple[float, Callable[[float], float]]] = {
    "bilinear": (1.0, _triangle),
    "bicubic": (2.0, _sharp_cubic),
    "lanczos": (3.0, _windowed_sinc),
}


@lru_cache(256)
def _filtered(
    mode: str, size: int, out: int, scale: float | None, align_corners: bool, kind: DType
) -> Axis:
    """With anti-aliasing: the filter is as wide as the step, so that shrinking leaves out nothing,
    as in Pillow."""
    half, weight_of = FILTERS[mode]
    if align_corners:
        step = (size - 1) / (out - 1) if out > 1 else 0.0
    else:
        step = 1 / scale if scale else size / out
    wide = max(step, 1.0)
    rows = []
    for i in range(out):
        centre = step * (i + 0.5)
        first = max(int(centre - half * wide + 0.5), 0)
        last = min(int(centre + half * wide + 0.5), size)
        weights = [weight_of((j - centre + 0.5) / wide) for j in range(first, last)]
        total = sum(weights) or 1.0
        rows.append([(first + j, weight / total) for j, weight in enumerate(weights)])
    return Axis(size, rows, kind)


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """(N, C, sizes...) of one to three dimensions with other sizes: ``size``, or the present ones
    times ``scale_factor``.

    mode: "nearest", "nearest-exact", "area" (means of windows), "linear" (3-D input), "bilinear",
    "bicubic", "lanczos" (4-D; the last with ``antialias`` only), "trilinear" (5-D).
    align_corners: the centres of the corners stay where they are, not the outer edges.
    recompute_scale_factor: the step is computed from the sizes, not from ``scale_factor``.
    antialias: as Pillow does it, for "bilinear", "bicubic" and "lanczos".

    https://pytorch.org/docs/stable/generated/torch.nn.functional.interpolate.html
    """
    check_tensor(input, "interpolate")
    matrices = _matrices(
        input.shape,
        input.dtype,
        tuple(size) if isinstance(size, list) else size,
        tuple(scale_factor) if isinstance(scale_factor, list) else scale_factor,
        mode,
        align_corners,
        recompute_scale_factor,
        antialias,
    )
    if isinstance(matrices, list):
        return adaptive_avg_pool(input, matrices)
    return Resample(matrices).apply(input)


@lru_cache(256, typed=True)
def _matrices(
    shape: Sequence[int],
    kind: DType,
    size: Any,
    scale_factor: Any,
    mode: str,
    align_corners: bool | None,
    recompute_scale_factor: bool | None,
    antialias: bool,
) -> Matrices | list[int]:
    """The matrices, or for means of windows the sizes; with torch's errors."""
    if mode in ("nearest", "area", "nearest-exact") and align_corners is not None:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | "
            "bilinear | bicubic | trilinear"
        )
    sizes, scales = _sizes(shape, size, scale_factor, recompute_scale_factor, mode)
    if antialias and not (mode in FILTERS and len(shape) == 4):
        raise ValueError(
            "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires "
            "a 4-D tensor as input"
        )
    _check_mode(len(shape), mode, bool(align_corners), antialias)
    if mode == "area":
        return sizes
    if min(shape[1:]) < 1 or min(sizes) < 1:
        raise RuntimeError(
            "interpolate: Input and output sizes should be greater than 0, but got input "
            f"{list(shape)} and output size {sizes}"
        )
    triples = list(zip(shape[2:], sizes, scales, strict=True))
    if mode in ("nearest", "nearest-exact"):
        return Matrices([_nearest(*each, mode != "nearest") for each in triples])
    if not kind.is_floating_point:
        raise NotImplementedError(
            f'interpolate: mode "{mode}" is not implemented for {kind}; convert the input to '
            "float32 first"
        )
    if antialias:
        return Matrices([_filtered(mode, *each, bool(align_corners), kind) for each in triples])
    build = _cubic if mode == "bicubic" else _linear
    return Matrices([build(*each, bool(align_corners), kind) for each in triples])


def _spread(value: Any, shape: Sequence[int], name: str) -> list:
    dims = len(shape) - 2
    if not isinstance(value, (tuple, list)):
        return [value] * dims
    if len(value) != dims:
        raise ValueError(
            f"Input and {name} must have the same number of spatial dimensions, but got input with "
            f"spatial dimensions of {list(shape[2:])} and {name} of {value}. Please provide "
            "input tensor in (N, C, d1, d2, ...,dK) format"
        )
    return list(value)


def _sizes(
    shape: Sequence[int], size: Any, scale_factor: Any, recompute: bool | None, mode: str
) -> tuple[list[int], list[float | None]]:
    """The sizes of the result, and the scales that the step is computed from, if they are."""
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is not None:
        sizes = _spread(size, shape, "output size")
        for each in sizes:
            if not hasattr(each, "__index__"):
                raise TypeError(
                    "expected size to be one of int or Tuple[int] or Tuple[int, int] or Tuple[int, "
                    f"int, int], but got {size!r}"
                )
        if recompute:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        return [int(each) for each in sizes], [None] * len(sizes)
    if scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    scales = [float(each) for each in _spread(scale_factor, shape, "scale_factor")]
    sizes = [int(n * scale) for n, scale in zip(shape[2:], scales, strict=True)]
    if recompute or mode == "area":
        return sizes, [None] * len(sizes)
    return sizes, [scale if scale > 0 else None for scale in scales]


def _check_mode(ndim: int, mode: str, align_corners: bool, antialias: bool) -> None:
    dims = ndim - 2
    known = mode in DIMS or mode in ("nearest", "nearest-exact", "area")
    if dims not in (1, 2, 3) or not known:
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {ndim}D) for the "
            "modes: nearest | linear | bilinear | bicubic | trilinear | lanczos | area | "
            f"nearest-exact (got {mode})"
        )
    if mode in DIMS and DIMS[mode] != dims:
        raise NotImplementedError(
            f"Got {ndim}D input, but {mode} mode needs {DIMS[mode] + 2}D input"
        )
    if mode == "lanczos" and align_corners:
        raise ValueError("Lanczos mode does not support align_corners=True")
    if mode == "lanczos" and not antialias:
        raise ValueError("Lanczos mode requires antialias=True")
