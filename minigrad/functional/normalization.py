"""Normalization."""

from __future__ import annotations

from ..ops.elementwise import check_tensor
from ..ops.norm import batch_norm as _batch_norm
from ..tensor import Tensor

__all__ = ["batch_norm"]


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
