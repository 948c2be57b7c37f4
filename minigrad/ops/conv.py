"""Convolution over (N, C, L), (N, C, H, W) or (N, C, D, H, W).

A convolution is linear in its input and in its weight. Its three kernels, y = conv(x, w), dx =
input(dy, w) and dw = weight(x, dy), are each linear in both operands and each other's derivatives,
so derivatives of every order come from the same three.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..autograd.engine import INPUTS, Operation
from ..kernels import NULL, Array, lib, own
from ..tensor import Tensor

Geometry = Sequence[int]  # see csrc/api.h


class Convolution(Operation):
    """y[n, o] = b[o] + Σ_i w[o, i] ⋆ x[n, i];  x (N, C, ...), w (O, C / groups, ...), b (O)"""

    __slots__ = ("geometry",)
    saves = INPUTS
    uses = ((1,), (0,), ())
    keeps_shapes = True

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry

    def forward(self, x: Array, weight: Array, bias: Array | None = None) -> Array:
        return own(lib.mg_convolution(x, weight, NULL if bias is None else bias, self.geometry))

    def backward(self, grad: Tensor) -> list[Tensor | None]:
        x, weight = self.inputs[:2]
        size, kernel = self.operand_shapes[0][2:], self.operand_shapes[1][2:]
        results: list[Tensor | None] = [None] * len(self.edges)
        if self.needs(0):
            results[0] = ConvolutionInput(self.geometry, size).apply(grad, weight)
        if self.needs(1):
            results[1] = ConvolutionWeight(self.geometry, kernel).apply(x, grad)
        if len(self.edges) > 2 and self.needs(2):
            results[2] = _sum_to_channels(grad)
        return results


class ConvolutionInput(Operation):
    """dx of a convolution, from g = dy and w: the transposed convolution, here with a bias of its
    own.  dg = conv(d, w),  dw = weight(d, g)"""

    __slots__ = ("geometry", "size")
    saves = INPUTS
    uses = ((1,), (0,), ())
    keeps_shapes = True

    def __init__(self, geometry: Geometry, size: Sequence[int]) -> None:
        self.geometry, self.size = geometry, size

    def forward(self, g: Array, weight: Array, bias: Array | None = None) -> Array:
        return own(
            lib.mg_convolution_input(
                g, weight, NULL if bias is None else bias, self.size, self.geometry
            )
        )

    def backward(self, grad: Tensor) -> list[Tensor | None]:
        g, weight = self.inputs[:2]
        results: list[Tensor | None] = [None] * len(self.edges)
        if self.needs(0):
            results[0] = Convolution(self.geometry).apply(grad, weight)
        if self.needs(1):
            kernel = self.operand_shapes[1][2:]
            results[1] = ConvolutionWeight(self.geometry, kernel).apply(grad, g)
        if len(self.edges) > 2 and self.needs(2):
            results[2] = _sum_to_channels(grad)
        return results


class ConvolutionWeight(Operation):
    """dw of a convolution, from x and g = dy.  dx = input(g, d),  dg = conv(x, d)"""

    __slots__ = ("geometry", "kernel")
    saves = INPUTS
    uses = ((1,), (0,))
    keeps_shapes = True

    def __init__(self, geometry: Geometry, kernel: Sequence[int]) -> None:
        self.geometry, self.kernel = geometry, kernel

    def forward(self, x: Array, g: Array) -> Array:
        return own(lib.mg_convolution_weight(x, g, self.kernel, self.geometry))

    def grad_x(self, grad: Tensor) -> Tensor:
        size = self.operand_shapes[0][2:]
        return ConvolutionInput(self.geometry, size).apply(self.inputs[1], grad)

    def grad_g(self, grad: Tensor) -> Tensor:
        return Convolution(self.geometry).apply(self.inputs[0], grad)


def _sum_to_channels(grad: Tensor) -> Tensor:
    """(N, C, ...) summed to (C)."""
    return grad.sum((0, *range(2, grad.ndim)))
