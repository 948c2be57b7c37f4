"""Matrix products. Transposed operands are flags of the kernel, so a derivative copies nothing."""

from __future__ import annotations

from typing import Any

from ..array import as_strided
from ..autograd.engine import INPUTS, Operation
from ..kernels import NULL, Array, binary
from ..kernels import matmul as matmul_kernel
from ..tensor import Tensor
from .arithmetic import Add
from .elementwise import check_tensor, into
from .reduce import Sum
from .shape import reshape, squeeze, unsqueeze


class MatMul(Operation):
    """Y = A B for (..., m, k) and (..., k, n), either transposed first.

    Untransposed: dA = dY Bᵀ, dB = Aᵀ dY; a transposed operand's gradient is the transpose of that.
    """

    __slots__ = ("transpose_a", "transpose_b")
    saves = INPUTS
    uses = ((1,), (0,))
    adapts = True

    def __init__(self, transpose_a: bool = False, transpose_b: bool = False) -> None:
        self.transpose_a = transpose_a
        self.transpose_b = transpose_b

    def forward(self, a: Array, b: Array) -> Array:
        return matmul_kernel(a, b, NULL, self.transpose_a, self.transpose_b)

    def grad_a(self, grad: Tensor) -> Tensor:
        b = self.inputs[1]
        if self.transpose_a:
            return MatMul(self.transpose_b, True).apply(b, grad)
        return MatMul(False, not self.transpose_b).apply(grad, b)

    def grad_b(self, grad: Tensor) -> Tensor:
        a = self.inputs[0]
        if self.transpose_b:
            return MatMul(True, self.transpose_a).apply(grad, a)
        return MatMul(not self.transpose_a, False).apply(a, grad)


class Linear(Operation):
    """Y = X Wᵀ + b for X (n, in), W (out, in), b (out);  dX = dY W,  dW = dYᵀ X,  db = Σₙ dY"""

    __slots__ = ()
    saves = INPUTS
    uses = ((1,), (0,), ())

    def forward(self, x: Array, weight: Array, bias: Array) -> Array:
        return matmul_kernel(x, weight, bias, False, True)

    def grad_x(self, grad: Tensor) -> Tensor:
        return MatMul().apply(grad, self.inputs[1])

    def grad_weight(self, grad: Tensor) -> Tensor:
        return MatMul(True, False).apply(grad, self.inputs[0])

    def grad_bias(self, grad: Tensor) -> Tensor:
        return Sum(1).apply(grad)  # over the first dimension


class LinearBatch(Operation):
    """Yₖ = X Wₖᵀ + bₖ for X (N, in) or Xₖ (K, N, in), W (K, out, in), b (K, out);
    dXₖ = dYₖ Wₖ,  dWₖ = dYₖᵀ Xₖ,  dbₖ = Σₙ dYₖ"""

    __slots__ = ()
    saves = INPUTS
    uses = ((1,), (0,), ())
    adapts = True

    def forward(self, x: Array, weight: Array, bias: Array) -> Array:
        y = matmul_kernel(x, weight, NULL, False, True)
        (count, width), (step, stride) = bias.shape[0:2], bias.strides[0:2]
        rows = as_strided(bias, (count, 1, width), (step, 0, stride), 0)
        return binary(Add.code, y, rows, y)

    def grad_x(self, grad: Tensor) -> Tensor:
        return MatMul().apply(grad, self.inputs[1])

    def grad_weight(self, grad: Tensor) -> Tensor:
        return MatMul(True, False).apply(grad, self.inputs[0])

    def grad_bias(self, grad: Tensor) -> Tensor:
        return Sum(2).apply(grad)  # over the second dimension


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight.T + bias`` for input (..., in), weight (out, in) and bias (out)."""
    if type(input) is not Tensor:
        check_tensor(input, "linear")
    dims = input._array.ndim
    if bias is None:
        return matmul(input, weight.t())
    if dims == 2:
        return Linear().apply(input, weight, bias)
    if dims == 1:
        return squeeze(Linear().apply(unsqueeze(input, 0), weight, bias), 0)
    if dims == 0:
        raise RuntimeError("linear(): the input must have at least one dimension")
    flat = Linear().apply(reshape(input, -1, input.shape[-1]), weight, bias)
    return reshape(flat, *input.shape[:-1], weight.shape[0])


def matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The matrix product; vectors count as a row on the left and a column on the right, further
    dimensions are batches and broadcast. https://pytorch.org/docs/stable/generated/torch.matmul.html"""
    if not (isinstance(input, Tensor) and isinstance(other, Tensor)):
        check_tensor(input, "matmul")
        check_tensor(other, "matmul", "other")
    result = product(input, other)
    return result if out is None else into(out, result)


def product(a: Tensor, b: Tensor) -> Tensor:
    """``matmul`` of two tensors."""
    dims_a, dims_b = a._array.ndim, b._array.ndim
    if dims_a == 2 and dims_b == 2:
        return MatMul().apply(a, b)
    if dims_a == 0 or dims_b == 0:
        raise RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {dims_a}D and {dims_b}D"
        )
    if dims_a == 1 and dims_b == 1:
        if a.shape != b.shape:
            raise RuntimeError(
                f"inconsistent tensor size, expected tensor {list(a.shape)} and src "
                f"{list(b.shape)} to have the same number of elements"
            )
        return MatMul().apply(unsqueeze(a, 0), unsqueeze(b, 1)).reshape(())
    if dims_a == 1:
        return squeeze(product(unsqueeze(a, 0), b), -2)
    if dims_b == 1:
        return squeeze(product(a, unsqueeze(b, 1)), -1)
    if dims_b == 2:  # one matrix for the whole batch: one product
        flat = MatMul().apply(reshape(a, -1, a.shape[-1]), b)
        return reshape(flat, *a.shape[:-1], b.shape[1])
    return MatMul().apply(a, b)


def mm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The product of two matrices, without broadcasting."""
    if input.ndim != 2 or mat2.ndim != 2:
        raise RuntimeError(f"mm: both tensors must be 2D, got {input.ndim}D and {mat2.ndim}D")
    return into(out, MatMul().apply(input, mat2))


def bmm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The products of two batches of matrices of the same size."""
    if input.ndim != 3 or mat2.ndim != 3:
        raise RuntimeError("batch1 must be a 3D tensor and batch2 must be a 3D tensor")
    if input.shape[0] != mat2.shape[0]:
        raise RuntimeError(
            f"bmm: expected the same batch size, got {list(input.shape)} and {list(mat2.shape)}"
        )
    return into(out, MatMul().apply(input, mat2))


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """A matrix times a vector."""
    if input.ndim != 2 or vec.ndim != 1:
        raise RuntimeError(f"mv: expected a matrix and a vector, got {input.ndim}D and {vec.ndim}D")
    return product(input, vec)


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The inner product of two vectors."""
    if input.ndim != 1 or tensor.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {input.ndim}D and {tensor.ndim}D tensors")
    return product(input, tensor)


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """The outer product of two vectors."""
    return unsqueeze(input, 1) * vec2


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * (mat1 @ mat2)``."""
    product = mm(mat1, mat2)
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        return product
    return product + (input if beta == 1 else input * beta)
