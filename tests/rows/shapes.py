"""Rows: shapes and views, and what joins or cuts tensors."""

from __future__ import annotations

import numpy as np
from op_table import ALL, FLOATS, Real, Row


def _shapes(*shapes):
    return [(Real(shape),) for shape in shapes]


def _view(name, call, samples, reference, also=()):
    return Row(name, call, samples, reference, ALL, view=True, also=also)


_matrix = _shapes((3, 4), (0, 2), (5, 1))
_cube = _shapes((2, 3, 4), (2, 0, 3), (1, 5, 2))

_VIEWS = [
    _view(
        "view",
        lambda m, x: x.view(2, -1),
        _shapes((3, 4), (2, 3, 1), (2,)),
        lambda x: x.reshape(2, -1),
        also=(lambda m, x: x.view((2, -1)),),
    ),
    _view("view 0-d", lambda m, x: x.view(()), _shapes((1, 1), (1,)), lambda x: x.reshape(())),
    _view(
        "view_as",
        lambda m, x: x.view_as(m.zeros(4, 3)),
        _shapes((3, 4), (2, 6)),
        lambda x: x.reshape(4, 3),
    ),
    _view(
        "reshape",
        lambda m, x: x.reshape(-1, 2),
        _shapes((3, 4), (2, 3, 2), (6,)),
        lambda x: x.reshape(-1, 2),
        also=(lambda m, x: m.reshape(x, (-1, 2)),),
    ),
    _view(
        "reshape to 0-d and back",
        lambda m, x: x.reshape(()).reshape(1, 1, 1),
        _shapes((1,)),
        lambda x: x.reshape(1, 1, 1),
    ),
    _view(
        "reshape empty",
        lambda m, x: x.reshape(3, 0, 2),
        _shapes((0, 2), (2, 0, 5)),
        lambda x: x.reshape(3, 0, 2),
    ),
    _view(
        "reshape_as",
        lambda m, x: x.reshape_as(m.zeros(4, 3)),
        _shapes(
            (3, 4),
        ),
        lambda x: x.reshape(4, 3),
    ),
    Row(
        "reshape of a transpose",
        lambda m, x: x.t().reshape(-1),
        _matrix,
        lambda x: x.T.reshape(-1).copy(),
        ALL,
    ),
    _view(
        "flatten",
        lambda m, x: x.flatten(1),
        _cube,
        lambda x: x.reshape(x.shape[0], x[0].size),
        also=(lambda m, x: m.flatten(x, 1), lambda m, x: x.flatten(start_dim=1, end_dim=-1)),
    ),
    _view(
        "flatten all", lambda m, x: x.flatten(), _shapes((2, 3), (), (4,)), lambda x: x.reshape(-1)
    ),
    _view(
        "unflatten",
        lambda m, x: x.unflatten(1, (2, -1)),
        _shapes((3, 4), (2, 6, 2)),
        lambda x: x.reshape(x.shape[0], 2, -1, *x.shape[2:]),
    ),
    _view(
        "transpose",
        lambda m, x: x.transpose(0, -1),
        [*_matrix, *_cube],
        lambda x: x.swapaxes(0, -1),
        also=(lambda m, x: m.transpose(x, 0, -1),),
    ),
    _view(
        "t",
        lambda m, x: x.t(),
        [*_matrix, *_shapes((3,), ())],
        np.transpose,
        also=(lambda m, x: m.t(x),),
    ),
    _view("T", lambda m, x: x.T, _matrix, np.transpose),
    _view("mT", lambda m, x: x.mT, _cube, lambda x: x.swapaxes(1, 2)),
    _view(
        "permute",
        lambda m, x: x.permute(2, 0, 1),
        _cube,
        lambda x: x.transpose(2, 0, 1),
        also=(lambda m, x: x.permute((2, 0, 1)), lambda m, x: m.permute(x, (2, 0, 1))),
    ),
    _view(
        "permute negative", lambda m, x: x.permute(-1, 0, -2), _cube, lambda x: x.transpose(2, 0, 1)
    ),
    _view(
        "movedim",
        lambda m, x: m.movedim(x, 0, -1),
        _cube,
        lambda x: np.moveaxis(x, 0, -1),
        also=(lambda m, x: x.movedim(0, -1),),
    ),
    _view(
        "movedim two",
        lambda m, x: x.movedim((0, 1), (2, 0)),
        _cube,
        lambda x: np.moveaxis(x, (0, 1), (2, 0)),
    ),
    _view("squeeze", lambda m, x: x.squeeze(), _shapes((1, 3, 1), (2, 3), (1, 1)), np.squeeze),
    _view(
        "squeeze dim",
        lambda m, x: x.squeeze(1),
        _shapes((2, 1, 3), (2, 3), (0, 1)),
        lambda x: x.squeeze(1) if x.shape[1] == 1 else x,
    ),
    _view(
        "squeeze dims",
        lambda m, x: x.squeeze((0, -1)),
        _shapes((1, 3, 1), (1, 3, 2)),
        lambda x: x.reshape([n for d, n in enumerate(x.shape) if n != 1 or d == 1]),
    ),
    _view(
        "unsqueeze",
        lambda m, x: x.unsqueeze(1),
        _shapes((3, 4), (3,), (0, 2)),
        lambda x: np.expand_dims(x, 1),
        also=(lambda m, x: m.unsqueeze(x, 1),),
    ),
    _view(
        "unsqueeze last",
        lambda m, x: x.unsqueeze(-1),
        _shapes((3, 4), ()),
        lambda x: np.expand_dims(x, -1),
    ),
    _view(
        "expand",
        lambda m, x: x.expand(2, 3, 4),
        _shapes((3, 1), (1, 3, 4), (4,), ()),
        lambda x: np.broadcast_to(x, (2, 3, 4)),
        also=(lambda m, x: x.expand((2, 3, 4)),),
    ),
    _view(
        "expand -1",
        lambda m, x: x.expand(2, -1, 3),
        _shapes((4, 1), (1, 0, 3)),
        lambda x: np.broadcast_to(x, (2, x.shape[-2], 3)),
    ),
    _view(
        "expand_as",
        lambda m, x: x.expand_as(m.zeros(2, 3)),
        _shapes((3,), (2, 1)),
        lambda x: np.broadcast_to(x, (2, 3)),
    ),
    _view(
        "broadcast_to",
        lambda m, x: m.broadcast_to(x, (2, 3)),
        _shapes((3,), (2, 1), ()),
        lambda x: np.broadcast_to(x, (2, 3)),
        also=(lambda m, x: x.broadcast_to((2, 3)),),
    ),
    _view(
        "narrow",
        lambda m, x: x.narrow(1, 1, 2),
        _shapes((3, 4), (2, 3, 2), (0, 5)),
        lambda x: x[:, 1:3],
        also=(lambda m, x: m.narrow(x, 1, 1, 2),),
    ),
    _view("narrow empty", lambda m, x: x.narrow(0, 3, 0), _shapes((3, 2)), lambda x: x[3:3]),
    _view("select", lambda m, x: x.select(0, -1), _shapes((3, 4), (2,)), lambda x: x[-1]),
    _view(
        "chunk",
        lambda m, x: x.chunk(3),
        _shapes((7, 2), (2, 3), (9,)),
        lambda x: [x[i : i + -(-len(x) // 3)] for i in range(0, len(x), -(-len(x) // 3))],
        also=(lambda m, x: m.chunk(x, 3, dim=0),),
    ),
    _view(
        "split",
        lambda m, x: x.split(2, dim=1),
        _shapes((3, 5), (2, 4)),
        lambda x: [x[:, i : i + 2] for i in range(0, x.shape[1], 2)],
        also=(lambda m, x: m.split(x, 2, dim=1),),
    ),
    _view("split sizes", lambda m, x: x.split([1, 3]), _shapes((4, 2)), lambda x: [x[:1], x[1:]]),
    _view(
        "unbind",
        lambda m, x: x.unbind(1),
        _shapes((2, 3), (3, 2, 2)),
        lambda x: [x[:, i] for i in range(x.shape[1])],
        also=(lambda m, x: m.unbind(x, 1),),
    ),
    _view("iteration", lambda m, x: tuple(x), _shapes((3, 2), (2,)), list),
    Row(
        "detach",
        lambda m, x: x.detach(),
        _shapes((2, 3)),
        lambda x: x,
        ALL,
        differentiable=False,
        view=True,
    ),
]

_ROW_SHAPES = [
    (Real((2, 3)), Real((1, 3)), Real((4, 3))),
    (Real((2, 3)), Real((0, 3)), Real((1, 3))),
    (Real((3,)), Real((2,)), Real((1,))),
]

_JOINS = [
    Row(
        "cat",
        lambda m, *xs: m.cat(xs),
        _ROW_SHAPES,
        lambda *xs: np.concatenate(xs),
        ALL,
        also=(lambda m, *xs: m.cat(list(xs), dim=0),),
    ),
    Row(
        "cat dim",
        lambda m, *xs: m.cat(xs, dim=-1),
        [(Real((2, 3)), Real((2, 1))), (Real((1, 2, 2)), Real((1, 2, 0)))],
        lambda *xs: np.concatenate(xs, -1),
        ALL,
    ),
    Row(
        "stack",
        lambda m, *xs: m.stack(xs),
        [(Real((2, 3)), Real((2, 3))), (Real(()), Real(()))],
        lambda *xs: np.stack(xs),
        ALL,
    ),
    Row(
        "stack dim",
        lambda m, *xs: m.stack(xs, dim=-1),
        [(Real((2, 3)),) * 3, (Real((0,)),) * 2],
        lambda *xs: np.stack(xs, -1),
        ALL,
    ),
    Row(
        "flip",
        lambda m, x: m.flip(x, (0, 1)),
        [*_matrix, *_cube],
        lambda x: np.flip(x, (0, 1)),
        ALL,
        also=(lambda m, x: x.flip(0, 1),),
    ),
    Row(
        "roll",
        lambda m, x: m.roll(x, (1, -2), (0, 1)),
        _matrix,
        lambda x: np.roll(x, (1, -2), (0, 1)),
        ALL,
    ),
    Row(
        "tril",
        lambda m, x: m.tril(x, 1),
        [*_matrix, *_cube],
        lambda x: np.tril(x, 1),
        ALL,
        also=(lambda m, x: x.tril(1),),
    ),
    Row("triu", lambda m, x: m.triu(x, -1), [*_matrix, *_cube], lambda x: np.triu(x, -1), ALL),
    Row(
        "sum_to_size",
        lambda m, x: x.sum_to_size(3, 1),
        _shapes((3, 4), (2, 3, 2)),
        lambda x: x.reshape(-1, 3, x.shape[-1]).sum((0, 2)).reshape(3, 1),
        FLOATS,
    ),
    Row(
        "repeat",
        lambda m, x: x.repeat(2, 3),
        _shapes((2, 2), (3,)),
        lambda x: np.tile(x, (2, 3)),
        ALL,
    ),
]

ROWS = [*_VIEWS, *_JOINS]
