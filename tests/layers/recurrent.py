"""Rows: recurrent layers and cells."""

from __future__ import annotations

import importlib
from typing import Any

from layer_table import Layer

# Shapes of one batch: 3 sequences of 5 steps with 4 features; hidden size 6 throughout.
X, FIRST = (5, 3, 4), (3, 5, 4)
LENGTHS = [3, 5, 1]  # not sorted


def _pair(module: Any, x: Any, h: Any, c: Any) -> Any:
    return module(x, (h, c))


def _packed(module: Any, x: Any, *states: Any) -> Any:
    """The padded batch packed; the data of the packed result, and the last states."""
    utils = importlib.import_module(type(module).__module__.split(".")[0]).nn.utils.rnn
    packed = utils.pack_padded_sequence(x, LENGTHS, module.batch_first, enforce_sorted=False)
    hx = None if not states else states if len(states) > 1 else states[0]
    y, last = module(packed, hx)
    return y.data, last


def _rows(name: str, states: int) -> list[Layer]:
    """The options that `RNN`, `LSTM` and `GRU` share."""

    def make(**options: Any) -> Any:
        return lambda m: getattr(m, name)(4, 6, **options)

    def first(number: int, *batch: int) -> tuple[tuple[int, ...], ...]:
        return ((number, *batch, 6),) * states

    call: Any = _pair if states == 2 else lambda module, x, h: module(x, h)
    both = {"num_layers": 2, "bidirectional": True}
    return [
        Layer(make(), (X,)),
        Layer(make(), (X, *first(1, 3)), call),
        Layer(make(), ((1, 1, 4),)),
        Layer(make(), ((4, 9, 4), *first(1, 9)), call),  # enough for products step by step
        Layer(make(), ((2, 37, 4), *first(1, 37)), call),  # more than one piece
        Layer(make(), ((5, 4),)),
        Layer(make(batch_first=True), ((5, 4), *first(1)), call),
        Layer(make(bias=False), (X, *first(1, 3)), call),
        Layer(make(batch_first=True), (FIRST, *first(1, 3)), call),
        Layer(make(bidirectional=True), (X, *first(2, 3)), call),
        Layer(make(**both), (X, *first(4, 3)), call),
        Layer(make(**both, batch_first=True, bias=False), (FIRST,)),
        Layer(make(num_layers=3, dropout=0.4), (X, *first(3, 3)), call, random=True),
        Layer(make(), (X,), _packed),
        Layer(make(batch_first=True), (FIRST, *first(1, 3)), _packed),
        Layer(make(**both), (X, *first(4, 3)), _packed),
    ]


def _projected(**options: Any) -> Any:
    return lambda m: m.LSTM(4, 6, proj_size=2, **options)


LAYERS = [
    *_rows("RNN", 1),
    *_rows("GRU", 1),
    *_rows("LSTM", 2),
    Layer(lambda m: m.RNN(4, 6, nonlinearity="relu"), (X, (1, 3, 6)), lambda m, x, h: m(x, h)),
    Layer(lambda m: m.RNN(4, 6, 2, "relu", bidirectional=True), (X,), _packed),
    Layer(_projected(), (X,)),
    Layer(_projected(), ((4, 9, 4), (1, 9, 2), (1, 9, 6)), _pair),
    Layer(_projected(num_layers=2, bidirectional=True), (X, (4, 3, 2), (4, 3, 6)), _pair),
    Layer(_projected(bidirectional=True, bias=False), (X, (2, 3, 2), (2, 3, 6)), _packed),
    Layer(lambda m: m.RNNCell(4, 6), ((3, 4), (3, 6))),
    Layer(lambda m: m.RNNCell(4, 6, nonlinearity="relu"), ((3, 4),)),
    Layer(lambda m: m.RNNCell(4, 6, bias=False), ((4,), (6,))),
    Layer(lambda m: m.LSTMCell(4, 6), ((9, 4), (9, 6), (9, 6)), _pair),
    Layer(lambda m: m.LSTMCell(4, 6, bias=False), ((4,),)),
    Layer(lambda m: m.GRUCell(4, 6), ((3, 4), (3, 6))),
    Layer(lambda m: m.GRUCell(4, 6, bias=False), ((4,),)),
]
