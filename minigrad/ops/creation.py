"""Making tensors: from data, filled, or counted."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from .. import array as arrays
from ..dtypes import BY_CODE, get_default_dtype, int64
from ..dtypes import bool_ as bool_dtype
from ..dtypes import dtype as DType
from ..kernels import Array, lib, own, scalar
from ..tensor import Tensor, wrap
from .shape import as_shape, check_device


def empty_array(shape: Any, dtype: DType | None, device: Any) -> Array:
    """An uninitialised array for a creation function."""
    check_device(device)
    return arrays.empty(shape, _kind(dtype))


def _kind(dtype: Any) -> DType:
    """The dtype of a new tensor, the default one for None."""
    if dtype is None:
        return get_default_dtype()
    if not isinstance(dtype, DType):
        raise TypeError(f"argument 'dtype' must be minigrad.dtype, not {type(dtype).__name__}")
    return dtype


def finished(array: Array, requires_grad: bool) -> Tensor:
    """A new leaf of an array."""
    tensor = wrap(array)
    if requires_grad:
        tensor.requires_grad = True
    return tensor


def _full_array(shape: Any, value: Any, dtype: DType, device: Any) -> Array:
    check_device(device)
    return own(lib.mg_full(dtype.code, len(shape), shape, scalar(value)))


def tensor(
    data: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A new leaf with a copy of the data: numbers, nested sequences, ndarrays, tensors."""
    check_device(device)
    if dtype is not None:
        _kind(dtype)
    if isinstance(data, Tensor):
        source = data.detach()
        array = own(lib.mg_cast(source._array, (dtype or source.dtype).code))
    else:
        array = arrays.from_data(_plain(data), dtype)
    return finished(array, requires_grad)


def _plain(data: Any) -> Any:
    """Nested sequences with tensors in them, as NumPy takes them."""
    if isinstance(data, Tensor):
        return data.detach().numpy() if data.ndim else data.item()
    if isinstance(data, (list, tuple)) and any(
        isinstance(each, (Tensor, list, tuple)) for each in data
    ):
        return [_plain(each) for each in data]
    return data


def as_tensor(data: Any, dtype: DType | None = None, device: Any = None) -> Tensor:
    """The data as a tensor, without a copy where it is a tensor or ndarray of that dtype."""
    check_device(device)
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    if isinstance(data, np.ndarray) and data.dtype.isnative:
        shared = wrap(arrays.share_numpy(data))
        return shared if dtype is None else shared.to(dtype)
    return tensor(data, dtype=dtype)


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor on the memory of an ndarray; a read-only one is copied."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    return wrap(arrays.share_numpy(ndarray))


def from_dlpack(ext_tensor: Any) -> Tensor:
    """A tensor on the memory of any object with ``__dlpack__``."""
    return from_numpy(np.from_dlpack(ext_tensor))


def empty(
    *size: Any,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """Uninitialised memory."""
    return finished(empty_array(as_shape(size), dtype, device), requires_grad)


def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Every element the same value; without a dtype, the value's."""
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    if dtype is None:
        kind = type(fill_value)
        dtype = {builtins.bool: bool_dtype, int: int64}.get(kind) or get_default_dtype()
    return finished(_full_array(as_shape([size]), fill_value, dtype, device), requires_grad)


def zeros(
    *size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros."""
    kind = _kind(dtype)
    return finished(_full_array(as_shape(size), 0, kind, device), requires_grad)


def ones(
    *size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Ones."""
    kind = _kind(dtype)
    return finished(_full_array(as_shape(size), 1, kind, device), requires_grad)


def empty_like(
    input: Tensor, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """``empty`` with the shape and dtype of another tensor."""
    return empty(input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad)


def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``full`` with the shape and dtype of another tensor."""
    return full(input.shape, fill_value, dtype=dtype or input.dtype, requires_grad=requires_grad)


def zeros_like(
    input: Tensor, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros with the shape and dtype of another tensor."""
    return zeros(input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad)


def ones_like(
    input: Tensor, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Ones with the shape and dtype of another tensor."""
    return ones(input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad)


def new_empty(self: Tensor, *size: Any, dtype: DType | None = None, **options: Any) -> Tensor:
    """``empty`` with the dtype of this tensor."""
    return empty(*size, dtype=dtype or self.dtype, **options)


def new_full(
    self: Tensor, size: Any, fill_value: Any, *, dtype: DType | None = None, **options: Any
) -> Tensor:
    """``full`` with the dtype of this tensor."""
    return full(size, fill_value, dtype=dtype or self.dtype, **options)


def new_zeros(self: Tensor, *size: Any, dtype: DType | None = None, **options: Any) -> Tensor:
    """``zeros`` with the dtype of this tensor."""
    return zeros(*size, dtype=dtype or self.dtype, **options)


def new_ones(self: Tensor, *size: Any, dtype: DType | None = None, **options: Any) -> Tensor:
    """``ones`` with the dtype of this tensor."""
    return ones(*size, dtype=dtype or self.dtype, **options)


def new_tensor(self: Tensor, data: Any, *, dtype: DType | None = None, **options: Any) -> Tensor:
    """``tensor`` with the dtype of this tensor."""
    return tensor(data, dtype=dtype or self.dtype, **options)


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, (Tensor, np.generic)) else value


def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``arange(end)`` or ``arange(start, end, step)``: start, start + step, ... below end."""
    check_device(device)
    if end is None:
        start, end = 0, start
    start, end, step = _number(start), _number(end), _number(step)
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if dtype is None:
        whole = all(isinstance(each, int) for each in (start, end, step))
        dtype = int64 if whole else get_default_dtype()
    if all(isinstance(each, int) for each in (start, end, step)):
        count = -((start - end) // step)
    else:
        if not all(map(math.isfinite, (start, end))):
            raise RuntimeError(f"unsupported range: {start} -> {end}")
        count = math.ceil((end - start) / step)
    array = own(lib.mg_arange(dtype.code, scalar(start), scalar(step), count))
    return finished(array, requires_grad)


def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """That many numbers from start to end, both included, evenly spaced."""
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    values = np.linspace(_number(start), _number(end), steps)
    return tensor(values, dtype=dtype or get_default_dtype(), requires_grad=requires_grad)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Ones on the diagonal, zeros elsewhere."""
    columns = n if m is None else m
    result = zeros(n, columns, dtype=dtype, device=device)
    diagonal = min(n, columns)
    if diagonal:
        array = result._array
        ones_on = wrap(arrays.as_strided(array, [diagonal], [columns + 1], 0))
        ones_on.fill_(1)
    if requires_grad:
        result.requires_grad = True
    return result


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangle; zeros above the diagonal."""
    rows, columns = arange(input.shape[-2]).unsqueeze(1), arange(input.shape[-1])
    return input.masked_fill(columns > rows + diagonal, 0)


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangle; zeros below the diagonal."""
    rows, columns = arange(input.shape[-2]).unsqueeze(1), arange(input.shape[-1])
    return input.masked_fill(columns < rows + diagonal, 0)


def result_type(tensor1: Any, tensor2: Any) -> DType:
    """The dtype of an operation on the two, tensors or numbers."""
    from ..tensor import operand

    first, second = operand(tensor1), operand(tensor2)
    return BY_CODE[lib.mg_result_type(first._array, second._array)]


def promote_types(type1: DType, type2: DType) -> DType:
    """The smallest dtype that both fit in."""
    return BY_CODE[builtins.max(type1.code, type2.code)]
