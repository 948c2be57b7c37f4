"""Normalization."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..dtypes import finfo
from ..ops.elementwise import check_tensor
from ..ops.norm import batch_norm as _batch_norm
from ..ops.norm import group_norm as _group_norm
from ..ops.shape import cat
from ..tensor import Tensor

__all__ = [
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_response_norm",
    "rms_norm",
]


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
    running ones. In training the latter move towards the batch's by ``momentum`` and
    ``num_batches_tracked`` is counted up; a momentum of None averages over all batches."""
    check_tensor(input, "batch_norm")
    if input.ndim < 2:
        raise ValueError(f"batch_norm: expected at least 2 dimensions, got {list(input.shape)}")
    if training and input.numel() == input.shape[1]:
        raise ValueError(
            "Expected more than 1 value per channel when training, got input size "
            f"{list(input.shape)}"
        )
    if eps < 0 or (training and eps == 0):
        least = "positive" if training else "non-negative"
        raise ValueError(f"batch_norm eps must be {least}, but got {eps}")
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


def _check_norm(op: str, input: Tensor, *weights: Tensor | None) -> None:
    check_tensor(input, op)
    if not input.is_floating_point():
        raise NotImplementedError(
            f"\"{op}\" not implemented for '{input.dtype}': convert the input to a floating-point "
            "dtype"
        )
    for weight in weights:
        if weight is not None and weight.dtype is not input.dtype:
            raise RuntimeError(
                f"{op}: mixed dtype: expected weight and bias of the input's {input.dtype}, got "
                f"{weight.dtype}"
            )


def _check_rows(
    op: str,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None,
    bias: Tensor | None = None,
) -> int:
    """The number of elements normalised together: those of the last dimensions, whose sizes are
    ``normalized_shape``."""
    if isinstance(normalized_shape, int):
        raise TypeError(f"{op}(): argument 'normalized_shape' must be tuple of ints, not int")
    expected = tuple(normalized_shape)
    if not expected:
        raise RuntimeError(f"{op}: expected normalized_shape with at least one element, got []")
    if tuple(input.shape[-len(expected) :]) != expected:
        sizes = ", ".join(map(str, expected))
        raise RuntimeError(
            f"{op}: Given normalized_shape={list(expected)}, expected input with shape "
            f"[*, {sizes}], but got input of size {list(input.shape)}"
        )
    for name, each in (("weight", weight), ("bias", bias)):
        if each is not None and tuple(each.shape) != expected:
            raise RuntimeError(
                f"{op}: Expected {name} to be of same shape as normalized_shape, but got {name} of "
                f"shape {list(each.shape)} and normalized_shape = {list(expected)}"
            )
    return math.prod(expected)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / √(var + eps) · weight + bias, with mean and biased variance over the last
    dimensions, whose sizes are ``normalized_shape``; weight and bias are of that shape."""
    _check_norm("layer_norm", input, weight, bias)
    n = _check_rows("layer_norm", input, normalized_shape, weight, bias)
    return _group_norm(input, weight, bias, 1, n, 1, True, eps)


def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """x / √(mean x² + eps) · weight over the last dimensions, whose sizes are
    ``normalized_shape``; eps is the dtype's epsilon if not given."""
    _check_norm("rms_norm", input)
    n = _check_rows("rms_norm", input, normalized_shape, weight)
    if eps is None:
        eps = finfo(input.dtype).eps
    if weight is not None and weight.dtype is not input.dtype:
        normal = _group_norm(input, None, None, 1, n, 1, False, eps)
        return (normal * weight).to(input.dtype)
    return _group_norm(input, weight, None, 1, n, 1, False, eps)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises each of ``num_groups`` groups of channels of each sample of (N, C, ...) by its
    own mean and biased variance; weight and bias are (C)."""
    check_tensor(input, "group_norm")
    shape = input.shape
    if input.ndim < 2:
        raise RuntimeError(
            f"group_norm: Expected at least 2 dimensions for input tensor but received {input.ndim}"
        )
    inner, channels = math.prod(shape[2:]), shape[1]
    if shape[0] * inner * channels == num_groups:
        raise ValueError(
            "group_norm: Expected more than 1 value per channel when training, got input size "
            f"{list(shape)}"
        )
    if num_groups == 0:
        raise ZeroDivisionError("group_norm: num_groups is 0")
    if num_groups < 0 or channels % num_groups:
        raise RuntimeError(
            "group_norm: Expected number of channels in input to be divisible by num_groups, but "
            f"got input of shape {list(shape)} and num_groups={num_groups}"
        )
    _check_norm("group_norm", input, weight, bias)
    for name, each in (("weight", weight), ("bias", bias)):
        if each is not None and list(each.shape) != [channels]:
            raise RuntimeError(
                f"group_norm: Expected {name} to be a vector of size equal to the number of "
                f"channels in input, but got {name} of shape {list(each.shape)} and input of shape "
                f"{list(shape)}"
            )
    return _group_norm(input, weight, bias, num_groups, channels // num_groups, inner, True, eps)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises each channel of each sample of (N, C, ...) by its own mean and biased variance,
    or, without ``use_input_stats``, by the running ones; the running ones move towards the mean
    over the batch of what each sample would make of them."""
    check_tensor(input, "instance_norm")
    shape = input.shape
    if input.ndim < 2:
        raise RuntimeError(f"instance_norm: expected (N, C, ...), got shape {list(shape)}")
    samples, channels, inner = shape[0], shape[1], math.prod(shape[2:])
    if use_input_stats and inner == 1:
        raise ValueError(
            "instance_norm: Expected more than 1 spatial element when training, got input size "
            f"{list(shape)}"
        )
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise RuntimeError(
                "instance_norm: Expected running_mean and running_var to be defined when "
                "use_input_stats is false"
            )
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    _check_norm("instance_norm", input, weight, bias)
    for name, each in (("weight", weight), ("bias", bias)):
        if each is not None and each.numel() != channels:
            raise RuntimeError(
                f"instance_norm: {name} should contain {channels} elements, one a channel of shape "
                f"{list(shape)}, not {each.numel()}"
            )
    if running_mean is None or running_var is None or not samples:
        return _group_norm(input, weight, bias, channels, 1, inner, True, eps)
    # As a batch of one sample with a channel for each of ours.
    mean, var = (each.detach().repeat(samples) for each in (running_mean, running_var))
    flat = input.reshape(1, samples * channels, inner)
    y = batch_norm(flat, mean, var, training=True, momentum=momentum, eps=eps).reshape(shape)
    for running, each in ((running_mean, mean), (running_var, var)):
        running.detach().copy_(each.reshape(samples, channels).mean(0))
    sizes = [1, channels] + [1] * (input.ndim - 2)
    if weight is not None:
        y = y * weight.reshape(sizes)
    return y if bias is None else y + bias.reshape(sizes)


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """x / (k + alpha · a)^beta for (N, C, ...), a the mean of the squares of ``size`` neighbouring
    channels, ``size // 2`` of them before and zeros beyond the ends. Krizhevsky et al. 2012"""
    check_tensor(input, "local_response_norm")
    if input.ndim < 3:
        raise ValueError(
            "local_response_norm: Expected 3D or higher dimensionality input (got "
            f"{input.ndim} dimensions)"
        )
    if input.numel() == 0:
        return input
    if size < 1:
        raise RuntimeError(f"local_response_norm: size should be greater than zero, but got {size}")
    squares, channels = input.square(), input.shape[1]
    before, after = [
        squares.new_zeros((input.shape[0], each, *input.shape[2:]))
        for each in (size // 2, (size - 1) // 2)
    ]
    padded = cat([before, squares, after], 1)
    total = padded.narrow(1, 0, channels)
    for first in range(1, size):
        total = total + padded.narrow(1, first, channels)
    return input / (total * (alpha / size) + k).pow(beta)
