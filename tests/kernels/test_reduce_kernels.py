"""Reductions, softmax, cross-entropy and batch normalisation against float64 NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from native import (
    DTYPES,
    FLOATS,
    NULL,
    array,
    close,
    ffi,
    lib,
    ndarray,
    outputs,
    own,
    values,
)

from minigrad.kernel_tools import reference

KERNELS = {
    "reduce",
    "softmax",
    "softmax_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "batch_norm",
    "batch_norm_backward",
}

FUNCTIONS = {
    "sum": (np.sum, DTYPES),
    "prod": (np.prod, DTYPES),
    "mean": (np.mean, FLOATS),
    "max": (np.max, DTYPES),
    "min": (np.min, DTYPES),
    "any": (np.any, DTYPES),
    "all": (np.all, DTYPES),
}
SHAPES = [(1,), (5,), (67,), (3, 4), (7, 67), (67, 7), (2, 3, 5), (5, 1, 33), (2, 3, 4, 5)]


def masks(ndim):
    dims = range(ndim)
    return [c for n in range(1, ndim + 1) for c in itertools.combinations(dims, n)]


def bits(dims):
    return sum(1 << d for d in dims)


def reduce(name, handle, dims, keepdim=0):
    return ndarray(
        own(lib.mg_reduce(lib.mg_find_reduction(name.encode()), handle, bits(dims), keepdim))
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_reduce(name, dtype):
    function, dtypes = FUNCTIONS[name]
    if dtype not in dtypes:
        pytest.skip("not for this dtype")
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        bounds = (0.8, 1.2) if name == "prod" and dtype in FLOATS else (-2, 2)
        x = values(rng, shape, dtype, *bounds)
        wide = x.astype(np.float64) if dtype in FLOATS else x
        for dims in masks(len(shape)):
            layout = ("contiguous", "transposed", "sliced")[sum(dims) % 3]
            wanted = np.asarray(function(wide, axis=dims))
            got = reduce(name, array(x, layout), dims)
            if name in ("any", "all") and got.dtype != bool:
                wanted = wanted.astype(got.dtype)
            with np.errstate(all="ignore"):
                close(got, wanted, 64, float(np.abs(wide).sum()) / 8 + 1)
    x = values(rng, (3, 4, 5), dtype)
    assert reduce(name, array(x), (0, 2), 1).shape == (1, 4, 1)


@pytest.mark.parametrize("dtype", DTYPES[1:])
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_arg_reduce(name, dtype):
    rng = np.random.default_rng(0)
    function = getattr(np, name)
    for shape in SHAPES:
        x = values(rng, shape, dtype, -9, 9)  # with ties: the first one counts
        for dim in range(len(shape)):
            for layout in ("contiguous", "transposed", "sliced"):
                got = reduce(name, array(x, layout), (dim,))
                np.testing.assert_array_equal(got, function(x, axis=dim))
    if dtype in FLOATS:
        x = np.array([1.0, np.nan, 3.0, np.nan] * 9, dtype)
        assert reduce(name, array(x), (0,)) == 1


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["max", "min", "sum", "mean", "prod"])
def test_nan_spreads(name, dtype):
    for place in (0, 3, 40, 66):
        x = np.ones((2, 67), dtype)
        x[1, place] = np.nan
        got = reduce(name, array(x), (1,))
        assert not np.isnan(got[0]) and np.isnan(got[1])
        got = reduce(name, array(x), (0,))
        assert np.isnan(got[place]) and np.isnan(got).sum() == 1


@pytest.mark.parametrize("dtype", FLOATS)
def test_sums_are_accurate(dtype):
    """Pairwise or better: the error does not grow with the number of elements."""
    x = np.full(1_000_003, 0.1, dtype)
    wanted = float(x[0]) * x.size
    got = float(reduce("sum", array(x), (0,)))
    assert abs(got - wanted) <= 32 * np.finfo(dtype).eps * wanted


def test_empty_reductions():
    x = np.zeros((0, 3))
    np.testing.assert_array_equal(reduce("sum", array(x), (0,)), np.zeros(3))
    np.testing.assert_array_equal(reduce("prod", array(x), (0,)), np.ones(3))
    assert np.isnan(reduce("mean", array(x), (0, 1)))
    assert reduce("sum", array(x), (1,)).shape == (0,)
    assert not lib.mg_reduce(lib.mg_find_reduction(b"max"), array(x), 1, 0)
    assert reduce("max", array(x), (1,)).shape == (0,)
    assert bool(reduce("all", array(x), (0, 1))) and not bool(reduce("any", array(x), (0, 1)))


@pytest.mark.parametrize("dtype", FLOATS)
def test_sum_to(dtype):
    rng = np.random.default_rng(0)
    x = values(rng, (2, 3, 4, 5), dtype)
    for shape in [(2, 3, 4, 5), (3, 4, 5), (1, 4, 1), (5,), (), (1, 1, 1, 1), (2, 1, 4, 1)]:
        extra = x.ndim - len(shape)
        axes = tuple(range(extra)) + tuple(
            extra + d for d, n in enumerate(shape) if n == 1 and x.shape[extra + d] != 1
        )
        wanted = x.astype(np.float64).sum(axes).reshape(shape)
        close(ndarray(own(lib.mg_sum_to(array(x), len(shape), list(shape)))), wanted, 32, 8)


# ---- softmax ----


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("logarithm", [0, 1])
def test_softmax_and_its_derivative(dtype, logarithm):
    rng = np.random.default_rng(0)
    for shape in [(1,), (67,), (5, 3), (3, 67), (2, 19, 5), (4, 1, 3), (0, 3), (3, 0)]:
        for dim in range(len(shape)):
            x = values(rng, shape, dtype, -9, 9)
            for layout in ("contiguous", "transposed"):
                got = ndarray(own(lib.mg_softmax(array(x, layout), dim, logarithm)))
                if not x.size:
                    assert got.shape == shape
                    continue
                logs = reference.log_softmax(x.astype(np.float64), dim)
                close(got, logs if logarithm else np.exp(logs), 16, 1)
            if not x.size:
                continue
            g = values(rng, shape, dtype)
            p = np.exp(logs)
            if logarithm:
                wanted = g - p * g.astype(np.float64).sum(dim, keepdims=True)
            else:
                wanted = p * (g - (g * p).sum(dim, keepdims=True))
            got = own(lib.mg_softmax_backward(array(g, layout), array(got), dim, logarithm))
            close(ndarray(got), wanted, 64, 4)


@pytest.mark.parametrize("dtype", FLOATS)
def test_softmax_of_large_values(dtype):
    x = np.array(
        [[1e4, 1e4 - 1, -1e4], [-1e30, -1e30, -1e30], [np.inf, 0, 0], [-np.inf, 0, 0]], dtype
    )
    got = ndarray(own(lib.mg_softmax(array(x), 1, 0)))
    e = 1 / (1 + np.exp(-1.0))
    np.testing.assert_allclose(got[0], [e, 1 - e, 0], rtol=1e-5)
    np.testing.assert_allclose(got[1], [1 / 3] * 3, rtol=1e-6)
    assert np.isnan(got[2, 0])
    np.testing.assert_allclose(got[3], [0, 0.5, 0.5])


# ---- cross-entropy ----

REDUCTIONS = ("none", "mean", "sum")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("reduction", [0, 1, 2])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_cross_entropy_and_its_derivative(dtype, reduction, smoothing):
    rng = np.random.default_rng(0)
    cases = [((5, 3), (5,)), ((7, 67), (7,)), ((2, 4, 3, 2), (2, 3, 2)), ((6,), ())]
    for (shape, inner), weighted in itertools.product(cases, (False, True)):
        classes = shape[1] if len(shape) > 1 else shape[0]
        x = values(rng, shape, dtype)
        target = rng.integers(0, classes, inner)
        if target.size > 3:
            target.reshape(-1)[1] = -100  # ignored
        weight = rng.uniform(0.5, 2, classes).astype(dtype) if weighted else None
        handle = array(weight) if weighted else NULL

        def entry(results, x=x, target=target, handle=handle):
            return lib.mg_cross_entropy(
                array(x), array(target), handle, -100, smoothing, reduction, results
            )

        loss, logs, total = outputs(3, entry)

        def exact(v, target=target, weight=weight):
            w = None if weight is None else weight.astype(np.float64)
            return reference.cross_entropy(
                v, target, w, -100, REDUCTIONS[reduction], label_smoothing=smoothing
            )

        wide = x.astype(np.float64)
        close(loss, exact(wide), 64, 4)
        g = values(rng, loss.shape, dtype)
        got = ndarray(
            own(
                lib.mg_cross_entropy_backward(
                    array(g),
                    array(logs),
                    array(target),
                    handle,
                    array(total),
                    -100,
                    smoothing,
                    reduction,
                )
            )
        )
        if x.size > 40:
            continue
        wanted = np.zeros(shape)
        for place in np.ndindex(shape):
            step = np.zeros(shape)
            step[place] = 1e-6
            slope = (exact(wide + step) - exact(wide - step)) / 2e-6
            wanted[place] = (slope * g).sum()
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=2e-6)


def test_cross_entropy_refuses():
    x, results = array(np.zeros((2, 3), np.float32)), ffi.new("mg_array *[]", 3)
    for target in ([0, 3], [0, -1], [0], [[0, 1]]):
        assert lib.mg_cross_entropy(x, array(np.array(target)), NULL, -100, 0.0, 1, results) == -1
    floats = array(np.zeros(2, np.float32))
    assert lib.mg_cross_entropy(x, floats, NULL, -100, 0.0, 1, results) == -1
    target = array(np.zeros(2, np.int64))
    assert lib.mg_cross_entropy(x, target, floats, -100, 0.0, 1, results) == -1


# ---- batch normalisation ----


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(4, 3), (5, 67), (2, 3, 7), (3, 2, 5, 4), (2, 1, 3, 3)])
def test_batch_norm_training(dtype, shape):
    rng = np.random.default_rng(0)
    channels, count = shape[1], int(np.prod(shape)) // shape[1]
    x = values(rng, shape, dtype) + np.asarray(3, dtype)
    weight, bias = values(rng, channels, dtype), values(rng, channels, dtype)
    mean, variance = np.zeros(channels, dtype), np.ones(channels, dtype)
    running = array(mean), array(variance)
    tracked = array(np.array(0))
    handles = array(x), array(weight), array(bias)

    def entry(results):
        return lib.mg_batch_norm(*handles, *running, tracked, 1, 0.1, 1e-5, results)

    y, got_mean, got_inverse = outputs(3, entry)
    wide = x.astype(np.float64)
    exact_mean, exact_variance = reference.batch_statistics(wide)
    wanted = reference.batch_norm(wide, exact_mean, exact_variance, weight, bias)
    close(y, wanted, 256, 4)
    close(got_mean, exact_mean, 64, 4)
    close(got_inverse, 1 / np.sqrt(exact_variance + 1e-5), 256)
    close(ndarray(running[0]), 0.1 * exact_mean, 64, 1)
    close(ndarray(running[1]), 0.9 + 0.1 * exact_variance * count / (count - 1), 64, 1)
    g = values(rng, shape, dtype)

    def backward(results):
        return lib.mg_batch_norm_backward(
            array(g), handles[0], handles[1], array(got_mean), array(got_inverse), 1, results
        )

    got = outputs(3, backward)
    axes = (0, *range(2, len(shape)))
    spread = [1, -1] + [1] * (len(shape) - 2)
    inverse = 1 / np.sqrt(exact_variance + 1e-5).reshape(spread)
    normal = (wide - exact_mean.reshape(spread)) * inverse
    of_normal = g * weight.astype(np.float64).reshape(spread)
    wanted = inverse * (
        of_normal
        - of_normal.mean(axes, keepdims=True)
        - normal * (of_normal * normal).mean(axes, keepdims=True)
    )
    close(got[0], wanted, 1024, 8)
    close(got[1], (g * normal).sum(axes), 1024, 8)
    close(got[2], g.astype(np.float64).sum(axes), 1024, 8)


@pytest.mark.parametrize("dtype", FLOATS)
def test_batch_norm_evaluation(dtype):
    rng = np.random.default_rng(0)
    x = values(rng, (3, 5, 7), dtype)
    mean, variance = values(rng, 5, dtype), values(rng, 5, dtype, 0.5, 2)
    weight, bias = values(rng, 5, dtype), values(rng, 5, dtype)

    def entry(results):
        return lib.mg_batch_norm(
            array(x),
            array(weight),
            array(bias),
            array(mean),
            array(variance),
            NULL,
            0,
            0.1,
            1e-3,
            results,
        )

    y, got_mean, got_inverse = outputs(3, entry)
    wide = [each.astype(np.float64) for each in (x, mean, variance, weight, bias)]
    close(y, reference.batch_norm(*wide, eps=1e-3), 64, 4)
    g = values(rng, x.shape, dtype)

    def backward(results):
        return lib.mg_batch_norm_backward(
            array(g), array(x), array(weight), array(got_mean), array(got_inverse), 0, results
        )

    grad_input, grad_weight, grad_bias = outputs(3, backward)
    inverse = 1 / np.sqrt(wide[2] + 1e-3)
    close(grad_input, g * (wide[3] * inverse)[:, None], 64, 4)
    normal = (wide[0] - wide[1][:, None]) * inverse[:, None]
    close(grad_weight, (g * normal).sum((0, 2)), 256, 8)
    close(grad_bias, g.astype(np.float64).sum((0, 2)), 64, 8)
