"""Rows: pools over one and three dimensions, adaptive and fractional ones, unpooling. Those over
two stand in functional.py, adaptive means in resizing.py."""

from __future__ import annotations

import numpy as np
from op_table import Index, Real, Row

from minigrad.kernel_tools import spatial_reference as reference


def _max(dims, name, shape, kernel, **options):
    function = f"max_pool{dims}d"
    return [
        Row(
            f"F.{function} {name}",
            lambda m, x: getattr(m.nn.functional, function)(x, kernel, **options),
            [(Real(shape, "spread"),)],
            lambda x: reference.pool(x, dims, kernel, reference.largest, **options),
        ),
        Row(
            f"F.{function} {name} indices",
            lambda m, x: getattr(m.nn.functional, function)(
                x, kernel, **options, return_indices=True
            )[1],
            [(Real(shape, "spread"),)],
            lambda x: reference.pool(x, dims, kernel, reference.place_of_largest, **options),
            result="int64",
            differentiable=False,
        ),
    ]


def _avg(dims, name, shape, kernel, count_include_pad=True, divisor_override=None, **options):
    function = f"avg_pool{dims}d"
    more = {"count_include_pad": count_include_pad}
    if divisor_override:
        more["divisor_override"] = divisor_override

    def mean(values, indices, area):
        return values.sum(-1) / (
            divisor_override or (area if count_include_pad else values.shape[-1])
        )

    return Row(
        f"F.{function} {name}",
        lambda m, x: getattr(m.nn.functional, function)(x, kernel, **options, **more),
        [(Real(shape),)],
        lambda x: reference.pool(x, dims, kernel, mean, **options),
        tolerance=128,
    )


def _lp(dims, name, shape, p, kernel, **options):
    function = f"lp_pool{dims}d"

    def norm(values, indices, area):
        if np.isinf(p):
            return np.abs(values).max(-1) if p > 0 else np.abs(values).min(-1)
        taps = np.prod(reference.spread(kernel, dims))
        return ((values**p).sum(-1) / area * taps) ** (1 / p)

    return Row(
        f"F.{function} {name}",
        lambda m, x: getattr(m.nn.functional, function)(x, p, kernel, **options),
        [(Real(shape, "positive"),)],
        lambda x: reference.pool(x, dims, kernel, norm, **options),
        tolerance=512,
    )


def _adaptive(dims, name, shape, size):
    function = f"adaptive_max_pool{dims}d"

    def exact(x, reduce):
        own = x.shape[x.ndim - dims :]
        counts = [
            n if count is None else count
            for n, count in zip(own, reference.spread(size, dims), strict=True)
        ]
        return reference.windows_of(
            x,
            counts,
            lambda d, i: range(i * own[d] // counts[d], -(-(i + 1) * own[d] // counts[d])),
            lambda d, i: 1,
            reduce,
        )

    return [
        Row(
            f"F.{function} {name}",
            lambda m, x: getattr(m.nn.functional, function)(x, size),
            [(Real(shape, "spread"),)],
            lambda x: exact(x, reference.largest),
        ),
        Row(
            f"F.{function} {name} indices",
            lambda m, x: getattr(m.nn.functional, function)(x, size, True)[1],
            [(Real(shape, "spread"),)],
            lambda x: exact(x, reference.place_of_largest),
            result="int64",
            differentiable=False,
        ),
    ]


def _fractional(dims, name, shape, kernel, size):
    """The samples are an operand, uniform in (0, 1)."""
    function = f"fractional_max_pool{dims}d"
    planes = (1, shape[0]) if len(shape) == dims + 1 else shape[:2]

    def exact(x, samples):
        x = x.reshape(-1, *x.shape[-dims:])
        samples = (np.tanh(samples) + 1).reshape(-1, dims) / 2
        kernels, sizes = reference.spread(kernel, dims), reference.spread(size, dims)
        results = []
        for plane, drawn in zip(x, samples, strict=True):
            drawn = drawn[::-1] if dims == 2 else drawn

            def places(d, i, drawn=drawn):
                room, count = x.shape[1 + d] - kernels[d], sizes[d]
                start = room
                if i < count - 1:
                    step = room / (count - 1)
                    start = int((i + drawn[d]) * step) - int(drawn[d] * step)
                return range(start, start + kernels[d])

            results.append(
                reference.windows_of(plane, sizes, places, lambda d, i: 1, reference.largest)
            )
        return np.stack(results).reshape(*shape[:-dims], *sizes)

    return Row(
        f"F.{function} {name}",
        lambda m, x, samples: getattr(m.nn.functional, function)(
            x, kernel, size, _random_samples=(m.tanh(samples) + 1) / 2
        ),
        [(Real(shape, "spread"), Real((*planes, dims), gradient=False))],
        exact,
    )


def _unpool(dims, name, pooled, kernel, size=None, **options):
    """Of different indices: those of one plane count down from its last element."""
    function = f"max_unpool{dims}d"
    strides = reference.spread(options.get("stride", kernel), dims)
    own = size or [
        (n - 1) * s + k - 2 * p
        for n, s, k, p in zip(
            pooled[-dims:],
            strides,
            reference.spread(kernel, dims),
            reference.spread(options.get("padding", 0), dims),
            strict=True,
        )
    ]
    volume, count = int(np.prod(own)), int(np.prod(pooled[-dims:]))

    def different(offset):
        places = volume - 1 - np.arange(count) * (volume // count)
        return np.broadcast_to(places - offset % 2, (*pooled[:-dims], count)).reshape(pooled)

    def call(m, x, offset):
        indices = m.tensor(different(0).copy()) - offset
        return getattr(m.nn.functional, function)(x, indices, kernel, output_size=size, **options)

    def exact(x, offset):
        out = np.zeros((*pooled[:-dims], volume))
        np.put_along_axis(
            out,
            (different(0) - offset).reshape(*pooled[:-dims], count),
            x.reshape(*pooled[:-dims], count),
            -1,
        )
        return out.reshape(*pooled[:-dims], *own)

    return Row(f"F.{function} {name}", call, [(Real(pooled), Index((), 2))], exact)


ROWS = [
    *_max(1, "2", (2, 2, 7), 2),
    *_max(1, "options", (2, 11), 3, stride=2, padding=1, dilation=2, ceil_mode=True),
    *_max(3, "2", (2, 2, 4, 5, 4), 2),
    *_max(3, "overlapping", (1, 2, 3, 4, 5), (2, 3, 2), stride=1),
    *_max(3, "options", (2, 5, 4, 6), (2, 3, 2), stride=2, padding=1, dilation=(2, 1, 2)),
    *_max(3, "ceil_mode", (1, 1, 4, 5, 3), 2, padding=1, ceil_mode=True),
    *_adaptive(1, "3", (2, 2, 7), 3),
    *_adaptive(1, "larger", (2, 3), 5),
    *_adaptive(2, "divisible", (2, 2, 4, 6), (2, 3)),
    *_adaptive(2, "uneven", (2, 5, 7), (3, 2)),
    *_adaptive(2, "none", (1, 2, 5, 4), (None, 3)),
    *_adaptive(3, "uneven", (1, 2, 3, 4, 3), (2, 3, 2)),
    *_adaptive(3, "1", (2, 2, 3, 2), 1),
    _avg(1, "2", (2, 2, 7), 2),
    _avg(1, "options", (2, 8), 3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
    _avg(3, "2", (2, 2, 4, 5, 4), 2),
    _avg(3, "overlapping", (1, 2, 3, 4, 5), (2, 3, 2), stride=1),
    _avg(3, "padding", (2, 4, 4, 5), (2, 3, 2), stride=2, padding=1),
    _avg(3, "not counted", (1, 1, 4, 5, 3), 3, stride=2, padding=1, count_include_pad=False),
    _avg(3, "ceil_mode", (1, 1, 4, 5, 4), 3, stride=2, padding=1, ceil_mode=True),
    _avg(3, "divisor", (1, 1, 4, 4, 2), 2, divisor_override=3),
    _avg(3, "empty batch", (0, 1, 4, 4, 2), 2),
    _lp(1, "2", (2, 2, 7), 2.0, 3),
    _lp(1, "1", (2, 8), 1.0, 2, stride=3),
    _lp(2, "3", (1, 2, 4, 5), 3.0, (2, 3), stride=1),
    _lp(2, "ceil_mode", (2, 5, 5), 1.5, 2, ceil_mode=True),
    _lp(2, "inf", (1, 2, 4, 6), np.inf, 2),
    _lp(2, "-inf", (1, 2, 4, 6), -np.inf, 2),
    _lp(3, "2", (1, 2, 4, 2, 4), 2.0, 2),
    _fractional(2, "2", (2, 2, 6, 7), 2, (3, 4)),
    _fractional(2, "unbatched", (2, 6, 7), (2, 3), (1, 4)),
    _fractional(3, "2", (1, 2, 4, 5, 4), 2, (2, 3, 2)),
    _unpool(1, "2", (2, 2, 3), 2),
    _unpool(1, "sized", (2, 3), 2, [7]),
    _unpool(2, "2", (2, 2, 2, 3), 2),
    _unpool(2, "options", (1, 2, 3, 3), 3, stride=2, padding=1),
    _unpool(3, "2", (1, 2, 2, 2, 2), (2, 1, 2)),
]
