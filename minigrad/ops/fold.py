"""Elements moved: patches of planes to columns and back, channels to pixels and back. Each is the
other's derivative."""

from __future__ import annotations

from collections.abc import Sequence

from .. import array as arrays
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


def _reordered(x: Array, parts: Sequence[int], order: Sequence[int], shape: Sequence[int]) -> Array:
    """A copy of the elements, the dimensions cut in parts, these in another order, and joined."""
    cut = own(lib.mg_reshape(x, len(parts), parts))
    strides = arrays.strides_of(cut)
    moved = arrays.as_strided(
        cut, [parts[d] for d in order], [strides[d] for d in order], cut.offset
    )
    return own(lib.mg_view(own(lib.mg_cast(moved, x.dtype)), len(shape), shape))


class PixelShuffle(Operation):
    """y (N, C, H r, W r) = x (N, C r², H, W), r² channels to squares of pixels;  dx = dy back"""

    __slots__ = ("factor",)

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def forward(self, x: Array) -> Array:
        r = self.factor
        n, c, h, w = arrays.shape_of(x)
        c //= r * r
        return _reordered(x, [n, c, r, r, h, w], (0, 1, 4, 2, 5, 3), [n, c, h * r, w * r])

    def grad_x(self, grad: Tensor) -> Tensor:
        return PixelUnshuffle(self.factor).apply(grad)


class PixelUnshuffle(Operation):
    """y (N, C r², H, W) = x (N, C, H r, W r), squares of pixels to channels;  dx = dy back"""

    __slots__ = ("factor",)

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def forward(self, x: Array) -> Array:
        r = self.factor
        n, c, h, w = arrays.shape_of(x)
        h, w = h // r, w // r
        return _reordered(x, [n, c, h, r, w, r], (0, 1, 3, 5, 2, 4), [n, c * r * r, h, w])

    def grad_x(self, grad: Tensor) -> Tensor:
        return PixelShuffle(self.factor).apply(grad)
