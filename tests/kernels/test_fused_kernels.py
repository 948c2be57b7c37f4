"""Rows of fused.def: every expression x instruction set x dtype against float64 NumPy. A gradient
is compared with differences of its function."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from native import FLOATS, NULL, SIZES, array, close, lib, ndarray, own, values

KERNELS = {"fused", "fused_sum"}

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _softplus(x):
    return np.logaddexp(0, x)


def _elu(x, p, q, r):
    return np.where(x > 0, x * q, np.expm1(np.minimum(x, 0) * r) * p)


def _softplus_row(x, p, q, r):
    return np.where(x * p > q, x, _softplus(x * p) * r)


def _shrunk(x, p):
    return np.sign(x) * np.maximum(abs(x) - p, 0)


# name: (function of x and the numbers, numbers, kinks)
ACTIVATIONS = {
    "leaky_relu": (lambda x, p: np.where(x > 0, x, p * x), (0.2,), (0,)),
    "elu": (_elu, (1.3, 0.7, 0.5), (0,)),
    "hardtanh": (np.clip, (-0.4, 1.1), (-0.4, 1.1)),
    "hardsigmoid": (lambda x: np.clip(x + 3, 0, 6) / 6, (), (-3, 3)),
    "hardswish": (lambda x: x * np.clip(x + 3, 0, 6) / 6, (), (-3, 3)),
    "hardshrink": (lambda x, p: np.where(abs(x) <= p, 0, x), (0.6,), (-0.6, 0.6)),
    "softshrink": (_shrunk, (0.6,), (-0.6, 0.6)),
    "threshold": (lambda x, p, q: np.where(x <= p, q, x), (0.3, -2), (0.3,)),
    "softplus": (
        lambda x, p, q, r: np.where(x * p > q, x, _softplus(x * p) * r),
        (0.5, 1, 2),
        (2,),
    ),
    "logsigmoid": (lambda x: -_softplus(-x), (), ()),
    "silu": (lambda x: x * _sigmoid(x), (), ()),
    "gelu": (lambda x: x * (1 + _erf(x / math.sqrt(2))) / 2, (), ()),
    "gelu_tanh": (
        lambda x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
        (),
        (),
    ),
    "mish": (lambda x: x * np.tanh(_softplus(x)), (), ()),
    "softsign": (lambda x: x / (1 + abs(x)), (), ()),
}


def _smooth_l1(x, t, p):
    size = abs(x - t)
    return np.where(size < p, size**2 / (2 * p), size - p / 2)


def _huber(x, t, p):
    size = abs(x - t)
    return np.where(size <= p, size**2 / 2, p * (size - p / 2))


# Of x and the target; with what the gradient takes the target for, and the bounds of both.
LOSSES = {
    "l1_loss": (lambda x, t: abs(x - t), (), (-3, 3)),
    "mse_loss": (lambda x, t: (x - t) ** 2, (), (-3, 3)),
    "smooth_l1_loss": (_smooth_l1, (0.7,), (-3, 3)),
    "huber_loss": (_huber, (0.7,), (-3, 3)),
    "binary_cross_entropy": (
        lambda x, t: -t * np.log(x) - (1 - t) * np.log1p(-x),
        (),
        (0.05, 0.95),
    ),
    "binary_cross_entropy_with_logits": (lambda x, t: _softplus(x) - t * x, (), (-3, 3)),
    "kl_div": (lambda x, t: t * (np.log(t) - x), (), (0.1, 3)),
    "kl_div_log": (lambda x, t: np.exp(t) * (t - x), (), (-3, 3)),
    "soft_margin_loss": (lambda x, t: _softplus(-x * t), (), (-3, 3)),
}
OTHERS = {"glu", "glu_backward_gate", "prelu", "prelu_backward", "prelu_backward_weight"}
# One gradient for two functions; gradients that need no input.
SHARED = {"softshrink": "hardshrink_backward"}
OF_TARGET = ("kl_div", "kl_div_log")

both = pytest.mark.parametrize("dtype", FLOATS)


def fused(name, operands, numbers=()):
    p, q, r = (*numbers, 0, 0, 0)[:3]
    op = lib.mg_find_fused(name.encode())
    assert op >= 0, name
    padded = [*operands, NULL, NULL][:3]
    return ndarray(own(lib.mg_fused(op, *padded, NULL, p, q, r)))


def away(x, kinks, distance=0.02):
    """x moved so that no element is within the distance of a kink."""
    for kink in kinks:
        x = np.where(abs(x - kink) < distance, kink + 2 * distance, x)
    return x


def slope(function, x, step=1e-5):
    return (function(x + step) - function(x - step)) / (2 * step)


@both
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name, dtype):
    function, numbers, kinks = ACTIVATIONS[name]
    rng = np.random.default_rng(0)
    for shape in (*SIZES, (5, 19)):
        x = away(values(rng, shape, dtype, -5, 5), kinks).astype(dtype)
        g = values(rng, shape, dtype)
        wide = x.astype(np.float64)
        close(fused(name, [array(x)], numbers), function(wide, *numbers), 16, 1)
        backward = SHARED.get(name, name + "_backward")
        wanted = g * slope(lambda v: function(v, *numbers), wide)
        got = fused(backward, [array(g), array(x)], numbers)
        np.testing.assert_allclose(got, wanted, rtol=3e-5, atol=3e-6)


@both
@pytest.mark.parametrize("name", LOSSES)
def test_loss(name, dtype):
    function, numbers, bounds = LOSSES[name]
    rng = np.random.default_rng(0)
    for shape in (*SIZES, (5, 19)):
        x, t = values(rng, shape, dtype, *bounds), values(rng, shape, dtype, *bounds)
        x = np.where(abs(x - t) < 0.02, t + dtype_of(dtype, 0.04), x)
        wide, target = x.astype(np.float64), t.astype(np.float64)
        close(fused(name, [array(x), array(t)], numbers), function(wide, target, *numbers), 32, 1)
        g = values(rng, (), dtype)
        wanted = g * slope(lambda v, t=target: function(v, t, *numbers), wide) / 7
        operands = [array(g), array(t)] if name in OF_TARGET else [array(g), array(x), array(t)]
        got = fused(name + "_backward", operands, ((*numbers, 0, 0)[0], 0, 1 / 7))
        np.testing.assert_allclose(got, wanted, rtol=3e-5, atol=3e-6)


def dtype_of(dtype, value):
    return np.dtype(dtype).type(value)


@both
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "sliced"])
def test_two_and_three_operands(layout, dtype):
    rng = np.random.default_rng(0)
    g, x, w = (values(rng, (5, 19), dtype) for _ in range(3))
    s = _sigmoid(w.astype(np.float64))
    operands = [array(g, layout), array(x, layout), array(w)]
    close(fused("glu", [operands[1], operands[2]]), x * s, 8, 1)
    close(fused("glu_backward_gate", operands), g * x * s * (1 - s), 8, 1)
    close(fused("prelu", operands[1:]), np.where(x > 0, x, x * w), 4, 1)
    close(fused("prelu_backward", operands), np.where(x > 0, g, g * w), 4, 1)
    close(fused("prelu_backward_weight", operands[:2]), np.where(x > 0, 0, g * x), 4, 1)
    row, scalar = values(rng, (19,), dtype), values(rng, (), dtype)
    close(fused("prelu_backward", [array(scalar), array(x, layout), array(row)]),
          np.where(x > 0, scalar, scalar * row), 4, 1)  # fmt: skip


@both
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "sliced"])
def test_sum(layout, dtype):
    rng = np.random.default_rng(0)
    op = lib.mg_find_fused(b"mse_loss")
    for shape in [(), (0,), (1,), (17,), (1031,), (5, 19), (3, 7, 11), (300, 130), (700, 301)]:
        x, t = values(rng, shape, dtype), values(rng, shape, dtype)
        got = lib.mg_fused_sum(op, array(x, layout), array(t), NULL, 0, 0, 0, 0.5)
        wanted = ((x.astype(np.float64) - t) ** 2).sum() / 2
        close(ndarray(own(got)), wanted, 8, wanted or 1)


def test_in_place_and_errors():
    op = lib.mg_find_fused(b"leaky_relu")
    x = array(np.array([-1.0, 2.0]))
    own(lib.mg_fused(op, x, NULL, NULL, x, 0.5, 0, 0))
    np.testing.assert_array_equal(ndarray(x), [-0.5, 2])
    integers = array(np.array([1, 2]))
    assert not lib.mg_fused(op, integers, NULL, NULL, NULL, 0.5, 0, 0)
    assert not lib.mg_fused(op, x, NULL, NULL, array(np.zeros(3)), 0.5, 0, 0)
    assert not lib.mg_fused(-1, x, NULL, NULL, NULL, 0, 0, 0)
    assert not lib.mg_fused_sum(10**6, x, NULL, NULL, 0, 0, 0, 1)
    mse = lib.mg_find_fused(b"mse_loss")
    assert not lib.mg_fused(mse, x, array(np.zeros(3)), NULL, NULL, 0, 0, 0)
    assert not lib.mg_fused_sum(mse, x, array(np.zeros(3)), NULL, 0, 0, 0, 1)
    entropy = lib.mg_find_fused(b"binary_cross_entropy")
    for bad in (1.5, -0.1, np.nan):
        operands = array(np.array([0.5, bad])), array(np.array([0.5, 0.5]))
        assert not lib.mg_fused(entropy, *operands, NULL, NULL, 0, 0, 0)
        assert not lib.mg_fused_sum(entropy, *operands, NULL, 0, 0, 0, 1)
    assert lib.mg_find_fused(b"nothing") == -1


def test_every_row_is_tested():
    text = Path(__file__, "../../../csrc/fused.def").resolve().read_text()
    rows = set(re.findall(r"^FUSED\((\w+)", text, re.MULTILINE))
    covered = {SHARED.get(name, name + "_backward") for name in (*ACTIVATIONS, *LOSSES)}
    assert rows == covered | set(ACTIVATIONS) | set(LOSSES) | OTHERS
