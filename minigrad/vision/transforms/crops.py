"""Crops, paddings, flips and sizes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy

from ...ops.creation import tensor
from ...ops.random import rand, randint
from ...tensor import Tensor
from . import _tensor
from . import functional as F
from ._image import (
    InterpolationMode,
    batch_size,
    chance,
    chances,
    dimensions,
    integer,
    interpolation_mode,
    size_pair,
    uniform,
)
from .containers import Transform

__all__ = [
    "CenterCrop",
    "FiveCrop",
    "Pad",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomVerticalFlip",
    "Resize",
    "Scale",
    "TenCrop",
]


class Resize(Transform):
    """To (height, width), or with one number the shorter edge to it (at most ``max_size`` long)."""

    def __init__(
        self,
        size: Any,
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        if not isinstance(size, (int, Sequence, type(None))) or isinstance(size, str):
            raise TypeError(f"Size should be int or sequence. Got {type(size)}")
        if isinstance(size, Sequence) and len(size) not in (1, 2):
            raise ValueError("If size is a sequence, it should have 1 or 2 values")
        self.size = size
        self.max_size = max_size
        self.interpolation = interpolation_mode(interpolation)
        self.antialias = antialias

    def forward(self, img: Any) -> Any:
        return F.resize(img, self.size, self.interpolation, self.max_size, self.antialias)

    def __repr__(self) -> str:
        return self.text(
            f"size={self.size}",
            f"interpolation={self.interpolation.value}",
            f"max_size={self.max_size}",
            f"antialias={self.antialias}",
        )


class Scale(Resize):
    """The name that ``Resize`` had in the first versions of torchvision."""


class CenterCrop(Transform):
    """The middle, padded with 0 where the image is smaller."""

    def __init__(self, size: Any) -> None:
        super().__init__()
        self.size = size_pair(size)

    def forward(self, img: Any) -> Any:
        return F.center_crop(img, self.size)

    def __repr__(self) -> str:
        return self.text(f"size={self.size}")


class Pad(Transform):
    """Padding on all sides, see ``functional.pad``."""

    def __init__(self, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> None:
        super().__init__()
        if not isinstance(padding, (int, tuple, list)):
            raise TypeError("Got inappropriate padding arg")
        if not isinstance(fill, (int, float, str, tuple, list)):
            raise TypeError("Got inappropriate fill arg")
        if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
            raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
        F.padding_sides(padding)
        self.padding = padding
        self.fill = fill
        self.padding_mode = padding_mode

    def forward(self, img: Any) -> Any:
        return F.pad(img, self.padding, self.fill, self.padding_mode)

    def __repr__(self) -> str:
        return self.text(
            f"padding={self.padding}", f"fill={self.fill}", f"padding_mode={self.padding_mode}"
        )


class RandomCrop(Transform):
    """A window of a size at a random place, of the image with ``padding`` around it.
    ``pad_if_needed`` pads an image that is too small. For tensors padding and crop are one launch.
    """

    def __init__(
        self,
        size: Any,
        padding: Any = None,
        pad_if_needed: bool = False,
        fill: Any = 0,
        padding_mode: str = "constant",
        *,
        per_sample: bool = False,
    ) -> None:
        super().__init__()
        self.size = tuple(size_pair(size))
        self.padding = padding
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self.padding_mode = padding_mode
        self.per_sample = per_sample
        Pad(0 if padding is None else padding, fill, padding_mode)  # checks them

    @staticmethod
    def get_params(img: Any, output_size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Top, left, height and width of a random window."""
        _, height, width = dimensions(img)
        return _window_in(height, width, output_size)

    def _sides(self, height: int, width: int) -> list[tuple[int, int, int, int]]:
        """The paddings that are needed, to be done one after the other."""
        steps = [] if self.padding is None else [F.padding_sides(self.padding)]
        for left, top, right, bottom in steps:
            height, width = height + top + bottom, width + left + right
        if self.pad_if_needed and width < self.size[1]:
            steps.append((self.size[1] - width, 0, self.size[1] - width, 0))
        if self.pad_if_needed and height < self.size[0]:
            steps.append((0, self.size[0] - height, 0, self.size[0] - height))
        return [sides for sides in steps if any(sides)]

    def forward(self, img: Any) -> Any:
        _, height, width = dimensions(img)
        steps = self._sides(height, width)
        if not isinstance(img, Tensor):
            for sides in steps:
                img = F.pad(img, sides, self.fill, self.padding_mode)
            return F.crop(img, *self.get_params(img, self.size))
        # A window of the padded image is a window of the image that reaches beyond it; but a
        # reflection of a reflection or of a part is another than that of the image.
        if self.padding_mode in ("reflect", "symmetric") or any(min(each) < 0 for each in steps):
            while len(steps) > 1 or (steps and min(steps[0]) < 0):
                img = F.pad(img, steps.pop(0), self.fill, self.padding_mode)
        left, top, right, bottom = (sum(each[d] for each in steps) for d in range(4))
        _, height, width = dimensions(img)
        room = height + top + bottom, width + left + right
        if self.draws_each(img):
            _check_room(*room, self.size)
            count = batch_size(img)
            down, across = (
                randint(0, have - want + 1, (count,))
                for have, want in zip(room, self.size, strict=True)
            )
            windows = _tensor.windows(down - top, across - left)
        else:
            y, x, _, _ = _window_in(*room, self.size)
            if not steps:
                return F.crop(img, y, x, *self.size)
            windows = tensor([[y - top, x - left, 0]])
        height, width = self.size
        return _tensor.window(img, windows, height, width, self.padding_mode, self.fill)

    def __repr__(self) -> str:
        return self.text(f"size={self.size}", f"padding={self.padding}")


def _check_room(height: int, width: int, size: tuple[int, int]) -> None:
    if height < size[0] or width < size[1]:
        raise ValueError(
            f"Required crop size {size} is larger than input image size {(height, width)}"
        )


def _window_in(height: int, width: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    _check_room(height, width, size)
    if (height, width) == size:
        return 0, 0, height, width
    top, left = integer(0, height - size[0] + 1), integer(0, width - size[1] + 1)
    return top, left, *size


class _RandomFlip(Transform):
    flips: int

    def __init__(self, p: float = 0.5, *, per_sample: bool = False) -> None:
        super().__init__()
        self.p = p
        self.per_sample = per_sample

    def forward(self, img: Any) -> Any:
        if self.draws_each(img):
            return _tensor.flip(img, chances(batch_size(img), self.p) * self.flips)
        if chance(self.p):
            return F.hflip(img) if self.flips == 1 else F.vflip(img)
        return img

    def __repr__(self) -> str:
        return self.text(f"p={self.p}")


class RandomHorizontalFlip(_RandomFlip):
    """Left and right exchanged with probability p."""

    flips = 1


class RandomVerticalFlip(_RandomFlip):
    """Top and bottom exchanged with probability p."""

    flips = 2


class RandomResizedCrop(Transform):
    """A random part of the image (Szegedy et al. 2014), resized: its area a part ``scale`` of the
    image's, its width to height ``ratio`` (drawn by its logarithm). Ten tries, then the middle."""

    def __init__(
        self,
        size: Any,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0),
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
        *,
        per_sample: bool = False,
    ) -> None:
        super().__init__()
        self.size = size_pair(size)
        for name, value in (("Scale", scale), ("Ratio", ratio)):
            if not isinstance(value, Sequence):
                raise TypeError(f"{name} should be a sequence")
        if scale[0] > scale[1] or ratio[0] > ratio[1]:
            warnings.warn("Scale and ratio should be of kind (min, max)", stacklevel=2)
        self.scale = scale
        self.ratio = ratio
        self.interpolation = interpolation_mode(interpolation)
        self.antialias = antialias
        self.per_sample = per_sample

    @staticmethod
    def get_params(
        img: Any, scale: Sequence[float], ratio: Sequence[float]
    ) -> tuple[int, int, int, int]:
        """Top, left, height and width of a random part."""
        _, height, width = dimensions(img)
        low, high = math.log(ratio[0]), math.log(ratio[1])
        for _ in range(10):
            area = height * width * uniform(scale[0], scale[1])
            aspect = math.exp(uniform(low, high))
            w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                return integer(0, height - h + 1), integer(0, width - w + 1), h, w
        return _middle(height, width, ratio)

    def _boxes(self, count: int, height: int, width: int) -> numpy.ndarray:
        """``get_params`` for each image: ten tries are drawn, the first that fits counts."""
        draws = rand(2, count, 10).numpy()
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        area = height * width * (self.scale[0] + (self.scale[1] - self.scale[0]) * draws[0])
        aspect = numpy.exp(low + (high - low) * draws[1])
        w, h = numpy.rint(numpy.sqrt(area * aspect)), numpy.rint(numpy.sqrt(area / aspect))
        fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
        first = numpy.arange(count), fits.argmax(1)
        box_height, box_width = h[first].astype(numpy.int64), w[first].astype(numpy.int64)
        place = rand(2, count).numpy()
        top = numpy.minimum(place[0] * (height - box_height + 1), height - box_height)
        left = numpy.minimum(place[1] * (width - box_width + 1), width - box_width)
        boxes = numpy.stack([top, left, box_height, box_width], 1).astype(numpy.int64)
        boxes[~fits.any(1)] = _middle(height, width, self.ratio)
        return boxes

    def forward(self, img: Any) -> Any:
        if self.draws_each(img):
            boxes = self._boxes(batch_size(img), *dimensions(img)[1:])
            mode = self.interpolation.value
            return _tensor.resized_crops(img, boxes, self.size, mode, bool(self.antialias))
        box = self.get_params(img, self.scale, self.ratio)
        return F.resized_crop(img, *box, self.size, self.interpolation, self.antialias)

    def __repr__(self) -> str:
        return self.text(
            f"size={self.size}",
            f"scale={tuple(round(each, 4) for each in self.scale)}",
            f"ratio={tuple(round(each, 4) for each in self.ratio)}",
            f"interpolation={self.interpolation.value}",
            f"antialias={self.antialias}",
        )


def _middle(height: int, width: int, ratio: Sequence[float]) -> tuple[int, int, int, int]:
    """The largest part in the middle whose ratio is allowed."""
    w, h = width, height
    if width / height < min(ratio):
        h = round(width / min(ratio))
    elif width / height > max(ratio):
        w = round(height * max(ratio))
    return (height - h) // 2, (width - w) // 2, h, w


class FiveCrop(Transform):
    """A tuple: the four corners and the middle."""

    def __init__(self, size: Any) -> None:
        super().__init__()
        self.size = size_pair(size)

    def forward(self, img: Any) -> tuple[Any, ...]:
        return F.five_crop(img, self.size)

    def __repr__(self) -> str:
        return self.text(f"size={self.size}")


class TenCrop(Transform):
    """A tuple: the five crops of the image, and those of its mirror image."""

    def __init__(self, size: Any, vertical_flip: bool = False) -> None:
        super().__init__()
        self.size = size_pair(size)
        self.vertical_flip = vertical_flip

    def forward(self, img: Any) -> tuple[Any, ...]:
        return F.ten_crop(img, self.size, self.vertical_flip)

    def __repr__(self) -> str:
        return self.text(f"size={self.size}", f"vertical_flip={self.vertical_flip}")
