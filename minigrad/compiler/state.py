"""What a function depends on besides its arguments.

A recording holds for the modules, optimizers, tensors and other objects that the function reached
when it was recorded. They are found by walking from the function: its closure, the global names in
its code, its default arguments, the object that it is bound to, and from there through attributes
and containers. `State.unchanged` says, in well under a microsecond for a small network, whether all
is as it was; `State.fingerprint` is the long form.
"""

from __future__ import annotations

import functools
import os
import sys
import types
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

import numpy as np

from ..autograd.grad_mode import state as grad_mode
from ..dtypes import get_default_dtype
from ..kernels import lib
from ..nn.members import changes
from ..nn.module import Module
from ..ops.random import Generator
from ..optim.group import ParameterGroup
from ..optim.optimizer import Optimizer
from ..tensor import Tensor
from .guards import Conditions
from .outside import moves
from .signature import PLAIN, Branch

_grad = attrgetter("_grad")
_MOST_OBJECTS = 100_000
_MOST_BYTES = 1 << 16  # of an ndarray whose values are compared; larger ones are not looked into


class Place:
    """Where a value was found: in a cell of a closure, under a key of a dictionary, in a list."""

    __slots__ = ("holder", "key", "name")

    def __init__(self, holder: Any, key: Any, name: str) -> None:
        self.holder, self.key, self.name = holder, key, name

    def present(self) -> Any:
        """What is there now; None where nothing is."""
        try:
            if type(self.holder) is types.CellType:
                return self.holder.cell_contents
            return self.holder[self.key]
        except (ValueError, IndexError, KeyError):  # ValueError: a cell without a value
            return None


class Slots:
    """The slots of an object, as a dictionary has them."""

    def __init__(self, owner: Any) -> None:
        self.owner = owner

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self.owner, name)
        except AttributeError:
            raise KeyError(name) from None


class State:
    """All that was reached from a function."""

    def __init__(self, function: Any, others: Any = ()) -> None:
        self.places: list[Place] = []
        self.sizes: list[tuple[Any, int]] = []  # containers, whose length counts too
        self.modules: list[Module] = []
        self.optimizers: list[Optimizer] = []
        self.tensors: list[Tensor] = []
        self._classes: set[int] = set()
        self._remembered: set[int] = set()  # tensors in the state of optimizers
        self.sets: list[set[Any]] = []
        self.arrays: list[np.ndarray] = []  # NumPy's, small enough to compare
        self.moving: list[tuple[Any, str]] = []  # streams of random numbers, iterators
        self._seen: dict[int, Any] = {}  # keeps the objects alive, so that their ids stay theirs
        self._pending: list[tuple[Any, str]] = [(function, "the function")]
        self._pending += [(each, "an argument") for each in others]
        while self._pending:
            value, name = self._pending.pop()
            self._visit(value, name)
            if len(self._seen) > _MOST_OBJECTS:
                raise RuntimeError(
                    f"compile: more than {_MOST_OBJECTS} objects can be reached from the function. "
                    "Pass it what it needs as arguments, or as attributes of a smaller object"
                )
        # What may have a gradient; optimizers use those of frozen parameters too.
        given = {id(p) for o in self.optimizers for g in o.param_groups for p in g["params"]}
        self.leaves = [
            each
            for each in self.tensors
            if each._node is None
            and (each._requires_grad or each._grad is not None or id(each) in given)
        ]
        self.note()

    # ---- walking ----

    def _found(self, holder: Any, key: Any, value: Any, name: str) -> None:
        self.places.append(Place(holder, key, name))
        self._pending.append((value, name))

    def _visit(self, value: Any, name: str) -> None:
        if isinstance(value, PLAIN) or id(value) in self._seen:
            return
        self._seen[id(value)] = value
        if isinstance(value, (type, types.ModuleType)):
            pass  # what code names of them is found where the code is
        elif isinstance(value, Branch):
            self._pending += [(each, name) for each in value.parts]
        elif isinstance(value, Tensor):
            self.tensors.append(value)
            self._pending += [(hook, f"a hook of {name}") for hook in _hooks_of(value)]
        elif isinstance(value, np.ndarray):
            if value.nbytes <= _MOST_BYTES and value.dtype.kind != "O":
                self.arrays.append(value)
        elif moves(value):
            self.moving.append((value, name))
        elif isinstance(value, types.FunctionType):
            self._visit_function(value)
        elif isinstance(value, types.MethodType):
            self._pending += [(value.__self__, name), (value.__func__, name)]
        elif isinstance(value, Module):
            self._visit_module(value, name)
        elif isinstance(value, Optimizer):
            self._visit_optimizer(value)
        elif isinstance(value, functools.partial):
            self._pending += [(each, name) for each in (value.func, value.args, value.keywords)]
        elif isinstance(value, Generator):
            pass  # its state is memory
        elif isinstance(value, (list, tuple, dict)):
            self._visit_container(value, name)
        elif isinstance(value, (set, frozenset)):
            if isinstance(value, set):
                self.sets.append(value)
            self._pending += [(each, name) for each in value]
        elif type(value).__module__.startswith(_HERE):
            self._pending.append((getattr(value, "function", None), name))  # a compiled function
        elif type(value).__module__.partition(".")[0] not in _FOREIGN:
            self._visit_object(value, name)

    def _visit_function(self, function: types.FunctionType) -> None:
        if _is_library(function):
            return
        code = function.__code__
        for cell, name in zip(function.__closure__ or (), code.co_freevars, strict=True):
            try:
                self._found(cell, None, cell.cell_contents, name)
            except ValueError:
                self.places.append(Place(cell, None, name))
        scope, names = function.__globals__, list(dict.fromkeys(_names_of(code)))
        for name in names:
            if name in scope:
                self._found(scope, name, scope[name], name)
        cells = [Place(cell, None, "").present() for cell in function.__closure__ or ()]
        for owner in (*map(scope.get, names), *cells):
            self._visit_named(owner, names)
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self._pending.append((value, function.__name__))

    def _visit_named(self, owner: Any, names: list[str]) -> None:
        """What code names of a module of Python's or of a class that it uses."""
        if isinstance(owner, types.ModuleType):
            if not _is_foreign(owner.__name__, getattr(owner, "__file__", None)):
                scope = vars(owner)
                for name in names:
                    if name in scope:
                        self._found(scope, name, scope[name], f"{owner.__name__}.{name}")
        elif isinstance(owner, type):
            self._visit_class(owner)

    def _visit_class(self, cls: type) -> None:
        """The values that are attributes of a user's class."""
        if id(cls) in self._classes:
            return
        self._classes.add(id(cls))
        for each in cls.__mro__:
            if _is_foreign(each.__module__, None):
                continue
            for name, value in list(vars(each).items()):
                if not name.startswith("__") and isinstance(value, (*PLAIN, *_VALUES)):
                    self._found(vars(each), name, value, f"{each.__name__}.{name}")

    def _visit_module(self, module: Module, name: str) -> None:
        self.modules.append(module)
        for key, each in module.__dict__.items():
            if isinstance(each, dict):  # the tables of hooks; `changes` counts what happens to them
                self._pending += [(inner, f"{name}.{key}") for inner in each.values()]
            else:
                self._pending.append((each, f"{name}.{key}"))
        self._pending.append((type(module).forward, name))
        self._visit_class(type(module))

    def _visit_optimizer(self, optimizer: Optimizer) -> None:
        self.optimizers.append(optimizer)
        for group in optimizer.param_groups:
            self._pending += [(each, "a parameter") for each in group["params"]]
            self._pending += [(v, k) for k, v in group.items() if isinstance(v, Tensor)]
        for entry in optimizer.state.values():
            self._pending += [(each, "the state of the optimizer") for each in entry.values()]
            self._remembered |= {id(each) for each in entry.values()}
        for hooks in (
            optimizer._optimizer_step_pre_hooks,
            optimizer._optimizer_step_post_hooks,
        ):
            self._pending += [(hook, "a hook of the optimizer") for hook in hooks.values()]

    def _visit_container(self, value: Any, name: str) -> None:
        if isinstance(value, tuple):
            self._pending += [(each, name) for each in value]
            return
        self.sizes.append((value, len(value)))
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in list(items):
            self._found(value, key, each, f"{name}[{key!r}]")

    def _visit_object(self, value: Any, name: str) -> None:
        attributes = getattr(value, "__dict__", None)
        if type(attributes) is dict:
            self.sizes.append((attributes, len(attributes)))
            for key, each in list(attributes.items()):
                self._found(attributes, key, each, f"{name}.{key}")
        for cls in type(value).__mro__:
            for slot in _slots_of(cls):
                if hasattr(value, slot):
                    self._found(Slots(value), slot, getattr(value, slot), f"{name}.{slot}")
        self._visit_class(type(value))
        call = getattr(type(value), "__call__", None)  # noqa: B004  (the function, to look into it)
        if isinstance(call, types.FunctionType):
            self._pending.append((call, name))

    # ---- comparing ----

    def fingerprint(self) -> list[Any]:
        """What has to be the same for a recording to hold, in a form that can be compared.
        Gradients are not in it: see `Recording`."""
        found: list[Any] = [grad_mode.enabled, get_default_dtype()]
        found += [_identity(place.present()) for place in self.places]
        found += [len(each) for each, _ in self.sizes]
        found += [each.tobytes() for each in self.arrays]
        found += [set(each) for each in self.sets]
        for module in self.modules:
            found.append([(key, _identity(each)) for key, each in module.__dict__.items()])
            found.append(list(module._members.items()))
            found.append([list(t) for t in module.__dict__.values() if isinstance(t, dict)])
        found += [_identity_of_optimizer(optimizer) for optimizer in self.optimizers]
        for tensor in self.tensors:
            hooks = list(map(id, _hooks_of(tensor)))
            found.append((_address(tensor._array), tensor._requires_grad, hooks))
        return found

    def differences(self, before: list[Any]) -> list[str]:
        """The names of what is no longer as in that fingerprint."""
        names = ["the grad mode", "the default dtype"]
        names += [place.name for place in self.places]
        names += ["the length of a container"] * len(self.sizes)
        names += ["an array of NumPy"] * len(self.arrays) + ["a set"] * len(self.sets)
        for module in self.modules:
            names += [f"an attribute of {type(module).__name__}"] * 3
        names += ["an optimizer"] * len(self.optimizers) + ["a tensor"] * len(self.tensors)
        pairs = zip(before, self.fingerprint(), names, strict=True)
        return list(dict.fromkeys(name for old, new, name in pairs if old != new))

    def note(self) -> None:
        """Takes everything as it is now for what `unchanged` compares with."""
        self.kept = self.fingerprint()
        self._changes = changes[0]
        # What optimizers remember of a parameter changes with the objects looked at below.
        watched = [each for each in self.tensors if id(each) not in self._remembered]
        groups = [group for each in self.optimizers for group in each.param_groups]
        self._plain = [each for each in groups if getattr(each, "launches", None) is None]
        self._hyperparameters = _numbers_of(self._plain)
        self._contents = [each.tobytes() for each in self.arrays]
        same = Conditions()
        same.add("{}.enabled is {}", grad_mode, grad_mode.enabled)
        same.add("{}() == {}", lib.mg_default_float, lib.mg_default_float())
        for place in self.places:
            present = place.present()
            if type(place.holder) is types.CellType and _is_empty(place.holder):
                same.add("{}({})", _is_empty, place.holder)
            elif type(place.holder) is types.CellType:
                same.add("{}.cell_contents is {}", place.holder, present)
            elif isinstance(place.holder, dict) and place.key not in place.holder:
                same.add("{}({}) is {}", place.holder.get, place.key, None)
            else:
                same.add("{}[{}] is {}", place.holder, place.key, present)
        for members in self.sets:
            same.add("{} == {}", members, set(members))
        for container, _ in self.sizes:
            same.add("{}({}) == {}", len, container, len(container))
        for each in watched:
            fields = (each, each._array, each, each._requires_grad, each, each._hooks)
            same.add("{}._array is {} and {}._requires_grad is {} and {}._hooks is {}", *fields)
            for table in each._hooks or ():
                same.add("{}({}) == {}", list, table, list(table))
        for group in groups:
            same.add("{}({}) == {}", len, group["params"], len(group["params"]))
            same.add("{}[{}] is {}", group, "params", group["params"])
            if getattr(group, "launches", None) is not None:
                same.add("{}.launches is {}", group, group.launches)
                tensors = group._tensors  # numbers that are tensors: a launch brings each of them
                same.add("{}({}) == {}", len, tensors, len(tensors))
                for slot, pair in tensors.items():
                    same.add("{}[{}] is {}", tensors, slot, pair)
        for optimizer in self.optimizers:
            same.add("{}.state is {}", optimizer, optimizer.state)
            same.add("{}.param_groups is {}", optimizer, optimizer.param_groups)
            same.add("{}({}) == {}", len, optimizer.param_groups, len(optimizer.param_groups))
        self._same = same.function()

    def unchanged(self) -> bool:
        """Whether a recording made at `note` still holds."""
        if (
            changes[0] == self._changes
            and self._same()
            and (not self._plain or _numbers_of(self._plain) == self._hyperparameters)
            and (not self.arrays or [each.tobytes() for each in self.arrays] == self._contents)
        ):
            return True
        if self.fingerprint() != self.kept:
            return False
        self.note()
        return True

    def grads(self) -> list[Tensor | None]:
        """The gradients of the leaves."""
        return list(map(_grad, self.leaves))

    def grads_check(self, expected: list[Any]) -> Callable[[], bool]:
        """A function that tells whether the gradients of the leaves are these very tensors; True
        stands for any."""
        same = Conditions()
        for leaf, grad in zip(self.leaves, expected, strict=True):
            if grad is True:
                same.add("{}._grad is not None", leaf)
            else:
                same.add("{}._grad is {}", leaf, grad)
        return same.function()


def _is_empty(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return True
    return False


def _numbers_of(groups: list[Any]) -> list[Any]:
    """The hyperparameters of groups whose step is not fused: the launches hold their values."""
    return [
        [(key, _identity(value)) for key, value in group.items() if key != "params"]
        for group in groups
    ]


def _identity_of_optimizer(optimizer: Optimizer) -> list[Any]:
    found: list[Any] = [id(optimizer.state), id(optimizer.param_groups), optimizer._step_hooked]
    hooks = (optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks)
    found += [[id(hook) for hook in each.values()] for each in hooks]
    for group in optimizer.param_groups:
        in_memory: Any = ()
        if type(group) is ParameterGroup:
            # A fused step that was never prepared has no launches yet, which it gets when it runs.
            found.append(group.launches is not None)
            found.append([bool(group.get(name)) for name in group._structural])
            found.append([(slot, id(value)) for slot, (_, value) in group._tensors.items()])
            in_memory = group._places if group.launches is not None else ()
        found.append([id(each) for each in group["params"]])
        for key, value in group.items():
            if key != "params" and key not in in_memory:
                found.append((key, _identity(value)))
    for entry in optimizer.state.values():
        found.append([(key, _identity(value)) for key, value in entry.items()])
    return found


def _identity(value: Any) -> Any:
    if isinstance(value, PLAIN):
        return (type(value), repr(value) if isinstance(value, float) else value)
    if isinstance(value, tuple):
        return tuple([_identity(each) for each in value])
    return id(value)


def _hooks_of(tensor: Tensor) -> list[Any]:
    """What is called with its gradients."""
    return [hook for table in tensor._hooks or () for hook in table.values()]


def _address(array: Any) -> int:
    return hash(array)


# Objects of these know nothing of us; nor do functions of these depend on what a user changes.
_FOREIGN = {*sys.stdlib_module_names, "numpy", "_cffi_backend", "cffi", "tqdm", "matplotlib"}
_FOREIGN -= {"__main__", "types", "argparse"}  # these have namespaces of settings
_HERE = __name__.rpartition(".")[0] + "."
_INSTALLED = f"{os.sep}site-packages{os.sep}"


_VALUES = (Tensor, Module, list, dict, set, tuple, np.ndarray)


def _is_foreign(module: str | None, file: str | None) -> bool:
    root = (module or "").partition(".")[0]
    return root == "minigrad" or root in _FOREIGN or _INSTALLED in (file or "")


def _is_library(function: types.FunctionType) -> bool:
    module = (function.__module__ or "").partition(".")[0]
    return module == "minigrad" or module in _FOREIGN or _INSTALLED in function.__code__.co_filename


def _names_of(code: types.CodeType) -> Iterator[str]:
    """The global names in code and in the functions written within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_of(constant)


def _slots_of(cls: type) -> tuple[str, ...]:
    slots = cls.__dict__.get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple([n for n in names if n not in ("__dict__", "__weakref__")])
