"""Indexing: slices and integers give views, tensors of integers or booleans gather.

``x[index]`` is taken in two steps. The basic part (integers, slices, None, ...) is a strided view;
the advanced part, one index tensor for each of some dimensions, gathers from that view.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import array as arrays
from ..autograd.engine import Operation
from ..autograd.views import Geometry, geometry_of
from ..kernels import Array, check, lib, own, pointers
from ..tensor import Tensor, normalized, operand, wrap
from .elementwise import check_tensor, into

# ---- the basic part ----


def sliced(index: Sequence[Any], geometry: Geometry) -> Geometry:
    """The geometry of ``x[index]`` for integers, slices and None (no Ellipsis), one for each
    dimension at most."""
    shape, strides, offset = geometry
    new_shape: list[int] = []
    new_strides: list[int] = []
    d = 0
    for each in index:
        if each is None:
            new_shape.append(1)
            new_strides.append(0 if d >= len(strides) else strides[d])
            continue
        size, stride = shape[d], strides[d]
        if isinstance(each, slice):
            start, stop, step = each.indices(size)
            if step <= 0:
                raise ValueError("step must be greater than zero")
            new_shape.append(len(range(start, stop, step)))
            new_strides.append(stride * step)
            offset += start * stride if new_shape[-1] else 0
        else:
            if not -size <= each < size:
                raise IndexError(
                    f"index {each} is out of bounds for dimension {d} with size {size}"
                )
            offset += (each + size if each < 0 else each) * stride
        d += 1
    return [*new_shape, *shape[d:]], [*new_strides, *strides[d:]], offset


def contiguous_geometry(shape: Sequence[int]) -> Geometry:
    strides = [1] * len(shape)
    for d in range(len(shape) - 2, -1, -1):
        strides[d] = strides[d + 1] * builtins.max(shape[d + 1], 1)
    return shape, strides, 0


class Slice(Operation):
    """y = x[index] for a basic index, a view;  dx = zeros with dy at the index"""

    __slots__ = ("index",)
    view = True
    keeps_shapes = True

    def __init__(self, index: Sequence[Any]) -> None:
        self.index = index

    def forward(self, x: Array) -> Array:
        return arrays.as_strided(x, *sliced(self.index, geometry_of(x)))

    def grad_x(self, grad: Tensor) -> Tensor:
        return SliceBackward(self.index, self.operand_shapes[0]).apply(grad)


class SliceBackward(Operation):
    """y = zeros with g at the index;  dg = dy[index]"""

    __slots__ = ("index", "shape")

    def __init__(self, index: Sequence[Any], shape: Sequence[int]) -> None:
        self.index, self.shape = index, shape

    def forward(self, g: Array) -> Array:
        out = own(lib.mg_full(g.dtype, len(self.shape), self.shape, own(lib.mg_scalar_float(0.0))))
        place = arrays.as_strided(out, *sliced(self.index, contiguous_geometry(self.shape)))
        check(lib.mg_copy(place, g))
        return out

    def grad_g(self, grad: Tensor) -> Tensor:
        return Slice(self.index).apply(grad)


# ---- the advanced part ----


class Index(Operation):
    """y = x[i, j, ...], index tensors for some dimensions;  dx = 0 with dy added at the indices"""

    __slots__ = ("indices",)
    keeps_shapes = True

    def __init__(self, indices: Sequence[Array | None]) -> None:
        self.indices = indices

    def forward(self, x: Array) -> Array:
        return own(lib.mg_index(x, len(self.indices), pointers(self.indices)))

    def grad_x(self, grad: Tensor) -> Tensor:
        return IndexBackward(self.indices, self.operand_shapes[0]).apply(grad)


class IndexBackward(Operation):
    """y = zeros with g added at the indices;  dg = dy[indices]"""

    __slots__ = ("indices", "shape")

    def __init__(self, indices: Sequence[Array | None], shape: Sequence[int]) -> None:
        self.indices, self.shape = indices, shape

    def forward(self, g: Array) -> Array:
        out = own(lib.mg_full(g.dtype, len(self.shape), self.shape, own(lib.mg_scalar_float(0.0))))
        check(lib.mg_index_put(out, len(self.indices), pointers(self.indices), g, True))
        return out

    def grad_g(self, grad: Tensor) -> Tensor:
        return Index(self.indices).apply(grad)


class IndexPut(Operation):
    """In place: x[indices] = v, or += v;  dx = dy, with zeros at the indices where v replaced,
    dv = dy[indices]"""

    __slots__ = ("indices", "accumulate")
    adapts = True

    def __init__(self, indices: Sequence[Array | None], accumulate: bool) -> None:
        self.indices, self.accumulate = indices, accumulate

    def forward(self, x: Array, v: Array, out: Any = None) -> Array:
        target = x if out is not None else own(lib.mg_cast(x, x.dtype))
        if v.dtype != x.dtype:
            v = own(lib.mg_cast(v, x.dtype))
        check(
            lib.mg_index_put(target, len(self.indices), pointers(self.indices), v, self.accumulate)
        )
        return target

    def adapt(self, inputs: tuple[Tensor, ...], output: Array) -> None:
        self.shapes = [(each.shape, each.dtype) for each in inputs]

    def grad_x(self, grad: Tensor) -> Tensor:
        if self.accumulate:
            return grad
        return IndexPut(self.indices, False).apply(grad, grad.new_zeros(()))

    def grad_v(self, grad: Tensor) -> Tensor:
        return Index(self.indices).apply(grad)


def _expanded(index: Any, ndim: int) -> list[Any]:
    """The index as a list without Ellipsis; booleans masks count for their dimensions."""
    items = list(index) if isinstance(index, tuple) else [index]
    items = [_as_item(each) for each in items]
    used = builtins.sum(_width(each) for each in items)
    if used > ndim:
        raise IndexError(f"too many indices for tensor of dimension {ndim}")
    dots = [i for i, each in enumerate(items) if each is Ellipsis]
    if len(dots) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if dots:
        fill: list[Any] = [slice(None)] * (ndim - used)
        items[dots[0] : dots[0] + 1] = fill
    return items


def _as_item(each: Any) -> Any:
    """An element of an index as int, bool, slice, None, Ellipsis or Tensor."""
    if each is None or each is Ellipsis or isinstance(each, (bool, int)):
        return each
    if isinstance(each, slice):
        parts = (each.start, each.stop, each.step)
        return slice(*[None if part is None else part.__index__() for part in parts])
    if isinstance(each, np.generic):
        return each.item()
    if isinstance(each, (list, tuple, range, np.ndarray)):
        each = wrap(arrays.from_data(list(each) if isinstance(each, range) else each, None))
        if each.numel() == 0 and each.is_floating_point():
            each = each.to(arrays.BY_CODE[lib.MG_INT64])
    if isinstance(each, Tensor):
        if each.is_floating_point():
            raise IndexError(
                "tensors used as indices must be long, int, byte or bool tensors, but got "
                f"{each.dtype}"
            )
        if each.ndim == 0 and each._array.dtype != lib.MG_BOOL and not lib.mg_is_recording():
            return each.item()
        return each
    wrong = IndexError if isinstance(each, float) else TypeError
    raise wrong(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid "
        f"indices (got {type(each).__name__})"
    )


def _is_mask(each: Any) -> bool:
    return isinstance(each, bool) or (
        isinstance(each, Tensor) and each._array.dtype in (lib.MG_BOOL, lib.MG_UINT8)
    )


def _width(each: Any) -> int:
    """How many dimensions of the operand an element of an index takes."""
    if each is None or each is Ellipsis or isinstance(each, bool):
        return 0
    return each.ndim if isinstance(each, Tensor) and _is_mask(each) else 1


def parse(index: Any, shape: Sequence[int]) -> tuple[list[Any], list[Array | None]]:
    """The basic index, and the advanced one for the dimensions of what the basic one gives."""
    basic: list[Any] = []
    advanced: list[Array | None] = []  # one for each dimension that the basic index gives
    d = 0
    for each in _expanded(index, len(shape)):
        if isinstance(each, bool):
            basic.append(None)
            advanced.append(_mask_indices(wrap(arrays.from_data([each], None)))[0])
        elif isinstance(each, Tensor) and _is_mask(each):
            for k in range(each.ndim):
                if each.shape[k] != shape[d + k]:
                    raise IndexError(
                        f"The shape of the mask {list(each.shape)} at index {k} does not match the "
                        f"shape of the indexed tensor {list(shape)} at index {d + k}"
                    )
            if each.ndim == 0:
                basic.append(None)
                advanced.append(_mask_indices(each.reshape(1))[0])
            basic += [slice(None)] * each.ndim
            advanced += _mask_indices(each) if each.ndim else []
            d += each.ndim
        elif isinstance(each, Tensor):
            basic.append(slice(None))
            advanced.append(own(lib.mg_cast(each._array, lib.MG_INT64)))
            d += 1
        else:
            basic.append(each)
            if each is None or isinstance(each, slice):
                advanced.append(None)
            d += each is not None
    if all(each is None for each in advanced):
        advanced = []
    return basic, advanced


def _mask_indices(mask: Tensor) -> list[Array]:
    found = own(lib.mg_nonzero(mask._array))
    count = found.shape[0]
    width = found.shape[1]
    return [arrays.as_strided(found, [count], [width], k) for k in range(width)]


def getitem(self: Tensor, index: Any) -> Tensor:
    """``self[index]``: a view for integers, slices, None and Ellipsis, else a copy."""
    if type(index) is int:
        if self._array.ndim == 0:
            raise IndexError(
                "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or "
                "`tensor.item<T>()` in C++ to convert a 0-dim tensor to a number"
            )
        return Slice((index,)).apply(self)
    basic, advanced = parse(index, self.shape)
    result = self
    if not advanced or any(each != slice(None) for each in basic):
        result = Slice(basic).apply(self)
    return Index(advanced).apply(result) if advanced else result


def setitem(self: Tensor, index: Any, value: Any) -> None:
    """``self[index] = value``, broadcast and converted; gradients flow to both."""
    value = operand(value, "__setitem__")
    if type(index) is Tensor and index.ndim and _is_mask(index) and value.ndim == 0:
        # One value for a mask needs no list of indices, which a plan could not replay.
        mask = index.bool()
        while mask.ndim < self.ndim:
            mask = mask.unsqueeze(-1)
        if mask.shape == self.shape[: index.ndim] + (1,) * (self.ndim - index.ndim):
            self.masked_fill_(mask, value)
            return
    basic, advanced = parse(index, self.shape)
    target = self
    if any(each != slice(None) for each in basic):
        target = Slice(basic).apply(self)
    if not advanced:
        while value.ndim > target.ndim and value.shape[0] == 1:
            value = value.squeeze(0)
        target.copy_(value)
    else:
        IndexPut(advanced, False).apply_in_place(target, value)


def index_put_(
    self: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False
) -> Tensor:
    """In place ``self[indices] = values``, or ``+=`` for repeated indices with ``accumulate``."""
    full = [slice(None) if each is None else each for each in indices]
    _, advanced = parse(tuple(full), self.shape)
    return IndexPut(advanced, accumulate).apply_in_place(self, operand(values, "index_put_"))


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The indices of the elements that are not zero: a tensor (matches, ndim), or a tuple of one
    vector for each dimension."""
    found = wrap(own(lib.mg_nonzero(input._array)))
    if not as_tuple:
        return found
    if not input.ndim:
        return (found[:, 0:0].sum(1),)
    return tuple(found[:, k] for k in range(found.shape[1]))


def gather_along(x: Array, dim: int, index: Array) -> Array:
    """x[:, ..., index, ...] with a vector of indices for one dimension."""
    indices: list[Array | None] = [None] * dim + [index]
    return own(lib.mg_index(x, len(indices), pointers(indices)))


def _index_vector(index: Any, op: str) -> Array:
    check_tensor(index, op, "index")
    if index.is_floating_point() or index._array.dtype == lib.MG_BOOL:
        raise RuntimeError(f"{op}(): Expected dtype int32 or int64 for index, got {index.dtype}")
    if index.ndim > 1:
        raise IndexError(f"{op}(): Index is supposed to be a vector, but got {index.ndim} dims")
    return own(lib.mg_cast(index.reshape(-1)._array, lib.MG_INT64))


def index_select(input: Tensor, dim: int, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The slices at the given indices along a dimension."""
    vector = _index_vector(index, "index_select")
    if input.ndim == 0:
        return into(out, index_select(input.reshape(1), 0, index).reshape(()))
    dim = normalized(dim, input.ndim, "index_select")
    return into(out, Index([None] * dim + [vector]).apply(input))


def _along(index: Tensor, dim: int) -> list[Array]:
    """Index tensors for every dimension that stand for gather's: the given one for ``dim``, and
    each other dimension's own position."""
    shape = index.shape
    result = []
    for d, size in enumerate(shape):
        if d == dim:
            result.append(own(lib.mg_cast(index._array, lib.MG_INT64)))
        else:
            zero, one = own(lib.mg_scalar_int(0)), own(lib.mg_scalar_int(1))
            steps = own(lib.mg_arange(lib.MG_INT64, zero, one, size))
            view = [1] * len(shape)
            view[d] = size
            result.append(own(lib.mg_view(steps, len(view), view)))
    return result


def _check_index(input: Tensor, dim: int, index: Tensor, op: str) -> int:
    check_tensor(index, op, "index")
    if index._array.dtype not in (lib.MG_INT64, lib.MG_INT32):
        raise RuntimeError(f"{op}(): Expected dtype int64 for index")
    dim = normalized(dim, input.ndim, op)
    if (index.ndim or 1) != (input.ndim or 1):
        raise RuntimeError(
            f"Index tensor must have the same number of dimensions as input tensor ({op})"
        )
    return dim


def gather(input: Tensor, dim: int, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """y[i][j] = x[index[i][j]][j] for dim 0, and likewise for the others."""
    dim = _check_index(input, dim, index, "gather")
    if input.ndim == 0:
        return into(out, input.reshape(1)[index.reshape(1)].reshape(index.shape))
    for d, size in enumerate(index.shape):
        if d != dim and size > input.shape[d]:
            raise RuntimeError(
                f"Size does not match at dimension {d} expected index {list(index.shape)} to be no "
                f"larger than self {list(input.shape)} apart from dimension {dim}"
            )
    return into(out, Index(_along(index, dim)).apply(input))


def scatter_add_(self: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """In place x[index[i][j]][j] += src[i][j] for dim 0, and likewise for the others."""
    dim = _check_index(self, dim, index, "scatter_add_")
    part = src[tuple(slice(0, size) for size in index.shape)]
    return IndexPut(_along(index, dim), True).apply_in_place(self, part)


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """``scatter_add_`` on a copy."""
    return scatter_add_(input.clone(), dim, index, src)


def scatter_(
    self: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None
) -> Tensor:
    """In place x[index[i][j]][j] = src[i][j] (or a number) for dim 0; the others likewise."""
    dim = _check_index(self, dim, index, "scatter_")
    source = value if src is None else src
    if isinstance(source, Tensor) and source.ndim:
        source = source[tuple(slice(0, size) for size in index.shape)]
    return IndexPut(_along(index, dim), False).apply_in_place(self, operand(source, "scatter_"))


def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None
) -> Tensor:
    """``scatter_`` on a copy."""
    return scatter_(input.clone(), dim, index, src, value=value)


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """``gather`` with broadcasting; over the flattened tensor without ``dim``."""
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1))
    dim = normalized(dim, input.ndim)
    shape = list(input.shape)
    shape[dim] = indices.shape[dim]
    return gather(input, dim, indices.expand(shape))


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask holds, as a vector."""
    return input[mask.expand(input.shape) if mask.shape != input.shape else mask]


def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """In place ``self = src``, broadcast and converted."""
    from .elementwise import Copy

    return Copy().apply_in_place(self, operand(src, "copy_"))
