"""Batch normalisation, fused, with the composition it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..autograd.engine import INPUTS, Fused
from ..kernels import NULL, Array, check, lib, own, several
from ..tensor import Tensor, wrap


def _array(tensor: Tensor | None) -> Array:
    return NULL if tensor is None else tensor._array


class BatchNorm(Fused):
    """y = (x - μ) / √(σ² + ε) · w + b over (N, C, ...), statistics for each channel: of the batch
    in training (σ² biased), else the running ones. Ioffe and Szegedy 2015,
    https://arxiv.org/abs/1502.03167

    In training, with x̂ the normalised x and n elements for each channel:
    db = Σ dy,  dw = Σ dy x̂,  dx = w/√(σ² + ε) (dy - db/n - x̂ dw/n);  else dx = w/√(σ² + ε) dy
    """

    __slots__ = ("running", "batches", "training", "momentum", "eps", "kept", "affine")
    saves = INPUTS

    def __init__(
        self,
        running: tuple[Tensor | None, Tensor | None],
        batches: Tensor | None,
        training: bool,
        momentum: float,
        eps: float,
    ) -> None:
        self.running, self.batches = running, batches
        self.training, self.momentum, self.eps = training, momentum, eps
        self.kept: Any = None

    def forward(self, x: Array, *affine: Array) -> Array:
        weight, bias = affine if affine else (NULL, NULL)
        outputs = several(3)
        mean, var = self.running
        check(
            lib.mg_batch_norm(
                x,
                weight,
                bias,
                _array(mean),
                _array(var),
                _array(self.batches),
                self.training,
                self.momentum,
                self.eps,
                outputs,
            )
        )
        y, used_mean, inverse_std = (own(each) for each in outputs)
        self.kept = (used_mean, inverse_std)
        return y

    def composition(self, x: Tensor, *affine: Tensor) -> Tensor:  # type: ignore[override]
        shape = [1, x.shape[1]] + [1] * (x.ndim - 2)
        others = [d for d in range(x.ndim) if d != 1]
        if self.training:
            mean = x.mean(others, True)
            var = (x - mean).square().mean(others, True)
            y = (x - mean) * (var + self.eps).rsqrt()
        else:
            used_mean, inverse_std = (wrap(each).reshape(shape) for each in self.kept)
            y = (x - used_mean) * inverse_std
        if affine:
            y = y * affine[0].reshape(shape) + affine[1].reshape(shape)
        return y

    def fused_backward(self, grad: Tensor) -> Sequence[Tensor | None]:
        x, *affine = (each._array for each in self.inputs)
        outputs = several(3)
        mean, inverse_std = self.kept
        check(
            lib.mg_batch_norm_backward(
                grad._array,
                x,
                affine[0] if affine else NULL,
                mean,
                inverse_std,
                self.training,
                outputs,
            )
        )
        results = [wrap(own(each)) for each in outputs if each]
        return results[: len(self.edges)]

    def release(self) -> None:
        super().release()
        self.kept = None


def batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    num_batches_tracked: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """See ``BatchNorm``. A negative momentum means the cumulative average over
    ``num_batches_tracked`` batches."""
    operation = BatchNorm((running_mean, running_var), num_batches_tracked, training, momentum, eps)
    if weight is None and bias is None:
        return operation.apply(input)
    if weight is None:
        weight = input.new_ones(input.shape[1])
    if bias is None:
        bias = input.new_zeros(input.shape[1])
    return operation.apply(input, weight, bias)
