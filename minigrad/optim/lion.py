"""Lion."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from .fused import Form, FusedOptimizer
from .group import Layout
from .optimizer import check_betas, check_hints, check_numbers, check_rate

__all__ = ["Lion"]


class Lion(FusedOptimizer):
    """Lion (Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023). torch has none.

    g = gradient (minus the gradient with `maximize`);
    p ← (1 - lr · weight_decay) · p - lr · sign(β1 · m + (1 - β1) · g);
    m ← β2 · m + (1 - β2) · g.
    Every element moves by lr, so lr is some 3 to 10 times smaller than Adam's, and weight_decay as
    much larger. `foreach` changes nothing: each step is one launch for each group.
    """

    _single_form = Form("lion", (), ("exp_avg",))
    _layout = Layout((("betas", 0), ("betas", 1)))

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_rate(lr)
        check_betas(betas)
        check_numbers([("weight_decay value", weight_decay)])
        check_hints(foreach, None, differentiable)
        defaults = {
            "lr": lr,
            "betas": betas,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)
