"""One recorded call: the plan, what goes in, what comes out, and what else a call leaves behind.

A call leaves results, gradients (``tensor.grad``) and changes of memory. The plan repeats what
happens in memory; results are copied, and the gradients are put where the function left them.
gradients.py has what happens to results that require gradients.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from os import register_at_fork
from typing import Any

from ..autograd import no_grad
from ..autograd.engine import edge_of
from ..kernels import Plan, check, ffi, lib, own, owning, record, release
from ..tensor import Tensor, wrap
from .arguments import ArgumentGradients, View, argument_copy
from .errors import explained
from .gradients import Graph, moment
from .memory import compact, is_compact
from .outside import Outside
from .segments import Recorder, checked
from .signature import Leaf, flatten, layout_of, matches, objects_in, unflatten
from .sources import Sources
from .state import State

WRITTEN_ELSEWHERE = (
    "compile: the function writes to memory that an argument shares with another argument or with "
    "a tensor that the function reaches, and they would have to follow each other. Pass a clone()"
)
MISS = object()  # instead of a result: this recording does not serve the call

_call = lib.mg_plan_call
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
        self.state = State(function, [each for part in structure for each in objects_in(part)])
        before = self.state.kept
        outside = Outside(self.state.moving, self.state.optimizers)
        entry_grads = self.state.grads()
        entry_arrays = [None if each is None else each._array for each in entry_grads]
        self._known = known = {id(each) for each in self.state.tensors}
        # Arguments that the function can reach otherwise are what they are; the others are copied
        # into memory of the plan's own.
        self.fixed = [(i, each) for i, each in enumerate(tensors) if id(each) in known]
        self.places = [i for i, each in enumerate(tensors) if id(each) not in known]
        pairs = {i: argument_copy(tensors[i]) for i in self.places}
        inputs = [pairs[i][0] if i in pairs else each for i, each in enumerate(tensors)]
        self._loose = [k for k, i in enumerate(self.places) if not is_compact(tensors[i]._array)]
        layouts = [(each, layout_of(each)) for each in tensors]
        self._leaving = ArgumentGradients(self.places, tensors, inputs)
        edges = [edge_of(each) for each in inputs]
        since = moment()
        versions = [lib.mg_version(each._array) for each in inputs]
        originals = [lib.mg_version(tensors[i]._array) for i in self.places]
        try:
            with (
                record() as self.plan,
                Sources(self.plan) as self.sources,
                Recorder(self.plan) as recorder,
            ):
                args, kwargs = (unflatten(each, inputs) for each in structure)
                result = function(*args, **kwargs)
                del args, kwargs
        except RuntimeError as error:
            raise explained(error) from None
        finally:
            self._written = [
                i for i in self.places if lib.mg_version(inputs[i]._array) != versions[i]
            ]
            now = [lib.mg_version(tensors[i]._array) for i in self.places]
            self._give_back(inputs, tensors)
        if now != originals:
            raise RuntimeError(WRITTEN_ELSEWHERE)
        self._check_written(tensors)
        self.segments = recorder.segments
        self._replaying = 0  # the thread that is at it, for a segment that calls the function again
        found: list[Tensor] = []
        self.result = flatten(result, found)
        del result
        changed = self._classify(found, inputs, since)
        changed += self.state.differences(before) + outside.moved()
        self._leaving.note(inputs)
        if changed or self.state.fingerprint() != before:
            self._leaving.deliver(tensors, self._leaving.values())
            if self.graph is not None:
                self.graph.join({id(e): edge_of(t) for e, t in zip(edges, tensors, strict=True)})
            raise UnsteadyError(unflatten(self.result, self._uncopied(found, tensors)), changed)
        self._note_gradients(entry_grads, entry_arrays)
        if self.graph is not None:
            self._note_edges(found, inputs, edges)
        self._static = [inputs[i] for i in self._written]
        copied = [found[i]._array for i in self._copied]
        bound = [each for _, each in pairs.values()] + self._leaving.inputs
        leaving = self._leaving.values()
        first = [own(lib.mg_plan_copy(each)) for each in copied]
        self.first = self._finish(first, tensors)
        self._leaving.deliver(tensors, [own(lib.mg_plan_copy(each)) for each in leaving])
        self._bind(bound, copied + leaving)
        self._handle = self.plan.handle
        self.simple = (
            not self._written
            and not self.fixed
            and not self._loose
            and not self._leaving
            and not self.segments
            and len(self._copied) == len(found)
            and structure[0].parts == [Leaf(i) for i in range(len(tensors))]
            and not structure[1].parts
        )
        self._single = type(self.result) is Leaf and self.graph is None and not self._leaves
        self.count = len(tensors)
        self._flags = [(type(each), each._requires_grad, layout) for each, layout in layouts]
        del found, inputs, edges, pairs, copied, bound, first, leaving
        check(lib.mg_plan_optimize(self.plan.handle))
        check(lib.mg_plan_pack(self.plan.handle))
        _recordings.add(self)

    # ---- the first call ----

    def _bind(self, inputs: list[Any], outputs: list[Any]) -> None:
        check(lib.mg_plan_bind(self.plan.handle, len(inputs), inputs, len(outputs), outputs))
        self._output_type = ffi.typeof(f"mg_array *[{max(len(outputs), 1)}]")
        self._output_count = len(outputs)

    def _give_back(self, inputs: list[Tensor], tensors: list[Tensor]) -> None:
        """Brings in-place changes of copied arguments back to the arguments."""
        for i in self._written:
            with no_grad():
                tensors[i].detach().copy_(inputs[i].detach())

    def _check_written(self, tensors: list[Tensor]) -> None:
        """An argument is written as a copy of it: nothing else may show its memory."""
        for i in self._written:
            others = [each for each in self.state.tensors if each is not tensors[i]]
            others += [tensors[j] for j in self.places if j != i]
            array = tensors[i]._array
            if any(lib.mg_same_storage(each._array, array) for each in others):
                raise RuntimeError(WRITTEN_ELSEWHERE)

    def _classify(self, found: list[Tensor], inputs: list[Tensor], since: int) -> list[str]:
        """What a result is: a new value, to be copied; an argument or another tensor that exists; a
        view of one. Returns what cannot be repeated."""
        self._copied: list[int] = []
        self._same: list[tuple[int, int]] = []  # results that are arguments
        self._objects: list[tuple[int, Tensor]] = []
        self._views: list[tuple[int, View]] = []
        problems = []
        known = {id(each) for each in self.state.tensors}
        bases = {_storage(each): each for each in reversed(self.state.tensors)}
        places = {_storage(inputs[i]): i for i in reversed(self.places)}
        for index, each in enumerate(found):
            argument = next((i for i, one in enumerate(inputs) if one is each), None)
            place, base = places.get(_storage(each)), bases.get(_storage(each))
            if argument is not None:
                self._same.append((index, argument))
            elif id(each) in known:
                self._objects.append((index, each))
            elif place is not None or base is not None:
                origin: Any = inputs[place] if place is not None else base
                if each._requires_grad and (not origin._requires_grad or place in self._written):
                    problems.append("a view that is returned")
                self._views.append((index, View(each, origin, place)))
            else:
                self._copied.append(index)
        traced = [(k, found[i]) for k, i in enumerate(self._copied) if found[i]._requires_grad]
        self._linked = [k for k, each in traced if each._node is not None]
        self._leaves = [k for k, each in traced if each._node is None]
        roots = [found[self._copied[k]] for k in self._linked]
        self.graph = Graph(roots, since, self.lock) if roots else None
        if self.graph is not None and not self.graph.complete:
            problems.append("the history of a tensor that it does not make")
        return problems

    def _uncopied(self, found: list[Tensor], tensors: list[Tensor]) -> list[Any]:
        """The results of the first call where it was not recorded."""
        results: list[Any] = list(found)
        for index, argument in self._same:
            results[index] = tensors[argument]
        for index, view in self._views:
            if view.place is not None and view.place not in self._written:
                results[index] = view.of(tensors)
        return results

    def _note_edges(self, found: list[Tensor], inputs: list[Tensor], edges: list[Any]) -> None:
        """Where the gradients of a call go: `_edges`, with other things in some `_places_of_ends`:
        the number of an argument, that of a copied result as text, or a tensor with a history."""
        graph: Any = self.graph
        arguments = {id(edges[i]): i for i in self.places}
        results = {id(found[i]): str(k) for k, i in enumerate(self._copied)}
        others = {id(e._node): e for e in self.state.tensors if e._requires_grad and e._node}
        self._edges = list(graph.ends)
        self._places_of_ends: list[tuple[int, Any]] = []
        for index, end in enumerate(graph.ends):
            place = arguments.get(id(end), results.get(id(end), others.get(id(end))))
            if place is not None:
                self._places_of_ends.append((index, place))
                self._edges[index] = None
        graph.cut([*self.state.tensors, *(inputs[i] for i in self.places)])

    def _link(self, copies: list[Tensor], tensors: Sequence[Tensor]) -> None:
        """Gives the copies of results that require gradients their history."""
        edges = list(self._edges)
        for index, place in self._places_of_ends:
            if type(place) is int:
                place = tensors[place]
            elif type(place) is str:
                place = copies[int(place)]
            edges[index] = edge_of(place)
        self.graph.call(edges).link([copies[k] for k in self._linked])  # type: ignore[union-attr]

    def _finish(self, outputs: list[Any], tensors: Sequence[Tensor]) -> Any:
        """The result of a call, from the arrays that it copied."""
        copies = [wrap(each) for each in outputs]
        for index in self._leaves:
            copies[index]._requires_grad = True
        if self.graph is not None:
            self._link(copies, tensors)
        results: list[Any] = copies
        if self._same or self._objects or self._views:
            count = len(copies) + len(self._same) + len(self._objects) + len(self._views)
            results = [None] * count
            for place, index in enumerate(self._copied):
                results[index] = copies[place]
            for index, argument in self._same:
                results[index] = tensors[argument]
            for index, each in self._objects:
                results[index] = each
            for index, view in self._views:
                results[index] = view.of(tensors)
        return unflatten(self.result, results)

    def _note_gradients(self, entry: list[Any], arrays: list[Any]) -> None:
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
        self._fits = self.state.grads_check(self.grads_before)
        self._settled = self.state.grads_check(self.exit_grads) if self._fits() else _never

    # ---- later calls ----

    def holds(self) -> bool:
        """Whether the function still depends on what it did, and finds gradients as it did."""
        return self.state.unchanged() and self._fits()

    def busy(self) -> bool:
        """Whether its memory waits for the backward pass of an earlier call."""
        return self.graph is not None and self.graph.busy()

    def run(self, args: tuple[Any, ...]) -> Any:
        """The short way for a call with tensors alone: the result, or MISS."""
        if len(args) != self.count:
            return MISS
        for arg in args:
            if type(arg) is not Tensor or arg._requires_grad or id(arg) in self._known:
                return MISS
        if not self.state.unchanged():
            return MISS
        settled = self._settled()
        if not settled and not self._fits():
            return MISS
        given = [arg._array for arg in args]
        outputs = _new_outputs(self._output_type)
        result = None
        with self.lock:
            if self.graph is not None and self.graph.busy():
                return MISS
            status = _call(self._handle, len(given), given, outputs)
            if status:
                if status > 0:
                    return MISS
                check(status)
            if self.graph is not None:
                result = self._finish(self._owned(outputs), args)
        if self.sets_grads and not settled:
            self._set_grads()
        if result is not None:
            return result
        if self._single:
            result = _new(Tensor)
            result._array = owning(outputs[0], release)
            result._requires_grad = False
            result._grad = result._node = result._view = result._hooks = None
            return result
        return self._finish(self._owned(outputs), args)

    def _owned(self, outputs: Any) -> list[Any]:
        return [owning(outputs[i], release) for i in range(self._output_count)]

    def run_any(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The way for all other calls that can be told to be as the recorded one: the result, or
        MISS. Sizes and strides are compared in C."""
        tensors: list[Tensor] = []
        first, second = self.structure
        if self._loose or not matches(first, args, tensors) or not matches(second, kwargs, tensors):
            return MISS
        for index, each in enumerate(tensors):
            kind, requires_grad, layout = self._flags[index]
            if type(each) is not kind or each._requires_grad is not requires_grad:
                return MISS
            if (requires_grad or each._grad is not None) and layout_of(each) != layout:
                return MISS
        if not self.state.unchanged():
            return MISS
        settled = self._settled()
        if not settled and not self._fits():
            return MISS
        return self.run_with(tensors)

    def run_with(self, tensors: list[Tensor]) -> Any:
        """Replays with these tensors as arguments; the caller has checked that it `holds`."""
        given = [tensors[i]._array for i in self.places]
        for index, each in self.fixed:
            if tensors[index] is not each:
                return MISS
        if any([id(tensors[i]) in self._known for i in self.places]):
            return MISS  # an argument that the function reaches otherwise, too: see `fixed`
        for index in self._loose:
            given[index] = compact(given[index])
        given += self._leaving.given(tensors)
        if self.segments and self._replaying == threading.get_ident():
            return MISS
        outputs = ffi.new(self._output_type)
        self._check_written(tensors)
        with self.lock:
            if self.graph is not None and self.graph.busy():
                return MISS
            self._replaying = threading.get_ident()
            try:
                status = _call(self.plan.handle, len(given), given, outputs)
            finally:
                self._replaying = 0
            if status > 0:
                return MISS
            if status:
                checked(status)
            if self._written:
                for index, static in zip(self._written, self._static, strict=True):
                    with no_grad():
                        tensors[index].detach().copy_(static.detach())
            values = self._owned(outputs)
            count = len(self._copied)
            result = self._finish(values[:count], tensors)
        if self.sets_grads:
            self._set_grads()
        self._leaving.deliver(tensors, values[count:])
        return result

    def _set_grads(self) -> None:
        for leaf, grad in zip(self.state.leaves, self.exit_grads, strict=True):
            leaf._grad = grad


_new = object.__new__
_new_outputs = ffi.new


def _never() -> bool:
    return False


def _storage(tensor: Any) -> int:
    return int(ffi.cast("intptr_t", tensor._array.storage))


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
        if recording.graph is not None:
            recording.graph.lock = recording.lock


register_at_fork(after_in_child=_after_fork)
