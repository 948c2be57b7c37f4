"""Geometry of tensor images (..., C, H, W): one launch for a whole batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy

from ...dtypes import float32, float64, int64, uint8
from ...ops.creation import tensor
from ...ops.image import PADDING_MODES, Affine, Resample, Window
from ...ops.shape import stack
from ...tensor import Tensor
from . import _resampling as tables
from ._image import as_batch, constants, dimensions, like

COMPUTED = (uint8, float32, float64)  # what the kernels compute with


def fill_values(image: Tensor, fill: Any) -> tuple[float, ...] | None:
    """A fill, one number or one a channel, as numbers of all channels; None stays None."""
    if fill is None:
        return None
    channels = dimensions(image)[0]
    if not isinstance(fill, (int, float, Sequence)) or isinstance(fill, str):
        raise TypeError(f"Got inappropriate fill arg: {fill!r}")
    values = (fill,) if isinstance(fill, (int, float)) else tuple(fill)
    if len(values) == 1:
        return values * channels
    if len(values) != channels:
        raise ValueError(
            "The number of elements in 'fill' cannot broadcast to match the number of channels of "
            f"the image ({len(values)} != {channels})"
        )
    return values


# ---- windows: crops, paddings, flips ----


def window(
    image: Tensor, windows: Tensor, height: int, width: int, mode: str = "constant", fill: Any = 0
) -> Tensor:
    """Windows (top, left, flips), the same (1, 3) or of each image (N, 3); beyond the image is
    padding."""
    values = fill_values(image, fill) or ()
    colour = constants(values, image.dtype) if any(values) else None
    operation = Window(windows, height, width, PADDING_MODES.index(mode), colour)
    return like(operation.apply(as_batch(image)), image)


def crop(image: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """A view where the window lies inside, else padded with 0."""
    _, image_height, image_width = dimensions(image)
    if 0 <= top <= image_height - height and 0 <= left <= image_width - width:
        return image[..., top : top + height, left : left + width]
    return window(image, tensor([[top, left, 0]]), height, width)


def pad(image: Tensor, padding: Sequence[int], fill: Any, mode: str) -> Tensor:
    """padding: left, top, right, bottom; negative ones cut off."""
    left, top, right, bottom = padding
    _, height, width = dimensions(image)
    height, width = height + top + bottom, width + left + right
    return window(image, tensor([[-top, -left, 0]]), height, width, mode, fill)


def flip(image: Tensor, flips: Any) -> Tensor:
    """flips: 1 horizontally, 2 vertically; a number, or of each image, int64 (N)."""
    _, height, width = dimensions(image)
    if not isinstance(flips, Tensor):
        return window(image, tensor([[0, 0, flips]]), height, width)
    return window(image, windows(flips * 0, flips * 0, flips), height, width)


def windows(top: Tensor, left: Tensor, flips: Tensor | None = None) -> Tensor:
    """Drawn places as windows (N, 3)."""
    return stack([top, left, left * 0 if flips is None else flips], 1)


# ---- resampling ----


def _resample(image: Tensor, rows: Any, columns: Any) -> Tensor:
    """Other dtypes than the kernels' are computed in float32 and rounded."""
    kind = image.dtype
    batch = as_batch(image if kind in COMPUTED else image.to(float32))
    result = like(Resample(*rows, *columns).apply(batch), image)
    return result if kind in COMPUTED else result.round().to(kind)


def _check_resize(mode: str, *sizes: int) -> None:
    if mode not in ("nearest", "nearest-exact", "bilinear", "bicubic"):
        raise ValueError(
            f"Interpolation mode {mode!r} is unsupported with Tensor input; use nearest, "
            "nearest-exact, bilinear or bicubic, or a PIL image"
        )
    if min(sizes) <= 0:
        raise RuntimeError(
            f"Input and output sizes should be greater than 0, but got input (H: {sizes[0]}, "
            f"W: {sizes[1]}) output (H: {sizes[2]}, W: {sizes[3]})"
        )


def resize(image: Tensor, size: Sequence[int], mode: str, antialias: bool) -> Tensor:
    """To (height, width). Integers are rounded once, after both directions."""
    _, height, width = dimensions(image)
    _check_resize(mode, height, width, *size)
    rows, columns = (
        tables.resizing_tensors(length, int(to), mode, antialias, image.dtype)
        for length, to in ((height, size[0]), (width, size[1]))
    )
    return _resample(image, rows, columns)


def resized_crops(
    image: Tensor, boxes: numpy.ndarray, size: Sequence[int], mode: str, antialias: bool
) -> Tensor:
    """A box (top, left, height, width) of each image, int64 (N, 4), resized to one size: cropping
    and resizing are one table, so one launch."""
    _check_resize(mode, *dimensions(image)[1:], *size)
    both = []
    for start, length, to in (
        (boxes[:, 0], boxes[:, 2], size[0]),
        (boxes[:, 1], boxes[:, 3], size[1]),
    ):
        spans, weights = tables.resizing(length, int(to), mode, antialias)
        spans[..., 0] += start[:, None]
        both.append(tables.tensors((spans, weights), image.dtype))
    return _resample(image, *both)


def gaussian_blur(image: Tensor, taps: Sequence[int], sigmas: numpy.ndarray) -> Tensor:
    """taps: of a row, of a column; sigmas (1 or N, 2), in the same order."""
    _, height, width = dimensions(image)
    if image.numel() == 0:
        return image.clone()
    columns, rows = (
        tables.tensors(tables.gaussian(length, count, sigma), image.dtype)
        for length, count, sigma in zip((width, height), taps, sigmas.T, strict=True)
    )
    return _resample(image, rows, columns)


# ---- affine maps ----


def _sine(x: Any) -> Any:
    return x.sin() if isinstance(x, Tensor) else math.sin(x)


def _cosine(x: Any) -> Any:
    return x.cos() if isinstance(x, Tensor) else math.cos(x)


def inverse_matrix(
    centre: Sequence[float], angle: Any, translate: Sequence[Any], scale: Any, shear: Sequence[Any]
) -> list[Any]:
    """The first two rows of the inverse of T C (R S) s C⁻¹, which takes places in the result to
    places in the image. T translates, C moves the centre, R rotates by the angle (degrees), S
    shears along x and y (degrees), s scales. The numbers may be tensors, one a image."""
    degree = math.pi / 180
    turn, shear_x, shear_y = angle * degree, shear[0] * degree, shear[1] * degree
    tangent = _sine(shear_x) / _cosine(shear_x)
    # R S has determinant 1: its inverse is its entries exchanged, with signs.
    a = _cosine(turn - shear_y) / _cosine(shear_y)
    c = _sine(turn - shear_y) / _cosine(shear_y)
    b = -a * tangent - _sine(turn)
    d = -c * tangent + _cosine(turn)
    m = [d / scale, -b / scale, -c / scale, a / scale]
    x, y = -centre[0] - translate[0], -centre[1] - translate[1]
    across, down = m[0] * x + m[1] * y + centre[0], m[2] * x + m[3] * y + centre[1]
    return [m[0], m[1], across, m[2], m[3], down]


def rotated_size(matrix: Sequence[float], height: int, width: int) -> tuple[int, int]:
    """Height and width of the smallest image that holds all corners. In float32, and rounded
    towards 0 to four digits, so that a rounding error does not add a pixel."""
    kind = numpy.float32
    corners = [[x * width, y * height, 1.0] for x in (-0.5, 0.5) for y in (-0.5, 0.5)]
    moved = numpy.array(corners, kind) @ numpy.array(matrix, kind).reshape(2, 3).T
    moved += numpy.array([width / 2, height / 2], kind)
    low, high = (
        numpy.trunc(each / kind(1e-4)) * kind(1e-4) for each in (moved.min(0), moved.max(0))
    )
    across, down = numpy.ceil(high) - numpy.floor(low)
    return int(down), int(across)


def affine(
    image: Tensor, matrices: Any, mode: str, fill: Any, size: Sequence[int] | None = None
) -> Tensor:
    """matrices: six numbers, or float64 (N, 6). With a fill, a pixel that lies partly outside is
    value * c + fill * (1 - c), c being the part inside (that is how torchvision does it)."""
    if mode not in ("nearest", "bilinear"):
        raise ValueError(f"Interpolation mode '{mode}' is unsupported with Tensor input")
    values = fill_values(image, fill)
    _, height, width = dimensions(image)
    height, width = size or (height, width)
    if not isinstance(matrices, Tensor):
        matrices = tensor([matrices], dtype=float64)
    colour = None if values is None else constants(values, float64)
    kind = image.dtype
    batch = as_batch(image if kind in COMPUTED else image.to(float32))
    operation = Affine(matrices, height, width, mode == "bilinear", colour)
    result = like(operation.apply(batch), image)
    return result if kind in COMPUTED else result.round().to(kind)


def matrices_of(entries: Sequence[Tensor]) -> Tensor:
    """Six vectors as matrices (N, 6)."""
    return stack(list(entries), 1).to(float64)


# ---- erasing ----


def erase(image: Tensor, top: int, left: int, height: int, width: int, value: Any) -> Tensor:
    """In place."""
    image[..., top : top + height, left : left + width] = value
    return image


def inside_boxes(image: Tensor, boxes: numpy.ndarray) -> Tensor:
    """Where the pixels (N, 1, H, W) lie in each image's box (top, left, height, width)."""
    from ...ops.creation import arange

    _, height, width = dimensions(image)
    box = tensor(boxes, dtype=int64)
    rows, columns = arange(height).reshape(1, -1), arange(width).reshape(1, -1)
    down = (rows >= box[:, 0:1]) & (rows < box[:, 0:1] + box[:, 2:3])
    along = (columns >= box[:, 1:2]) & (columns < box[:, 1:2] + box[:, 3:4])
    return (down.unsqueeze(2) & along.unsqueeze(1)).unsqueeze(1)
