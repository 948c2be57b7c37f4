"""Convolution over (N, C, L), (N, C, H, W) or (N, C, D, H, W), and pooling over planes.

A convolution is linear in its input and in its weight. Its three kernels, y = conv(x, w), dx =
input(dy, w) and dw = weight(x, dy), are each linear in both operands and each other's derivatives,
so derivatives of every order come from the same three.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..autograd.engine import INPUTS, OUTPUT, MultipleOutputs, Operation
from ..kernels import NULL, Array, check, lib, own, several
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


class MaxPool2d(MultipleOutputs):
    """y = the largest element of each window, and its index in the (H, W) plane, which alone gets
    the gradient"""

    __slots__ = ("geometry",)
    saves = OUTPUT
    keeps_shapes = True

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry

    def forward(self, x: Array) -> list[Array]:
        outputs = several(2)
        check(lib.mg_max_pool2d(x, self.geometry, outputs))
        return [own(each) for each in outputs]

    def backward(self, grads: Sequence[Tensor]) -> list[Tensor | None]:
        indices = self.saved_outputs[1]
        return [PlaneScatter(indices, self.operand_shapes[0][-2:]).apply(grads[0])]


class PlaneScatter(Operation):
    """y = zeros (H, W) with the values added at their indices;  dv = dy at the indices"""

    __slots__ = ("indices", "size")

    def __init__(self, indices: Tensor, size: Sequence[int]) -> None:
        self.indices, self.size = indices, size

    def forward(self, values: Array) -> Array:
        return own(lib.mg_plane_scatter(values, self.indices._array, *self.size))

    def grad_values(self, grad: Tensor) -> Tensor:
        return PlaneGather(self.indices).apply(grad)


class PlaneGather(Operation):
    """y = x (H, W) at the indices;  dx = zeros with dy added at the indices"""

    __slots__ = ("indices",)
    keeps_shapes = True

    def __init__(self, indices: Tensor) -> None:
        self.indices = indices

    def forward(self, x: Array) -> Array:
        return own(lib.mg_plane_gather(x, self.indices._array))

    def grad_x(self, grad: Tensor) -> Tensor:
        return PlaneScatter(self.indices, self.operand_shapes[0][-2:]).apply(grad)


class AvgPool2d(Operation):
    """y = the mean of each window;  dx = each dy shared out over its window"""

    __slots__ = ("geometry",)
    keeps_shapes = True

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry

    def forward(self, x: Array) -> Array:
        return own(lib.mg_avg_pool2d(x, self.geometry))

    def grad_x(self, grad: Tensor) -> Tensor:
        return AvgPool2dBackward(self.geometry, self.operand_shapes[0][-2:]).apply(grad)


class AvgPool2dBackward(Operation):
    """dx of average pooling;  linear, so its derivative is the pooling"""

    __slots__ = ("geometry", "size")

    def __init__(self, geometry: Geometry, size: Sequence[int]) -> None:
        self.geometry, self.size = geometry, size

    def forward(self, g: Array) -> Array:
        return own(lib.mg_avg_pool2d_backward(g, *self.size, self.geometry))

    def grad_g(self, grad: Tensor) -> Tensor:
        return AvgPool2d(self.geometry).apply(grad)
