"""One recorded call: the plan, what goes in, what comes out, and what else a call leaves behind.

A call leaves results, gradients (``tensor.grad``) and changes of memory. The plan repeats what
happens in memory; results are copied, and the gradients are put where the function left them.
"""

from __future__ import annotations

import threading
import weakref
from os import register_at_fork
from typing import Any

from .. import array as arrays
from ..autograd import no_grad
from ..dtypes import BY_CODE
from ..kernels import Plan, check, ffi, lib, own, owning, record, release
from ..tensor import Tensor, wrap
from .errors import explained
from .signature import Leaf, flatten, unflatten
from .sources import Sources
from .state import State

MISS = object()  # instead of a result: this recording does not serve the call

_call = lib.mg_plan_call
_handles = {count: ffi.typeof(f"mg_array *[{count}]") for count in range(32)}
_recordings: weakref.WeakSet[Recording] = weakref.WeakSet()


class UnsteadyError(Exception):
    """The call changed what the function depends on, so its recording would not hold."""

    def __init__(self, result: Any, names: list[str]) -> None:
        super().__init__(", ".join(names))
        self.result, self.names = result, names


class Recording:
    """A recorded call of a function; `run` replays it with other values."""

    def __init__(self, function: Any, structure: Any, tensors: list[Tensor]) -> None:
        """Calls the function and records it; the result is `first`. Raises UnsteadyError with the
        result where the call itself changed what the function depends on."""
        self.key: Any = None  # of the calls that it serves
        self.lock = threading.Lock()
        self.structure = structure  # keeps the objects of the key alive
        self.state = State(function, [structure])
        before = self.state.kept
        entry_grads = self.state.grads()
        entry_arrays = [None if each is None else each._array for each in entry_grads]
        known = {id(each) for each in self.state.tensors}
        # Arguments that the function can reach otherwise are what they are; the others are copied
        # into memory of the plan's own.
        self.fixed = [(i, each) for i, each in enumerate(tensors) if id(each) in known]
        inputs = [each if id(each) in known else _static(each) for each in tensors]
        self.places = [i for i, each in enumerate(tensors) if id(each) not in known]
        versions = [lib.mg_version(each._array) for each in inputs]
        try:
            with record() as self.plan, Sources(self.plan) as self.sources:
                args, kwargs = (unflatten(each, inputs) for each in structure)
                result = function(*args, **kwargs)
                del args, kwargs
        except RuntimeError as error:
            raise explained(error) from None
        finally:
            self._written = [
                i for i in self.places if lib.mg_version(inputs[i]._array) != versions[i]
            ]
            self._give_back(inputs, tensors)
        found: list[Tensor] = []
        self.result = flatten(result, found)
        del result
        self._classify(found, inputs)
        changed = self.state.differences(before)
        if changed or self.state.fingerprint() != before:
            first = unflatten(self.result, self._results(found, tensors, copies=False))
            raise UnsteadyError(first, changed)
        self._note_gradients(entry_grads, entry_arrays, inputs)
        self.first = unflatten(self.result, self._results(found, tensors, copies=True))
        copied = [found[i]._array for i in self._copied]
        static = [inputs[i]._array for i in self.places]
        check(lib.mg_plan_bind(self.plan.handle, len(static), static, len(copied), copied))
        self._input_type = ffi.typeof(f"mg_array *[{max(len(static), 1)}]")
        self._output_type = ffi.typeof(f"mg_array *[{max(len(copied), 1)}]")
        self._static = [inputs[i] for i in self._written]
        self._simple = (
            not self._written
            and not self.fixed
            and len(self._copied) == len(found)
            and structure[0].parts == [Leaf(i) for i in range(len(tensors))]
            and not structure[1].parts
        )
        self._single = type(self.result) is Leaf
        self.count = len(tensors)
        del found, inputs, copied, static
        check(lib.mg_plan_pack(self.plan.handle))
        _recordings.add(self)

    # ---- the first call ----

    def _give_back(self, inputs: list[Tensor], tensors: list[Tensor]) -> None:
        """Brings in-place changes of copied arguments back to the arguments."""
        for i in self._written:
            with no_grad():
                tensors[i].detach().copy_(inputs[i].detach())

    def _classify(self, found: list[Tensor], inputs: list[Tensor]) -> None:
        """What a result is: a new value, to be copied; an argument; or something that exists."""
        self._copied: list[int] = []
        self._same: list[tuple[int, int]] = []  # results that are arguments
        self._objects: list[tuple[int, Tensor]] = []
        known = {id(each) for each in self.state.tensors}
        for index, each in enumerate(found):
            argument = next((i for i, one in enumerate(inputs) if one is each), None)
            if argument is not None:
                self._same.append((index, argument))
            elif id(each) in known:
                self._objects.append((index, each))
            elif each._requires_grad:
                raise explained(
                    NotImplementedError(
                        "a compiled function cannot return a tensor that requires a gradient yet: "
                        "call backward() or autograd.grad inside of it, return tensor.detach(), or "
                        "call it within no_grad()"
                    )
                )
            else:
                self._copied.append(index)

    def _results(self, found: list[Tensor], tensors: list[Tensor], copies: bool) -> list[Any]:
        results: list[Any] = list(found)
        for index, argument in self._same:
            results[index] = tensors[argument]
        if copies:
            for index in self._copied:
                array = found[index]._array
                results[index] = wrap(own(lib.mg_cast(array, array.dtype)))
        return results

    def _note_gradients(self, entry: list[Any], arrays: list[Any], inputs: list[Tensor]) -> None:
        """How gradients have to be before a call, and which tensors they are after it."""
        used = _addresses(self.plan)
        self.exit_grads = self.state.grads()
        self.grads_before: list[Any] = []  # None, True for any, or the very tensor
        for tensor, array in zip(entry, arrays, strict=True):
            if tensor is None:
                self.grads_before.append(None)
            else:
                depends = int(ffi.cast("intptr_t", array.data)) in used
                self.grads_before.append(tensor if depends else True)
        # Gradients that the function neither uses nor sets are none of its business.
        self.sets_grads = not all(a is b for a, b in zip(entry, self.exit_grads, strict=True))
        self._settled = self._fits(self.exit_grads)
        if any(each._grad is not None for i, each in enumerate(inputs) if i in self.places):
            raise explained(
                NotImplementedError(
                    "a compiled function left a gradient at one of its arguments. Use "
                    "autograd.grad(loss, argument) and return it, or make the tensor a Parameter"
                )
            )

    def _fits(self, grads: list[Any]) -> bool:
        for present, wanted in zip(grads, self.grads_before, strict=True):
            if wanted is None:
                if present is not None:
                    return False
            elif wanted is True:
                if present is None:
                    return False
            elif present is not wanted:
                return False
        return True

    # ---- later calls ----

    def holds(self) -> bool:
        """Whether the function still depends on what it did, and finds gradients as it did."""
        return self.state.unchanged() and self._fits(self.state.grads())

    def run(self, args: tuple[Any, ...]) -> Any:
        """The short way for a call with tensors alone: the result, or MISS."""
        if not self._simple or len(args) != self.count:
            return MISS
        given = []
        for arg in args:
            if type(arg) is not Tensor or arg._requires_grad:
                return MISS
            given.append(arg._array)
        state = self.state
        if not state.unchanged():
            return MISS
        settled = self._settled and state.grads_are(self.exit_grads)
        if not settled and not self._fits(state.grads()):
            return MISS
        outputs = ffi.new(self._output_type)
        with self.lock:
            status = _call(self.plan.handle, len(given), given, outputs)
        if status:
            if status > 0:
                return MISS
            check(status)
        if self.sets_grads and not settled:
            self._set_grads()
        if self._single:
            result = _new(Tensor)
            result._array = owning(outputs[0], release)
            result._requires_grad = False
            result._grad = result._node = result._view = result._hooks = None
            return result
        return unflatten(
            self.result, [wrap(owning(outputs[i], release)) for i in range(len(self._copied))]
        )

    def run_with(self, tensors: list[Tensor]) -> Any:
        """Replays with these tensors as arguments; the caller has checked that it `holds`."""
        given = [tensors[i]._array for i in self.places]
        for index, each in self.fixed:
            if tensors[index] is not each:
                return MISS
        outputs = ffi.new(self._output_type)
        with self.lock:
            status = _call(self.plan.handle, len(given), given, outputs)
            if status > 0:
                return MISS
            check(status)
            if self._written:
                for index, static in zip(self._written, self._static, strict=True):
                    with no_grad():
                        tensors[index].detach().copy_(static.detach())
        if self.sets_grads:
            self._set_grads()
        results: list[Any] = [None] * (len(self._copied) + len(self._same) + len(self._objects))
        for place, index in enumerate(self._copied):
            results[index] = wrap(owning(outputs[place], release))
        for index, argument in self._same:
            results[index] = tensors[argument]
        for index, each in self._objects:
            results[index] = each
        return unflatten(self.result, results)

    def _set_grads(self) -> None:
        for leaf, grad in zip(self.state.leaves, self.exit_grads, strict=True):
            leaf._grad = grad


_new = object.__new__


def _static(tensor: Tensor) -> Tensor:
    """A copy in memory of its own, with the same strides where these do not overlap."""
    array = tensor._array
    shape, strides = arrays.shape_of(array), arrays.strides_of(array)
    kind = BY_CODE[array.dtype]
    if arrays.is_contiguous(array) or _overlaps(shape, strides):
        copy = arrays.empty(shape, kind)
    else:
        extent = 1 + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        copy = arrays.as_strided(arrays.empty((extent,), kind), shape, strides, 0)
    check(lib.mg_copy(copy, array))
    result = wrap(copy)
    result._requires_grad = tensor._requires_grad
    return result


def _overlaps(shape: Any, strides: Any) -> bool:
    """Whether two indices may share an element."""
    reach = 1
    for step, size in sorted(zip(strides, shape, strict=True)):
        if size > 1:
            if step < reach:
                return True
            reach = step * size
    return False


def _addresses(plan: Plan) -> set[int]:
    """Where the arrays of a plan begin."""
    found = set()
    for index in range(len(plan)):
        outputs, operands = plan.arrays(index)
        for array in (*outputs, *operands):
            if array is not None:
                found.add(int(ffi.cast("intptr_t", array.data)))
    return found


def _after_fork() -> None:
    """A lock that another thread held at the fork would stay locked for ever in the child."""
    for recording in _recordings:
        recording.lock = threading.Lock()


register_at_fork(after_in_child=_after_fork)
