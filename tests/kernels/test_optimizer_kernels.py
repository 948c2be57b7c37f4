"""Fused optimizer steps and clipping against their formulas, in float64 NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from native import FLOATS, NULL, array, check, close, lib, many, ndarray, own, values

from minigrad.kernels import find_optimizer

KERNELS = {"optimizer_step", "adafactor", "total_norm", "clip_norm", "clip_value"}

# A tail of every length, several pieces of a parallel loop, empty and 0-d.
SHAPES = [(3,), (7, 19), (), (0,), (67,), (5, 1, 3), (3, 8200)]
LR, DECAY = 0.01, 0.1
BETA1, BETA2, EPS = 0.9, 0.99, 1e-6


def average(old, new, beta):
    return beta * old + (1 - beta) * new


def sgd(p, g, s, c):
    return p - LR * g


def sgd_momentum(p, g, s, c):  # momentum 0.9, dampening 0.3, Nesterov's form
    s[0] = 0.9 * s[0] + 0.7 * g if c[0] else g
    c[0] = 1
    return p - LR * (g + 0.9 * s[0])


def asgd(p, g, s, c):  # lambd 0.1, alpha 0.75, t0 1
    c[0] += 1
    p = p * (1 - 0.1 * c[1]) - c[1] * g
    s[0] = s[0] + (p - s[0]) * c[2]
    c[1] = float(np.float32(LR / (1 + 0.1 * LR * c[0]) ** 0.75))
    c[2] = float(np.float32(1 / max(1, c[0] - 1)))
    return p


def adagrad(p, g, s, c):  # lr_decay 0.1
    c[0] += 1
    s[0] = s[0] + g * g
    return p - LR / (1 + (c[0] - 1) * 0.1) * g / (np.sqrt(s[0]) + EPS)


def adadelta(p, g, s, c):
    c[0] += 1
    s[0] = average(s[0], g * g, BETA2)
    d = np.sqrt(s[1] + EPS) / np.sqrt(s[0] + EPS) * g
    s[1] = average(s[1], d * d, BETA2)
    return p - LR * d


def rmsprop(p, g, s, c, momentum=None, centered=None):
    c[0] += 1
    v = s[0] = average(s[0], g * g, BETA2)
    if centered:
        s[centered] = average(s[centered], g, BETA2)
        v = v - s[centered] ** 2
    d = g / (np.sqrt(v) + 0.1)
    if momentum:
        d = s[momentum] = 0.5 * s[momentum] + d
    return p - LR * d


def rprop(p, g, s, c):
    c[0] += 1
    same = np.sign(g * s[0])
    s[1] = np.clip(s[1] * np.where(same > 0, 1.2, np.where(same < 0, 0.5, 1)), 0.2, 1.5)
    s[0] = np.where(same < 0, 0, g)
    return p - np.sign(s[0]) * s[1]


def moments(g, s, c):
    c[0] += 1
    s[0], s[1] = average(s[0], g, BETA1), average(s[1], g * g, BETA2)
    return s[0] / (1 - BETA1 ** c[0]), s[1] / (1 - BETA2 ** c[0])


def adam(p, g, s, c):
    m, v = moments(g, s, c)
    return p - LR * m / (np.sqrt(v) + EPS)


def amsgrad(p, g, s, c):
    m, _ = moments(g, s, c)
    s[2] = np.maximum(s[2], s[1])
    return p - LR * m / (np.sqrt(s[2] / (1 - BETA2 ** c[0])) + EPS)


def sparse_adam(p, g, s, c):
    rows = (g != 0).any(tuple(range(1, g.ndim)), keepdims=True)
    before = list(s)
    m, _ = moments(g, s, c)
    new = p - LR * np.sqrt(1 - BETA2 ** c[0]) * m / (np.sqrt(s[1]) + EPS)
    s[:] = [np.where(rows, *pair) for pair in zip(s, before, strict=True)]
    return np.where(rows, new, p)


def adamax(p, g, s, c):
    c[0] += 1
    s[0] = average(s[0], g, BETA1)
    s[1] = np.maximum(BETA2 * s[1], abs(g) + EPS)
    return p - LR / (1 - BETA1 ** c[0]) * s[0] / s[1]


def nadam(p, g, s, c):  # momentum_decay 0.1
    _, v = moments(g, s, c)
    mu, after = (BETA1 * (1 - 0.5 * 0.96 ** (t * 0.1)) for t in (c[0], c[0] + 1))
    c[1] = float(np.float32(c[1]) * np.float32(mu))
    step = (1 - mu) / (1 - c[1]) * g + after / (1 - c[1] * after) * s[0]
    return p - LR * step / (np.sqrt(v) + EPS)


def radam(p, g, s, c):
    m, _ = moments(g, s, c)
    t, most = c[0], 2 / (1 - BETA2) - 1
    rho = most - 2 * t * BETA2**t / (1 - BETA2**t)
    if rho <= 5:
        return p - LR * m
    r = np.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
    return p - LR * m * r * np.sqrt(1 - BETA2**t) / (np.sqrt(s[1]) + EPS)


def lion(p, g, s, c):
    direction = np.sign(average(s[0], g, BETA1))
    s[0] = average(s[0], g, BETA2)
    return p - LR * direction


def lamb(p, g, s, c):
    m, v = moments(g, s, c)
    u = m / (np.sqrt(v) + EPS) + DECAY * p
    norms = np.sqrt(np.sum(p * p)), np.sqrt(np.sum(u * u))
    return p - LR * (norms[0] / norms[1] if all(norms) else 1) * u


ADAM = [BETA1, BETA2, EPS, 1]
# name, formula, its own hyperparameters, counters and states before the first step
FORMS = [
    ("sgd", sgd, [], [], 0),
    ("sgd_momentum", sgd_momentum, [0.9, 0.3, 1], [0], 1),
    ("asgd", asgd, [0.1, 0.75, 1], [0, float(np.float32(LR)), 1], 1),
    ("adagrad", adagrad, [0.1, EPS], [0], 1),
    ("adadelta", adadelta, [BETA2, EPS], [0], 2),
    ("rmsprop", rmsprop, [BETA2, 0.1, 0], [0], 1),
    ("rmsprop_momentum", lambda *a: rmsprop(*a, momentum=1), [BETA2, 0.1, 0.5], [0], 2),
    ("rmsprop_centered", lambda *a: rmsprop(*a, centered=1), [BETA2, 0.1, 0], [0], 2),
    ("rmsprop_centered_momentum", lambda *a: rmsprop(*a, 1, 2), [BETA2, 0.1, 0.5], [0], 3),
    ("rprop", rprop, [0.5, 1.2, 0.2, 1.5], [0], 2),
    ("adam", adam, ADAM, [0], 2),
    ("adam_amsgrad", amsgrad, ADAM, [0], 3),
    ("sparse_adam", sparse_adam, ADAM, [0], 2),
    ("adamax", adamax, ADAM, [0], 2),
    ("nadam", nadam, [BETA1, BETA2, EPS, 0.1], [0, 1], 2),
    ("radam", radam, ADAM, [0], 2),
    ("lion", lion, ADAM, [], 1),
    ("lamb", lamb, ADAM, [0], 2),
]
OWN_DECAY = {"rprop", "sparse_adam", "lion", "lamb"}  # none, or one of their own


def numbers(name, own, decay=0.0, maximize=0, decoupled=0):
    row = [find_optimizer(name), LR, decay, maximize, decoupled, *own]
    return array(np.array(row + [0] * (12 - len(row)), np.float64))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", ["contiguous", "transposed"])
@pytest.mark.parametrize("maximize,decay,decoupled", [(0, 0, 0), (1, DECAY, 0), (0, DECAY, 1)])
@pytest.mark.parametrize(("name", "formula", "own", "counters", "states"), FORMS)
def test_step(name, formula, own, counters, states, maximize, decay, decoupled, layout, dtype):
    if name == "lamb":
        decay = DECAY
    elif name in OWN_DECAY:
        decay = 0
    rng = np.random.default_rng(0)
    start = [values(rng, shape, dtype, -1, 1) for shape in SHAPES]
    exact = [p.astype(np.float64) for p in start]
    remembered = [[np.zeros(p.shape) for _ in range(states)] for p in start]
    counted = [list(counters) for _ in start]
    n = len(start)
    p = [array(x, layout) for x in start]
    s = [array(np.zeros_like(x), layout) for _ in range(states) for x in start]
    c = [array(np.float32(value)) for value in counters for _ in start]
    hyper = numbers(name, own, decay, maximize, decoupled)
    for _ in range(6):
        gradients = [values(rng, shape, dtype, -1, 1) for shape in SHAPES]
        gradients[1][2] = 0
        g = [array(x) for x in gradients]
        check(
            lib.mg_optimize(find_optimizer(name), n, many(*p), many(*g), many(*s), many(*c), hyper)
        )
        for i, gradient in enumerate(gradients):
            d = gradient.astype(np.float64) * (-1 if maximize else 1)
            if decay and name != "lamb":
                if decoupled and name != "asgd":
                    exact[i] = exact[i] * (1 - LR * decay)
                elif not decoupled:
                    d = d + decay * exact[i]
            exact[i] = formula(exact[i], d, remembered[i], counted[i])
    for i in range(n):
        close(ndarray(p[i]), exact[i], 256, 1)
        for k in range(states):
            close(ndarray(s[k * n + i]), remembered[i][k], 256, 1)
        got = [float(ndarray(c[k * n + i])) for k in range(len(counters))]
        assert got == pytest.approx(counted[i])


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
