"""Plain NumPy versions of convolutions, pools and resampling over any number of dimensions, written
from their formulas: loops, float64. Images are (N, C, sizes...)."""

from __future__ import annotations

import numpy as np


def spread(value, dims):
    """One number for each dimension."""
    return (value,) * dims if isinstance(value, int) else tuple(value)


def _taps(kernel, strides, dilations, counts):
    """Of each kernel position: its index and the slices of the padded image that it meets."""
    for tap in np.ndindex(*kernel):
        yield (
            tap,
            tuple(
                slice(t * d, t * d + (n - 1) * s + 1, s)
                for t, d, n, s in zip(tap, dilations, counts, strides, strict=True)
            ),
        )


def convolution(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """x (N, C, ...), weight (O, C / groups, ...) -> (N, O, ...). padding "same" puts the odd zero
    behind."""
    dims = x.ndim - 2
    kernel, outputs = weight.shape[2:], weight.shape[0]
    strides, dilations = spread(stride, dims), spread(dilation, dims)
    if padding == "same":
        totals = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
        margins = [(total // 2, total - total // 2) for total in totals]
    else:
        margins = [(p, p) for p in spread(0 if padding == "valid" else padding, dims)]
    x = np.pad(x, [(0, 0), (0, 0), *margins])
    counts = [
        (n - d * (k - 1) - 1) // s + 1
        for n, d, k, s in zip(x.shape[2:], dilations, kernel, strides, strict=True)
    ]
    y = np.zeros((x.shape[0], outputs, *counts))
    for o in range(outputs):
        first = o // (outputs // groups) * weight.shape[1]
        for tap, place in _taps(kernel, strides, dilations, counts):
            met = (slice(None), slice(first, first + weight.shape[1]), *place)
            y[:, o] += np.einsum("nc...,c->n...", x[met], np.moveaxis(weight, 1, -1)[o][tap])
    return y if bias is None else y + bias.reshape(-1, *[1] * dims)


def transposed(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """x (N, C, ...), weight (C, O / groups, ...) -> (N, O, ...): each element of x adds the kernel
    times itself to the output, whose margins are cut off."""
    dims = x.ndim - 2
    strides, dilations = spread(stride, dims), spread(dilation, dims)
    paddings, extra = spread(padding, dims), spread(output_padding, dims)
    kernel, each = weight.shape[2:], weight.shape[1]
    whole = [
        max((n - 1) * s, 0) + d * (k - 1) + 1 + e
        for n, s, d, k, e in zip(x.shape[2:], strides, dilations, kernel, extra, strict=True)
    ]
    y = np.zeros((x.shape[0], each * groups, *whole))
    for c in range(x.shape[1]):
        first = c // (x.shape[1] // groups) * each
        for tap, place in _taps(kernel, strides, dilations, x.shape[2:]):
            for o in range(each):
                met = (slice(None), first + o, *place)
                y[met] += x[:, c] * weight[c, o][tap]
    inner = tuple(slice(p, n - p) for p, n in zip(paddings, whole, strict=True))
    kept = (slice(None), slice(None), *inner)
    y = y[kept]
    return y if bias is None else y + bias.reshape(-1, *[1] * dims)


def along(x, matrices):
    """A matrix for each of the last dimensions."""
    for i, matrix in enumerate(matrices):
        d = x.ndim - len(matrices) + i
        x = np.moveaxis(np.moveaxis(x, d, -1) @ np.asarray(matrix, np.float64).T, -1, d)
    return x


def _kernel(mode, a=-0.75):
    """The interpolation kernel as a function of the distance, and where it ends."""

    def cubic(x):
        inner = (a + 2) * x**3 - (a + 3) * x**2 + 1
        return np.where(x <= 1, inner, np.where(x < 2, a * (x**3 - 5 * x**2 + 8 * x - 4), 0))

    return {
        "linear": (lambda x: np.maximum(1 - x, 0), 1),
        "cubic": (cubic, 2),
        "lanczos": (lambda x: np.where(x < 3, np.sinc(x) * np.sinc(x / 3), 0), 3),
    }[mode]


def resize_matrix(size, out, mode, align_corners=False, scale=None, antialias=False):
    """The matrix of one dimension: linear, cubic, lanczos, nearest, nearest-exact, area."""
    step = 1 / scale if scale else size / out
    if align_corners:
        step = (size - 1) / (out - 1) if out > 1 else 0.0
    matrix = np.zeros((out, size))
    for i in range(out):
        if mode == "area":
            window = slice(i * size // out, -(-(i + 1) * size // out))
            matrix[i, window] = 1 / (window.stop - window.start)
        elif mode.startswith("nearest"):
            place = int((i + 0.5) * step) if mode == "nearest-exact" else int(i * step)
            matrix[i, min(place, size - 1)] = 1
        elif antialias:
            kernel, half = _kernel(mode, -0.5)
            wide, centre = max(step, 1), step * (i + 0.5) - 0.5
            weights = kernel(np.abs(np.arange(size) - centre) / wide)
            low = max(int(centre + 1 - half * wide), 0)
            weights[:low] = weights[int(centre + 1 + half * wide) :] = 0
            matrix[i] = weights / weights.sum()
        else:
            kernel, half = _kernel(mode)
            place = i * step if align_corners else step * (i + 0.5) - 0.5
            place = max(place, 0) if mode == "linear" else place
            for j in range(int(np.floor(place)) - half + 1, int(np.floor(place)) + half + 1):
                matrix[i, min(max(j, 0), size - 1)] += kernel(np.abs(j - place))
    return matrix


def pool(x, dims, kernel, reduce, stride=None, padding=0, dilation=1, ceil_mode=False):
    """``reduce(values, indices, area)`` of each window over the last dimensions: the elements
    inside of the input, their indices in the plane, and how many the window has with its padding.
    """
    kernel = spread(kernel, dims)
    stride = kernel if stride is None else spread(stride, dims)
    padding, dilation = spread(padding, dims), spread(dilation, dims)
    size = x.shape[x.ndim - dims :]
    counts = []
    for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        reach = n + 2 * p - d * (k - 1) - 1
        count = -(-reach // s) + 1 if ceil_mode else reach // s + 1
        counts.append(count - (ceil_mode and (count - 1) * s >= n + p))
    return windows_of(
        x,
        counts,
        lambda d, i: [i * stride[d] - padding[d] + k * dilation[d] for k in range(kernel[d])],
        lambda d, i: (
            min(i * stride[d] - padding[d] + kernel[d], size[d] + padding[d])
            - i * stride[d]
            + padding[d]
        ),
        reduce,
    )


def windows_of(x, counts, places, extent, reduce):
    """places(dimension, i): the positions of window i, of which some may lie outside."""
    dims = len(counts)
    size = x.shape[x.ndim - dims :]
    planes = x.reshape(*x.shape[: x.ndim - dims], int(np.prod(size)))
    numbers = np.arange(int(np.prod(size))).reshape(size)
    results = []
    for position in np.ndindex(*counts):
        inside = [
            [place for place in places(d, i) if 0 <= place < size[d]]
            for d, i in enumerate(position)
        ]
        area = np.prod([extent(d, i) for d, i in enumerate(position)])
        taken = numbers[np.ix_(*inside)].reshape(-1)
        results.append(reduce(planes[..., taken], taken, area))
    lead = x.shape[: x.ndim - dims]
    return np.stack(results, -1).reshape(*lead, *counts) if results else np.zeros((*lead, *counts))


def largest(values, indices, area):
    return values.max(-1)


def place_of_largest(values, indices, area):
    return indices[values.argmax(-1)]
