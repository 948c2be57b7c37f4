"""The functions behind the layers: ``minigrad.nn.functional``, with torch's names and arguments.

https://pytorch.org/docs/stable/nn.functional.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .dtypes import dtype as DType
from .dtypes import int64
from .kernels import Array
from .ops.conv import AvgPool2d, Conv2d, MaxPool2d
from .ops.elementwise import Relu, check_tensor, to_dtype
from .ops.matmul import linear
from .ops.norm import batch_norm as _batch_norm
from .ops.random import Generator, bernoulli_
from .ops.softmax import REDUCTIONS, CrossEntropy, LogSoftmax, Softmax
from .tensor import Tensor, normalized, wrap

Pair = int | Sequence[int]


def _pair(value: Pair, name: str) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    given = tuple(int(each) for each in value)
    if len(given) == 1:
        return given[0], given[0]
    if len(given) != 2:
        raise RuntimeError(f"{name} must be an int or two of them, got {value!r}")
    return given[0], given[1]


# ---- activations ----


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


# ---- losses ----


def _reduction(reduction: str, size_average: bool | None = None, reduce: bool | None = None) -> str:
    if size_average is not None or reduce is not None:
        if reduce is False:
            return "none"
        return "sum" if size_average is False else "mean"
    if reduction not in REDUCTIONS:
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def _reduced(losses: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()


def _check_classes(input: Tensor, target: Tensor, op: str) -> None:
    """The shapes of scores (N, C, ...) or (C) and class indices (N, ...) or ()."""
    expected = input.shape[:1] + input.shape[2:] if input.ndim > 1 else input.shape[:0]
    if input.ndim == 0:
        raise RuntimeError(f"{op}: the input must have at least one dimension (classes)")
    if target.shape != expected:
        if input.ndim > 1 and target.ndim and input.shape[0] != target.shape[0]:
            raise ValueError(
                f"Expected input batch_size ({input.shape[0]}) to match target batch_size "
                f"({target.shape[0]})."
            )
        raise RuntimeError(
            f"{op}: for an input of shape {list(input.shape)} the target must have shape "
            f"{list(expected)}, got {list(target.shape)}"
        )
    if target.dtype is not int64:
        raise RuntimeError(
            f"{op}: expected target of dtype minigrad.int64 (class indices), got {target.dtype}; "
            "convert it with target.long()"
        )


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The cross-entropy of scores (N, C, ...) or (C) and targets: class indices, or probabilities
    of the scores' shape."""
    reduction = _reduction(reduction, size_average, reduce)
    check_tensor(input, "cross_entropy")
    check_tensor(target, "cross_entropy", "target")
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if not _is_plain(input._array, target._array):
        if target.shape == input.shape and target.is_floating_point():
            return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
        _check_classes(input, target, "cross_entropy")
    _check_weight(input, weight, "cross_entropy")
    return CrossEntropy(target, weight, ignore_index, label_smoothing, reduction).apply(input)


def _is_plain(scores: Array, target: Array) -> bool:
    """Whether these are scores (N, C) and class indices (N), as nearly always: a third of the time
    of a small cross-entropy is saved by looking for that first."""
    return (
        scores.ndim == 2
        and target.ndim == 1
        and target.dtype == int64.code
        and target.size * scores.shape[1] == scores.size
    )


def _check_weight(input: Tensor, weight: Tensor | None, op: str) -> None:
    if weight is None:
        return
    classes = input.shape[1 if input.ndim > 1 else 0]
    if weight.shape != (classes,):
        raise RuntimeError(
            f"{op}: weight tensor should be defined either for all {classes} classes or no classes "
            f"but got weight tensor of shape: {list(weight.shape)}"
        )
    if weight.dtype is not input.dtype:
        raise RuntimeError(
            f"{op}: expected weight of dtype {input.dtype} as the input, got {weight.dtype}"
        )


def _soft_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, smoothing: float
) -> Tensor:
    dim = 1 if input.ndim > 1 else 0
    classes = input.shape[dim]
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    scores = log_softmax(input, dim) * target
    if weight is not None:
        _check_weight(input, weight, "cross_entropy")
        view = [1] * input.ndim
        view[dim] = classes
        scores = scores * weight.reshape(view)
    losses = -scores.sum(dim)
    if reduction == "mean":
        return losses.sum() / (input.numel() // classes)
    return _reduced(losses, reduction)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The negative log-likelihood of log-probabilities (N, C, ...) or (C) and class indices."""
    reduction = _reduction(reduction, size_average, reduce)
    check_tensor(input, "nll_loss")
    _check_classes(input, target, "nll_loss")
    _check_weight(input, weight, "nll_loss")
    dim = 1 if input.ndim > 1 else 0
    kept = target != ignore_index
    index = target.masked_fill(~kept, 0)
    factors = kept.to(input.dtype) if weight is None else weight[index] * kept.to(input.dtype)
    picked = input.gather(dim, index.unsqueeze(dim)).squeeze(dim)
    losses = -(picked * factors).masked_fill(~kept, 0.0)
    return losses.sum() / factors.sum() if reduction == "mean" else _reduced(losses, reduction)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """The mean (or sum, or each) of the squared differences."""
    reduction = _reduction(reduction, size_average, reduce)
    if input.shape != target.shape:
        import warnings

        warnings.warn(
            f"Using a target size ({list(target.shape)}) that is different to the input size "
            f"({list(input.shape)}). This will likely lead to incorrect results due to "
            "broadcasting. Please ensure they have the same size.",
            stacklevel=2,
        )
    squares = (input - target).square()
    return _reduced(squares if weight is None else squares * weight, reduction)


# ---- dropout ----


def dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """In training each element is 0 with probability p, the others are divided by 1 - p."""
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0.0:
        return input
    mask = input.new_empty(input.shape)
    bernoulli_(mask, 1.0 - p, generator=generator)
    if p < 1.0:
        mask.mul_(1.0 / (1.0 - p))
    return input.mul_(mask) if inplace else input * mask


# ---- convolution and pooling ----


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """The cross-correlation of (N, C, H, W) or (C, H, W) with kernels (O, C / groups, KH, KW)."""
    check_tensor(input, "conv2d")
    check_tensor(weight, "conv2d", "weight")
    if input.ndim == 3:
        batch = input.unsqueeze(0)
        return conv2d(batch, weight, bias, stride, padding, dilation, groups).squeeze(0)
    if weight.ndim != 4:
        raise RuntimeError(f"conv2d: expected a 4D weight, got shape {list(weight.shape)}")
    if input.ndim != 4:
        raise RuntimeError(
            "Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: "
            f"{list(input.shape)}"
        )
    strides, dilations = _pair(stride, "stride"), _pair(dilation, "dilation")
    if isinstance(padding, str):
        input, paddings = _named_padding(input, weight, padding, strides, dilations)
    else:
        paddings = _pair(padding, "padding")
    geometry = (*strides, *paddings, *dilations, groups)
    if bias is None:
        return Conv2d(geometry).apply(input, weight)
    return Conv2d(geometry).apply(input, weight, bias)


def _named_padding(
    input: Tensor, weight: Tensor, padding: str, strides: Any, dilations: Any
) -> tuple[Tensor, tuple[int, int]]:
    """'valid' is none; 'same' keeps the size, the odd element going behind."""
    if padding == "valid":
        return input, (0, 0)
    if padding != "same":
        raise ValueError(f"Invalid padding string {padding!r}, should be one of 'valid', 'same'")
    if strides != (1, 1):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    totals = [d * (size - 1) for d, size in zip(dilations, weight.shape[2:], strict=True)]
    odd = [total % 2 for total in totals]
    if any(odd):
        n, c, height, width = input.shape
        padded = input.new_zeros(n, c, height + odd[0], width + odd[1])
        padded[:, :, :height, :width] = input
        input = padded
    return input, (totals[0] // 2, totals[1] // 2)


def _pool_geometry(
    kernel_size: Pair,
    stride: Pair | None,
    padding: Pair,
    dilation: Pair,
    *flags: int,
) -> list[int]:
    kernel = _pair(kernel_size, "kernel_size")
    steps = kernel if stride is None or stride == [] else _pair(stride, "stride")
    return [*kernel, *steps, *_pair(padding, "padding"), *_pair(dilation, "dilation"), *flags]


def _check_planes(input: Tensor, op: str) -> None:
    check_tensor(input, op)
    if input.ndim not in (3, 4):
        raise RuntimeError(
            f"{op}: Expected 3D or 4D (batch mode) tensor for input, but got shape "
            f"{list(input.shape)}"
        )


def max_pool2d(
    input: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window, and with ``return_indices`` its index in the plane."""
    _check_planes(input, "max_pool2d")
    geometry = _pool_geometry(kernel_size, stride, padding, dilation, int(ceil_mode), 0, 0)
    values, indices = MaxPool2d(geometry).apply(input)
    return (values, indices) if return_indices else values


def avg_pool2d(
    input: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window."""
    _check_planes(input, "avg_pool2d")
    if divisor_override == 0:
        raise RuntimeError("divisor must be not zero")
    flags = (int(ceil_mode), int(count_include_pad), divisor_override or 0)
    return AvgPool2d(_pool_geometry(kernel_size, stride, padding, 1, *flags)).apply(input)


# ---- normalisation ----


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
    *,
    num_batches_tracked: Tensor | None = None,
) -> Tensor:
    """Normalises each channel of (N, C, ...) by the batch's statistics in training, else by the
    running ones. A momentum of None averages over all batches, counted by
    ``num_batches_tracked``."""
    check_tensor(input, "batch_norm")
    if input.ndim < 2:
        raise ValueError(f"batch_norm: expected at least 2 dimensions, got {list(input.shape)}")
    if training and input.numel() == input.shape[1]:
        raise ValueError(
            "Expected more than 1 value per channel when training, got input size "
            f"{list(input.shape)}"
        )
    if not training and (running_mean is None or running_var is None):
        raise RuntimeError(
            "batch_norm: running_mean and running_var are needed outside of training"
        )
    if momentum is None and training and num_batches_tracked is None:
        momentum = 0.0
    return _batch_norm(
        input,
        weight,
        bias,
        running_mean,
        running_var,
        num_batches_tracked,
        training,
        -1.0 if momentum is None else momentum,
        eps,
    )


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Class indices as vectors with a 1 at the class."""
    if tensor.dtype is not int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if num_classes == -1:
        num_classes = int(tensor.max().item()) + 1
    result = wrap(tensor._array).new_zeros(*tensor.shape, num_classes)
    return result.scatter_(-1, tensor.unsqueeze(-1), value=1)


__all__ = [
    "avg_pool2d",
    "batch_norm",
    "conv2d",
    "cross_entropy",
    "dropout",
    "linear",
    "log_softmax",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "one_hot",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
]
