"""Schedules of one direction: down, or up at the start."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

from ..optimizer import Optimizer
from .base import Fraction, LRScheduler, values

__all__ = [
    "ConstantLR",
    "CosineAnnealingLR",
    "ExponentialLR",
    "InverseSquareRootLR",
    "LambdaLR",
    "LinearDecayLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "PolynomialLR",
    "StepLR",
    "WarmupLR",
]

Lambda = Callable[[int], float]


class _ByFunction(LRScheduler):
    """A function for each group, or one for all."""

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Lambda | list[Lambda], last_epoch: int = -1
    ) -> None:
        count = len(optimizer.param_groups)
        if not isinstance(lr_lambda, (list, tuple)):
            self.lr_lambdas = [lr_lambda] * count
        elif len(lr_lambda) != count:
            raise ValueError(f"Expected {count} lr_lambdas, but got {len(lr_lambda)}")
        else:
            self.lr_lambdas = list(lr_lambda)
        self._check_functions()
        super().__init__(optimizer, last_epoch)

    def _check_functions(self) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        """As of every schedule; of the functions only the attributes of callable objects."""
        state = super().state_dict()
        state["lr_lambdas"] = [
            None if isinstance(function, FunctionType) else function.__dict__.copy()
            for function in self.lr_lambdas
        ]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes what `state_dict` gave; functions stay those given to the constructor."""
        functions = self.lr_lambdas
        super().load_state_dict(state_dict)
        self.lr_lambdas = functions
        for function, attributes in zip(functions, state_dict["lr_lambdas"], strict=True):
            if attributes is not None:
                function.__dict__.update(attributes)


class LambdaLR(_ByFunction):
    """α_t = α₀ f(t), with a function of the epoch for all groups or one for each."""

    def get_lr(self) -> list[Any]:
        """The initial learning rates times the functions of the epoch."""
        self._warn_outside_of_step()
        return [
            rate * function(self.last_epoch)
            for function, rate in zip(self.lr_lambdas, self.base_lrs, strict=True)
        ]


class MultiplicativeLR(_ByFunction):
    """α_t = α_{t-1} f(t)."""

    def _check_functions(self) -> None:
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(
                    f"lr_lambda should be a function, but got {type(function).__name__}"
                )

    def get_lr(self) -> list[Any]:
        """The present learning rates times the functions of the epoch."""
        self._warn_outside_of_step()
        if self._is_initial:
            return values(self.optimizer, "lr")
        groups = self.optimizer.param_groups
        return [
            group["lr"] * function(self.last_epoch)
            for function, group in zip(self.lr_lambdas, groups, strict=True)
        ]


class StepLR(Fraction):
    """α_t = α₀ γ^⌊t / step_size⌋."""

    _keeps_resumed = False

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _fraction(self, epoch: int) -> float:
        return self.gamma ** (epoch // self.step_size)


class MultiStepLR(Fraction):
    """α_t = α₀ γ^n, n the number of milestones up to t; one listed twice counts twice."""

    _keeps_resumed = False

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _fraction(self, epoch: int) -> float:
        return self.gamma ** bisect_right(sorted(self.milestones.elements()), epoch)


class ConstantLR(Fraction):
    """α_t = α₀ factor for t < total_iters, then α₀."""

    _keeps_resumed = False

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 <= factor <= 1:
            raise ValueError("Constant multiplicative factor expected to be between 0 and 1.")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _fraction(self, epoch: int) -> float:
        return self.factor if epoch < self.total_iters else 1.0


class LinearLR(Fraction):
    """The fraction goes in a line from start_factor to end_factor within total_iters epochs."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ValueError(
                "Starting multiplicative factor expected to be greater than 0 and less or equal "
                "to 1."
            )
        if not 0 <= end_factor <= 1:
            raise ValueError("Ending multiplicative factor expected to be between 0 and 1.")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _fraction(self, epoch: int) -> float:
        done = min(epoch, self.total_iters) / self.total_iters if self.total_iters else 1.0
        return self.start_factor + (self.end_factor - self.start_factor) * done


class WarmupLR(Fraction):
    """α_t = α₀ (s + (1 - s) min(1, (t + 1) / T)), s = start_factor, T = total_iters: the learning
    rate rises in a line and is α₀ from the T-th step on. Goyal et al., 2017, section 2.2.

    The first step already has α₀ (s + (1 - s) / T), so that with s = 0 it is no step of length 0.
    A schedule that follows it is chained with `ChainedScheduler` or comes after it with
    `SequentialLR`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int,
        start_factor: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        if total_iters < 1:
            raise ValueError(f"WarmupLR: total_iters must be at least 1, got {total_iters}")
        if not 0 <= start_factor <= 1:
            raise ValueError(f"WarmupLR: start_factor must be between 0 and 1, got {start_factor}")
        self.total_iters = total_iters
        self.start_factor = start_factor
        super().__init__(optimizer, last_epoch)

    def _fraction(self, epoch: int) -> float:
        return self.start_factor + (1 - self.start_factor) * min(1, (epoch + 1) / self.total_iters)


class ExponentialLR(Fraction):
    """α_t = α₀ γᵗ."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _fraction(self, epoch: int) -> float:
        return self.gamma**epoch


class PolynomialLR(Fraction):
    """α_t = α₀ (1 - min(t, T) / T)^power, T = total_iters."""

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def _fraction(self, epoch: int) -> float:
        return (1.0 - min(self.total_iters, epoch) / self.total_iters) ** self.power


class LinearDecayLR(PolynomialLR):
    """α_t = α₀ (1 - t / T), 0 from T = total_iters on, always in proportion to α₀."""

    def __init__(self, optimizer: Optimizer, total_iters: int, last_epoch: int = -1) -> None:
        if total_iters < 1:
            raise ValueError(f"LinearDecayLR: total_iters must be at least 1, got {total_iters}")
        super().__init__(optimizer, total_iters, 1.0, last_epoch)


class InverseSquareRootLR(Fraction):
    """α_t = α₀ / √t, t counting from 1: the first step has α₀, the second α₀ / √2."""

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        super().__init__(optimizer, last_epoch)

    def _fraction(self, epoch: int) -> float:
        return 1 / math.sqrt(epoch + 1)


class CosineAnnealingLR(LRScheduler):
    """α_t = η + ½ (α₀ - η) (1 + cos(π t / T)), η = eta_min, T = T_max (Loshchilov and Hutter, 2017,
    without restarts); after T it rises again.

    A step changes the present learning rate by what the formula changes, so that it can be chained.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,  # noqa: N803  (torch's name)
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def _height(self, epoch: int) -> float:
        """1 + cos(π t / T), between 0 and 2."""
        return 1 + math.cos(math.pi * epoch / self.T_max)

    def get_lr(self) -> list[Any]:
        """The present learning rates, moved along the cosine by an epoch."""
        self._warn_outside_of_step()
        epoch, low = self.last_epoch, self.eta_min
        if self._is_initial:
            return values(self.optimizer, "lr")
        if self._step_count == 1 and epoch > 0:
            return self._get_closed_form_lr()
        groups = self.optimizer.param_groups
        if (epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # from the lowest point upwards
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [
                group["lr"] + (rate - low) * rise
                for rate, group in zip(self.base_lrs, groups, strict=True)
            ]
        ratio = self._height(epoch) / self._height(epoch - 1)
        return [ratio * (group["lr"] - low) + low for group in groups]

    def _get_closed_form_lr(self) -> list[Any]:
        low = self.eta_min
        return [low + (rate - low) * self._height(self.last_epoch) / 2 for rate in self.base_lrs]
