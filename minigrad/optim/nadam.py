"""NAdam."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from .fused import Form, FusedOptimizer
from .group import Layout, ParameterGroup
from .optimizer import check_betas, check_hints, check_numbers, check_rate

__all__ = ["NAdam"]


class NAdam(FusedOptimizer):
    """NAdam (Dozat, 2016): Adam with Nesterov's momentum; torch.optim.NAdam.

    g = gradient + weight_decay · p (minus the gradient with `maximize`), or p shrinks by
    lr · weight_decay instead with `decoupled_weight_decay`; m and v as in Adam;
    μₜ = β1 · (1 - ½ · 0.96^(t · momentum_decay)), Πₜ the product of all μ up to the step t;
    p ← p - lr · ((1 - μₜ) / (1 - Πₜ) · g + μₜ₊₁ / (1 - Πₜ₊₁) · m) / (√(v / (1 - β2ᵗ)) + eps).
    `foreach` and `capturable` change nothing: each step is one launch for each group.
    """

    _single_form = Form("nadam", ("step", "mu_product"), ("exp_avg", "exp_avg_sq"))
    _layout = Layout((("betas", 0), ("betas", 1), "eps", "momentum_decay"))

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_rate(lr)
        check_numbers([("epsilon value", eps)])
        check_betas(betas)
        check_numbers(
            [("weight_decay value", weight_decay), ("momentum_decay value", momentum_decay)]
        )
        check_hints(foreach, None, differentiable)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _initial(self, group: ParameterGroup, name: str) -> float:
        return 1.0 if name == "mu_product" else 0.0
