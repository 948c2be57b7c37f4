"""Random colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...ops.random import randperm
from ...tensor import Tensor
from . import _color
from . import functional as F
from ._image import batch_size, chance, chances, dimensions, uniform, uniforms
from .containers import Transform, selected

__all__ = ["ColorJitter", "Grayscale", "RandomGrayscale", "RandomInvert"]

Range = tuple[float, float]


def _range(value: Any, name: str, centre: float, bounds: Range) -> Range | None:
    """The range of a factor: (low, high), or a number for centre ± it; None where it changes
    nothing."""
    if isinstance(value, (int, float)):
        if value < 0:
            raise ValueError(f"If {name} is a single number, it must be non negative.")
        low, high = centre - value, centre + value
        if centre == 1:
            low = max(low, 0.0)
    elif isinstance(value, (tuple, list)) and len(value) == 2:
        low, high = float(value[0]), float(value[1])
    else:
        raise TypeError(f"{name} should be a single number or a list/tuple with length 2.")
    if not bounds[0] <= low <= high <= bounds[1]:
        raise ValueError(f"{name} values should be between {bounds}, but got {[low, high]}.")
    return None if low == high == centre else (low, high)


# The steps of a jitter, with factors of each image and with one for all.
PER_IMAGE: tuple[Any, ...] = (_color.brightness, _color.contrast, _color.saturation, _color.hue)
FOR_ALL: tuple[Any, ...] = (
    F.adjust_brightness,
    F.adjust_contrast,
    F.adjust_saturation,
    F.adjust_hue,
)


class ColorJitter(Transform):
    """Brightness, contrast, saturation and hue by random factors, in random order.

    brightness, contrast, saturation: a number x for factors from max(0, 1 - x) to 1 + x, or a
    range. hue: a number up to 0.5 for turns from -hue to hue, or a range. With ``per_sample`` the
    factors are each image's own, the order is that of the batch.
    """

    def __init__(
        self,
        brightness: Any = 0,
        contrast: Any = 0,
        saturation: Any = 0,
        hue: Any = 0,
        *,
        per_sample: bool = False,
    ) -> None:
        super().__init__()
        positive = (0.0, float("inf"))
        self.brightness = _range(brightness, "brightness", 1, positive)
        self.contrast = _range(contrast, "contrast", 1, positive)
        self.saturation = _range(saturation, "saturation", 1, positive)
        self.hue = _range(hue, "hue", 0, (-0.5, 0.5))
        self.per_sample = per_sample

    @staticmethod
    def get_params(
        brightness: Sequence[float] | None,
        contrast: Sequence[float] | None,
        saturation: Sequence[float] | None,
        hue: Sequence[float] | None,
    ) -> tuple[Tensor, float | None, float | None, float | None, float | None]:
        """The order of the four (a permutation), and their factors (None: leave out)."""
        order = randperm(4)
        b, c, s, h = (
            None if each is None else uniform(each[0], each[1])
            for each in (brightness, contrast, saturation, hue)
        )
        return order, b, c, s, h

    def forward(self, img: Any) -> Any:
        ranges = (self.brightness, self.contrast, self.saturation, self.hue)
        if self.draws_each(img):
            steps = PER_IMAGE
            count = batch_size(img)
            factors: Sequence[Any] = [
                None if each is None else uniforms(count, each[0], each[1]) for each in ranges
            ]
            order = randperm(4)
        else:
            steps = FOR_ALL
            order, *factors = self.get_params(*ranges)
        for index in order.tolist():
            if factors[index] is not None:
                img = steps[index](img, factors[index])
        return img

    def __repr__(self) -> str:
        names = ("brightness", "contrast", "saturation", "hue")
        return self.text(*(f"{name}={getattr(self, name)}" for name in names))


class Grayscale(Transform):
    """In gray: one channel, or the same in three."""

    def __init__(self, num_output_channels: int = 1) -> None:
        super().__init__()
        self.num_output_channels = num_output_channels

    def forward(self, img: Any) -> Any:
        return F.rgb_to_grayscale(img, self.num_output_channels)

    def __repr__(self) -> str:
        return self.text(f"num_output_channels={self.num_output_channels}")


class RandomGrayscale(Transform):
    """In gray with probability p; the number of channels stays."""

    def __init__(self, p: float = 0.1, *, per_sample: bool = False) -> None:
        super().__init__()
        self.p = p
        self.per_sample = per_sample

    def forward(self, img: Any) -> Any:
        channels = dimensions(img)[0]
        if self.draws_each(img):
            drawn = chances(batch_size(img), self.p)
            return selected(drawn, F.rgb_to_grayscale(img, channels), img)
        return F.rgb_to_grayscale(img, channels) if chance(self.p) else img

    def __repr__(self) -> str:
        return self.text(f"p={self.p}")


class RandomInvert(Transform):
    """The negative with probability p."""

    def __init__(self, p: float = 0.5, *, per_sample: bool = False) -> None:
        super().__init__()
        self.p = p
        self.per_sample = per_sample

    def forward(self, img: Any) -> Any:
        if self.draws_each(img):
            return selected(chances(batch_size(img), self.p), F.invert(img), img)
        return F.invert(img) if chance(self.p) else img

    def __repr__(self) -> str:
        return self.text(f"p={self.p}")
