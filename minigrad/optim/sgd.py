"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from .. import array as arrays
from ..dtypes import float32
from ..tensor import Tensor
from .fused import Form, FusedOptimizer, Launch, full_like
from .group import Layout, ParameterGroup
from .optimizer import check_hints, check_numbers, check_rate

__all__ = ["SGD"]

_PLAIN = Form("sgd", (), ())
_MOMENTUM = Form("sgd_momentum", (), ("momentum_buffer",))


class SGD(FusedOptimizer):
    """SGD with momentum (Sutskever et al., 2013) and Nesterov's momentum; torch.optim.SGD.

    g = gradient + weight_decay · p (minus the gradient with `maximize`); with momentum
    b = momentum · b + (1 - dampening) · g, and b = g in the first step;
    p -= lr · g, or lr · b with momentum, or lr · (g + momentum · b) with `nesterov`.
    `foreach` and `fused` change nothing: each step is one launch for each group.
    """

    _layout = Layout(("momentum", "dampening", "nesterov"), structural=("momentum",))

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_rate(lr)
        check_numbers([("momentum value", momentum), ("weight_decay value", weight_decay)])
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        check_hints(foreach, fused, differentiable)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def _form(self, group: ParameterGroup) -> Form:
        return _MOMENTUM if group["momentum"] else _PLAIN

    def _make_launch(self, group: ParameterGroup, parameters: list[Tensor]) -> Launch:
        if not group["momentum"]:
            return super()._make_launch(group, parameters)
        # A buffer that is new takes the first gradient as it is: its counter, which is no part of
        # the state, says so to the kernel.
        entries = [self.state[parameter] for parameter in parameters]
        known = [entry.get("momentum_buffer") is not None for entry in entries]
        started = arrays.from_data(known, float32)
        for parameter, entry in zip(parameters, entries, strict=True):
            if entry.get("momentum_buffer") is None:
                entry["momentum_buffer"] = full_like(parameter)
        launch = super()._make_launch(group, parameters)
        launch.counters = launch.keep(
            [arrays.as_strided(started, (), (), i) for i in range(launch.count)]
        )
        return launch
