"""Results that require gradients: the backward pass of a recording is a plan of its own.

The graph that a recorded call leaves behind its results is cut off from all that was there before:
the edges that lead out of it lead to stand-ins. What a call returns has a node of the kind `Call`,
whose edges lead to the leaves of the program. The first backward pass through it runs the graph of
the recording and records that; later ones replay it. There is a plan for each choice of results
that get a gradient, and for each layout of these gradients.

The plan of the backward pass reads what the plan of the forward pass has left in memory, which the
next call overwrites: as long as the `Call` of one may still be used, `Recording` lets the next call
go elsewhere, to a recording with memory of its own.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import Any

from .. import array as arrays
from ..autograd.engine import Node, OutputOf, already_freed, backward_pass, edge_of, modified
from ..autograd.grad_mode import state as grad_mode
from ..kernels import check, ffi, lib, own, owning, record, release
from ..tensor import Tensor, wrap
from .errors import explained
from .memory import compact, static
from .segments import Recorder, checked
from .sources import Sources

_clock = lib.mg_clock()
_stamp = lib.mg_stamp
_MOST_PLANS = 8  # backward passes of one recording, the oldest goes


def moment() -> int:
    """The sequence number of a node made now: nodes of a recording have later ones."""
    node = Node()
    node.record(())
    return node.sequence


class Graph:
    """The graph behind the results of a recorded call."""

    def __init__(self, results: list[Tensor], since: int, lock: threading.Lock) -> None:
        """Of results that require gradients; its nodes are those made `since` that moment."""
        self.lock = lock
        self.generation = 0  # counts the calls: which of them the memory is of
        self.pending: Any = _nothing  # the last call, weakly
        # Tensors of their own, whose edges are what they were when the recording ended.
        self.results = [wrap(own(lib.mg_alias(each._array))) for each in results]
        for own_result, each in zip(self.results, results, strict=True):
            own_result._requires_grad = True
            own_result._node = edge_of(each)
        self.nodes = _nodes_behind(self.results, since)
        made = {id(each) for each in self.nodes}
        self.complete = all(id(each._node) in made for each in self.results)
        self.leads: list[tuple[Node, int]] = []  # the edges that lead out
        self.ends: list[Node | Tensor] = []  # where to, each once
        known: set[int] = set()
        for node in self.nodes:
            for index, edge in enumerate(node.edges):
                if edge is not None and id(edge) not in made:
                    self.leads.append((node, index))
                    if id(edge) not in known:
                        known.add(id(edge))
                        self.ends.append(edge)
        self._current = [each for each in self.nodes if not _is_stale(each)]
        self._plans: dict[Any, BackwardPlan] = {}
        self._recorded = False

    # ---- where it ends ----

    def join(self, replacements: dict[int, Node | Tensor]) -> None:
        """Lets the edges that lead to something (by id) lead elsewhere."""
        for node, index in self.leads:
            edge = node.edges[index]
            other = replacements.get(id(edge))
            if other is not None:
                edges = list(node.edges)
                edges[index] = other
                node.edges = edges

    def cut(self, tensors: list[Tensor]) -> None:
        """Puts stand-ins at its ends. `tensors` are those outside that backward may depend on."""
        self.stand_ins: list[Tensor] = []
        for end in self.ends:
            array = end._array if isinstance(end, Tensor) else own(lib.mg_scalar_float(0.0))
            stand_in = wrap(array)
            stand_in._requires_grad = True
            self.stand_ins.append(stand_in)
        self.join({id(end): s for end, s in zip(self.ends, self.stand_ins, strict=True)})
        self._leaves = [each for each in tensors if each._requires_grad]
        self._outside = {int(ffi.cast("intptr_t", each._array.storage)) for each in tensors}

    # ---- calls ----

    def busy(self) -> bool:
        """Whether the memory is that of a call whose backward pass may still come."""
        last = self.pending()
        return last is not None and last.graph is not None

    def call(self, edges: list[Any]) -> Call:
        """The node of a call that has just run; the caller holds the lock."""
        self.generation += 1
        node = Call(self, edges)
        self.pending = weakref.ref(node)
        return node

    def backward(self, node: Call, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """The gradients at its ends, for these of its results."""
        given = [None if each is None else each._array for each in gradients]
        key = tuple([None if each is None else _layout(each) for each in given])
        with self.lock:
            if node.generation != self.generation:
                raise RuntimeError(
                    "backward through a compiled call whose activations another call has "
                    "overwritten since. Calls from several threads need recordings of their own: "
                    "compile the function once for each thread"
                )
            plan = self._plans.get(key)
            if plan is None:
                return self._record(key, given)
            for array in plan.watched:
                if _stamp(array) > node.stamp:
                    modified(node, array)
            return plan.run(given)

    def _record(self, key: Any, given: list[Any]) -> list[Tensor | None]:
        """Runs a backward pass and keeps its plan, unless it leaves gradients itself (a user's
        ``backward`` may call ``backward()``): then it is run like this each time."""
        if self.generation > 1 or self._recorded:
            # Replays have written the memory that these nodes saved. It is theirs nevertheless.
            for node in self._current:
                for name in ("_stamp", "_output_stamp"):
                    if hasattr(node, name):
                        setattr(node, name, _clock[0])
        self._recorded = True
        if len(self._plans) == _MOST_PLANS:
            del self._plans[next(iter(self._plans))]
        before = _gradients_of(self._leaves)
        plan = BackwardPlan(self.results, self.stand_ins, given, self._outside)
        if _gradients_of(self._leaves) == before:
            self._plans[key] = plan
        first, plan.first = plan.first, []
        return first

    @property
    def plans(self) -> list[BackwardPlan]:
        """The backward passes that were recorded so far."""
        return list(self._plans.values())


def _nothing() -> None:
    return None


class BackwardPlan:
    """A recorded backward pass."""

    def __init__(
        self, results: list[Tensor], ends: list[Tensor], given: list[Any], outside: set[int]
    ) -> None:
        roots, inputs = [], []
        for result, array in zip(results, given, strict=True):
            if array is not None:
                seen, bound = static(array)
                inputs.append(bound)
                roots.append((result, wrap(seen)))
        try:
            with (
                record() as self.plan,
                Sources(self.plan) as self.sources,
                Recorder(self.plan) as recorder,
            ):
                found = backward_pass(roots, retain_graph=True, create_graph=False)
        except RuntimeError as error:
            raise explained(error) from None
        self.segments = recorder.segments
        outputs = [found.get(end) for end in ends]
        self.places = [i for i, each in enumerate(outputs) if each is not None]
        self.count = len(ends)
        copied = [outputs[i]._array for i in self.places]  # type: ignore[union-attr]
        first = [own(lib.mg_plan_copy(each)) for each in copied]
        self.first: list[Tensor | None] = self._placed([wrap(each) for each in first])
        check(lib.mg_plan_bind(self.plan.handle, len(inputs), inputs, len(copied), copied))
        self._output_type = ffi.typeof(f"mg_array *[{max(len(copied), 1)}]")
        self.watched = self._watched(outside)
        del found, outputs, roots, inputs, copied
        check(lib.mg_plan_pack(self.plan.handle))

    def _watched(self, outside: set[int]) -> list[Any]:
        """Arrays that it reads and that the program may change after the forward pass."""
        found = {}
        for index in range(len(self.plan)):
            for array in self.plan.arrays(index)[1]:
                if array is not None and int(ffi.cast("intptr_t", array.storage)) in outside:
                    found[int(ffi.cast("intptr_t", array))] = array
        return list(found.values())

    def run(self, given: list[Any]) -> list[Tensor | None]:
        inputs = [
            each if arrays.is_contiguous(each) else compact(each)
            for each in given
            if each is not None
        ]
        outputs = ffi.new(self._output_type)
        status = lib.mg_plan_call(self.plan.handle, len(inputs), inputs, outputs)
        if status:
            checked(status)
        return self._placed([wrap(owning(outputs[i], release)) for i in range(len(self.places))])

    def _placed(self, gradients: list[Tensor]) -> list[Tensor | None]:
        if len(gradients) == self.count:
            return gradients  # type: ignore[return-value]
        results: list[Tensor | None] = [None] * self.count
        for place, each in zip(self.places, gradients, strict=True):
            results[place] = each
        return results


class Call(Node):
    """The node behind the results of one compiled call."""

    __slots__ = ("graph", "generation", "stamp", "outputs")

    def __init__(self, graph: Graph, edges: list[Any]) -> None:
        self.record(edges)
        self.graph: Graph | None = graph
        self.generation = graph.generation
        self.stamp = _clock[0]
        self.outputs = graph.results  # only their number counts, for `OutputOf`

    def name(self) -> str:
        return "CompiledFunctionBackward"

    def link(self, results: list[Tensor]) -> None:
        """Makes this the history of these results."""
        if len(results) == 1:
            results[0]._requires_grad = True
            results[0]._node = self
            return
        for index, each in enumerate(results):
            each._requires_grad = True
            each._node = OutputOf(self, index)

    def backward(self, grad_output: Any) -> Any:
        graph = self.graph
        if graph is None:
            already_freed()
        single = len(self.outputs) == 1
        gradients = graph.backward(self, [grad_output] if single else grad_output)
        if grad_mode.enabled:  # create_graph
            for each in gradients:
                if each is not None:
                    each._requires_grad, each._node = True, Once(self.edges)
        return gradients

    def release(self) -> None:
        self.graph = None


class Once(Node):
    """Behind a gradient that came out of a plan: it cannot be differentiated again."""

    __slots__ = ()

    def __init__(self, edges: Sequence[Any]) -> None:
        self.record(edges)

    def backward(self, grad_output: Any) -> Any:
        raise RuntimeError(
            "the gradients of a compiled call cannot be differentiated again. Take the second "
            "derivative inside the compiled function, or call the function itself, uncompiled"
        )


def _nodes_behind(results: list[Tensor], since: int) -> list[Node]:
    found: dict[int, Node] = {}
    pending: list[Any] = [each._node for each in results]
    while pending:
        node = pending.pop()
        if not isinstance(node, Node) or id(node) in found or _age(node) <= since:
            continue
        found[id(node)] = node
        pending += node.edges
    return list(found.values())


def _age(node: Node) -> int:
    # That of the op, where a node of one of its results was made later.
    parent = node.edges[0] if type(node) is OutputOf else node
    return parent.sequence  # type: ignore[union-attr]


def _is_stale(node: Node) -> bool:
    """Whether it saved what the recorded call itself has changed since, an error of the user's."""
    try:
        for name in ("inputs", "output", "saved_tensors"):
            getattr(node, name, None)
    except RuntimeError:
        return True
    return False


def _gradients_of(leaves: list[Tensor]) -> list[Any]:
    found = [each._grad for each in leaves]
    return [None if g is None else (id(g), lib.mg_version(g._array)) for g in found]


def _layout(array: Any) -> Any:
    strides = None if arrays.is_contiguous(array) else arrays.strides_of(array)
    return (array.dtype, strides)
