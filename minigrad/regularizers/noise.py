"""Noise on the gradient."""

from __future__ import annotations

from typing import Any

from ..autograd import no_grad
from ..dtypes import float64
from ..nn.module import Module
from ..ops.creation import zeros
from ..ops.random import Generator
from ..optim.optimizer import Optimizer
from ..tensor import Tensor
from .base import Attached, Regularizer, Strength, Term
from .selection import Patterns, Types


class GradientNoise(Regularizer):
    """Adds N(0, σₜ²) to the gradient before each step, σₜ² = η / (1 + t)^γ (Neelakantan et al.,
    2015), t counted from 0.

    The paper's η are 0.01, 0.3 and 1, its γ is 0.55. All parameters are chosen unless `modules` or
    `names` say otherwise. `attach` is its only form. The count t is a tensor in memory, `steps`,
    which can be saved and filled again to resume.
    """

    everything = True
    default_form = "gradient"

    def __init__(
        self,
        eta: float = 0.3,
        gamma: float = 0.55,
        *,
        modules: Types | None = None,
        names: Patterns | None = None,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(eta, modules=modules, names=names)
        if not gamma >= 0:
            raise ValueError(f"GradientNoise: gamma must be at least 0, got {gamma}")
        self.gamma = gamma
        self.generator = generator
        self.steps = zeros((), dtype=float64)

    def attach(
        self, optimizer: Optimizer, model: Module | None = None, *, form: str | None = None
    ) -> Attached:
        """Adds noise before every step of the optimizer until ``remove()``."""
        if form not in (None, "gradient"):
            raise NotImplementedError(f"GradientNoise has no form {form!r}, only 'gradient'")
        return _AttachedNoise(self, optimizer, self._terms_of(optimizer, model), "gradient")

    def step_(self, model: Module, lr: float = 1.0, *, form: str | None = None) -> None:
        """Not there: noise goes into gradients, not parameters."""
        raise self._missing("step of its own", "attach it to the optimizer")


class _AttachedNoise(Attached):
    def __init__(
        self, regularizer: GradientNoise, optimizer: Optimizer, terms: list[Term], form: str
    ) -> None:
        super().__init__(regularizer, optimizer, terms, form)
        self._noise = regularizer

    @no_grad()
    def _before(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        noise = self._noise
        decay = (noise.steps + 1.0) ** -noise.gamma
        deviations: dict[int, Tensor] = {}
        for strength, parameters in self._terms.values():
            sigma = self._deviation(deviations, strength, decay)
            for parameter in parameters:
                gradient = parameter.grad
                if gradient is not None:
                    drawn = gradient.detach().new_empty(gradient.shape)
                    drawn.normal_(generator=noise.generator)
                    parameter.grad = gradient + drawn * sigma
        noise.steps.add_(1.0)

    @staticmethod
    def _deviation(known: dict[int, Tensor], strength: Strength, decay: Tensor) -> Tensor:
        if id(strength) not in known:
            known[id(strength)] = (strength.tensor() * decay).sqrt()
        return known[id(strength)]
