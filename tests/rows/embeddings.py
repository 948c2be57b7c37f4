"""Rows: embeddings, bilinear maps and channels of nn.functional."""

from __future__ import annotations

import numpy as np
from op_table import Index, Real, Row


def _embedding(name, reference, samples, call=None, **options):
    return Row(
        f"F.{name}" + "".join(f" {key}={value}" for key, value in options.items()),
        call or (lambda m, w, i: getattr(m.nn.functional, name)(i, w, **options)),
        samples,
        reference,
    )


_TABLE = [(Real((7, 3)), Index((4, 5), 7)), (Real((1, 2)), Index((2, 3), 1))]
_REDUCE = {"sum": np.sum, "mean": np.mean, "max": np.max}


def _shuffled(x, groups):
    batch, channels, *inner = x.shape
    grouped = x.reshape(batch, groups, channels // groups, *inner)
    return grouped.swapaxes(1, 2).reshape(x.shape)


def _in_bags(w, i, p):
    rows = w[i] * p[:, None]
    return np.stack([rows[:2].sum(0), rows[2:2].sum(0), rows[2:].sum(0)])


ROWS = [
    _embedding("embedding", lambda w, i: w[i], [*_TABLE, (Real((7, 3)), Index((), 7))]),
    *[
        _embedding("embedding_bag", lambda w, i, f=f: f(w[i], axis=1), _TABLE[:1], mode=mode)
        for mode, f in _REDUCE.items()
    ],
    Row(
        "F.embedding_bag offsets and weights",
        lambda m, w, i, p: m.nn.functional.embedding_bag(
            i, w, m.tensor([0, 2, 2]), mode="sum", per_sample_weights=p
        ),
        [(Real((7, 3)), Index((9,), 7), Real((9,)))],
        _in_bags,
    ),
    Row(
        "F.bilinear",
        lambda m, *operands: m.nn.functional.bilinear(*operands),
        [
            (Real((2, 3)), Real((2, 4)), Real((5, 3, 4)), Real((5,))),
            (Real((2, 2, 3)), Real((2, 2, 1)), Real((2, 3, 1)), Real((2,))),
        ],
        lambda a, b, w, bias: np.einsum("...i,oij,...j->...o", a, w, b) + bias,
        tolerance=256,
    ),
    Row(
        "F.channel_shuffle groups=3",
        lambda m, x: m.nn.functional.channel_shuffle(x, 3),
        [(Real((2, 6, 2)),), (Real((1, 3, 2, 2)),)],
        lambda x: _shuffled(x, 3),
    ),
]
