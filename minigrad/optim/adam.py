"""Adam and AdamW."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from .fused import Form, FusedOptimizer
from .group import Layout, ParameterGroup
from .optimizer import check_betas, check_hints, check_numbers, check_rate

__all__ = ["Adam", "AdamW"]

_PLAIN = Form("adam", ("step",), ("exp_avg", "exp_avg_sq"))
_AMSGRAD = Form("adam_amsgrad", ("step",), ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"))


class Adam(FusedOptimizer):
    """Adam (Kingma and Ba, 2015), AMSGrad (Reddi et al., 2018); torch.optim.Adam.

    g = gradient + weight_decay · p (minus the gradient with `maximize`);
    m = β1 · m + (1 - β1) · g;  v = β2 · v + (1 - β2) · g²;
    p -= lr · (m / (1 - β1ᵗ)) / (√(v / (1 - β2ᵗ)) + eps), with `amsgrad` the largest v so far.
    With `decoupled_weight_decay`, p shrinks by lr · weight_decay instead (AdamW).
    Without `bias_correction` (for study) both divisions by 1 - βᵗ are left out: since m grows to
    its size in some 1 / (1 - β1) steps and v in 1 / (1 - β2), the first steps are far too large.
    `foreach`, `capturable` and `fused` change nothing: each step is one launch for each group.
    """

    _layout = Layout(
        (("betas", 0), ("betas", 1), "eps", "bias_correction"),
        structural=("amsgrad",),
        absent=(("bias_correction", 1.0),),
    )

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
        bias_correction: bool = True,
    ) -> None:
        if isinstance(lr, Tensor) and foreach and not capturable:
            raise ValueError(
                "lr as a Tensor is not supported for capturable=False and foreach=True"
            )
        check_rate(lr)
        check_numbers([("epsilon value", eps)])
        check_betas(betas)
        check_numbers([("weight_decay value", weight_decay)])
        if not any(all(isinstance(beta, kind) for beta in betas) for kind in (float, Tensor)):
            raise ValueError("betas must be either both floats or both Tensors")
        for index, beta in enumerate(betas):
            if isinstance(beta, Tensor) and foreach and not capturable:
                raise ValueError(
                    f"betas[{index}] as a Tensor is not supported for capturable=False and "
                    "foreach=True"
                )
            if isinstance(beta, Tensor) and beta.numel() != 1:
                raise ValueError(f"Tensor betas[{index}] must be 1-element")
        check_hints(foreach, fused, differentiable)
        defaults = {
            "lr": lr,
            "betas": tuple(float(beta) for beta in betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        if not bias_correction:  # by default, groups have torch's keys
            defaults["bias_correction"] = False
        super().__init__(params, defaults)

    def _form(self, group: ParameterGroup) -> Form:
        return _AMSGRAD if group["amsgrad"] else _PLAIN


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019); torch.optim.AdamW."""

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        bias_correction: bool = True,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
            bias_correction=bias_correction,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True
