"""`compile`: a function that chooses among its recordings."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from ..kernels import lib
from ..nn.module import Module
from ..tensor import Tensor
from .plan_text import CompiledPlan
from .recording import MISS, Recording, UnsteadyError
from .signature import flatten, key_of, layout_of

_is_recording = lib.mg_is_recording
_MOST_UNSTEADY = 8  # calls in a row that could not be recorded, before we say so and give up


def compile(
    model: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: Any = None,
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
    plans: int = 8,
) -> Any:
    """Records a function as it runs, and replays it from C in later calls.

    The first call with new shapes, dtypes or other arguments runs the function and records every
    kernel that it starts. A later call copies its tensors in and runs these kernels again, without
    Python. It holds as long as nothing changes that the function depends on: shapes, strides, other
    arguments, the modules, optimizers and objects that it reaches, the grad mode. Otherwise it is
    recorded anew; the last `plans` recordings are kept. Learning rates and other numbers of
    optimizers, random numbers and running statistics are memory, and follow.

    What Python does besides starting kernels happens while recording only. Reading a value
    (``item``, ``numpy``, ``if tensor:``) raises RecordingError with the line.

    The other arguments are torch's. There is one backend, and always the full graph; `disable`
    returns the function as it is.
    """
    if model is None:
        return lambda function: compile(function, disable=disable, plans=plans)
    if not callable(model):
        raise TypeError(f"compile: expected a function or a module, got {type(model).__name__}")
    if plans < 1:
        raise ValueError(f"compile: plans must be at least 1, got {plans}")
    if disable:
        return model
    return CompiledFunction(model, plans)


class CompiledFunction:
    """What `compile` returns. `plan` is the recording of the last call, `recordings` all of them,
    the last used first."""

    def __init__(self, function: Callable[..., Any], plans: int) -> None:
        update_wrapper(self, function if not isinstance(function, Module) else type(function))
        self.function = function
        self.plans = plans
        self.recordings: list[Any] = []
        self._last: Recording | None = None
        self._unsteady = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        last = self._last
        if last is not None and not kwargs:
            result = last.run(args)
            if result is not MISS:
                return result
        return self._call(args, kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """A compiled method: each instance has recordings of its own."""
        if instance is None:
            return self
        bound = CompiledFunction(self.function.__get__(instance, owner), self.plans)
        name = getattr(self.function, "__name__", "")
        if name and hasattr(instance, "__dict__"):
            instance.__dict__[name] = bound
        return bound

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if _is_recording() or self._unsteady >= _MOST_UNSTEADY:
            return self.function(*args, **kwargs)
        tensors: list[Tensor] = []
        structure = (flatten(args, tensors), flatten(kwargs, tensors))
        key = (
            key_of(structure[0]),
            key_of(structure[1]),
            tuple([layout_of(each) for each in tensors]),
        )
        for recording in self.recordings:
            if recording.key == key and recording.holds():
                result = recording.run_with(tensors)
                if result is not MISS:
                    self._use(recording)
                    return result
        return self._record(key, structure, tensors)

    def _record(self, key: Any, structure: Any, tensors: list[Tensor]) -> Any:
        try:
            recording = Recording(self.function, structure, tensors)
        except UnsteadyError as unsteady:
            self._unsteady += 1
            if self._unsteady == _MOST_UNSTEADY:
                warnings.warn(
                    f"compile: {_name_of(self.function)} changes what it depends on in every call "
                    f"({unsteady}), which a replay could not repeat. It runs uncompiled from now "
                    "on. Make these changes outside of it, or keep the value in a tensor",
                    stacklevel=4,
                )
            return unsteady.result
        self._unsteady = 0
        recording.key = key
        self._use(recording)
        first, recording.first = recording.first, None
        return first

    def _use(self, recording: Any) -> None:
        self.recordings = [recording, *[e for e in self.recordings if e is not recording]]
        del self.recordings[self.plans :]
        self._last = recording

    @property
    def plan(self) -> Any:
        """The plan of the last call, a CompiledPlan to print or profile; None before the first
        recording."""
        last = self._last
        return None if last is None else CompiledPlan(last.plan, last.sources)

    def __repr__(self) -> str:
        return f"<compiled {_name_of(self.function)}, {len(self.recordings)} recordings>"


def _name_of(function: Any) -> str:
    return getattr(function, "__qualname__", type(function).__name__)
