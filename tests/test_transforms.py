"""Transforms of images: against Pillow, NumPy and the documented formulas. Tensors, batches and PIL
images; tests/differential/test_transforms_torch.py compares with torch's functions."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

import minigrad as mg
from minigrad import kernels
from minigrad.vision import transforms as T
from minigrad.vision.transforms import functional as F

MODE = T.InterpolationMode
UINT8 = mg.uint8


def picture(height=24, width=32, channels=3) -> mg.Tensor:
    """A smooth picture with edges, uint8 (C, H, W)."""
    y, x = np.mgrid[:height, :width]
    planes = [
        127 + 120 * np.sin((x * (c + 1) + y * 2) / 5.0) * np.cos(y / (3.0 + c))
        for c in range(channels)
    ]
    planes[0][: height // 3, : width // 4] = 255
    planes[-1][height // 2 :, width // 2 :] = 0
    return mg.tensor(np.stack(planes).round().clip(0, 255).astype(np.uint8))


def noise(*shape) -> mg.Tensor:
    return mg.randint(0, 256, shape, dtype=UINT8)


def pil(image: mg.Tensor) -> PIL.Image.Image:
    return F.to_pil_image(image)


def values(image) -> np.ndarray:
    """Any image as an array (..., C, H, W)."""
    return (image if isinstance(image, mg.Tensor) else F.pil_to_tensor(image)).numpy()


# ---- every transform, on every kind of image ----

# The transform and its repr in torchvision; None: not in torchvision, or an extra.
EVERY = [
    (T.Resize(16), "Resize(size=16, interpolation=bilinear, max_size=None, antialias=True)"),
    (
        T.Resize((40, 20), MODE.BICUBIC),
        "Resize(size=(40, 20), interpolation=bicubic, max_size=None, antialias=True)",
    ),
    (T.CenterCrop(20), "CenterCrop(size=(20, 20))"),
    (T.CenterCrop((40, 10)), "CenterCrop(size=(40, 10))"),
    (T.Pad(3, fill=7), "Pad(padding=3, fill=7, padding_mode=constant)"),
    (
        T.Pad((1, 2, 3, 4), padding_mode="reflect"),
        "Pad(padding=(1, 2, 3, 4), fill=0, padding_mode=reflect)",
    ),
    (T.RandomCrop(20, padding=4), "RandomCrop(size=(20, 20), padding=4)"),
    (T.RandomHorizontalFlip(), "RandomHorizontalFlip(p=0.5)"),
    (T.RandomVerticalFlip(0.3), "RandomVerticalFlip(p=0.3)"),
    (
        T.RandomResizedCrop(24),
        "RandomResizedCrop(size=(24, 24), scale=(0.08, 1.0), ratio=(0.75, 1.3333), "
        "interpolation=bilinear, antialias=True)",
    ),
    (
        T.RandomRotation(30),
        "RandomRotation(degrees=[-30.0, 30.0], interpolation=nearest, expand=False, fill=0)",
    ),
    (
        T.RandomAffine((-5, 10), (0.1, 0.2), (0.8, 1.2), 5, MODE.BILINEAR, 3),
        "RandomAffine(degrees=[-5.0, 10.0], translate=(0.1, 0.2), scale=(0.8, 1.2), "
        "shear=[-5.0, 5.0], interpolation=bilinear, fill=3)",
    ),
    (
        T.ColorJitter(0.5, (0.25, 2), 0.5, 0.25),
        "ColorJitter(brightness=(0.5, 1.5), contrast=(0.25, 2.0), saturation=(0.5, 1.5), "
        "hue=(-0.25, 0.25))",
    ),
    (T.ColorJitter(), "ColorJitter(brightness=None, contrast=None, saturation=None, hue=None)"),
    (T.Grayscale(), "Grayscale(num_output_channels=1)"),
    (T.Grayscale(3), "Grayscale(num_output_channels=3)"),
    (T.RandomGrayscale(0.5), "RandomGrayscale(p=0.5)"),
    (T.RandomInvert(), "RandomInvert(p=0.5)"),
    (
        T.GaussianBlur((3, 7), (0.5, 1.5)),
        "GaussianBlur(kernel_size=(3, 7), sigma=(0.5, 1.5))",
    ),
    (T.FiveCrop(10), "FiveCrop(size=(10, 10))"),
    (T.TenCrop((10, 8), True), "TenCrop(size=(10, 8), vertical_flip=True)"),
    (T.Lambda(lambda image: image), "Lambda()"),
    (
        T.Compose([T.CenterCrop(10), T.Grayscale()]),
        "Compose(\n    CenterCrop(size=(10, 10))\n    Grayscale(num_output_channels=1)\n)",
    ),
    (
        T.RandomApply([T.Grayscale(3)]),
        "RandomApply(\n    p=0.5\n    Grayscale(num_output_channels=3)\n)",
    ),
    (T.RandomOrder([T.Grayscale(3)]), "RandomOrder(\n    Grayscale(num_output_channels=3)\n)"),
    (
        T.RandomChoice([T.Grayscale(3)], [2]),
        "RandomChoice(\n    Grayscale(num_output_channels=3)\n)(p=[2])",
    ),
]
TENSORS_ONLY = [
    (T.ConvertImageDtype(mg.float32), "ConvertImageDtype()"),
    (
        T.RandomErasing(1.0, value="random"),
        "RandomErasing(p=1.0, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=random, inplace=False)",
    ),
    (T.GaussianNoise(), "GaussianNoise(mean=0.0, sigma=0.1, clip=True)"),
    (T.Normalize([0.5], [0.25]), "Normalize(mean=[0.5], std=[0.25])"),
]
FROM_ELSEWHERE = [
    (T.ToTensor(), "ToTensor()"),
    (T.PILToTensor(), "PILToTensor()"),
    (T.ToPILImage(), "ToPILImage()"),
    (T.ToPILImage("RGB"), "ToPILImage(mode=RGB)"),
]
NAMES = [f"{i} {type(each[0]).__name__}" for i, each in enumerate(EVERY)]


@pytest.mark.parametrize("transform,text", EVERY + TENSORS_ONLY + FROM_ELSEWHERE)
def test_repr(transform, text):
    assert repr(transform) == text


def first(result):
    return result[0] if isinstance(result, tuple) else result


@pytest.mark.parametrize("transform", [each[0] for each in EVERY], ids=NAMES)
def test_every_kind_of_image(transform):
    """The same draws on a tensor, a batch of it, floats of it and a PIL image of it: shapes and
    dtypes are kept, batches do what single images do, and Pillow's result is near."""
    image = picture()
    results = {}
    for name, given in {
        "tensor": image,
        "batch": mg.stack([image, image]),
        "more": mg.stack([image, image]).unsqueeze(0),
        "float": image.to(mg.float32) / 255,
        "strided": image.transpose(1, 2).clone().transpose(1, 2),
        "pil": pil(image),
    }.items():
        mg.manual_seed(3)
        results[name] = first(transform(given))
    tensor = values(results["tensor"])
    assert results["tensor"].dtype is UINT8 and results["float"].dtype is mg.float32
    np.testing.assert_array_equal(values(results["strided"]), tensor)
    np.testing.assert_array_equal(values(results["batch"]), np.stack([tensor, tensor]))
    np.testing.assert_array_equal(values(results["more"]), np.stack([tensor, tensor])[None])
    assert isinstance(results["pil"], PIL.Image.Image)
    assert values(results["pil"]).shape == tensor.shape
    difference = abs(values(results["pil"]).astype(float) - tensor.astype(float))
    assert difference.mean() < 2 or (difference > 2).mean() < 0.1
    if not getattr(transform, "fill", 0):
        assert abs(values(results["float"]) * 255 - tensor).mean() < 2


@pytest.mark.parametrize("transform", [each[0] for each in EVERY + TENSORS_ONLY[:2]])
def test_reproducible(transform):
    image = noise(2, 3, 20, 24)
    mg.manual_seed(5)
    wanted = values(first(transform(image)))
    mg.manual_seed(5)
    np.testing.assert_array_equal(values(first(transform(image))), wanted)


def test_gray_images_of_two_dimensions():
    image = noise(12, 10)
    for transform in (T.Resize((6, 5)), T.Pad(2), T.RandomRotation((20, 20)), T.CenterCrop(20)):
        wanted = transform(image.unsqueeze(0)).squeeze(0)
        np.testing.assert_array_equal(values(transform(image)), values(wanted))


def test_transforms_can_be_pickled():
    for transform, text in EVERY + TENSORS_ONLY + FROM_ELSEWHERE:
        if text != "Lambda()":
            assert repr(pickle.loads(pickle.dumps(transform))) == text


# ---- identities and exact cases ----

IDENTITIES = {
    "resize": lambda x: F.resize(x, x.shape[-2:]),
    "crop": lambda x: F.crop(x, 0, 0, *x.shape[-2:]),
    "pad": lambda x: F.pad(x, 0),
    "pad and cut": lambda x: F.pad(F.pad(x, (1, 2, 3, 4), 9), (-1, -2, -3, -4)),
    "flips": lambda x: F.hflip(F.vflip(F.hflip(F.vflip(x)))),
    "rotate 0": lambda x: F.rotate(x, 0.0),
    "rotate 360": lambda x: F.rotate(x, 360.0, MODE.BILINEAR),
    "rotate there and back": lambda x: F.rotate(F.rotate(x, 180.0), 180.0),
    "affine": lambda x: F.affine(x, 0.0, [0, 0], 1.0, 0.0, MODE.BILINEAR, fill=0),
    "brightness": lambda x: F.adjust_brightness(x, 1.0),
    "contrast": lambda x: F.adjust_contrast(x, 1.0),
    "saturation": lambda x: F.adjust_saturation(x, 1.0),
    "invert": lambda x: F.invert(F.invert(x)),
    "gamma": lambda x: F.adjust_gamma(x, 1.0),
    "hue": lambda x: F.adjust_hue(x, 0.0),
    "upscaled by pixels": lambda x: F.resize(
        F.resize(x, [2 * n for n in x.shape[-2:]], MODE.NEAREST), x.shape[-2:], 0
    ),
}


@pytest.mark.parametrize("name", IDENTITIES)
@pytest.mark.parametrize("dtype", [mg.uint8, mg.float32, mg.float64])
def test_identity(name, dtype):
    image = noise(2, 3, 13, 17)
    image = image if dtype is UINT8 else image.to(dtype) / 255
    np.testing.assert_allclose(
        values(IDENTITIES[name](image)), values(image), atol=0 if dtype is UINT8 else 3e-7
    )


def padded(x, sides, mode, fill=0):
    left, top, right, bottom = sides
    widths = [(0, 0)] * (x.ndim - 2) + [(top, bottom), (left, right)]
    return np.pad(x, widths, mode, **({"constant_values": fill} if mode == "constant" else {}))


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
@pytest.mark.parametrize("sides", [(1, 2, 3, 4), (0, 0, 0, 5), (9, 9, 9, 9), (17, 23, 40, 31)])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int64", "bool"])
def test_pad(mode, sides, dtype):
    """NumPy's padding, also where it is more than the image has."""
    x = noise(2, 3, 5, 7).numpy().astype(dtype)
    fill = 1 if dtype == "bool" else 9
    got = F.pad(mg.tensor(x), sides, fill, mode)
    np.testing.assert_array_equal(got.numpy(), padded(x, sides, mode, fill))
    image = F.pad(pil(mg.tensor(x[0].astype(np.uint8))), sides, fill, mode)
    np.testing.assert_array_equal(values(image), padded(x[0].astype(np.uint8), sides, mode, fill))


def test_pad_with_a_colour_and_one_pixel():
    x = noise(3, 2, 2)
    got = values(F.pad(x, 1, (1, 2, 3)))
    assert got[:, 0, 0].tolist() == [1, 2, 3] and got[:, 3, 2].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(values(F.pad(pil(x), 1, (1, 2, 3))), got)
    one = mg.tensor([[[7.0]]])
    assert (values(F.pad(one, 3, padding_mode="reflect")) == 7).all()


@pytest.mark.parametrize(
    "box", [(0, 0, 5, 5), (3, 2, 6, 4), (-3, -2, 9, 9), (8, 8, 9, 9), (-20, 30, 4, 4)]
)
def test_crop(box):
    x = noise(3, 11, 12)
    big = np.pad(x.numpy(), [(0, 0), (50, 50), (50, 50)])
    top, left, height, width = box
    wanted = big[:, 50 + top : 50 + top + height, 50 + left : 50 + left + width]
    np.testing.assert_array_equal(values(F.crop(x, *box)), wanted)
    np.testing.assert_array_equal(values(F.crop(pil(x), *box)), wanted)


@pytest.mark.parametrize("size", [1, 4, (7, 3), (11, 12), (12, 15), (40, 5)])
def test_center_and_five_crops(size):
    x = noise(3, 11, 12)
    np.testing.assert_array_equal(
        values(F.center_crop(x, size)), values(F.center_crop(pil(x), size))
    )
    height, width = (size, size) if isinstance(size, int) else size
    if height <= 11 and width <= 12:
        crops = [values(each) for each in F.five_crop(x, size)]
        np.testing.assert_array_equal(crops[0], x.numpy()[:, :height, :width])
        np.testing.assert_array_equal(crops[3], x.numpy()[:, 11 - height :, 12 - width :])
        ten = F.ten_crop(x, size)
        assert len(ten) == 10
        np.testing.assert_array_equal(values(ten[5]), x.numpy()[:, :height, ::-1][:, :, :width])


def test_flips():
    x = noise(2, 3, 5, 6)
    np.testing.assert_array_equal(values(F.hflip(x)), x.numpy()[..., ::-1])
    np.testing.assert_array_equal(values(F.vflip(x)), x.numpy()[..., ::-1, :])
    np.testing.assert_array_equal(values(F.hflip(pil(x[0]))), x.numpy()[0, :, :, ::-1])


# ---- against Pillow ----


@pytest.mark.parametrize("mode", [MODE.BILINEAR, MODE.BICUBIC])
@pytest.mark.parametrize("size", [(12, 16), (24, 9), (7, 5), (60, 31), (1, 1), (23, 33)])
def test_resize_is_pillows(mode, size):
    """Within a level of rounding: Pillow rounds after each direction."""
    for image in (picture(), noise(3, 24, 32), noise(1, 24, 32)):
        if mode is MODE.BICUBIC:  # it overshoots, which Pillow clips after each direction
            image = image // 2 + 64
        got, wanted = values(F.resize(image, size, mode)), values(F.resize(pil(image), size, mode))
        assert abs(got.astype(int) - wanted.astype(int)).max() <= (
            1 if mode is MODE.BILINEAR else 2
        )
        scaled = values(F.resize(image.to(mg.float32) / 255, size, mode)) * 255
        assert abs(scaled.clip(0, 255) - wanted).max() < 2


@pytest.mark.parametrize("size", [(12, 16), (48, 64), (40, 128)])
def test_resize_to_nearest(size):
    """NEAREST_EXACT takes the pixel around the centre, as Pillow's nearest does."""
    image = noise(3, 24, 32)
    wanted = values(F.resize(pil(image), size, MODE.NEAREST))
    np.testing.assert_array_equal(values(F.resize(image, size, MODE.NEAREST_EXACT)), wanted)


SIZES = [  # height, width, size, max_size, the result
    (20, 30, 10, None, (10, 15)),
    (30, 20, 10, None, (15, 10)),
    (30, 20, [10], None, (15, 10)),
    (30, 20, 10, 12, (12, 8)),
    (20, 100, 50, 60, (12, 60)),
    (20, 30, None, 15, (10, 15)),
    (20, 30, (7, 9), None, (7, 9)),
    (20, 20, 10, None, (10, 10)),
]


@pytest.mark.parametrize("height,width,size,max_size,wanted", SIZES)
def test_sizes_of_resize(height, width, size, max_size, wanted):
    image = noise(1, height, width)
    assert F.resize(image, size, max_size=max_size).shape[1:] == wanted
    assert F.resize(pil(image), size, max_size=max_size).size == wanted[::-1]


AFFINE = {
    "rotate": lambda x, mode: F.rotate(x, 33.3, mode),
    "rotate about": lambda x, mode: F.rotate(x, -70.7, mode, center=(4, 6)),
    "rotate expanded": lambda x, mode: F.rotate(x, 33.3, mode, expand=True),
    "rotate filled": lambda x, mode: F.rotate(x, 33.3, mode, fill=(1, 100, 200)),
    "affine": lambda x, mode: F.affine(x, 21.3, [3, -2], 1.15, [7.1, -4.3], mode),
    "affine about": lambda x, mode: F.affine(x, -21.3, [1, 2], 0.83, 9.7, mode, 50, [3, 20]),
}


@pytest.mark.parametrize("name", AFFINE)
def test_affine_is_pillows(name):
    """Nearest: the same pixels, but for places so near to the middle between two that Pillow's
    fixed point rounds to the other. Bilinear: the same inside; Pillow does not blend at the edge
    with what lies outside."""
    image = picture(41, 53)
    got = values(AFFINE[name](image, MODE.NEAREST)).astype(int)
    wanted = values(AFFINE[name](pil(image), MODE.NEAREST)).astype(int)
    assert got.shape == wanted.shape
    assert (got != wanted).any(0).mean() < 0.005
    got = values(AFFINE[name](image, MODE.BILINEAR)).astype(int)
    wanted = values(AFFINE[name](pil(image), MODE.BILINEAR)).astype(int)
    assert (abs(got - wanted) > 1).any(0).mean() < 0.1


@pytest.mark.parametrize("mode", [MODE.NEAREST, MODE.BILINEAR])
@pytest.mark.parametrize("dtype", [mg.uint8, mg.float32, mg.float64, mg.int64])
def test_quarter_turns(mode, dtype):
    image = noise(2, 3, 14, 14).to(dtype)
    for turns in range(4):
        got = values(F.rotate(image, 90.0 * turns, mode))
        np.testing.assert_allclose(got, np.rot90(image.numpy(), turns, (2, 3)), atol=1e-4)
    wide = noise(3, 10, 16)
    turned = values(F.rotate(wide, 90, expand=True))
    np.testing.assert_array_equal(turned, np.rot90(wide.numpy(), 1, (1, 2)))


COLOURS = {
    "brightness": F.adjust_brightness,
    "contrast": F.adjust_contrast,
    "saturation": F.adjust_saturation,
}


@pytest.mark.parametrize("name", COLOURS)
@pytest.mark.parametrize("factor", [0.0, 0.3, 0.9, 1.0, 1.7, 5.0])
def test_colours_are_pillows(name, factor):
    """Within a level for brightness; where a gray mean is mixed in, its rounding (half a level) is
    multiplied, too."""
    image = noise(3, 20, 20)
    got = values(COLOURS[name](image, factor)).astype(int)
    wanted = values(COLOURS[name](pil(image), factor)).astype(int)
    most = 1 if name == "brightness" else 1 + abs(1 - factor)
    assert abs(got - wanted).max() <= most
    scaled = values(COLOURS[name](image.to(mg.float32) / 255, factor)) * 255
    assert abs(scaled - wanted).max() <= most + 1


def test_gray_and_gamma_and_invert():
    image = noise(3, 20, 20)
    for function in (F.rgb_to_grayscale, F.invert, lambda x: F.adjust_gamma(x, 1.8, 0.9)):
        got, wanted = values(function(image)).astype(int), values(function(pil(image))).astype(int)
        assert abs(got - wanted).max() <= 1
    assert F.to_grayscale(pil(image), 3).mode == "RGB"


def test_hue_is_colorsys():
    """The formulas of Python's colorsys, for every kind of colour."""
    import colorsys

    levels = np.array([0.0, 0.2, 0.5, 0.9, 1.0])
    colours = np.stack(np.meshgrid(levels, levels, levels), 0).reshape(3, 5, 25)
    image = mg.tensor(colours)
    for turn in (-0.5, -0.21, 0.0, 0.1, 0.37, 0.5):
        wanted = np.empty_like(colours)
        for place in np.ndindex(5, 25):
            h, s, v = colorsys.rgb_to_hsv(*colours[(slice(None), *place)])
            wanted[(slice(None), *place)] = colorsys.hsv_to_rgb((h + turn) % 1.0, s, v)
        np.testing.assert_allclose(values(F.adjust_hue(image, turn)), wanted, atol=1e-12)
        got = values(F.adjust_hue(image.to(mg.float32), turn))
        np.testing.assert_allclose(got, wanted, atol=2e-6)
    picture_ = picture()
    near = values(F.adjust_hue(picture_, 0.2)).astype(int) - values(
        F.adjust_hue(pil(picture_), 0.2)
    )
    assert abs(near).mean() < 3  # Pillow's hues have 256 levels


def test_blur():
    """The weights of the formula with reflected borders, computed by NumPy."""
    image = mg.rand(2, 3, 9, 11, dtype=mg.float64)
    for sizes, sigmas in (([3, 5], [0.7, 1.2]), ([1, 1], [1, 1]), ([7, 3], [2.0, 0.4])):
        wanted = image.numpy()
        for axis, size, sigma in ((3, sizes[0], sigmas[0]), (2, sizes[1], sigmas[1])):
            x = np.arange(size) - size // 2
            weights = np.exp(-0.5 * (x / sigma) ** 2)
            widths = [(0, 0)] * 4
            widths[axis] = (size // 2, size // 2)
            big, n = np.pad(wanted, widths, "reflect"), wanted.shape[axis]
            wanted = sum(
                w * big.take(range(k, k + n), axis) for k, w in enumerate(weights / weights.sum())
            )
        np.testing.assert_allclose(
            values(F.gaussian_blur(image, sizes, sigmas)), wanted, atol=1e-12
        )
    assert F.gaussian_blur(pil(picture()), 5).mode == "RGB"
    flat = mg.full((1, 1, 4), 9.0)
    np.testing.assert_allclose(values(F.gaussian_blur(flat, 9)), 9.0, rtol=1e-6)


# ---- conversion and normalization ----


def test_to_tensor():
    x = noise(3, 5, 6)
    image = pil(x)
    np.testing.assert_array_equal(values(F.pil_to_tensor(image)), x.numpy())
    np.testing.assert_array_equal(values(F.to_tensor(image)), (x.to(mg.float32) / 255).numpy())
    array = x.numpy().transpose(1, 2, 0)
    np.testing.assert_array_equal(values(F.to_tensor(array)), values(F.to_tensor(image)))
    assert F.to_tensor(array.astype(np.float64)).dtype is mg.float64
    assert F.to_tensor(array[:, :, 0]).shape == (1, 5, 6)
    for mode, dtype in (("L", mg.uint8), ("I", mg.int32), ("F", mg.float32), ("RGBA", mg.uint8)):
        assert F.pil_to_tensor(image.convert(mode)).dtype is dtype
    assert F.to_tensor(image.convert("1")).max().item() in (0.0, 1.0)


@pytest.mark.parametrize(
    "mode,channels", [("L", 1), ("LA", 2), ("RGB", 3), ("HSV", 3), ("CMYK", 4)]
)
def test_to_pil_image(mode, channels):
    x = noise(channels, 5, 6)
    for given in (x, x.numpy().transpose(1, 2, 0), x.to(mg.float64) / 255 + 1e-9):
        image = F.to_pil_image(given, mode)
        assert image.mode == mode
        np.testing.assert_array_equal(values(image), x.numpy())
    floats = F.to_pil_image(mg.rand(1, 5, 6), "F")
    assert floats.mode == "F" and F.to_pil_image(x[0]).mode == "L"
    assert F.to_pil_image(mg.zeros(1, 2, 2, dtype=mg.int32)).mode == "I"


def test_convert_image_dtype():
    x = mg.arange(256).to(UINT8).reshape(1, 16, 16)
    floats = F.convert_image_dtype(x)
    np.testing.assert_allclose(floats.numpy(), x.numpy() / 255, rtol=1e-7)
    np.testing.assert_array_equal(F.convert_image_dtype(floats, UINT8).numpy(), x.numpy())
    wide = F.convert_image_dtype(x, mg.int32)
    assert wide.max().item() == 255 * 2**23
    np.testing.assert_array_equal(F.convert_image_dtype(wide, UINT8).numpy(), x.numpy())
    half = F.convert_image_dtype(mg.tensor([[[0.5]]]), UINT8)
    assert half.item() == int(0.5 * 255.999)


def test_normalize():
    x = mg.rand(2, 3, 4, 5)
    mean, std = [0.1, 0.2, 0.3], [0.5, 1.0, 2.0]
    wanted = (x.numpy() - np.array(mean).reshape(3, 1, 1)) / np.array(std).reshape(3, 1, 1)
    np.testing.assert_allclose(F.normalize(x, mean, std).numpy(), wanted, rtol=1e-5, atol=1e-6)
    kept = x.clone()
    assert F.normalize(kept, mean, std, inplace=True) is kept
    np.testing.assert_allclose(kept.numpy(), wanted, rtol=1e-5, atol=1e-6)
    x.requires_grad_()
    T.Normalize(mean, std)(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy()[0, :, 0, 0], 1 / np.array(std))


def test_fit():
    """Normalize.fit: the moments of all pixels of a channel, however the data is given."""
    from minigrad.utils.data import DataLoader, TensorDataset

    x = mg.rand(50, 3, 6, 7) * mg.tensor([1.0, 3.0, 0.1]).reshape(3, 1, 1) + 1000
    mean = x.numpy().astype(np.float64).mean((0, 2, 3))
    std = x.numpy().astype(np.float64).std((0, 2, 3))
    dataset = TensorDataset(x, mg.arange(50))
    for data in (x, list(x), dataset, DataLoader(dataset, batch_size=8), (each for each in x)):
        fitted = T.Normalize.fit(data)
        np.testing.assert_allclose(fitted.mean, mean, rtol=1e-12)
        np.testing.assert_allclose(fitted.std, std, rtol=1e-9)
    bytes_ = noise(9, 3, 4, 4)
    scaled = bytes_.numpy() / 255
    for data in (bytes_, [pil(each) for each in bytes_]):
        fitted = T.Normalize.fit(data)
        np.testing.assert_allclose(fitted.mean, scaled.mean((0, 2, 3)), rtol=1e-6)
        np.testing.assert_allclose(fitted.std, scaled.std((0, 2, 3)), rtol=1e-6)
    normal = T.Normalize.fit(x)(x).to(mg.float64)
    assert abs(normal.mean((0, 2, 3))).max().item() < 2e-3


# ---- random draws ----


def same_share(count: int, total: int, probability: float) -> bool:
    """Within four standard deviations."""
    return abs(count - total * probability) <= 4 * (total * probability * (1 - probability)) ** 0.5


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_probabilities(probability):
    """The share of images that change: each call draws, and with per_sample each image."""
    image = mg.tensor(np.arange(12, dtype=np.uint8).reshape(1, 3, 4)) + mg.zeros(
        3, 1, 1, dtype=UINT8
    )
    image[0] += 50
    batch = image.expand(400, 3, 3, 4)
    for kind in (
        T.RandomHorizontalFlip,
        T.RandomVerticalFlip,
        T.RandomInvert,
        T.RandomGrayscale,
        lambda p, **options: T.RandomApply([T.RandomInvert(1.0)], p, **options),
        lambda p, **options: T.RandomErasing(p, (0.1, 0.2), value=255, **options),
    ):
        single = kind(probability)
        changed = sum(not mg.equal(single(image), image) for _ in range(400))
        assert same_share(changed, 400, probability)
        each = kind(probability, per_sample=True)(batch)
        changed = (each != batch).reshape(400, -1).any(1).sum().item()
        assert same_share(changed, 400, probability)


def test_random_crop():
    """Every window is as likely."""
    x = mg.arange(20).reshape(1, 4, 5).to(UINT8)
    seen = {}
    crop = T.RandomCrop((3, 3))
    for _ in range(600):
        key = values(crop(x))[0, 0, 0]
        seen[key] = seen.get(key, 0) + 1
    assert len(seen) == 6 and all(same_share(n, 600, 1 / 6) for n in seen.values())
    each = T.RandomCrop((3, 3), per_sample=True)(x.expand(600, 1, 4, 5))
    counts = np.unique(values(each)[:, 0, 0, 0], return_counts=True)[1]
    assert len(counts) == 6 and all(same_share(n, 600, 1 / 6) for n in counts)
    assert T.RandomCrop((4, 5))(x) is not None and mg.equal(T.RandomCrop((4, 5))(x), x)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
@pytest.mark.parametrize("per_sample", [False, True])
def test_random_crop_of_padded(mode, per_sample):
    x = noise(6, 3, 7, 8)
    for options in (
        {"padding": 2},
        {"padding": (1, 2, 3, 0)},
        {"padding": 1, "pad_if_needed": True},
        {"pad_if_needed": True},
        {"padding": (-1, 0, 2, 1), "pad_if_needed": True},
    ):
        size = (10, 8) if "pad_if_needed" in options else (7, 6)
        transform = T.RandomCrop(size, fill=9, padding_mode=mode, per_sample=per_sample, **options)
        got = values(transform(x))
        assert got.shape == (6, 3, *size)
        whole = x
        for sides in transform._sides(7, 8):
            whole = F.pad(whole, sides, 9, mode)
        whole = values(whole)
        windows = np.lib.stride_tricks.sliding_window_view(whole, size, (2, 3))
        for n in range(6):
            same = (windows[n] == got[n][:, None, None]).all((0, 3, 4))
            assert same.any()


def test_per_sample_rotation_is_the_rotation_of_each():
    """With a range of one angle every draw is known: the batch is what single images give."""
    x = noise(5, 3, 16, 20)
    for mode in (MODE.NEAREST, MODE.BILINEAR):
        each = T.RandomRotation((17, 17), mode, fill=5, per_sample=True)(x)
        np.testing.assert_array_equal(values(each), values(F.rotate(x, 17.0, mode, fill=5)))
        affine = T.RandomAffine((9, 9), None, (1.25, 1.25), (3, 3, 5, 5), mode, per_sample=True)
        wanted = F.affine(x, 9.0, [0, 0], 1.25, [3.0, 5.0], mode, fill=0)
        np.testing.assert_array_equal(values(affine(x)), values(wanted))
        about = T.RandomRotation((17, 17), mode, center=(2, 3), per_sample=True)(x)
        wanted = F.rotate(x, 17.0, mode, center=(2, 3), fill=0)
        np.testing.assert_array_equal(values(about), values(wanted))


def test_per_sample_draws_differ():
    x = picture().expand(40, 3, 24, 32)
    for transform in (
        T.RandomCrop(20, per_sample=True),
        T.RandomResizedCrop(12, per_sample=True),
        T.RandomRotation(40, MODE.BILINEAR, per_sample=True),
        T.RandomAffine(0, (0.3, 0.3), per_sample=True),
        T.ColorJitter(0.9, per_sample=True),
        T.ColorJitter(0, 0.9, per_sample=True),
        T.ColorJitter(0, 0, 0.9, per_sample=True),
        T.ColorJitter(0, 0, 0, 0.5, per_sample=True),
        T.GaussianBlur(5, (0.3, 3), per_sample=True),
        T.RandomErasing(1.0, per_sample=True),
    ):
        result = values(transform(x)).reshape(40, -1)
        assert len({row.tobytes() for row in result}) > 20, transform
        result = values(type(transform).forward(transform, x.to(mg.float32) / 255)).reshape(40, -1)
        assert len({row.tobytes() for row in result}) > 20


def test_per_sample_factors():
    """Factors known, as their ranges are points: the batch is what single images give."""
    x = noise(4, 3, 9, 9)
    one = T.ColorJitter((0.5, 0.5), per_sample=True)(x)
    np.testing.assert_array_equal(values(one), values(F.adjust_brightness(x, 0.5)))
    one = T.ColorJitter(0, (1.5, 1.5), per_sample=True)(x)
    np.testing.assert_array_equal(values(one), values(F.adjust_contrast(x, 1.5)))
    one = T.ColorJitter(hue=(0.25, 0.25), per_sample=True)(x)
    np.testing.assert_array_equal(values(one), values(F.adjust_hue(x, 0.25)))
    one = T.GaussianBlur((3, 5), 0.8, per_sample=True)(x)
    np.testing.assert_array_equal(values(one), values(F.gaussian_blur(x, (3, 5), 0.8)))
    whole = T.RandomResizedCrop((5, 4), (1, 1), (1, 1), per_sample=True)(x)
    np.testing.assert_array_equal(values(whole), values(F.resize(x, (5, 4))))


def test_per_sample_resized_crop_is_a_crop_resized():
    x = noise(8, 3, 30, 40)
    for mode in (MODE.BILINEAR, MODE.NEAREST, MODE.BICUBIC):
        transform = T.RandomResizedCrop((9, 11), (0.1, 0.6), interpolation=mode, per_sample=True)
        mg.manual_seed(1)
        boxes = transform._boxes(8, 30, 40)
        mg.manual_seed(1)
        got = values(transform(x))
        for n, box in enumerate(boxes.tolist()):
            wanted = F.resized_crop(x[n], *box, (9, 11), mode)
            np.testing.assert_array_equal(got[n], values(wanted))
    area = (boxes[:, 2] * boxes[:, 3]) / 1200
    assert (area > 0.08).all() and (area < 0.65).all()
    narrow = T.RandomResizedCrop(8, (0.9, 1.0), (0.1, 0.2), per_sample=True)
    assert narrow._boxes(3, 30, 40).tolist() == [[0, 17, 30, 6]] * 3


def test_ranges_of_draws():
    """The parameters lie in their ranges and fill them."""
    image = noise(3, 40, 60)
    angles = [T.RandomRotation.get_params([-10, 20]) for _ in range(300)]
    assert -10 <= min(angles) < -8 and 18 < max(angles) <= 20
    drawn = [
        T.RandomAffine.get_params([0, 0], (0.1, 0.2), (0.5, 2.0), [-3, 3, 1, 2], [60, 40])
        for _ in range(300)
    ]
    moves = np.array([each[1] for each in drawn])
    assert (abs(moves[:, 0]) <= 6).all() and (abs(moves[:, 1]) <= 8).all()
    assert {abs(each) for each in moves[:, 0].tolist()} == set(range(7))
    assert all(0.5 <= each[2] <= 2 and 1 <= each[3][1] <= 2 for each in drawn)
    for _ in range(50):
        top, left, height, width = T.RandomResizedCrop.get_params(image, (0.2, 0.5), (0.5, 2))
        assert 0 <= top <= 40 - height and 0 <= left <= 60 - width
        assert 0.18 < height * width / 2400 < 0.52 and 0.45 < width / height < 2.2
    orders = {
        tuple(T.ColorJitter.get_params(None, None, None, None)[0].tolist()) for _ in range(300)
    }
    assert len(orders) == 24


def test_random_choice_and_order():
    add, double = (lambda x: x + 1), (lambda x: x * 2)
    one = mg.tensor(3)
    choice = T.RandomChoice([add, double], [3, 1])
    results = [choice(one).item() for _ in range(400)]
    assert set(results) == {4, 6} and same_share(results.count(4), 400, 0.75)
    order = T.RandomOrder([add, double])
    results = [order(one).item() for _ in range(400)]
    assert set(results) == {8, 7} and same_share(results.count(8), 400, 0.5)


def test_noise_and_erasing():
    x = mg.full((3, 60, 60), 0.5)
    noisy = T.GaussianNoise(0.1, 0.05)(x)
    assert abs(noisy.mean().item() - 0.6) < 0.003 and abs(noisy.std().item() - 0.05) < 0.003
    strong = T.GaussianNoise(sigma=2.0)(x)
    assert strong.min().item() == 0 and strong.max().item() == 1
    assert T.GaussianNoise(sigma=2.0, clip=False)(x).max().item() > 1
    for per_sample in (False, True):
        batch = x.expand(64, 3, 60, 60).clone()
        erased = T.RandomErasing(1.0, (0.1, 0.3), value=(1, 2, 3), per_sample=per_sample)(batch)
        for image in erased.numpy():
            share = (image[0] == 1).mean()
            assert 0.08 < share < 0.32 and (image[2] == 3).mean() == share
        inplace = T.RandomErasing(1.0, inplace=True, per_sample=per_sample)
        assert inplace(batch) is batch and batch.min().item() == 0
    kept = T.RandomErasing(1.0, (1.0, 1.0), per_sample=True)(batch)
    assert mg.equal(kept, batch)  # a rectangle as large as the image is refused
    noisy = T.RandomErasing(1.0, (0.2, 0.3), value="random", per_sample=True)(batch)
    assert noisy.min().item() < -1


def test_compose_of_modules():
    """As in torchvision, transforms are modules: nn.Sequential chains them."""
    x = noise(2, 3, 12, 12)
    chain = mg.nn.Sequential(
        T.CenterCrop(8), T.ConvertImageDtype(mg.float32), T.Normalize([0.5], [0.5])
    )
    listed = T.Compose(
        [T.CenterCrop(8), T.ConvertImageDtype(mg.float32), T.Normalize([0.5], [0.5])]
    )
    np.testing.assert_array_equal(chain(x).numpy(), listed(x).numpy())


def test_recorded_draws_are_new():
    """Per-sample crops, flips and rotations are launches with their draws in memory."""
    x = noise(16, 3, 12, 12)
    chain = T.Compose(
        [
            T.RandomCrop(12, padding=2, per_sample=True),
            T.RandomHorizontalFlip(per_sample=True),
            T.RandomAffine(10, (0.1, 0.1), per_sample=True),
        ]
    )
    mg.manual_seed(1)
    wanted = [values(chain(x)) for _ in range(3)]
    mg.manual_seed(1)
    with kernels.record() as plan:
        result = chain(x)
    got = [values(result).copy()]
    for _ in range(2):
        plan.replay()
        got.append(values(result).copy())
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_do_not_matter(threads):
    x = noise(40, 3, 40, 40)
    results = []
    for count in (2, threads):
        mg.set_num_threads(count)
        mg.manual_seed(0)
        for transform in (
            T.RandomAffine(30, (0.1, 0.1), (0.8, 1.2), 5, MODE.BILINEAR, per_sample=True),
            T.RandomResizedCrop(32, per_sample=True),
            T.RandomCrop(40, 4, per_sample=True),
            T.ColorJitter(hue=0.5, per_sample=True),
        ):
            results.append(values(transform(x)))
    for first_, second in zip(results[:4], results[4:], strict=True):
        np.testing.assert_array_equal(first_, second)


# ---- errors ----

IMAGE = np.zeros((3, 8, 8), np.uint8)
ERRORS = [
    (TypeError, lambda x: F.hflip("image")),
    (TypeError, lambda x: F.hflip(mg.zeros(3))),
    (TypeError, lambda x: F.to_tensor(x)),
    (ValueError, lambda x: F.to_tensor(np.zeros(3))),
    (TypeError, lambda x: F.pil_to_tensor(IMAGE)),
    (TypeError, lambda x: F.to_pil_image("image")),
    (ValueError, lambda x: F.to_pil_image(mg.zeros(5, 2, 2))),
    (ValueError, lambda x: F.to_pil_image(mg.zeros(2))),
    (ValueError, lambda x: F.to_pil_image(x, "L")),
    (ValueError, lambda x: F.to_pil_image(x[:1], "RGB")),
    (TypeError, lambda x: F.to_pil_image(mg.zeros(3, 2, 2, dtype=mg.int64))),
    (TypeError, lambda x: F.normalize(x, [0.5], [0.5])),
    (TypeError, lambda x: F.normalize(IMAGE, [0.5], [0.5])),
    (ValueError, lambda x: F.normalize(mg.zeros(2, 2), [0.5], [0.5])),
    (ValueError, lambda x: F.normalize(mg.zeros(1, 2, 2), [0.5], [0.0])),
    (RuntimeError, lambda x: F.convert_image_dtype(mg.zeros(1, 2, 2), mg.int64)),
    (TypeError, lambda x: T.ConvertImageDtype("float32")),
    (TypeError, lambda x: F.pad(x, "1")),
    (ValueError, lambda x: F.pad(x, (1, 2, 3))),
    (ValueError, lambda x: F.pad(x, 1, padding_mode="circular")),
    (TypeError, lambda x: F.pad(x, 1, padding_mode=1)),
    (TypeError, lambda x: F.pad(x, 1, fill="red")),
    (ValueError, lambda x: F.pad(x, 1, fill=(1, 2))),
    (ValueError, lambda x: F.pad(pil(x), 1, fill=(1, 2))),
    (RuntimeError, lambda x: F.pad(mg.zeros(1, 0, 3), 1, padding_mode="edge")),
    (TypeError, lambda x: T.Pad("1")),
    (ValueError, lambda x: T.Pad((1, 2, 3))),
    (ValueError, lambda x: T.CenterCrop((1, 2, 3))),
    (ValueError, lambda x: F.five_crop(x, 9)),
    (ValueError, lambda x: T.RandomCrop(9)(x)),
    (ValueError, lambda x: T.RandomCrop(9, per_sample=True)(x.unsqueeze(0))),
    (ValueError, lambda x: T.RandomCrop((1, 2, 3))),
    (TypeError, lambda x: F.resize(x, 4, "bilinear")),
    (ValueError, lambda x: F.resize(x, 4, MODE.LANCZOS)),
    (TypeError, lambda x: T.Resize("4")),
    (ValueError, lambda x: T.Resize((1, 2, 3))),
    (ValueError, lambda x: F.resize(x, (4, 4), max_size=5)),
    (ValueError, lambda x: F.resize(x, 4, max_size=4)),
    (RuntimeError, lambda x: F.resize(x, (0, 4))),
    (TypeError, lambda x: T.RandomResizedCrop(4, scale=0.5)),
    (TypeError, lambda x: F.rotate(x, "1")),
    (TypeError, lambda x: F.rotate(x, 1, "nearest")),
    (ValueError, lambda x: F.rotate(x, 1, MODE.BICUBIC)),
    (ValueError, lambda x: F.rotate(x, 1, center=(1, 2, 3))),
    (ValueError, lambda x: F.rotate(x, 1, fill=(1, 2))),
    (ValueError, lambda x: T.RandomRotation(-1)),
    (ValueError, lambda x: T.RandomRotation((1, 2, 3))),
    (TypeError, lambda x: T.RandomRotation(1, center=1)),
    (ValueError, lambda x: T.RandomRotation(1, expand=True, per_sample=True)),
    (TypeError, lambda x: F.affine(x, 1, 1, 1.0, 0)),
    (ValueError, lambda x: F.affine(x, 1, [1, 2], 0.0, 0)),
    (ValueError, lambda x: F.affine(x, 1, [1], 1.0, 0)),
    (TypeError, lambda x: F.affine(x, 1, [1, 2], 1.0, "0")),
    (ValueError, lambda x: T.RandomAffine(1, (0.5, 1.5))),
    (ValueError, lambda x: T.RandomAffine(1, scale=(0, 1))),
    (TypeError, lambda x: T.RandomAffine(1, scale=1)),
    (ValueError, lambda x: T.RandomAffine(1, shear=(1, 2, 3))),
    (TypeError, lambda x: T.RandomAffine(1, fill={})),
    (ValueError, lambda x: F.adjust_brightness(x, -1)),
    (ValueError, lambda x: F.adjust_hue(x, 0.6)),
    (ValueError, lambda x: F.adjust_gamma(x, -1)),
    (TypeError, lambda x: F.adjust_contrast(mg.zeros(2, 4, 4), 1)),
    (ValueError, lambda x: F.rgb_to_grayscale(x, 2)),
    (TypeError, lambda x: F.to_grayscale(x)),
    (ValueError, lambda x: T.ColorJitter(-1)),
    (ValueError, lambda x: T.ColorJitter(hue=0.6)),
    (TypeError, lambda x: T.ColorJitter((1, 2, 3))),
    (ValueError, lambda x: T.GaussianBlur(2)),
    (ValueError, lambda x: T.GaussianBlur(3, 0)),
    (ValueError, lambda x: T.GaussianBlur(3, (2, 1))),
    (ValueError, lambda x: F.gaussian_blur(x, 4)),
    (ValueError, lambda x: F.gaussian_blur(x, 3, -1.0)),
    (TypeError, lambda x: F.gaussian_blur(x, 3.0)),
    (ValueError, lambda x: F.gaussian_noise(x)),
    (TypeError, lambda x: F.gaussian_noise(IMAGE)),
    (ValueError, lambda x: F.gaussian_noise(mg.zeros(1, 2, 2), sigma=-1)),
    (ValueError, lambda x: T.RandomErasing(2.0)),
    (ValueError, lambda x: T.RandomErasing(scale=(0, 2))),
    (TypeError, lambda x: T.RandomErasing(scale=0.5)),
    (ValueError, lambda x: T.RandomErasing(value="noise")),
    (TypeError, lambda x: T.RandomErasing(value={})),
    (ValueError, lambda x: T.RandomErasing(1.0, value=(1, 2))(x)),
    (TypeError, lambda x: T.RandomErasing(1.0)(pil(x))),
    (TypeError, lambda x: T.Lambda(1)),
    (TypeError, lambda x: T.RandomChoice(1)),
    (ValueError, lambda x: T.Normalize.fit([])),
    (ValueError, lambda x: T.Normalize.fit(x)),
    (TypeError, lambda x: T.Normalize.fit(["image"])),
    (ValueError, lambda x: T.RandomApply([T.CenterCrop(2)], per_sample=True)(x.unsqueeze(0))),
    (
        NotImplementedError,
        lambda x: F.pad(mg.zeros(1, 2, 2, requires_grad=True), 1).sum().backward(),
    ),
]


@pytest.mark.parametrize("index", range(len(ERRORS)))
def test_error(index):
    error, call = ERRORS[index]
    with pytest.raises(error) as raised:
        call(mg.tensor(IMAGE))
    assert str(raised.value)


def test_without_pillow():
    """Tensors need no Pillow, and what needs it says how to get it."""
    program = """
import sys
sys.modules["PIL"] = None
import minigrad as mg
from minigrad.vision import transforms as T
x = mg.rand(2, 3, 8, 8)
T.Compose([T.RandomCrop(8, 2), T.RandomRotation(9), T.ColorJitter(0.5), T.GaussianBlur(3)])(x)
try:
    T.ToPILImage()(x[0])
except ImportError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "minigrad[vision]" in result.stdout
