"""Rows of fused.def. The reference of a gradient is the function at a complex place: f(x + ih) is
f(x) + ih f'(x) but for the rounding, since nothing cancels (Squire and Trapp, "Using complex
variables to estimate derivatives of real functions", 1998)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ...kernels import NULL, lib
from ..arrays import SIZES
from ..checks import Case, Draw, Trial, of, wide
from .elementwise import erf

Function = Callable[..., np.ndarray]
_STEP = 1e-200


def slope(function: Function, x: np.ndarray) -> np.ndarray:
    """f'(x), element by element."""
    return function(x + 1j * _STEP).imag / _STEP


# Functions that take the real part for the place, so that they have a derivative.


def _abs(x):
    return np.where(np.real(x) < 0, -x, x)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _softplus(x):
    return np.where(np.real(x) > 0, x, 0) + np.log1p(np.exp(-_abs(x)))


def _clip(x, low, high):
    return np.where(np.real(x) < low, low, np.where(np.real(x) > high, high, x))


def _erf(x):
    x = np.asarray(x)
    inner = 2 / math.sqrt(math.pi) * np.exp(-(x.real**2)) * x.imag
    return erf(x.real) + (1j * inner if x.dtype.kind == "c" else 0)


def _hardshrink(x, p):
    return np.where(abs(x.real) <= p, 0, x)


def _threshold(x, p, q):
    return np.where(x.real <= p, q, x)


def _elu(x, p, q, r):
    return np.where(x.real > 0, x * q, np.expm1(np.where(x.real > 0, 0, x) * r) * p)


def _gelu_tanh(x):
    return x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2


def _softshrink(x, p):
    return np.where(x.real > p, x - p, np.where(x.real < -p, x + p, 0 * x))


# name: (function of x and the numbers, numbers, kinks)
ACTIVATIONS: dict[str, tuple[Function, tuple[float, ...], tuple[float, ...]]] = {
    "leaky_relu": (lambda x, p: np.where(x.real > 0, x, p * x), (0.2,), (0,)),
    "elu": (_elu, (1.3, 0.7, 0.5), (0,)),
    "hardtanh": (_clip, (-0.4, 1.1), (-0.4, 1.1)),
    "hardsigmoid": (lambda x: _clip(x + 3, 0, 6) / 6, (), (-3, 3)),
    "hardswish": (lambda x: x * _clip(x + 3, 0, 6) / 6, (), (-3, 3)),
    "hardshrink": (_hardshrink, (0.6,), (-0.6, 0.6)),
    "softshrink": (_softshrink, (0.6,), (-0.6, 0.6)),
    "threshold": (_threshold, (0.3, -2), (0.3,)),
    "softplus": (
        lambda x, p, q, r: np.where(x.real * p > q, x, _softplus(x * p) * r),
        (0.5, 1, 2),
        (2,),
    ),
    "logsigmoid": (lambda x: -_softplus(-x), (), ()),
    "silu": (lambda x: x * _sigmoid(x), (), ()),
    "gelu": (lambda x: x * (1 + _erf(x / math.sqrt(2))) / 2, (), ()),
    "gelu_tanh": (_gelu_tanh, (), ()),
    "mish": (lambda x: x * np.tanh(_softplus(x)), (), ()),
    "softsign": (lambda x: x / (1 + _abs(x)), (), (0,)),
}


def _smooth_l1(x, t, p):
    size = _abs(x - t)
    return np.where(size.real < p, size**2 / (2 * p), size - p / 2)


def _huber(x, t, p):
    size = _abs(x - t)
    return np.where(size.real <= p, size**2 / 2, p * (size - p / 2))


# Of x and the target, the numbers, and the bounds of both.
LOSSES: dict[str, tuple[Function, tuple[float, ...], tuple[float, float]]] = {
    "l1_loss": (lambda x, t: _abs(x - t), (), (-3, 3)),
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
_OF_TARGET = ("kl_div", "kl_div_log")  # gradients that need no input
_SHARED = {"softshrink"}  # its gradient is that of hardshrink


@dataclass(frozen=True)
class Row:
    """One row of fused.def: its reference on float64 operands, the numbers of the launch, and what
    its operands are drawn from."""

    function: Function
    operands: int
    numbers: tuple[float, ...] = ()
    bounds: tuple[float, float] = (-5, 5)
    kinks: tuple[float, ...] = ()  # of the last operand
    apart: bool = False  # the last two operands are not equal

    def draw(self, draw: Draw, shape: tuple[int, ...]) -> list[np.ndarray]:
        """Operands of that shape, no element within 0.02 of a kink."""
        made = [draw.values(shape, *self.bounds) for _ in range(self.operands)]
        last = made[-1]
        for kink in self.kinks:
            last = np.where(abs(last - kink) < 0.02, kink + 0.04, last)
        if self.apart:
            last = np.where(abs(made[-2] - last) < 0.02, made[-2] - 0.04, last)
            last = np.clip(last, *self.bounds)
        made[-1] = last.astype(draw.dtype)
        return made


def _rows() -> Iterator[tuple[str, Row]]:
    for name, (function, numbers, kinks) in ACTIVATIONS.items():
        yield name, Row(lambda x, f=function, n=numbers: f(x, *n), 1, numbers, kinks=kinks)
        if name not in _SHARED:

            def gradient(g, x, f=function, n=numbers):
                return g * slope(lambda v: f(v, *n), x)

            yield name + "_backward", Row(gradient, 2, numbers, kinks=kinks)
    for name, (function, numbers, bounds) in LOSSES.items():
        apart = name in ("l1_loss", "smooth_l1_loss", "huber_loss")
        yield (
            name,
            Row(lambda x, t, f=function, n=numbers: f(x, t, *n), 2, numbers, bounds, apart=apart),
        )
        numbers = ((*numbers, 0, 0)[0], 0, 1 / 7)
        own = LOSSES[name][1]
        if name in _OF_TARGET:

            def of_target(g, t, f=function, n=own):
                return g * slope(lambda v: f(v, t, *n), np.ones_like(t)) / 7

            yield name + "_backward", Row(of_target, 2, numbers, bounds)
        else:

            def of_both(g, x, t, f=function, n=own):
                return g * slope(lambda v: f(v, t, *n), x) / 7

            yield name + "_backward", Row(of_both, 3, numbers, bounds, apart=apart)
    yield "glu", Row(lambda x, w: x * _sigmoid(w), 2)
    yield (
        "glu_backward_gate",
        Row(lambda g, x, w: g * x * _sigmoid(w) * _sigmoid(-w), 3),
    )
    yield "prelu", Row(lambda x, w: np.where(x > 0, x, x * w), 2)
    yield "prelu_backward", Row(lambda g, x, w: np.where(x > 0, g, g * w), 3)
    yield "prelu_backward_weight", Row(lambda g, x: np.where(x > 0, 0, g * x), 2)


ROWS = dict(_rows())
_SHAPES = (*((n,) for n in SIZES), (5, 19), (), (2, 0))


def _scale(operands: list[np.ndarray]) -> np.ndarray:
    """The size of the terms that a result is made of."""
    size = np.ones(())
    for each in operands:
        size = size * np.maximum(1, np.abs(each))
    return size


def _call(name: str, row: Row) -> Callable[..., object]:
    op = lib.mg_find_fused(name.encode())
    p, q, r = (*row.numbers, 0, 0, 0)[:3]
    return lambda *given: lib.mg_fused(op, *[*given, NULL, NULL][:3], NULL, p, q, r)


def _fused(name: str, row: Row) -> Callable[[Draw], Iterator[Trial]]:
    def trials(draw: Draw) -> Iterator[Trial]:
        run = of(_call(name, row))
        for shape in _SHAPES:
            operands = row.draw(draw, shape)
            yield Trial(
                str(shape), run, operands, row.function(*map(wide, operands)), _scale(operands)
            )
        if row.operands > 1:
            operands = row.draw(draw, (5, 19))
            operands[0] = operands[0][:, :1].copy()
            if not row.apart:
                yield Trial(
                    "broadcast", run, operands, row.function(*map(wide, operands)), _scale(operands)
                )

    return trials


def _fused_sum(name: str, row: Row) -> Callable[[Draw], Iterator[Trial]]:
    op = lib.mg_find_fused(name.encode())
    p, q, r = (*row.numbers, 0, 0, 0)[:3]

    def trials(draw: Draw) -> Iterator[Trial]:
        def call(*given):
            return lib.mg_fused_sum(op, *[*given, NULL, NULL][:3], p, q, r, 0.5)

        for shape in ((), (0,), (1,), (17,), (1031,), (5, 19), (3, 7, 11), (130, 70)):
            operands = row.draw(draw, shape)
            each = row.function(*map(wide, operands))
            scale = np.sum(np.maximum(np.abs(each), _scale(operands))) / 2
            yield Trial(str(shape), of(call), operands, np.sum(each) / 2, scale)

    return trials


CASES = [
    *(Case("fused", _fused(name, row), 16, name) for name, row in ROWS.items()),
    *(Case("fused_sum", _fused_sum(name, row), 16, name) for name, row in ROWS.items()),
]
