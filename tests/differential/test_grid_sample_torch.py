"""affine_grid and grid_sample: torch's errors, places that are not numbers, and an affine map of
images by both ways."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import minigrad as mg
from minigrad.vision.transforms import functional as F

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


def grid_sample(library, x, grid, *arguments, **options):
    return library.nn.functional.grid_sample(x, grid, *arguments, align_corners=False, **options)


def affine_grid(library, theta, size):
    return library.nn.functional.affine_grid(theta, size, align_corners=False)


BAD = {
    "mode": lambda m: grid_sample(m, m.ones(1, 1, 2, 2), m.ones(1, 1, 1, 2), "linear"),
    "padding": lambda m: grid_sample(
        m, m.ones(1, 1, 2, 2), m.ones(1, 1, 1, 2), padding_mode="reflect"
    ),
    "dimensions": lambda m: grid_sample(m, m.ones(1, 2, 2), m.ones(1, 1, 2)),
    "grid's dimensions": lambda m: grid_sample(m, m.ones(1, 1, 2, 2), m.ones(1, 1, 2)),
    "grid's last": lambda m: grid_sample(m, m.ones(1, 1, 2, 2), m.ones(1, 1, 1, 3)),
    "batch": lambda m: grid_sample(m, m.ones(2, 1, 2, 2), m.ones(1, 1, 1, 2)),
    "dtype": lambda m: grid_sample(m, m.ones(1, 1, 2, 2), m.ones(1, 1, 1, 2, dtype=m.float64)),
    "no pixels": lambda m: grid_sample(m, m.ones(1, 1, 0, 2), m.ones(1, 1, 1, 2)),
    "bicubic volume": lambda m: grid_sample(
        m, m.ones(1, 1, 2, 2, 2), m.ones(1, 1, 1, 1, 3), "bicubic"
    ),
    "theta's dtype": lambda m: affine_grid(m, m.ones(1, 2, 3, dtype=m.int64), (1, 1, 2, 2)),
    "theta's shape": lambda m: affine_grid(m, m.ones(1, 3, 3), (1, 1, 2, 2)),
    "theta's dimensions": lambda m: affine_grid(m, m.ones(2, 3), (1, 1, 2, 2)),
    "size": lambda m: affine_grid(m, m.ones(1, 2, 3), (1, 2, 2)),
    "size of nothing": lambda m: affine_grid(m, m.ones(1, 2, 3), (1, 1, 0, 2)),
}


@pytest.mark.parametrize("name", BAD)
def test_errors_are_torchs(name):
    with pytest.raises(Exception) as expected:
        BAD[name](torch)
    with pytest.raises(expected.type):
        BAD[name](mg)


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_far_places(mode):
    """Places beyond any pixel give zeros, whatever the input holds there."""
    x = np.full((1, 1, 2, 2), 3.0)
    grid = np.array([[[[1e30, 0.0], [-1e18, 1e18], [9.0, -9.0]]]])
    ours = grid_sample(mg, mg.tensor(x), mg.tensor(grid), mode)
    theirs = grid_sample(torch, torch.tensor(x), torch.tensor(grid), mode)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_of_nothing():
    empty = grid_sample(mg, mg.ones(0, 2, 3, 3), mg.ones(0, 4, 5, 2))
    assert empty.shape == (0, 2, 4, 5)
    assert grid_sample(mg, mg.ones(2, 2, 3, 3), mg.ones(2, 0, 5, 2)).shape == (2, 2, 0, 5)
    assert grid_sample(mg, mg.ones(2, 0, 3, 3), mg.ones(2, 4, 5, 2)).shape == (2, 0, 4, 5)


def test_the_default_is_warned_of():
    with pytest.warns(UserWarning, match="align_corners"):
        mg.nn.functional.grid_sample(mg.ones(1, 1, 2, 2), mg.ones(1, 1, 1, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grid_sample(mg, mg.ones(1, 1, 2, 2), mg.ones(1, 1, 1, 2))


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_is_the_rotation_of_images(mode):
    """A square image rotated by the transforms' kernel, and sampled on its grid."""
    x = mg.rand(2, 3, 12, 12, dtype=mg.float64)
    angle = np.deg2rad(25.0)
    theta = [[np.cos(angle), -np.sin(angle), 0.0], [np.sin(angle), np.cos(angle), 0.0]]
    grid = affine_grid(mg, mg.tensor([theta, theta], dtype=mg.float64), x.shape)
    got, wanted = grid_sample(mg, x, grid, mode), F.rotate(x, 25.0, F.InterpolationMode(mode))
    np.testing.assert_allclose(got.numpy(), wanted.numpy(), atol=1e-12)
