"""Memory of a plan's own, into which a call copies its arguments."""

from __future__ import annotations

from typing import Any

from .. import array as arrays
from ..kernels import check, lib, own


def static(array: Any) -> tuple[Any, Any]:
    """A copy with the same strides, since kernels may add in the order of the memory: the copy as a
    function sees it, and the array into which a later call copies what `compact` makes of its own.
    """
    kind, source = arrays.dtype_of(array), compact(array)
    shape, strides = arrays.shape_of(source), arrays.strides_of(source)
    if arrays.is_contiguous(source):
        copy = arrays.empty(shape, kind)
    else:
        extent = 1 + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        copy = arrays.as_strided(arrays.empty((extent,), kind), shape, strides, 0)
    check(lib.mg_copy(copy, source))
    if source is array or shape == arrays.shape_of(array):
        return copy, copy
    return arrays.as_strided(copy, arrays.shape_of(array), arrays.strides_of(array), 0), copy


def is_compact(array: Any) -> bool:
    """Whether no two indices share an element."""
    return arrays.is_contiguous(array) or not _overlaps(
        arrays.shape_of(array), arrays.strides_of(array)
    )


def compact(array: Any) -> Any:
    """The array where its elements have places of their own; an expanded one without the
    repetition; a contiguous copy of any other."""
    if arrays.is_contiguous(array):
        return array
    shape, strides = arrays.shape_of(array), arrays.strides_of(array)
    single = [1 if step == 0 else n for n, step in zip(shape, strides, strict=True)]
    if _overlaps(single, strides):
        return own(lib.mg_cast(array, array.dtype))
    if single == list(shape):
        return array
    return arrays.as_strided(array, single, strides, array.offset)


def _overlaps(shape: Any, strides: Any) -> bool:
    """Whether two indices may share an element."""
    reach = 1
    for step, size in sorted(zip(strides, shape, strict=True)):
        if size > 1:
            if step < reach:
                return True
            reach = step * size
    return False
