"""Sampling on a grid: the kernel against the composition of plain operations, values and both
derivatives, with places inside, outside, and that are no numbers."""

from __future__ import annotations

import numpy as np
import pytest
from native import array, close, lib, ndarray, own, values

import minigrad as mg
from minigrad.ops.grid_sample import GridSample, sampled

KERNELS = {"grid_sample", "grid_sample_backward"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("aligned", [False, True])
def test_kernel_is_the_composition(dtype, mode, padding, aligned):
    rng = np.random.default_rng(0)
    for shape, size in (((2, 3, 5, 6), (4, 7)), ((1, 1, 1, 1), (3, 3)), ((3, 2, 4, 1), (40, 40))):
        x = values(rng, shape, dtype)
        # Multiples of 1/64 apart from pixels, so that both find the same neighbours.
        grid = ((rng.integers(-160, 160, (shape[0], *size, 2)) + 0.3) / 64).astype(dtype)
        weights = mg.tensor(values(rng, (*shape[:2], *size), dtype))
        ours = [mg.tensor(each, requires_grad=True) for each in (x, grid)]
        theirs = [mg.tensor(each, requires_grad=True) for each in (x, grid)]
        got = GridSample(mode, padding, aligned).apply(*ours)
        wanted = sampled(*theirs, mode, padding, aligned)
        close(got.detach().numpy(), wanted.detach().numpy(), 64, 8)
        (got * weights).sum().backward()
        (wanted * weights).sum().backward()
        for mine, other in zip(ours, theirs, strict=True):
            close(mine.grad.numpy(), other.grad.numpy(), 256, 64)


def test_places_that_are_no_numbers():
    x = array(np.ones((1, 1, 3, 3)))
    for place in (np.nan, np.inf, -np.inf, 1e300):
        grid = array(np.full((1, 1, 1, 2), place))
        for padding in range(3):
            for nearest in (0, 1):
                got = ndarray(own(lib.mg_grid_sample(x, grid, nearest, padding, 0)))
                assert got.shape == (1, 1, 1, 1)
                assert padding or got == 0


def test_refused():
    x, grid = array(np.zeros((2, 1, 3, 3))), array(np.zeros((2, 1, 1, 2)))
    for images, places in (
        (x, array(np.zeros((1, 1, 1, 2)))),
        (x, array(np.zeros((2, 1, 1, 3)))),
        (x, array(np.zeros((2, 1, 1, 2), np.float32))),
        (array(np.zeros((2, 1, 0, 3))), grid),
    ):
        assert not lib.mg_grid_sample(images, places, 0, 0, 0)
    assert not lib.mg_grid_sample(x, grid, 0, 3, 0)
