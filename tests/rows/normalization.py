"""Rows: layer, RMS, group, instance and local response normalisation."""

from __future__ import annotations

import numpy as np
from op_table import Real, Row


def _over(x, dims, eps=1e-5):
    mean = x.mean(dims, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(dims, keepdims=True) + eps)


def _rms(x, dims, eps):
    return x / np.sqrt((x**2).mean(dims, keepdims=True) + eps)


def _channels(values, x):
    return values.reshape(1, -1, *[1] * (x.ndim - 2))


def _groups(x, groups, weight=1.0, bias=0.0, eps=1e-5):
    if not x.size:
        return x
    normal = _over(x.reshape(len(x), groups, -1), 2, eps).reshape(x.shape)
    if isinstance(weight, np.ndarray):
        weight, bias = _channels(weight, x), _channels(bias, x)
    return normal * weight + bias


def _local_response(x, size, alpha, beta, k):
    padded = np.pad(x**2, [(0, 0), (size // 2, (size - 1) // 2)] + [(0, 0)] * (x.ndim - 2))
    total = sum(padded[:, i : i + x.shape[1]] for i in range(size))
    return x / (k + alpha * total / size) ** beta


def _affine(*shapes, rest=1):
    return [(Real(shape), Real(shape[-rest:]), Real(shape[-rest:])) for shape in shapes]


def _per_channel(*shapes):
    return [(Real(shape), Real(shape[1:2]), Real(shape[1:2])) for shape in shapes]


_LAYER = [
    Row(
        "F.layer_norm",
        lambda m, x, w, b: m.nn.functional.layer_norm(x, x.shape[-1:], w, b),
        _affine((5, 7), (2, 3, 19), (1, 1), (0, 4), (9, 67)),
        lambda x, w, b: _over(x, -1) * w + b,
        tolerance=4096,
    ),
    Row(
        "F.layer_norm 2 dimensions",
        lambda m, x, w, b: m.nn.functional.layer_norm(x, x.shape[-2:], w, b, 1e-3),
        _affine((4, 3, 5), (3, 2), rest=2),
        lambda x, w, b: _over(x, (-2, -1), 1e-3) * w + b,
        tolerance=4096,
    ),
    Row(
        "F.layer_norm plain",
        lambda m, x: m.nn.functional.layer_norm(x, x.shape[-1:]),
        [(Real((5, 7)),), (Real((130,)),)],
        lambda x: _over(x, -1),
        tolerance=4096,
    ),
    Row(
        "F.layer_norm bias alone",
        lambda m, x, b: m.nn.functional.layer_norm(x, x.shape[-1:], bias=b),
        [(Real((5, 7)), Real((7,)))],
        lambda x, b: _over(x, -1) + b,
        tolerance=4096,
    ),
    Row(
        "F.rms_norm",
        lambda m, x, w: m.nn.functional.rms_norm(x, x.shape[-1:], w, 1e-4),
        [(Real(shape), Real(shape[-1:])) for shape in [(5, 7), (2, 3, 19), (0, 4), (9, 67)]],
        lambda x, w: _rms(x, -1, 1e-4) * w,
        tolerance=4096,
    ),
    Row(
        "F.rms_norm plain",
        lambda m, x: m.nn.functional.rms_norm(x, x.shape[-2:]),
        [(Real((4, 3, 5)),)],
        lambda x: _rms(x, (-2, -1), 0.0),
        tolerance=4096,
    ),
]

_GROUP = [
    Row(
        "F.group_norm",
        lambda m, x, w, b: m.nn.functional.group_norm(x, 2, w, b),
        _per_channel((3, 4), (2, 6, 5), (2, 4, 3, 5), (0, 4, 3), (2, 2, 67)),
        lambda x, w, b: _groups(x, 2, w, b),
        tolerance=4096,
    ),
    Row(
        "F.group_norm plain",
        lambda m, x: m.nn.functional.group_norm(x, 3, eps=1e-3),
        [(Real((3, 6)),), (Real((2, 3, 4)),), (Real((1, 6, 2, 2)),)],
        lambda x: _groups(x, 3, eps=1e-3),
        tolerance=4096,
    ),
    Row(
        "F.instance_norm",
        lambda m, x, w, b: m.nn.functional.instance_norm(x, weight=w, bias=b),
        _per_channel((3, 4, 5), (2, 3, 3, 5)),
        lambda x, w, b: _groups(x, x.shape[1], w, b),
        tolerance=4096,
    ),
    Row(
        "F.instance_norm running",
        lambda m, x, mean, var: m.nn.functional.instance_norm(x, mean, var, use_input_stats=False),
        [(Real((3, 4, 5)), Real((4,), gradient=False), Real((4,), "positive", gradient=False))],
        lambda x, mean, var: (x - _channels(mean, x)) / np.sqrt(_channels(var, x) + 1e-5),
        tolerance=4096,
    ),
    Row(
        "F.local_response_norm",
        lambda m, x: m.nn.functional.local_response_norm(x, 3, 0.5, 0.75, 2.0),
        [(Real((2, 5, 3)),), (Real((2, 2, 3, 2)),), (Real((1, 7, 2, 2, 2)),), (Real((0, 3, 2)),)],
        lambda x: _local_response(x, 3, 0.5, 0.75, 2.0),
        tolerance=512,
    ),
    Row(
        "F.local_response_norm even",
        lambda m, x: m.nn.functional.local_response_norm(x, 4),
        [(Real((2, 7, 3)),)],
        lambda x: _local_response(x, 4, 1e-4, 0.75, 1.0),
        tolerance=512,
    ),
]

ROWS = [*_LAYER, *_GROUP]
