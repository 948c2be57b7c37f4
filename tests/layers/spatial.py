"""Rows: convolution and pooling."""

from __future__ import annotations

from layer_table import Layer

LAYERS = [
    Layer(lambda m: m.Conv2d(3, 4, 3), ((2, 3, 8, 7),)),
    Layer(lambda m: m.Conv2d(3, 4, 3), ((3, 8, 7),)),
    Layer(lambda m: m.Conv2d(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), 2, bias=False), ((2, 4, 8, 7),)),
    Layer(lambda m: m.Conv2d(3, 4, (3, 2), padding="same"), ((2, 3, 8, 7),)),
    Layer(lambda m: m.Conv2d(3, 4, 3, 2, padding="valid"), ((2, 3, 8, 7),)),
    Layer(lambda m: m.MaxPool2d(2), ((2, 3, 8, 7),)),
    Layer(lambda m: m.MaxPool2d(3, 2, 1, ceil_mode=True), ((3, 8, 7),)),
    Layer(lambda m: m.MaxPool2d((2, 3), dilation=2), ((2, 3, 8, 8),)),
    Layer(lambda m: m.MaxPool2d(3, 2, 1, ceil_mode=True, return_indices=True), ((2, 3, 9, 8),)),
    Layer(lambda m: m.AvgPool2d(2), ((2, 3, 8, 7),)),
    Layer(lambda m: m.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), ((2, 3, 8, 7),)),
    Layer(lambda m: m.AvgPool2d((2, 3), divisor_override=5), ((3, 8, 7),)),
]
