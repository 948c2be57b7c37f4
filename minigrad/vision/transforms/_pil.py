"""The same on PIL images, by Pillow's own functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy

from ._image import BY_NUMBER, pillow

NUMBERS = {mode.value: number for number, mode in BY_NUMBER.items()} | {"nearest-exact": 0}


def fill_colour(image: Any, fill: Any) -> Any:
    """A fill as Pillow takes it: a number, or a tuple with one for each band."""
    bands = len(image.getbands())
    if fill is None:
        fill = 0
    if not isinstance(fill, (int, float, str, Sequence)):
        raise TypeError(f"Got inappropriate fill arg: {fill!r}")
    if image.mode not in ("F", "I") and not isinstance(fill, str):
        fill = int(fill) if isinstance(fill, (int, float)) else tuple(int(each) for each in fill)
    if isinstance(fill, (int, float)) and bands > 1:
        return (fill,) * bands
    if isinstance(fill, Sequence) and not isinstance(fill, str):
        if len(fill) == 1:
            fill = tuple(fill) * bands
        if len(fill) != bands:
            raise ValueError(
                "The number of elements in 'fill' does not match the number of channels of the "
                f"image ({len(fill)} != {bands})"
            )
        return tuple(fill) if bands > 1 else fill[0]
    return fill


def crop(image: Any, top: int, left: int, height: int, width: int) -> Any:
    return image.crop((left, top, left + width, top + height))


def pad(image: Any, padding: Sequence[int], fill: Any, mode: str) -> Any:
    """padding: left, top, right, bottom."""
    pil = pillow()
    palette = image.getpalette() if image.mode == "P" else None
    if mode == "constant":
        left, top, right, bottom = padding
        size = (image.width + left + right, image.height + top + bottom)
        result = pil.Image.new(image.mode, size, fill_colour(image, fill))
        result.paste(image, (left, top))
    else:
        cut = [max(-each, 0) for each in padding]
        box = (cut[0], cut[1], image.width - cut[2], image.height - cut[3])
        values = numpy.asarray(image.crop(box))
        left, top, right, bottom = (max(each, 0) for each in padding)
        widths = [(top, bottom), (left, right), (0, 0)][: values.ndim]
        padded = numpy.pad(values, widths, mode)  # type: ignore[call-overload]
        result = pil.Image.fromarray(padded)
    if palette is not None:
        result.putpalette(palette)
    return result


def flip(image: Any, flips: int) -> Any:
    transpose = pillow().Image.Transpose
    kinds = (transpose.FLIP_LEFT_RIGHT, transpose.FLIP_TOP_BOTTOM)
    return image.transpose(kinds[flips - 1])


def resize(image: Any, size: Sequence[int], mode: str) -> Any:
    return image.resize((size[1], size[0]), NUMBERS[mode])


def affine(image: Any, matrix: Sequence[float], mode: str, fill: Any) -> Any:
    colour = fill_colour(image, fill)
    kind = pillow().Image.Transform.AFFINE
    return image.transform(image.size, kind, matrix, NUMBERS[mode], fillcolor=colour)


def rotate(image: Any, angle: float, mode: str, expand: bool, center: Any, fill: Any) -> Any:
    colour = fill_colour(image, fill)
    return image.rotate(angle, NUMBERS[mode], expand, center, fillcolor=colour)


def grayscale(image: Any, channels: int) -> Any:
    gray = image.convert("L")
    return gray if channels == 1 else pillow().Image.merge("RGB", [gray] * 3)


def brightness(image: Any, factor: float) -> Any:
    return pillow().ImageEnhance.Brightness(image).enhance(factor)


def contrast(image: Any, factor: float) -> Any:
    return pillow().ImageEnhance.Contrast(image).enhance(factor)


def saturation(image: Any, factor: float) -> Any:
    return pillow().ImageEnhance.Color(image).enhance(factor)


def hue(image: Any, factor: float) -> Any:
    """Pillow's hues are bytes: adding wraps around."""
    mode = image.mode
    if mode in ("L", "1", "I", "F"):
        return image
    hue, saturation, value = image.convert("HSV").split()
    turned = hue.point([(level + int(factor * 255)) % 256 for level in range(256)])
    return pillow().Image.merge("HSV", (turned, saturation, value)).convert(mode)


def gamma(image: Any, gamma: float, gain: float) -> Any:
    levels = [(255 + 1 - 1e-3) * gain * (level / 255) ** gamma for level in range(256)]
    table = [min(max(round(level), 0), 255) for level in levels] * 3
    return image.convert("RGB").point(table).convert(image.mode)


def invert(image: Any) -> Any:
    return pillow().ImageOps.invert(image)
