"""What all transforms share: kinds of images, their sizes, arguments, and random numbers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from typing import Any

from ...dtypes import dtype as DType
from ...dtypes import float32, int64
from ...ops.creation import tensor
from ...ops.random import rand, randint
from ...tensor import Tensor


class InterpolationMode(Enum):
    """How pixels between pixels are found. Box, hamming and lanczos are Pillow's only."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


# Pillow's numbers of them, which older programs give for an interpolation.
BY_NUMBER = {
    0: InterpolationMode.NEAREST,
    1: InterpolationMode.LANCZOS,
    2: InterpolationMode.BILINEAR,
    3: InterpolationMode.BICUBIC,
    4: InterpolationMode.BOX,
    5: InterpolationMode.HAMMING,
}


def interpolation_mode(value: Any) -> InterpolationMode:
    """The mode itself or by Pillow's number; TypeError for anything else."""
    if isinstance(value, int) and value in BY_NUMBER:
        value = BY_NUMBER[value]
    if not isinstance(value, InterpolationMode):
        raise TypeError(
            "Argument interpolation should be a InterpolationMode or a corresponding Pillow "
            f"integer constant, got {value!r}"
        )
    return value


def pillow() -> Any:
    """Pillow's package with the modules that are used here."""
    try:
        import PIL
        import PIL.Image
        import PIL.ImageEnhance
        import PIL.ImageOps
    except ImportError:
        raise ImportError(
            "PIL images need Pillow: pip install minigrad[vision]. Tensors work without it."
        ) from None
    return PIL


def is_pil(image: Any) -> bool:
    """Whether this is a PIL image; Pillow is not imported to find out."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(image, module.Image)


def check_image(image: Any) -> None:
    """TypeError for what is neither a PIL image nor a tensor of at least two dimensions."""
    if isinstance(image, Tensor):
        if image.ndim < 2:
            raise TypeError(
                f"Tensor is not an image: it needs shape (..., H, W), got {list(image.shape)}"
            )
    elif not is_pil(image):
        raise TypeError(f"img should be a Tensor or PIL Image, got {type(image).__name__}")


def dimensions(image: Any) -> tuple[int, int, int]:
    """Channels, height and width."""
    check_image(image)
    if isinstance(image, Tensor):
        shape = image.shape
        return (1 if len(shape) == 2 else shape[-3]), shape[-2], shape[-1]
    width, height = image.size
    return len(image.getbands()), height, width


def check_channels(image: Tensor, permitted: Sequence[int]) -> int:
    """The number of channels; TypeError where it is not one of these."""
    channels = dimensions(image)[0]
    if channels not in permitted:
        raise TypeError(
            f"Input image tensor permitted channel values are {list(permitted)}, "
            f"but found {channels}"
        )
    return channels


def max_value(kind: DType) -> int:
    """What stands for full intensity: 1 in floats."""
    return {"uint8": 255, "int32": 2**31 - 1, "int64": 2**63 - 1}.get(kind.name, 1)


def as_batch(image: Tensor) -> Tensor:
    """(..., C, H, W) or (H, W) as (N, C, H, W)."""
    shape = image.shape
    if len(shape) == 4:
        return image
    if len(shape) == 3:
        return image.unsqueeze(0)
    if len(shape) == 2:
        return image.reshape(1, 1, *shape)
    count = 1
    for size in shape[:-3]:
        count *= size
    return image.reshape(count, *shape[-3:])


def like(result: Tensor, image: Tensor) -> Tensor:
    """A batch with the leading dimensions of the image that it was made from."""
    if image.ndim == 4:
        return result
    lead = image.shape[:-3] if image.ndim > 2 else ()
    channels = result.shape[1:2] if image.ndim > 2 else ()
    return result.reshape(*lead, *channels, *result.shape[-2:])


def batch_size(image: Any) -> int:
    """How many images (..., C, H, W) are."""
    return as_batch(image).shape[0] if isinstance(image, Tensor) else 1


@lru_cache(512)
def constants(values: tuple[float, ...], kind: DType) -> Tensor:
    """Numbers as a vector. It is kept: nothing may write to it."""
    return tensor(values, dtype=kind)


def size_pair(
    size: Any, message: str = "Please provide only two dimensions (h, w) for size."
) -> Any:
    """A size (height, width) of a number or a sequence of one or two."""
    if isinstance(size, (int, float)):
        return int(size), int(size)
    if isinstance(size, Sequence) and len(size) == 1:
        return size[0], size[0]
    if not isinstance(size, Sequence) or len(size) != 2:
        raise ValueError(message)
    return size


# ---- random numbers, from the default generator ----


def uniform(low: float, high: float) -> float:
    """A number between two."""
    return low + (high - low) * float(rand(1).item())


def integer(low: int, high: int) -> int:
    """An integer of [low, high)."""
    return int(randint(low, high, (1,)).item())


def chance(probability: float) -> bool:
    """True with that probability."""
    return float(rand(1).item()) < probability


def uniforms(count: int, low: float, high: float, kind: DType = float32) -> Tensor:
    """That many numbers between two."""
    return rand(count, dtype=kind) * (high - low) + low


def chances(count: int, probability: float) -> Tensor:
    """That many draws, 1 with the probability, else 0; int64."""
    return (rand(count) < probability).to(int64)
