"""Arrays: metadata, views, and the exchange with NumPy. No arithmetic.

An array is an owning handle (see ``kernels``). Shapes and strides count elements. Memory is shared
with NumPy where the layout allows it, in both directions: an exported ndarray keeps the array
alive, and an imported array keeps the ndarray alive until C lets go of the memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .dtypes import BY_CODE, BY_NUMPY, dtype, get_default_dtype
from .kernels import Array, fail, ffi, lib, own

_unpack = ffi.unpack


class Size(tuple):
    """A shape: a tuple of ints."""

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements of a tensor of this shape."""
        count = 1
        for size in self:
            count *= size
        return count

    def __repr__(self) -> str:
        return f"minigrad.Size({list(self)})"

    def __getitem__(self, index: Any) -> Any:
        item = tuple.__getitem__(self, index)
        return Size(item) if isinstance(index, slice) else item

    def __add__(self, other: tuple) -> Size:
        return Size(tuple.__add__(self, tuple(other)))

    def __mul__(self, count: Any) -> Size:
        return Size(tuple.__mul__(self, count))

    __rmul__ = __mul__


def shape_of(array: Array) -> Size:
    return Size(_unpack(array.shape, array.ndim))


def strides_of(array: Array) -> tuple[int, ...]:
    return tuple(_unpack(array.strides, array.ndim))


def dtype_of(array: Array) -> dtype:
    return BY_CODE[array.dtype]


def is_contiguous(array: Array) -> bool:
    return bool(array.flags & lib.MG_CONTIGUOUS)


def empty(shape: Sequence[int], dtype: dtype) -> Array:
    return own(lib.mg_empty(dtype.code, len(shape), shape))


def filled(shape: Sequence[int], dtype: dtype, value: float) -> Array:
    """Fresh memory full of one value. It is no launch: a recording takes it as a constant, which
    it has again at the beginning of each replay."""
    return own(lib.mg_filled(dtype.code, len(shape), shape, value))


def as_strided(array: Array, shape: Sequence[int], strides: Sequence[int], offset: int) -> Array:
    return own(lib.mg_as_strided(array, len(shape), shape, strides, offset))


# ---- NumPy ----

_owners: dict[int, np.ndarray] = {}  # ndarrays whose memory C uses, by the token C gives back
_next_owner = itertools.count(1).__next__


@ffi.def_extern()
def mg_owner_released(owner: int) -> None:
    """C has let go of the memory of an imported ndarray."""
    _owners.pop(owner, None)


lib.mg_set_owner_release(lib.mg_owner_released)


def supported(values: np.ndarray) -> dtype:
    """The dtype that stands for an ndarray's; TypeError where there is none."""
    found = BY_NUMPY.get(values.dtype)
    if found is None:
        raise TypeError(
            f"can't convert np.ndarray of type {values.dtype}. The only supported types are: "
            f"{', '.join(each.name for each in reversed(BY_CODE))}."
        )
    return found


def share_numpy(values: np.ndarray) -> Array:
    """An array on the memory of an ndarray; copies where it cannot be shared safely (read-only, or
    not aligned to its elements). Negative strides raise, as in torch."""
    kind = supported(values)
    if any(stride < 0 for stride in values.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative "
            "strides are not supported. (You can work around this by making a copy with "
            "array.copy().)"
        )
    even = all(stride % kind.itemsize == 0 for stride in values.strides)
    if not values.flags.writeable or not values.flags.aligned or not even:
        return copy_numpy(values, kind)
    token = _next_owner()
    strides = [stride // kind.itemsize for stride in values.strides]
    address = values.__array_interface__["data"][0]
    handle = lib.mg_wrap(
        kind.code, values.ndim, values.shape, strides, ffi.cast("void *", address), token
    )
    if not handle:
        fail()
    _owners[token] = values
    return own(handle)


def copy_numpy(values: np.ndarray, kind: dtype) -> Array:
    """A new array with a copy of the values, converted to the dtype."""
    array = empty(values.shape, kind)
    if values.size:
        _exported(array)[...] = values
    return array


def from_data(data: Any, kind: dtype | None) -> Array:
    """A new array from numbers, nested sequences or anything that NumPy understands. Python floats
    take the default dtype, ints int64, bools bool."""
    if isinstance(data, (np.ndarray, np.generic)):
        values = np.asarray(data)
        if values.dtype.byteorder not in "=|":
            values = values.astype(values.dtype.newbyteorder("="))
        return copy_numpy(values, kind or supported(values))
    try:
        values = np.array(data)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"could not make a tensor from the data given: {error}") from None
    if values.dtype.kind == "f" and values.size and np.abs(values).max() >= 2.0**63:
        objects = np.array(data, object)  # NumPy makes a float64 of some ints beyond int64
        if all(isinstance(each, int) for each in objects.flat):
            values = objects
    if values.dtype.kind == "O" or values.dtype == np.uint64:
        values = _beyond_int64(values, kind)
    if kind is None:
        if values.dtype.kind == "f":
            kind = get_default_dtype()
        elif values.dtype.kind == "O" and values.size:
            found = type(values.flat[0]).__name__
            raise RuntimeError(f"Could not infer dtype of {found}")
        else:
            kind = supported(values)
    elif values.dtype.kind not in "biuf":
        raise TypeError(f"cannot make a tensor of dtype {kind} from data of type {values.dtype}")
    return copy_numpy(values, kind)


def _beyond_int64(values: np.ndarray, kind: dtype | None) -> np.ndarray:
    """Python ints may be larger than int64; where floats or bools are wanted they become such, else
    they raise. Values that are no numbers stay as they are."""
    if not all(isinstance(each, (bool, int, float, np.integer)) for each in values.flat):
        return values
    if kind is not None and kind.name == "bool":
        return values.astype(bool)
    mixed = any(isinstance(each, float) for each in values.flat)
    if kind.is_floating_point if kind is not None else mixed:
        return values.astype(np.float64)
    if any(not -(1 << 63) <= each < 1 << 63 for each in values.flat):
        raise ValueError("Overflow when unpacking long long: an integer does not fit in int64")
    return values


class _Export:
    """What NumPy keeps as the base of an exported ndarray: it holds the array's handle."""

    __slots__ = ("array", "__array_interface__")

    def __init__(self, array: Array) -> None:
        self.array = array
        kind = BY_CODE[array.dtype]
        self.__array_interface__ = {
            "version": 3,
            "shape": tuple(_unpack(array.shape, array.ndim)),
            "typestr": kind.numpy.str,
            "strides": tuple(s * kind.itemsize for s in _unpack(array.strides, array.ndim)),
            "data": (int(ffi.cast("intptr_t", array.data)), False),
        }


def _exported(array: Array) -> np.ndarray:
    return np.asarray(_Export(array))


def to_numpy(array: Array) -> np.ndarray:
    """The array as an ndarray on the same memory. An error while a plan is being recorded."""
    if not lib.mg_host_data(array):
        fail()
    return _exported(array)


_CTYPES = {"bool": "uint8_t *", "uint8": "uint8_t *", "int32": "int32_t *", "int64": "int64_t *"}
_CTYPES |= {"float32": "float *", "float64": "double *"}
_POINTERS = [ffi.typeof(_CTYPES[each.name]) for each in BY_CODE]


def item(array: Array) -> bool | int | float:
    """The value of an array of one element, as a Python number."""
    if array.size != 1:
        raise RuntimeError(f"a Tensor with {array.size} elements cannot be converted to Scalar")
    data = lib.mg_host_data(array) or fail()
    value = ffi.cast(_POINTERS[array.dtype], data)[0]
    return bool(value) if array.dtype == lib.MG_BOOL else value
