"""The data types of tensors, and the machine limits of each."""

from __future__ import annotations

from typing import Any

import numpy as np

from .kernels import lib


class dtype:  # noqa: N801  (torch's name)
    """A data type; compare with ``is`` or ``==``. There is one object for each."""

    __slots__ = ("name", "code", "itemsize", "is_floating_point", "is_signed", "numpy", "title")

    is_complex = False

    def __init__(self, name: str, code: int, title: str) -> None:
        self.name = name
        self.code = code  # enum mg_dtype
        self.title = title  # in torch's error messages: Float, Long, ...
        self.numpy = np.dtype(name)
        self.itemsize = self.numpy.itemsize
        self.is_floating_point = self.numpy.kind == "f"
        self.is_signed = self.numpy.kind in "if"

    def __repr__(self) -> str:
        return f"minigrad.{self.name}"

    def __reduce__(self) -> str:
        return self.name

    def to_complex(self) -> Any:
        raise NotImplementedError("minigrad has no complex dtypes")


bool_ = dtype("bool", lib.MG_BOOL, "Bool")
uint8 = dtype("uint8", lib.MG_UINT8, "Byte")
int32 = dtype("int32", lib.MG_INT32, "Int")
int64 = dtype("int64", lib.MG_INT64, "Long")
float32 = dtype("float32", lib.MG_FLOAT32, "Float")
float64 = dtype("float64", lib.MG_FLOAT64, "Double")

BY_CODE: list[dtype] = sorted(
    (bool_, uint8, int32, int64, float32, float64), key=lambda each: each.code
)
BY_NUMPY: dict[np.dtype, dtype] = {each.numpy: each for each in BY_CODE}


def get_default_dtype() -> dtype:
    """The dtype of floating-point tensors made from Python numbers."""
    return BY_CODE[lib.mg_default_float()]


def set_default_dtype(d: dtype) -> None:
    """Sets the default floating-point dtype: float32 or float64."""
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError(
            "only floating-point types are supported as the default type "
            f"(minigrad.float32 or minigrad.float64), got {d!r}"
        )
    lib.mg_set_default_float(d.code)


class finfo:  # noqa: N801  (torch's name)
    """Machine limits of a floating-point dtype, the default one if none is given."""

    def __init__(self, type: dtype | None = None) -> None:
        type = get_default_dtype() if type is None else type
        if not type.is_floating_point:
            raise TypeError(f"finfo() requires a floating point dtype, but got {type}")
        limits = np.finfo(type.numpy)
        self.dtype = type.name
        self.bits = limits.bits
        self.eps = float(limits.eps)
        self.max = float(limits.max)
        self.min = float(limits.min)
        self.tiny = self.smallest_normal = float(limits.tiny)
        self.resolution = float(limits.resolution)

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, "
            f"eps={self.eps:g}, smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, "
            f"dtype={self.dtype})"
        )


class iinfo:  # noqa: N801  (torch's name)
    """Machine limits of an integer dtype."""

    def __init__(self, type: dtype) -> None:
        if type.is_floating_point or type is bool_:
            raise TypeError(f"iinfo() requires an integer dtype, but got {type}")
        limits = np.iinfo(type.numpy)
        self.dtype = type.name
        self.bits = limits.bits
        self.max = int(limits.max)
        self.min = int(limits.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
