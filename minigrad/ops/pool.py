"""Pooling: the largest element or the mean of windows over the last dimensions."""

from __future__ import annotations

from collections.abc import Sequence

from ..autograd.engine import OUTPUT, MultipleOutputs, Operation
from ..kernels import Array, check, lib, own, pointers, several
from ..tensor import Tensor

Geometry = Sequence[int]  # see csrc/api.h


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


class WindowMax(MultipleOutputs):
    """y = the largest element of each window over the last dimensions, and its index in the plane,
    which alone gets the gradient. A window is (first element, elements, step); there is an array
    (1 or planes, windows, 3) for each dimension."""

    __slots__ = ("windows",)
    saves = OUTPUT
    keeps_shapes = True

    def __init__(self, windows: Sequence[Array]) -> None:
        self.windows = windows

    def forward(self, x: Array) -> list[Array]:
        outputs = several(2)
        check(lib.mg_window_max(x, len(self.windows), pointers(self.windows), outputs))
        return [own(each) for each in outputs]

    def backward(self, grads: Sequence[Tensor]) -> list[Tensor | None]:
        indices = self.saved_outputs[1]
        size = self.operand_shapes[0][-len(self.windows) :]
        return [PlaneScatter(indices, size).apply(grads[0])]


class PlaneScatter(Operation):
    """y = zeros of that size with the values added at their indices, or with `replace` put there;
    dv = dy at the indices"""

    __slots__ = ("indices", "replace", "size")

    def __init__(self, indices: Tensor, size: Sequence[int], replace: bool = False) -> None:
        self.indices, self.size, self.replace = indices, size, replace

    def forward(self, values: Array) -> Array:
        size = self.size
        return own(lib.mg_plane_scatter(values, self.indices._array, len(size), size, self.replace))

    def grad_values(self, grad: Tensor) -> Tensor:
        return PlaneGather(self.indices, len(self.size)).apply(grad)


class PlaneGather(Operation):
    """y = x at the indices, which count through the last `count` dimensions;  dx = zeros with dy
    added at the indices"""

    __slots__ = ("count", "indices")
    keeps_shapes = True

    def __init__(self, indices: Tensor, count: int) -> None:
        self.indices, self.count = indices, count

    def forward(self, x: Array) -> Array:
        return own(lib.mg_plane_gather(x, self.indices._array, self.count))

    def grad_x(self, grad: Tensor) -> Tensor:
        return PlaneScatter(self.indices, self.operand_shapes[0][-self.count :]).apply(grad)


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
