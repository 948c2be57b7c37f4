"""A convolution or linear layer and the BatchNorm after it as one layer, for evaluation."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, TypeVar

from ...autograd import no_grad
from ...ops.creation import ones_like, zeros_like
from ...tensor import Tensor
from ..module import Module
from ..parameter import Parameter

__all__ = [
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
]

T = TypeVar("T", bound=Module)


def fuse_conv_bn_eval(conv: T, bn: Any, transpose: bool = False) -> T:
    """A new convolution that computes ``bn(conv(x))``; both have to be in evaluation mode.

    `transpose` says that the convolution is a transposed one, whose weight is (in, out, ...).
    """
    _check(conv, bn, "fuse_conv_bn_eval")
    fused: Any = deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias,
        transpose,
    )  # fmt: skip
    return fused


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """W' = W · s and b' = (b - mean) · s + β for each output channel, with s = γ / √(var + eps)."""
    shape = [1] * conv_w.dim()
    shape[1 if transpose else 0] = -1
    return _folded(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, shape)


def fuse_linear_bn_eval(linear: T, bn: Any) -> T:
    """A new linear layer that computes ``bn(linear(x))``; both have to be in evaluation mode."""
    _check(linear, bn, "fuse_linear_bn_eval")
    fused: Any = deepcopy(linear)
    if bn.num_features not in (fused.out_features, 1):
        raise AssertionError(
            f"fuse_linear_bn_eval: the linear layer has {fused.out_features} outputs, the "
            f"BatchNorm {bn.num_features} features; they have to be the same, or the latter 1"
        )
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:
    """`fuse_conv_bn_weights` for a weight (out, in)."""
    return _folded(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, [-1, 1])


def _folded(
    weight: Tensor,
    bias: Tensor | None,
    mean: Tensor,
    var: Tensor,
    eps: float,
    gamma: Tensor | None,
    beta: Tensor | None,
    shape: list[int],
) -> tuple[Parameter, Parameter]:
    with no_grad():
        scale = (var + eps).rsqrt() * (ones_like(mean) if gamma is None else gamma)
        shift = (zeros_like(mean) if bias is None else bias) - mean
        shift = shift * scale + (zeros_like(mean) if beta is None else beta)
        kind = weight.dtype if bias is None else bias.dtype
        new_weight = (weight * scale.reshape(shape)).to(weight.dtype)
        requires_grad = False if bias is None else bias.requires_grad
        return (
            Parameter(new_weight, weight.requires_grad),
            Parameter(shift.to(kind), requires_grad),
        )


def _check(layer: Module, bn: Any, op: str) -> None:
    if layer.training or bn.training:
        raise AssertionError(f"{op}: both layers have to be in evaluation mode; call eval() first")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError(f"{op}: the BatchNorm has no running statistics to fold in")
