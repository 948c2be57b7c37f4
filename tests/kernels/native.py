"""The C entries called directly, on ndarrays: what the kernel tests have in common."""

from __future__ import annotations

import weakref

import numpy as np

from minigrad.kernels import NULL, check, ffi, lib, own

DTYPES = ("bool", "uint8", "int32", "int64", "float32", "float64")
FLOATS = ("float32", "float64")
# Sizes around the widths of registers (16 to 64 bytes) and of unrolled loops, and primes.
SIZES = (0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 131, 257, 1031)


def array(values, layout: str = "contiguous"):
    """A handle with a copy of the values. Layouts: "contiguous"; "transposed", column-major memory;
    "sliced", every second element behind an offset."""
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
    gaps = np.zeros([2 * n + 1 for n in shape], values.dtype)
    gaps[tuple(slice(1, None, 2) for _ in shape)] = values
    memory = empty(gaps.shape, dtype)
    _fill(memory, gaps)
    steps = list(memory.strides[0 : memory.ndim])
    strides = [2 * step for step in steps]
    return own(lib.mg_as_strided(memory, len(shape), list(shape), strides, sum(steps)))


def _fill(handle, values: np.ndarray) -> None:
    if values.size:
        flat = np.ascontiguousarray(values).reshape(-1)
        ffi.memmove(handle.data, ffi.from_buffer(flat.view(np.uint8)), flat.nbytes)


def empty(shape, dtype: str):
    return own(lib.mg_empty(DTYPES.index(dtype), len(shape), list(shape)))


def ndarray(handle) -> np.ndarray:
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


def many(*handles):
    """A C array of handles, NULL for None; it keeps them alive."""
    pointers = ffi.new("mg_array *[]", [NULL if each is None else each for each in handles])
    _kept[pointers] = handles
    return pointers


def outputs(count: int, call) -> list[np.ndarray]:
    """Runs ``call(outputs)`` of an entry with several results."""
    results = ffi.new("mg_array *[]", count)
    check(call(results))
    return [ndarray(own(results[i])) for i in range(count)]


def values(rng: np.random.Generator, shape, dtype: str, low=-4.0, high=4.0) -> np.ndarray:
    """Random values of any dtype within the bounds."""
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype in FLOATS:
        return rng.uniform(low, high, shape).astype(dtype)
    low = max(int(low), 0) if dtype == "uint8" else int(low)
    return rng.integers(low, int(high) + 1, shape).astype(dtype)


def close(got, wanted, units: float = 4, scale: float | None = None) -> None:
    """Equal but for `units` of the dtype's precision, relative to each value or to the scale."""
    wanted = np.asarray(wanted)
    assert got.shape == wanted.shape
    if got.dtype.kind != "f":
        np.testing.assert_array_equal(got, wanted.astype(got.dtype))
        return
    eps = np.finfo(got.dtype).eps
    atol = units * eps * scale if scale is not None else np.finfo(got.dtype).tiny
    np.testing.assert_allclose(got.astype(np.float64), wanted, rtol=units * eps, atol=atol)


__all__ = [
    "DTYPES",
    "FLOATS",
    "NULL",
    "SIZES",
    "array",
    "check",
    "close",
    "empty",
    "ffi",
    "lib",
    "many",
    "ndarray",
    "outputs",
    "own",
    "values",
]
