"""Activation functions: elementwise ones and softmax."""

from __future__ import annotations

from ..dtypes import dtype as DType
from ..ops.elementwise import Relu, check_tensor, to_dtype
from ..ops.softmax import LogSoftmax, Softmax
from ..tensor import Tensor, normalized

__all__ = ["log_softmax", "relu", "sigmoid", "softmax", "tanh"]


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    if inplace:
        return Relu().apply_in_place(input)
    return Relu().apply(input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return input.tanh()


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + e⁻ˣ)."""
    return input.sigmoid()


def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """eˣ / Σ eˣ along a dimension; without ``dim`` torch's old rule: 0 for 0, 1 and 3 dimensions,
    else 1."""
    return _soft(Softmax, input, dim, dtype, "softmax")


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """The logarithm of ``softmax``, computed without overflow or cancellation."""
    return _soft(LogSoftmax, input, dim, dtype, "log_softmax")


def _soft(
    operation: type[Softmax], input: Tensor, dim: int | None, dtype: DType | None, name: str
) -> Tensor:
    check_tensor(input, name)
    if dtype is not None:
        input = to_dtype(input, dtype)
    ndim = input.ndim
    if dim is None:
        dim = 0 if ndim in (0, 1, 3) else 1
    dim = normalized(dim, ndim, name)
    if ndim == 0:
        return operation(0).apply(input.reshape(1)).reshape(())
    return operation(dim).apply(input)


# Methods, too. They belong with the functions, above ops.methods, which attaches the others.
for _method in (softmax, log_softmax):
    setattr(Tensor, _method.__name__, _method)
