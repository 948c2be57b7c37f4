"""RAdam."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from .fused import Form, FusedOptimizer
from .group import Layout
from .optimizer import check_betas, check_hints, check_numbers, check_rate

__all__ = ["RAdam"]


class RAdam(FusedOptimizer):
    """RAdam, rectified Adam (Liu et al., 2020); torch.optim.RAdam.

    g, m and v as in Adam, or with `decoupled_weight_decay` as in AdamW; ρ∞ = 2 / (1 - β2) - 1 and
    ρ = ρ∞ - 2 · t · β2ᵗ / (1 - β2ᵗ). Where ρ > 5, the adaptive rate can be trusted, and with
    r = √((ρ - 4)(ρ - 2)ρ∞ / ((ρ∞ - 4)(ρ∞ - 2)ρ)):
    p ← p - lr · m / (1 - β1ᵗ) · r · √(1 - β2ᵗ) / (√v + eps);  else p ← p - lr · m / (1 - β1ᵗ).
    `foreach` and `capturable` change nothing: each step is one launch for each group.
    """

    _single_form = Form("radam", ("step",), ("exp_avg", "exp_avg_sq"))
    _layout = Layout((("betas", 0), ("betas", 1), "eps"))

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
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
        check_numbers([("weight_decay value", weight_decay)])
        check_hints(foreach, None, differentiable)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)
