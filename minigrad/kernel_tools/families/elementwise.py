"""Rows of elementwise.def, and what else works element by element."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...kernels import NULL, lib, own
from ..arrays import DTYPES, FLOATS, LAYOUTS, SIZES, array, check, values
from ..checks import Case, Draw, Trial, of, wide

Function = Callable[..., np.ndarray]
Bounds = tuple[float, float]

erf = np.vectorize(math.erf, otypes=[np.float64])
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _sign(x):
    """Of NaN it is 0, as torch's."""
    return x if x.dtype == bool else np.nan_to_num(np.sign(x))


# name: (NumPy on float64 or integers, bounds of the operand, ulp)
UNARY: dict[str, tuple[Function, Bounds, float]] = {
    "neg": (np.negative, (-4, 4), 0.5),
    "abs": (np.abs, (-4, 4), 0.5),
    "sign": (_sign, (-4, 4), 0.5),
    "square": (np.square, (-4, 4), 0.5),
    "relu": (lambda x: np.where(x < 0, 0, x), (-4, 4), 0.5),
    "reciprocal": (lambda x: 1 / x, (0.2, 4), 0.5),
    "sqrt": (np.sqrt, (0, 9), 0.5),
    "rsqrt": (lambda x: 1 / np.sqrt(x), (0.1, 9), 1.5),
    "floor": (np.floor, (-9, 9), 0.5),
    "ceil": (np.ceil, (-9, 9), 0.5),
    "round": (np.round, (-9, 9), 0.5),
    "trunc": (np.trunc, (-9, 9), 0.5),
    "exp": (np.exp, (-9, 9), 2),
    "exp2": (np.exp2, (-9, 9), 2),
    "expm1": (np.expm1, (-2, 2), 2),
    "log": (np.log, (1e-3, 9), 2),
    "log2": (np.log2, (1e-3, 9), 4),
    "log10": (np.log10, (1e-3, 9), 4),
    "log1p": (np.log1p, (-0.9, 9), 4),
    "tanh": (np.tanh, (-4, 4), 4),
    "sigmoid": (_sigmoid, (-9, 9), 4),
    "erf": (erf, (-4, 4), 4),
    "erfc": (_erfc, (-4, 4), 4),
    "isnan": (np.isnan, (-4, 4), 0),
    "isinf": (np.isinf, (-4, 4), 0),
    "isfinite": (np.isfinite, (-4, 4), 0),
    "logical_not": (np.logical_not, (-1, 1), 0),
    "bitwise_not": (np.invert, (-9, 9), 0),
    "sin": (np.sin, (-9, 9), 4),
    "cos": (np.cos, (-9, 9), 4),
    "tan": (np.tan, (-1, 1), 4),
    "asin": (np.arcsin, (-1, 1), 4),
    "acos": (np.arccos, (-1, 1), 4),
    "atan": (np.arctan, (-9, 9), 4),
    "sinh": (np.sinh, (-4, 4), 4),
    "cosh": (np.cosh, (-4, 4), 4),
}
BINARY: dict[str, tuple[Function, Bounds, float]] = {
    "add": (np.add, (-4, 4), 0.5),
    "sub": (np.subtract, (-4, 4), 0.5),
    "mul": (np.multiply, (-4, 4), 0.5),
    "div": (np.true_divide, (0.2, 4), 0.5),
    "maximum": (np.maximum, (-4, 4), 0.5),
    "minimum": (np.minimum, (-4, 4), 0.5),
    "eq": (np.equal, (-2, 2), 0),
    "ne": (np.not_equal, (-2, 2), 0),
    "lt": (np.less, (-2, 2), 0),
    "le": (np.less_equal, (-2, 2), 0),
    "gt": (np.greater, (-2, 2), 0),
    "ge": (np.greater_equal, (-2, 2), 0),
    "logical_and": (np.logical_and, (-1, 1), 0),
    "logical_or": (np.logical_or, (-1, 1), 0),
    "logical_xor": (np.logical_xor, (-1, 1), 0),
    "bitwise_and": (np.bitwise_and, (-9, 9), 0),
    "bitwise_or": (np.bitwise_or, (-9, 9), 0),
    "bitwise_xor": (np.bitwise_xor, (-9, 9), 0),
    "floor_divide": (np.floor_divide, (1, 9), 0.5),
    "remainder": (np.mod, (1, 9), 0.5),
    "fmod": (np.fmod, (1, 9), 0.5),
    "pow": (np.power, (1, 4), 2),
    "atan2": (np.arctan2, (-4, 4), 4),
    "relu_backward": (lambda g, y: np.where(y <= 0, 0, g), (-4, 4), 0.5),
    "tanh_backward": (lambda g, y: g * (1 - y * y), (-0.9, 0.9), 8),
    "sigmoid_backward": (lambda g, y: g * y * (1 - y), (0.1, 0.9), 4),
}
PAIRS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((5, 19), (5, 19)),
    ((5, 19), (19,)),
    ((5, 1), (5, 19)),
    ((5, 19), (1,)),
    ((), (37,)),
    ((37,), ()),
    ((3, 1, 7), (2, 1)),
    ((0, 3), (1, 3)),
    ((), ()),
)
_ONE = ("contiguous",)
SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, 1e30, -1e-30)
# What special values give is the C library's affair, or of no consequence.
_ORDINARY = {"floor_divide", "remainder", "fmod", "pow", "atan2"}
_ORDINARY |= {"tanh_backward", "sigmoid_backward"}


def _unary(name: str) -> Callable[[Draw], Iterator[Trial]]:
    function, bounds, _ = UNARY[name]
    op = lib.mg_find_unary(name.encode())

    def trials(draw: Draw) -> Iterator[Trial]:
        shapes = [(size,) for size in SIZES] + [(5, 19), (), (2, 0, 3)]
        operands = [(str(shape), draw.values(shape, *bounds)) for shape in shapes]
        if draw.is_float:
            operands.append(("special", np.array(SPECIAL * 7, draw.dtype)))
        for label, x in operands:
            wanted = np.asarray(function(wide(x)))
            yield Trial(label, of(lib.mg_unary, NULL, before=(op,)), [x], wanted, _scale(name))
        if wanted.dtype != bool or draw.dtype == "bool":
            x = draw.values((7, 11), *bounds)
            wanted = np.asarray(function(wide(x)))
            run = of(lambda a: lib.mg_unary(op, a, a))
            yield Trial("in place", run, [x], wanted, _scale(name))

    return trials


def _scale(name: str) -> float | None:
    """1 where a difference of neighbours of 1 cancels."""
    return 1.0 if name == "tanh_backward" else None


def _binary(name: str) -> Callable[[Draw], Iterator[Trial]]:
    function, bounds, _ = BINARY[name]
    op = lib.mg_find_binary(name.encode())
    scale = _scale(name)

    def trials(draw: Draw) -> Iterator[Trial]:
        run = of(lib.mg_binary, NULL, before=(op,))
        for pair in (*(((n,), (n,)) for n in SIZES), *PAIRS):
            a, b = (draw.values(shape, *bounds) for shape in pair)
            yield Trial(str(pair), run, [a, b], function(wide(a), wide(b)), scale)
        if draw.is_float and name not in _ORDINARY:
            pairs = np.array([(x, y) for x in SPECIAL for y in SPECIAL], draw.dtype)
            a, b = pairs.T.copy()
            yield Trial("special", run, [a, b], function(wide(a), wide(b)), scale)
        a, b = draw.values((5, 19), *bounds), draw.values((19,), *bounds)
        wanted = np.asarray(function(wide(a), wide(b)))
        if wanted.dtype != bool or draw.dtype == "bool":
            run = of(lambda a, b: lib.mg_binary(op, a, b, a))
            yield Trial("in place", run, [a, b], wanted, scale)

    return trials


def _where(draw: Draw) -> Iterator[Trial]:
    for size in SIZES:
        c = draw.rng.random(size) < 0.5
        a, b = draw.values(size), draw.values(size)
        yield Trial(str(size), of(lib.mg_where), [c, a, b], np.where(c, a, b))
    c = draw.rng.random((4, 1)) < 0.5
    a, b = draw.values((7,)), draw.values((4, 7))
    yield Trial("broadcast", of(lib.mg_where), [c, a, b], np.where(c, a, b))


def _copy(draw: Draw) -> Iterator[Trial]:
    """Conversions from every dtype, and copies into memory of every layout."""
    for source in DTYPES:
        for shape in ((131,), (7, 11), (), (0, 3), (33, 67)):
            x = values(draw.rng, shape, source, 0, 9)
            cast = of(lib.mg_cast, DTYPES.index(draw.dtype))
            yield Trial(f"{source} {shape}", cast, [x], x.astype(draw.dtype))
            for layout in LAYOUTS:

                def run(handle, shape=shape, layout=layout):
                    target = array(np.zeros((3, *shape), draw.dtype), layout)
                    check(lib.mg_copy(target, handle))
                    return target

                wanted = np.broadcast_to(x.astype(draw.dtype), (3, *shape))
                yield Trial(f"{source} {shape} to {layout}", run, [x], wanted)


def _arange(draw: Draw) -> Iterator[Trial]:
    code = DTYPES.index(draw.dtype)

    def run(make: Any, first: float, step: float, count: int) -> Callable[[], Any]:
        return lambda: own(lib.mg_arange(code, own(make(first)), own(make(step)), count))

    step = 0 if draw.dtype == "uint8" else 2
    for count in (0, 1, 17, 1031):
        wanted = 3 + np.arange(count) * step
        yield Trial(str(count), run(lib.mg_scalar_int, 3, step, count), [], wanted, None, _ONE)
    if draw.dtype in FLOATS:
        tenths = 0.1 + 0.3 * np.arange(1000)
        yield Trial("tenths", run(lib.mg_scalar_float, 0.1, 0.3, 1000), [], tenths, None, _ONE)


CASES = [
    *(Case("unary", _unary(name), row[2], name) for name, row in UNARY.items()),
    *(Case("binary", _binary(name), row[2], name) for name, row in BINARY.items()),
    Case("where", _where, 0),
    Case("copy", _copy, 0),
    Case("arange", _arange, 2),
]
