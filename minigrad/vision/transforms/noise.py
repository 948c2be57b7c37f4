"""Noise, blur and erased rectangles."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy

from ...ops.creation import tensor
from ...ops.elementwise import where
from ...ops.random import rand, randn
from ...tensor import Tensor
from . import _tensor
from . import functional as F
from ._image import (
    as_batch,
    batch_size,
    chance,
    chances,
    dimensions,
    integer,
    like,
    size_pair,
    uniform,
)
from .containers import Transform

__all__ = ["GaussianBlur", "GaussianNoise", "RandomErasing"]


class GaussianNoise(Transform):
    """Numbers of the normal distribution added to float images, clipped to 0 to 1. Every pixel has
    a draw of its own."""

    def __init__(self, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> None:
        super().__init__()
        self.mean = mean
        self.sigma = sigma
        self.clip = clip

    def forward(self, img: Tensor) -> Tensor:
        return F.gaussian_noise(img, self.mean, self.sigma, self.clip)

    def __repr__(self) -> str:
        return self.text(f"mean={self.mean}", f"sigma={self.sigma}", f"clip={self.clip}")


class GaussianBlur(Transform):
    """A Gaussian blur of a random sigma from a range."""

    def __init__(
        self, kernel_size: Any, sigma: Any = (0.1, 2.0), *, per_sample: bool = False
    ) -> None:
        super().__init__()
        self.kernel_size = size_pair(
            kernel_size, "Kernel size should be a tuple/list of two integers"
        )
        if any(each <= 0 or each % 2 == 0 for each in self.kernel_size):
            raise ValueError("Kernel size value should be an odd and positive number.")
        if isinstance(sigma, (int, float)):
            if sigma <= 0:
                raise ValueError("If sigma is a single number, it must be positive.")
            sigma = (sigma, sigma)
        elif not isinstance(sigma, Sequence) or len(sigma) != 2:
            raise ValueError("sigma should be a single number or a list/tuple with length 2.")
        elif not 0.0 < sigma[0] <= sigma[1]:
            raise ValueError("sigma values should be positive and of the form (min, max).")
        self.sigma = sigma
        self.per_sample = per_sample

    @staticmethod
    def get_params(sigma_min: float, sigma_max: float) -> float:
        """A random sigma."""
        return uniform(sigma_min, sigma_max)

    def forward(self, img: Any) -> Any:
        low, high = self.sigma
        if self.draws_each(img):
            sigmas = low + (high - low) * rand(batch_size(img), 1).numpy().astype(numpy.float64)
            return _tensor.gaussian_blur(img, self.kernel_size, sigmas.repeat(2, 1))
        sigma = self.get_params(low, high)
        return F.gaussian_blur(img, self.kernel_size, [sigma, sigma])

    def __repr__(self) -> str:
        return self.text(f"kernel_size={self.kernel_size}", f"sigma={self.sigma}")


class RandomErasing(Transform):
    """A random rectangle of a tensor is erased with probability p (Zhong et al. 2017,
    https://arxiv.org/abs/1708.04896): its area a part ``scale`` of the image's, its height to
    width ``ratio`` (drawn by its logarithm). value: a number, one for each channel, or "random" for
    normal noise."""

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: Any = 0,
        inplace: bool = False,
        *,
        per_sample: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(value, (int, float, str, tuple, list)):
            raise TypeError("Argument value should be either a number or str or a sequence")
        if isinstance(value, str) and value != "random":
            raise ValueError("If value is str, it should be 'random'")
        for name, pair in (("Scale", scale), ("Ratio", ratio)):
            if not isinstance(pair, Sequence):
                raise TypeError(f"{name} should be a sequence")
        if scale[0] > scale[1] or ratio[0] > ratio[1]:
            warnings.warn("Scale and ratio should be of kind (min, max)", stacklevel=2)
        if scale[0] < 0 or scale[1] > 1:
            raise ValueError("Scale should be between 0 and 1")
        if p < 0 or p > 1:
            raise ValueError("Random erasing probability should be between 0 and 1")
        self.p = p
        self.scale = scale
        self.ratio = ratio
        self.value = value
        self.inplace = inplace
        self.per_sample = per_sample

    @staticmethod
    def get_params(
        img: Tensor,
        scale: Sequence[float],
        ratio: Sequence[float],
        value: Sequence[float] | None = None,
    ) -> tuple[int, int, int, int, Tensor]:
        """Top, left, height and width of a random rectangle, and its values (C, h, w) or (C, 1, 1).
        Where ten tries find none: the whole image with its own values."""
        channels, height, width = dimensions(img)
        low, high = math.log(ratio[0]), math.log(ratio[1])
        for _ in range(10):
            area = height * width * uniform(scale[0], scale[1])
            aspect = math.exp(uniform(low, high))
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if not (h < height and w < width):
                continue
            kind = img.dtype
            if value is None:
                values = randn(channels, h, w).to(kind)
            else:
                values = tensor(value, dtype=kind).reshape(-1, 1, 1)
            return integer(0, height - h + 1), integer(0, width - w + 1), h, w, values
        return 0, 0, height, width, img

    def _values(self, channels: int) -> list[float] | None:
        """The value of each channel (or one for all); None for noise."""
        if isinstance(self.value, str):
            return None
        if isinstance(self.value, (int, float)):
            return [float(self.value)]
        if len(self.value) not in (1, channels):
            raise ValueError(
                "If value is a sequence, it should have either a single value or "
                f"{channels} (number of input channels)"
            )
        return list(self.value)

    def _boxes(self, count: int, height: int, width: int) -> numpy.ndarray:
        """Rectangles for each image, of no height where no try fits."""
        draws = rand(2, count, 10).numpy()
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        area = height * width * (self.scale[0] + (self.scale[1] - self.scale[0]) * draws[0])
        aspect = numpy.exp(low + (high - low) * draws[1])
        h, w = numpy.rint(numpy.sqrt(area * aspect)), numpy.rint(numpy.sqrt(area / aspect))
        fits = (h < height) & (w < width)
        first = numpy.arange(count), fits.argmax(1)
        h, w = h[first] * fits.any(1), w[first]
        place = rand(2, count).numpy()
        top, left = (place[0] * (height - h + 1)).clip(0, height - h), place[1] * (width - w + 1)
        return numpy.stack([top, left.clip(0, width - w), h, w], 1).astype(numpy.int64)

    def _each(self, img: Tensor) -> Tensor:
        channels, height, width = dimensions(img)
        values = self._values(channels)
        batch = as_batch(img)
        count = batch.shape[0]
        drawn = chances(count, self.p).reshape(-1, 1, 1, 1) != 0
        mask = _tensor.inside_boxes(img, self._boxes(count, height, width)) & drawn
        if values is None:
            erased = randn(*batch.shape).to(img.dtype)
        else:
            erased = tensor(values, dtype=img.dtype).reshape(1, -1, 1, 1)
        result = like(where(mask, erased, batch), img)
        return img.copy_(result) if self.inplace else result

    def forward(self, img: Tensor) -> Tensor:
        if not isinstance(img, Tensor):
            raise TypeError(f"img should be Tensor Image. Got {type(img)}; put ToTensor() before")
        if self.draws_each(img):
            return self._each(img)
        if not chance(self.p):
            return img
        values = self._values(dimensions(img)[0])
        top, left, height, width, value = self.get_params(img, self.scale, self.ratio, values)
        return F.erase(img, top, left, height, width, value, self.inplace)

    def __repr__(self) -> str:
        names = ("p", "scale", "ratio", "value", "inplace")
        return self.text(*(f"{name}={getattr(self, name)}" for name in names))
