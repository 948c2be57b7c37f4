"""Adagrad."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from .fused import Form, FusedOptimizer
from .group import Layout, ParameterGroup
from .optimizer import check_hints, check_numbers, check_rate

__all__ = ["Adagrad"]


class Adagrad(FusedOptimizer):
    """Adagrad (Duchi, Hazan and Singer, 2011); torch.optim.Adagrad.

    g = gradient + weight_decay · p (minus the gradient with `maximize`);
    s ← s + g², from `initial_accumulator_value`;
    p ← p - lr / (1 + (t - 1) · lr_decay) · g / (√s + eps).
    The state is there from the beginning, as in torch. `foreach` and `fused` change nothing: each
    step is one launch for each group.
    """

    _single_form = Form("adagrad", ("step",), ("sum",))
    _layout = Layout(("lr_decay", "eps"))

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_rate(lr)
        check_numbers(
            [
                ("lr_decay value", lr_decay),
                ("weight_decay value", weight_decay),
                ("initial_accumulator_value value", initial_accumulator_value),
                ("epsilon value", eps),
            ]
        )
        check_hints(foreach, fused, differentiable)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for parameter in group["params"]:
                self._complete(group, self._single_form, parameter, self.state[parameter])

    def _initial(self, group: ParameterGroup, name: str) -> float:
        return float(self.defaults["initial_accumulator_value"]) if name == "sum" else 0.0
