"""Normalisations, fused, with the compositions that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ..autograd.engine import INPUTS, Fused, already_freed
from ..kernels import NULL, Array, check, ffi, lib, own, several
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
    """See ``BatchNorm``. ``num_batches_tracked`` counts the batches of training; a negative
    momentum means the average over all of them."""
    operation = BatchNorm((running_mean, running_var), num_batches_tracked, training, momentum, eps)
    if weight is None and bias is None:
        return operation.apply(input)
    if weight is None:
        weight = input.new_ones(input.shape[1])
    if bias is None:
        bias = input.new_zeros(input.shape[1])
    return operation.apply(input, weight, bias)


@lru_cache(maxsize=1024)
def _geometry(*sizes: int) -> Any:
    """A C array of sizes, made once."""
    return ffi.new("int64_t[]", sizes)


class GroupNorm(Fused):
    """y = (x - μ) / √(σ² + ε) · w + b over (N, groups, channels, inner), with the statistics of
    each group of each sample (σ² biased) and a weight and a bias for each channel of a group.

    Layer normalisation (Ba et al. 2016, https://arxiv.org/abs/1607.06450) has one group and an
    inner size of 1; group normalisation is by Wu and He 2018, https://arxiv.org/abs/1803.08494.
    Where not ``centred``, μ is 0 and σ² the mean square: Zhang and Sennrich 2019,
    https://arxiv.org/abs/1910.07467.

    With x̂ the normalised x, g = dy w and averages ⟨⟩ over a group:
    dx = (g - ⟨g⟩ - x̂ ⟨g x̂⟩)/√(σ² + ε),  dw = Σ dy x̂,  db = Σ dy; without ⟨g⟩ if not centred
    """

    __slots__ = ("groups", "channels", "inner", "centred", "eps", "has_weight", "kept")
    saves = INPUTS

    def __init__(
        self,
        groups: int,
        channels: int,
        inner: int,
        centred: bool,
        eps: float,
        has_weight: bool = True,
    ) -> None:
        self.groups, self.channels, self.inner = groups, channels, inner
        self.centred, self.eps, self.has_weight = centred, eps, has_weight
        self.kept: Any = None

    def name(self) -> str:
        if not self.centred:
            return "FusedRmsNormBackward0"
        alone = self.groups == 1 and self.inner == 1
        return "NativeLayerNormBackward0" if alone else "NativeGroupNormBackward0"

    def _split(self, inputs: Sequence[Any], missing: Any) -> tuple[Any, Any, Any]:
        """Input, weight and bias, `missing` in the place of what there is not."""
        x, *rest = inputs
        weight = rest.pop(0) if self.has_weight else missing
        return x, weight, rest[0] if rest else missing

    def forward(self, *operands: Array) -> Array:
        x, weight, bias = self._split(operands, NULL)
        outputs = several(3)
        geometry = _geometry(self.groups, self.channels, self.inner, self.centred)
        check(lib.mg_group_norm(x, weight, bias, geometry, self.eps, outputs))
        self.kept = (own(outputs[1]) if self.centred else NULL, own(outputs[2]))
        return own(outputs[0])

    def composition(self, *inputs: Tensor) -> Tensor:
        x, weight, bias = self._split(inputs, None)
        groups, channels, inner = self.groups, self.channels, self.inner
        samples = x.numel() // max(1, groups * channels * inner)
        y = x.reshape(samples, groups, channels, inner)
        if self.centred:
            y = y - y.mean((2, 3), True)
        y = y * (y.square().mean((2, 3), True) + self.eps).rsqrt()
        if weight is not None:
            y = y * weight.reshape(groups, channels, 1)
        if bias is not None:
            y = y + bias.reshape(groups, channels, 1)
        return y.reshape(x.shape)

    def fused_backward(self, grad: Tensor) -> Sequence[Tensor | None]:
        if self.kept is None:
            already_freed()
        x, weight, bias = self._split(self.inputs, None)
        places = [0, 1, 2] if self.has_weight else [0, 2]  # of our operands among the results
        wanted = sum(
            1 << place for place, edge in zip(places, self.edges, strict=False) if edge is not None
        )
        outputs = several(3)
        mean, inverse_std = self.kept
        check(
            lib.mg_group_norm_backward(
                grad._array,
                x._array,
                _array(weight),
                mean,
                inverse_std,
                _geometry(self.groups, self.channels, self.inner, self.centred),
                wanted,
                outputs,
            )
        )
        results = [wrap(own(each)) if each else None for each in outputs]
        if bias is not None and weight is None and results[2] is not None:
            results[2] = results[2].reshape(bias.shape)
        return [results[place] for place in places[: len(self.edges)]]

    def release(self) -> None:
        super().release()
        self.kept = None


def group_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    groups: int,
    channels: int,
    inner: int,
    centred: bool,
    eps: float,
) -> Tensor:
    """See ``GroupNorm``."""
    operation = GroupNorm(groups, channels, inner, centred, eps, weight is not None)
    if weight is not None:
        return (
            operation.apply(input, weight) if bias is None else operation.apply(input, weight, bias)
        )
    return operation.apply(input) if bias is None else operation.apply(input, bias)
