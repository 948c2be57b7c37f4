"""The C entries called directly, on ndarrays: what the kernel tests have in common."""

from __future__ import annotations

import numpy as np

from minigrad.kernel_tools.arrays import (
    DTYPES,
    FLOATS,
    NULL,
    SIZES,
    array,
    check,
    empty,
    ffi,
    lib,
    many,
    ndarray,
    outputs,
    own,
    values,
)


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
