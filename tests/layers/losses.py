"""Rows: losses."""

from __future__ import annotations

from layer_table import Layer
from op_table import Index, Real

_X = (3, 4)
_T = Real((3, 4), gradient=False)
_CHANCES = Real((3, 4), "unit")  # made probabilities by the calls below
_LABELS = Index((3,), 4)


def _squeezed(module, x, t):
    return module(x.sigmoid(), t.sigmoid())


def _signs(module, x, t):
    return module(x, t.sign())


def _multilabel(module, x, t):
    return module(x, t - 1)


def _three(name, inputs, call=None, **options):
    """A loss with each reduction."""
    given = {} if call is None else {"call": call}
    return [
        Layer(lambda m, r=reduction: getattr(m, name)(**options, reduction=r), inputs, **given)
        for reduction in ("none", "mean", "sum")
    ]


LAYERS = [
    *_three("L1Loss", (_X, _X)),
    *_three("MSELoss", (_X, _X)),
    *_three("SmoothL1Loss", (_X, _X), beta=0.4),
    *_three("HuberLoss", (_X, _X), delta=0.7),
    *_three("BCELoss", (_X, _X), _squeezed),
    *_three("BCEWithLogitsLoss", (_X, _X)),
    *_three("KLDivLoss", (_X, _X), lambda m, x, t: m(x.log_softmax(1), t.softmax(1))),
    *_three("KLDivLoss", (_X, _X), lambda m, x, t: m(x, t.log_softmax(1)), log_target=True),
    Layer(
        lambda m: m.KLDivLoss(reduction="batchmean"),
        (_X, _T),
        lambda m, x, t: m(x.log_softmax(1), t.softmax(1)),
    ),
    *_three("SoftMarginLoss", (_X, _T), _signs),
    *_three("MultiLabelSoftMarginLoss", (_X, _X)),
    *_three("PoissonNLLLoss", (_X, Real(_X, "positive", False)), full=True),
    *_three(
        "PoissonNLLLoss", (Real(_X, "positive"), Real(_X, "positive", False)), log_input=False
    ),
    *_three("GaussianNLLLoss", (_X, _X, Real(_X, "positive")), full=True),
    *_three("GaussianNLLLoss", (_X, _X, Real((3, 1), "positive"))),
    *_three("HingeEmbeddingLoss", (_X, _T), _signs, margin=1.5),
    *_three("MarginRankingLoss", ((5,), (5,), Real((5,), gradient=False)),
            lambda m, a, b, t: m(a, b, t.sign()), margin=0.2),
    *_three("CosineEmbeddingLoss", (_X, _X, Real((3,), gradient=False)),
            lambda m, a, b, t: m(a, b, t.sign()), margin=0.1),
    *_three("MultiMarginLoss", (_X, _LABELS)),
    *_three("MultiMarginLoss", (_X, _LABELS), p=2, margin=0.5),
    Layer(lambda m: m.MultiMarginLoss(), ((4,), Index((), 4))),
    *_three("MultiLabelMarginLoss", (_X, Index((3, 4), 5)), _multilabel),
    *_three("TripletMarginLoss", (_X, _X, _X), swap=True),
    *_three("TripletMarginLoss", (_X, _X, _X), p=1.0, margin=2.0),
    *_three("TripletMarginWithDistanceLoss", (_X, _X, _X), margin=2.0),
    *_three("NLLLoss", ((5, 4), Index((5,), 4))),
    *_three("CrossEntropyLoss", ((5, 4), Index((5,), 4)), label_smoothing=0.1),
    *_three("CTCLoss", ((6, 3, 4), Index((3, 2), 4, 1)),
            lambda m, x, t: m(x.log_softmax(2), t, (6, 4, 5), (2, 0, 1)), blank=0),
    *_three("CTCLoss", ((6, 3, 4), Index((5,), 3)),
            lambda m, x, t: m(x.log_softmax(2), t, (6, 3, 5), (2, 2, 1)), blank=3),
    *_three("CTCLoss", ((4, 2, 3), Index((2, 3), 3, 1)),
            lambda m, x, t: m(x.log_softmax(2), t, (4, 1), (2, 3)), zero_infinity=True),
    Layer(lambda m: m.CTCLoss(), ((5, 3), Index((2,), 3, 1)),
          lambda m, x, t: m(x.log_softmax(1), t, (5,), (2,))),
    Layer(lambda m: m.AdaptiveLogSoftmaxWithLoss(16, 9, [2, 5]), ((6, 16), Index((6,), 9)),
          replay=False),
    Layer(lambda m: m.AdaptiveLogSoftmaxWithLoss(16, 9, [2, 5], 2.0, True), ((6, 16),),
          lambda m, x: m.log_prob(x)),
    Layer(lambda m: m.PairwiseDistance(), (_X, _X)),
    Layer(lambda m: m.PairwiseDistance(3.0, keepdim=True), (_X, (4,))),
    Layer(lambda m: m.CosineSimilarity(), (_X, _X)),
    Layer(lambda m: m.CosineSimilarity(0, 1e-3), (_X, (3, 1))),
]  # fmt: skip
