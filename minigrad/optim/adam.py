"""Adam and AdamW."""

from __future__ import annotations

from typing import Any

from .. import array as arrays
from ..dtypes import float32
from ..kernels import NULL, check, lib
from ..tensor import Tensor, wrap
from .fused import FusedOptimizer, Launch
from .group import Layout, ParameterGroup
from .optimizer import check_hints, check_numbers
from .sgd import zeros_like

__all__ = ["Adam", "AdamW"]

_step = lib.mg_adam


class _AdamLaunch(Launch):
    __slots__ = ("averages", "max_squares", "squares", "steps")

    averages: Any
    max_squares: Any
    squares: Any
    steps: Any


class Adam(FusedOptimizer):
    """Adam (Kingma and Ba, 2015), AMSGrad (Reddi et al., 2018); torch.optim.Adam.

    g = gradient + weight_decay · p (minus the gradient with `maximize`);
    m = β1 · m + (1 - β1) · g;  v = β2 · v + (1 - β2) · g²;
    p -= lr · (m / (1 - β1ᵗ)) / (√(v / (1 - β2ᵗ)) + eps), with `amsgrad` the largest v so far.
    With `decoupled_weight_decay`, p shrinks by lr · weight_decay instead (AdamW).
    `foreach`, `capturable` and `fused` change nothing: each step is one launch for each group.
    """

    _layout = Layout(
        slots=(
            ("lr", None),
            ("betas", 0),
            ("betas", 1),
            ("eps", None),
            ("weight_decay", None),
            ("amsgrad", None),
            ("maximize", None),
            ("decoupled_weight_decay", None),
        ),
        structural="amsgrad",
    )

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if isinstance(lr, Tensor) and foreach and not capturable:
            raise ValueError(
                "lr as a Tensor is not supported for capturable=False and foreach=True"
            )
        check_numbers([("learning rate", lr), ("epsilon value", eps)])
        for index, beta in enumerate(betas):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"Invalid beta parameter at index {index}: {beta}")
        check_numbers([("weight_decay value", weight_decay)])
        if not any(all(isinstance(beta, kind) for beta in betas) for kind in (float, Tensor)):
            raise ValueError("betas must be either both floats or both Tensors")
        check_hints(foreach, fused, differentiable)
        defaults = {
            "lr": lr,
            "betas": tuple(float(beta) for beta in betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _make_launch(self, group: ParameterGroup, parameters: list[Tensor]) -> _AdamLaunch:
        launch = _AdamLaunch(parameters, [self.state[parameter] for parameter in parameters])
        names = ["exp_avg", "exp_avg_sq"] + (["max_exp_avg_sq"] if group["amsgrad"] else [])
        for parameter, state in zip(parameters, launch.states, strict=True):
            state["step"] = _step_count(state.get("step", 0.0))
            for name in names:
                if state.get(name) is None:
                    state[name] = zeros_like(parameter)
        launch.steps = launch.remember("step")
        launch.averages = launch.remember("exp_avg")
        launch.squares = launch.remember("exp_avg_sq")
        launch.max_squares = launch.remember("max_exp_avg_sq") if group["amsgrad"] else NULL
        return launch

    def _launch(self, group: ParameterGroup, launch: _AdamLaunch) -> None:
        check(
            _step(
                launch.count,
                launch.pointers,
                launch.gradients,
                launch.averages,
                launch.squares,
                launch.max_squares,
                launch.steps,
                group.memory,
            )
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019); torch.optim.AdamW."""

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True


def _step_count(value: Any) -> Tensor:
    """The number of steps taken as a 0-d float32 tensor, which the kernel counts up."""
    if isinstance(value, Tensor) and value.dtype == float32 and value.dim() == 0:
        return value
    return wrap(arrays.from_data(float(value), float32))
