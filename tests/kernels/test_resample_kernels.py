"""Resampling by sparse matrices, against products with full ones."""

from __future__ import annotations

import numpy as np
import pytest
from native import DTYPES, FLOATS, array, close, lib, many, ndarray, own, values

KERNELS = {"resample"}


def resample(x, axes, sizes, fill=0.0):
    """axes: (offsets and columns, weights or None) for each of the last dimensions."""
    tables = [None if each is None else array(np.asarray(each)) for pair in axes for each in pair]
    return own(lib.mg_resample(x, len(axes), sizes, many(*tables), fill))


def matrix(rng, size, rows, taps):
    """A random sparse matrix, as offsets and columns, weights, and in full."""
    counts = rng.integers(0, taps + 1, rows) if taps > 0 else np.full(rows, -taps)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    columns = rng.integers(0, size, offsets[-1])
    weights = rng.uniform(-1, 1, offsets[-1])
    full = np.zeros((rows, size))
    np.add.at(full, (np.repeat(np.arange(rows), counts), columns), weights)
    ones = np.zeros((rows, size))
    np.add.at(ones, (np.repeat(np.arange(rows), counts), columns), 1.0)
    return np.concatenate([offsets, columns]).astype(np.int64), weights, full, ones


# shape, rows of the last dimensions, taps (negative: in every row as many)
SUMS = [
    ((2, 3, 5), (7,), 3),
    ((2, 3, 5), (7,), -2),
    ((2, 3, 17), (34,), -4),
    ((2, 5, 6), (3, 9), 3),
    ((1, 2, 9, 33), (20, 5), -2),
    ((2, 3, 4, 5), (6, 2, 9), 3),
    ((3, 2, 70), (4, 70), -1),
    ((0, 3, 5), (4,), 2),
    ((2, 1, 1), (1, 1), 1),
    ((40, 31, 33), (45, 47), -4),
]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("case", SUMS, ids=lambda c: "x".join(map(str, c[0])) + f"/{c[2]}")
def test_sums(dtype, weighted, case):
    shape, sizes, taps = case
    rng = np.random.default_rng(0)
    x = values(rng, shape, dtype, -1, 1)
    first = len(shape) - len(sizes)
    made = [matrix(rng, shape[first + i], rows, taps) for i, rows in enumerate(sizes)]
    wanted = x.astype(np.float64)
    for i, each in enumerate(made):
        full = each[2] if weighted else each[3]
        wanted = np.moveaxis(np.moveaxis(wanted, first + i, -1) @ full.T, -1, first + i)
    axes = [(each[0], each[1].astype(dtype) if weighted else None) for each in made]
    for layout in ("contiguous", "transposed", "sliced"):
        close(ndarray(resample(array(x, layout), axes, sizes)), wanted, 64, 8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [(0, 1, 2, 3), (-1, -1, 1, 2, 3, -1), (3, 2, 1, 0, 0, 0, 1)])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_moves(dtype, columns, axes):
    """Maps with at most one element each, in any dtype; -1 is the fill."""
    rng = np.random.default_rng(0)
    x = values(rng, (2, 4, 4, 4), dtype)
    columns = np.array(columns)
    taken = columns[columns >= 0]
    index = np.concatenate([[0], np.cumsum(columns >= 0), taken])
    wanted = x
    for d in range(4 - axes, 4):
        wanted = np.take(wanted, np.maximum(columns, 0), d)
        empty = tuple(slice(None) if e != d else columns < 0 for e in range(4))
        wanted[empty] = 3
    sizes = [len(columns)] * axes
    got = ndarray(resample(array(x, "sliced"), [(index, None)] * axes, sizes, 3.0))
    np.testing.assert_array_equal(got, wanted.astype(dtype))


def test_refuses():
    x = array(np.zeros((2, 4), np.float32))
    fine = np.array([0, 1, 2, 0, 3])

    def call(index=fine, size=2, weights=None, operand=x, count=1):
        tables = many(*[array(index), None if weights is None else array(weights)] * count)
        return lib.mg_resample(operand, count, [size] * count, tables, 0.0)

    assert call()
    assert not call(size=3)
    assert not call(size=-1)
    assert not call(index=np.array([0, 1, 2, 0, 4]))
    assert not call(index=np.array([0, 1, 2, 0, -1]))
    assert not call(index=fine.astype(np.int32))
    assert not call(weights=np.ones(3, np.float32))
    assert not call(weights=np.ones(2))
    assert not call(count=0)
    assert not call(count=3)
    integers = array(np.zeros((2, 4), np.int32))
    assert call(operand=integers)
    assert not call(index=np.array([0, 2, 2, 0, 3]), operand=integers)
