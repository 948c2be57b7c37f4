"""LAMB."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from .fused import Form, FusedOptimizer
from .group import Layout
from .optimizer import check_betas, check_hints, check_numbers, check_rate

__all__ = ["LAMB"]


class LAMB(FusedOptimizer):
    """LAMB (You et al., "Large Batch Optimization for Deep Learning", 2020). torch has none.

    g = gradient (minus the gradient with `maximize`); m and v as in Adam, with bias correction;
    u = m̂ / (√v̂ + eps) + weight_decay · p;  p ← p - lr · ‖p‖ / ‖u‖ · u,
    with the 2-norms of each parameter, and the ratio 1 where one of them is 0.
    `foreach` changes nothing: each step is one launch for each group.
    """

    _single_form = Form("lamb", ("step",), ("exp_avg", "exp_avg_sq"))
    _layout = Layout((("betas", 0), ("betas", 1), "eps"))

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
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
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)
