"""Transforms of tensors against torch's functions, composed as torchvision documents them."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as TF  # noqa: E402

import minigrad as mg  # noqa: E402
from minigrad.vision import transforms as T  # noqa: E402
from minigrad.vision.transforms import functional as F  # noqa: E402

pytestmark = pytest.mark.torch
MODE = T.InterpolationMode
DTYPES = ["uint8", "float32", "float64"]


def pair(shape, dtype):
    """The same images, ours and torch's."""
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, shape) if dtype == "uint8" else rng.random(shape)
    x = x.astype(dtype)
    return mg.tensor(x), torch.tensor(x)


def computed(theirs):
    return theirs if theirs.is_floating_point() else theirs.float()


def close(got, wanted, dtype):
    """wanted: computed in floats. A byte is a rounded float: at a tie either neighbour."""
    assert got.dtype == getattr(mg, dtype) and tuple(got.shape) == tuple(wanted.shape)
    if dtype == "uint8":
        assert abs(got.numpy() - wanted.numpy().clip(0, 255)).max() <= 0.5 + 1e-3
    else:
        tolerance = 1e-5 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(got.numpy(), wanted.numpy(), atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(5, 7), (31, 20), (64, 6), (1, 1), (17, 23), (90, 90)])
def test_resize(size, mode, antialias, dtype):
    ours, theirs = pair((2, 3, 17, 23), dtype)
    smooth = mode in ("bilinear", "bicubic")
    wanted = TF.interpolate(
        computed(theirs),
        size,
        mode=mode,
        align_corners=False if smooth else None,
        antialias=antialias and smooth,
    )
    close(F.resize(ours, size, MODE(mode), antialias=antialias), wanted, dtype)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])
def test_pad(mode):
    ours, theirs = pair((2, 3, 6, 7), "float32")
    names = {"edge": "replicate"}
    for left, top, right, bottom in ((1, 2, 3, 4), (0, 5, 6, 0), (-1, 2, 3, -2)):
        value = {"value": 0.5} if mode == "constant" else {}
        wanted = TF.pad(theirs, [left, right, top, bottom], names.get(mode, mode), **value)
        got = F.pad(ours, (left, top, right, bottom), 0.5, mode)
        np.testing.assert_array_equal(got.numpy(), wanted.numpy())


def warp(theirs, matrix, mode, fill, size=None):
    """The grid of an affine map about the centre, sampled; a channel of ones marks the inside."""
    images = computed(theirs)
    height, width = images.shape[-2:]
    out_height, out_width = size or (height, width)
    kind = images.dtype
    x = torch.arange(out_width, dtype=kind) + 0.5 - out_width / 2
    y = torch.arange(out_height, dtype=kind) + 0.5 - out_height / 2
    places = torch.stack([x.expand(out_height, -1), y[:, None].expand(-1, out_width)], -1)
    m = torch.tensor(matrix, dtype=kind).reshape(2, 3)
    grid = (places @ m[:, :2].T + m[:, 2]) / torch.tensor([width / 2, height / 2], dtype=kind)
    grid = grid.expand(len(images), -1, -1, -1)
    if fill is not None:
        images = torch.cat([images, torch.ones_like(images[:, :1])], 1)
    out = TF.grid_sample(images, grid, mode=mode, padding_mode="zeros", align_corners=False)
    if fill is None:
        return out
    out, mask = out[:, :-1], out[:, -1:]
    colour = torch.tensor(fill, dtype=kind).reshape(1, -1, 1, 1)
    if mode == "nearest":
        return torch.where(mask < 0.5, colour, out)
    return out * mask + (1 - mask) * colour


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("fill", [None, [0.0], [0.25, 0.5, 1.0]])
def test_affine(mode, fill, dtype):
    ours, theirs = pair((2, 3, 17, 23), dtype)
    if fill is not None and dtype == "uint8":
        fill = [round(255 * each) for each in fill]
    for angle, translate, scale, shear in (
        (0.0, [0, 0], 1.0, [0.0, 0.0]),
        (33.3, [2, -3], 1.2, [5.0, -7.0]),
        (-121.7, [0, 0], 0.6, [0.0, 20.0]),
        (0.0, [3, 4], 0.5, [0.0, 0.0]),  # between two pixels: to the even one
    ):
        rotation, sx, sy = (math.radians(each) for each in (angle, *shear))
        turn = np.array(
            [[math.cos(rotation), -math.sin(rotation)], [math.sin(rotation), math.cos(rotation)]]
        )
        slant = np.array([[1, -math.tan(sx)], [0, 1]])
        lean = np.array([[1, 0], [-math.tan(sy), 1]])
        inverse = np.linalg.inv(scale * turn @ lean @ slant)
        matrix = np.column_stack([inverse, -inverse @ translate])
        wanted = warp(theirs, matrix, mode, fill)
        got = F.affine(ours, angle, translate, scale, shear, MODE(mode), fill)
        if mode == "nearest":
            same = (got.numpy() == wanted.numpy().astype(dtype)).mean()
            assert same > 0.999 if dtype != "float64" else same == 1
        else:
            close(got, wanted, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gaussian_blur(dtype):
    ours, theirs = pair((2, 3, 12, 13), dtype)
    images = computed(theirs)
    for sizes, sigmas in (([3, 5], [0.8, 1.4]), ([9, 1], [2.0, 0.5])):
        kernels = []
        for size, sigma in zip(sizes, sigmas, strict=True):
            x = torch.arange(size, dtype=images.dtype) - size // 2
            weights = torch.exp(-0.5 * (x / sigma) ** 2)
            kernels.append(weights / weights.sum())
        kernel = torch.outer(kernels[1], kernels[0]).expand(3, 1, -1, -1)
        left, top = sizes[0] // 2, sizes[1] // 2
        padded = TF.pad(images, [left, left, top, top], "reflect")
        close(F.gaussian_blur(ours, sizes, sigmas), TF.conv2d(padded, kernel, groups=3), dtype)


def luma(x):
    gray = 0.2989 * x[..., 0:1, :, :] + 0.587 * x[..., 1:2, :, :] + 0.114 * x[..., 2:3, :, :]
    return gray.to(x.dtype)


def blend(x, other, factor):
    bound = 1.0 if x.is_floating_point() else 255
    return (factor * x + (1.0 - factor) * other).clamp(0, bound).to(x.dtype)


FORMULAS = {
    "adjust_brightness": lambda x, f: blend(x, torch.zeros_like(x), f),
    "adjust_saturation": lambda x, f: blend(x, luma(x), f),
    "adjust_contrast": lambda x, f: blend(x, computed(luma(x)).mean((-3, -2, -1), keepdim=True), f),
    "rgb_to_grayscale": lambda x, f: luma(x),
    "adjust_gamma": lambda x, f: (
        (x.double() / (1 if x.is_floating_point() else 255)).pow(f).clamp(0, 1)
    ),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("factor", [0.0, 0.4, 1.3, 3.0])
def test_colours(name, factor, dtype):
    ours, theirs = pair((4, 3, 9, 8), dtype)
    arguments = () if name == "rgb_to_grayscale" else (factor,)
    got, wanted = getattr(F, name)(ours, *arguments), FORMULAS[name](theirs, factor)
    if name == "adjust_gamma" and dtype == "uint8":
        wanted = (wanted * 255.999).floor()
    # An integer is what a sum was cut to: a rounding error may cut it to the next one.
    np.testing.assert_allclose(
        got.numpy().astype(np.float64),
        wanted.numpy().astype(np.float64),
        atol=1 if dtype == "uint8" else 1e-5 if dtype == "float32" else 1e-7,
    )
    if dtype == "uint8":
        assert (got.numpy() == wanted.numpy()).mean() > 0.99


def test_fit_is_torchs_moments():
    ours, theirs = pair((50, 3, 9, 8), "float32")
    fitted = T.Normalize.fit(ours)
    doubles = theirs.double()
    np.testing.assert_allclose(fitted.mean, doubles.mean((0, 2, 3)).numpy(), rtol=1e-12)
    wanted = doubles.std((0, 2, 3), correction=0).numpy()
    np.testing.assert_allclose(fitted.std, wanted, rtol=1e-9)
