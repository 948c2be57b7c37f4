"""Patches of planes as columns, and back. Each is the other's derivative."""

from __future__ import annotations

from collections.abc import Sequence

from ..autograd.engine import Operation
from ..kernels import Array, lib, own
from ..tensor import Tensor

Geometry = Sequence[int]  # stride (2), padding (2), dilation (2), 1


class Unfold(Operation):
    """y (N, C · kernel, positions) = the patches of x (N, C, H, W);  dx = dy folded"""

    __slots__ = ("geometry", "kernel")
    keeps_shapes = True

    def __init__(self, kernel: Sequence[int], geometry: Geometry) -> None:
        self.kernel, self.geometry = kernel, geometry

    def forward(self, x: Array) -> Array:
        return own(lib.mg_unfold(x, self.kernel, self.geometry))

    def grad_x(self, grad: Tensor) -> Tensor:
        return Fold(self.operand_shapes[0][2:], self.kernel, self.geometry).apply(grad)


class Fold(Operation):
    """y (N, C, H, W) = the sum of the patches that are the columns of x;  dx = dy unfolded"""

    __slots__ = ("geometry", "kernel", "size")

    def __init__(self, size: Sequence[int], kernel: Sequence[int], geometry: Geometry) -> None:
        self.size, self.kernel, self.geometry = size, kernel, geometry

    def forward(self, x: Array) -> Array:
        return own(lib.mg_fold(x, self.size, self.kernel, self.geometry))

    def grad_x(self, grad: Tensor) -> Tensor:
        return Unfold(self.kernel, self.geometry).apply(grad)
