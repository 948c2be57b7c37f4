"""Padding layers. Numbers of a padding stand for the last dimension first, (left, right, top,
bottom, front, back); one number is taken for all sides. Negative ones cut off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ..functional import pad
from ..tensor import Tensor
from .conv import sizes_of
from .module import Module

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]

Margins = int | Sequence[int]


class _Padding(Module):
    """What all of one mode have in common; `dims` is how many dimensions are padded."""

    dims: ClassVar[int]
    mode: ClassVar[str]

    def __init__(self, padding: Margins) -> None:
        super().__init__()
        self.padding = sizes_of(padding, 2 * self.dims, "padding")

    def forward(self, input: Tensor) -> Tensor:
        return pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _Constant(_Padding):
    mode = "constant"

    def __init__(self, padding: Margins, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_Constant):
    """Margins of `value` around the last dimension."""

    dims = 1


class ConstantPad2d(_Constant):
    """Margins of `value` around the last two dimensions."""

    dims = 2


class ConstantPad3d(_Constant):
    """Margins of `value` around the last three dimensions."""

    dims = 3


class ZeroPad1d(ConstantPad1d):
    """Margins of zeros around the last dimension."""

    def __init__(self, padding: Margins) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad2d(ConstantPad2d):
    """Margins of zeros around the last two dimensions."""

    def __init__(self, padding: Margins) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad3d(ConstantPad3d):
    """Margins of zeros around the last three dimensions."""

    def __init__(self, padding: Margins) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _Reflection(_Padding):
    mode = "reflect"


class ReflectionPad1d(_Reflection):
    """Margins of (N, C, W) or (C, W) that mirror the image at its first and last element."""

    dims = 1


class ReflectionPad2d(_Reflection):
    """Margins of (N, C, H, W) or (C, H, W) that mirror the image at its edges."""

    dims = 2


class ReflectionPad3d(_Reflection):
    """Margins of (N, C, D, H, W) or (C, D, H, W) that mirror the volume at its faces."""

    dims = 3


class _Replication(_Padding):
    mode = "replicate"


class ReplicationPad1d(_Replication):
    """Margins of (N, C, W) or (C, W) that repeat the first and the last element."""

    dims = 1


class ReplicationPad2d(_Replication):
    """Margins of (N, C, H, W) or (C, H, W) that repeat the edges."""

    dims = 2


class ReplicationPad3d(_Replication):
    """Margins of (N, C, D, H, W) or (C, D, H, W) that repeat the faces."""

    dims = 3


class _Circular(_Padding):
    mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (self.dims + 1, self.dims + 2):
            raise ValueError(
                f"expected {self.dims + 1}D or {self.dims + 2}D input (got {input.ndim}D input)"
            )
        return super().forward(input)


class CircularPad1d(_Circular):
    """Margins of (N, C, W) or (C, W) that continue it from its other end."""

    dims = 1


class CircularPad2d(_Circular):
    """Margins of (N, C, H, W) or (C, H, W) that continue it from its other sides."""

    dims = 2


class CircularPad3d(_Circular):
    """Margins of (N, C, D, H, W) or (C, D, H, W) that continue it from its other sides."""

    dims = 3
