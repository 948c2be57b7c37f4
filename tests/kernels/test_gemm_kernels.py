"""Matrix products: sizes at the edges of tiles, primes, strides, batches, bias."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from native import FLOATS, NULL, array, lib, ndarray, own, values

KERNELS = {"matmul"}

EDGES = (1, 2, 3, 5, 8, 13, 16, 17, 33)


def product(a, b, bias=None, transpose_a=0, transpose_b=0, layouts=("contiguous", "contiguous")):
    handle = NULL if bias is None else array(bias)
    return ndarray(
        own(
            lib.mg_matmul(
                array(a, layouts[0]), array(b, layouts[1]), handle, transpose_a, transpose_b
            )
        )
    )


def check(got, a, b, bias=0.0):
    """The error of a dot product of length k is below k units of |a| |b| (Higham 2002, 3.1)."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    wanted = a @ b + bias
    bound = (np.abs(a) @ np.abs(b) + np.abs(bias)) * np.finfo(got.dtype).eps * (a.shape[-1] + 4)
    assert got.shape == wanted.shape
    assert (np.abs(got - wanted) <= bound).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_sizes_at_the_edges(dtype):
    rng = np.random.default_rng(0)
    for m, n, k in itertools.product(EDGES, repeat=3):
        a, b = values(rng, (m, k), dtype), values(rng, (k, n), dtype)
        check(product(a, b), a, b)


@pytest.mark.parametrize("dtype", FLOATS)
def test_blocks(dtype):
    """Larger than the blocks of every level: registers, packs, caches."""
    rng = np.random.default_rng(0)
    for m, n, k in [
        (131, 257, 521),
        (300, 70, 1031),
        (1, 1031, 300),
        (1031, 1, 300),
        (67, 1500, 5),
    ]:
        a, b = values(rng, (m, k), dtype), values(rng, (k, n), dtype)
        check(product(a, b), a, b)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("transpose_a", [0, 1])
@pytest.mark.parametrize("transpose_b", [0, 1])
def test_transposes_and_strides(dtype, transpose_a, transpose_b):
    rng = np.random.default_rng(0)
    for m, n, k in [(7, 19, 5), (33, 17, 40), (64, 48, 32), (1, 9, 20), (20, 1, 9)]:
        a = values(rng, (k, m) if transpose_a else (m, k), dtype)
        b = values(rng, (n, k) if transpose_b else (k, n), dtype)
        plain_a, plain_b = (a.T if transpose_a else a), (b.T if transpose_b else b)
        for layouts in itertools.product(("contiguous", "transposed", "sliced"), repeat=2):
            got = product(a, b, None, transpose_a, transpose_b, layouts)
            check(got, plain_a, plain_b)


@pytest.mark.parametrize("dtype", FLOATS)
def test_batches(dtype):
    rng = np.random.default_rng(0)
    for shape_a, shape_b in [
        ((3, 4, 5), (3, 5, 6)),
        ((4, 5), (3, 5, 6)),
        ((3, 4, 5), (5, 6)),
        ((2, 1, 4, 5), (3, 5, 6)),
        ((2, 3, 1, 7), (1, 3, 7, 2)),
        ((0, 4, 5), (5, 6)),
        ((70, 3, 2), (70, 2, 3)),
    ]:
        a, b = values(rng, shape_a, dtype), values(rng, shape_b, dtype)
        check(product(a, b), a, b)
        if a.size:
            check(product(a, b, layouts=("sliced", "transposed")), a, b)


@pytest.mark.parametrize("dtype", FLOATS)
def test_bias(dtype):
    rng = np.random.default_rng(0)
    for m, n, k in [(5, 7, 3), (32, 64, 64), (1, 19, 17), (4, 3, 0), (0, 3, 2)]:
        a, b, bias = values(rng, (m, k), dtype), values(rng, (n, k), dtype), values(rng, n, dtype)
        check(product(a, b, bias, 0, 1), a, b.T, bias)


@pytest.mark.parametrize("dtype", FLOATS)
def test_empty_and_special(dtype):
    for m, n, k in [(0, 3, 2), (3, 0, 2), (3, 2, 0), (0, 0, 0)]:
        a, b = np.ones((m, k), dtype), np.ones((k, n), dtype)
        np.testing.assert_array_equal(product(a, b), np.zeros((m, n)))
    a, b = np.ones((5, 20), dtype), np.ones((20, 33), dtype)
    a[2, 3] = np.nan
    b[4, 7] = np.inf
    got = product(a, b)
    assert np.isnan(got[2]).all() and np.isinf(np.delete(got, 2, 0)[:, 7]).all()
    a = np.zeros((3, 4), dtype)
    a[1, 1] = np.inf
    with np.errstate(invalid="ignore"):
        assert np.isnan(product(a, np.zeros((4, 3), dtype))[1]).all()  # inf times 0


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_integers(dtype):
    rng = np.random.default_rng(0)
    a, b = values(rng, (7, 19), dtype), values(rng, (19, 5), dtype)
    np.testing.assert_array_equal(product(a, b), a @ b)


def test_refused():
    a = array(np.zeros((2, 3), np.float32))
    assert not lib.mg_matmul(a, a, NULL, 0, 0)
    assert lib.mg_matmul(a, a, NULL, 1, 0) and lib.mg_matmul(a, a, NULL, 0, 1)
    assert not lib.mg_matmul(a, array(np.zeros((3, 2))), NULL, 0, 0)
    b = array(np.zeros((3, 2), np.float32))
    assert not lib.mg_matmul(a, b, array(np.zeros(3, np.float32)), 0, 0)
    batches = [array(np.zeros((n, 2, 2), np.float32)) for n in (2, 3)]
    assert not lib.mg_matmul(*batches, NULL, 0, 0)


def test_a_row_does_not_depend_on_the_others():
    """The same dot product gives the same bits wherever it stands, with any number of threads."""
    rng = np.random.default_rng(0)
    a, b = values(rng, (67, 129), "float32"), values(rng, (129, 83), "float32")
    results = []
    threads = lib.mg_get_num_threads()
    for count in (1, 2, 3):
        lib.mg_set_num_threads(count)
        results.append(product(a, b))
    lib.mg_set_num_threads(threads)
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
