"""Losses of an input and a target of one shape, element by element, then reduced: one launch
forward and one backward, each a row of ``csrc/fused.def``.

``p`` is the number of a loss (``beta``, ``delta``), ``n`` the number of elements.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from ..autograd.engine import INPUTS, Fused
from ..kernels import (
    NULL,
    Array,
    fail,
    find_fused,
    fused_entry,
    fused_sum_entry,
    owning,
    release,
)
from ..tensor import Tensor, wrap
from .elementwise import to_dtype, where


class PointwiseLoss(Fused):
    """y = f(x, t) for each element ("none"), their sum ("sum") or their mean ("mean");
    dx = dy ∂f/∂x (/ n)

    ``class MseLoss(PointwiseLoss, kernel="mse_loss")``: the rows are ``mse_loss`` and
    ``mse_loss_backward``. ``elements`` is f in Tensor operations.
    """

    __slots__ = ("p", "reduction", "size")
    saves = INPUTS
    code: ClassVar[int]
    backward_code: ClassVar[int]

    def __init_subclass__(cls, kernel: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if kernel:
            cls.code, cls.backward_code = find_fused(kernel), find_fused(kernel + "_backward")

    def __init__(self, reduction: str, p: float = 0.0) -> None:
        self.reduction, self.p = reduction, p

    def forward(self, x: Array, t: Array) -> Array:
        self.size = x.size
        if self.reduction == "none":
            result = fused_entry(self.code, x, t, NULL, NULL, self.p, 0.0, 0.0)
        else:
            result = fused_sum_entry(self.code, x, t, NULL, self.p, 0.0, 0.0, self._scale())
        return owning(result or fail(), release)

    def _scale(self) -> float:
        """What the sum is multiplied by; the mean of nothing is NaN."""
        if self.reduction != "mean":
            return 1.0
        return 1.0 / self.size if self.size else math.nan

    @staticmethod
    def elements(x: Tensor, t: Tensor, p: float) -> Tensor:
        """f(x, t)."""
        raise NotImplementedError

    def composition(self, x: Tensor, t: Tensor) -> Tensor:  # type: ignore[override]
        losses = self.elements(x, t, self.p)
        return losses if self.reduction == "none" else losses.sum() * self._scale()

    def fused_backward(self, grad_output: Tensor) -> Sequence[Tensor | None]:
        x, t = self.inputs
        g = grad_output._array
        grad_x = self._grad_input(g, x._array, t._array) if self.needs(0) else None
        return [grad_x, self._grad_target(g, x._array, t._array) if self.needs(1) else None]

    def _grad_input(self, g: Array, x: Array, t: Array) -> Tensor:
        found = fused_entry(self.backward_code, g, x, t, NULL, self.p, 0.0, self._scale())
        return wrap(owning(found or fail(), release))

    def _grad_target(self, g: Array, x: Array, t: Array) -> Tensor:
        """For f(x, t) = f(t, x)."""
        return self._grad_input(g, t, x)


class L1Loss(PointwiseLoss, kernel="l1_loss"):
    """f = |x - t|"""

    __slots__ = ()

    @staticmethod
    def elements(x: Tensor, t: Tensor, p: float) -> Tensor:
        return (x - t).abs()


class MseLoss(PointwiseLoss, kernel="mse_loss"):
    """f = (x - t)²"""

    __slots__ = ()

    @staticmethod
    def elements(x: Tensor, t: Tensor, p: float) -> Tensor:
        return (x - t).square()


class SmoothL1Loss(PointwiseLoss, kernel="smooth_l1_loss"):
    """f = (x - t)² / 2p where |x - t| < p, else |x - t| - p/2  (Girshick, 2015)"""

    __slots__ = ()

    @staticmethod
    def elements(x: Tensor, t: Tensor, p: float) -> Tensor:
        size = (x - t).abs()
        return where(size < p, size.square() / (2 * p), size - p / 2)


class HuberLoss(PointwiseLoss, kernel="huber_loss"):
    """f = (x - t)² / 2 where |x - t| <= p, else p (|x - t| - p/2)  (Huber, 1964)"""

    __slots__ = ()

    @staticmethod
    def elements(x: Tensor, t: Tensor, p: float) -> Tensor:
        size = (x - t).abs()
        return where(size <= p, size.square() / 2, (size - p / 2) * p)


class SoftMarginLoss(PointwiseLoss, kernel="soft_margin_loss"):
    """f = log(1 + e^(-x t))"""

    __slots__ = ()

    @staticmethod
    def elements(x: Tensor, t: Tensor, p: float) -> Tensor:
        return _softplus(-x * t)


def _softplus(x: Tensor) -> Tensor:
    return x.relu() + (-x.abs()).exp().log1p()


# ---- not symmetric ----


class _Asymmetric(PointwiseLoss):
    """``slope_of_target`` is ∂f/∂t in Tensor operations."""

    __slots__ = ()

    @staticmethod
    def slope_of_target(x: Tensor, t: Tensor) -> Tensor:
        raise NotImplementedError

    def _grad_target(self, g: Array, x: Array, t: Array) -> Tensor:
        return self.slope_of_target(wrap(x), wrap(t)) * (wrap(g) * self._scale())


class BinaryCrossEntropy(_Asymmetric, kernel="binary_cross_entropy"):
    """f = -t log x - (1 - t) log(1 - x), the logarithms at least -100;
    ∂f/∂x = (x - t) / max(x (1 - x), 1e-12)"""

    __slots__ = ()

    def forward(self, x: Array, t: Array) -> Array:
        # The check of the input's values reads it as it lies in memory.
        return super().forward(wrap(x).contiguous()._array, t)

    @staticmethod
    def elements(x: Tensor, t: Tensor, p: float) -> Tensor:
        of_one, of_zero = x.log().clamp(min=-100), (-x).log1p().clamp(min=-100)
        return (t - 1) * of_zero - t * of_one

    @staticmethod
    def slope_of_target(x: Tensor, t: Tensor) -> Tensor:
        return (-x).log1p().clamp(min=-100) - x.log().clamp(min=-100)


class BinaryCrossEntropyWithLogits(_Asymmetric, kernel="binary_cross_entropy_with_logits"):
    """f = log(1 + eˣ) - t x;  ∂f/∂x = s(x) - t, s the logistic function"""

    __slots__ = ()

    @staticmethod
    def elements(x: Tensor, t: Tensor, p: float) -> Tensor:
        return _softplus(x) - t * x

    @staticmethod
    def slope_of_target(x: Tensor, t: Tensor) -> Tensor:
        return -x


class KlDiv(_Asymmetric, kernel="kl_div"):
    """f = t (log t - x), 0 log 0 = 0;  ∂f/∂x = -t"""

    __slots__ = ()

    @staticmethod
    def elements(x: Tensor, t: Tensor, p: float) -> Tensor:
        return where(t == 0, 0.0, t * where(t == 0, 1.0, t).log()) - t * x

    @staticmethod
    def slope_of_target(x: Tensor, t: Tensor) -> Tensor:
        return where(t == 0, 0.0, where(t == 0, 1.0, t).log() + 1) - x

    def _grad_input(self, g: Array, x: Array, t: Array) -> Tensor:
        found = fused_entry(self.backward_code, g, t, NULL, NULL, 0.0, 0.0, self._scale())
        return wrap(owning(found or fail(), release))


class KlDivLog(KlDiv, kernel="kl_div_log"):
    """f = eᵗ (t - x), the target a logarithm;  ∂f/∂x = -eᵗ"""

    __slots__ = ()

    @staticmethod
    def elements(x: Tensor, t: Tensor, p: float) -> Tensor:
        return t.exp() * (t - x)

    @staticmethod
    def slope_of_target(x: Tensor, t: Tensor) -> Tensor:
        return t.exp() * (t - x + 1)


def weighted_bce(x: Tensor, t: Tensor, positive: Tensor) -> Tensor:
    """log(1 + eˣ) - t x with the terms of t = 1 times ``positive``, element by element."""
    factor = 1 + (positive - 1) * t
    return (1 - t) * x + factor * _softplus(-x)


def of_one_dtype(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the wider of their floating dtypes; an integer becomes the other's dtype."""
    if x.dtype is t.dtype:
        return x, t
    if not t.is_floating_point() or (x.is_floating_point() and x._array.dtype > t._array.dtype):
        return x, to_dtype(t, x.dtype)
    return to_dtype(x, t.dtype), t
