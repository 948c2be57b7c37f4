"""Clipping of gradients, against cliffs of the loss and exploding gradients (Pascanu et al., 2013).

The norm stays a tensor and the factor is computed where the gradients are scaled: nothing is read,
so a recorded plan replays the clipping with the gradients of the day.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from types import GeneratorType

from ...autograd import no_grad
from ...ops.creation import zeros
from ...ops.many import clip_norm_, clip_value_, total_norm
from ...ops.shape import stack
from ...tensor import Tensor

__all__ = [
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
]

Tensors = Tensor | Iterable[Tensor]


@no_grad()
def get_total_norm(
    tensors: Tensors,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The p-norm of all tensors as one vector, a 0-d tensor: (Σ|x|^p)^(1/p).

    `norm_type` may also be inf, -inf, 0 (as in torch, how many tensors are not all zero) or
    negative. With `error_if_nonfinite` a norm that is inf or NaN raises RuntimeError, for which
    the value has to be read. `foreach` changes nothing: the 2-norm and the largest magnitude are
    one launch.
    """
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    norm_type = float(norm_type)
    if not tensors:
        return zeros(())
    for tensor in tensors:
        if not tensor.is_floating_point():
            raise RuntimeError(
                "get_total_norm: expected floating point tensors, got one of shape "
                f"{list(tensor.shape)} and dtype {tensor.dtype}"
            )
        if math.isinf(norm_type) and tensor.numel() == 0:
            raise RuntimeError(
                "get_total_norm: an empty tensor has no largest element, so no norm of order "
                f"{norm_type}"
            )
    if norm_type in (2.0, math.inf):
        norms = total_norm(tensors, largest=norm_type != 2.0)
    else:
        norms = [tensor.norm(norm_type) for tensor in tensors]
    total = norms[0]
    if len(norms) > 1:
        widest = max((norm.dtype for norm in norms), key=lambda dtype: dtype.itemsize)
        total = stack([norm.to(widest) for norm in norms]).norm(norm_type)
    elif norm_type == 0.0:
        total = total.norm(norm_type)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, "
            "so it cannot be clipped. To disable this error and scale the gradients by the "
            "non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return total


def clip_grads_with_norm_(
    parameters: Tensors,
    max_norm: float,
    total_norm: Tensor,
    foreach: bool | None = None,
) -> None:
    """Scales the gradients in place by min(1, max_norm / (total_norm + 1e-6))."""
    gradients = _gradients([parameters] if isinstance(parameters, Tensor) else parameters)
    if not isinstance(total_norm, Tensor):
        raise TypeError(
            "clip_grads_with_norm_: total_norm must be a Tensor, as get_total_norm returns it, "
            f"got {type(total_norm).__name__}"
        )
    clip_norm_(gradients, total_norm, float(max_norm))


def clip_grad_norm_(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scales the gradients of all parameters in place so that their norm, taken over all of them as
    one vector, is at most `max_norm`; returns the norm before. See `get_total_norm`."""
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    else:
        generated = isinstance(parameters, GeneratorType)
        parameters = list(parameters)
        if generated and not parameters:
            warnings.warn(
                "`parameters` is an empty generator: there is nothing to clip", stacklevel=2
            )
    gradients = _gradients(parameters)
    norm = get_total_norm(gradients, norm_type, error_if_nonfinite, foreach)
    clip_norm_(gradients, norm, float(max_norm))
    return norm


def clip_grad_norm(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Deprecated, as in torch: `clip_grad_norm_` works in place and says so."""
    warnings.warn("clip_grad_norm is deprecated: use clip_grad_norm_", FutureWarning, stacklevel=2)
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


def clip_grad_value_(parameters: Tensors, clip_value: float, foreach: bool | None = None) -> None:
    """Clips each element of the gradients in place into [-clip_value, clip_value]."""
    clip_value = float(clip_value)
    clip_value_(_gradients([parameters] if isinstance(parameters, Tensor) else parameters),
                clip_value)  # fmt: skip


def _gradients(parameters: Iterable[Tensor]) -> list[Tensor]:
    gradients = (parameter.grad for parameter in parameters)
    return [gradient for gradient in gradients if gradient is not None]
