"""Rows: products of matrices and vectors."""

from __future__ import annotations

import numpy as np
from op_table import NUMBERS, Real, Row


def _pairs(*pairs):
    return [(Real(a), Real(b)) for a, b in pairs]


_INTEGERS_TOO = ("int32", "int64", "float32", "float64")

_MATMUL = [
    Row(
        "matmul 1-d 1-d",
        lambda m, a, b: a @ b,
        _pairs(((4,), (4,)), ((0,), (0,)), ((1,), (1,))),
        np.matmul,
        also=(lambda m, a, b: m.matmul(a, b), lambda m, a, b: m.dot(a, b)),
    ),
    Row(
        "matmul 2-d 2-d",
        lambda m, a, b: a @ b,
        _pairs(
            ((3, 4), (4, 2)),
            ((1, 1), (1, 5)),
            ((3, 0), (0, 2)),
            ((0, 3), (3, 2)),
            ((2, 3), (3, 0)),
            ((7, 5), (5, 9)),
        ),
        np.matmul,
        also=(
            lambda m, a, b: m.matmul(a, b),
            lambda m, a, b: a.matmul(b),
            lambda m, a, b: m.mm(a, b),
            lambda m, a, b: a.mm(b),
        ),
    ),
    Row(
        "matmul 2-d 1-d",
        lambda m, a, b: a @ b,
        _pairs(((3, 4), (4,)), ((0, 2), (2,)), ((2, 0), (0,))),
        np.matmul,
        also=(lambda m, a, b: m.mv(a, b),),
    ),
    Row("matmul 1-d 2-d", lambda m, a, b: a @ b, _pairs(((4,), (4, 2)), ((1,), (1, 3))), np.matmul),
    Row(
        "matmul batches",
        lambda m, a, b: m.matmul(a, b),
        _pairs(
            ((2, 3, 4), (2, 4, 2)),
            ((2, 3, 4), (4, 2)),
            ((3, 4), (2, 4, 2)),
            ((2, 1, 3, 2), (3, 2, 2)),
            ((2, 3, 4), (4,)),
            ((4,), (2, 4, 3)),
            ((0, 3, 2), (2, 2)),
            ((2, 2, 0), (2, 0, 3)),
            ((5, 1, 2, 3), (1, 2, 3, 2)),
        ),
        np.matmul,
    ),
    Row(
        "bmm",
        lambda m, a, b: m.bmm(a, b),
        _pairs(((2, 3, 4), (2, 4, 2)), ((0, 2, 2), (0, 2, 3))),
        np.matmul,
        also=(lambda m, a, b: a.bmm(b),),
    ),
    Row(
        "matmul integers",
        lambda m, a, b: a @ b,
        _pairs(((3, 4), (4, 2)), ((4,), (4,))),
        np.matmul,
        NUMBERS,
        differentiable=False,
    ),
    Row(
        "matmul of transposes",
        lambda m, a, b: a.t() @ b.t(),
        _pairs(((4, 3), (2, 4))),
        lambda a, b: a.T @ b.T,
    ),
    Row(
        "matmul with itself",
        lambda m, a: a @ a.mT,
        [(Real((2, 3)),), (Real((2, 2, 3)),)],
        lambda a: a @ a.swapaxes(-1, -2),
    ),
]

_OTHERS = [
    Row(
        "addmm beta alpha",
        lambda m, c, a, b: m.addmm(c, a, b, beta=0.5, alpha=2),
        [(Real((3, 2)), Real((3, 4)), Real((4, 2)))],
        lambda c, a, b: 0.5 * c + 2 * (a @ b),
    ),
    Row(
        "addmm",
        lambda m, c, a, b: m.addmm(c, a, b),
        [(Real((3, 2)), Real((3, 4)), Real((4, 2))), (Real((2,)), Real((3, 4)), Real((4, 2)))],
        lambda c, a, b: c + a @ b,
    ),
    Row(
        "outer",
        lambda m, a, b: m.outer(a, b),
        _pairs(((3,), (4,)), ((0,), (2,))),
        np.outer,
        _INTEGERS_TOO,
    ),
]


def _linear(x, w, b=0.0):
    return x @ w.T + b


_LINEAR = [
    Row(
        "linear",
        lambda m, x, w, b: m.nn.functional.linear(x, w, b),
        [
            (Real((5, 3)), Real((4, 3)), Real((4,))),
            (Real((3,)), Real((2, 3)), Real((2,))),
            (Real((2, 3, 4)), Real((5, 4)), Real((5,))),
            (Real((0, 3)), Real((2, 3)), Real((2,))),
            (Real((4, 0)), Real((2, 0)), Real((2,))),
            (Real((1, 17)), Real((19, 17)), Real((19,))),
        ],
        _linear,
    ),
    Row(
        "linear no bias",
        lambda m, x, w: m.nn.functional.linear(x, w),
        [(Real((5, 3)), Real((4, 3))), (Real((3,)), Real((2, 3))), (Real((2, 2, 3)), Real((1, 3)))],
        _linear,
    ),
]

ROWS = [*_MATMUL, *_OTHERS, *_LINEAR]
