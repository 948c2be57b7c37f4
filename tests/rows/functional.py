"""Rows: the functions of nn.functional."""

from __future__ import annotations

import numpy as np
from op_table import Index, Real, Row

from minigrad.kernel_tools import reference


def _activation(name, call, formula, domain="real", **options):
    shapes = [(3, 5), (), (0, 3), (2, 3, 2, 2)]
    return Row(name, call, [(Real(shape, domain),) for shape in shapes], formula, **options)


_ACTIVATIONS = [
    _activation(
        "F.relu", lambda m, x: m.nn.functional.relu(x), lambda x: np.maximum(x, 0), "nonzero"
    ),
    _activation(
        "F.dropout off", lambda m, x: m.nn.functional.dropout(x, 0.4, training=False), lambda x: x
    ),
    _activation("F.dropout p=0", lambda m, x: m.nn.functional.dropout(x, 0.0), lambda x: x),
    _activation("F.dropout p=1", lambda m, x: m.nn.functional.dropout(x, 1.0), np.zeros_like),
]

_same = [(Real(shape), Real(shape, gradient=True)) for shape in [(3, 4), (), (5,), (2, 2, 2)]]


def _mse(reduction, finish, samples=_same):
    return Row(
        f"F.mse_loss {reduction}",
        lambda m, x, y: m.nn.functional.mse_loss(x, y, reduction=reduction),
        samples,
        lambda x, y: finish((x - y) ** 2),
    )


_scores = [
    (Real((4, 3)), Index((4,), 3)),
    (Real((3,)), Index((), 3)),
    (Real((2, 3, 2)), Index((2, 2), 3)),
    (Real((2, 4, 3, 2)), Index((2, 3, 2), 4)),
    (Real((1, 19)), Index((1,), 19)),
]


def _classification(name, **options):
    """cross_entropy or nll_loss with its options."""
    text = "".join(f" {key}={value}" for key, value in options.items())
    return Row(
        f"F.{name}{text}",
        lambda m, x, t: getattr(m.nn.functional, name)(x, t, **options),
        # One sample whose only target is ignored would give 0 / 0.
        [each for each in _scores if each[0].shape != (3,) or "ignore_index" not in options],
        lambda x, t: getattr(reference, name)(x, t, **options),
    )


def _weighted(name, **options):
    text = "".join(f" {key}={value}" for key, value in options.items())
    return Row(
        f"F.{name} weight{text}",
        lambda m, x, t, w: getattr(m.nn.functional, name)(x, t, weight=w, **options),
        [
            (Real((5, 3)), Index((5,), 3), Real((3,), "positive", gradient=False)),
            (Real((2, 3, 2)), Index((2, 2), 3), Real((3,), "positive", gradient=False)),
        ],
        lambda x, t, w: getattr(reference, name)(x, t, w, **options),
    )


_LOSSES = [
    _mse("mean", np.mean),
    _mse("sum", np.sum),
    _mse("none", lambda x: x, [*_same, (Real((0, 2)), Real((0, 2)))]),
    *[
        _classification(name, **options)
        for name in ("cross_entropy", "nll_loss")
        for options in ({}, {"reduction": "sum"}, {"reduction": "none"}, {"ignore_index": 1})
    ],
    _classification("cross_entropy", label_smoothing=0.2),
    _classification("cross_entropy", label_smoothing=0.1, ignore_index=0, reduction="sum"),
    _weighted("cross_entropy"),
    _weighted("cross_entropy", label_smoothing=0.3),
    _weighted("cross_entropy", ignore_index=2, reduction="sum"),
    _weighted("nll_loss"),
    _weighted("nll_loss", reduction="none"),
]


def _conv(name, x, weight, bias=True, **options):
    operands = (Real(x), Real(weight), *([Real(weight[:1])] if bias else []))
    pairs = {
        key: value if key == "groups" or isinstance(value, tuple) else (value, value)
        for key, value in options.items()
        if value not in ("same", "valid")
    }
    if options.get("padding") == "same":
        pairs["padding"] = tuple(
            pairs.get("dilation", (1, 1))[d] * (weight[2 + d] - 1) // 2 for d in (0, 1)
        )
    return Row(
        f"F.conv2d {name}",
        lambda m, *operands: m.nn.functional.conv2d(*operands, **options),
        [operands],
        lambda *operands: reference.conv2d(*operands, **pairs),
        tolerance=512,
    )


_CONVOLUTIONS = [
    _conv("3x3", (2, 2, 5, 4), (3, 2, 3, 3)),
    _conv("1x1 no bias", (2, 3, 3, 3), (2, 3, 1, 1), bias=False),
    _conv("stride and padding", (1, 2, 5, 6), (2, 2, 3, 2), stride=(2, 1), padding=(1, 0)),
    _conv("dilation", (1, 1, 6, 5), (2, 1, 2, 3), dilation=(2, 1), padding=1),
    _conv("groups", (2, 4, 3, 4), (4, 2, 2, 2), groups=2),
    _conv("depthwise", (1, 3, 4, 4), (3, 1, 3, 3), groups=3, padding=1),
    _conv("padding same", (1, 2, 4, 5), (2, 2, 3, 3), padding="same"),
    _conv("padding valid", (1, 2, 4, 5), (2, 2, 3, 3), padding="valid"),
    _conv("stride beyond the kernel", (1, 1, 7, 7), (1, 1, 2, 2), stride=3),
    _conv("empty batch", (0, 2, 4, 4), (3, 2, 3, 3)),
    _conv("one pixel", (1, 1, 1, 1), (1, 1, 1, 1)),
    _conv("padding wider than the kernel", (1, 1, 2, 2), (1, 1, 2, 2), padding=2),
    Row(
        "F.conv2d unbatched",
        lambda m, x, w: m.nn.functional.conv2d(x, w),
        [(Real((2, 4, 4)), Real((3, 2, 3, 3)))],
        lambda x, w: reference.conv2d(x[None], w)[0],
        tolerance=512,
    ),
]


def _pair(value):
    return value if isinstance(value, tuple) else (value, value)


def _max_pool(name, shape, kernel, stride=None, **options):
    pairs = {k: _pair(v) if k != "ceil_mode" else v for k, v in options.items()}
    arguments = (_pair(kernel), _pair(stride if stride is not None else kernel))
    return Row(
        f"F.max_pool2d {name}",
        lambda m, x: m.nn.functional.max_pool2d(x, kernel, stride, **options),
        [(Real(shape, "spread"),)],
        lambda x: reference.max_pool2d(x, *arguments, **pairs)[0],
    )


def _avg_pool(name, shape, kernel, stride=None, divisor=None, **options):
    numpy_options = {k: _pair(v) if k == "padding" else v for k, v in options.items()}
    arguments = (_pair(kernel), _pair(stride if stride is not None else kernel))
    extra = {} if divisor is None else {"divisor_override": divisor}
    return Row(
        f"F.avg_pool2d {name}",
        lambda m, x: m.nn.functional.avg_pool2d(x, kernel, stride, **options, **extra),
        [(Real(shape),)],
        lambda x: reference.avg_pool2d(x, *arguments, divisor=divisor, **numpy_options),
    )


_POOLS = [
    _max_pool("2", (2, 2, 4, 6), 2),
    _max_pool("odd size", (1, 2, 5, 7), 2),
    _max_pool("overlapping", (1, 2, 5, 5), 3, 1),
    _max_pool("padding", (1, 1, 4, 5), (3, 2), (2, 1), padding=(1, 1)),
    _max_pool("dilation", (1, 1, 6, 6), 2, 1, dilation=(2, 3)),
    _max_pool("ceil_mode", (1, 1, 5, 6), 3, 2, ceil_mode=True),
    _max_pool("ceil_mode padding", (1, 1, 5, 4), 2, 2, padding=1, ceil_mode=True),
    _max_pool("empty batch", (0, 1, 4, 4), 2),
    Row(
        "F.max_pool2d unbatched",
        lambda m, x: m.nn.functional.max_pool2d(x, 2),
        [(Real((2, 4, 4), "spread"),)],
        lambda x: reference.max_pool2d(x[None], (2, 2), (2, 2))[0][0],
    ),
    Row(
        "F.max_pool2d indices",
        lambda m, x: m.nn.functional.max_pool2d(x, 3, 2, 1, return_indices=True)[1],
        [(Real((2, 2, 5, 6), "spread"),)],
        lambda x: reference.max_pool2d(x, (3, 3), (2, 2), (1, 1))[1],
        result="int64",
        differentiable=False,
    ),
    _avg_pool("2", (2, 2, 4, 6), 2),
    _avg_pool("overlapping", (1, 2, 5, 5), 3, 1),
    _avg_pool("padding", (1, 1, 4, 5), (3, 2), (2, 1), padding=1),
    _avg_pool("padding not counted", (1, 1, 4, 5), 3, 2, padding=1, count_include_pad=False),
    _avg_pool("ceil_mode", (1, 1, 5, 6), 3, 2, ceil_mode=True),
    _avg_pool("ceil_mode padding", (1, 1, 5, 4), 2, 2, padding=1, ceil_mode=True),
    _avg_pool("divisor", (1, 1, 4, 4), 2, divisor=3),
]

_channels = [(5, 3), (2, 3, 4), (2, 2, 3, 3), (3, 1, 2, 2)]


def _normalized(x, w, b):
    return reference.batch_norm(x, *reference.batch_statistics(x), w, b)


_NORMS = [
    Row(
        "F.batch_norm training",
        lambda m, x, w, b: m.nn.functional.batch_norm(x, None, None, w, b, training=True),
        [(Real(shape), Real(shape[1:2]), Real(shape[1:2])) for shape in _channels],
        _normalized,
        tolerance=4096,
    ),
    Row(
        "F.batch_norm training plain",
        lambda m, x: m.nn.functional.batch_norm(x, None, None, training=True, eps=1e-3),
        [(Real((4, 3)),), (Real((2, 2, 3, 2)),)],
        lambda x: reference.batch_norm(x, *reference.batch_statistics(x), eps=1e-3),
        tolerance=4096,
    ),
    Row(
        "F.batch_norm evaluation",
        lambda m, x, mean, variance, w, b: m.nn.functional.batch_norm(x, mean, variance, w, b),
        [
            (
                Real(shape),
                Real(shape[1:2], gradient=False),
                Real(shape[1:2], "positive", False),
                Real(shape[1:2]),
                Real(shape[1:2]),
            )
            for shape in _channels
        ],
        reference.batch_norm,
        tolerance=4096,
    ),
]

_CODES = [
    Row(
        "F.one_hot",
        lambda m, i: m.nn.functional.one_hot(i, 5),
        [(Index((4,), 5),), (Index((2, 3), 5),), (Index((), 5),)],
        lambda i: np.eye(5, dtype=np.int64)[i],
        differentiable=False,
    ),
]

ROWS = [*_CODES, *_ACTIVATIONS, *_LOSSES, *_CONVOLUTIONS, *_POOLS, *_NORMS]
