"""Matrix products: sizes at the edges of tiles, primes, transposes, batches, bias."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from ...kernels import NULL, lib
from ..checks import Case, Draw, Trial, of, wide

EDGES = (0, 1, 2, 5, 8, 13, 17, 33)
LARGER = ((131, 257, 521), (300, 70, 1031), (1, 1031, 300), (1031, 1, 300), (67, 700, 5))
BATCHES = (
    ((3, 4, 5), (3, 5, 6)),
    ((4, 5), (3, 5, 6)),
    ((3, 4, 5), (5, 6)),
    ((2, 1, 4, 5), (3, 5, 6)),
    ((2, 3, 1, 7), (1, 3, 7, 2)),
    ((0, 4, 5), (5, 6)),
    ((70, 3, 2), (70, 2, 3)),
    ((8, 64, 64), (8, 64, 16)),
)


def _trial(label, a, b, bias=None, turns=(0, 0), layouts=None) -> Trial:
    left = wide(np.swapaxes(a, -1, -2) if turns[0] else a)
    right = wide(np.swapaxes(b, -1, -2) if turns[1] else b)
    wanted, scale = left @ right, np.abs(left) @ np.abs(right)
    if bias is not None:
        wanted, scale = wanted + wide(bias), scale + np.abs(bias)
    chosen = {} if layouts is None else {"layouts": layouts}
    run = lambda a, b, bias: of(lib.mg_matmul)(a, b, NULL if bias is None else bias, *turns)  # noqa: E731
    return Trial(label, run, [a, b, bias], wanted, scale, **chosen)


def _matmul(draw: Draw) -> Iterator[Trial]:
    """The error of a dot product is bounded by that of its terms' magnitudes (Higham, "Accuracy and
    stability of numerical algorithms", 2002, 3.1): the scale is |a| |b|."""
    one = ("contiguous",)
    for m, n, k in itertools.product(EDGES, repeat=3):
        yield _trial(f"{m}x{k}x{n}", draw.values((m, k)), draw.values((k, n)), layouts=one)
    for turns in itertools.product((0, 1), repeat=2):
        for m, n, k in ((7, 19, 5), (33, 17, 40), (64, 48, 32), (1, 9, 20), (20, 1, 9)):
            a = draw.values((k, m) if turns[0] else (m, k))
            b = draw.values((n, k) if turns[1] else (k, n))
            yield _trial(f"{m}x{k}x{n} transposed {turns}", a, b, None, turns)
    if not draw.is_float:
        return
    for m, n, k in LARGER:
        yield _trial(f"{m}x{k}x{n}", draw.values((m, k)), draw.values((k, n)), layouts=one)
    for shape_a, shape_b in BATCHES:
        yield _trial(f"{shape_a} {shape_b}", draw.values(shape_a), draw.values(shape_b))
    for m, n, k in ((5, 7, 3), (32, 64, 64), (1, 19, 17), (4, 3, 0), (0, 3, 2)):
        a, b, bias = draw.values((m, k)), draw.values((n, k)), draw.values(n)
        yield _trial(f"{m}x{k}x{n} and bias", a, b, bias, (0, 1))
    a, b = draw.values((5, 20)), draw.values((20, 33))
    a[2, 3], b[4, 7] = np.nan, np.inf
    left, right = wide(a), wide(b)
    with np.errstate(all="ignore"):
        wanted = np.sum(left[:, :, None] * right[None], 1)
    scale = np.abs(np.nan_to_num(left, nan=1)) @ np.abs(np.nan_to_num(right, posinf=1)) + 64
    run = of(lib.mg_matmul, NULL, 0, 0)
    yield Trial("NaN and infinity", run, [a, b], wanted, scale)


CASES = [Case("matmul", _matmul, 16)]
