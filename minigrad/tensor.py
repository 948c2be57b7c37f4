"""The Tensor: an array, whether it needs a gradient, the gradient, and the node that made it.

No maths here. The operators and methods stand with their derivatives in ``minigrad.ops`` and are
attached to the class by ``minigrad.ops.methods``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from . import array as arrays
from .array import Size
from .dtypes import BY_CODE, dtype
from .kernels import NULL, Array, ffi, lib, own, scalar

_new = object.__new__


class RemovableHandle:
    """What registering a hook returns: ``remove()`` takes the hook away."""

    _count = 0

    def __init__(self, hooks: dict[int, Callable]) -> None:
        self._hooks = hooks
        self.id = RemovableHandle._count
        RemovableHandle._count += 1

    def remove(self) -> None:
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: Any) -> None:
        self.remove()


class Tensor:
    """A multi-dimensional array that remembers how it was computed.

    Made by ``minigrad.tensor`` and the other creation functions. Attributes: ``requires_grad``,
    ``grad`` (None or a Tensor of the same shape), ``grad_fn`` (the node that made it, None for a
    leaf).
    """

    # _view: None, or (base, stamp) for a view of another tensor's memory; see autograd.engine.
    # _hooks: None, or the hooks of a leaf, by RemovableHandle id.
    __slots__ = (
        "_array",
        "_requires_grad",
        "_grad",
        "_node",
        "_view",
        "_hooks",
        "__weakref__",
        "__dict__",
    )

    __array_priority__ = 1000  # NumPy leaves mixed operators to us

    _array: Array
    _requires_grad: bool
    _grad: Tensor | None
    _node: Any
    _view: tuple[Tensor, int] | None
    _hooks: Any

    def __init__(self, data: Any = ()) -> None:
        source = data._array if isinstance(data, Tensor) else None
        if source is None:
            kind = None if _has_dtype(data) else arrays.get_default_dtype()
            source = arrays.from_data(data, kind)
        self._array = source
        self._requires_grad = False
        self._grad = self._node = self._view = self._hooks = None

    # ---- metadata ----

    @property
    def shape(self) -> Size:
        return arrays.shape_of(self._array)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        shape = self.shape
        return shape if dim is None else shape[normalized(dim, len(shape))]

    def stride(self, dim: int | None = None) -> Any:
        """Elements from one index to the next, for each dimension or one of them."""
        strides = arrays.strides_of(self._array)
        return strides if dim is None else strides[normalized(dim, len(strides))]

    def storage_offset(self) -> int:
        return self._array.offset

    def is_contiguous(self) -> bool:
        return arrays.is_contiguous(self._array)

    @property
    def dtype(self) -> dtype:
        return BY_CODE[self._array.dtype]

    @property
    def ndim(self) -> int:
        return self._array.ndim

    def dim(self) -> int:
        return self._array.ndim

    def numel(self) -> int:
        return self._array.size

    nelement = numel

    def element_size(self) -> int:
        return self.dtype.itemsize

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.numel() * self.dtype.itemsize

    @property
    def device(self) -> str:
        """Always "cpu": minigrad computes nowhere else."""
        return "cpu"

    def is_floating_point(self) -> bool:
        return self.dtype.is_floating_point

    def data_ptr(self) -> int:
        """The address of the first element."""
        return int(ffi.cast("intptr_t", self._array.data))

    @property
    def _version(self) -> int:
        return lib.mg_version(self._array)

    # ---- autograd state ----

    @property
    def requires_grad(self) -> bool:
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self._node is not None and not value:
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a "
                "computed variable in a subgraph that doesn't require differentiation use "
                "var_no_grad = var.detach()."
            )
        if value and not self.dtype.is_floating_point:
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        self._requires_grad = bool(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Changes in place whether operations on this leaf are recorded."""
        self.requires_grad = requires_grad
        return self

    @property
    def grad(self) -> Tensor | None:
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(
                    f"assigned grad expected to be a Tensor or None but got {type(value)}"
                )
            if value is self:
                raise RuntimeError("can't assign Tensor as its own grad")
            if not lib.mg_same_shape(value._array, self._array):
                raise RuntimeError(
                    f"assigned grad has data of a different size: {list(value.shape)} for a tensor "
                    f"of shape {list(self.shape)}"
                )
            if value._array.dtype != self._array.dtype:
                raise RuntimeError(
                    f"assigned grad has data of a different type: {value.dtype} for {self.dtype}"
                )
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    @property
    def is_leaf(self) -> bool:
        return self._node is None

    def detach(self) -> Tensor:
        """The same memory, cut off from the graph."""
        return wrap(own(lib.mg_alias(self._array)))

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        self._array = value._array

    # ---- the outside world ----

    def item(self) -> bool | int | float:
        """The value of a one-element tensor as a Python number."""
        return arrays.item(self._array)

    def tolist(self) -> Any:
        """The values as a number or nested lists of numbers."""
        return arrays.to_numpy(self._array).tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """An ndarray on the same memory. A tensor that requires grad must be detached first, or
        ``force=True`` given, except within ``no_grad``."""
        if self._requires_grad and not force and _is_recording():
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() "
                "instead."
            )
        return arrays.to_numpy(self._array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        values = self.numpy()
        if copy:
            return np.array(values, dtype=dtype)
        if dtype is not None and values.dtype != dtype:
            if copy is False:
                raise ValueError(f"a view of dtype {dtype} of a {self.dtype} tensor needs a copy")
            return values.astype(dtype)
        return values

    def __dlpack__(self, **options: Any) -> Any:
        if self._requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        return self.numpy().__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)  # kDLCPU

    def __bool__(self) -> bool:
        if self._array.size != 1:
            if self._array.size == 0:
                raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
            raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
        return bool(arrays.item(self._array))

    def __float__(self) -> float:
        return float(self._single())

    def __int__(self) -> int:
        return int(self._single())

    def _single(self) -> bool | int | float:
        if self._array.size != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return arrays.item(self._array)

    def __index__(self) -> int:
        if self.dtype.is_floating_point or self._array.size != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(arrays.item(self._array))

    def __len__(self) -> int:
        if self._array.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self._array.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if self._array.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __contains__(self, element: Any) -> bool:
        if not isinstance(element, (Tensor, bool, int, float)):
            raise RuntimeError(
                "Tensor.__contains__ only supports Tensor or scalar, but you passed in a "
                f"{type(element)}."
            )
        return bool((self == element).any())

    __hash__ = object.__hash__  # by identity, though == compares elements

    def __format__(self, spec: str) -> str:
        return format(self.item() if self.dim() == 0 else repr(self), spec)

    def __repr__(self) -> str:
        from .printing import tensor_text

        return tensor_text(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self._node is not None:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
                "protocol at the moment."
            )
        if id(self) in memo:
            return memo[id(self)]
        copied = _new(type(self))
        _fill(copied, own(lib.mg_cast(self._array, self._array.dtype)))
        copied._requires_grad = self._requires_grad
        memo[id(self)] = copied
        if self._grad is not None:
            copied._grad = self._grad.__deepcopy__(memo)
        for name, value in self.__dict__.items():
            copied.__dict__[name] = value
        return copied

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self._node is not None:
            raise RuntimeError(
                "Only leaf tensors can be pickled; call detach() on a tensor that was computed."
            )
        values = np.array(arrays.to_numpy(self._array))
        return _rebuild, (type(self), values, self._requires_grad)

    if TYPE_CHECKING:  # what minigrad.ops.methods attaches

        def __getattr__(self, name: str) -> Any: ...
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __floordiv__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __xor__(self, other: Any) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __eq__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __getitem__(self, index: Any) -> Tensor: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...


def _is_recording() -> bool:
    from .autograd.grad_mode import state  # autograd imports this module

    return state.enabled


def _has_dtype(data: Any) -> bool:
    return isinstance(data, (np.ndarray, np.generic))


def _fill(tensor: Tensor, array: Array) -> None:
    tensor._array = array
    tensor._requires_grad = False
    tensor._grad = tensor._node = tensor._view = tensor._hooks = None


def _rebuild(kind: type[Tensor], values: np.ndarray, requires_grad: bool) -> Tensor:
    tensor = _new(kind)
    _fill(tensor, arrays.copy_numpy(values, arrays.supported(values)))
    tensor._requires_grad = requires_grad
    return tensor


def wrap(array: Array) -> Tensor:
    """A tensor of an array, outside of any graph."""
    tensor = _new(Tensor)
    tensor._array = array
    tensor._requires_grad = False
    tensor._grad = tensor._node = tensor._view = tensor._hooks = None
    return tensor


_constants: dict[tuple[type, float], Tensor] = {}
_MOST_CONSTANTS = 256


def constant(value: float) -> Tensor:
    """A Python number (float, int or bool) as an operand.

    Programs use the same few numbers again and again: the tensors of some are kept, which spares a
    third of the time of ``x * 2.0``. Nothing ever writes to them."""
    if not value and isinstance(value, float):
        return wrap(scalar(value))  # 0.0 and -0.0 would share a key
    key = (type(value), value)
    found = _constants.get(key)
    if found is None:
        found = wrap(scalar(value))
        if len(_constants) < _MOST_CONSTANTS:
            _constants[key] = found
    return found


def operand(value: Any, op: str = "operation") -> Tensor:
    """An operand as a Tensor: Python numbers become weak scalars, ndarrays become tensors."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (float, int)):
        return constant(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return wrap(arrays.from_data(value, None))
    raise TypeError(
        f"{op}(): expected a Tensor or a number, but got {type(value).__name__}; "
        "make it a tensor with minigrad.tensor(...)"
    )


def normalized(dim: int, ndim: int, op: str = "") -> int:
    """A dimension counted from the front; IndexError where there is no such dimension."""
    reach = ndim or 1
    if not isinstance(dim, int):
        dim = dim.__index__()
    if not -reach <= dim < reach:
        prefix = f"{op}: " if op else ""
        raise IndexError(
            f"{prefix}Dimension out of range (expected to be in range of [{-reach}, {reach - 1}], "
            f"but got {dim})"
        )
    return dim + reach if dim < 0 else dim


def is_tensor(value: Any) -> bool:
    """Whether the value is a Tensor."""
    return isinstance(value, Tensor)


__all__ = [
    "NULL",
    "RemovableHandle",
    "Size",
    "Tensor",
    "is_tensor",
    "normalized",
    "operand",
    "wrap",
]
