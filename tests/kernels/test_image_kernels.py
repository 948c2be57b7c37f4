"""Images: windows, affine maps, resampling, hue; against NumPy, parameters for 1 or N images."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from native import NULL, array, close, lib, ndarray, own, values

KERNELS = {"image_window", "image_affine", "image_resample", "image_hue"}
COMPUTED = ["uint8", "float32", "float64"]
MODES = ["constant", "edge", "reflect", "symmetric"]


def images(rng, shape, dtype):
    return values(rng, shape, dtype, 0, 200 if dtype == "uint8" else 1)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("each", [False, True])
def test_window(dtype, mode, each):
    rng = np.random.default_rng(0)
    for n, c, h, w in ((3, 2, 5, 7), (2, 1, 1, 4), (4, 3, 33, 65), (1, 1, 1, 1)):
        x = images(rng, (n, c, h, w), dtype)
        fill = images(rng, (c,), dtype)
        for height, width in ((h, w), (3, 2), (h + 9, 1), (70, 80)):
            count = n if each else 1
            windows = np.stack(
                [
                    rng.integers(-20, 20, count),
                    rng.integers(-20, 20, count),
                    rng.integers(0, 4, count),
                ],
                1,
            )
            got = ndarray(
                own(
                    lib.mg_image_window(
                        array(x), array(windows), height, width, MODES.index(mode), array(fill)
                    )
                )
            )
            wide = [(0, 0), (20, 110), (20, 110)]
            for i in range(n):
                top, left, flips = windows[i if each else 0]
                if mode == "constant":
                    padded = np.stack(
                        [np.pad(x[i, k], wide[1:], constant_values=fill[k]) for k in range(c)]
                    )
                else:
                    padded = np.pad(x[i], wide, mode)
                cut = padded[:, 20 + top : 20 + top + height, 20 + left : 20 + left + width]
                cut = cut[:, :, ::-1] if flips & 1 else cut
                cut = cut[:, ::-1] if flips & 2 else cut
                np.testing.assert_array_equal(got[i], cut)


def sample(plane, x, y, bilinear, fill):
    """One pixel of an affine map by its definition."""
    h, w = plane.shape

    def at(row, column):
        inside = 0 <= row < h and 0 <= column < w
        return (float(plane[row, column]), 1.0) if inside else (0.0, 0.0)

    if not bilinear:
        value, inside = at(int(np.rint(y)), int(np.rint(x)))
        return value if inside else (fill or 0.0)
    row, column = int(np.floor(y)), int(np.floor(x))
    value = covered = 0.0
    for r, c in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = (x - column if c else 1 - x + column) * (y - row if r else 1 - y + row)
        pixel, inside = at(row + r, column + c)
        value, covered = value + weight * pixel, covered + weight * inside
    return value if fill is None else value * covered + fill * (1 - covered)


@pytest.mark.parametrize("dtype", COMPUTED)
@pytest.mark.parametrize("bilinear", [0, 1])
@pytest.mark.parametrize("each", [False, True])
def test_affine(dtype, bilinear, each):
    rng = np.random.default_rng(1)
    for shape, size in (((3, 2, 6, 7), (6, 7)), ((2, 1, 1, 1), (3, 5)), ((1, 3, 9, 4), (2, 300))):
        x = images(rng, shape, dtype)
        n, c, h, w = shape
        matrices = rng.normal(size=(n if each else 1, 6)) * [1, 1, 2, 1, 1, 2]
        matrices[0] = [0.5, 0, 0, 0, 0.5, 0]  # on and between pixels
        for fill in (None, values(rng, (c,), "float64", 0, 1)):
            got = ndarray(
                own(
                    lib.mg_image_affine(
                        array(x),
                        array(matrices),
                        *size,
                        bilinear,
                        NULL if fill is None else array(fill),
                    )
                )
            )
            wanted = np.empty((n, c, *size))
            for i, k, row, column in np.ndindex(*wanted.shape):
                m = matrices[i if each else 0]
                u, v = column + 0.5 - size[1] / 2, row + 0.5 - size[0] / 2
                place_x = m[0] * u + m[1] * v + m[2] + w / 2 - 0.5
                place_y = m[3] * u + m[4] * v + m[5] + h / 2 - 0.5
                colour = None if fill is None else fill[k]
                wanted[i, k, row, column] = sample(x[i, k], place_x, place_y, bilinear, colour)
            if dtype == "uint8":
                assert abs(got - wanted).max() <= 0.5 + 1e-3
            else:
                close(got, wanted, 16, 1)


def test_affine_beyond_all_pixels():
    x = np.ones((1, 1, 4, 4), np.float32)
    for matrix in ([np.nan] * 6, [np.inf] * 6, [1e300, 0, 0, 0, 1e300, 0], [1, 0, 1e18, 0, 1, 0]):
        for bilinear in (0, 1):
            matrices = array(np.array([matrix], np.float64))
            got = ndarray(own(lib.mg_image_affine(array(x), matrices, 4, 4, bilinear, NULL)))
            assert not got.any()


def table(rng, count, length, size, taps, dtype):
    counts = rng.integers(0, min(taps, length) + 1, (count, size))
    starts = rng.integers(0, length - counts + 1)
    weights = rng.normal(size=(count, size, taps))
    dense = np.zeros((count, size, length))
    for s, i in np.ndindex(count, size):
        k = counts[s, i]
        dense[s, i, starts[s, i] : starts[s, i] + k] = weights[s, i, :k]
    kind = np.float64 if dtype == "float64" else np.float32
    return np.stack([starts, counts], -1), weights.astype(kind), dense


@pytest.mark.parametrize("dtype", COMPUTED)
@pytest.mark.parametrize("each", [False, True])
def test_resample(dtype, each):
    """Two products with matrices; spans of no pixels give 0."""
    rng = np.random.default_rng(2)
    for (n, c, h, w), (height, width) in (
        ((3, 2, 6, 7), (4, 9)),
        ((2, 1, 1, 1), (3, 1)),
        ((2, 3, 40, 5), (7, 300)),
    ):
        x = images(rng, (n, c, h, w), dtype)
        rows = table(rng, n if each else 1, h, height, 5, dtype)
        columns = table(rng, n if each else 1, w, width, 3, dtype)
        got = ndarray(
            own(
                lib.mg_image_resample(
                    array(x), *(array(each) for each in (*rows[:2], *columns[:2]))
                )
            )
        )
        wanted = rows[2][:, None] @ x.astype(np.float64) @ columns[2][:, None].transpose(0, 1, 3, 2)
        if dtype == "uint8":
            assert abs(got - wanted.clip(0, 255)).max() <= 0.5 + 1e-2
        else:
            close(got, wanted, 64, 1)


@pytest.mark.parametrize("dtype", COMPUTED)
@pytest.mark.parametrize("each", [False, True])
def test_hue(dtype, each):
    rng = np.random.default_rng(3)
    x = images(rng, (3, 3, 4, 9), dtype)
    x[0, 1] = x[0, 0]  # ties
    x[1, :, 2] = x[1, :1, 2]  # grays
    x[2, :, 0] = 0
    shifts = rng.uniform(-0.5, 0.5, 3 if each else 1)
    got = ndarray(own(lib.mg_image_hue(array(x), array(shifts))))
    scale = 255 if dtype == "uint8" else 1
    for n, row, column in np.ndindex(3, 4, 9):
        h, s, v = colorsys.rgb_to_hsv(*(x[n, :, row, column].astype(np.float64) / scale))
        wanted = np.array(colorsys.hsv_to_rgb((h + shifts[n if each else 0]) % 1.0, s, v))
        result = got[n, :, row, column]
        if dtype == "uint8":
            assert abs(result - wanted * 255.999).max() <= 1
        else:
            close(result, wanted, 32, 1)


def test_strided_images():
    rng = np.random.default_rng(4)
    x = images(rng, (2, 3, 5, 6), "float32")
    window = array(np.array([[1, -1, 1]]))
    wanted = ndarray(own(lib.mg_image_window(array(x), window, 5, 6, 1, NULL)))
    for layout in ("transposed", "gaps"):
        got = ndarray(own(lib.mg_image_window(array(x, layout), window, 5, 6, 1, NULL)))
        np.testing.assert_array_equal(got, wanted)


def test_refused():
    x, window = array(np.zeros((2, 3, 4, 4), np.float32)), array(np.zeros((1, 3), np.int64))
    none = array(np.zeros((0, 3, 4, 4), np.float32))
    assert ndarray(own(lib.mg_image_window(none, window, 2, 2, 0, NULL))).shape == (0, 3, 2, 2)
    bad = [
        lambda: lib.mg_image_window(array(np.zeros((3, 4, 4))), window, 2, 2, 0, NULL),
        lambda: lib.mg_image_window(x, array(np.zeros((3, 3), np.int64)), 2, 2, 0, NULL),
        lambda: lib.mg_image_window(x, array(np.zeros((1, 3))), 2, 2, 0, NULL),
        lambda: lib.mg_image_window(x, array(np.zeros((1, 2), np.int64)), 2, 2, 0, NULL),
        lambda: lib.mg_image_window(x, window, -1, 2, 0, NULL),
        lambda: lib.mg_image_window(x, window, 1, 2, 4, NULL),
        lambda: lib.mg_image_window(x, window, 1, 2, 0, array(np.zeros(2, np.float32))),
        lambda: lib.mg_image_window(x, array(np.array([[2**41, 0, 0]])), 1, 1, 0, NULL),
        lambda: lib.mg_image_affine(x, array(np.zeros((1, 5))), 2, 2, 0, NULL),
        lambda: lib.mg_image_affine(x, array(np.zeros((1, 6), np.float32)), 2, 2, 0, NULL),
        lambda: lib.mg_image_affine(
            array(np.zeros((1, 1, 2, 2), np.int64)), array(np.zeros((1, 6))), 2, 2, 0, NULL
        ),
        lambda: lib.mg_image_hue(array(np.zeros((1, 2, 2, 2))), array(np.zeros(1))),
        lambda: lib.mg_image_hue(x, array(np.zeros(3))),
    ]
    spans, weights = np.array([[[0, 2], [2, 2]]]), np.ones((1, 2, 2), np.float32)
    for wrong in ([[[0, 2], [3, 2]]], [[[-1, 1], [0, 1]]], [[[0, 3], [0, 1]]], [[[0, 1]]]):
        other = np.array(wrong)
        bad.append(
            lambda other=other: lib.mg_image_resample(
                x, array(other), array(weights), array(spans), array(weights)
            )
        )
    bad.append(
        lambda: lib.mg_image_resample(
            x, array(spans), array(weights.astype(np.float64)), array(spans), array(weights)
        )
    )
    for call in bad:
        assert not call()
