"""The C entries called directly, on ndarrays: what everything here has in common."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..kernels import NULL, Array, check, ffi, lib, own

DTYPES = ("bool", "uint8", "int32", "int64", "float32", "float64")
FLOATS = ("float32", "float64")
# Sizes around the widths of registers (16 to 64 bytes) and of unrolled loops, and primes.
SIZES = (0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 131, 257, 1031)
LAYOUTS = ("contiguous", "transposed", "sliced", "shifted")


def array(values: Any, layout: str = "contiguous") -> Array:
    """A handle with a copy of the values. Layouts: "contiguous"; "transposed", column-major memory;
    "sliced", every second element behind an offset; "shifted", contiguous, but for an address that
    is aligned to one element only."""
    values = np.asarray(values)
    shape, dtype = values.shape, str(values.dtype)
    if not values.size or layout == "contiguous":
        handle = empty(shape, dtype)
        _fill(handle, values)
        return handle
    if layout == "transposed":
        memory = empty(shape[::-1], dtype)
        _fill(memory, values.transpose())
        strides = list(memory.strides[0 : memory.ndim])[::-1]
        return own(lib.mg_as_strided(memory, len(shape), list(shape), strides, 0))
    if layout == "shifted":
        memory = empty((values.size + 1,), dtype)
        _fill(memory, np.concatenate([values.reshape(-1)[:1], values.reshape(-1)]))
        steps = [s // values.itemsize for s in np.empty(shape, values.dtype).strides]
        return own(lib.mg_as_strided(memory, len(shape), list(shape), steps, 1))
    gaps = np.zeros([2 * n + 1 for n in shape], values.dtype)
    gaps[tuple(slice(1, None, 2) for _ in shape)] = values
    memory = empty(gaps.shape, dtype)
    _fill(memory, gaps)
    steps = list(memory.strides[0 : memory.ndim])
    strides = [2 * step for step in steps]
    return own(lib.mg_as_strided(memory, len(shape), list(shape), strides, sum(steps)))


def _fill(handle: Array, values: np.ndarray) -> None:
    if values.size:
        flat = np.ascontiguousarray(values).reshape(-1)
        ffi.memmove(handle.data, ffi.from_buffer(flat.view(np.uint8)), flat.nbytes)


def empty(shape: Sequence[int], dtype: str) -> Array:
    """A handle with memory of its own, not filled."""
    return own(lib.mg_empty(DTYPES.index(dtype), len(shape), list(shape)))


def ndarray(handle: Array) -> np.ndarray:
    """A copy of the values of a handle."""
    shape = tuple(handle.shape[0 : handle.ndim])
    strides = tuple(handle.strides[0 : handle.ndim])
    dtype = np.dtype(DTYPES[handle.dtype])
    if handle.size == 0:
        return np.empty(shape, dtype)
    reach = 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    memory = np.frombuffer(ffi.buffer(handle.data, reach * dtype.itemsize), dtype)
    byte_strides = [s * dtype.itemsize for s in strides]
    return np.lib.stride_tricks.as_strided(memory, shape, byte_strides).copy()


_kept: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def many(*handles: Array | None) -> Any:
    """A C array of handles, NULL for None; it keeps them alive."""
    pointers = ffi.new("mg_array *[]", [NULL if each is None else each for each in handles])
    _kept[pointers] = handles
    return pointers


def results(count: int, call: Callable[[Any], int]) -> list[Array | None]:
    """Runs ``call(outputs)`` of an entry with several results; None where it leaves one out."""
    made = ffi.new("mg_array *[]", count)
    check(call(made))
    return [own(each) if each else None for each in made]


def outputs(count: int, call: Callable[[Any], int]) -> list[np.ndarray]:
    """The same as ndarrays, all of which must be there."""
    return [ndarray(each) for each in results(count, call)]


def values(
    rng: np.random.Generator, shape: Any, dtype: str, low: float = -4.0, high: float = 4.0
) -> np.ndarray:
    """Random values of any dtype within the bounds."""
    if dtype == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    if dtype in FLOATS:
        return np.asarray(rng.uniform(low, high, shape)).astype(dtype)
    first = max(int(low), 0) if dtype == "uint8" else int(low)
    return np.asarray(rng.integers(first, int(high) + 1, shape)).astype(dtype)
