"""Convolution, folding, pooling and resampling. A derivative that is a linear map is compared with
the sum that it is, not with the transpose of another kernel."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...kernels import NULL, lib
from .. import reference
from ..arrays import many, results
from ..checks import Case, Draw, Trial, of, wide
from ..spatial_reference import convolution, transposed

_LAYOUTS = ("contiguous", "transposed", "sliced")

# input, weight, stride, padding, dilation, groups
GEOMETRIES: tuple[tuple[Any, ...], ...] = (
    ((2, 3, 7, 9), (4, 3, 3, 3), (1, 1), (0, 0), (1, 1), 1),
    ((2, 3, 7, 9), (4, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 1, 28, 28), (6, 1, 5, 5), (1, 1), (2, 2), (1, 1), 1),
    ((2, 2, 9, 8), (3, 2, 3, 2), (2, 3), (1, 0), (1, 1), 1),
    ((1, 2, 9, 9), (3, 2, 2, 3), (1, 2), (2, 3), (3, 2), 1),
    ((2, 4, 6, 5), (6, 2, 3, 3), (1, 1), (1, 1), (1, 1), 2),
    ((1, 5, 6, 7), (5, 1, 3, 3), (2, 1), (1, 1), (1, 1), 5),
    ((3, 17, 4, 4), (19, 17, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((0, 2, 5, 5), (3, 2, 3, 3), (1, 1), (0, 0), (1, 1), 1),
    ((1, 2, 3, 40), (2, 2, 1, 7), (1, 1), (0, 3), (1, 1), 1),
    ((2, 3, 19), (4, 3, 5), (1,), (2,), (1,), 1),
    ((3, 4, 30), (6, 2, 3), (2,), (3,), (2,), 2),
    ((2, 3, 4, 5, 6), (4, 3, 3, 2, 3), (1, 1, 1), (1, 0, 1), (1, 1, 1), 1),
    ((1, 4, 7, 6, 5), (2, 2, 3, 2, 2), (2, 1, 3), (2, 1, 0), (1, 2, 3), 2),
    ((2, 32, 9, 20), (32, 1, 3, 3), (1, 1), (1, 1), (1, 1), 32),
    ((3, 4, 40, 33), (26, 4, 2, 3), (1, 1), (0, 2), (2, 1), 1),
)


def _numbers(geometry: tuple[Any, ...]) -> list[int]:
    _, _, stride, padding, dilation, groups = geometry
    return [*stride, *padding, *dilation, groups]


def _options(geometry: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(("stride", "padding", "dilation", "groups"), geometry[2:], strict=True))


def _convolution(draw: Draw) -> Iterator[Trial]:
    for geometry in GEOMETRIES:
        x, w = draw.values(geometry[0], -1, 1), draw.values(geometry[1], -1, 1)
        bias, options = draw.values(geometry[1][0]), _options(geometry)
        run = of(lib.mg_convolution, _numbers(geometry))
        wanted = convolution(wide(x), wide(w), wide(bias), **options)
        scale = convolution(np.abs(wide(x)), np.abs(wide(w)), np.abs(wide(bias)), **options)
        yield Trial(f"{geometry} and bias", run, [x, w, bias], wanted, scale)
        wanted = convolution(wide(x), wide(w), **options)
        yield Trial(str(geometry), run, [x, w, None], wanted, scale, _LAYOUTS[:1])


def _of_input(g: np.ndarray, w: np.ndarray, geometry: tuple[Any, ...]) -> np.ndarray:
    """The transposed convolution, with as much behind as the forward pass left over."""
    shape, kernel, stride, padding, dilation, groups = geometry
    extra = [
        n - ((out - 1) * s - 2 * p + d * (k - 1) + 1)
        for n, out, s, p, d, k in zip(
            shape[2:], g.shape[2:], stride, padding, dilation, kernel[2:], strict=True
        )
    ]
    return transposed(g, w, None, stride, padding, tuple(extra), groups, dilation)


def _output(geometry: tuple[Any, ...]) -> tuple[int, ...]:
    shape, kernel, *_ = geometry
    blank = convolution(np.zeros((0, *shape[1:])), np.zeros(kernel), **_options(geometry))
    return (shape[0], *blank.shape[1:])


def _convolution_input(draw: Draw) -> Iterator[Trial]:
    for geometry in GEOMETRIES:
        g, w = draw.values(_output(geometry), -1, 1), draw.values(geometry[1], -1, 1)
        size = list(geometry[0][2:])
        run = of(lib.mg_convolution_input, size, _numbers(geometry))
        wanted = _of_input(wide(g), wide(w), geometry)
        scale = np.maximum(_of_input(np.abs(wide(g)), np.abs(wide(w)), geometry), 1)
        yield Trial(str(geometry), run, [g, w, None], wanted, scale, _LAYOUTS)


def _of_weight(x: np.ndarray, g: np.ndarray, geometry: tuple[Any, ...]) -> np.ndarray:
    _, kernel, stride, padding, dilation, groups = geometry
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    each, through = kernel[0] // groups, kernel[1]
    wanted = np.zeros(kernel)
    for at, tap in enumerate(np.ndindex(*kernel[2:])):
        place = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(tap, dilation, g.shape[2:], stride, strict=True)
        )
        for group in range(groups):
            met = (slice(None), slice(group * through, (group + 1) * through), *place)
            outs = slice(group * each, (group + 1) * each)
            axes = (0, *range(2, x.ndim))
            sums = np.tensordot(g[:, outs], x[met], (axes, axes))
            wanted[outs].reshape(each, through, -1)[..., at] = sums
    return wanted


def _convolution_weight(draw: Draw) -> Iterator[Trial]:
    for geometry in GEOMETRIES:
        x, g = draw.values(geometry[0], -1, 1), draw.values(_output(geometry), -1, 1)
        run = of(lib.mg_convolution_weight, list(geometry[1][2:]), _numbers(geometry))
        wanted = _of_weight(wide(x), wide(g), geometry)
        scale = np.maximum(_of_weight(np.abs(wide(x)), np.abs(wide(g)), geometry), 1)
        yield Trial(str(geometry), run, [x, g], wanted, scale, _LAYOUTS)


def _columns(x: np.ndarray, geometry: tuple[Any, ...]) -> np.ndarray:
    """Patches: convolution with a weight that picks one element each."""
    kernel = geometry[1][2:]
    count = x.shape[1] * int(np.prod(kernel))
    picks = np.eye(count).reshape(count, x.shape[1], *kernel)
    options = _options((*geometry[:5], 1))
    y = convolution(x, picks, **options)
    return y.reshape(y.shape[0], count, int(np.prod(y.shape[2:])))


_PLANES = tuple(each for each in GEOMETRIES if len(each[0]) == 4 and each[0][1] < 9)


def _unfold(draw: Draw) -> Iterator[Trial]:
    for geometry in _PLANES:
        x = draw.values(geometry[0], -1, 1)
        run = of(lib.mg_unfold, list(geometry[1][2:]), [*_numbers(geometry)[:-1], 1])
        yield Trial(str(geometry), run, [x], _columns(wide(x), geometry))


def _fold(draw: Draw) -> Iterator[Trial]:
    for geometry in _PLANES:
        size = geometry[0][1] * geometry[0][2] * geometry[0][3]
        whole = (*geometry[:1], geometry[1], *geometry[2:])
        unit = np.eye(size).reshape(size, *geometry[0][1:])
        matrix = _columns(unit, whole)  # (pixels, patch elements, positions)
        g = draw.values((geometry[0][0], *matrix.shape[1:]), -1, 1)
        wanted = np.einsum("ncp,xcp->nx", wide(g), matrix).reshape(geometry[0])
        size_ = list(geometry[0][2:])
        run = of(lib.mg_fold, size_, list(geometry[1][2:]), [*_numbers(geometry)[:-1], 1])
        yield Trial(str(geometry), run, [g], wanted, float(np.prod(geometry[1][2:])), _LAYOUTS)


# ---- pools: shape, kernel, stride, padding, dilation, ceil_mode ----

POOLS: tuple[tuple[Any, ...], ...] = (
    ((2, 3, 8, 8), (2, 2), (2, 2), (0, 0), (1, 1), 0),
    ((1, 2, 7, 9), (3, 2), (2, 1), (1, 1), (1, 1), 0),
    ((1, 2, 7, 9), (3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((2, 1, 6, 5), (2, 3), (3, 2), (0, 1), (1, 1), 1),
    ((1, 1, 9, 9), (2, 2), (1, 2), (0, 0), (3, 2), 0),
    ((1, 1, 1, 1), (1, 1), (1, 1), (0, 0), (1, 1), 0),
    ((0, 2, 4, 4), (2, 2), (2, 2), (0, 0), (1, 1), 0),
    ((1, 2, 3, 67), (1, 3), (1, 1), (0, 1), (1, 1), 0),
)


def _max_pool2d(draw: Draw) -> Iterator[Trial]:
    for shape, kernel, stride, padding, dilation, ceil_mode in POOLS:
        geometry = [*kernel, *stride, *padding, *dilation, ceil_mode, 1, 0]

        def run(x, geometry=geometry):
            return results(2, lambda o: lib.mg_max_pool2d(x, geometry, o))

        x = draw.rng.permutation(int(np.prod(shape))).reshape(shape).astype(draw.dtype)
        wanted = reference.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)
        yield Trial(f"{shape} {kernel}", run, [x], list(wanted))
    x = np.full((1, 1, 4, 4), -np.inf, draw.dtype)
    x[0, 0, 0, 1], x[0, 0, 2, 3] = np.nan, 5
    exact = np.array([[[[np.nan, -np.inf], [-np.inf, 5]]]])

    def plain(x):
        return results(2, lambda o: lib.mg_max_pool2d(x, [2, 2, 2, 2, 0, 0, 1, 1, 0, 1, 0], o))

    yield Trial("NaN and infinity", plain, [x], [exact, None])


def _averages(draw: Draw) -> Iterator[tuple[Any, ...]]:
    for case, (count_pad, divisor) in itertools.product(POOLS, ((1, 0), (0, 0), (1, 3))):
        shape, kernel, stride, padding, dilation, ceil_mode = case
        if dilation != (1, 1):
            continue
        geometry = [*kernel, *stride, *padding, *dilation, ceil_mode, count_pad, divisor]
        rest = kernel, stride, padding, ceil_mode, bool(count_pad), divisor or None
        label = f"{shape} {kernel} {count_pad} {divisor}"
        yield label, shape, geometry, lambda x, rest=rest: reference.avg_pool2d(x, *rest)


def _avg_pool2d(draw: Draw) -> Iterator[Trial]:
    for label, shape, geometry, exact in _averages(draw):
        x = draw.values(shape)
        yield Trial(label, of(lib.mg_avg_pool2d, geometry), [x], exact(wide(x)), 4.0)


def _avg_pool2d_backward(draw: Draw) -> Iterator[Trial]:
    for label, shape, geometry, exact in _averages(draw):
        height, width = shape[2:]
        unit = np.eye(height * width).reshape(height * width, 1, height, width)
        matrix = exact(unit)[:, 0]  # (pixels, rows, columns)
        g = draw.values((*shape[:2], *matrix.shape[1:]))
        wanted = np.einsum("ncij,xij->ncx", wide(g), matrix).reshape(shape)
        run = of(lib.mg_avg_pool2d_backward, height, width, geometry)
        yield Trial(label, run, [g], wanted, 4.0)


def _planes(draw: Draw) -> Iterator[tuple[Any, ...]]:
    """(count, plane, values, indices)"""
    for count, sizes in ((1, [11]), (2, [3, 4]), (3, [2, 3, 2]), (2, [40, 33])):
        for outer in ((3,), (2, 3), (0,)):
            shape = (*outer, *[2 + count] * count)
            indices = draw.rng.integers(0, int(np.prod(sizes)), shape)
            yield count, sizes, outer, draw.values(shape), indices


def _plane_gather(draw: Draw) -> Iterator[Trial]:
    for count, sizes, outer, _, indices in _planes(draw):
        x = draw.values((*outer, *sizes))
        rows, flat = int(np.prod(outer)), int(np.prod(sizes))
        picks = indices.reshape(rows, int(np.prod(indices.shape[len(outer) :])))
        wanted = np.take_along_axis(x.reshape(rows, flat), picks, 1)
        run = of(lib.mg_plane_gather, count)
        yield Trial(f"{outer} {sizes}", run, [x, indices], wanted.reshape(indices.shape))


def _plane_scatter(draw: Draw) -> Iterator[Trial]:
    for (count, sizes, outer, x, indices), replace in itertools.product(_planes(draw), (0, 1)):
        rows, flat = int(np.prod(outer)), int(np.prod(sizes))
        wanted = np.zeros((rows, flat))
        each = int(np.prod(indices.shape[len(outer) :]))
        for row, places, added in zip(
            wanted, indices.reshape(rows, each), wide(x).reshape(rows, each), strict=True
        ):
            if replace:
                for place, value in zip(places, added, strict=True):
                    row[place] = value
            else:
                np.add.at(row, places, added)
        run = of(lib.mg_plane_scatter, count, sizes, replace)
        label = f"{outer} {sizes}{' replacing' * replace}"
        yield Trial(label, run, [x, indices], wanted.reshape(*outer, *sizes), 8.0)


def _window_max(draw: Draw) -> Iterator[Trial]:
    """Windows of any place, size and step; two of the elements are equal now and then."""
    for shape, count in (((2, 9), 5), ((3, 7), 33), ((2, 70), 40), ((1, 1), 1), ((0, 5), 2)):
        x = draw.rng.integers(-3, 4, shape).astype(draw.dtype)
        size = shape[1]
        first = draw.rng.integers(0, size, count)
        step = draw.rng.integers(1, 3, count)
        many_ = draw.rng.integers(1, (size - first - 1) // step + 2)
        table = np.stack([first, many_, step], -1)[None]
        wanted, places = np.zeros((shape[0], count)), np.zeros((shape[0], count), np.int64)
        for i, (f, n, s) in enumerate(table[0]):
            taken = f + s * np.arange(n)
            places[:, i] = taken[x[:, taken].argmax(1)]
            wanted[:, i] = x[:, taken].max(1)

        def run(x, table):
            return results(2, lambda o: lib.mg_window_max(x, 1, many(table), o))

        yield Trial(f"{shape} {count}", run, [x, table], [wanted, places], None, ("contiguous",))


# shape, rows of the last dimensions, taps (negative: as many in every row)
SUMS: tuple[tuple[Any, ...], ...] = (
    ((2, 3, 5), (7,), 3),
    ((2, 3, 17), (34,), -4),
    ((2, 5, 6), (3, 9), 3),
    ((1, 2, 9, 33), (20, 5), -2),
    ((2, 3, 4, 5), (6, 2, 9), 3),
    ((0, 3, 5), (4,), 2),
    ((40, 31, 33), (45, 47), -4),
)


def _resample(draw: Draw) -> Iterator[Trial]:
    for shape, sizes, taps in SUMS if draw.is_float else ():
        x, tables, wanted = draw.values(shape, -1, 1), [], None
        wanted = wide(x)
        for i, rows in enumerate(sizes):
            axis = len(shape) - len(sizes) + i
            counts = draw.rng.integers(0, taps + 1, rows) if taps > 0 else np.full(rows, -taps)
            offsets = np.concatenate([[0], np.cumsum(counts)])
            columns = draw.rng.integers(0, shape[axis], offsets[-1])
            weights = draw.values(int(offsets[-1]), -1, 1)
            full = np.zeros((rows, shape[axis]))
            np.add.at(full, (np.repeat(np.arange(rows), counts), columns), wide(weights))
            wanted = np.moveaxis(np.moveaxis(wanted, axis, -1) @ full.T, -1, axis)
            tables += [np.concatenate([offsets, columns]).astype(np.int64), weights]

        def run(x, *tables, sizes=sizes):
            return of(lib.mg_resample)(x, len(sizes), list(sizes), many(*tables), 0.0)

        yield Trial(f"{shape} {taps}", run, [x, *tables], wanted, 8.0, ("contiguous",))
    for columns in ((0, 1, 2, 3), (-1, -1, 1, 2, 3, -1), (3, 2, 1, 0, 0, 0, 1)):
        x, taken = draw.values((2, 4, 4)), np.array(columns)
        index = np.concatenate([[0], np.cumsum(taken >= 0), taken[taken >= 0]])
        moved = np.take(x, np.maximum(taken, 0), 2)
        moved[:, :, taken < 0] = 3

        def move(x, table, columns=columns):
            return of(lib.mg_resample)(x, 1, [len(columns)], many(table, NULL), 3.0)

        yield Trial(f"moves {columns}", move, [x, index], moved, None, ("contiguous",))


CASES = [
    Case("convolution", _convolution, 32),
    Case("convolution_input", _convolution_input, 32),
    Case("convolution_weight", _convolution_weight, 32),
    Case("unfold", _unfold, 0.5),
    Case("fold", _fold, 4),
    Case("max_pool2d", _max_pool2d, 0),
    Case("avg_pool2d", _avg_pool2d, 8),
    Case("avg_pool2d_backward", _avg_pool2d_backward, 8),
    Case("plane_gather", _plane_gather, 0),
    Case("plane_scatter", _plane_scatter, 8),
    Case("window_max", _window_max, 0),
    Case("resample", _resample, 16),
]
