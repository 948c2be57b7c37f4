"""Rows: functions of one, two or three operands, element by element."""

from __future__ import annotations

import math

import numpy as np
from op_table import ALL, FLOATS, INTEGERS, NUMBERS, Mask, Real, Row, binary, unary

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x):
    return np.where(x >= 0, 1 / (1 + np.exp(-abs(x))), np.exp(-abs(x)) / (1 + np.exp(-abs(x))))


def _function(name, reference, domain="real", dtypes=ALL, result="float", in_place=True, **options):
    """A function that exists in the module, as a method and in place, all of one name."""
    methods = {"in_place": lambda m, x: getattr(x, name + "_")()} if in_place else {}
    return Row(
        name,
        lambda m, x: getattr(m, name)(x),
        unary(domain),
        reference,
        dtypes=dtypes,
        result=result,
        also=(lambda m, x: getattr(x, name)(),),
        special=True,
        **methods,
        **options,
    )


def _rounded(name, reference):
    # The derivative is 0 everywhere that it exists.
    return _function(name, reference, "spread", NUMBERS, "same")


_UNARY = [
    _function("exp", np.exp),
    _function("expm1", np.expm1),
    _function("log", np.log, "positive"),
    _function("log1p", np.log1p, "positive"),
    _function("log2", np.log2, "positive"),
    _function("log10", np.log10, "positive"),
    _function("sqrt", np.sqrt, "positive"),
    _function("rsqrt", lambda x: 1 / np.sqrt(x), "positive"),
    _function("reciprocal", lambda x: 1 / x, "nonzero"),
    _function("sin", np.sin),
    _function("cos", np.cos),
    _function("tan", np.tan, "unit"),
    _function("asin", np.arcsin, "unit"),
    _function("acos", np.arccos, "unit"),
    _function("atan", np.arctan),
    _function("sinh", np.sinh),
    _function("cosh", np.cosh),
    _function("exp2", np.exp2),
    _function("tanh", np.tanh),
    _function("sigmoid", _sigmoid),
    _function("erf", _erf),
    _function("erfc", np.vectorize(math.erfc, otypes=[np.float64])),
    _function("neg", np.negative, dtypes=NUMBERS[1:], result="same"),
    _function("abs", np.abs, "nonzero", NUMBERS, "same"),
    _function("sign", lambda x: np.nan_to_num(np.sign(x)), "nonzero", NUMBERS, "same"),
    _function("square", np.square, dtypes=NUMBERS, result="same"),
    _function(
        "relu", lambda x: np.where(np.isnan(x), x, np.maximum(x, 0)), "nonzero", NUMBERS, "same"
    ),
    _rounded("floor", np.floor),
    _rounded("ceil", np.ceil),
    _rounded("round", np.round),
    _rounded("trunc", np.trunc),
    Row(
        "negative operator",
        lambda m, x: -x,
        unary(),
        np.negative,
        dtypes=NUMBERS[1:],
        special=True,
    ),
    Row("positive operator", lambda m, x: +x, unary(), lambda x: x, dtypes=NUMBERS),
    Row(
        "abs operator", lambda m, x: abs(x), unary("nonzero"), np.abs, dtypes=NUMBERS, special=True
    ),
    Row("clone", lambda m, x: x.clone(), unary(), np.copy, dtypes=ALL, special=True),
    Row("contiguous", lambda m, x: x.contiguous(), unary(), np.copy, dtypes=ALL),
]


def _question(name, call, reference, samples, dtypes=ALL, **options):
    return Row(
        name,
        call,
        samples,
        reference,
        dtypes=dtypes,
        result="bool",
        differentiable=False,
        special=True,
        **options,
    )


_COMPARISONS = [
    _question(
        "eq",
        lambda m, a, b: a == b,
        np.equal,
        binary(),
        also=(lambda m, a, b: m.eq(a, b), lambda m, a, b: a.eq(b)),
    ),
    _question(
        "ne",
        lambda m, a, b: a != b,
        np.not_equal,
        binary(),
        also=(lambda m, a, b: m.ne(a, b), lambda m, a, b: a.ne(b)),
    ),
    _question(
        "lt",
        lambda m, a, b: a < b,
        np.less,
        binary(),
        also=(lambda m, a, b: m.lt(a, b), lambda m, a, b: a.lt(b)),
    ),
    _question(
        "le",
        lambda m, a, b: a <= b,
        np.less_equal,
        binary(),
        also=(lambda m, a, b: m.le(a, b), lambda m, a, b: a.le(b)),
    ),
    _question(
        "gt",
        lambda m, a, b: a > b,
        np.greater,
        binary(),
        also=(lambda m, a, b: m.gt(a, b), lambda m, a, b: a.gt(b)),
    ),
    _question(
        "ge",
        lambda m, a, b: a >= b,
        np.greater_equal,
        binary(),
        also=(lambda m, a, b: m.ge(a, b), lambda m, a, b: a.ge(b)),
    ),
    _question("eq scalar", lambda m, x: x == 1, lambda x: x == 1, unary()),
    _question("gt scalar", lambda m, x: x > 0.5, lambda x: x > 0.5, unary()),
    _question("lt reflected", lambda m, x: 1 < x, lambda x: x > 1, unary()),  # noqa: SIM300
    _question("isnan", lambda m, x: m.isnan(x), np.isnan, unary()),
    _question("isinf", lambda m, x: m.isinf(x), np.isinf, unary()),
    _question("isfinite", lambda m, x: m.isfinite(x), np.isfinite, unary()),
    _question("logical_not", lambda m, x: m.logical_not(x), np.logical_not, unary()),
    _question("logical_and", lambda m, a, b: m.logical_and(a, b), np.logical_and, binary()),
    _question("logical_or", lambda m, a, b: m.logical_or(a, b), np.logical_or, binary()),
    _question("logical_xor", lambda m, a, b: m.logical_xor(a, b), np.logical_xor, binary()),
]

_BITS = ("bool", *INTEGERS)
_BITWISE = [
    Row(
        name,
        call,
        binary(),
        lambda a, b, f=f: f(a.astype(np.int64), b.astype(np.int64)),
        dtypes=_BITS,
        differentiable=False,
        also=(lambda m, a, b, f=f: getattr(m, f.__name__)(a, b),),
        in_place=lambda m, a, b, f=f: getattr(a, f.__name__ + "_")(b),
    )
    for name, call, f in [
        ("bitwise and", lambda m, a, b: a & b, np.bitwise_and),
        ("bitwise or", lambda m, a, b: a | b, np.bitwise_or),
        ("bitwise xor", lambda m, a, b: a ^ b, np.bitwise_xor),
    ]
]
_BITWISE += [
    Row(
        "invert bool",
        lambda m, x: ~x,
        unary(),
        lambda x: 1 - x,
        dtypes=("bool",),
        differentiable=False,
    ),
    Row(
        "invert",
        lambda m, x: ~x,
        unary(),
        lambda x: -x - 1,
        dtypes=("int32", "int64"),
        differentiable=False,
        also=(lambda m, x: m.bitwise_not(x),),
    ),
]


def _pow(a, b):
    return np.power(a, b)


_BINARY = [
    Row(
        "add",
        lambda m, a, b: a + b,
        binary(),
        np.add,
        dtypes=NUMBERS,
        special=True,
        in_place=lambda m, a, b: a.add_(b),
        also=(lambda m, a, b: m.add(a, b), lambda m, a, b: a.add(b)),
    ),
    Row(
        "add alpha",
        lambda m, a, b: m.add(a, b, alpha=3),
        binary(),
        lambda a, b: a + 3 * b,
        dtypes=("int32", "int64", *FLOATS),
        in_place=lambda m, a, b: a.add_(b, alpha=3),
        also=(lambda m, a, b: a.add(b, alpha=3),),
    ),
    Row(
        "sub",
        lambda m, a, b: a - b,
        binary(),
        np.subtract,
        dtypes=NUMBERS[1:],
        special=True,
        in_place=lambda m, a, b: a.sub_(b),
        also=(lambda m, a, b: m.sub(a, b), lambda m, a, b: a.sub(b)),
    ),
    Row(
        "sub alpha",
        lambda m, a, b: m.sub(a, b, alpha=2),
        binary(),
        lambda a, b: a - 2 * b,
        dtypes=("int32", "int64", *FLOATS),
        in_place=lambda m, a, b: a.sub_(b, alpha=2),
    ),
    Row(
        "mul",
        lambda m, a, b: a * b,
        binary(),
        np.multiply,
        dtypes=ALL,
        special=True,
        in_place=lambda m, a, b: a.mul_(b),
        also=(lambda m, a, b: m.mul(a, b), lambda m, a, b: a.mul(b)),
    ),
    Row(
        "div",
        lambda m, a, b: a / b,
        binary("real", "nonzero"),
        np.true_divide,
        dtypes=NUMBERS,
        result="float",
        special=True,
        in_place=lambda m, a, b: a.div_(b),
        also=(lambda m, a, b: m.div(a, b), lambda m, a, b: a.div(b)),
    ),
    Row(
        "pow",
        lambda m, a, b: a**b,
        binary("positive", "real"),
        _pow,
        special=True,
        in_place=lambda m, a, b: a.pow_(b),
        also=(lambda m, a, b: m.pow(a, b), lambda m, a, b: a.pow(b)),
    ),
    Row(
        "maximum",
        lambda m, a, b: m.maximum(a, b),
        binary(),
        np.maximum,
        dtypes=ALL,
        special=True,
        also=(lambda m, a, b: a.maximum(b),),
    ),
    Row(
        "minimum",
        lambda m, a, b: m.minimum(a, b),
        binary(),
        np.minimum,
        dtypes=ALL,
        special=True,
        also=(lambda m, a, b: a.minimum(b),),
    ),
    Row(
        "floor divide",
        lambda m, a, b: a // b,
        binary("real", "nonzero"),
        np.floor_divide,
        dtypes=NUMBERS,
        differentiable=False,
        also=(lambda m, a, b: m.floor_divide(a, b),),
    ),
    Row(
        "remainder",
        lambda m, a, b: a % b,
        binary("real", "nonzero"),
        np.mod,
        dtypes=NUMBERS,
        also=(lambda m, a, b: m.remainder(a, b),),
    ),
]

_BINARY += [
    Row(
        "div floor",
        lambda m, a, b: m.div(a, b, rounding_mode="floor"),
        binary("real", "nonzero"),
        np.floor_divide,
        dtypes=NUMBERS,
        differentiable=False,
    ),
    Row(
        "div trunc",
        lambda m, a, b: a.div(b, rounding_mode="trunc"),
        binary("real", "nonzero"),
        lambda a, b: np.trunc(a / b),
        dtypes=NUMBERS,
        differentiable=False,
    ),
    Row(
        "fmod",
        lambda m, a, b: m.fmod(a, b),
        binary("real", "nonzero"),
        np.fmod,
        dtypes=NUMBERS,
    ),
    Row(
        "atan2",
        lambda m, a, b: m.atan2(a, b),
        binary("nonzero", "nonzero"),
        np.arctan2,
        special=True,
        also=(lambda m, a, b: a.atan2(b),),
    ),
    Row(
        "lerp",
        lambda m, a, b: m.lerp(a, b, 0.3),
        binary(),
        lambda a, b: a + 0.3 * (b - a),
        in_place=lambda m, a, b: a.lerp_(b, 0.3),
        also=(lambda m, a, b: a.lerp(b, 0.3),),
    ),
]

# Each operator with a Python number on either side.
_SCALAR = [
    Row("add scalar", lambda m, x: x + 2.5, unary(), lambda x: x + 2.5, FLOATS, special=True),
    Row("add integer scalar", lambda m, x: x + 2, unary(), lambda x: x + 2, NUMBERS, special=True),
    Row("add reflected", lambda m, x: 2 + x, unary(), lambda x: x + 2, NUMBERS),
    Row("sub scalar", lambda m, x: x - 2, unary(), lambda x: x - 2, ("int32", "int64", *FLOATS)),
    Row("sub reflected", lambda m, x: 2 - x, unary(), lambda x: 2 - x, ("int32", "int64", *FLOATS)),
    Row("mul scalar", lambda m, x: x * 3, unary(), lambda x: x * 3, NUMBERS, special=True),
    Row("mul reflected", lambda m, x: 3 * x, unary(), lambda x: x * 3, NUMBERS),
    Row("div scalar", lambda m, x: x / 4, unary(), lambda x: x / 4, ALL, "float", special=True),
    Row("div reflected", lambda m, x: 2 / x, unary("nonzero"), lambda x: 2 / x, NUMBERS, "float"),
    Row(
        "div integers by zero",
        lambda m, x: x / 0,
        unary("nonzero"),
        lambda x: x / 0.0,
        INTEGERS,
        "float",
        differentiable=False,
    ),
    Row("pow 2", lambda m, x: x**2, unary(), lambda x: x**2, NUMBERS, special=True),
    Row("pow 3", lambda m, x: x**3, unary(), lambda x: x**3, ("int32", "int64", *FLOATS)),
    Row("pow half", lambda m, x: x**0.5, unary("positive"), np.sqrt, FLOATS),
    Row("pow -1", lambda m, x: x**-1, unary("nonzero"), lambda x: 1 / x, FLOATS),
    Row("pow 1.7", lambda m, x: x**1.7, unary("positive"), lambda x: x**1.7, FLOATS),
    Row("pow 0", lambda m, x: x**0, unary(), np.ones_like, NUMBERS, special=True),
    Row("pow reflected", lambda m, x: 2.0**x, unary(), lambda x: 2.0**x, FLOATS, special=True),
    Row(
        "floor divide scalar",
        lambda m, x: x // 2,
        unary(),
        lambda x: x // 2,
        NUMBERS,
        differentiable=False,
    ),
    Row("remainder scalar", lambda m, x: x % 3, unary("positive"), lambda x: x % 3, NUMBERS),
]

_three = [
    (Mask((3, 4)), Real((3, 4)), Real((3, 4))),
    (Mask((3, 1)), Real((4,)), Real(())),
    (Mask(()), Real((2, 3)), Real((2, 1))),
    (Mask((0, 3)), Real((3,)), Real((1, 3))),
]

_CHOICES = [
    Row(
        "where",
        lambda m, c, a, b: m.where(c, a, b),
        _three,
        np.where,
        ALL,
        also=(lambda m, c, a, b: a.where(c, b),),
    ),
    Row(
        "where scalar",
        lambda m, c, a: m.where(c, a, 0.5),
        [sample[:2] for sample in _three],
        lambda c, a: np.where(c, a, 0.5),
    ),
    Row(
        "masked_fill",
        lambda m, x, c: x.masked_fill(c, 2),
        [
            (Real((3, 4)), Mask((3, 4))),
            (Real((2, 3)), Mask((3,))),
            (Real(()), Mask(())),
            (Real((0, 2)), Mask((1, 2))),
        ],
        lambda x, c: np.where(c, 2, x),
        NUMBERS,
        in_place=lambda m, x, c: x.masked_fill_(c, 2),
    ),
    Row(
        "clamp",
        lambda m, x: m.clamp(x, -0.4, 0.6),
        unary("spread"),
        lambda x: np.where(np.isnan(x), x, np.clip(x, -0.4, 0.6)),
        special=True,
        in_place=lambda m, x: x.clamp_(-0.4, 0.6),
        also=(lambda m, x: x.clamp(min=-0.4, max=0.6), lambda m, x: x.clamp(-0.4, 0.6)),
    ),
    Row(
        "clamp min",
        lambda m, x: x.clamp(min=0.2),
        unary("spread"),
        lambda x: np.where(np.isnan(x), x, np.maximum(x, 0.2)),
        special=True,
    ),
    Row(
        "clamp max",
        lambda m, x: x.clamp(max=0.2),
        unary("spread"),
        lambda x: np.where(np.isnan(x), x, np.minimum(x, 0.2)),
        special=True,
    ),
    Row(
        "clamp integers",
        lambda m, x: x.clamp(1, 3),
        unary(),
        lambda x: np.clip(x, 1, 3),
        INTEGERS,
        differentiable=False,
    ),
    Row(
        "clamp tensors",
        lambda m, x, low, high: m.clamp(x, low, high),
        [(Real((3, 4)), Real((4,), "unit"), Real((3, 1), "positive"))],
        lambda x, low, high: np.minimum(np.maximum(x, low), high),
    ),
]

_CASTS = [
    Row(
        "to " + name,
        lambda m, x, name=name: x.to(getattr(m, name)),
        unary(),
        lambda x: x,
        ALL,
        name,
        differentiable=name == "float64",
    )
    for name in FLOATS
]
_CASTS += [
    Row(
        "to int64",
        lambda m, x: x.to(m.int64),
        unary(),
        np.trunc,
        ALL,
        "int64",
        differentiable=False,
        also=(lambda m, x: x.long(),),
    ),
    Row(
        "to int32",
        lambda m, x: x.to(m.int32),
        unary(),
        np.trunc,
        ALL,
        "int32",
        differentiable=False,
        also=(lambda m, x: x.int(),),
    ),
    Row(
        "to bool",
        lambda m, x: x.to(m.bool),
        unary(),
        lambda x: x != 0,
        ALL,
        "bool",
        differentiable=False,
        also=(lambda m, x: x.bool(),),
        special=True,
    ),
    Row(
        "to uint8",
        lambda m, x: x.to(m.uint8),
        unary("positive"),
        np.trunc,
        ALL,
        "uint8",
        differentiable=False,
    ),
    Row(
        "type_as",
        lambda m, x, y: x.type_as(y),
        [(Real((2, 3)), Mask((1,)))],
        lambda x, y: x != 0,
        ALL,
        "bool",
        differentiable=False,
    ),
]

# In-place methods that have no out-of-place form of the same name.
_WRITES = [
    Row(
        "copy_",
        lambda m, a, b: a.clone().copy_(b),
        [
            (Real((3, 4)), Real((3, 4))),
            (Real((3, 4)), Real((4,))),
            (Real(()), Real(())),
            (Real((0, 2)), Real((1, 2))),
        ],
        lambda a, b: np.broadcast_to(b, a.shape),
        ALL,
    ),
    Row(
        "fill_", lambda m, x: x.clone().fill_(3), unary(), lambda x: np.full(x.shape, 3.0), NUMBERS
    ),
    Row("zero_", lambda m, x: x.clone().zero_(), unary(), np.zeros_like, ALL),
]

ROWS = [
    *_UNARY,
    *_COMPARISONS,
    *_BITWISE,
    *_BINARY,
    *_SCALAR,
    *_CHOICES,
    *_CASTS,
    *_WRITES,
]
