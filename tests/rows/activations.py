"""Rows: activation functions of nn.functional."""

from __future__ import annotations

import math

import numpy as np
from op_table import Real, Row

_erf = np.vectorize(math.erf, otypes=[np.float64])
_SHAPES = [(3, 5), (), (0, 3), (2, 3, 2, 2), (37,)]


def _sigmoid(x):
    return np.where(x >= 0, 1 / (1 + np.exp(-abs(x))), np.exp(-abs(x)) / (1 + np.exp(-abs(x))))


def _softplus(x):
    return np.logaddexp(0, x)


def _row(name, formula, *arguments, domain="real", inplace=False, **options):
    """A function of one operand; with ``inplace`` it has that argument."""
    extra = {}
    if inplace:
        extra["in_place"] = lambda m, x: getattr(m.nn.functional, name)(x, *arguments, inplace=True)
    text = "".join(f" {each}" for each in arguments)
    return Row(
        f"F.{name}{text}",
        lambda m, x: getattr(m.nn.functional, name)(x, *arguments),
        [(Real(shape, domain),) for shape in _SHAPES],
        formula,
        **extra,
        **options,
    )


def _elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _gelu_tanh(x):
    return x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2


_SCALE, _ALPHA = 1.0507009873554805, 1.6732632423543772

# "spread" keeps away from the multiples of 0.1, where these have kinks.
_PIECEWISE = [
    _row("leaky_relu", lambda x: np.where(x > 0, x, 0.01 * x), domain="nonzero", inplace=True),
    _row("leaky_relu", lambda x: np.where(x > 0, x, -0.3 * x), -0.3, domain="nonzero"),
    _row("relu6", lambda x: np.clip(x, 0, 6), domain="spread", inplace=True),
    _row("hardtanh", lambda x: np.clip(x, -1, 1), domain="spread", inplace=True),
    _row("hardtanh", lambda x: np.clip(x, -0.3, 0.2), -0.3, 0.2, domain="spread"),
    _row("hardsigmoid", lambda x: np.clip(x + 3, 0, 6) / 6, domain="spread", inplace=True),
    _row("hardswish", lambda x: x * np.clip(x + 3, 0, 6) / 6, domain="spread", inplace=True),
    _row("hardshrink", lambda x: np.where(abs(x) <= 0.5, 0, x), domain="spread"),
    _row("hardshrink", lambda x: np.where(abs(x) <= 0.2, 0, x), 0.2, domain="spread"),
    _row("softshrink", lambda x: np.sign(x) * np.maximum(abs(x) - 0.5, 0), domain="spread"),
    _row("softshrink", lambda x: np.sign(x) * np.maximum(abs(x) - 0.2, 0), 0.2, domain="spread"),
    _row("threshold", lambda x: np.where(x > 0.3, x, -7), 0.3, -7, domain="spread", inplace=True),
    _row("rrelu", lambda x: np.where(x > 0, x, x * (1 / 8 + 1 / 3) / 2), domain="nonzero"),
    _row("rrelu", lambda x: np.where(x > 0, x, 0.3 * x), 0.3, 0.3, True, domain="nonzero"),
]

_SMOOTH = [
    _row("elu", _elu, domain="nonzero", inplace=True),
    _row("elu", lambda x: _elu(x, 0.5), 0.5, domain="nonzero"),
    _row("selu", lambda x: _SCALE * _elu(x, _ALPHA), domain="nonzero", inplace=True),
    _row("celu", _elu, domain="nonzero", inplace=True),
    _row(
        "celu",
        lambda x: np.where(x > 0, x, 2 * np.expm1(np.minimum(x, 0) / 2)),
        2.0,
        domain="nonzero",
    ),
    _row("gelu", lambda x: x * (1 + _erf(x / math.sqrt(2))) / 2),
    Row(
        "F.gelu tanh",
        lambda m, x: m.nn.functional.gelu(x, approximate="tanh"),
        [(Real(shape),) for shape in _SHAPES],
        _gelu_tanh,
    ),
    _row("silu", lambda x: x * _sigmoid(x), inplace=True),
    _row("mish", lambda x: x * np.tanh(_softplus(x)), inplace=True),
    _row("softplus", _softplus),
    _row("softplus", lambda x: np.where(3 * x > 2, x, _softplus(3 * x) / 3), 3.0, 2.0),
    _row("logsigmoid", lambda x: -_softplus(-x)),
    _row("softsign", lambda x: x / (1 + abs(x)), domain="nonzero"),
    _row("tanhshrink", lambda x: x - np.tanh(x)),
]


def _glu(x, axis):
    a, b = np.split(x, 2, axis)
    return a * _sigmoid(b)


def _slopes(x, w):
    return w.reshape([-1] + [1] * max(x.ndim - 2, 0)) if w.size > 1 else w.reshape(())


def _softmax(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


_OTHERS = [
    Row(
        "F.glu",
        lambda m, x: m.nn.functional.glu(x),
        [(Real((3, 4)),), (Real((2,)),), (Real((2, 3, 6)),), (Real((0, 2)),)],
        lambda x: _glu(x, -1),
    ),
    Row(
        "F.glu dim",
        lambda m, x: m.nn.functional.glu(x, 1),
        [(Real((3, 4)),), (Real((2, 6, 3)),)],
        lambda x: _glu(x, 1),
    ),
    Row(
        "F.prelu",
        lambda m, x, w: m.nn.functional.prelu(x, w),
        [
            (Real((3, 4), "nonzero"), Real((4,))),
            (Real((3, 4), "nonzero"), Real((1,))),
            (Real((2, 3, 2, 2), "nonzero"), Real((3,))),
            (Real((5,), "nonzero"), Real((1,))),
            (Real((), "nonzero"), Real((1,))),
            (Real((0, 3)), Real((3,))),
        ],
        lambda x, w: np.where(x > 0, x, _slopes(x, w) * x),
    ),
    Row(
        "F.softmin",
        lambda m, x: m.nn.functional.softmin(x, -1),
        [(Real((3, 4)),), (Real((2, 2, 3)),)],
        lambda x: _softmax(-x, -1),
    ),
]


def _in_place(name, formula, *arguments, domain="real"):
    """The name with a final underscore, on a copy."""
    return Row(
        f"F.{name}",
        lambda m, x: getattr(m.nn.functional, name)(x.clone(), *arguments),
        [(Real(shape, domain),) for shape in _SHAPES],
        formula,
    )


_IN_PLACE = [
    _in_place("relu_", lambda x: np.maximum(x, 0), domain="nonzero"),
    _in_place("leaky_relu_", lambda x: np.where(x > 0, x, 0.2 * x), 0.2, domain="nonzero"),
    _in_place("rrelu_", lambda x: np.where(x > 0, x, x * 11 / 48), domain="nonzero"),
    _in_place("elu_", _elu, domain="nonzero"),
    _in_place("selu_", lambda x: _SCALE * _elu(x, _ALPHA), domain="nonzero"),
    _in_place("celu_", _elu, domain="nonzero"),
    _in_place("hardtanh_", lambda x: np.clip(x, -1, 1), domain="spread"),
    _in_place("threshold_", lambda x: np.where(x > 0.3, x, -7), 0.3, -7, domain="spread"),
]

ROWS = [*_PIECEWISE, *_SMOOTH, *_OTHERS, *_IN_PLACE]
