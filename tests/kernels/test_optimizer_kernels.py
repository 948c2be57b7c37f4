"""Adafactor and clipping against their formulas, in float64 NumPy; the other optimizers are in the
table of cases."""

from __future__ import annotations

import numpy as np
import pytest
from native import FLOATS, NULL, array, check, close, lib, many, ndarray, own, values

from minigrad.kernel_tools.families.steps import DECAY, EPS, LR
from minigrad.kernel_tools.families.updates import SHAPES
from minigrad.kernels import find_optimizer

KERNELS = {"optimizer_step", "adafactor", "total_norm", "clip_norm", "clip_value"}


def numbers(name, own, decay=0.0, maximize=0, decoupled=0):
    row = [find_optimizer(name), LR, decay, maximize, decoupled, *own]
    return array(np.array(row + [0] * (12 - len(row)), np.float64))


def test_a_parameter_without_gradient_stays():
    p = [array(np.ones(3, np.float32)) for _ in range(2)]
    g = array(np.ones(3, np.float32))
    row = find_optimizer("sgd")
    check(lib.mg_optimize(row, 2, many(*p), many(g, None), NULL, NULL, numbers("sgd", [])))
    assert ndarray(p[0]).tolist() == pytest.approx([1 - LR] * 3)
    assert ndarray(p[1]).tolist() == [1.0] * 3


def adafactor(p, g, s, t):
    alpha = max(1e-3, np.sqrt(np.mean(p * p))) * min(LR, 1 / np.sqrt(t))
    weight = t**-0.8
    if g.ndim > 1:
        s[0] = s[0] + weight * ((g * g).mean(-1, keepdims=True) - s[0])
        s[1] = s[1] + weight * ((g * g).mean(-2, keepdims=True) - s[1])
        v = s[0] * s[1] / np.maximum(s[0].mean(-2, keepdims=True), EPS)
    else:
        s[1] = s[1] + weight * (g * g - s[1])
        v = s[1]
    u = g / np.sqrt(np.maximum(v, EPS**2))
    return p * (1 - LR * DECAY) - alpha / max(1, np.sqrt(np.mean(u * u))) * u


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "sliced"])
@pytest.mark.parametrize("maximize", [0, 1])
def test_adafactor(maximize, layout, dtype):
    rng = np.random.default_rng(0)
    shapes = [(3,), (7, 19), (), (0,), (130, 67), (5, 1, 3), (2, 3, 70, 5), (4, 0)]
    start = [values(rng, shape, dtype, -1, 1) for shape in shapes]
    exact = [p.astype(np.float64) for p in start]
    row_shapes = [(*s[:-1], 1) if len(s) > 1 else None for s in shapes]
    column_shapes = [(*s[:-2], 1, s[-1]) if len(s) > 1 else s for s in shapes]
    pairs = zip(row_shapes, column_shapes, strict=True)
    state = [[np.zeros(s or ()) for s in pair] for pair in pairs]
    p = [array(x, layout) for x in start]
    rows = [None if s is None else array(np.zeros(s, dtype)) for s in row_shapes]
    columns = [array(np.zeros(s, dtype)) for s in column_shapes]
    steps = [array(np.float32(0)) for _ in p]
    row = [-1, LR, DECAY, maximize, 0, -0.8, EPS, 1e-3, 1.0]
    hyper = array(np.array(row + [0] * (12 - len(row)), np.float64))
    for t in range(1, 5):
        gradients = [values(rng, shape, dtype, -1, 1) for shape in shapes]
        g = [array(x, layout) for x in gradients]
        check(
            lib.mg_adafactor(
                len(p), many(*p), many(*g), many(*rows), many(*columns), many(*steps), hyper
            )
        )
        for i, gradient in enumerate(gradients):
            if gradient.size:
                d = gradient.astype(np.float64) * (-1 if maximize else 1)
                exact[i] = adafactor(exact[i], d, state[i], t)
    for i, handle in enumerate(p):
        close(ndarray(handle), exact[i], 64, 1)
        assert float(ndarray(steps[i])) == 4


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "sliced"])
def test_norms_and_clipping(dtype, layout):
    rng = np.random.default_rng(0)
    start = [values(rng, shape, dtype, -1, 1) for shape in SHAPES]
    flat = np.concatenate([x.reshape(-1).astype(np.float64) for x in start])
    handles = [array(x, layout) for x in start]
    for largest, wanted in ((0, np.sqrt(np.sum(flat * flat))), (1, abs(flat).max())):
        norm = own(lib.mg_total_norm(len(start), many(*handles), largest))
        close(ndarray(norm), wanted)
    two = own(lib.mg_total_norm(len(start), many(*handles), 0))
    check(lib.mg_clip_norm(len(start), many(*handles), two, 1e9))  # nothing to do
    for handle, x in zip(handles, start, strict=True):
        np.testing.assert_array_equal(ndarray(handle), x)
    check(lib.mg_clip_norm(len(start), many(*handles), two, 2.0))
    factor = 2 / (np.sqrt(np.sum(flat * flat)) + 1e-6)
    for handle, x in zip(handles, start, strict=True):
        close(ndarray(handle), x.astype(np.float64) * factor)
    handles = [array(x, layout) for x in start]
    check(lib.mg_clip_value(len(start), many(*handles), 0.25))
    for handle, x in zip(handles, start, strict=True):
        close(ndarray(handle), np.clip(x, -0.25, 0.25))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("where", [0, 40, 66])
def test_what_is_not_finite_shows_in_the_norm(dtype, where):
    for value in (np.nan, np.inf):
        x = np.ones(67, dtype)
        x[where] = value
        handles = [array(np.ones(3, dtype)), array(x), array(np.ones(3, dtype))]
        for largest in (0, 1):
            norm = ndarray(own(lib.mg_total_norm(3, many(*handles), largest)))
            assert np.isnan(norm) if np.isnan(value) else np.isinf(norm)
        check(lib.mg_clip_value(3, many(*handles), 0.5))
        assert ndarray(handles[1])[where] == 0.5 or np.isnan(value)
        assert np.isnan(ndarray(handles[1])[where]) == np.isnan(value)
