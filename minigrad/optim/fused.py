"""Steps that are one launch for all parameters of a group (of one dtype).

The C arrays of handles are kept from step to step. A step compares what they were made from with
what is there now, and refreshes only what has changed: usually nothing but the gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from .. import array as arrays
from ..dtypes import float32
from ..kernels import NULL, Array, check, ffi, find_optimizer, lib
from ..tensor import Tensor, wrap
from .group import ParameterGroup
from .optimizer import Optimizer, run_closure

__all__: list[str] = []

_step = lib.mg_optimize
_HANDLES = ffi.typeof("mg_array *[]")


class Form:
    """A form of an optimizer's step: its row in ``csrc/optimizer.def``, and what it remembers.

    `counters` are 0-d float32 tensors (such as the number of steps taken), `states` tensors like
    the parameter; both by their names in the optimizer's `state`, in the order of the formula.
    """

    __slots__ = ("counters", "index", "states")

    def __init__(
        self, name: str | None, counters: tuple[str, ...], states: tuple[str, ...]
    ) -> None:
        self.index = -1 if name is None else find_optimizer(name)  # None: a kernel of its own
        self.counters = counters
        self.states = states


class Launch:
    """The operands of one launch: parameters of one dtype, and what is remembered of each."""

    __slots__ = (
        "count",
        "counters",
        "form",
        "gradients",
        "parameters",
        "pointers",
        "remembered",
        "some",
        "states",
        "_arrays",
        "_entries",
        "_kept",
    )

    def __init__(self, form: Form, parameters: list[Tensor], entries: list[dict[str, Any]]) -> None:
        self.form = form.index
        self.parameters = parameters
        self.count = len(parameters)
        self._entries = entries
        self._arrays: list[Array] = [parameter._array for parameter in parameters]
        self.pointers = ffi.new(_HANDLES, self._arrays)
        self.gradients = ffi.new(_HANDLES, self.count)
        self.some = False  # whether any parameter has a gradient
        self.remembered: list[tuple[dict[str, Any], str, Tensor]] = []
        self._kept: list[Array] = []  # a tensor lets go of its handle when its `data` is replaced
        self.counters = self._remember(form.counters)
        self.states = self._remember(form.states)

    def _remember(self, names: tuple[str, ...]) -> Any:
        """A C array of the tensors of these names in all entries, all of the first name first."""
        found = [(entry, name, entry[name]) for name in names for entry in self._entries]
        self.remembered += found
        return self.keep([tensor._array for _, _, tensor in found])

    def keep(self, handles: list[Array]) -> Any:
        """A C array of handles, which live as long as this launch."""
        self._kept += handles
        return ffi.new(_HANDLES, handles)

    def refresh(self, state: Any) -> bool:
        """Takes the present gradients; False where something else has changed, too."""
        handles = []
        some = False
        for parameter in self.parameters:
            gradient = parameter._grad
            if gradient is None:
                handles.append(NULL)
            else:
                some = True
                handles.append(gradient._array)
        self.some = some
        self.gradients[0 : self.count] = handles
        for parameter, array in zip(self.parameters, self._arrays):  # noqa: B905  (hot)
            if parameter._array is not array:
                return False
        if self.remembered:
            for parameter, entry in zip(self.parameters, self._entries):  # noqa: B905  (hot)
                if state.get(parameter) is not entry:
                    return False
            for entry, name, tensor in self.remembered:
                if entry.get(name) is not tensor:
                    return False
        return True


class FusedOptimizer(Optimizer):
    """An optimizer whose step is a C launch; a subclass prepares the operands and launches."""

    _single_form: ClassVar[Form]  # where the step has but one

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates the parameters that have a gradient; returns what the closure returns, if given.

        The closure computes the loss anew: it calls zero_grad and backward and returns the loss.
        """
        loss = None if closure is None else run_closure(closure)
        for index, group in enumerate(self.param_groups):
            if type(group) is not ParameterGroup:
                self._adopt_groups()
                group = self.param_groups[index]
            launches = group.launches
            if launches is None or not self._current(group, launches):
                launches = self._prepare(group)
            group.copy_tensors()
            for launch in launches:
                if launch.some:
                    self._launch(group, launch)
        return loss

    def _current(self, group: ParameterGroup, launches: list[Launch]) -> bool:
        """Refreshes the launches; False where they have to be prepared anew."""
        for parameter in group.idle:
            if parameter._grad is not None:
                return False
        count = len(group.idle)
        for launch in launches:
            if not launch.refresh(self.state):
                return False
            count += launch.count
        return count == len(group["params"])

    def _prepare(self, group: ParameterGroup) -> list[Launch]:
        """Makes the launches: a dtype each, and a parameter listed twice in two of them.

        A parameter without gradient has no state yet, so it is left out until it has one.
        """
        group.idle = []
        sorted_out: dict[Any, list[Tensor]] = {}
        listed: dict[int, int] = {}
        for parameter in group["params"]:
            if parameter._grad is None and not self.state.get(parameter):
                group.idle.append(parameter)
                continue
            occurrence = listed[id(parameter)] = listed.get(id(parameter), 0) + 1
            sorted_out.setdefault((parameter.dtype, occurrence), []).append(parameter)
        launches = [self._make_launch(group, chosen) for chosen in sorted_out.values()]
        for launch in launches:
            launch.refresh(self.state)
        group.launches = launches
        return launches

    def _make_launch(self, group: ParameterGroup, parameters: list[Tensor]) -> Launch:
        form = self._form(group)
        group.set_form(form.index)
        if not form.counters and not form.states:
            return Launch(form, parameters, [])
        entries = [self.state[parameter] for parameter in parameters]
        for parameter, entry in zip(parameters, entries, strict=True):
            self._complete(group, form, parameter, entry)
        return Launch(form, parameters, entries)

    def _complete(
        self, group: ParameterGroup, form: Form, parameter: Tensor, entry: dict[str, Any]
    ) -> None:
        """Brings into the state of a parameter what the form remembers and is not there yet."""
        for name in form.counters:
            value = entry.get(name)
            entry[name] = as_counter(self._initial(group, name) if value is None else value)
        for name in form.states:
            if entry.get(name) is None:
                entry[name] = full_like(parameter, self._initial(group, name))

    def _form(self, group: ParameterGroup) -> Form:
        """The form of the step that the group's hyperparameters ask for."""
        return self._single_form

    def _initial(self, group: ParameterGroup, name: str) -> float:
        """What the counter or the state of that name is filled with before the first step."""
        return 0.0

    def _launch(self, group: ParameterGroup, launch: Launch) -> None:
        check(
            _step(
                launch.form,
                launch.count,
                launch.pointers,
                launch.gradients,
                launch.states,
                launch.counters,
                group.memory,
            )
        )


def full_like(parameter: Tensor, value: float = 0.0) -> Tensor:
    """A contiguous tensor of the parameter's shape and dtype, to remember something in."""
    return wrap(arrays.filled(parameter.shape, parameter.dtype, value))


def as_counter(value: Any) -> Tensor:
    """A number as a 0-d float32 tensor, which the kernel counts up."""
    if isinstance(value, Tensor) and value.dtype == float32 and value.dim() == 0:
        return value
    return wrap(arrays.filled((), float32, float(value)))
