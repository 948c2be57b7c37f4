"""Rows: indexing and slicing, reading and writing, and the functions that take indices."""

from __future__ import annotations

import numpy as np
from op_table import ALL, NUMBERS, Index, Mask, Real, Row

_NUMPY = type("Slices", (), {"__getitem__": lambda self, key: key})()  # x[key] as a value


def _basic(key, shape=(4, 5)):
    """A basic index: a view, read and written."""
    text = repr(key).replace(" ", "")

    def write(m, x, y):
        x = x.clone()
        x[key] = y
        return x

    def written(x, y):
        x = np.array(x)
        x[key] = y
        return x

    inner = np.empty(shape)[key].shape
    return [
        Row(
            f"x[{text}] {shape}",
            lambda m, x: x[key],
            [(Real(shape),)],
            lambda x: x[key],
            ALL,
            view=True,
        ),
        Row(
            f"x[{text}] {shape} write",
            write,
            [(Real(shape), Real(inner)), (Real(shape), Real(()))],
            written,
            ALL,
        ),
    ]


_BASIC = [
    row
    for key, shape in [
        (0, (4, 5)),
        (-1, (4,)),
        ((1, 2), (4, 5)),
        (slice(1, 3), (4, 5)),
        (slice(None, None, 2), (5, 2)),
        (slice(-3, None), (4, 5)),
        (slice(3, 1), (4, 5)),
        ((slice(None), 1), (4, 5)),
        ((slice(1, None, 2), slice(None, -1)), (4, 5)),
        (None, (3,)),
        ((None, 1, None), (4, 5)),
        (Ellipsis, (2, 3)),
        ((Ellipsis, 0), (2, 3, 4)),
        ((0, Ellipsis, slice(1, 3)), (2, 3, 4)),
        ((Ellipsis, None), (2, 3)),
        ((), (2, 3)),
        (Ellipsis, ()),
        (None, ()),
        (slice(None), (0, 3)),
    ]
    for row in _basic(key, shape)
]


def _take(name, key, samples, **options):
    """An index with tensors: ``key(*indices)`` is the same for tensors and ndarrays."""
    return Row(name, lambda m, x, *i: x[key(*i)], samples, lambda x, *i: x[key(*i)], ALL, **options)


def _put(name, key, samples, **options):
    """The same, written: the operands are the target, the indices and the values."""

    def write(m, x, *rest):
        x = x.clone()
        x[key(*rest[:-1])] = rest[-1]
        return x

    def written(x, *rest):
        x = np.array(x)
        x[key(*rest[:-1])] = rest[-1]
        return x

    return Row(name, write, samples, written, ALL, **options)


_five = Real((5, 3))
_READS = [
    _take(
        "x[indices]",
        lambda i: i,
        [
            (_five, Index((4,), 5, -5)),
            (_five, Index((2, 3), 5)),
            (_five, Index((), 5)),
            (_five, Index((0,), 5)),
            (Real((5,)), Index((7,), 5)),
            (Real((0, 3)), Index((0,), 1)),
        ],
    ),
    _take(
        "x[:, indices]",
        lambda i: (slice(None), i),
        [(_five, Index((4,), 3)), (Real((2, 3, 4)), Index((2, 2), 3))],
    ),
    _take(
        "x[i, j]",
        lambda i, j: (i, j),
        [
            (_five, Index((4,), 5), Index((4,), 3)),
            (_five, Index((4, 1), 5), Index((3,), 3)),
            (Real((5, 3, 2)), Index((4,), 5), Index((), 3)),
        ],
    ),
    _take(
        "x[i, :, j]",
        lambda i, j: (i, slice(None), j),
        [(Real((4, 3, 5)), Index((2,), 4), Index((2,), 5))],
    ),
    _take(
        "x[:, i, j]",
        lambda i, j: (slice(None), i, j),
        [(Real((4, 3, 5)), Index((2,), 3), Index((2,), 5))],
    ),
    _take("x[i, ..., None]", lambda i: (i, Ellipsis, None), [(_five, Index((4,), 5))]),
    _take("x[1:, i]", lambda i: (slice(1, None), i), [(_five, Index((4,), 3))]),
    _take("x[0, i]", lambda i: (0, i), [(_five, Index((4,), 3))]),
    _take("x[i, 1]", lambda i: (i, 1), [(_five, Index((4,), 5))]),
    _take("x[..., i]", lambda i: (Ellipsis, i), [(Real((2, 3, 4)), Index((3,), 4))]),
    _take("x[list]", lambda: [0, 2, -1], [(_five,)]),
    _take("x[list, list]", lambda: ([0, 2], [1, 1]), [(_five,)]),
    _take(
        "x[mask]",
        lambda c: c,
        [(_five, Mask((5, 3))), (_five, Mask((5,))), (Real((0,)), Mask((0,)))],
        replay=False,
    ),
    _take("x[:, mask]", lambda c: (slice(None), c), [(_five, Mask((3,)))], replay=False),
    _take("x[mask, i]", lambda c: (c, 0), [(_five, Mask((5,)))], replay=False),
]

_distinct = lambda: [3, 0, 4]  # noqa: E731  (rows written once, so that the result is defined)

_WRITES = [
    _put("x[list] = y", _distinct, [(_five, Real((3, 3))), (_five, Real((3,))), (_five, Real(()))]),
    _put(
        "x[:, list] = y",
        lambda: (slice(None), [2, 0]),
        [(_five, Real((5, 2))), (_five, Real((1, 2)))],
    ),
    _put("x[list, list] = y", lambda: ([0, 4], [1, 2]), [(_five, Real((2,))), (_five, Real(()))]),
    _put("x[mask] = y", lambda c: c, [(_five, Mask((5, 3)), Real(()))], replay=False),
    _put("x[mask rows] = y", lambda c: c, [(_five, Mask((5,)), Real((3,)))], replay=False),
]


def _scattered(x, y):
    x = np.array(x)
    np.put_along_axis(x[:2], np.array([[2, 0], [1, 4]]), y[:2, :2], 1)
    return x


def _scatter_added(x, i, y):
    x = np.array(x)
    places = (i, np.arange(i.shape[1])) if i.ndim > 1 else (i,)
    np.add.at(x, places, y)
    return x


_FUNCTIONS = [
    Row(
        "index_select",
        lambda m, x, i: m.index_select(x, 1, i),
        [
            (Real((3, 5)), Index((4,), 5)),
            (Real((2, 3, 2)), Index((6,), 3)),
            (Real((0, 4)), Index((2,), 4)),
            (Real((2, 3)), Index((0,), 3)),
        ],
        lambda x, i: np.take(x, i, 1),
        ALL,
        also=(lambda m, x, i: x.index_select(1, i),),
    ),
    Row(
        "gather",
        lambda m, x, i: m.gather(x, 1, i),
        [
            (Real((3, 5)), Index((3, 4), 5)),
            (Real((3, 5)), Index((2, 7), 5)),
            (Real((3, 4)), Index((0, 2), 4)),
        ],
        lambda x, i: np.take_along_axis(x[: len(i)], i, 1),
        ALL,
        also=(lambda m, x, i: x.gather(1, i),),
    ),
    Row(
        "gather dim 0",
        lambda m, x, i: x.gather(0, i),
        [(Real((3, 5)), Index((2, 5), 3)), (Real((4,)), Index((6,), 4))],
        lambda x, i: np.take_along_axis(x, i, 0),
        ALL,
    ),
    Row(
        "take_along_dim",
        lambda m, x, i: m.take_along_dim(x, i, 1),
        [(Real((3, 5)), Index((3, 4), 5)), (Real((3, 5)), Index((1, 2), 5))],
        lambda x, i: np.take_along_axis(x, np.broadcast_to(i, (3, i.shape[1])), 1),
        ALL,
    ),
    Row(
        "scatter",
        lambda m, x, y: m.scatter(x, 1, m.tensor([[2, 0], [1, 4]]), y),
        [(Real((3, 5)), Real((2, 2))), (Real((2, 6)), Real((2, 2)))],
        _scattered,
        ALL,
        in_place=lambda m, x, y: x.scatter_(1, m.tensor([[2, 0], [1, 4]]), y),
    ),
    Row(
        "scatter_add",
        lambda m, x, i, y: m.scatter_add(x, 0, i, y),
        [(Real((3, 5)), Index((4, 5), 3), Real((4, 5))), (Real((4,)), Index((9,), 4), Real((9,)))],
        _scatter_added,
        NUMBERS,
        in_place=lambda m, x, i, y: x.scatter_add_(0, i, y),
    ),
    Row(
        "masked_select",
        lambda m, x, c: m.masked_select(x, c),
        [(_five, Mask((5, 3))), (_five, Mask((3,))), (Real((0,)), Mask((0,)))],
        lambda x, c: x[np.broadcast_to(c, x.shape)],
        ALL,
        replay=False,
        also=(lambda m, x, c: x.masked_select(c),),
    ),
    Row(
        "nonzero",
        lambda m, c: m.nonzero(c),
        [(Mask((3, 4)),), (Mask((7,)),), (Mask((0, 2)),)],
        lambda c: np.argwhere(c),
        ALL,
        "int64",
        differentiable=False,
        replay=False,
        also=(lambda m, c: c.nonzero(),),
    ),
]

ROWS = [*_BASIC, *_READS, *_WRITES, *_FUNCTIONS]
