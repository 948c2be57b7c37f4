"""Rows: attention."""

from __future__ import annotations

import numpy as np
from op_table import Mask, Real, Row


def attend(q, k, v, mask=None, causal=False, scale=None):
    """Attention in NumPy; a query that sees no key gives 0."""
    scores = q @ k.swapaxes(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    largest = scores.max(-1, keepdims=True, initial=-np.inf)
    powers = np.exp(scores - np.where(np.isinf(largest), 0.0, largest))
    total = powers.sum(-1, keepdims=True)
    return powers / np.where(total == 0, 1.0, total) @ v


def _sizes(batch, length, keys, width, out):
    return (
        Real((*batch, length, width)),
        Real((*batch, keys, width)),
        Real((*batch, keys, out)),
    )


_PLAIN = [
    _sizes((2, 3), 5, 5, 4, 4),
    _sizes((), 3, 7, 2, 5),
    _sizes((2,), 67, 3, 1, 2),
    _sizes((1, 2, 2), 2, 19, 3, 1),
    _sizes((2, 0), 3, 2, 2, 2),
    _sizes((2,), 0, 4, 3, 2),
]


def _attention(name, samples, call=None, reference=attend, **options):
    def plain(m, *operands):
        return m.nn.functional.scaled_dot_product_attention(*operands, **options)

    return Row(f"F.sdpa {name}", call or plain, samples, reference, tolerance=4096)


def _grouped(q, k, v):
    return attend(q, np.repeat(k, 2, -3), np.repeat(v, 2, -3))


ROWS = [
    _attention("plain", _PLAIN),
    _attention(
        "causal", _PLAIN, reference=lambda q, k, v: attend(q, k, v, causal=True), is_causal=True
    ),
    _attention("scale", _PLAIN[:2], reference=lambda *x: attend(*x, scale=-0.7), scale=-0.7),
    _attention("broadcast", [(Real((2, 1, 3, 4)), Real((5, 4)), Real((3, 5, 2)))]),
    _attention(
        "bool mask",
        [
            (*_sizes((2, 3), 4, 6, 5, 2), Mask((4, 6))),
            (*_sizes((2, 2), 3, 17, 2, 2), Mask((2, 1, 1, 17))),
            (*_sizes((), 9, 3, 2, 2), Mask((9, 3))),
            (*_sizes((2,), 3, 4, 2, 2), Mask((3, 1))),
        ],
    ),
    _attention(
        "mask",
        [
            (*_sizes((2, 3), 4, 6, 5, 2), Real((4, 6), gradient=False)),
            (*_sizes((2,), 5, 18, 3, 2), Real((2, 5, 18), gradient=False)),
        ],
    ),
    _attention("mask with a gradient", [(*_sizes((2,), 4, 6, 5, 2), Real((4, 6)))]),
    _attention(
        "heads of several queries",
        [(Real((2, 4, 3, 5)), Real((2, 2, 6, 5)), Real((2, 2, 6, 3)))],
        reference=_grouped,
        enable_gqa=True,
    ),
    _attention(
        "all dropped",
        _PLAIN[:1],
        reference=lambda q, k, v: np.zeros((*q.shape[:-1], v.shape[-1])),
        dropout_p=1.0,
    ),
]
