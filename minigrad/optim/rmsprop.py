"""RMSprop."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from .fused import Form, FusedOptimizer
from .group import Layout, ParameterGroup
from .optimizer import check_hints, check_numbers, check_rate

__all__ = ["RMSprop"]

# By whether there is momentum, and whether it is centered.
_FORMS = {
    (False, False): Form("rmsprop", ("step",), ("square_avg",)),
    (True, False): Form("rmsprop_momentum", ("step",), ("square_avg", "momentum_buffer")),
    (False, True): Form("rmsprop_centered", ("step",), ("square_avg", "grad_avg")),
    (True, True): Form(
        "rmsprop_centered_momentum", ("step",), ("square_avg", "momentum_buffer", "grad_avg")
    ),
}


class RMSprop(FusedOptimizer):
    """RMSprop (Hinton, lecture 6e of "Neural Networks for Machine Learning", 2012; centered:
    Graves, 2013); torch.optim.RMSprop.

    g = gradient + weight_decay · p (minus the gradient with `maximize`);
    s ← alpha · s + (1 - alpha) · g²;  v = s, or with `centered` s - a², where
    a ← alpha · a + (1 - alpha) · g;  d = g / (√v + eps);
    with momentum b ← momentum · b + d and d = b;  p ← p - lr · d.
    `foreach` and `capturable` change nothing: each step is one launch for each group.
    """

    _layout = Layout(("alpha", "eps", "momentum"), structural=("momentum", "centered"))

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_rate(lr)
        check_numbers(
            [
                ("epsilon value", eps),
                ("momentum value", momentum),
                ("weight_decay value", weight_decay),
                ("alpha value", alpha),
            ]
        )
        check_hints(foreach, None, differentiable)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _form(self, group: ParameterGroup) -> Form:
        return _FORMS[group["momentum"] > 0, bool(group["centered"])]
