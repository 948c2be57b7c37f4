"""Fused optimizer steps against the formulas of torch's documentation, in float64 NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from native import FLOATS, NULL, array, check, close, lib, many, ndarray, values

KERNELS = {"sgd", "adam"}

SHAPES = [(3,), (7, 19), (), (0,), (67,), (5, 1, 3)]


def start(dtype):
    rng = np.random.default_rng(0)
    parameters = [values(rng, shape, dtype, -1, 1) for shape in SHAPES]
    steps = [[values(rng, shape, dtype, -1, 1) for shape in SHAPES] for _ in range(4)]
    return parameters, steps


def handles(arrays, layout="contiguous"):
    return [array(each, layout) for each in arrays]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "momentum,dampening,decay,nesterov,maximize",
    [
        (0, 0, 0, 0, 0),
        (0.9, 0, 0, 0, 0),
        (0.9, 0.3, 0.1, 0, 0),
        (0.8, 0, 0.01, 1, 0),
        (0, 0, 0.2, 0, 1),
    ],
)
@pytest.mark.parametrize("layout", ["contiguous", "transposed"])
def test_sgd(dtype, layout, momentum, dampening, decay, nesterov, maximize):
    parameters, steps = start(dtype)
    exact = [p.astype(np.float64) for p in parameters]
    buffers = [None] * len(exact)
    p, m = handles(parameters, layout), handles([np.zeros_like(x) for x in parameters], layout)
    started = array(np.zeros(len(p), np.uint8))
    numbers = array(np.array([0.1, momentum, dampening, decay, nesterov, maximize], np.float64))
    for gradients in steps:
        g = handles(gradients)
        optional = many(*m) if momentum else NULL
        check(lib.mg_sgd(len(p), many(*p), many(*g), optional, started, numbers))
        for i, gradient in enumerate(gradients):
            d = (-1 if maximize else 1) * gradient.astype(np.float64) + decay * exact[i]
            if momentum:
                first = buffers[i] is None
                buffers[i] = d if first else momentum * buffers[i] + (1 - dampening) * d
                d = d + momentum * buffers[i] if nesterov else buffers[i]
            exact[i] = exact[i] - 0.1 * d
    for got, wanted in zip(p, exact, strict=True):
        close(ndarray(got), wanted, 32, 1)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "decay,amsgrad,maximize,decoupled",
    [(0, 0, 0, 0), (0.1, 0, 0, 0), (0.1, 0, 0, 1), (0, 1, 0, 0), (0.01, 1, 1, 1)],
)
@pytest.mark.parametrize("layout", ["contiguous", "transposed"])
def test_adam(dtype, layout, decay, amsgrad, maximize, decoupled):
    parameters, steps = start(dtype)
    lr, beta1, beta2, eps = 0.01, 0.9, 0.99, 1e-6
    exact = [p.astype(np.float64) for p in parameters]
    m, v, top = ([np.zeros_like(p) for p in exact] for _ in range(3))
    zeros = [np.zeros_like(x) for x in parameters]
    p = handles(parameters, layout)
    averages, squares, most = (handles(zeros, layout) for _ in range(3))
    counts = handles([np.zeros((), np.float32) for _ in p])
    numbers = [lr, beta1, beta2, eps, decay, amsgrad, maximize, decoupled]
    hyperparameters = array(np.array(numbers, np.float64))
    for t, gradients in enumerate(steps, 1):
        g = handles(gradients)
        optional = many(*most) if amsgrad else NULL
        check(
            lib.mg_adam(
                len(p),
                many(*p),
                many(*g),
                many(*averages),
                many(*squares),
                optional,
                many(*counts),
                hyperparameters,
            )
        )
        for i, gradient in enumerate(gradients):
            d = (-1 if maximize else 1) * gradient.astype(np.float64)
            if decoupled:
                exact[i] = exact[i] * (1 - lr * decay)
            else:
                d = d + decay * exact[i]
            m[i] = beta1 * m[i] + (1 - beta1) * d
            v[i] = beta2 * v[i] + (1 - beta2) * d * d
            top[i] = np.maximum(top[i], v[i])
            second = (top if amsgrad else v)[i] / (1 - beta2**t)
            exact[i] = exact[i] - lr * m[i] / (1 - beta1**t) / (np.sqrt(second) + eps)
    for got, wanted in zip(p, exact, strict=True):
        close(ndarray(got), wanted, 64, 1)
    assert [float(ndarray(each)) for each in counts] == [4.0] * len(p)


def test_a_parameter_without_gradient_stays():
    p = handles([np.ones(3, np.float32)] * 2)
    g = array(np.ones(3, np.float32))
    numbers = array(np.array([0.5, 0, 0, 0, 0, 0], np.float64))
    started = array(np.zeros(2, np.uint8))
    check(lib.mg_sgd(2, many(*p), many(g, None), NULL, started, numbers))
    assert ndarray(p[0]).tolist() == [0.5] * 3 and ndarray(p[1]).tolist() == [1.0] * 3
