"""Colours of tensor images. A factor is a number, or a tensor (N) with one for each image."""

from __future__ import annotations

from typing import Any

from ...dtypes import dtype as DType
from ...dtypes import float32, float64, int32, int64
from ...ops.creation import tensor
from ...ops.image import Hue
from ...tensor import Tensor
from ._image import as_batch, check_channels, like, max_value


def convert_dtype(image: Tensor, kind: DType) -> Tensor:
    """Between dtypes with their ranges: floats 0 to 1, integers 0 to their largest value."""
    if image.dtype is kind:
        return image
    if image.is_floating_point():
        if kind.is_floating_point:
            return image.to(kind)
        if kind is int64 or (kind is int32 and image.dtype is float32):
            raise RuntimeError(f"The cast from {image.dtype} to {kind} cannot be performed safely.")
        return (image * (max_value(kind) + 1.0 - 1e-3)).to(kind)
    if kind.is_floating_point:
        return image.to(kind) / float(max_value(image.dtype))
    source, target = max_value(image.dtype) + 1, max_value(kind) + 1
    if source > target:
        return (image // (source // target)).to(kind)
    return image.to(kind) * (target // source)


def _factor(factor: Any, image: Tensor) -> Any:
    """A tensor of factors in the images' shape: (N, 1, 1, 1) for a batch."""
    if not isinstance(factor, Tensor):
        return float(factor)
    factor = factor.to(image.dtype if image.is_floating_point() else float32)
    return factor.reshape(*image.shape[:-3], 1, 1, 1)


def _blend(image: Tensor, other: Tensor | None, factor: Any) -> Tensor:
    """factor * image + (1 - factor) * other, within the range; integers lose their fraction."""
    factor = _factor(factor, image)
    mixed = image * factor
    if other is not None:
        mixed = mixed + other * (1.0 - factor)
    return mixed.clamp(0, max_value(image.dtype)).to(image.dtype)


def grayscale(image: Tensor, channels: int = 1) -> Tensor:
    """0.2989 R + 0.587 G + 0.114 B (ITU-R 601-2)."""
    if image.ndim < 3:
        raise TypeError(
            f"Input image tensor should have at least 3 dimensions, but found {image.ndim}"
        )
    if check_channels(image, [1, 3]) == 3:
        red, green, blue = (image.narrow(-3, c, 1) for c in range(3))
        luma = (red * 0.2989 + green * 0.587 + blue * 0.114).to(image.dtype)
    else:
        luma = image.clone()
    if channels == 3:
        return luma.expand(*image.shape[:-3], 3, *image.shape[-2:])
    return luma


def brightness(image: Tensor, factor: Any) -> Tensor:
    """Mixes with black."""
    check_channels(image, [1, 3])
    return _blend(image, None, factor)


def contrast(image: Tensor, factor: Any) -> Tensor:
    """Mixes with the mean of the gray image."""
    gray = grayscale(image) if check_channels(image, [1, 3]) == 3 else image
    kind = image.dtype if image.is_floating_point() else float32
    dims = [-3, -2, -1][-min(image.ndim, 3) :]
    return _blend(image, gray.to(kind).mean(dims, keepdim=True), factor)


def saturation(image: Tensor, factor: Any) -> Tensor:
    """Mixes with the gray image."""
    if check_channels(image, [1, 3]) == 1:
        return image
    return _blend(image, grayscale(image), factor)


def hue(image: Tensor, factor: Any) -> Tensor:
    """Turns the hue by a part of the circle."""
    if check_channels(image, [1, 3]) == 1:
        return image
    if not isinstance(factor, Tensor):
        factor = tensor([factor], dtype=float64)
    kind = image.dtype
    batch = as_batch(image)
    computed = (
        batch if kind.name in ("uint8", "float32", "float64") else convert_dtype(batch, float64)
    )
    result = like(Hue(factor.to(float64)).apply(computed), image)
    return convert_dtype(result, kind)


def gamma(image: Tensor, gamma: float, gain: float) -> Tensor:
    """gain * value^gamma, values from 0 to 1."""
    check_channels(image, [1, 3])
    result = image if image.is_floating_point() else convert_dtype(image, float32)
    return convert_dtype((gain * result**gamma).clamp(0, 1), image.dtype)


def invert(image: Tensor) -> Tensor:
    """The largest value minus each."""
    check_channels(image, [1, 3])
    return max_value(image.dtype) - image
