"""Steps that are one launch for all parameters of a group (of one dtype).

The C arrays of handles are kept from step to step. A step compares what they were made from with
what is there now, and refreshes only what has changed: usually nothing but the gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..kernels import NULL, Array, ffi
from ..tensor import Tensor
from .group import ParameterGroup
from .optimizer import Optimizer, run_closure


class Launch:
    """The operands of one launch: parameters of one dtype, and what is remembered of each."""

    __slots__ = (
        "count",
        "gradients",
        "parameters",
        "pointers",
        "remembered",
        "some",
        "started",
        "states",
        "_arrays",
        "_kept",
    )

    def __init__(self, parameters: list[Tensor], states: list[dict[str, Any]]) -> None:
        self.parameters = parameters
        self.states = states
        self.count = len(parameters)
        self._arrays: list[Array] = [parameter._array for parameter in parameters]
        self.pointers = ffi.new("mg_array *[]", self._arrays)
        self.gradients = ffi.new("mg_array *[]", self.count)
        self.some = False  # whether any parameter has a gradient
        self.started: Any = NULL
        self.remembered: list[tuple[dict[str, Any], str, Tensor]] = []
        self._kept: list[Array] = []

    def remember(self, name: str) -> Any:
        """A C array of the tensors of that name in all states."""
        tensors = [state[name] for state in self.states]
        self.remembered += [(s, name, t) for s, t in zip(self.states, tensors, strict=True)]
        handles = [tensor._array for tensor in tensors]
        self._kept += handles  # a tensor lets go of its handle when its `data` is replaced
        return ffi.new("mg_array *[]", handles)

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
            for parameter, entry in zip(self.parameters, self.states):  # noqa: B905  (hot)
                if state.get(parameter) is not entry:
                    return False
            for entry, name, tensor in self.remembered:
                if entry.get(name) is not tensor:
                    return False
        return True


class FusedOptimizer(Optimizer):
    """An optimizer whose step is a C launch; a subclass prepares the operands and launches."""

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

    def _make_launch(self, group: ParameterGroup, parameters: list[Tensor]) -> Any:
        raise NotImplementedError

    def _launch(self, group: ParameterGroup, launch: Any) -> None:
        raise NotImplementedError
