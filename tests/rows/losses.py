"""Rows: losses and distances of nn.functional."""

from __future__ import annotations

import math

import numpy as np
from op_table import Index, Real, Row

_FINISH = {"none": lambda x: x, "mean": np.mean, "sum": np.sum}
_SHAPES = [(3, 4), (), (5,), (2, 2, 2)]


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _softplus(x):
    return np.logaddexp(0, x)


def _loss(name, formula, call=None, domains=("real", "real"), shapes=None, target=True, **options):
    """A loss of an input and a target with each reduction. ``call`` prepares the operands, as
    ``formula`` does. ``target``: whether it has a gradient."""
    text = "".join(f" {key}={value}" for key, value in options.items())

    def run(m, x, t, reduction):
        operands = call(m, x, t) if call else (x, t)
        return getattr(m.nn.functional, name)(*operands, reduction=reduction, **options)

    samples = [
        (Real(shape, domains[0]), Real(shape, domains[1], target)) for shape in shapes or _SHAPES
    ]
    empty = [(Real((0, 2)), Real((0, 2), "real", target))]
    return [
        Row(
            f"F.{name}{text} {reduction}",
            lambda m, x, t, r=reduction: run(m, x, t, r),
            [*samples, *empty] if reduction == "none" else samples,
            lambda x, t, f=finish: f(formula(x, t)),
        )
        for reduction, finish in _FINISH.items()
    ]


def _smooth_l1(x, t, beta):
    d = abs(x - t)
    return np.where(d < beta, d**2 / (2 * beta), d - beta / 2)


def _huber(x, t, delta):
    d = abs(x - t)
    return np.where(d <= delta, d**2 / 2, delta * (d - delta / 2))


def _bce(x, t):
    return _softplus(x) - _sigmoid(t) * x


def _kl(x, t):
    return t * (np.log(t) - x)


def _poisson(x, t, full):
    stirling = np.where(t > 1, t * np.log(t) - t + np.log(2 * math.pi * t) / 2, 0)
    return np.exp(x) - t * x + (stirling if full else 0)


_POINTWISE = [
    *_loss("l1_loss", lambda x, t: abs(x - t)),
    *_loss("smooth_l1_loss", lambda x, t: _smooth_l1(x, t, 1)),
    *_loss("smooth_l1_loss", lambda x, t: _smooth_l1(x, t, 0.3), beta=0.3),
    *_loss("smooth_l1_loss", lambda x, t: abs(x - t), beta=0),
    *_loss("huber_loss", lambda x, t: _huber(x, t, 1)),
    *_loss("huber_loss", lambda x, t: _huber(x, t, 0.4), delta=0.4),
    *_loss("soft_margin_loss", lambda x, t: _softplus(-x * t), target=False),
    *_loss("binary_cross_entropy", _bce, lambda m, x, t: (x.sigmoid(), t.sigmoid())),
    *_loss("binary_cross_entropy_with_logits", _bce, lambda m, x, t: (x, t.sigmoid())),
    *_loss("kl_div", _kl, domains=("real", "positive")),
    *_loss("kl_div", lambda x, t: np.exp(t) * (t - x), log_target=True),
    *_loss("poisson_nll_loss", lambda x, t: _poisson(x, t, False), domains=("real", "positive")),
    *_loss(
        "poisson_nll_loss",
        lambda x, t: _poisson(x, t, True),
        domains=("real", "positive"),
        target=False,
        full=True,
    ),
    *_loss(
        "poisson_nll_loss",
        lambda x, t: x - t * np.log(x + 1e-8),
        domains=("positive", "real"),
        log_input=False,
    ),
    *_loss(
        "multilabel_soft_margin_loss",
        lambda x, t: _bce(x, t).mean(-1),
        lambda m, x, t: (x, t.sigmoid()),
        shapes=[(3, 4), (4,)],
    ),
    *_loss(
        "hinge_embedding_loss",
        lambda x, t: np.where(t > 0, x, np.maximum(1.5 - x, 0)),
        lambda m, x, t: (x, t.sign()),
        domains=("real", "nonzero"),
        target=False,
        margin=1.5,
    ),
    *_loss(
        "margin_ranking_loss",
        lambda x, t: np.maximum(-np.sign(t) * (2 * x) + 0.3, 0),
        lambda m, x, t: (x, -x, t.sign()),
        domains=("real", "nonzero"),
        target=False,
        margin=0.3,
    ),
    Row(
        "F.kl_div batchmean",
        lambda m, x, t: m.nn.functional.kl_div(x, t, reduction="batchmean"),
        [(Real((3, 4)), Real((3, 4), "positive")), (Real(()), Real((), "positive"))],
        lambda x, t: _kl(x, t).sum() / (len(x) if x.ndim else 1),
    ),
    Row(
        "F.binary_cross_entropy_with_logits weights",
        lambda m, x, t, w, p: m.nn.functional.binary_cross_entropy_with_logits(
            x, t, w, pos_weight=p
        ),
        [(Real((3, 4)), Real((3, 4)), Real((3, 1), gradient=False), Real((4,), "positive", False))],
        lambda x, t, w, p: np.mean(w * ((1 - t) * x + (1 + (p - 1) * t) * _softplus(-x))),
    ),
    Row(
        "F.binary_cross_entropy weight",
        lambda m, x, t, w: m.nn.functional.binary_cross_entropy(
            x.sigmoid(), t.sigmoid(), w, reduction="sum"
        ),
        [(Real((3, 4)), Real((3, 4)), Real((4,), gradient=False))],
        lambda x, t, w: (w * _bce(x, t)).sum(),
    ),
    *[
        Row(
            f"F.{name} weight",
            lambda m, x, t, w, n=name: getattr(m.nn.functional, n)(x, t, weight=w),
            [(Real((3, 4)), Real((3, 4)), Real((3, 4), "positive"))],
            lambda x, t, w, f=formula, over=over: (w * f(x - t)).sum() / over(w),
        )
        for name, formula, over in (
            ("l1_loss", abs, np.sum),
            ("mse_loss", np.square, np.sum),
            ("huber_loss", lambda d: _huber(d, 0, 1), np.size),
        )
    ],
    *[
        Row(
            f"F.gaussian_nll_loss full={full}",
            lambda m, x, t, v, full=full: m.nn.functional.gaussian_nll_loss(x, t, v, full=full),
            [
                (Real((3, 4)), Real((3, 4)), Real((3, 4), "positive")),
                (Real((3, 4)), Real((3, 4)), Real((3, 1), "positive")),
                (Real((3,)), Real((3,)), Real((3,), "positive")),
            ],
            lambda x, t, v, full=full: np.mean(
                (np.log(v) + (x - t) ** 2 / v + full * math.log(2 * math.pi)) / 2
            ),
            replay=False,
        )
        for full in (False, True)
    ],
]


def _multi_margin(x, t, p, margin, w=None):
    x, t = np.atleast_2d(x), np.atleast_1d(t)
    rows = np.arange(len(t))
    gaps = np.maximum(margin - x[rows, t][:, None] + x, 0) ** p
    if w is not None:
        gaps = gaps * w[t][:, None]
    gaps[rows, t] = 0
    return gaps.sum(1) / x.shape[1]


def _multilabel_margin(x, t):
    total = np.zeros(len(x))
    for n, row in enumerate(t):
        listed = row[: np.argmax(row < 0)] if (row < 0).any() else row
        for j in listed:
            for i in set(range(x.shape[1])) - set(listed.tolist()):
                total[n] += max(0, 1 - x[n, j] + x[n, i])
    return total / x.shape[1]


def _cosine(a, b, axis=-1, eps=0.0):
    squares = ((a * a).sum(axis) + eps) * ((b * b).sum(axis) + eps)
    return (a * b).sum(axis) / np.sqrt(squares)


def _cosine_embedding(a, b, t):
    cosine = _cosine(a, b, eps=1e-12)
    return np.where(t == 0, 1 - cosine, np.maximum(cosine - 0.1, 0))


def _triplet(a, p, n, order, margin, swap=False):
    def distance(x, y):
        return (abs(x - y + 1e-6) ** order).sum(-1) ** (1 / order)

    far = distance(a, n)
    if swap:
        far = np.minimum(far, distance(p, n))
    return np.maximum(margin + distance(a, p) - far, 0)


_MARGINS = [
    Row(
        "F.multi_margin_loss",
        lambda m, x, t: m.nn.functional.multi_margin_loss(x, t),
        [(Real((5, 3)), Index((5,), 3))],
        lambda x, t: _multi_margin(x, t, 1, 1).mean(),
    ),
    Row(
        "F.multi_margin_loss one",
        lambda m, x, t: m.nn.functional.multi_margin_loss(x, t, reduction="none"),
        [(Real((3,)), Index((), 3))],
        lambda x, t: _multi_margin(x, t, 1, 1)[0],
    ),
    Row(
        "F.multi_margin_loss squares",
        lambda m, x, t, w: m.nn.functional.multi_margin_loss(x, t, 2, 0.5, w, reduction="none"),
        [(Real((5, 3)), Index((5,), 3), Real((3,), "positive", False))],
        lambda x, t, w: _multi_margin(x, t, 2, 0.5, w),
    ),
    Row(
        "F.multilabel_margin_loss",
        lambda m, x, t: m.nn.functional.multilabel_margin_loss(x, t - 1, reduction="none"),
        [(Real((6, 4)), Index((6, 4), 5))],
        lambda x, t: _multilabel_margin(x, t - 1),
    ),
    Row(
        "F.cosine_embedding_loss",
        lambda m, a, b, t: m.nn.functional.cosine_embedding_loss(
            a, b, 1 - 2 * t, 0.1, reduction="none"
        ),
        [(Real((6, 4)), Real((6, 4)), Index((6,), 2)), (Real((4,)), Real((4,)), Index((), 2))],
        _cosine_embedding,
    ),
    Row(
        "F.triplet_margin_loss",
        lambda m, a, p, n: m.nn.functional.triplet_margin_loss(a, p, n, 2.0, reduction="none"),
        [(Real((6, 4)),) * 3, (Real((4,)),) * 3],
        lambda a, p, n: _triplet(a, p, n, 2, 2.0),
    ),
    Row(
        "F.triplet_margin_loss swap",
        lambda m, a, p, n: m.nn.functional.triplet_margin_loss(a, p, n, 1.5, 3.0, swap=True),
        [(Real((6, 4)),) * 3],
        lambda a, p, n: _triplet(a, p, n, 3, 1.5, True).mean(),
    ),
    Row(
        "F.triplet_margin_with_distance_loss",
        lambda m, a, p, n: m.nn.functional.triplet_margin_with_distance_loss(
            a, p, n, distance_function=lambda x, y: (x - y + 1e-6).abs().sum(-1), margin=3.0
        ),
        [(Real((6, 4)),) * 3],
        lambda a, p, n: _triplet(a, p, n, 1, 3.0).mean(),
    ),
]

_DISTANCES = [
    Row(
        "F.normalize",
        lambda m, x: m.nn.functional.normalize(x),
        [(Real((3, 4)),), (Real((2, 3, 2)),)],
        lambda x: x / np.linalg.norm(x, axis=1, keepdims=True),
    ),
    Row(
        "F.normalize p=1",
        lambda m, x: m.nn.functional.normalize(x, 1.0, 0),
        [(Real((3, 4)),), (Real((5,)),)],
        lambda x: x / abs(x).sum(0, keepdims=True),
    ),
    Row(
        "F.pairwise_distance",
        lambda m, x, y: m.nn.functional.pairwise_distance(x, y),
        [(Real((3, 4)), Real((3, 4))), (Real((4,)), Real((3, 4)))],
        lambda x, y: np.linalg.norm(x - y + 1e-6, axis=-1),
    ),
    Row(
        "F.pairwise_distance p=1",
        lambda m, x, y: m.nn.functional.pairwise_distance(x, y, 1.0, keepdim=True),
        [(Real((3, 4)), Real((3, 4)))],
        lambda x, y: abs(x - y + 1e-6).sum(-1, keepdims=True),
    ),
    Row(
        "F.cosine_similarity",
        lambda m, x, y: m.nn.functional.cosine_similarity(x, y),
        [(Real((3, 4)), Real((3, 4))), (Real((3, 4)), Real((1, 4)))],
        lambda x, y: _cosine(x, y, 1),
    ),
    *[
        Row(
            f"F.pdist p={p}",
            lambda m, x, p=p: m.nn.functional.pdist(x, p),
            [(Real((5, 3)),), (Real((2, 4)),)],
            lambda x, p=p: np.array(
                [
                    np.linalg.norm(x[i] - x[j], p)
                    for i in range(len(x))
                    for j in range(i + 1, len(x))
                ]
            ),
        )
        for p in (1.0, 2.0, 3.0, math.inf)
    ],
]

ROWS = [*_POINTWISE, *_MARGINS, *_DISTANCES]
