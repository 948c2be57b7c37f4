"""Rows: normalization."""

from __future__ import annotations

from layer_table import Layer

LAYERS = [
    Layer(lambda m: m.BatchNorm1d(4), ((5, 4),)),
    Layer(lambda m: m.BatchNorm1d(4, momentum=None), ((5, 4, 3),)),
    Layer(lambda m: m.BatchNorm1d(4, affine=False, track_running_stats=False), ((5, 4),)),
    Layer(lambda m: m.BatchNorm1d(4, bias=False), ((5, 4),)),
    Layer(lambda m: m.BatchNorm2d(4, eps=0.1, momentum=0.5), ((5, 4, 3, 2),)),
]
