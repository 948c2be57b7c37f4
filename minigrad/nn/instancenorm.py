"""Instance normalisation (Ulyanov et al., 2016)."""

from __future__ import annotations

import warnings
from typing import Any

from ..functional import instance_norm
from ..tensor import Tensor
from .batchnorm import _NormBase

__all__ = ["InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"]


class _InstanceNorm(_NormBase):
    """y = (x - mean) / √(var + eps) · weight + bias, per sample and channel.

    With `track_running_stats` evaluation uses the running statistics, which in training move by
    `momentum` towards the mean over the batch.
    """

    _plain_dims = 0  # dimensions of an input without a batch

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def _check_input_dim(self, input: Tensor) -> None:
        few = self._plain_dims
        if input.dim() not in (few, few + 1):
            raise ValueError(f"expected {few}D or {few + 1}D input (got {input.dim()}D input)")

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        batched = input.dim() > self._plain_dims
        channels = input.size(1 if batched else 0)
        if channels != self.num_features:
            message = (
                f"input's size at dim={int(batched)} is {channels}, which does not match "
                f"num_features ({self.num_features})"
            )
            if self.affine:
                raise ValueError(message)
            warnings.warn(f"{message}; num_features is not used without affine", stacklevel=2)
        result = instance_norm(
            input if batched else input.unsqueeze(0),
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return result if batched else result.squeeze(0)


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of (N, C, L) or (C, L)."""

    _plain_dims = 2


class InstanceNorm2d(_InstanceNorm):
    """Instance normalisation of (N, C, H, W) or (C, H, W)."""

    _plain_dims = 3


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of (N, C, D, H, W) or (C, D, H, W)."""

    _plain_dims = 4
