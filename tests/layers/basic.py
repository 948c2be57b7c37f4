"""Rows: linear maps, activations, dropout, shapes, containers."""

from __future__ import annotations

from layer_table import Layer

LAYERS = [
    Layer(lambda m: m.Linear(6, 4), ((5, 6),)),
    Layer(lambda m: m.Linear(6, 4), ((6,),)),
    Layer(lambda m: m.Linear(6, 4, bias=False), ((2, 3, 6),)),
    Layer(lambda m: m.Identity(), ((3,),)),
    Layer(lambda m: m.Bilinear(3, 4, 5), ((2, 3), (2, 4))),
    Layer(lambda m: m.Bilinear(3, 2, 4, bias=False), ((5, 2, 3), (5, 2, 2))),
    Layer(
        lambda m: m.ModuleList([m.Linear(3, 3), m.Linear(3, 3), m.Tanh()]),
        ((2, 3),),
        lambda module, x: module[2](module[1](module[0](x))),
    ),
    Layer(
        lambda m: m.ModuleDict({"first": m.Linear(3, 4), "act": m.Sequential(m.ELU(), m.Tanh())}),
        ((2, 3),),
        lambda module, x: module["act"](module["first"](x)),
    ),
    Layer(lambda m: m.Flatten(), ((2, 3, 4),)),
    Layer(lambda m: m.Flatten(0, 1), ((2, 3, 4),)),
    Layer(lambda m: m.Unflatten(1, (2, -1)), ((3, 4),)),
    Layer(lambda m: m.ChannelShuffle(3), ((2, 6, 3, 2),)),
    Layer(lambda m: m.ReLU(), ((3, 4),)),
    Layer(lambda m: m.Tanh(), ((3, 4),)),
    Layer(lambda m: m.Sigmoid(), ((3, 4),)),
    Layer(lambda m: m.Softmax(1), ((3, 4),)),
    Layer(lambda m: m.Softmax(), ((3, 4),)),
    Layer(lambda m: m.LogSoftmax(-1), ((3, 4, 2),)),
    Layer(lambda m: m.Dropout(0.0), ((3, 4),)),
    Layer(lambda m: m.Dropout(0.5), ((3, 4),), random=True),
    Layer(lambda m: m.Dropout1d(0.3), ((3, 4, 2),), random=True),
    Layer(lambda m: m.Dropout1d(0.3), ((4, 2),), random=True),
    Layer(lambda m: m.Dropout2d(0.3), ((2, 4, 2, 2),), random=True),
    Layer(lambda m: m.Dropout3d(0.3), ((2, 2, 2, 2, 2),), random=True),
    Layer(lambda m: m.Dropout3d(0.3), ((2, 2, 2, 2),), random=True),
    Layer(lambda m: m.AlphaDropout(0.3), ((3, 4),), random=True),
    Layer(lambda m: m.FeatureAlphaDropout(0.3), ((3, 4, 2),), random=True),
    Layer(
        lambda m: m.Sequential(m.Linear(4, 8), m.BatchNorm1d(8), m.ReLU(), m.Linear(8, 2)),
        ((5, 4),),
    ),
]
