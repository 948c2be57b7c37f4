"""Tables of weights for separable resampling: where each pixel of the result comes from.

A table is a pair of arrays: spans (S, size, 2), the first source pixel and their number, and
weights (S, size, taps). S tables are made at once, one for each image of a batch, or one for all.
NumPy makes them: they depend on sizes and on a few drawn numbers, not on pixels.
"""

from __future__ import annotations

from functools import lru_cache

import numpy

from ...dtypes import dtype as DType
from ...dtypes import float32, float64, int64
from ...ops.creation import tensor
from ...tensor import Tensor

Table = tuple[numpy.ndarray, numpy.ndarray]
SUPPORT = {"bilinear": 1.0, "bicubic": 2.0}  # half the width of the kernel


def _cubic(x: numpy.ndarray, a: float) -> numpy.ndarray:
    """Keys, "Cubic convolution interpolation for digital image processing", 1981."""
    x = abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return numpy.where(x < 1, near, numpy.where(x < 2, far, 0.0))


def _kernel(mode: str, x: numpy.ndarray, a: float) -> numpy.ndarray:
    return numpy.clip(1 - abs(x), 0, None) if mode == "bilinear" else _cubic(x, a)


def _folded(indices: numpy.ndarray, weights: numpy.ndarray) -> Table:
    """A table of weights for any source pixels (S, size, taps), which may repeat: borders that are
    reflected or clamped add to the weights of the pixels that they repeat."""
    start, stop = indices.min(-1), indices.max(-1) + 1
    table = numpy.zeros((*start.shape, int((stop - start).max(initial=1))))
    image, place = numpy.ogrid[: start.shape[0], : start.shape[1]]
    for k in range(indices.shape[-1]):
        table[image, place, indices[..., k] - start] += weights[..., k]
    return numpy.stack([start, stop - start], -1), table


def antialiased(length: numpy.ndarray, size: int, mode: str) -> Table:
    """Pillow's weights: the kernel is stretched by the factor of a reduction, so that every source
    pixel counts; it ends at the border. length (S): the source's pixels."""
    scale = (length / size)[:, None]
    stretch = numpy.maximum(scale, 1)
    support = SUPPORT[mode] * stretch
    centre = scale * (numpy.arange(size) + 0.5)
    start = numpy.maximum((centre - support + 0.5).astype(numpy.int64), 0)
    stop = numpy.minimum((centre + support + 0.5).astype(numpy.int64), length[:, None])
    taps = numpy.arange(int((stop - start).max(initial=1)))
    places = (start[..., None] + taps - centre[..., None] + 0.5) / stretch[..., None]
    weights = _kernel(mode, places, -0.5) * (taps < (stop - start)[..., None])
    return numpy.stack([start, stop - start], -1), weights / weights.sum(-1, keepdims=True)


def interpolated(length: numpy.ndarray, size: int, mode: str) -> Table:
    """Without antialiasing: the pixels around the place, the border's repeated beyond it."""
    places = (length / size)[:, None] * (numpy.arange(size) + 0.5) - 0.5
    if mode == "bilinear":
        places = numpy.maximum(places, 0)
    floor = numpy.floor(places)
    steps = numpy.arange(2) if mode == "bilinear" else numpy.arange(-1, 3)
    weights = _kernel(mode, floor[..., None] + steps - places[..., None], -0.75)
    indices = floor[..., None].astype(numpy.int64) + steps
    return _folded(numpy.clip(indices, 0, length[:, None, None] - 1), weights)


def nearest(length: numpy.ndarray, size: int, exact: bool) -> Table:
    """One source pixel: the one at floor(i scale), or with ``exact`` at floor((i + ½) scale); in
    float32, as torch computes it."""
    scale = length.astype(numpy.float32)[:, None] / numpy.float32(size)
    places = numpy.arange(size, dtype=numpy.float32) + numpy.float32(0.5 if exact else 0)
    index = numpy.minimum((places * scale).astype(numpy.int64), length[:, None] - 1)
    spans = numpy.stack([index, numpy.ones_like(index)], -1)
    return spans, numpy.ones((*index.shape, 1))


def resizing(length: numpy.ndarray, size: int, mode: str, antialias: bool) -> Table:
    """From ``length`` (S) pixels to ``size``."""
    if mode in ("nearest", "nearest-exact"):
        return nearest(length, size, mode == "nearest-exact")
    return (antialiased if antialias else interpolated)(length, size, mode)


def gaussian(length: int, taps: int, sigmas: numpy.ndarray) -> Table:
    """A blur with reflected borders: weights e^(-½ (x/σ)²), normalised, for each sigma (S)."""
    offsets = numpy.arange(taps) - taps // 2  # taps is odd
    weights = numpy.exp(-0.5 * (offsets / sigmas[:, None]) ** 2)
    weights /= weights.sum(-1, keepdims=True)
    period = max(2 * (length - 1), 1)
    indices = (numpy.arange(length)[:, None] + offsets) % period
    indices = numpy.minimum(indices, period - indices) if length > 1 else indices
    shape = (len(sigmas), length, taps)
    return _folded(numpy.broadcast_to(indices, shape), numpy.broadcast_to(weights[:, None], shape))


def tensors(table: Table, kind: DType) -> tuple[Tensor, Tensor]:
    """A table as the kernel takes it, for images of that dtype."""
    spans, weights = table
    sums = float64 if kind is float64 else float32
    return tensor(spans, dtype=int64), tensor(weights, dtype=sums)


@lru_cache(256)
def resizing_tensors(
    length: int, size: int, mode: str, antialias: bool, kind: DType
) -> tuple[Tensor, Tensor]:
    """The table of a resize from one size to another, kept for the next batch."""
    return tensors(resizing(numpy.array([length]), size, mode, antialias), kind)
