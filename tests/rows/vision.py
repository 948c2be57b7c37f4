"""Rows: affine_grid and grid_sample."""

from __future__ import annotations

import itertools

import numpy as np
from op_table import Real, Row


def _grid(theta, size, align_corners):
    """Each pixel's place, one at a time."""
    dims = len(size) - 2
    out = np.empty((size[0], *size[2:], dims))
    for at in np.ndindex(*out.shape[:-1]):
        counts = zip(at[:0:-1], size[:1:-1], strict=True)
        place = [(2 * i - (n - 1)) / (max(n - 1, 1) if align_corners else n) for i, n in counts]
        out[at] = theta[at[0]] @ np.array([*place, 1.0])
    return out


def _cubic(x, a=-0.75):
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def _inside(place, size, padding, aligned):
    if padding == "reflection":
        low, high = (0, size - 1) if aligned else (-0.5, size - 0.5)
        while high > low and not low <= place <= high:
            place = 2 * low - place if place < low else 2 * high - place
    return place if padding == "zeros" else min(max(place, 0), size - 1)


def _weights(place, size, mode, padding, aligned):
    """(index, weight) of the pixels along one dimension; an index outside counts as zero."""
    if mode == "bicubic":
        below = int(np.floor(place))
        taps = [(k, _cubic(place - k)) for k in range(below - 1, below + 3)]
        return [(round(_inside(k, size, padding, aligned)), w) for k, w in taps]
    place = _inside(place, size, padding, aligned)
    if mode == "nearest":
        return [(int(np.rint(place)), 1.0)]
    below = int(np.floor(place))
    return [(below, 1 - (place - below)), (below + 1, place - below)]


def _sample(x, grid, mode, padding, aligned):
    sizes = x.shape[2:]
    out = np.zeros((*x.shape[:2], *grid.shape[1:-1]))
    for n, *at in np.ndindex(*grid.shape[:-1]):
        axes = []
        for g, size in zip(grid[(n, *at)][::-1].astype(np.float64), sizes, strict=True):
            place = (g + 1) * (size - 1) / 2 if aligned else ((g + 1) * size - 1) / 2
            axes.append(_weights(place, size, mode, padding, aligned))
        for taps in itertools.product(*axes):
            index = [k for k, _ in taps]
            if all(0 <= k < size for k, size in zip(index, sizes, strict=True)):
                weight = np.prod([w for _, w in taps])
                out[(n, slice(None), *at)] += weight * x[(n, slice(None), *index)]
    return out


def _affine_row(shape, size, aligned):
    return Row(
        f"F.affine_grid {size} {aligned}",
        lambda m, theta: m.nn.functional.affine_grid(theta, size, align_corners=aligned),
        [(Real(shape),)],
        lambda theta: _grid(theta, size, aligned),
    )


def _sample_row(mode, padding, aligned, shapes):
    return Row(
        f"F.grid_sample {mode} {padding} {aligned}",
        lambda m, x, grid: m.nn.functional.grid_sample(
            x, grid, mode=mode, padding_mode=padding, align_corners=aligned
        ),
        # Places that are spread lie on no pixel and on no border, where the derivative jumps.
        [(Real(x), Real(grid, "spread")) for x, grid in shapes],
        lambda x, grid: _sample(x, grid, mode, padding, aligned),
        # Places are computed in the precision of the grid; the cubic's weights lie farther apart.
        tolerance=1024,
    )


_PLANES = [((2, 2, 4, 3), (2, 2, 3, 2)), ((1, 1, 4, 3), (1, 1, 5, 2))]
_VOLUMES = [((1, 2, 2, 3, 2), (1, 2, 1, 2, 3))]

ROWS = [
    _affine_row((2, 2, 3), (2, 1, 3, 4), True),
    _affine_row((2, 2, 3), (2, 1, 3, 4), False),
    _affine_row((1, 2, 3), (1, 5, 1, 1), True),
    _affine_row((1, 3, 4), (1, 1, 2, 3, 4), True),
    _affine_row((2, 3, 4), (2, 1, 2, 1, 3), False),
    *(
        _sample_row(
            mode, padding, aligned, _PLANES[1:] if mode == "bicubic" else _PLANES + _VOLUMES
        )
        for mode in ("bilinear", "nearest", "bicubic")
        for padding in ("zeros", "border", "reflection")
        for aligned in (True, False)
    ),
]
