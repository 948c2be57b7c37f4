"""Adamax."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from .fused import Form, FusedOptimizer
from .group import Layout
from .optimizer import check_betas, check_hints, check_numbers, check_rate

__all__ = ["Adamax"]


class Adamax(FusedOptimizer):
    """Adamax (Kingma and Ba, 2015): Adam with the largest gradient so far; torch.optim.Adamax.

    g = gradient + weight_decay · p (minus the gradient with `maximize`);
    m ← β1 · m + (1 - β1) · g;  u ← max(β2 · u, |g| + eps);
    p ← p - lr / (1 - β1ᵗ) · m / u.
    `foreach` and `capturable` change nothing: each step is one launch for each group.
    """

    _single_form = Form("adamax", ("step",), ("exp_avg", "exp_inf"))
    _layout = Layout((("betas", 0), ("betas", 1), "eps"))

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_rate(lr)
        check_numbers([("epsilon value", eps)])
        check_betas(betas)
        check_numbers([("weight_decay value", weight_decay)])
        check_hints(foreach, None, differentiable)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)
