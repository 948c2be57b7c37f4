"""The largest element of windows of any place and size, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from native import FLOATS, array, close, lib, many, ndarray, outputs, own, values

KERNELS = {"window_max"}

# shape, windows of each of the last dimensions, whether each plane has its own
CASES = [
    ((2, 3, 9), (5,), False),
    ((2, 3, 9), (5,), True),
    ((2, 7, 40), (4, 33), False),
    ((3, 7, 19), (4, 9), True),
    ((2, 2, 4, 5, 6), (3, 3, 4), False),
    ((2, 2, 4, 5, 70), (3, 3, 40), True),
    ((1, 1, 1), (1, 1), False),
    ((0, 3, 5), (2, 2), False),
]


def draw(rng, size, count):
    """Windows (first, elements, step) within the size; now and then without elements."""
    windows = np.empty((count, 3), np.int64)
    for window in windows:
        first, step = rng.integers(0, size), rng.integers(1, 3)
        window[:] = first, rng.integers(0 if size > 3 else 1, (size - first - 1) // step + 2), step
    return windows


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_window_max(dtype, special, case):
    shape, counts, apart = case
    rng = np.random.default_rng(1)
    dims = len(counts)
    size = shape[len(shape) - dims :]
    planes = int(np.prod(shape[: len(shape) - dims]))
    x = rng.integers(-3, 4, shape).astype(dtype)  # with equal elements
    if special:
        x[rng.random(shape) < 0.2] = np.nan
        x[rng.random(shape) < 0.2] = -np.inf
    tables = [
        np.stack([draw(rng, n, count) for _ in range(planes if apart else 1)])
        for n, count in zip(size, counts, strict=True)
    ]
    wanted = np.full((planes, *counts), -np.inf)
    places = np.zeros((planes, *counts), np.int64)
    flat = x.reshape(planes, *size)
    numbers = np.arange(int(np.prod(size))).reshape(size)
    elements = np.ones((1, *[1] * dims), np.int64)
    for d, table in enumerate(tables):
        elements = elements * np.moveaxis(
            table[:, :, 1].reshape(-1, *[1] * (dims - 1), counts[d]), -1, 1 + d
        )
    for plane, *position in np.ndindex(planes, *counts):
        own_windows = [
            table[plane if apart else 0, i] for table, i in zip(tables, position, strict=True)
        ]
        at = (plane, *position)
        places[at] = numbers[tuple(window[0] for window in own_windows)]
        taken = np.ix_(*[f + s * np.arange(n) for f, n, s in own_windows])
        for value, number in zip(
            flat[plane][taken].reshape(-1), numbers[taken].reshape(-1), strict=True
        ):
            if value > wanted[at] or np.isnan(value):
                wanted[at], places[at] = value, number
    for layout in ("contiguous", "sliced"):
        got, indices = outputs(
            2,
            lambda r, f=layout: lib.mg_window_max(
                array(x, f), dims, many(*[array(table) for table in tables]), r
            ),
        )
        wanted_shape = (*shape[: len(shape) - dims], *counts)
        np.testing.assert_array_equal(got, wanted.reshape(wanted_shape).astype(dtype))
        some = np.broadcast_to(elements, (planes, *counts)).reshape(wanted_shape) > 0
        np.testing.assert_array_equal(indices[some], places.reshape(wanted_shape)[some])


@pytest.mark.parametrize("dtype", FLOATS)
def test_scatter_and_gather(dtype):
    """Over one to three dimensions; with `replace` the last of equal indices stays."""
    rng = np.random.default_rng(0)
    for count, sizes in ((1, [11]), (2, [3, 4]), (3, [2, 3, 2])):
        shape = (3, *[2] * count)
        x = values(rng, shape, dtype)
        indices = rng.integers(0, int(np.prod(sizes)), shape)
        added, put = (np.zeros((3, int(np.prod(sizes))), dtype) for _ in range(2))
        for plane in range(3):
            np.add.at(added[plane], indices[plane].reshape(-1), x[plane].reshape(-1))
            for at, value in zip(indices[plane].reshape(-1), x[plane].reshape(-1), strict=True):
                put[plane, at] = value
        for replace, wanted in ((0, added), (1, put)):
            got = own(lib.mg_plane_scatter(array(x), array(indices), count, sizes, replace))
            close(ndarray(got), wanted.reshape(3, *sizes), 4, 8)
        back = ndarray(own(lib.mg_plane_gather(got, array(indices), count)))
        flat = indices.reshape(3, -1)
        np.testing.assert_array_equal(back.reshape(3, -1), np.take_along_axis(put, flat, 1))


def test_refuses():
    x = array(np.zeros((2, 4), np.float32))
    fine = np.array([[[0, 2, 1], [3, 1, 5]]])

    def call(windows=fine, operand=x, count=1):
        tables = many(*[array(windows)] * count)
        return lib.mg_window_max(operand, count, tables, many(None, None))

    assert call() == 0
    for place, wrong in (((0, 0, 0), -1), ((0, 0, 0), 4), ((0, 0, 1), -1), ((0, 1, 1), 2)):
        windows = fine.copy()
        windows[place] = wrong
        assert call(windows) == -1, (place, wrong)
    assert call(fine[0]) == -1
    assert call(np.concatenate([fine] * 3)) == -1
    assert call(fine.astype(np.int32)) == -1
    assert call(count=0) == -1
    assert call(operand=array(np.zeros((2, 4), np.int64))) == -1
