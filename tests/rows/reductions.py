"""Rows: reductions over all, one or several dimensions, and what is built on them."""

from __future__ import annotations

import numpy as np
from op_table import ALL, NUMBERS, Real, Row


def _all_dims(domain="real"):
    return [(Real(shape, domain),) for shape in [(3, 4), (), (2, 3, 2), (41,)]]


def _some_dims(domain="real"):
    return [(Real(shape, domain),) for shape in [(3, 4), (2, 3, 2), (5, 1), (3, 19)]]


_empty = [(Real((0, 3)),), (Real((2, 0)),), (Real((0,)),)]


def _sized(domain="real"):
    """Shapes with a first dimension that is not empty, and perhaps an empty second one."""
    return [*_some_dims(domain), (Real((2, 0), domain),)]


_SUMS = [
    Row(
        "sum",
        lambda m, x: x.sum(),
        [*_all_dims(), *_empty],
        np.sum,
        ALL,
        "sum",
        also=(lambda m, x: m.sum(x),),
    ),
    Row(
        "sum dim",
        lambda m, x: x.sum(1),
        [*_some_dims(), *_empty[:2]],
        lambda x: x.sum(1),
        ALL,
        "sum",
        also=(lambda m, x: x.sum(dim=1), lambda m, x: x.sum(axis=1), lambda m, x: m.sum(x, 1)),
    ),
    Row(
        "sum dim 0 keepdim",
        lambda m, x: x.sum(0, keepdim=True),
        [*_some_dims(), *_empty],
        lambda x: x.sum(0, keepdims=True),
        ALL,
        "sum",
    ),
    Row(
        "sum dims",
        lambda m, x: x.sum((0, -1)),
        _some_dims(),
        lambda x: x.sum((0, x.ndim - 1)),
        ALL,
        "sum",
        also=(lambda m, x: x.sum(dim=[0, -1]),),
    ),
    Row("sum dtype", lambda m, x: x.sum(dtype=m.float64), _all_dims(), np.sum, ALL, "float64"),
    Row("mean", lambda m, x: x.mean(), _all_dims(), np.mean, also=(lambda m, x: m.mean(x),)),
    Row(
        "mean dim",
        lambda m, x: x.mean(-1),
        _some_dims(),
        lambda x: x.mean(-1),
        also=(lambda m, x: x.mean(dim=-1),),
    ),
    Row(
        "mean dims keepdim",
        lambda m, x: x.mean((0, 1), keepdim=True),
        _some_dims(),
        lambda x: x.mean((0, 1), keepdims=True),
    ),
    Row(
        "mean empty",
        lambda m, x: x.mean(),
        _empty,
        lambda x: np.array(np.nan),
        differentiable=False,
    ),
    Row(
        "prod",
        lambda m, x: x.prod(),
        [(Real((2, 3), "nonzero"),), (Real(()),), (Real((0,)),)],
        np.prod,
        ALL,
        "sum",
    ),
    Row(
        "prod dim",
        lambda m, x: x.prod(1),
        [(Real((2, 3), "nonzero"),), (Real((3, 0)),)],
        lambda x: x.prod(1),
        ALL,
        "sum",
    ),
    Row(
        "prod dim keepdim",
        lambda m, x: x.prod(0, keepdim=True),
        [(Real((3, 2), "nonzero"),)],
        lambda x: x.prod(0, keepdims=True),
        ALL,
        "sum",
    ),
]

_MOMENTS = [
    Row("var", lambda m, x: x.var(), [(Real((3, 4)),), (Real((7,)),)], lambda x: x.var(ddof=1)),
    Row("var dim", lambda m, x: x.var(1), [(Real((3, 4)),)], lambda x: x.var(1, ddof=1)),
    Row("var biased", lambda m, x: x.var(0, unbiased=False), [(Real((3, 4)),)], lambda x: x.var(0)),
    Row(
        "var correction",
        lambda m, x: x.var(1, correction=2, keepdim=True),
        [(Real((3, 4)),)],
        lambda x: x.var(1, ddof=2, keepdims=True),
    ),
    Row("std", lambda m, x: x.std(), [(Real((3, 4)),), (Real((7,)),)], lambda x: x.std(ddof=1)),
    Row("std dim", lambda m, x: x.std(0, unbiased=False), [(Real((3, 4)),)], lambda x: x.std(0)),
    Row("norm", lambda m, x: x.norm(), _all_dims("nonzero"), lambda x: np.sqrt((x * x).sum())),
]

_EXTREMES = [
    Row(
        "max",
        lambda m, x: x.max(),
        _all_dims("spread"),
        np.max,
        ALL,
        also=(lambda m, x: m.max(x), lambda m, x: x.amax()),
    ),
    Row(
        "min",
        lambda m, x: x.min(),
        _all_dims("spread"),
        np.min,
        ALL,
        also=(lambda m, x: m.min(x), lambda m, x: x.amin()),
    ),
    Row(
        "amax dims", lambda m, x: x.amax((0, 1)), _some_dims("spread"), lambda x: x.max((0, 1)), ALL
    ),
    Row(
        "amin dim keepdim",
        lambda m, x: x.amin(1, keepdim=True),
        _some_dims("spread"),
        lambda x: x.min(1, keepdims=True),
        ALL,
    ),
    Row(
        "max dim values",
        lambda m, x: x.max(1).values,
        _some_dims("spread"),
        lambda x: x.max(1),
        ALL,
        also=(lambda m, x: x.max(dim=1)[0], lambda m, x: m.max(x, 1).values),
    ),
    Row(
        "max dim indices",
        lambda m, x: x.max(1, keepdim=True).indices,
        _some_dims("spread"),
        lambda x: np.expand_dims(x.argmax(1), 1),
        ALL,
        "int64",
        differentiable=False,
    ),
    Row(
        "min dim values",
        lambda m, x: x.min(0, keepdim=True).values,
        _some_dims("spread"),
        lambda x: x.min(0, keepdims=True),
        ALL,
    ),
    Row(
        "min dim indices",
        lambda m, x: x.min(-1).indices,
        _some_dims("spread"),
        lambda x: x.argmin(-1),
        NUMBERS,
        "int64",
        differentiable=False,
    ),
    Row(
        "argmax",
        lambda m, x: x.argmax(),
        _all_dims("spread"),
        np.argmax,
        NUMBERS,
        "int64",
        differentiable=False,
        also=(lambda m, x: m.argmax(x),),
    ),
    Row(
        "argmax dim",
        lambda m, x: x.argmax(1),
        _some_dims("spread"),
        lambda x: x.argmax(1),
        NUMBERS,
        "int64",
        differentiable=False,
        also=(lambda m, x: m.argmax(x, dim=1),),
    ),
    Row(
        "argmin dim keepdim",
        lambda m, x: x.argmin(0, keepdim=True),
        _some_dims("spread"),
        lambda x: x.argmin(0, keepdims=True),
        NUMBERS,
        "int64",
        differentiable=False,
    ),
]

_LOGIC = [
    Row(
        "any",
        lambda m, x: x.any(),
        [*_all_dims(), *_empty],
        np.any,
        ALL,
        "any",
        differentiable=False,
    ),
    Row(
        "all",
        lambda m, x: x.all(),
        [*_all_dims(), *_empty],
        np.all,
        ALL,
        "any",
        differentiable=False,
    ),
    Row(
        "any dim",
        lambda m, x: x.any(0),
        _sized(),
        lambda x: x.any(0),
        ALL,
        "any",
        differentiable=False,
    ),
    Row(
        "all dim keepdim",
        lambda m, x: x.all(1, keepdim=True),
        _sized(),
        lambda x: x.all(1, keepdims=True),
        ALL,
        "any",
        differentiable=False,
    ),
]


def _logsumexp(x, dim):
    top = x.max(dim, keepdims=True)
    return np.log(np.exp(x - top).sum(dim)) + top.squeeze(dim)


def _softmax(x, dim):
    e = np.exp(x - x.max(dim, keepdims=True)) if x.size else x
    return e / e.sum(dim, keepdims=True)


def _log_softmax(x, dim):
    return x - np.expand_dims(_logsumexp(x, dim), dim) if x.size else x


_SOFTMAXES = [
    Row("logsumexp", lambda m, x: m.logsumexp(x, 1), _some_dims(), lambda x: _logsumexp(x, 1)),
    Row(
        "softmax",
        lambda m, x: x.softmax(1),
        _sized(),
        lambda x: _softmax(x, 1),
        also=(lambda m, x: m.softmax(x, 1), lambda m, x: m.nn.functional.softmax(x, dim=1)),
    ),
    Row("softmax dim 0", lambda m, x: m.softmax(x, 0), _some_dims(), lambda x: _softmax(x, 0)),
    Row("softmax 0-d", lambda m, x: m.softmax(x, 0), [(Real(()),)], np.ones_like),
    Row(
        "log_softmax",
        lambda m, x: x.log_softmax(-1),
        _sized(),
        lambda x: _log_softmax(x, -1),
        also=(
            lambda m, x: m.log_softmax(x, -1),
            lambda m, x: m.nn.functional.log_softmax(x, dim=-1),
        ),
    ),
    Row(
        "log_softmax dim 0",
        lambda m, x: m.log_softmax(x, 0),
        _some_dims(),
        lambda x: _log_softmax(x, 0),
    ),
]

ROWS = [*_SUMS, *_MOMENTS, *_EXTREMES, *_LOGIC, *_SOFTMAXES]
