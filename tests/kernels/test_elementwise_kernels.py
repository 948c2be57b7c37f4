"""Elementwise kernels: every expression x instruction set x dtype against float64 NumPy."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from native import (
    DTYPES,
    FLOATS,
    NULL,
    SIZES,
    array,
    check,
    close,
    lib,
    ndarray,
    own,
    values,
)

KERNELS = {"unary", "binary", "where", "copy", "arange"}

_erf = np.vectorize(math.erf, otypes=[np.float64])
_erfc = np.vectorize(math.erfc, otypes=[np.float64])
NUMBER, FLOAT, INTEGER = DTYPES[1:], FLOATS, DTYPES[1:4]


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


# name: (NumPy on float64 or int64, dtypes, bounds of the operand)
UNARY = {
    "neg": (np.negative, NUMBER, (-4, 4)),
    "abs": (np.abs, NUMBER, (-4, 4)),
    "sign": (np.sign, NUMBER, (-4, 4)),
    "square": (np.square, NUMBER, (-4, 4)),
    "relu": (lambda x: np.maximum(x, 0), NUMBER, (-4, 4)),
    "reciprocal": (lambda x: 1 / x, FLOAT, (0.2, 4)),
    "sqrt": (np.sqrt, FLOAT, (0, 9)),
    "rsqrt": (lambda x: 1 / np.sqrt(x), FLOAT, (0.1, 9)),
    "floor": (np.floor, NUMBER, (-9, 9)),
    "ceil": (np.ceil, NUMBER, (-9, 9)),
    "round": (np.round, NUMBER, (-9, 9)),
    "trunc": (np.trunc, NUMBER, (-9, 9)),
    "exp": (np.exp, FLOAT, (-9, 9)),
    "exp2": (np.exp2, FLOAT, (-9, 9)),
    "expm1": (np.expm1, FLOAT, (-2, 2)),
    "log": (np.log, FLOAT, (1e-3, 9)),
    "log2": (np.log2, FLOAT, (1e-3, 9)),
    "log10": (np.log10, FLOAT, (1e-3, 9)),
    "log1p": (np.log1p, FLOAT, (-0.9, 9)),
    "tanh": (np.tanh, FLOAT, (-4, 4)),
    "sigmoid": (_sigmoid, FLOAT, (-9, 9)),
    "erf": (_erf, FLOAT, (-4, 4)),
    "erfc": (_erfc, FLOAT, (-4, 4)),
    "isnan": (np.isnan, NUMBER, (-4, 4)),
    "isinf": (np.isinf, NUMBER, (-4, 4)),
    "isfinite": (np.isfinite, NUMBER, (-4, 4)),
    "logical_not": (np.logical_not, DTYPES, (-1, 1)),
    "bitwise_not": (np.invert, INTEGER, (-9, 9)),
    "sin": (np.sin, FLOAT, (-9, 9)),
    "cos": (np.cos, FLOAT, (-9, 9)),
    "tan": (np.tan, FLOAT, (-1, 1)),
    "asin": (np.arcsin, FLOAT, (-1, 1)),
    "acos": (np.arccos, FLOAT, (-1, 1)),
    "atan": (np.arctan, FLOAT, (-9, 9)),
    "sinh": (np.sinh, FLOAT, (-4, 4)),
    "cosh": (np.cosh, FLOAT, (-4, 4)),
}
BINARY = {
    "add": (np.add, DTYPES, (-4, 4)),
    "sub": (np.subtract, NUMBER, (-4, 4)),
    "mul": (np.multiply, DTYPES, (-4, 4)),
    "div": (np.true_divide, FLOAT, (0.2, 4)),
    "maximum": (np.maximum, DTYPES, (-4, 4)),
    "minimum": (np.minimum, DTYPES, (-4, 4)),
    "eq": (np.equal, DTYPES, (-2, 2)),
    "ne": (np.not_equal, DTYPES, (-2, 2)),
    "lt": (np.less, DTYPES, (-2, 2)),
    "le": (np.less_equal, DTYPES, (-2, 2)),
    "gt": (np.greater, DTYPES, (-2, 2)),
    "ge": (np.greater_equal, DTYPES, (-2, 2)),
    "logical_and": (np.logical_and, DTYPES, (-1, 1)),
    "logical_or": (np.logical_or, DTYPES, (-1, 1)),
    "logical_xor": (np.logical_xor, DTYPES, (-1, 1)),
    "bitwise_and": (np.bitwise_and, INTEGER, (-9, 9)),
    "bitwise_or": (np.bitwise_or, INTEGER, (-9, 9)),
    "bitwise_xor": (np.bitwise_xor, INTEGER, (-9, 9)),
    "floor_divide": (np.floor_divide, NUMBER, (1, 9)),
    "remainder": (np.mod, NUMBER, (1, 9)),
    "fmod": (np.fmod, NUMBER, (1, 9)),
    "pow": (np.power, NUMBER, (1, 4)),
    "atan2": (np.arctan2, FLOAT, (-4, 4)),
    "relu_backward": (lambda g, y: np.where(y <= 0, 0, g), FLOAT, (-4, 4)),
    "tanh_backward": (lambda g, y: g * (1 - y * y), FLOAT, (-0.9, 0.9)),
    "sigmoid_backward": (lambda g, y: g * y * (1 - y), FLOAT, (0.1, 0.9)),
}
LAYOUTS = ("contiguous", "transposed", "sliced")


def wide(x):
    return x.astype(np.float64) if x.dtype.kind == "f" else x


def each(table):
    return pytest.mark.parametrize(
        "name,dtype", [(name, dtype) for name, row in table.items() for dtype in row[1]]
    )


@each(UNARY)
def test_unary(name, dtype):
    rng = np.random.default_rng(0)
    function, _, bounds = UNARY[name]
    op = lib.mg_find_unary(name.encode())
    assert op >= 0
    for size in SIZES:
        x = values(rng, size, dtype, *bounds)
        close(ndarray(own(lib.mg_unary(op, array(x), NULL))), function(wide(x)), 8, 0.5)
    x = values(rng, (5, 19), dtype, *bounds)
    for layout in LAYOUTS:
        close(ndarray(own(lib.mg_unary(op, array(x, layout), NULL))), function(wide(x)), 8, 0.5)


PAIRS = [
    ((5, 19), (5, 19)),
    ((5, 19), (19,)),
    ((5, 1), (5, 19)),
    ((5, 19), (1,)),
    ((), (37,)),
    ((37,), ()),
    ((3, 1, 7), (2, 1)),
    ((0, 3), (1, 3)),
    ((), ()),
]


@each(BINARY)
def test_binary(name, dtype):
    rng = np.random.default_rng(0)
    function, _, bounds = BINARY[name]
    op = lib.mg_find_binary(name.encode())
    assert op >= 0

    def compare(a, b, layout_a="contiguous", layout_b="contiguous"):
        got = own(lib.mg_binary(op, array(a, layout_a), array(b, layout_b), NULL))
        close(ndarray(got), function(wide(a), wide(b)), 8, 0.5)

    for size in SIZES:
        compare(values(rng, size, dtype, *bounds), values(rng, size, dtype, *bounds))
    for shape_a, shape_b in PAIRS:
        compare(values(rng, shape_a, dtype, *bounds), values(rng, shape_b, dtype, *bounds))
    a, b = values(rng, (5, 19), dtype, *bounds), values(rng, (5, 19), dtype, *bounds)
    for layout_a in LAYOUTS:
        for layout_b in LAYOUTS:
            compare(a, b, layout_a, layout_b)


@pytest.mark.parametrize("dtype", FLOATS)
def test_results_are_written_in_place(dtype):
    rng = np.random.default_rng(0)
    add, exp = lib.mg_find_binary(b"add"), lib.mg_find_unary(b"exp")
    for layout in LAYOUTS:
        a, b = values(rng, (5, 19), dtype), values(rng, 19, dtype)
        target = array(a, layout)
        own(lib.mg_binary(add, target, array(b), target))
        close(ndarray(target), wide(a) + wide(b), scale=4)
        own(lib.mg_unary(exp, array(a), target))
        close(ndarray(target), np.exp(wide(a)))


def test_overlapping_operands_in_place():
    """out = view[1:] of the memory whose view[:-1] is read: as if the operand was copied first."""
    memory = array(np.arange(200.0))
    source = own(lib.mg_as_strided(memory, 1, [199], [1], 0))
    target = own(lib.mg_as_strided(memory, 1, [199], [1], 1))
    own(lib.mg_unary(lib.mg_find_unary(b"neg"), source, target))
    np.testing.assert_array_equal(ndarray(memory), [0, *-np.arange(199.0)])


@pytest.mark.parametrize("dtype", DTYPES)
def test_where(dtype):
    rng = np.random.default_rng(0)
    for size in SIZES:
        c = rng.random(size) < 0.5
        a, b = values(rng, size, dtype), values(rng, size, dtype)
        got = own(lib.mg_where(array(c), array(a), array(b)))
        np.testing.assert_array_equal(ndarray(got), np.where(c, a, b))
    c = rng.random((4, 1)) < 0.5
    a, b = values(rng, (7,), dtype), values(rng, (4, 7), dtype)
    got = own(lib.mg_where(array(c), array(a), array(b, "transposed")))
    np.testing.assert_array_equal(ndarray(got), np.where(c, a, b))


@pytest.mark.parametrize("source", DTYPES)
@pytest.mark.parametrize("target", DTYPES)
def test_cast_and_copy(source, target):
    rng = np.random.default_rng(0)
    code = DTYPES.index(target)
    for layout in LAYOUTS:
        for shape in ((131,), (7, 11), (), (0, 3)):
            x = values(rng, shape, source, 0, 9)
            np.testing.assert_array_equal(
                ndarray(own(lib.mg_cast(array(x, layout), code))), x.astype(target)
            )
            destination = array(np.zeros((3, *shape), target), layout)
            check(lib.mg_copy(destination, array(x, layout)))
            np.testing.assert_array_equal(
                ndarray(destination), np.broadcast_to(x.astype(target), (3, *shape))
            )


@pytest.mark.parametrize("dtype", DTYPES[1:])
def test_arange(dtype):
    for count in (0, 1, 17, 1031):
        start, step = (
            own(lib.mg_scalar_int(3)),
            own(lib.mg_scalar_int(2 if dtype != "uint8" else 0)),
        )
        got = ndarray(own(lib.mg_arange(DTYPES.index(dtype), start, step, count)))
        wanted = 3 + np.arange(count) * (2 if dtype != "uint8" else 0)
        np.testing.assert_array_equal(got, wanted.astype(dtype))
    if dtype in FLOATS:
        start, step = own(lib.mg_scalar_float(0.1)), own(lib.mg_scalar_float(0.3))
        got = ndarray(own(lib.mg_arange(DTYPES.index(dtype), start, step, 1000)))
        close(got, 0.1 + 0.3 * np.arange(1000))


def test_full():
    for dtype in DTYPES:
        got = ndarray(own(lib.mg_full(DTYPES.index(dtype), 2, [3, 7], own(lib.mg_scalar_int(1)))))
        np.testing.assert_array_equal(got, np.ones((3, 7), dtype))


SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, 1e30, -1e-30]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", [name for name in UNARY if "bitwise" not in name])
def test_special_values(name, dtype):
    x = np.array(SPECIAL * 7, dtype)
    got = ndarray(own(lib.mg_unary(lib.mg_find_unary(name.encode()), array(x), NULL)))
    with np.errstate(all="ignore"):
        wanted = np.asarray(UNARY[name][0](x.astype(np.float64)))
        if name == "sign":
            wanted = np.nan_to_num(wanted)  # torch's sign(nan) is 0
        if name == "relu":
            wanted = np.where(np.isnan(x), x, wanted)
        np.testing.assert_allclose(got, wanted.astype(got.dtype), rtol=1e-5)
    if name in (
        "neg",
        "abs",
        "floor",
        "ceil",
        "round",
        "trunc",
        "sqrt",
        "expm1",
        "tanh",
        "erf",
        "sin",
    ):
        zeros = x == 0
        np.testing.assert_array_equal(np.signbit(got[zeros]), np.signbit(wanted[zeros]))


def test_wrong_operands_are_refused():
    add = lib.mg_find_binary(b"add")
    a, b = array(np.zeros(2)), array(np.zeros(3))
    assert not lib.mg_binary(add, a, b, NULL)
    assert not lib.mg_binary(add, a, a, b)  # out of another shape
    assert not lib.mg_unary(lib.mg_find_unary(b"neg"), array(np.zeros(2, bool)), NULL)
    assert not lib.mg_binary(lib.mg_find_binary(b"sub"), *[array(np.zeros(2, bool))] * 2, NULL)
    assert not lib.mg_unary(lib.mg_find_unary(b"exp"), a, array(np.zeros(2, np.int64)))
    assert lib.mg_find_unary(b"no such thing") < 0 and lib.mg_find_binary(b"no such thing") < 0
    assert lib.mg_copy(a, b) == -1
    assert not lib.mg_where(a, a, a)
    assert not lib.mg_full(0, 1, [-1], a)


def test_integer_edges():
    for dtype in ("int32", "int64"):
        info = np.iinfo(dtype)
        x = np.array([info.min, info.max, -7, 7] * 9, dtype)
        minus_one = np.full(x.shape, -1, dtype)
        for name in ("floor_divide", "remainder"):
            op = lib.mg_find_binary(name.encode())
            got = ndarray(own(lib.mg_binary(op, array(x), array(minus_one), NULL)))  # no SIGFPE
            np.testing.assert_array_equal(
                got[1:4], {"floor_divide": -x, "remainder": x * 0}[name][1:4]
            )
            assert not lib.mg_binary(op, array(x), array(np.zeros_like(x)), NULL)
        add = lib.mg_find_binary(b"add")
        with np.errstate(over="ignore"):
            wanted = x + x
        np.testing.assert_array_equal(
            ndarray(own(lib.mg_binary(add, array(x), array(x), NULL))), wanted
        )


def test_every_expression_is_here():
    source = Path(__file__).parents[2] / "csrc" / "elementwise.def"
    if not source.exists():
        pytest.skip("the C sources are not part of an installation")
    rows = re.findall(r"^(?:\w+_)?(UNARY|BINARY)\((\w+)", source.read_text(), re.MULTILINE)
    assert {name for kind, name in rows if kind == "UNARY"} == set(UNARY)
    assert {name for kind, name in rows if kind == "BINARY"} == set(BINARY)
