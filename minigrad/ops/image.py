"""Images (N, C, H, W): windows, affine sampling, resampling, hue; a batch in one launch.

Parameters are tensors whose first dimension is 1 (the same for the batch) or N. They lie in memory,
so a replayed plan sees new draws. These operations prepare data: they have no derivative.
"""

from __future__ import annotations

from typing import Any, NoReturn

from ..autograd.engine import Operation
from ..kernels import NULL, Array, lib, own
from ..tensor import Tensor

PADDING_MODES = ("constant", "edge", "reflect", "symmetric")  # in the order of image.c


class ImageOperation(Operation):
    """Calls a C entry with the images and its other arguments."""

    __slots__ = ("arguments",)

    entry: Any

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def forward(self, images: Array) -> Array:
        given = (each._array if isinstance(each, Tensor) else each for each in self.arguments)
        return own(type(self).entry(images, *(NULL if each is None else each for each in given)))

    def grad_images(self, grad: Tensor) -> NoReturn:
        raise NotImplementedError(
            f"the derivative of the image operation {type(self).__name__} is not implemented: "
            "transform images before they require grad (image.detach())"
        )


class Window(ImageOperation):
    """out[y, x] = padded[top + y, left + x], then flipped where ``flips`` says so: 1 horizontally,
    2 vertically. Windows int64 (1 or N, 3): top, left, flips. Arguments: windows, height, width,
    index of the padding mode, fill (C) of the images' dtype or None."""

    __slots__ = ()
    entry = staticmethod(lib.mg_image_window)


class Affine(ImageOperation):
    """out[p] = image[M p], places counted from the centres; outside the fill. Arguments: matrices
    float64 (1 or N, 6), height, width, whether bilinear, fill float64 (C) or None."""

    __slots__ = ()
    entry = staticmethod(lib.mg_image_affine)


class Resample(ImageOperation):
    """out = W_y image W_xᵀ with sparse rows. Arguments: spans and weights of the rows, spans and
    weights of the columns: int64 (1 or N, size, 2) and floats (1 or N, size, taps)."""

    __slots__ = ()
    entry = staticmethod(lib.mg_image_resample)


class Hue(ImageOperation):
    """The hue of images (N, 3, H, W) turned by a part of the circle, float64 (1 or N)."""

    __slots__ = ()
    entry = staticmethod(lib.mg_image_hue)
