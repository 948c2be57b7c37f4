"""`compile`: a function that chooses among its recordings."""

from __future__ import annotations

import copy
import sys
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

# Recordings for calls whose backward pass is still to come; when all are waiting for it, a call
# runs uncompiled.
_MOST_BUSY = 4


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

    Results may require gradients: the backward pass through them is recorded and replayed, too. It
    cannot be differentiated again; take second derivatives inside of the function. A call whose
    backward pass is still to come keeps its recording, so that others get one of their own. A
    module becomes an `OptimizedModule`.

    What Python does besides starting kernels happens while recording only. Reading a value
    (``item``, ``numpy``, ``if tensor:``) raises RecordingError with the line, except in the forward
    and backward of an `autograd.Function`, which a replay then calls. An exception in a call that
    is being recorded passes through, and leaves what had been changed by then, as eagerly.

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
    if isinstance(model, Module):
        return OptimizedModule(model, plans)
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
        if last is not None:
            simple = last.simple and not kwargs
            result = last.run(args) if simple else last.run_any(args, kwargs)
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
        busy = 0
        for recording in self.recordings:
            if recording.key == key and recording.holds():
                result = recording.run_with(tensors)
                if result is not MISS:
                    self._use(recording)
                    return result
                busy += recording.busy()
        if busy >= _MOST_BUSY:
            return self.function(*args, **kwargs)
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
        return None if last is None else CompiledPlan(last)

    def __repr__(self) -> str:
        return f"<compiled {_name_of(self.function)}, {len(self.recordings)} recordings>"

    # A copy compiles its own function (the method of the copied object, say), and records anew.

    def __deepcopy__(self, memo: dict[int, Any]) -> CompiledFunction:
        return CompiledFunction(copy.deepcopy(self.function, memo), self.plans)

    def __copy__(self) -> CompiledFunction:
        return CompiledFunction(self.function, self.plans)

    def __reduce__(self) -> Any:
        name = getattr(self, "__qualname__", "")
        found: Any = sys.modules.get(getattr(self, "__module__", ""))
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is self:
            return name  # as functions are pickled: by their name
        return CompiledFunction, (self.function, self.plans)


class OptimizedModule(Module):
    """A module whose ``forward`` is recorded and replayed; everything else of it is the original's,
    the submodule ``_orig_mod``. https://pytorch.org/docs/stable/generated/torch.compile.html

    `plan` is the recording of the last call, `recordings` all of them, the last used first."""

    def __init__(self, module: Module, plans: int = 8) -> None:
        super().__init__()
        self.__dict__.pop("training")  # the original's, see below
        super().__setattr__("_orig_mod", module)
        self.__dict__["forward"] = CompiledFunction(module, plans)

    @property
    def training(self) -> bool:
        """Whether the original is in training mode."""
        return self._orig_mod.training

    @training.setter
    def training(self, mode: bool) -> None:
        self._orig_mod.training = mode

    @property
    def plan(self) -> Any:
        """The plan of the last call; None before the first recording."""
        return self.__dict__["forward"].plan

    @property
    def recordings(self) -> list[Any]:
        """All recordings, the last used first."""
        return self.__dict__["forward"].recordings

    def __getattr__(self, name: str) -> Any:
        module = self.__dict__.get("_orig_mod")
        if module is None:
            raise AttributeError(name)
        return getattr(module, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(type(self), name) or name in self.__dict__:
            super().__setattr__(name, value)
        else:
            setattr(self._orig_mod, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._orig_mod, name)

    def __len__(self) -> int:
        return len(self._orig_mod)

    def __iter__(self) -> Any:
        return iter(self._orig_mod)

    def __getitem__(self, key: Any) -> Any:
        return self._orig_mod[key]

    def __contains__(self, key: object) -> bool:
        return key in self._orig_mod

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self._orig_mod)})

    def __reduce__(self) -> Any:
        return OptimizedModule, (self._orig_mod, self.__dict__["forward"].plans)


def _name_of(function: Any) -> str:
    return getattr(function, "__qualname__", type(function).__name__)
