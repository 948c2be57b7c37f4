"""Adadelta."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from .fused import Form, FusedOptimizer
from .group import Layout
from .optimizer import check_hints, check_numbers, check_rate

__all__ = ["Adadelta"]


class Adadelta(FusedOptimizer):
    """Adadelta (Zeiler, 2012); torch.optim.Adadelta.

    g = gradient + weight_decay · p (minus the gradient with `maximize`);
    s ← rho · s + (1 - rho) · g²;  d = √(a + eps) / √(s + eps) · g;
    a ← rho · a + (1 - rho) · d²;  p ← p - lr · d.
    `foreach` and `capturable` change nothing: each step is one launch for each group.
    """

    _single_form = Form("adadelta", ("step",), ("square_avg", "acc_delta"))
    _layout = Layout(("rho", "eps"))

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_rate(lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_numbers([("epsilon value", eps), ("weight_decay value", weight_decay)])
        check_hints(foreach, None, differentiable)
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)
