"""Resilient backpropagation."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from .fused import Form, FusedOptimizer
from .group import Layout, ParameterGroup
from .optimizer import check_hints, check_rate

__all__ = ["Rprop"]


class Rprop(FusedOptimizer):
    """Rprop (Riedmiller and Braun, 1993), for full batches; torch.optim.Rprop.

    Each element has a step size of its own, lr at first. Where the gradient keeps its sign, the
    size is multiplied by etas[1]; where it turns, by etas[0], and the gradient counts as 0 this
    time; always within `step_sizes`. Then p ← p - sign(g) · size.
    `foreach` and `capturable` change nothing: each step is one launch for each group.
    """

    _single_form = Form("rprop", ("step",), ("prev", "step_size"))
    _layout = Layout((("etas", 0), ("etas", 1), ("step_sizes", 0), ("step_sizes", 1)))

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_rate(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        check_hints(foreach, None, differentiable)
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _initial(self, group: ParameterGroup, name: str) -> float:
        return float(group["lr"]) if name == "step_size" else 0.0
