"""Rows: normalization."""

from __future__ import annotations

from layer_table import Layer

LAYERS = [
    Layer(lambda m: m.BatchNorm1d(4), ((5, 4),)),
    Layer(lambda m: m.BatchNorm1d(4, momentum=None), ((5, 4, 3),)),
    Layer(lambda m: m.BatchNorm1d(4, affine=False, track_running_stats=False), ((5, 4),)),
    Layer(lambda m: m.BatchNorm1d(4, bias=False), ((5, 4),)),
    Layer(lambda m: m.BatchNorm2d(4, eps=0.1, momentum=0.5), ((5, 4, 3, 2),)),
    Layer(lambda m: m.BatchNorm3d(3), ((4, 3, 2, 2, 3),)),
    Layer(lambda m: m.LayerNorm(7), ((5, 7),)),
    Layer(lambda m: m.LayerNorm(67), ((2, 5, 67),)),
    Layer(lambda m: m.LayerNorm((3, 4), eps=0.1), ((2, 5, 3, 4),)),
    Layer(lambda m: m.LayerNorm([5], bias=False), ((4, 5),)),
    Layer(lambda m: m.LayerNorm(5, elementwise_affine=False), ((5,),)),
    Layer(lambda m: m.LayerNorm(5), ((0, 5),)),
    Layer(lambda m: m.RMSNorm(7), ((5, 7),)),
    Layer(lambda m: m.RMSNorm((2, 33), eps=0.1), ((6, 2, 33),)),
    Layer(lambda m: m.RMSNorm(5, elementwise_affine=False), ((2, 3, 5),)),
    Layer(lambda m: m.GroupNorm(2, 6), ((5, 6),)),
    Layer(lambda m: m.GroupNorm(3, 6, eps=0.1), ((4, 6, 5),)),
    Layer(lambda m: m.GroupNorm(1, 4, affine=False), ((2, 4, 3, 3),)),
    Layer(lambda m: m.GroupNorm(4, 4, bias=False), ((2, 4, 3, 3),)),
    Layer(lambda m: m.GroupNorm(2, 4), ((0, 4, 3),)),
    Layer(lambda m: m.InstanceNorm1d(4), ((3, 4, 5),)),
    Layer(lambda m: m.InstanceNorm1d(4, affine=True), ((4, 5),)),
    Layer(lambda m: m.InstanceNorm2d(3, affine=True, bias=False), ((2, 3, 4, 2),)),
    Layer(lambda m: m.InstanceNorm2d(3, track_running_stats=True), ((2, 3, 4, 2),)),
    Layer(
        lambda m: m.InstanceNorm2d(3, 0.1, 0.3, affine=True, track_running_stats=True),
        ((2, 3, 4, 2),),
    ),
    Layer(lambda m: m.InstanceNorm3d(2), ((2, 2, 3, 2, 2),)),
    Layer(lambda m: m.LocalResponseNorm(3), ((2, 7, 4),)),
    Layer(lambda m: m.LocalResponseNorm(2, 0.5, 0.6, 2.0), ((2, 5, 3, 2),)),
]
