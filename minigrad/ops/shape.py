"""Operations on the shape. Views share the memory of their operand; ``cat`` and ``stack`` copy."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any

from .. import array as arrays
from ..autograd.engine import MultipleOutputs, Operation
from ..autograd.views import Alias, AsStrided, geometry_of
from ..kernels import Array, check, lib, own, pointers
from ..tensor import Tensor, normalized, wrap
from .elementwise import Cast, check_tensor, into, to_dtype


def as_shape(size: Sequence[Any]) -> list[int]:
    """A shape given as ``f(2, 3)`` or ``f((2, 3))``, as a list of ints."""
    if len(size) == 1 and not isinstance(size[0], int):
        given = size[0]
        size = given if isinstance(given, (tuple, list)) else [given]
    return [each if type(each) is int else each.__index__() for each in size]


class View(Operation):
    """y = x under another shape, on the same memory;  dx = dy under x's shape"""

    __slots__ = ("shape",)
    view = True
    keeps_shapes = True

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        return own(lib.mg_view(x, len(self.shape), self.shape))

    def grad_x(self, grad: Tensor) -> Tensor:
        return reshape(grad, self.operand_shapes[0])


class ReshapeCopy(View):
    """y = x under another shape where strides need a copy;  dx = dy under x's shape"""

    __slots__ = ()
    view = False

    def forward(self, x: Array) -> Array:
        return own(lib.mg_reshape(x, len(self.shape), self.shape))


class Transpose(Operation):
    """y = x with two dimensions exchanged;  dx = dy with them exchanged"""

    __slots__ = ("dim0", "dim1")
    view = True

    def __init__(self, dim0: int, dim1: int) -> None:
        self.dim0 = dim0
        self.dim1 = dim1

    def forward(self, x: Array) -> Array:
        return own(lib.mg_transpose(x, self.dim0, self.dim1))

    def grad_x(self, grad: Tensor) -> Tensor:
        return Transpose(self.dim0, self.dim1).apply(grad)


class Permute(Operation):
    """y = x with its dimensions in another order;  dx = dy in the first order"""

    __slots__ = ("dims",)
    view = True

    def __init__(self, dims: Sequence[int]) -> None:
        self.dims = dims

    def forward(self, x: Array) -> Array:
        shape, strides, offset = geometry_of(x)
        return arrays.as_strided(
            x, [shape[d] for d in self.dims], [strides[d] for d in self.dims], offset
        )

    def grad_x(self, grad: Tensor) -> Tensor:
        inverse = [0] * len(self.dims)
        for place, d in enumerate(self.dims):
            inverse[d] = place
        return Permute(inverse).apply(grad)


class Expand(Operation):
    """y = x with dimensions of size 1 repeated;  dx = dy summed over them"""

    __slots__ = ("shape",)
    view = True
    keeps_shapes = True

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        return own(lib.mg_expand(x, len(self.shape), self.shape))

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad.sum_to_size(self.operand_shapes[0])


class Cat(Operation):
    """y = the tensors one behind the other along a dimension;  each gets its part of dy"""

    __slots__ = ("dim",)
    keeps_shapes = True

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, *parts: Array) -> Array:
        dim = self.dim
        shape = list(arrays.shape_of(parts[0]))
        shape[dim] = builtins.sum([part.shape[dim] for part in parts])
        handles = pointers(parts)
        if _can_join(len(parts), handles, dim):
            return _joined(handles, len(parts), shape, dim)
        kind = max([arrays.dtype_of(part) for part in parts], key=lambda each: each.code)
        out = arrays.empty(shape, kind)
        strides = arrays.strides_of(out)
        start = 0
        for part in parts:
            shape[dim] = part.shape[dim]
            if part.size:
                place = arrays.as_strided(out, shape, strides, start * strides[dim])
                check(lib.mg_copy(place, part))
            start += shape[dim]
        return out

    def backward(self, grad: Tensor) -> list[Tensor | None]:
        results: list[Tensor | None] = []
        start = 0
        for index, shape in enumerate(self.operand_shapes):
            size = shape[self.dim]
            results.append(narrow(grad, self.dim, start, size) if self.needs(index) else None)
            start += size
        return results

    def keep(self, inputs: Any, output: Array, *details: Any) -> None:
        super().keep(inputs, output, *details)
        self.shapes = [(each.shape, each.dtype) for each in inputs]


class Stack(Operation):
    """y = contiguous tensors of one shape and dtype along a new dimension;  each gets its slice of
    dy"""

    __slots__ = ("dim", "handles")

    def __init__(self, dim: int, handles: Any) -> None:
        self.dim = dim
        self.handles = handles  # of the operands, which forward is called with

    def forward(self, *parts: Array) -> Array:
        handles, dim, count = self.handles, self.dim, len(parts)
        self.handles = None
        shape = list(arrays.shape_of(parts[0]))
        return _joined(handles, count, [*shape[:dim], count, *shape[dim:]], dim)

    def backward(self, grad: Tensor) -> list[Tensor | None]:
        return [
            select(grad, self.dim, index) if self.needs(index) else None
            for index in range(len(self.edges))
        ]


_can_join = lib.mg_can_join


def _joined(handles: Any, count: int, shape: Sequence[int], dim: int) -> Array:
    """An array of that shape, whose rows before `dim` are those of all parts one after the other:
    one launch for any number of parts."""
    return own(lib.mg_join(count, handles, len(shape), shape, math.prod(shape[:dim])))


class Split(MultipleOutputs):
    """Views of x one behind the other along a dimension, of the given lengths, or with `drop` of
    length 1 and without that dimension;  dx = their dy, joined, zeros for those not used"""

    __slots__ = ("dim", "sizes", "drop", "like")
    view = True

    def __init__(self, dim: int, sizes: Sequence[int], drop: bool = False) -> None:
        self.dim, self.sizes, self.drop = dim, sizes, drop

    def name(self) -> str:
        return "UnbindBackward0" if self.drop else "SplitBackward0"

    def forward(self, x: Array) -> list[Array]:
        dim = self.dim
        shape, strides = list(arrays.shape_of(x)), list(arrays.strides_of(x))
        step, offset = strides[dim], x.offset
        if self.drop:
            del shape[dim], strides[dim]
        views = []
        for size in self.sizes:
            if not self.drop:
                shape[dim] = size
            views.append(arrays.as_strided(x, shape, strides, offset))
            offset += size * step
        self.like = (arrays.shape_of(x), x.dtype)
        return views

    def count(self, outputs: Sequence[Array]) -> int:
        return len(outputs)

    def backward(self, grads: Any) -> list[Tensor | None]:
        shape, kind = self.like
        parts = []
        for grad, size in zip(grads, self.sizes, strict=True):
            if grad is None:
                sizes = [*shape[: self.dim], size, *shape[self.dim + 1 :]]
                zero = own(lib.mg_scalar_float(0.0))
                grad = wrap(own(lib.mg_full(kind, len(sizes), sizes, zero)))
            elif self.drop:
                grad = unsqueeze(grad, self.dim)
            parts.append(grad)
        return [cat(parts, self.dim)]


class Flip(Operation):
    """y = x with the order along some dimensions reversed;  dx = dy reversed"""

    __slots__ = ("dims",)

    def __init__(self, dims: Sequence[int]) -> None:
        self.dims = dims

    def forward(self, x: Array) -> Array:
        from .index import gather_along

        for dim in self.dims:
            size = x.shape[dim]
            reverse = own(
                lib.mg_arange(
                    lib.MG_INT64, own(lib.mg_scalar_int(size - 1)), own(lib.mg_scalar_int(-1)), size
                )
            )
            x = gather_along(x, dim, reverse)
        return x if self.dims else own(lib.mg_cast(x, x.dtype))

    def grad_x(self, grad: Tensor) -> Tensor:
        return Flip(self.dims).apply(grad)


# ---- functions ----


def view(self: Tensor, *shape: Any) -> Tensor:
    """The same memory under another shape (one size may be -1), or another dtype of the same size
    is refused: use ``to``."""
    return View(as_shape(shape)).apply(self)


def _viewable(tensor: Tensor, shape: Sequence[int]) -> bool:
    handle = lib.mg_view(tensor._array, len(shape), shape)
    if handle:
        lib.mg_release(handle)
    return bool(handle)


def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The elements under another shape: a view where strides allow it, else a copy."""
    sizes = as_shape(shape)
    if arrays.is_contiguous(input._array) or _viewable(input, sizes):
        return View(sizes).apply(input)
    return ReshapeCopy(sizes).apply(input)


def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """``reshape`` to the shape of another tensor."""
    return reshape(self, other.shape)


def view_as(self: Tensor, other: Tensor) -> Tensor:
    """``view`` with the shape of another tensor."""
    return view(self, other.shape)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The dimensions from ``start_dim`` to ``end_dim`` as one."""
    shape = input.shape
    if not shape:
        return reshape(input, 1)
    start, end = normalized(start_dim, len(shape)), normalized(end_dim, len(shape))
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if start == end:
        return input
    merged = math.prod(shape[start : end + 1])
    return reshape(input, [*shape[:start], merged, *shape[end + 1 :]])


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """One dimension as several; one of the sizes may be -1."""
    shape = input.shape
    dim = normalized(dim, len(shape))
    sizes = list(sizes)
    if not sizes:
        raise RuntimeError("unflatten: sizes must be non-empty")
    known = math.prod(size for size in sizes if size != -1)
    if -1 in sizes and known:
        sizes[sizes.index(-1)] = shape[dim] // known
    if math.prod(sizes) != shape[dim]:
        raise RuntimeError(
            f"unflatten: Provided sizes {sizes} don't multiply up to the size of dim {dim} "
            f"({shape[dim]}) in the input tensor"
        )
    return View([*shape[:dim], *sizes, *shape[dim + 1 :]]).apply(input)


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged."""
    ndim = input._array.ndim
    dim0, dim1 = normalized(dim0, ndim), normalized(dim1, ndim)
    return Transpose(dim0, dim1).apply(input) if ndim else Alias().apply(input)


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; vectors and scalars as they are."""
    ndim = input._array.ndim
    if ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {ndim}D")
    return Transpose(0, 1).apply(input) if ndim == 2 else Alias().apply(input)


def mT(self: Tensor) -> Tensor:  # noqa: N802  (torch's name)
    """The last two dimensions exchanged."""
    if self.ndim < 2:
        raise RuntimeError(
            "tensor.mT is only supported on matrices or batches of matrices. Got "
            f"{self.ndim}-D tensor."
        )
    return transpose(self, -2, -1)


def T(self: Tensor) -> Tensor:  # noqa: N802  (torch's name)
    """The dimensions in reversed order."""
    return Permute(list(range(self.ndim))[::-1]).apply(self)


def permute(input: Tensor, *dims: Any) -> Tensor:
    """The dimensions in the given order."""
    order = as_shape(dims)
    ndim = input.ndim
    if len(order) != ndim:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the "
            f"length of the desired ordering of dimensions i.e. input.dim() = {ndim} is not equal "
            f"to len(dims) = {len(order)}"
        )
    order = [normalized(d, ndim) for d in order]
    if len(set(order)) != ndim:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return Permute(order).apply(input)


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Dimensions moved to other places, the rest in their order."""
    ndim = input.ndim
    sources = [source] if isinstance(source, int) else list(source)
    targets = [destination] if isinstance(destination, int) else list(destination)
    if len(sources) != len(targets):
        raise RuntimeError(
            "movedim: Invalid source or destination dims: source "
            f"({sources} dims) should contain the same number of dims as destination ({targets} "
            "dims)"
        )
    sources = [normalized(d, ndim) for d in sources]
    targets = [normalized(d, ndim) for d in targets]
    if len(set(sources)) != len(sources) or len(set(targets)) != len(targets):
        raise RuntimeError("movedim: repeated dim in `source` or `destination`")
    order = [-1] * ndim
    for old, new in zip(sources, targets, strict=True):
        order[new] = old
    rest = iter(d for d in range(ndim) if d not in sources)
    return Permute([next(rest) if d < 0 else d for d in order]).apply(input)


def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Dimensions of size 1 removed: all, or the given ones."""
    shape = input.shape
    if dim is None:
        keep = [size for size in shape if size != 1]
    else:
        dims = [dim] if isinstance(dim, int) else dim
        chosen = {normalized(d, len(shape)) for d in dims}
        keep = [size for d, size in enumerate(shape) if size != 1 or d not in chosen]
    return View(keep).apply(input)


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A new dimension of size 1 at that place."""
    shape = input.shape
    dim = normalized(dim, len(shape) + 1)
    new = [*shape[:dim], 1, *shape[dim:]]
    return View(new).apply(input)


def expand(self: Tensor, *size: Any) -> Tensor:
    """Dimensions of size 1 repeated without a copy; -1 keeps a size."""
    return Expand(as_shape(size)).apply(self)


def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """``expand`` to the shape of another tensor."""
    return Expand(other.shape).apply(self)


def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """``expand`` as a function."""
    return Expand(as_shape([size])).apply(input)


def repeat(self: Tensor, *sizes: Any) -> Tensor:
    """A copy of the tensor, that often along each dimension."""
    times = as_shape(sizes)
    shape = self.shape
    extra = len(times) - len(shape)
    if extra < 0:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            "tensor"
        )
    sizes_before = [1] * extra + list(shape)
    spread, target = [], []
    for count, size in zip(times, sizes_before, strict=True):
        spread += [count, size]
        target.append(count * size)
    single = [each for size in sizes_before for each in (1, size)]
    return self.reshape(single).expand(spread).reshape(target).clone()


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """The elements from ``start``, ``length`` of them, along a dimension, as a view."""
    size = input.shape[normalized(dim, input.ndim, "narrow")]
    start = int(start)
    if not -size <= start <= size:
        raise IndexError(
            f"start out of range (expected to be in range of [{-size}, {size}], but got {start})"
        )
    start += size if start < 0 else 0
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if start + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    index = [slice(None)] * input.ndim
    index[dim] = slice(start, start + length)
    return input[tuple(index)]


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """One index of a dimension, which is removed, as a view."""
    if input.ndim == 0:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    dim = normalized(dim, input.ndim, "select")
    return input[(slice(None),) * dim + (int(index),)]


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along a dimension, which is removed."""
    dim = normalized(dim, input.ndim, "unbind")
    sizes = [1] * input.shape[dim]
    return Split(dim, sizes, drop=True).apply(input) if sizes else ()


def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views along a dimension, of the given length (the last may be shorter) or lengths."""
    dim = normalized(dim, tensor.ndim, "split")
    total = tensor.shape[dim]
    if isinstance(split_size_or_sections, int):
        size = split_size_or_sections
        if size < 0 or (size == 0 and total > 0):
            raise RuntimeError(
                f"split expects split_size be non-negative, but got split_size={size}"
            )
        sizes = [min(size, total - start) for start in range(0, total, size or 1)] or [0]
    else:
        sizes = list(split_size_or_sections)
        if builtins.sum(sizes) != total:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {total} (input tensor's "
                f"size at dimension {dim}), but got split_sizes={sizes}"
            )
        if builtins.min(sizes, default=0) < 0:
            raise RuntimeError(
                "split_with_sizes expects split_sizes have only non-negative entries, but got "
                f"{sizes}"
            )
    return Split(dim, sizes).apply(tensor) if sizes else ()


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most that many views of equal length (the last may be shorter) along a dimension."""
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    size = input.shape[normalized(dim, input.ndim, "chunk")]
    return split(input, max(1, -(-size // chunks)), dim)


def cat(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The tensors one behind the other along a dimension; their other sizes must agree."""
    if isinstance(tensors, Tensor):
        raise TypeError("cat(): argument 'tensors' must be tuple of Tensors, not Tensor")
    parts = list(tensors)
    if not parts:
        raise ValueError("cat(): expected a non-empty list of Tensors")
    for each in parts:
        check_tensor(each, "cat", "tensors")
    full = [each for each in parts if each.shape != (0,)] or parts[:1]  # torch skips empty vectors
    ndim = full[0].ndim
    if ndim == 0:
        raise RuntimeError("zero-dimensional tensor (at position 0) cannot be concatenated")
    dim = normalized(dim, ndim, "cat")
    first = full[0].shape
    if _can_join(len(full), pointers([each._array for each in full]), dim):
        return into(out, Cat(dim).apply(*full))
    for position, each in enumerate(full):
        same = each.ndim == ndim and all(
            d == dim or size == first[d] for d, size in enumerate(each.shape)
        )
        if not same:
            raise RuntimeError(
                f"Sizes of tensors must match except in dimension {dim}. Expected {list(first)} "
                f"but got {list(each.shape)} for tensor number {position} in the list."
            )
    return into(out, Cat(dim).apply(*full))


def stack(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The tensors, all of one shape, along a new dimension."""
    parts = list(tensors)
    if not parts:
        raise RuntimeError("stack expects a non-empty TensorList")
    if not all([type(each) is Tensor for each in parts]):
        for each in parts:
            check_tensor(each, "stack", "tensors")
    first = parts[0].shape
    if out is None and len(first) < lib.MG_MAX_DIMS:
        handles = pointers([each._array for each in parts])
        if _can_join(len(parts), handles, -1):
            return Stack(normalized(dim, len(first) + 1, "stack"), handles).apply(*parts)
    for position, each in enumerate(parts):
        if each.shape != first:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(first)} at entry 0 and "
                f"{list(each.shape)} at entry {position}"
            )
    dim = normalized(dim, len(first) + 1, "stack")
    return cat([unsqueeze(each, dim) for each in parts], dim, out=out)


def flip(input: Tensor, *dims: Any) -> Tensor:
    """A copy with the order along the dimensions reversed."""
    order = [normalized(d, input.ndim, "flip") for d in as_shape(dims)]
    if len(set(order)) != len(order):
        raise RuntimeError("flip: a dim appears multiple times in the list of dims")
    return Flip(order).apply(input)


def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A contiguous copy."""
    check_tensor(input, "clone")
    return Cast(input.dtype).apply(input)


def contiguous(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself where it is contiguous, else a copy that is."""
    return self if arrays.is_contiguous(self._array) else clone(self)


def as_strided(
    input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """A view of the memory with the given shape, strides and offset."""
    offset = input._array.offset if storage_offset is None else storage_offset
    geometry = (tuple(size), tuple(stride), offset)
    return AsStrided(geometry, geometry_of(input._array)).apply(input)


def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The tensor in another dtype: ``to(dtype)``, ``to(other_tensor)`` or ``to("cpu", dtype)``."""
    from ..dtypes import dtype as kind_of_dtype

    copy = kwargs.pop("copy", False)
    kwargs.pop("non_blocking", None)
    kwargs.pop("memory_format", None)
    kind = kwargs.pop("dtype", None)
    device = kwargs.pop("device", None)
    if kwargs:
        raise TypeError(f"to() got unexpected keyword arguments {sorted(kwargs)}")
    for value in args:
        if isinstance(value, Tensor):
            kind = value.dtype
        elif isinstance(value, kind_of_dtype):
            kind = value
        elif isinstance(value, str):
            device = value
        elif value is not None and not isinstance(value, bool):
            raise TypeError(f"to() received an invalid argument of type {type(value).__name__}")
    check_device(device)
    if kind is None or kind is self.dtype:
        return clone(self) if copy else self
    return to_dtype(self, kind)


def check_device(device: Any) -> None:
    """minigrad computes on the CPU only."""
    if device is not None and str(device) not in ("cpu", "cpu:0"):
        raise RuntimeError(f"minigrad runs on the CPU only; device {str(device)!r} does not exist")


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """The tensor in the dtype of another."""
    return to(self, other.dtype)


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """A copy with the elements moved along the dimensions, those pushed out coming in again."""
    if dims is None:
        if not isinstance(shifts, int):
            raise RuntimeError("shifts and dimensions must align; without dims, shifts is one int")
        return roll(flatten(input), shifts, 0).reshape(input.shape)
    moves = [shifts] if isinstance(shifts, int) else list(shifts)
    along = [dims] if isinstance(dims, int) else list(dims)
    if len(moves) != len(along):
        raise RuntimeError(
            f"shifts and dimensions must align. shifts: {len(moves)}, dims:{len(along)}"
        )
    for move, dim in zip(moves, along, strict=True):
        size = input.shape[normalized(dim, input.ndim, "roll")]
        cut = -move % size if size else 0
        if cut:
            parts = [narrow(input, dim, cut, size - cut), narrow(input, dim, 0, cut)]
            input = cat(parts, dim)
    return input if input._node is not None else clone(input)
