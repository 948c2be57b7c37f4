"""Activation functions: elementwise ones and softmax.

``inplace=True`` overwrites the input and returns it; so do the functions with a final underscore.
"""

from __future__ import annotations

import math

from ..dtypes import dtype as DType
from ..ops import activation as _ops
from ..ops.elementwise import check_tensor, to_dtype
from ..ops.softmax import LogSoftmax, Softmax
from ..ops.unary import Relu
from ..tensor import Tensor, normalized

__all__ = [
    "celu",
    "celu_",
    "elu",
    "elu_",
    "gelu",
    "glu",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "leaky_relu",
    "leaky_relu_",
    "log_softmax",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "relu_",
    "rrelu",
    "rrelu_",
    "selu",
    "selu_",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "threshold_",
]

_SELU_SCALE = 1.0507009873554805  # the fixed point of Klambauer et al., 2017
_SELU_ALPHA = 1.6732632423543772


def _apply(operation: _ops.Activation | Relu, input: Tensor, inplace: bool, name: str) -> Tensor:
    if not isinstance(input, Tensor):
        check_tensor(input, name)
    return operation.apply_in_place(input) if inplace else operation.apply(input)


# ---- piecewise linear ----


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    return _apply(Relu(), input, inplace, "relu")


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6)."""
    return hardtanh(input, 0.0, 6.0, inplace)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else negative_slope · x."""
    return _apply(_ops.LeakyRelu(negative_slope), input, inplace, "leaky_relu")


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """``leaky_relu`` with a learnt slope: one number, or one for each channel (dimension 1)."""
    check_tensor(input, "prelu")
    check_tensor(weight, "prelu", "weight")
    if weight.numel() != 1:
        channels = input.shape[1] if input.ndim > 1 else 1
        if input.ndim == 0:
            raise RuntimeError("prelu: Not allow zero-dim input tensor with several weights.")
        if weight.numel() != channels or weight.ndim > 1:
            raise RuntimeError(
                f"Mismatch of parameter numbers and input channel size in prelu: weight has shape "
                f"{list(weight.shape)}, the input {list(input.shape)} has {channels} channels"
            )
        weight = weight.reshape([channels] + [1] * (input.ndim - 2))
    else:
        weight = weight.reshape(())
    if weight.dtype is not input.dtype:
        raise RuntimeError(
            f"prelu: Type promoting not supported. Got {input.dtype} and {weight.dtype}; convert "
            "one of them"
        )
    return _ops.Prelu().apply(input, weight)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """``leaky_relu`` whose slopes are drawn uniformly from [lower, upper] for each element in
    training, and are their mean outside of it."""
    check_tensor(input, "rrelu")
    if not lower <= upper:
        raise RuntimeError(
            f"rrelu: Lower bound should be less than or equal to the upper bound, got {lower} and "
            f"{upper}"
        )
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slopes = input.new_empty(input.shape).uniform_(lower, upper)
    slopes.masked_fill_(input.detach() > 0, 1.0)
    return input.mul_(slopes) if inplace else input * slopes


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """x clamped to [min_val, max_val]; on the bounds the gradient is 0."""
    check_tensor(input, "hardtanh")
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if not input.is_floating_point():
        return input.clamp_(min_val, max_val) if inplace else input.clamp(min_val, max_val)
    return _apply(_ops.Hardtanh(min_val, max_val), input, inplace, "hardtanh")


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x + 3, 0), 6) / 6."""
    return _apply(_ops.Hardsigmoid(), input, inplace, "hardsigmoid")


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · hardsigmoid(x)."""
    return _apply(_ops.Hardswish(), input, inplace, "hardswish")


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """0 for |x| <= lambd, else x."""
    return _apply(_ops.Hardshrink(lambd), input, False, "hardshrink")


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """0 for |x| <= lambd, else x - lambd · sign(x)."""
    if lambd < 0:
        raise RuntimeError(
            f"lambda must be greater or equal to 0, but found to be {lambd} in softshrink."
        )
    return _apply(_ops.Softshrink(lambd), input, False, "softshrink")


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, else value."""
    check_tensor(input, "threshold")
    if not input.is_floating_point():
        mask = input <= threshold
        return input.masked_fill_(mask, value) if inplace else input.masked_fill(mask, value)
    return _apply(_ops.Threshold(threshold, value), input, inplace, "threshold")


# ---- smooth ----


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha · (eˣ - 1)."""
    return _apply(_ops.Elu(alpha, 1.0, 1.0), input, inplace, "elu")


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """scale · elu(x, alpha), with the scale and alpha that keep mean 0 and variance 1."""
    operation = _ops.Elu(_SELU_ALPHA * _SELU_SCALE, _SELU_SCALE, 1.0)
    return _apply(operation, input, inplace, "selu")


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha · (e^(x / alpha) - 1)."""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _apply(_ops.Elu(alpha, 1.0, 1.0 / alpha), input, inplace, "celu")


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x · Φ(x), Φ the normal distribution function; "tanh": its approximation by tanh."""
    if approximate == "none":
        return _apply(_ops.Gelu(), input, False, "gelu")
    if approximate != "tanh":
        raise RuntimeError("approximate argument must be either none or tanh.")
    return _apply(_ops.GeluTanh(), input, False, "gelu")


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x · sigmoid(x), also called swish."""
    return _apply(_ops.Silu(), input, inplace, "silu")


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · tanh(softplus(x))."""
    return _apply(_ops.Mish(), input, inplace, "mish")


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^(beta · x)) / beta; x itself where beta · x > threshold."""
    inverse = 1.0 / beta if beta else math.inf
    return _apply(_ops.Softplus(beta, threshold, inverse), input, False, "softplus")


def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x)), without overflow or cancellation."""
    return _apply(_ops.LogSigmoid(), input, False, "logsigmoid")


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    check_tensor(input, "softsign")
    if not input.is_floating_point():
        return input / (input.abs() + 1)
    return _apply(_ops.Softsign(), input, False, "softsign")


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x)."""
    return input - input.tanh()


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a · sigmoid(b) for the halves a and b of a dimension (Dauphin et al., 2016)."""
    check_tensor(input, "glu")
    if input.ndim == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    dim = normalized(dim, input.ndim, "glu")
    size = input.shape[dim]
    if size % 2:
        raise RuntimeError(
            f"Halving dimension must be even, but dimension {dim} is size {size} (glu of shape "
            f"{list(input.shape)})"
        )
    return _ops.Glu(dim).apply(input)


# ---- from 0 to 1 ----


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


def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """``softmax`` of -x."""
    check_tensor(input, "softmin")
    return _soft(Softmax, -input, dim, dtype, "softmin")


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A sample of the relaxed categorical distribution: softmax((logits + noise) / tau), the noise
    Gumbel-distributed (Jang et al., 2016). ``hard`` gives the one-hot vector of the largest, with
    the gradient of the soft sample. ``eps`` does nothing, as in torch."""
    check_tensor(logits, "gumbel_softmax")
    uniform = logits.new_empty(logits.shape).uniform_(0.0, 1.0)
    exponential = -(1 - uniform).log()  # of (0, 1]: never the logarithm of 0
    noise = -exponential.clamp(min=1e-45).log()
    soft = softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    chosen = logits.new_zeros(logits.shape).scatter_(dim, soft.argmax(dim, keepdim=True), 1.0)
    return chosen - soft.detach() + soft


# ---- in place ----


def relu_(input: Tensor) -> Tensor:
    """In-place ``relu``."""
    return relu(input, inplace=True)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """In-place ``leaky_relu``."""
    return leaky_relu(input, negative_slope, inplace=True)


def rrelu_(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False
) -> Tensor:
    """In-place ``rrelu``."""
    return rrelu(input, lower, upper, training, inplace=True)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """In-place ``elu``."""
    return elu(input, alpha, inplace=True)


def selu_(input: Tensor) -> Tensor:
    """In-place ``selu``."""
    return selu(input, inplace=True)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """In-place ``celu``."""
    return celu(input, alpha, inplace=True)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """In-place ``hardtanh``."""
    return hardtanh(input, min_val, max_val, inplace=True)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """In-place ``threshold``."""
    return _threshold(input, threshold, value, inplace=True)


_threshold = threshold


# Methods, too. They belong with the functions, above ops.methods, which attaches the others.
for _method in (softmax, log_softmax):
    setattr(Tensor, _method.__name__, _method)
