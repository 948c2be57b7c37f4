"""Convolution and pooling with their derivatives, against loops in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from native import FLOATS, NULL, array, close, lib, many, ndarray, outputs, own, values

from minigrad.kernel_tools import reference
from minigrad.kernel_tools.families import spatial
from minigrad.kernel_tools.spatial_reference import convolution

KERNELS = {
    "convolution",
    "convolution_input",
    "convolution_weight",
    "unfold",
    "fold",
    "max_pool2d",
    "plane_gather",
    "plane_scatter",
    "avg_pool2d",
    "avg_pool2d_backward",
}

# input, weight, stride, padding, dilation, groups
GEOMETRIES = [
    *spatial.GEOMETRIES,
    ((17, 2, 6), (3, 2, 3), (1,), (1,), (1,), 1),
    ((18, 1, 2, 3, 3), (2, 1, 2, 2, 2), (1, 1, 1), (0, 0, 0), (1, 1, 1), 1),
    ((2, 3, 200), (5, 3, 7), (1,), (3,), (1,), 1),
    ((2, 3, 5, 9, 18), (14, 3, 2, 3, 3), (2, 1, 1), (1, 0, 2), (1, 2, 1), 1),
    ((1, 2, 3, 3, 20), (3, 2, 1, 1, 1), (1, 1, 1), (0, 0, 0), (1, 1, 1), 1),
]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda g: "x".join(map(str, g[0])))
def test_convolution_and_its_derivatives(dtype, geometry):
    shape, kernel, stride, padding, dilation, groups = geometry
    numbers = [*stride, *padding, *dilation, groups]
    rng = np.random.default_rng(0)
    x, w = values(rng, shape, dtype, -1, 1), values(rng, kernel, dtype, -1, 1)
    b = values(rng, kernel[0], dtype)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    wide = [each.astype(np.float64) for each in (x, w, b)]
    wanted = convolution(*wide, **options)
    for layout in ("contiguous", "transposed", "sliced"):
        handles = array(x, layout), array(w, layout)
        got = ndarray(own(lib.mg_convolution(*handles, array(b), numbers)))
        close(got, wanted, 256, 4)
    got = ndarray(own(lib.mg_convolution(array(x), array(w), NULL, numbers)))
    close(got, wanted - wide[2].reshape(-1, *[1] * len(stride)), 256, 4)

    # The derivatives are the adjoint maps: <g, conv(x, w)> = <conv_input(g, w), x>.
    g = values(rng, wanted.shape, dtype, -1, 1)
    got_x = ndarray(
        own(lib.mg_convolution_input(array(g, "sliced"), array(w), NULL, shape[2:], numbers))
    )
    got_w = ndarray(own(lib.mg_convolution_weight(array(x), array(g), kernel[2:], numbers)))
    assert got_x.shape == shape and got_w.shape == kernel
    bias = values(rng, got_x.shape[1], dtype)
    got = own(lib.mg_convolution_input(array(g), array(w), array(bias), shape[2:], numbers))
    close(ndarray(got), got_x + bias.reshape(-1, *[1] * len(stride)), 4, 8)
    for _ in range(3):
        direction_x, direction_w = rng.standard_normal(shape), rng.standard_normal(kernel)
        along_x = (g * convolution(direction_x, wide[1], **options)).sum()
        along_w = (g * convolution(wide[0], direction_w, **options)).sum()
        eps = np.finfo(dtype).eps * 64
        bound_x = eps * (1 + np.abs(got_x * direction_x).sum())
        bound_w = eps * (1 + np.abs(got_w * direction_w).sum()) * 4
        assert abs((got_x * direction_x).sum() - along_x) <= bound_x
        assert abs((got_w * direction_w).sum() - along_w) <= bound_w


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "geometry", [g for g in GEOMETRIES if len(g[0]) == 4], ids=lambda g: "x".join(map(str, g[0]))
)
def test_columns(dtype, geometry):
    """Weights times the unfolded columns are the convolution; folding is the adjoint."""
    shape, (outputs_, _, *kernel), stride, padding, dilation, _ = geometry
    numbers = [*stride, *padding, *dilation, 1]
    rng = np.random.default_rng(0)
    x = values(rng, shape, dtype, -1, 1)
    w = values(rng, (outputs_, shape[1], *kernel), dtype, -1, 1).astype(np.float64)
    wanted = convolution(x.astype(np.float64), w, None, stride, padding, dilation)
    columns = ndarray(own(lib.mg_unfold(array(x, "sliced"), kernel, numbers)))
    got = w.reshape(outputs_, -1) @ columns
    np.testing.assert_allclose(got, wanted.reshape(got.shape), 1e-10, 1e-10)
    g = values(rng, columns.shape, dtype, -1, 1)
    back = ndarray(own(lib.mg_fold(array(g, "transposed"), shape[2:], kernel, numbers)))
    assert back.shape == shape
    bound = np.finfo(dtype).eps * 64 * (1 + np.abs(g * columns).sum())
    assert abs((back.astype(np.float64) * x).sum() - (g * columns).sum(dtype=np.float64)) <= bound


def test_folding_refuses():
    x = array(np.zeros((1, 2, 4, 4), np.float32))
    fine = [1, 1, 0, 0, 1, 1, 1]
    assert lib.mg_unfold(x, [2, 2], fine)
    assert not lib.mg_unfold(x, [5, 2], fine)
    assert not lib.mg_unfold(x, [0, 2], fine)
    assert not lib.mg_unfold(x, [2, 2], [0, *fine[1:]])
    columns = array(np.zeros((1, 8, 9), np.float32))
    assert lib.mg_fold(columns, [4, 4], [2, 2], fine)
    assert not lib.mg_fold(columns, [4, 5], [2, 2], fine)
    assert not lib.mg_fold(columns, [4, 4], [3, 2], fine)
    assert not lib.mg_fold(columns, [4, 4], [0, 2], fine)
    assert not lib.mg_fold(columns, [4, 4], [-1, 2], fine)


def test_conv2d_refuses():
    x, w = array(np.zeros((1, 2, 4, 4), np.float32)), array(np.zeros((3, 2, 3, 3), np.float32))
    fine = [1, 1, 0, 0, 1, 1, 1]
    assert lib.mg_convolution(x, w, NULL, fine)
    for change in ({0: 0}, {2: -1}, {4: 0}, {6: 2}, {6: 0}, {4: 3}):
        numbers = [change.get(i, n) for i, n in enumerate(fine)]
        assert not lib.mg_convolution(x, w, NULL, numbers), change
    assert not lib.mg_convolution(x, array(np.zeros((3, 1, 3, 3), np.float32)), NULL, fine)
    assert not lib.mg_convolution(x, array(np.zeros((3, 2, 3, 3))), NULL, fine)
    assert not lib.mg_convolution(x, w, array(np.zeros(2, np.float32)), fine)


# shape, kernel, stride, padding, dilation, ceil_mode
POOLS = [
    ((2, 3, 8, 8), (2, 2), (2, 2), (0, 0), (1, 1), 0),
    ((1, 2, 7, 9), (3, 2), (2, 1), (1, 1), (1, 1), 0),
    ((1, 2, 7, 9), (3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((2, 1, 6, 5), (2, 3), (3, 2), (0, 1), (1, 1), 1),
    ((1, 1, 9, 9), (2, 2), (1, 2), (0, 0), (3, 2), 0),
    ((1, 1, 1, 1), (1, 1), (1, 1), (0, 0), (1, 1), 0),
    ((0, 2, 4, 4), (2, 2), (2, 2), (0, 0), (1, 1), 0),
    ((1, 2, 3, 67), (1, 3), (1, 1), (0, 1), (1, 1), 0),
]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", POOLS, ids=lambda c: "x".join(map(str, c[0])))
def test_max_pool2d(dtype, case):
    shape, kernel, stride, padding, dilation, ceil_mode = case
    numbers = [*kernel, *stride, *padding, *dilation, ceil_mode, 1, 0]
    rng = np.random.default_rng(0)
    x = rng.permutation(int(np.prod(shape))).reshape(shape).astype(dtype)
    wanted, wanted_indices = reference.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)
    for layout in ("contiguous", "transposed", "sliced"):
        got, indices = outputs(2, lambda r, f=layout: lib.mg_max_pool2d(array(x, f), numbers, r))
        close(got, wanted)
        np.testing.assert_array_equal(indices, wanted_indices)
    assert indices.dtype == np.int64
    gathered = ndarray(own(lib.mg_plane_gather(array(x), array(indices), 2)))
    np.testing.assert_array_equal(gathered, wanted)
    g = values(rng, wanted.shape, dtype)
    expected = np.zeros((*shape[:2], shape[2] * shape[3]))
    for n, c in np.ndindex(*shape[:2]):
        np.add.at(expected[n, c], indices[n, c].reshape(-1), g[n, c].reshape(-1))
    got = ndarray(own(lib.mg_plane_scatter(array(g), array(indices), 2, shape[2:], 0)))
    close(got, expected.reshape(shape), 16, 4)


@pytest.mark.parametrize("dtype", FLOATS)
def test_max_pool2d_of_nan_and_infinity(dtype):
    x = np.full((1, 1, 4, 4), -np.inf, dtype)
    x[0, 0, 0, 1] = np.nan
    x[0, 0, 2, 3] = 5
    got, _ = outputs(2, lambda r: lib.mg_max_pool2d(array(x), [2, 2, 2, 2, 0, 0, 1, 1, 0, 1, 0], r))
    np.testing.assert_array_equal(got[0, 0], [[np.nan, -np.inf], [-np.inf, 5]])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("count_pad,divisor", [(1, 0), (0, 0), (1, 3)])
@pytest.mark.parametrize(
    "case", [c for c in POOLS if c[4] == (1, 1)], ids=lambda c: "x".join(map(str, c[0]))
)
def test_avg_pool2d_and_its_derivative(dtype, case, count_pad, divisor):
    shape, kernel, stride, padding, dilation, ceil_mode = case
    numbers = [*kernel, *stride, *padding, *dilation, ceil_mode, count_pad, divisor]
    rng = np.random.default_rng(0)
    x = values(rng, shape, dtype)

    def exact(v):
        return reference.avg_pool2d(
            v, kernel, stride, padding, ceil_mode, bool(count_pad), divisor or None
        )

    wanted = exact(x.astype(np.float64))
    for layout in ("contiguous", "transposed"):
        close(ndarray(own(lib.mg_avg_pool2d(array(x, layout), numbers))), wanted, 32, 4)
    g = values(rng, wanted.shape, dtype)
    got = ndarray(own(lib.mg_avg_pool2d_backward(array(g), shape[2], shape[3], numbers)))
    assert got.shape == shape
    direction = rng.standard_normal(shape)
    bound = np.finfo(dtype).eps * 256 * (1 + np.abs(got * direction).sum())
    assert abs((got * direction).sum() - (g * exact(direction)).sum()) <= bound


def test_pools_refuse():
    x = array(np.zeros((1, 1, 4, 4), np.float32))
    fine = [2, 2, 2, 2, 0, 0, 1, 1, 0, 1, 0]
    for change in ({0: 0}, {2: 0}, {4: 2}, {0: 9}, {6: 0}, {4: -1}):
        numbers = [change.get(i, n) for i, n in enumerate(fine)]
        assert lib.mg_max_pool2d(x, numbers, many(None, None)) == -1, change
        if 6 not in change:
            assert not lib.mg_avg_pool2d(x, numbers), change
    index = array(np.full((1, 1, 2, 2), 16))
    assert not lib.mg_plane_gather(x, index, 2)
    assert not lib.mg_plane_scatter(array(np.zeros((1, 1, 2, 2), np.float32)), index, 2, [4, 4], 0)
