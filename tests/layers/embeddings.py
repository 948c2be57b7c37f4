"""Rows: embeddings."""

from __future__ import annotations

import sys

from layer_table import Layer
from op_table import Index, Real


def _bags(starts):
    """Calls a bag with these offsets, in the library of the indices."""

    def call(module, index, *weights):
        library = sys.modules[type(index).__module__.split(".")[0]]
        return module(index, library.tensor(starts), *weights)

    return call


_MODES = ("sum", "mean", "max")

LAYERS = [
    Layer(lambda m: m.Embedding(7, 3), (Index((2, 5), 7),)),
    Layer(lambda m: m.Embedding(7, 3), (Index((), 7),)),
    Layer(lambda m: m.Embedding(7, 3, padding_idx=-2), (Index((4, 5), 7),), smooth=False),
    Layer(lambda m: m.Embedding(7, 3, scale_grad_by_freq=True), (Index((4, 5), 7),), smooth=False),
    Layer(
        lambda m: m.Embedding(7, 3, max_norm=1.0, norm_type=1.0), (Index((9,), 7),), smooth=False
    ),
    Layer(lambda m: m.EmbeddingBag(7, 3, max_norm=1.0), (Index((3, 9), 7),), smooth=False),
    *[
        Layer(lambda m, mode=mode: m.EmbeddingBag(7, 3, mode=mode), (Index((4, 5), 7),))
        for mode in _MODES
    ],
    *[
        Layer(
            lambda m, mode=mode: m.EmbeddingBag(7, 3, mode=mode, padding_idx=2),
            (Index((4, 5), 7),),
        )
        for mode in _MODES
    ],
    *[
        Layer(
            lambda m, mode=mode: m.EmbeddingBag(7, 3, mode=mode, padding_idx=1),
            (Index((9,), 7),),
            _bags([0, 2, 2, 5]),
        )
        for mode in _MODES[:2]
    ],
    Layer(
        lambda m: m.EmbeddingBag(7, 3, mode="sum", include_last_offset=True),
        (Index((9,), 7), Real((9,))),
        _bags([0, 4, 9]),
    ),
]
