"""Rows: patches as columns and back, pixel and channel shuffles."""

from __future__ import annotations

import numpy as np
from op_table import ALL, Real, Row

from minigrad.kernel_tools import spatial_reference as reference


def _columns(x, kernel, dilation=1, padding=0, stride=1):
    """The patches of (N, C, H, W), by convolutions with kernels of a single 1."""
    kernel = reference.spread(kernel, 2)
    taps = int(np.prod(kernel))
    n, c = x.shape[:2]
    y = reference.convolution(
        x.reshape(n * c, 1, *x.shape[2:]),
        np.eye(taps).reshape(taps, 1, *kernel),
        None,
        stride,
        padding,
        dilation,
    )
    return y.reshape(n, c * taps, y.shape[2] * y.shape[3])


def _images(x, size, kernel, dilation=1, padding=0, stride=1):
    """The adjoint, by columns that number the pixels."""
    size, taps = reference.spread(size, 2), int(np.prod(reference.spread(kernel, 2)))
    n, c = x.shape[0], x.shape[1] // taps
    numbers = np.arange(1.0, np.prod(size) + 1).reshape(1, 1, *size)
    places = _columns(numbers, kernel, dilation, padding, stride)[0].astype(int)
    out = np.zeros((n, c, int(np.prod(size)) + 1))
    for image, channel in np.ndindex(n, c):
        np.add.at(out[image, channel], places, x[image, channel * taps : (channel + 1) * taps])
    return out[:, :, 1:].reshape(n, c, *size)


def _unfold(name, shape, kernel, **options):
    def exact(x):
        if x.ndim == 3:
            return _columns(x[None], kernel, **options)[0]
        return _columns(x, kernel, **options)

    return Row(
        f"F.unfold {name}",
        lambda m, x: m.nn.functional.unfold(x, kernel, **options),
        [(Real(shape),)],
        exact,
    )


def _fold(name, shape, size, kernel, **options):
    def exact(x):
        if x.ndim == 2:
            return _images(x[None], size, kernel, **options)[0]
        return _images(x, size, kernel, **options)

    return Row(
        f"F.fold {name}",
        lambda m, x: m.nn.functional.fold(x, size, kernel, **options),
        [(Real(shape),)],
        exact,
    )


def _pixels(x, r):
    *lead, c, h, w = x.shape
    x = x.reshape(-1, c // r**2, r, r, h, w) if x.size else np.zeros((0, c // r**2, r, r, h, w))
    return x.transpose(0, 1, 4, 2, 5, 3).reshape(*lead, c // r**2, h * r, w * r)


def _channels(x, r):
    *lead, c, h, w = x.shape
    x = x.reshape(-1, c, h // r, r, w // r, r)
    return x.transpose(0, 1, 3, 5, 2, 4).reshape(*lead, c * r**2, h // r, w // r)


ROWS = [
    _unfold("3x2", (2, 2, 4, 5), (3, 2)),
    _unfold("options", (1, 2, 5, 6), 2, dilation=(1, 2), padding=(1, 0), stride=(2, 1)),
    _unfold("unbatched", (2, 4, 3), 2),
    _unfold("empty batch", (0, 2, 4, 5), 2),
    _unfold("whole", (1, 2, 3, 3), 3),
    _fold("3x2", (2, 12, 8), (4, 5), (3, 2)),
    _fold("options", (1, 8, 12), (5, 6), 2, dilation=(1, 2), padding=(1, 0), stride=(2, 1)),
    _fold("unbatched", (8, 6), (4, 3), 2),
    _fold("empty batch", (0, 8, 6), (4, 3), 2),
    Row(
        "F.pixel_shuffle",
        lambda m, x: m.nn.functional.pixel_shuffle(x, 2),
        [(Real(shape),) for shape in [(2, 8, 3, 2), (4, 2, 3), (2, 1, 4, 1, 2)]],
        lambda x: _pixels(x, 2),
        dtypes=ALL,
    ),
    Row(
        "F.pixel_shuffle empty batch",
        lambda m, x: m.nn.functional.pixel_shuffle(x, 2),
        [(Real((0, 4, 2, 2)),)],
        lambda x: _pixels(x, 2),
    ),
    Row(
        "F.pixel_unshuffle",
        lambda m, x: m.nn.functional.pixel_unshuffle(x, 3),
        [(Real(shape),) for shape in [(2, 2, 3, 6), (1, 6, 3)]],
        lambda x: _channels(x, 3),
        dtypes=ALL,
    ),
]
