"""Rows: activations."""

from __future__ import annotations

from layer_table import Layer
from op_table import Real

_SHAPE = ((3, 4),)
_KINKED = (Real((3, 4), "spread"),)

LAYERS = [
    *[
        Layer(lambda m, name=name: getattr(m, name)(), _SHAPE)
        for name in (
            *("ELU", "CELU", "SELU", "GELU", "SiLU", "Mish", "Softplus", "LogSigmoid"),
            *("Softsign", "Tanhshrink", "GLU", "PReLU", "LeakyReLU"),
        )
    ],
    *[
        Layer(lambda m, name=name: getattr(m, name)(), _KINKED)
        for name in ("ReLU6", "Hardtanh", "Hardsigmoid", "Hardswish", "Hardshrink", "Softshrink")
    ],
    Layer(lambda m: m.ELU(0.5), _SHAPE),
    Layer(lambda m: m.CELU(2.0), _SHAPE),
    Layer(lambda m: m.GELU("tanh"), _SHAPE),
    Layer(lambda m: m.LeakyReLU(0.2), _SHAPE),
    Layer(lambda m: m.PReLU(4, init=0.1), ((2, 4, 3),)),
    Layer(lambda m: m.RReLU(), _SHAPE, random=True),
    Layer(lambda m: m.RReLU(0.2, 0.2), _SHAPE),
    Layer(lambda m: m.Hardtanh(-0.3, 0.2), _KINKED),
    Layer(lambda m: m.Hardshrink(0.2), _KINKED),
    Layer(lambda m: m.Softshrink(0.2), _KINKED),
    Layer(lambda m: m.Softplus(2.0, 1.0), _SHAPE, smooth=False),
    Layer(lambda m: m.Threshold(0.3, -7.0), _KINKED),
    Layer(lambda m: m.GLU(0), ((4, 3),)),
    Layer(lambda m: m.Softmin(1), _SHAPE),
    Layer(lambda m: m.Softmax2d(), ((2, 3, 2, 2),)),
    *[
        Layer(
            lambda m, name=name: getattr(m, name)(inplace=True),
            _KINKED,
            call=lambda module, x: module(x * 1),
        )
        for name in ("ReLU", "ReLU6", "Hardsigmoid", "Hardswish", "SiLU", "Mish", "SELU", "ELU")
    ],
]
