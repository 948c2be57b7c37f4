"""The functions behind the transforms, with torchvision's names and arguments.

https://pytorch.org/vision/stable/transforms.html

An image is a PIL image or a tensor (..., C, H, W), uint8 from 0 to 255 or float from 0 to 1. What
is done to PIL images is Pillow's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy

from ...dtypes import dtype as DType
from ...dtypes import float32, uint8
from ...ops.creation import as_tensor, from_numpy, get_default_dtype
from ...ops.image import PADDING_MODES
from ...tensor import Tensor
from . import _color, _pil, _tensor
from ._image import (
    InterpolationMode,
    check_image,
    constants,
    dimensions,
    interpolation_mode,
    is_pil,
    pillow,
    size_pair,
)

__all__ = [
    "InterpolationMode",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_gamma",
    "adjust_hue",
    "adjust_saturation",
    "affine",
    "center_crop",
    "convert_image_dtype",
    "crop",
    "erase",
    "five_crop",
    "gaussian_blur",
    "gaussian_noise",
    "get_dimensions",
    "get_image_num_channels",
    "get_image_size",
    "hflip",
    "invert",
    "normalize",
    "pad",
    "pil_to_tensor",
    "resize",
    "resized_crop",
    "rgb_to_grayscale",
    "rotate",
    "ten_crop",
    "to_grayscale",
    "to_pil_image",
    "to_tensor",
    "vflip",
]


def get_dimensions(img: Any) -> list[int]:
    """[channels, height, width]."""
    return list(dimensions(img))


def get_image_size(img: Any) -> list[int]:
    """[width, height]."""
    _, height, width = dimensions(img)
    return [width, height]


def get_image_num_channels(img: Any) -> int:
    """The number of channels."""
    return dimensions(img)[0]


# ---- conversion ----


def _pil_values(pic: Any) -> numpy.ndarray:
    """The pixels of a PIL image as an array (C, H, W) of its own."""
    if pic.mode.startswith("I;16"):
        values = numpy.array(pic).astype(numpy.int32)
    elif pic.mode == "1":
        values = numpy.array(pic).astype(numpy.uint8)
    else:
        values = numpy.array(pic)
    values = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    return numpy.ascontiguousarray(values)


def pil_to_tensor(pic: Any) -> Tensor:
    """A PIL image as a tensor (C, H, W) of its values, not scaled. 16-bit images become int32."""
    if not is_pil(pic):
        raise TypeError(f"pic should be PIL Image. Got {type(pic)}")
    return from_numpy(_pil_values(pic))


def to_tensor(pic: Any) -> Tensor:
    """A PIL image or an ndarray (H, W, C) or (H, W) as a tensor (C, H, W); bytes are scaled to
    floats from 0 to 1, other types stay as they are."""
    if isinstance(pic, numpy.ndarray):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        values = pic[:, :, None] if pic.ndim == 2 else pic
        result = from_numpy(numpy.array(values.transpose(2, 0, 1), order="C"))
    elif is_pil(pic):
        result = from_numpy(_pil_values(pic))
        if pic.mode == "1":
            return result.to(get_default_dtype())
    else:
        raise TypeError(f"pic should be PIL Image or ndarray. Got {type(pic)}")
    return result.to(get_default_dtype()) / 255 if result.dtype is uint8 else result


def convert_image_dtype(image: Tensor, dtype: DType = float32) -> Tensor:
    """To another dtype and its range: floats 0 to 1, integers 0 to their largest value."""
    if not isinstance(image, Tensor):
        raise TypeError("Input img should be Tensor Image")
    return _color.convert_dtype(image, dtype)


# For each number of channels: the modes that may be asked for, the usual one first.
_MODES = {
    2: ("LA",),
    3: ("RGB", "YCbCr", "HSV"),
    4: ("RGBA", "CMYK", "RGBX"),
}
_SINGLE_MODES = {"uint8": "L", "int32": "I", "float32": "F", "int16": "I;16"}


def _pixels(pic: Any, mode: str | None) -> numpy.ndarray:
    """What ``to_pil_image`` was given, as an array (H, W, C)."""
    if isinstance(pic, Tensor):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        pic = pic.detach() if pic.ndim == 3 else pic.detach().unsqueeze(0)
        if pic.shape[0] > 4:
            raise ValueError(f"pic should not have > 4 channels. Got {pic.shape[0]} channels.")
        if pic.is_floating_point() and mode != "F":
            pic = (pic * 255).to(uint8)
        return numpy.ascontiguousarray(pic.numpy().transpose(1, 2, 0))
    if not isinstance(pic, numpy.ndarray):
        raise TypeError(f"pic should be Tensor or ndarray. Got {type(pic)}.")
    if pic.ndim not in (2, 3):
        raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
    values = pic[:, :, None] if pic.ndim == 2 else pic
    if values.shape[2] > 4:
        raise ValueError(f"pic should not have > 4 channels. Got {values.shape[2]} channels.")
    return values


def to_pil_image(pic: Any, mode: str | None = None) -> Any:
    """A tensor (C, H, W) or an ndarray (H, W, C) as a PIL image. Floats from 0 to 1 become bytes,
    unless the mode is "F"."""
    values = _pixels(pic, mode)
    image = pillow().Image
    channels = values.shape[2]
    if channels == 1:
        values = values[:, :, 0]
        expected = _SINGLE_MODES.get(values.dtype.name)
        if mode is not None and mode != expected:
            raise ValueError(
                f"Incorrect mode ({mode}) supplied for input type {values.dtype}. "
                f"Should be {expected}"
            )
    elif mode is not None and mode not in _MODES[channels]:
        raise ValueError(
            f"Only modes {list(_MODES[channels])} are supported for {channels} channels"
        )
    elif values.dtype != numpy.uint8:
        raise TypeError(f"Input type {values.dtype} is not supported")
    else:
        expected = mode or _MODES[channels][0]
    if expected is None:
        raise TypeError(f"Input type {values.dtype} is not supported")
    made = image.fromarray(values)
    if made.mode == expected:
        return made
    return image.frombytes(expected, made.size, numpy.ascontiguousarray(values).tobytes())


def _column(values: Any, kind: DType) -> Tensor:
    """Numbers of the channels as (C, 1, 1)."""
    if isinstance(values, (Tensor, numpy.ndarray)):
        vector = as_tensor(values).to(kind)
    else:
        vector = constants(tuple(float(each) for each in values), kind)
    return vector.reshape(-1, 1, 1)


def normalize(
    tensor: Tensor, mean: Sequence[float], std: Sequence[float], inplace: bool = False
) -> Tensor:
    """(x - mean) / std for each channel of float images (..., C, H, W)."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(tensor)}")
    if not tensor.is_floating_point():
        raise TypeError(f"Input tensor should be a float tensor. Got {tensor.dtype}.")
    if tensor.ndim < 3:
        raise ValueError(
            "Expected tensor to be a tensor image of size (..., C, H, W). "
            f"Got tensor.size() = {tensor.shape}"
        )
    middle, spread = (_column(each, tensor.dtype) for each in (mean, std))
    if any(value == 0 for value in (std.tolist() if hasattr(std, "tolist") else std)):
        raise ValueError(
            f"std evaluated to zero after conversion to {tensor.dtype}, leading to division by "
            "zero."
        )
    if inplace:
        return tensor.sub_(middle).div_(spread)
    return (tensor - middle) / spread


# ---- crops, paddings, flips ----


def _is_tensor(img: Any) -> bool:
    check_image(img)
    return isinstance(img, Tensor)


def hflip(img: Any) -> Any:
    """Left and right exchanged."""
    return _tensor.flip(img, 1) if _is_tensor(img) else _pil.flip(img, 1)


def vflip(img: Any) -> Any:
    """Top and bottom exchanged."""
    return _tensor.flip(img, 2) if _is_tensor(img) else _pil.flip(img, 2)


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """The rectangle; what lies outside of the image is 0."""
    return (_tensor if _is_tensor(img) else _pil).crop(img, top, left, height, width)


def padding_sides(padding: Any) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of one number, (left/right, top/bottom), or all four."""
    if isinstance(padding, int):
        return padding, padding, padding, padding
    if not isinstance(padding, (tuple, list)):
        raise TypeError("Got inappropriate padding arg")
    if len(padding) not in (1, 2, 4):
        raise ValueError(
            "Padding must be an int or a 1, 2, or 4 element tuple, not a "
            f"{len(padding)} element tuple"
        )
    left, top, right, bottom = (list(padding) * 4)[:4]
    return left, top, right, bottom


def pad(img: Any, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> Any:
    """padding: one number, (left and right, top and bottom), or (left, top, right, bottom).

    padding_mode: "constant" with ``fill``, "edge" (the last pixel), "reflect" ([1 2 3] becomes
    [3 2 1 2 3 2 1]), "symmetric" ([2 1 1 2 3 3 2]). Negative numbers cut off. More than the image
    has is reflected again.
    """
    is_tensor = _is_tensor(img)
    if not isinstance(padding_mode, str):
        raise TypeError("Got inappropriate padding_mode arg")
    if padding_mode not in PADDING_MODES:
        raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
    sides = padding_sides(padding)
    return (_tensor if is_tensor else _pil).pad(img, sides, fill, padding_mode)


def center_crop(img: Any, output_size: Any) -> Any:
    """The middle; padded with 0 where the image is smaller."""
    target_height, target_width = (int(each) for each in size_pair(output_size))
    _, height, width = dimensions(img)
    down, across = max(target_height - height, 0), max(target_width - width, 0)
    if down or across:
        sides = (across // 2, down // 2, (across + 1) // 2, (down + 1) // 2)
        img = pad(img, sides)
        _, height, width = dimensions(img)
    top = round((height - target_height) / 2.0)
    left = round((width - target_width) / 2.0)
    return crop(img, top, left, target_height, target_width)


def five_crop(img: Any, size: Any) -> tuple[Any, ...]:
    """The four corners and the middle: top left, top right, bottom left, bottom right, centre."""
    crop_height, crop_width = size_pair(size)
    _, height, width = dimensions(img)
    if crop_width > width or crop_height > height:
        raise ValueError(
            f"Requested crop size {(crop_height, crop_width)} is bigger than input size "
            f"{(height, width)}"
        )
    places = [(y, x) for y in (0, height - crop_height) for x in (0, width - crop_width)]
    corners = [crop(img, top, left, crop_height, crop_width) for top, left in places]
    return (*corners, center_crop(img, (crop_height, crop_width)))


def ten_crop(img: Any, size: Any, vertical_flip: bool = False) -> tuple[Any, ...]:
    """``five_crop`` of the image and of its mirror image."""
    mirrored = vflip(img) if vertical_flip else hflip(img)
    return five_crop(img, size) + five_crop(mirrored, size)


# ---- resampling ----


def resized_size(height: int, width: int, size: Any, max_size: int | None) -> tuple[int, int]:
    """Height and width that a size asks for: both, or the shorter edge (int, or one in a list),
    where ``max_size`` bounds the longer one; with size None the longer edge is ``max_size``."""
    if isinstance(size, (list, tuple)):
        if len(size) not in (1, 2):
            raise ValueError(
                f"Size must be an int or a 1 or 2 element tuple/list, not a {len(size)} element "
                "tuple/list"
            )
        if len(size) == 2:
            if max_size is not None:
                raise ValueError(
                    "max_size should only be passed if size specifies the length of the smaller "
                    "edge, i.e. size should be an int or a sequence of length 1."
                )
            return size[0], size[1]
        size = size[0]
    short, long = sorted((height, width))
    if size is None:
        if max_size is None:
            raise ValueError("max_size must be an integer when size is None")
        new_short, new_long = int(max_size * short / long), max_size
    else:
        if not isinstance(size, int):
            raise TypeError(f"Size should be int or sequence. Got {type(size)}")
        if max_size is not None and max_size <= size:
            raise ValueError(
                f"max_size = {max_size} must be strictly greater than the requested size for the "
                f"smaller edge size = {size}"
            )
        new_short, new_long = size, int(size * long / short)
        if max_size is not None and new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
    return (new_long, new_short) if width <= height else (new_short, new_long)


def resize(
    img: Any,
    size: Any,
    interpolation: InterpolationMode = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:
    """To (height, width), or with one number the shorter edge to it.

    ``antialias`` counts for tensors with bilinear and bicubic: reductions then average over all
    pixels, as Pillow always does; PIL images and tensors agree to a level.
    """
    mode = interpolation_mode(interpolation).value
    _, height, width = dimensions(img)
    target = resized_size(height, width, size, max_size)
    if target == (height, width):
        return img
    if isinstance(img, Tensor):
        return _tensor.resize(img, target, mode, bool(antialias))
    return _pil.resize(img, target, mode)


def resized_crop(
    img: Any,
    top: int,
    left: int,
    height: int,
    width: int,
    size: Any,
    interpolation: InterpolationMode = InterpolationMode.BILINEAR,
    antialias: bool | None = True,
) -> Any:
    """``crop``, then ``resize``."""
    cropped = crop(img, top, left, height, width)
    return resize(cropped, size, interpolation, antialias=antialias)


def gaussian_blur(img: Any, kernel_size: Any, sigma: Any = None) -> Any:
    """A blur by e^(-½ (x/σ)²) over a kernel of odd size, (along x, along y) or one for both;
    borders are reflected. Without sigma: 0.15 kernel_size + 0.35."""
    if not isinstance(kernel_size, (int, list, tuple)):
        raise TypeError(
            f"kernel_size should be int or a sequence of integers. Got {type(kernel_size)}"
        )
    sizes = [kernel_size] * 2 if isinstance(kernel_size, int) else list(kernel_size)
    if len(sizes) != 2:
        raise ValueError(f"If kernel_size is a sequence its length should be 2. Got {len(sizes)}")
    if any(each % 2 == 0 or each < 0 for each in sizes):
        raise ValueError(f"kernel_size should have odd and positive integers. Got {kernel_size}")
    if sigma is None:
        sigma = [each * 0.15 + 0.35 for each in sizes]
    if not isinstance(sigma, (int, float, list, tuple)):
        raise TypeError(f"sigma should be either float or sequence of floats. Got {type(sigma)}")
    sigmas = [float(sigma)] * 2 if isinstance(sigma, (int, float)) else [float(s) for s in sigma]
    if len(sigmas) == 1:
        sigmas *= 2
    if len(sigmas) != 2:
        raise ValueError(f"If sigma is a sequence, its length should be 2. Got {len(sigmas)}")
    if any(each <= 0.0 for each in sigmas):
        raise ValueError(f"sigma should have positive values. Got {sigma}")
    check_image(img)
    image = img if isinstance(img, Tensor) else pil_to_tensor(img)
    result = _tensor.gaussian_blur(image, sizes, numpy.array([sigmas]))
    return result if image is img else to_pil_image(result, mode=img.mode)


def inverse_affine_matrix(
    center: Sequence[float],
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: Sequence[float],
) -> list[float]:
    """Six numbers that take a place (x, y) of the result to its place in the image."""
    return _tensor.inverse_matrix(center, angle, translate, scale, shear)


def centre_of(img: Any, center: Any) -> tuple[list[float], Any]:
    """The centre in the coordinates of tensors (from the middle), and in Pillow's (from the top
    left)."""
    _, height, width = dimensions(img)
    if center is None:
        return [0.0, 0.0], [width * 0.5, height * 0.5]
    if not isinstance(center, (list, tuple)):
        raise TypeError("Argument center should be a sequence")
    if len(center) != 2:
        raise ValueError("Argument center should be a sequence of length 2")
    return [center[0] - width * 0.5, center[1] - height * 0.5], center


def rotate(
    img: Any,
    angle: float,
    interpolation: InterpolationMode = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Any = None,
    fill: Any = None,
) -> Any:
    """By degrees counter-clockwise about the centre (or ``center``, (x, y) from the top left).
    ``expand`` makes the result large enough to hold all of it."""
    mode = interpolation_mode(interpolation).value
    if not isinstance(angle, (int, float)):
        raise TypeError("Argument angle should be int or float")
    centre, _ = centre_of(img, center)
    if not isinstance(img, Tensor):
        return _pil.rotate(img, angle, mode, expand, center, fill)
    matrix = inverse_affine_matrix(centre, -angle, [0.0, 0.0], 1.0, [0.0, 0.0])
    _, height, width = dimensions(img)
    size = _tensor.rotated_size(matrix, height, width) if expand else None
    return _tensor.affine(img, matrix, mode, fill, size)


def affine(
    img: Any,
    angle: float,
    translate: Sequence[int],
    scale: float,
    shear: Any,
    interpolation: InterpolationMode = InterpolationMode.NEAREST,
    fill: Any = None,
    center: Any = None,
) -> Any:
    """Rotated by degrees clockwise, moved by (x, y) pixels, scaled, and sheared by degrees, one
    number along x, or (along x, along y)."""
    mode = interpolation_mode(interpolation).value
    if not isinstance(angle, (int, float)):
        raise TypeError("Argument angle should be int or float")
    if not isinstance(translate, (list, tuple)):
        raise TypeError("Argument translate should be a sequence")
    if len(translate) != 2:
        raise ValueError("Argument translate should be a sequence of length 2")
    if scale <= 0.0:
        raise ValueError("Argument scale should be positive")
    if not isinstance(shear, (int, float, list, tuple)):
        raise TypeError("Shear should be either a single value or a sequence of two values")
    shears = [float(shear), 0.0] if isinstance(shear, (int, float)) else list(shear)
    if len(shears) == 1:
        shears *= 2
    if len(shears) != 2:
        raise ValueError(f"Shear should be a sequence containing two values. Got {shear}")
    centre, corner_centre = centre_of(img, center)
    is_tensor = isinstance(img, Tensor)
    pivot = centre if is_tensor else corner_centre
    matrix = inverse_affine_matrix(pivot, float(angle), list(translate), scale, shears)
    return (_tensor if is_tensor else _pil).affine(img, matrix, mode, fill)


# ---- colours ----


def rgb_to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """0.2989 R + 0.587 G + 0.114 B, in one channel, or the same in three."""
    if num_output_channels not in (1, 3):
        raise ValueError("num_output_channels should be either 1 or 3")
    check_image(img)
    return (_color if isinstance(img, Tensor) else _pil).grayscale(img, num_output_channels)


def to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """A PIL image in gray."""
    if not is_pil(img):
        raise TypeError("Input should be PIL Image; for tensors call rgb_to_grayscale")
    return rgb_to_grayscale(img, num_output_channels)


def _colours(img: Any, name: str, factor: float) -> Any:
    check_image(img)
    if factor < 0:
        raise ValueError(f"{name}_factor ({factor}) is not non-negative.")
    return _color if isinstance(img, Tensor) else _pil


def adjust_brightness(img: Any, brightness_factor: float) -> Any:
    """0 is black, 1 the image, 2 twice as bright."""
    return _colours(img, "brightness", brightness_factor).brightness(img, brightness_factor)


def adjust_contrast(img: Any, contrast_factor: float) -> Any:
    """0 is the mean gray, 1 the image, 2 twice the contrast."""
    return _colours(img, "contrast", contrast_factor).contrast(img, contrast_factor)


def adjust_saturation(img: Any, saturation_factor: float) -> Any:
    """0 is the gray image, 1 the image, 2 twice the saturation."""
    return _colours(img, "saturation", saturation_factor).saturation(img, saturation_factor)


def adjust_hue(img: Any, hue_factor: float) -> Any:
    """The hue turned by a part of the circle from -0.5 to 0.5."""
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"hue_factor ({hue_factor}) is not in [-0.5, 0.5].")
    check_image(img)
    return (_color if isinstance(img, Tensor) else _pil).hue(img, hue_factor)


def adjust_gamma(img: Any, gamma: float, gain: float = 1) -> Any:
    """gain * value^gamma, values from 0 to 1: gamma > 1 makes shadows darker."""
    if gamma < 0:
        raise ValueError("Gamma should be a non-negative real number")
    check_image(img)
    return (_color if isinstance(img, Tensor) else _pil).gamma(img, gamma, gain)


def invert(img: Any) -> Any:
    """The negative."""
    check_image(img)
    return (_color if isinstance(img, Tensor) else _pil).invert(img)


# ---- noise and erasing ----


def gaussian_noise(
    inpt: Tensor, mean: float = 0.0, sigma: float = 0.1, clip: bool = True
) -> Tensor:
    """Adds numbers of the normal distribution to float images; clipped to 0 to 1."""
    from ...ops.random import randn_like

    if not isinstance(inpt, Tensor):
        raise TypeError(f"Input should be a Tensor. Got {type(inpt)}; convert with ToTensor()")
    if not inpt.is_floating_point():
        raise ValueError(f"Input tensor is expected to be in float dtype, got dtype={inpt.dtype}")
    if sigma < 0:
        raise ValueError(f"sigma shouldn't be negative. Got {sigma}")
    noisy = inpt + mean + randn_like(inpt) * sigma
    return noisy.clamp(0, 1) if clip else noisy


def erase(img: Any, i: int, j: int, h: int, w: int, v: Any, inplace: bool = False) -> Tensor:
    """The rectangle at row i and column j, h by w, set to v."""
    if not isinstance(img, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(img)}")
    return _tensor.erase(img if inplace else img.clone(), i, j, h, w, v)
