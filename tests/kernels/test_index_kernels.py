"""Indexing by integer arrays, reading and writing, and that no kernel is without a test."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
from native import DTYPES, NULL, array, check, ffi, lib, many, ndarray, own, values

KERNELS = {"index", "index_put"}

# shape, one index shape for each dimension that is indexed (None: taken whole)
CASES = [
    ((7,), [(5,)]),
    ((7,), [(2, 3)]),
    ((7,), [()]),
    ((5, 4), [(3,)]),
    ((5, 4), [None, (3,)]),
    ((5, 4), [(3,), (3,)]),
    ((5, 4), [(3, 1), (4,)]),
    ((3, 4, 5), [None, (6,), None]),
    ((3, 4, 5), [(2,), None, (2,)]),
    ((3, 4, 5), [None, (2, 2), (2,)]),
    ((3, 4), [(0,)]),
    ((3, 67), [(131,)]),
]


def indices_of(rng, shape, index_shapes):
    return [
        None if s is None else rng.integers(-n, n, s)
        for s, n in zip(index_shapes, shape, strict=False)
    ]


def key(indices):
    return tuple(slice(None) if i is None else i for i in indices)


@pytest.mark.parametrize("dtype", DTYPES)
def test_index(dtype):
    rng = np.random.default_rng(0)
    for shape, index_shapes in CASES:
        x = values(rng, shape, dtype)
        indices = indices_of(rng, shape, index_shapes)
        padded = indices + [None] * (len(shape) - len(indices))
        for layout in ("contiguous", "transposed", "sliced"):
            arrays = [None if i is None else array(i, layout) for i in padded]
            got = own(lib.mg_index(array(x, layout), len(padded), many(*arrays)))
            np.testing.assert_array_equal(ndarray(got), x[key(indices)])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("accumulate", [0, 1])
def test_index_put(dtype, accumulate):
    rng = np.random.default_rng(0)
    for shape, index_shapes in CASES:
        x = values(rng, shape, dtype)
        indices = indices_of(rng, shape, index_shapes)
        padded = indices + [None] * (len(shape) - len(indices))
        result_shape = x[key(indices)].shape
        new = values(rng, result_shape, dtype)
        if not accumulate:  # equal values for equal places: the order of writing does not matter
            new = np.broadcast_to(values(rng, (), dtype), result_shape)
        for layout in ("contiguous", "transposed", "sliced"):
            target = array(x, layout)
            arrays = [None if i is None else array(i) for i in padded]
            check(lib.mg_index_put(target, len(padded), many(*arrays), array(new), accumulate))
            wanted = x.copy()
            if accumulate:
                np.add.at(wanted, key(indices), new)
            else:
                wanted[key(indices)] = new
            np.testing.assert_allclose(
                ndarray(target).astype(np.float64), wanted.astype(np.float64), rtol=1e-5, atol=1e-5
            )


def test_index_put_broadcasts_its_values():
    target = array(np.zeros((4, 3)))
    check(lib.mg_index_put(target, 2, many(array(np.array([1, 3])), None), array(np.ones(3)), 0))
    np.testing.assert_array_equal(ndarray(target)[[1, 3]], np.ones((2, 3)))


def test_accumulation_is_the_same_for_every_number_of_threads():
    rng = np.random.default_rng(0)
    index, new = array(rng.integers(0, 50, 20_000)), array(rng.standard_normal(20_000))
    results, threads = [], lib.mg_get_num_threads()
    for count in (1, 2, 3, 4):
        lib.mg_set_num_threads(count)
        target = array(np.zeros(50))
        check(lib.mg_index_put(target, 1, many(index), new, 1))
        results.append(ndarray(target))
    lib.mg_set_num_threads(threads)
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_nonzero(dtype):
    rng = np.random.default_rng(0)
    for shape in [(0,), (7,), (5, 19), (3, 4, 5), (), (2, 0)]:
        x = values(rng, shape, dtype, -1, 1)
        x = np.where(rng.random(shape) < 0.5, x, np.zeros_like(x))
        for layout in ("contiguous", "transposed"):
            got = ndarray(own(lib.mg_nonzero(array(x, layout))))
            np.testing.assert_array_equal(got, np.argwhere(x))
            assert got.dtype == np.int64


def test_refused():
    x = array(np.zeros((3, 4)))
    for bad in (3, -4):
        index = many(array(np.array([bad])), None)
        assert not lib.mg_index(x, 2, index)
        assert lib.mg_index_put(x, 2, index, array(np.zeros(4)), 0) == -1
        assert lib.mg_last_error_kind() == lib.MG_INDEX_ERROR
    floats = array(np.zeros(1))
    assert not lib.mg_index(x, 2, many(floats, None))
    two, three = array(np.array([0, 1])), array(np.array([0, 1, 2]))
    assert not lib.mg_index(x, 2, many(two, three))
    assert lib.mg_index_put(x, 2, many(two, None), array(np.zeros(5)), 0) == -1
    assert not lib.mg_index(array(np.zeros((0, 2))), 2, many(two, NULL))


def test_every_kernel_has_a_test():
    """Each file here names the kernels that it tests; together they are all of kernels.def."""
    tested = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        tested |= importlib.import_module(path.stem).KERNELS
    names = {ffi.string(lib.mg_kernel_name(i)).decode() for i in range(lib.mg_kernel_count())}
    # "host" computes nothing: it calls back what a plan runs in Python (tests/test_compile.py).
    assert tested == names - {"host"}
