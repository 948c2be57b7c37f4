"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from .. import array as arrays
from ..dtypes import uint8
from ..kernels import NULL, check, lib
from ..tensor import Tensor, wrap
from .fused import FusedOptimizer, Launch
from .group import Layout, ParameterGroup
from .optimizer import check_hints, check_numbers

__all__ = ["SGD"]

_step = lib.mg_sgd


class _SGDLaunch(Launch):
    __slots__ = ("buffers",)

    buffers: Any


class SGD(FusedOptimizer):
    """SGD with momentum (Sutskever et al., 2013) and Nesterov's momentum; torch.optim.SGD.

    g = gradient + weight_decay · p (minus the gradient with `maximize`); with momentum
    b = momentum · b + (1 - dampening) · g, and b = g in the first step;
    p -= lr · g, or lr · b with momentum, or lr · (g + momentum · b) with `nesterov`.
    `foreach` and `fused` change nothing: each step is one launch for each group.
    """

    _layout = Layout(
        slots=tuple(
            (name, None)
            for name in ("lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize")
        ),
        structural="momentum",
    )

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
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        check_numbers(
            [
                ("learning rate", lr),
                ("momentum value", momentum),
                ("weight_decay value", weight_decay),
            ]
        )
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

    def _make_launch(self, group: ParameterGroup, parameters: list[Tensor]) -> _SGDLaunch:
        if not group["momentum"]:
            launch = _SGDLaunch(parameters, [])
            launch.buffers = NULL
            return launch
        launch = _SGDLaunch(parameters, [self.state[parameter] for parameter in parameters])
        # A buffer that is new takes the first gradient as it is: the kernel sees a 0 here, and sets
        # 1.
        started = [state.get("momentum_buffer") is not None for state in launch.states]
        launch.started = arrays.from_data(started, uint8)
        for parameter, state in zip(parameters, launch.states, strict=True):
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = zeros_like(parameter)
        launch.buffers = launch.remember("momentum_buffer")
        return launch

    def _launch(self, group: ParameterGroup, launch: _SGDLaunch) -> None:
        check(
            _step(
                launch.count,
                launch.pointers,
                launch.gradients,
                launch.buffers,
                launch.started,
                group.memory,
            )
        )


def zeros_like(parameter: Tensor) -> Tensor:
    """Zeros of the parameter's shape and dtype, contiguous, to remember something in."""
    array = arrays.empty(parameter.shape, parameter.dtype)
    return wrap(array).zero_()
