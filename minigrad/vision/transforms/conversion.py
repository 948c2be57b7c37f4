"""Between PIL images, arrays and tensors; dtypes; normalization."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...dtypes import dtype as DType
from ...dtypes import float64
from ...tensor import Tensor
from . import functional as F
from ._color import convert_dtype
from ._image import is_pil
from .containers import Transform

__all__ = ["ConvertImageDtype", "Normalize", "PILToTensor", "ToPILImage", "ToTensor"]


class ToTensor:
    """A PIL image or ndarray (H, W, C) with values 0 to 255 as a float tensor (C, H, W), 0 to 1."""

    def __call__(self, pic: Any) -> Tensor:
        return F.to_tensor(pic)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class PILToTensor:
    """A PIL image as a tensor (C, H, W) of the same values."""

    def __call__(self, pic: Any) -> Tensor:
        return F.pil_to_tensor(pic)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ToPILImage:
    """A tensor (C, H, W) or ndarray (H, W, C) as a PIL image."""

    def __init__(self, mode: str | None = None) -> None:
        self.mode = mode

    def __call__(self, pic: Any) -> Any:
        return F.to_pil_image(pic, self.mode)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self.mode is None else f'mode={self.mode}'})"


class ConvertImageDtype(Transform):
    """To another dtype and its range: floats 0 to 1, integers 0 to their largest value."""

    def __init__(self, dtype: DType) -> None:
        super().__init__()
        if not isinstance(dtype, DType):
            raise TypeError("Argument dtype should be of type minigrad.dtype")
        self.dtype = dtype

    def forward(self, image: Tensor) -> Tensor:
        return F.convert_image_dtype(image, self.dtype)


class Normalize(Transform):
    """(x - mean) / std for each channel of float images (..., C, H, W). ``Normalize.fit`` finds the
    two from data."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        super().__init__()
        self.mean = mean
        self.std = std
        self.inplace = inplace

    @classmethod
    def fit(cls, data: Any, inplace: bool = False) -> Normalize:
        """The transform with the mean and the standard deviation of each channel of the data.

        data: a tensor (N, C, H, W) or (C, H, W); or a Dataset, DataLoader or any iterable of such
        tensors, PIL images, or tuples that begin with one (then the others are not looked at).
        uint8 images count from 0 to 1, as ToTensor makes them. Data is read once: the moments of
        the parts are combined as in Chan, Golub and LeVeque, "Updating formulae and a pairwise
        algorithm for computing sample variances", 1979. std is the population's (divided by n).
        """
        count, mean, squares = 0, None, None
        for images in _parts(data):
            n, part_mean, part_squares = _moments(images)
            if mean is None or squares is None:
                count, mean, squares = n, part_mean, part_squares
                continue
            if part_mean.shape != mean.shape:
                raise ValueError(
                    f"Normalize.fit: images have {part_mean.numel()} channels and earlier ones "
                    f"{mean.numel()}"
                )
            total, delta = count + n, part_mean - mean
            squares = squares + part_squares + delta.square() * (count * n / total)
            mean = mean + delta * (n / total)
            count = total
        if mean is None or squares is None:
            raise ValueError("Normalize.fit: there are no images")
        std = (squares / count).sqrt().tolist()
        if not all(std):
            raise ValueError(
                f"Normalize.fit: channel {std.index(0.0)} is constant: its deviation is 0, and "
                "nothing can be divided by that"
            )
        return cls(mean.tolist(), std, inplace)

    def forward(self, tensor: Tensor) -> Tensor:
        return F.normalize(tensor, self.mean, self.std, self.inplace)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(mean={self.mean}, std={self.std})"


_PART = 1 << 22  # values of a part: its float64 copy is 32 MB


def _parts(data: Any) -> Iterable[Tensor]:
    """The images of any data as tensors (..., C, H, W), none of them much larger than a part."""
    whole = getattr(data, "whole_tensors", None)
    found = whole() if whole is not None else None
    if found is not None:
        data = found[0]
    if isinstance(data, Tensor):
        if data.ndim < 3:
            raise ValueError(
                f"Normalize.fit: expected images (..., C, H, W), got shape {list(data.shape)}"
            )
        if data.ndim == 3 or data.numel() <= _PART:
            return [data]
        step = max(1, _PART // max(1, data[:1].numel()))
        return (data[begin : begin + step] for begin in range(0, len(data), step))
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return (_image_of(data[index]) for index in range(len(data)))
    return (_image_of(item) for item in data)


def _image_of(item: Any) -> Tensor:
    image = item[0] if isinstance(item, (tuple, list)) else item
    if is_pil(image):
        return F.to_tensor(image)
    if not isinstance(image, Tensor) or image.ndim < 3:
        shape = list(image.shape) if isinstance(image, Tensor) else ""
        raise TypeError(
            "Normalize.fit: expected tensors (..., C, H, W) or PIL images, got "
            f"{type(image).__name__} {shape}"
        )
    return image


def _moments(images: Tensor) -> tuple[int, Tensor, Tensor]:
    """Pixels of a channel, and for each channel their mean and the sum of squared deviations."""
    if images.numel() == 0:
        raise ValueError(f"Normalize.fit: no pixels in images of shape {list(images.shape)}")
    values = convert_dtype(images.detach(), float64)
    dims = [d for d in range(values.ndim) if d != values.ndim - 3]
    mean = values.mean(dims, keepdim=True)
    squares = (values - mean).square().sum(dims)
    return values.numel() // values.shape[-3], mean.reshape(-1), squares
