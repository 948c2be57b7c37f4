"""SparseAdam."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from .fused import Form, FusedOptimizer
from .group import Layout
from .optimizer import check_betas, check_rate

__all__ = ["SparseAdam"]


class SparseAdam(FusedOptimizer):
    """Adam that leaves alone what the gradient does not reach; torch.optim.SparseAdam.

    Adam's step (without weight decay), with eps beside the uncorrected root: p ← p - lr ·
    √(1 - β2ᵗ) / (1 - β1ᵗ) · m / (√v + eps), but only for the rows (entries of the first dimension)
    in which the gradient is not all zero; elsewhere p, m and v stay as they are. So the rows of an
    embedding that a batch does not use neither decay nor move. torch takes gradients of a sparse
    layout only, and updates the rows that they hold; here gradients are dense.
    """

    _single_form = Form("sparse_adam", ("step",), ("exp_avg", "exp_avg_sq"))
    _layout = Layout((("betas", 0), ("betas", 1), "eps"))

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        check_rate(lr)
        if not lr > 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if not eps > 0.0:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "maximize": maximize,
        }
        super().__init__(params, defaults)
