"""Averaged stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from .fused import Form, FusedOptimizer
from .group import Layout, ParameterGroup
from .optimizer import check_hints, check_numbers, check_rate

__all__ = ["ASGD"]


class ASGD(FusedOptimizer):
    """Averaged SGD (Polyak and Juditsky, 1992); torch.optim.ASGD.

    g = gradient + weight_decay · p (minus the gradient with `maximize`);
    p ← (1 - lambd · η) · p - η · g;  ax ← ax + μ · (p - ax);
    then η = lr / (1 + lambd · lr · t)^alpha and μ = 1 / max(1, t - t0) for the next step.
    The average is in ``state[p]["ax"]``; it averages after `t0` steps, before that it is p.
    `foreach` and `capturable` change nothing: each step is one launch for each group.
    """

    _single_form = Form("asgd", ("step", "eta", "mu"), ("ax",))
    _layout = Layout(("lambd", "alpha", "t0"))

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_rate(lr)
        check_numbers([("weight_decay value", weight_decay)])
        check_hints(foreach, None, differentiable)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _initial(self, group: ParameterGroup, name: str) -> float:
        return {"eta": float(group["lr"]), "mu": 1.0}.get(name, 0.0)
