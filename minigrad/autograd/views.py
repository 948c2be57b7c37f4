"""Views of memory that is changed in place, and how the graph follows.

An in-place operation on a view changes its base too. The base's new history is then "the old base,
with the region of the view replaced" (``CopySlices``), and every view's history is "this region of
the base" (``AsStrided``), made anew when the view is used the next time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import array as arrays
from ..kernels import Array, check, lib, own, pointers
from ..tensor import Tensor
from .engine import Node, Operation, edge_of, note_view

Geometry = tuple[Sequence[int], Sequence[int], int]  # shape, strides, offset


def geometry_of(array: Array) -> Geometry:
    return arrays.shape_of(array), arrays.strides_of(array), array.offset


def refresh(view: Tensor) -> None:
    """After an in-place change of the memory, a view's history is that of its base."""
    base, stamp = view._view  # type: ignore[misc]
    if base._node is None or lib.mg_stamp(base._array) <= stamp:
        return
    _continue_from(base, view)


def _continue_from(base: Tensor, view: Tensor) -> None:
    """Makes the view's history a region of the base."""
    fresh = AsStrided(geometry_of(view._array), geometry_of(base._array))
    fresh.record([edge_of(base)])
    view._node = fresh
    view._requires_grad = True
    note_view(view, base)


def check_in_place(target: Tensor) -> None:
    """Refuses an in-place change that autograd could not follow."""
    base, what = target, "a leaf Variable"
    if target._view is not None:
        base, what = target._view[0], "a view of a leaf Variable"
    if base._node is None and base._requires_grad:
        raise RuntimeError(
            f"{what} that requires grad is being used in an in-place operation. Make the change "
            "within minigrad.no_grad(), or on a copy."
        )


def rebase(target: Tensor, node: Node) -> None:
    """``target`` was overwritten by the operation ``node``: now its history, and its base's."""
    target._requires_grad = True
    target._node = node
    if target._view is None:
        return
    base = target._view[0]
    merged = CopySlices(geometry_of(target._array), geometry_of(base._array))
    merged.record((base._node, node))
    base._requires_grad = True
    base._node = merged
    _continue_from(base, target)


class Alias(Operation):
    """y = x, as another tensor on the same memory."""

    __slots__ = ()
    view = True

    def forward(self, x: Array) -> Array:
        return own(lib.mg_alias(x))

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad


class AsStrided(Operation):
    """y = the region of x's memory with the given geometry;  dx = dy added back there."""

    __slots__ = ("geometry", "base")
    view = True

    def __init__(self, geometry: Geometry, base: Geometry) -> None:
        self.geometry, self.base = geometry, base

    def forward(self, x: Array) -> Array:
        return arrays.as_strided(x, *self.geometry)

    def grad_x(self, grad: Tensor) -> Tensor:
        return AsStridedBackward(self.geometry, self.base).apply(grad)


class AsStridedBackward(Operation):
    """dx = zeros of the base's geometry with dy added at the region; linear, its derivative is the
    region of its gradient."""

    __slots__ = ("geometry", "base")

    def __init__(self, geometry: Geometry, base: Geometry) -> None:
        self.geometry, self.base = geometry, base

    def forward(self, grad: Array) -> Array:
        memory = _zeros(grad.dtype, max(_reach(self.base), _reach(self.geometry)))
        if grad.size:
            values = own(lib.mg_reshape(grad, 1, [-1]))
            positions = _positions(self.geometry)  # elements of the region may overlap: add each
            check(lib.mg_index_put(memory, 1, pointers([positions]), values, True))
        return arrays.as_strided(memory, *self.base)

    def grad_grad(self, grad_grad: Tensor) -> Tensor:
        return region(grad_grad, self.geometry, self.base)


class LayOut(Operation):
    """A copy of x in memory of the given geometry."""

    __slots__ = ("geometry",)

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry

    def forward(self, x: Array) -> Array:
        out = arrays.as_strided(_zeros(x.dtype, _reach(self.geometry)), *self.geometry)
        check(lib.mg_copy(out, x))
        return out

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad


class ZeroRegion(Operation):
    """A copy of x, laid out as the base, with zeros in the region; its derivative is the same."""

    __slots__ = ("geometry", "base")

    def __init__(self, geometry: Geometry, base: Geometry) -> None:
        self.geometry, self.base = geometry, base

    def forward(self, x: Array) -> Array:
        out = LayOut(self.base).forward(x)
        check(lib.mg_copy(arrays.as_strided(out, *self.geometry), own(lib.mg_scalar_float(0.0))))
        return out

    def grad_x(self, grad: Tensor) -> Tensor:
        return ZeroRegion(self.geometry, self.base).apply(grad)


class CopySlices(Operation):
    """The base after an in-place change of a view: in the view's region the new values, elsewhere
    the old.  d old = dy with zeros in the region;  d new = dy in the region."""

    __slots__ = ("geometry", "base")

    def __init__(self, geometry: Geometry, base: Geometry) -> None:
        self.geometry, self.base = geometry, base

    def grad_old(self, grad: Tensor) -> Tensor:
        return ZeroRegion(self.geometry, self.base).apply(grad)

    def grad_new(self, grad: Tensor) -> Tensor:
        return region(grad, self.geometry, self.base)


def region(grad: Tensor, geometry: Geometry, base: Geometry) -> Tensor:
    """The region of a gradient that has the base's shape, whatever its own layout."""
    return AsStrided(geometry, base).apply(LayOut(base).apply(grad))


def _zeros(code: int, count: int) -> Array:
    return own(lib.mg_full(code, 1, [count], own(lib.mg_scalar_float(0.0))))


def _reach(geometry: Geometry) -> int:
    """One past the last element of memory that the geometry touches."""
    shape, strides, offset = geometry
    if 0 in shape:
        return offset
    return offset + 1 + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))


def _positions(geometry: Geometry) -> Array:
    """Where in memory each element of the region lies, in order, as an int64 array."""
    shape, strides, offset = geometry
    positions: Any = np.full(tuple(shape), offset, np.int64)
    for d, (size, step) in enumerate(zip(shape, strides, strict=True)):
        positions += (np.arange(size) * step).reshape([-1] + [1] * (len(shape) - d - 1))
    return arrays.share_numpy(positions.reshape(-1))
