"""Random rotations and affine maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...dtypes import float64
from ...tensor import Tensor
from . import _tensor
from . import functional as F
from ._image import (
    InterpolationMode,
    batch_size,
    dimensions,
    interpolation_mode,
    uniform,
    uniforms,
)
from .containers import Transform

__all__ = ["RandomAffine", "RandomRotation"]


def check_sequence(value: Any, name: str, sizes: tuple[int, ...]) -> None:
    """TypeError where it is no sequence, ValueError where it has another length."""
    text = " or ".join(str(each) for each in sizes)
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"{name} should be a sequence of length {text}.")
    if len(value) not in sizes:
        raise ValueError(f"{name} should be a sequence of length {text}.")


def angles(value: Any, name: str, sizes: tuple[int, ...] = (2,)) -> list[float]:
    """A range of angles; one number stands for both directions."""
    if isinstance(value, (int, float)):
        if value < 0:
            raise ValueError(f"If {name} is a single number, it must be positive.")
        value = [-value, value]
    check_sequence(value, name, sizes)
    return [float(each) for each in value]


def _check_fill(fill: Any) -> Any:
    if fill is None:
        return 0
    if not isinstance(fill, (int, float, Sequence)):
        raise TypeError("Fill should be either a sequence or a number.")
    return fill


class RandomRotation(Transform):
    """Rotated by an angle (degrees) from a range; see ``functional.rotate``."""

    def __init__(
        self,
        degrees: Any,
        interpolation: InterpolationMode = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: Any = 0,
        *,
        per_sample: bool = False,
    ) -> None:
        super().__init__()
        self.degrees = angles(degrees, "degrees")
        if center is not None:
            check_sequence(center, "center", (2,))
        if per_sample and expand:
            raise ValueError("per_sample and expand: the images of a batch have one size")
        self.center = center
        self.interpolation = interpolation_mode(interpolation)
        self.expand = expand
        self.fill = _check_fill(fill)
        self.per_sample = per_sample

    @staticmethod
    def get_params(degrees: Sequence[float]) -> float:
        """A random angle."""
        return uniform(degrees[0], degrees[1])

    def forward(self, img: Any) -> Any:
        if self.draws_each(img):
            turns = -uniforms(batch_size(img), self.degrees[0], self.degrees[1], float64)
            centre, _ = F.centre_of(img, self.center)
            entries = _tensor.inverse_matrix(centre, turns, [0.0, 0.0], 1.0, [0.0, 0.0])
            matrices = _tensor.matrices_of(entries)
            return _tensor.affine(img, matrices, self.interpolation.value, self.fill)
        angle = self.get_params(self.degrees)
        return F.rotate(img, angle, self.interpolation, self.expand, self.center, self.fill)

    def __repr__(self) -> str:
        parts = [f"interpolation={self.interpolation.value}", f"expand={self.expand}"]
        if self.center is not None:
            parts.append(f"center={self.center}")
        return self.text(f"degrees={self.degrees}", *parts, f"fill={self.fill}")


class RandomAffine(Transform):
    """Rotated, moved, scaled and sheared by random amounts; see ``functional.affine``.

    translate: the most, as a part of width and height. scale: a range. shear: degrees, a number or
    a range along x, or two ranges, along x and along y.
    """

    def __init__(
        self,
        degrees: Any,
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: Any = None,
        interpolation: InterpolationMode = InterpolationMode.NEAREST,
        fill: Any = 0,
        center: Sequence[float] | None = None,
        *,
        per_sample: bool = False,
    ) -> None:
        super().__init__()
        self.degrees = angles(degrees, "degrees")
        if translate is not None:
            check_sequence(translate, "translate", (2,))
            if not all(0.0 <= each <= 1.0 for each in translate):
                raise ValueError("translation values should be between 0 and 1")
        if scale is not None:
            check_sequence(scale, "scale", (2,))
            if any(each <= 0 for each in scale):
                raise ValueError("scale values should be positive")
        if center is not None:
            check_sequence(center, "center", (2,))
        self.translate = translate
        self.scale = scale
        self.shear = None if shear is None else angles(shear, "shear", (2, 4))
        self.interpolation = interpolation_mode(interpolation)
        self.fill = _check_fill(fill)
        self.center = center
        self.per_sample = per_sample

    @staticmethod
    def get_params(
        degrees: Sequence[float],
        translate: Sequence[float] | None,
        scale_ranges: Sequence[float] | None,
        shears: Sequence[float] | None,
        img_size: Sequence[int],
    ) -> tuple[float, tuple[int, int], float, tuple[float, float]]:
        """A random angle, translation (pixels), scale and shear. img_size: width, height."""
        angle = uniform(degrees[0], degrees[1])
        moves = [0, 0]
        if translate is not None:
            for d in range(2):
                most = float(translate[d] * img_size[d])
                moves[d] = round(uniform(-most, most))
        scale = 1.0 if scale_ranges is None else uniform(scale_ranges[0], scale_ranges[1])
        shear_x = shear_y = 0.0
        if shears is not None:
            shear_x = uniform(shears[0], shears[1])
            if len(shears) == 4:
                shear_y = uniform(shears[2], shears[3])
        return angle, (moves[0], moves[1]), scale, (shear_x, shear_y)

    def _matrices(self, img: Tensor) -> Tensor:
        """``get_params`` for each image, as matrices (N, 6)."""
        count, size = batch_size(img), dimensions(img)[:0:-1]

        def draw(low: float, high: float) -> Tensor:
            return uniforms(count, low, high, float64)

        angle = draw(self.degrees[0], self.degrees[1])
        moves: list[Any] = [0.0, 0.0]
        if self.translate is not None:
            reach = [part * length for part, length in zip(self.translate, size, strict=True)]
            moves = [draw(-most, most).round() for most in reach]
        scale: Any = 1.0 if self.scale is None else draw(self.scale[0], self.scale[1])
        shears: list[Any] = [0.0, 0.0]
        for d in range(len(self.shear or ()) // 2):
            shears[d] = draw(*self.shear[2 * d : 2 * d + 2])  # type: ignore[index]
        centre, _ = F.centre_of(img, self.center)
        return _tensor.matrices_of(_tensor.inverse_matrix(centre, angle, moves, scale, shears))

    def forward(self, img: Any) -> Any:
        if self.draws_each(img):
            matrices = self._matrices(img)
            return _tensor.affine(img, matrices, self.interpolation.value, self.fill)
        _, height, width = dimensions(img)
        drawn = self.get_params(
            self.degrees, self.translate, self.scale, self.shear, (width, height)
        )
        return F.affine(
            img, *drawn, interpolation=self.interpolation, fill=self.fill, center=self.center
        )

    def __repr__(self) -> str:
        parts = [f"degrees={self.degrees}"]
        for name in ("translate", "scale", "shear"):
            if getattr(self, name) is not None:
                parts.append(f"{name}={getattr(self, name)}")
        if self.interpolation is not InterpolationMode.NEAREST:
            parts.append(f"interpolation={self.interpolation.value}")
        if self.fill != 0:
            parts.append(f"fill={self.fill}")
        if self.center is not None:
            parts.append(f"center={self.center}")
        return self.text(*parts)
