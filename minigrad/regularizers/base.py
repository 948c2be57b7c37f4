"""`Regularizer`: the three forms, and what is chosen; a subclass says what is computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import is_
from typing import Any
from weakref import WeakKeyDictionary

from ..autograd import no_grad
from ..autograd.engine import INPUTS, Operation
from ..dtypes import dtype as DType
from ..dtypes import float64
from ..kernels import Array
from ..nn.module import Module
from ..ops.creation import tensor
from ..optim.group import ParameterGroup
from ..optim.optimizer import Optimizer
from ..tensor import Tensor, wrap
from .selection import Patterns, Types, chosen, fingerprint, matches

FORMS = ("gradient", "decoupled", "proximal")


class Strength:
    """λ in memory, in each dtype that asked for it, so that a replayed plan sees it change."""

    def __init__(self, value: float) -> None:
        self._tensors: dict[DType, Tensor] = {}
        self.value = float(value)

    @property
    def value(self) -> float:
        return self._value

    @value.setter
    def value(self, value: float) -> None:
        if not value >= 0.0:
            raise ValueError(f"the strength of a regularizer must be at least 0, got {value}")
        self._value = value
        for each in self._tensors.values():
            each.fill_(value)

    def tensor(self, kind: DType = float64) -> Tensor:
        """λ as a 0-d tensor."""
        if kind not in self._tensors:
            self._tensors[kind] = tensor(self._value, dtype=kind)
        return self._tensors[kind]


Term = tuple[str, Tensor, Strength]  # a parameter, its name and its λ


class Regularizer:
    """λ times a function of each chosen parameter.

    `strength` is λ, or a dictionary of name patterns and their λ, of which the first that fits a
    parameter counts; one that none fits is left alone. `modules` restricts to parameters of these
    types of modules, `names` to names that fit one of these patterns (``"fc*.weight"``). Without
    `names`, biases and the parameters of normalisation layers are left out.

    A subclass defines what it has of `penalty`, `gradient_of` and `shrink_`.
    """

    everything = False  # whether biases and normalisation layers are chosen, too

    def __init__(
        self,
        strength: float | Mapping[str, float],
        *,
        modules: Types | None = None,
        names: Patterns | None = None,
    ) -> None:
        pairs = strength if isinstance(strength, Mapping) else {"*": strength}
        self._strengths = {pattern: Strength(value) for pattern, value in pairs.items()}
        self.modules = modules
        self.names = names
        self._known: WeakKeyDictionary[Module, tuple[list[Any], list[Term]]] = WeakKeyDictionary()

    # ---- what a subclass says, of one parameter and without λ ----

    def penalty(self, parameter: Tensor) -> Tensor:
        """R(θ), 0-d, for autograd."""
        raise self._missing("penalty", "attach it to the optimizer")

    def gradient_of(self, parameter: Tensor) -> Tensor:
        """∇R(θ), or a subgradient where R has a kink: 0 there."""
        raise self._missing("gradient", 'attach it with form="proximal"')

    def shrink_(self, parameter: Tensor, amount: Tensor) -> None:
        """In place θ = argmin_x amount · R(x) + ½‖x - θ‖², the proximal step."""
        raise self._missing("proximal step", 'attach it with form="decoupled"')

    default_form = "decoupled"
    uses_learning_rate = True  # whether changes of the parameters are in proportion to it

    def _missing(self, what: str, way_out: str) -> Exception:
        return NotImplementedError(f"{type(self).__name__} has no {what}; {way_out}")

    # ---- strengths and parameters ----

    @property
    def strength(self) -> float | dict[str, float]:
        """λ, or where there are several, a dictionary by pattern. Assigning takes effect at once,
        in a recorded plan, too."""
        values = {pattern: each.value for pattern, each in self._strengths.items()}
        return values["*"] if list(values) == ["*"] else values

    @strength.setter
    def strength(self, value: float | Mapping[str, float]) -> None:
        pairs = value if isinstance(value, Mapping) else dict.fromkeys(self._strengths, value)
        for pattern, number in pairs.items():
            if pattern not in self._strengths:
                raise KeyError(f"{type(self).__name__} has no strength for {pattern!r}")
            self._strengths[pattern].value = number

    def terms(self, model: Module) -> list[Term]:
        """The chosen parameters with their names and strengths.

        They are remembered for as long as the model has the same modules and parameters.
        """
        present = fingerprint(model)
        known = self._known.get(model)
        same = known is not None and len(known[0]) == len(present)
        if known is not None and same and all(map(is_, known[0], present)):
            return known[1]
        found = self._choose(model)
        self._known[model] = (present, found)
        return found

    def _choose(self, model: Module) -> list[Term]:
        found = []
        for name, parameter in chosen(model, self.modules, self.names, self.everything):
            for pattern, strength in self._strengths.items():
                if matches(name, (pattern,)):
                    found.append((name, parameter, strength))
                    break
        if not found:
            known = ", ".join(name for name, _ in model.named_parameters())
            raise ValueError(
                f"{type(self).__name__} chooses no parameter of {type(model).__name__}: it has "
                f"{known or 'none'}; check `modules` and `names`"
            )
        return found

    # ---- the forms ----

    def __call__(self, model: Module) -> Tensor:
        """Σ λ R(θ) over the chosen parameters, to be added to the loss."""
        return self.total(self.terms(model))

    def bind(self, model: Module) -> Callable[[], Tensor]:
        """A function without arguments that gives the penalty; the parameters are chosen here,
        once, which saves that time in every step."""
        terms = self.terms(model)
        return lambda: self.total(terms)

    def total(self, terms: list[Term]) -> Tensor:
        """The penalty over these parameters."""
        sorted_out: dict[tuple[int, DType], tuple[Tensor, list[Tensor]]] = {}
        for _, parameter, strength in terms:
            kind = parameter.dtype
            key = (id(strength), kind)
            if key not in sorted_out:
                sorted_out[key] = (strength.tensor(kind), [])
            sorted_out[key][1].append(parameter)
        single = type(self).gradient_of is not Regularizer.gradient_of
        parts = [
            Penalty(self, factor).apply(*parameters)
            if single
            else sum_of([self.penalty(parameter) for parameter in parameters]) * factor
            for factor, parameters in sorted_out.values()
        ]
        return sum_of(parts)

    @no_grad()
    def step_(self, model: Module, lr: float = 1.0, *, form: str | None = None) -> None:
        """Changes the parameters once, for a loop of one's own: θ -= lr λ ∇R(θ) for "decoupled",
        the proximal step of lr λ for "proximal"."""
        form = self._checked(form)
        if form == "gradient":
            raise ValueError('step_ takes form="decoupled" or "proximal"')
        for _, parameter, strength in self.terms(model):
            amount = strength.tensor()
            amount = amount * lr if self.uses_learning_rate else amount
            self.change_(form, parameter, self.prepared(form, amount))

    def attach(
        self, optimizer: Optimizer, model: Module | None = None, *, form: str | None = None
    ) -> Attached:
        """Runs with every step of the optimizer until ``remove()`` of what is returned.

        `form` "gradient" adds λ ∇R(θ) to the gradient before the step, which is what the penalty
        on the loss does; "decoupled" (Loshchilov and Hutter, 2019) moves θ by -lr λ ∇R(θ) before
        the step, past momentum and preconditioning; "proximal" makes the proximal step of lr λ
        after it. lr is that of the parameter's group. Without a `model`, all parameters of the
        optimizer with two and more dimensions are chosen.
        """
        return Attached(self, optimizer, self._terms_of(optimizer, model), self._checked(form))

    def _terms_of(self, optimizer: Optimizer, model: Module | None) -> list[Term]:
        if model is not None:
            return self.terms(model)
        if self.modules is not None or self.names is not None or list(self._strengths) != ["*"]:
            raise ValueError(
                f"{type(self).__name__}.attach: names and types of modules are known of a model "
                "only; pass it: attach(optimizer, model)"
            )
        strength = self._strengths["*"]
        every = [p for group in optimizer.param_groups for p in group["params"]]
        return [("", p, strength) for p in every if self.everything or p.dim() >= 2]

    def _checked(self, form: str | None) -> str:
        form = self.default_form if form is None else form
        if form not in FORMS:
            raise ValueError(f"form must be one of {FORMS}, got {form!r}")
        method = "shrink_" if form == "proximal" else "gradient_of"
        if getattr(type(self), method) is getattr(Regularizer, method):
            getattr(self, method)(*([None] * (2 if form == "proximal" else 1)))  # says why not
        return form

    def prepared(self, form: str, amount: Tensor) -> Any:
        """What `change_` makes of lr λ, once for all parameters that share it."""
        return amount

    def change_(self, form: str, parameter: Tensor, prepared: Any) -> None:
        """Changes one parameter in place, "decoupled" or "proximal"."""
        if form == "proximal":
            self.shrink_(parameter, prepared)
        else:
            parameter.sub_(self.gradient_of(parameter) * prepared)

    def __add__(self, other: Regularizer | Total) -> Total:
        return Total(self) + other

    def __repr__(self) -> str:
        chosen_by = "".join(
            f", {name}={getattr(self, name)!r}"
            for name in ("modules", "names")
            if getattr(self, name) is not None
        )
        return f"{type(self).__name__}({self.strength}{chosen_by})"


class Penalty(Operation):
    """y = λ Σ R(θ) over several parameters;  dθ = dy λ ∇R(θ)

    One node in place of several for each parameter, which takes half of the time.
    """

    __slots__ = ("regularizer", "strength")
    saves = INPUTS

    def __init__(self, regularizer: Regularizer, strength: Tensor) -> None:
        self.regularizer, self.strength = regularizer, strength

    def forward(self, *parameters: Array) -> Array:
        penalty = self.regularizer.penalty
        return (sum_of([penalty(wrap(each)) for each in parameters]) * self.strength)._array

    def backward(self, grad: Tensor) -> list[Tensor | None]:
        factor = grad * self.strength
        gradient_of = self.regularizer.gradient_of
        return [
            gradient_of(parameter) * factor if self.needs(index) else None
            for index, parameter in enumerate(self.inputs)
        ]


def sum_of(values: list[Tensor]) -> Tensor:
    """Their sum."""
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


class Total:
    """Regularizers together. Proximal steps are made one after the other, in their order."""

    def __init__(self, *parts: Regularizer) -> None:
        self.parts = list(parts)

    def __call__(self, model: Module) -> Tensor:
        """The sum of the penalties."""
        return sum_of([part(model) for part in self.parts])

    def bind(self, model: Module) -> Callable[[], Tensor]:
        """A function without arguments that gives the sum of the penalties."""
        bound = [part.bind(model) for part in self.parts]
        return lambda: sum_of([each() for each in bound])

    def step_(self, model: Module, lr: float = 1.0, *, form: str | None = None) -> None:
        """Changes the parameters once, by each of them."""
        for part in self.parts:
            part.step_(model, lr, form=form)

    def attach(
        self, optimizer: Optimizer, model: Module | None = None, *, form: str | None = None
    ) -> AttachedTotal:
        """Attaches all of them."""
        return AttachedTotal([part.attach(optimizer, model, form=form) for part in self.parts])

    def __add__(self, other: Regularizer | Total) -> Total:
        return Total(*self.parts, *(other.parts if isinstance(other, Total) else [other]))

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.parts))


class Attached:
    """A regularizer at work in an optimizer; ``remove()`` ends it."""

    def __init__(
        self, regularizer: Regularizer, optimizer: Optimizer, terms: list[Term], form: str
    ) -> None:
        self.regularizer = regularizer
        self.form = form
        groups = {
            id(parameter): index
            for index, group in enumerate(optimizer.param_groups)
            for parameter in group["params"]
        }
        # By group and λ: their product is computed once for all parameters that share it.
        self._terms: dict[tuple[int, int], tuple[Strength, list[Tensor]]] = {}
        for _, parameter, strength in terms:
            if id(parameter) in groups:
                key = (groups[id(parameter)], id(strength))
                self._terms.setdefault(key, (strength, []))[1].append(parameter)
        if not self._terms:
            raise ValueError(
                f"{type(regularizer).__name__}.attach: the optimizer has none of the chosen "
                "parameters"
            )
        if form == "proximal":
            self._handle = optimizer.register_step_post_hook(self._after)
        else:
            self._handle = optimizer.register_step_pre_hook(self._before)

    def remove(self) -> None:
        """The optimizer steps without the regularizer again."""
        self._handle.remove()

    @no_grad()
    def _before(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if self.form == "decoupled":
            self._change(optimizer)
            return
        if (len(args) > 1 and args[1] is not None) or kwargs.get("closure") is not None:
            raise RuntimeError(
                f'{type(self.regularizer).__name__} with form="gradient" cannot reach the gradient '
                "that a closure computes within step(); add its penalty to the closure's loss"
            )
        for strength, parameters in self._terms.values():
            for parameter in parameters:
                gradient = parameter.grad
                if gradient is not None:
                    extra = self.regularizer.gradient_of(parameter) * strength.tensor()
                    parameter.grad = gradient + extra

    @no_grad()
    def _after(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self._change(optimizer)

    def _change(self, optimizer: Optimizer) -> None:
        for (index, _), (strength, parameters) in self._terms.items():
            amount = strength.tensor()
            if self.regularizer.uses_learning_rate:
                amount = learning_rate(optimizer.param_groups[index]) * amount
            prepared = self.regularizer.prepared(self.form, amount)
            for parameter in parameters:
                self.regularizer.change_(self.form, parameter, prepared)


class AttachedTotal:
    """Several regularizers at work in an optimizer."""

    def __init__(self, parts: list[Attached]) -> None:
        self.parts = parts

    def remove(self) -> None:
        """The optimizer steps without them again."""
        for part in self.parts:
            part.remove()


def learning_rate(group: Any) -> Tensor:
    """The learning rate of a group as a 0-d tensor on the memory that it lives in."""
    if "lr" not in group:
        raise ValueError("the optimizer has no learning rate 'lr'")
    if isinstance(group["lr"], Tensor):
        return group["lr"].reshape(())
    if isinstance(group, ParameterGroup):
        return wrap(group.number("lr"))
    return tensor(float(group["lr"]), dtype=float64)
