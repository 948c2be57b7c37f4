"""The engine: how operations are recorded, and how gradients flow back through them.

An ``Operation`` is an op and, once it has run on tensors that need gradients, a node of the graph.
Its ``edges`` point to where the gradients of its inputs go: the node that made the input, or the
input itself where it is a leaf. ``backward_pass`` visits the nodes from the latest to the earliest,
which is an order in which every node comes after all that use its result, so that its gradient is
complete when it is used.

What holds for all operations stands here once: inputs that need no gradient are skipped, broadcasts
and dtype conversions are undone, gradients of a tensor used several times are added, and a tensor
that backward needs but that was changed in place is noticed.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from typing import Any, ClassVar, NoReturn

from .. import array as arrays
from ..kernels import Array, ffi, find_binary, lib, own
from ..kernels import binary as binary_kernel
from ..tensor import RemovableHandle, Tensor, wrap
from .grad_mode import state as _mode

_FIRST_ADAPTED = lib.MG_BROADCAST_FIRST
_SECOND_ADAPTED = lib.MG_BROADCAST_SECOND
_ADAPTED = _FIRST_ADAPTED | _SECOND_ADAPTED
_ADD = find_binary("add")
_clock = lib.mg_clock()  # counts in-place writes
_stamp = lib.mg_stamp  # the clock at the last in-place write to a tensor's memory
_new = object.__new__
_references = sys.getrefcount
_unpack = ffi.unpack
_next_sequence = itertools.count(1).__next__


# ---- nodes ----


class Node:
    """A node of the graph: ``backward(grad_output)`` gives one gradient for each edge."""

    # shapes: None, or (shape, dtype) for each operand where a gradient may have to be fitted to it.
    __slots__ = ("edges", "sequence", "hooks", "shapes", "__weakref__")

    edges: Sequence[Node | Tensor | None]
    sequence: int
    hooks: dict[int, Callable] | None
    shapes: list[tuple[Any, Any]] | None

    def record(self, edges: Sequence[Node | Tensor | None]) -> None:
        """Makes this a node of the graph, later than all that exist."""
        self.edges = edges
        self.sequence = _next_sequence()
        self.hooks = self.shapes = None

    def name(self) -> str:
        return f"{type(self).__name__}Backward0"

    def __repr__(self) -> str:
        return f"<{self.name()}>"

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """torch's view of the edges: (node, output index), AccumulateGrad standing for a leaf."""
        return tuple(
            (AccumulateGrad(edge) if isinstance(edge, Tensor) else edge, 0) for edge in self.edges
        )

    def register_hook(self, hook: Callable) -> Any:
        """Calls ``hook(grad_output)`` before this node's backward; its result, if any, is used."""
        if self.hooks is None:
            self.hooks = {}
        handle = RemovableHandle(self.hooks)
        self.hooks[handle.id] = hook
        return handle

    def backward(self, grad_output: Any) -> Any:
        raise NotImplementedError

    def release(self) -> None:
        """Lets go of what only backward needs."""


class AccumulateGrad:
    """Stands in ``next_functions`` for the place where a leaf's gradient arrives."""

    def __init__(self, variable: Tensor) -> None:
        self.variable = variable
        self.next_functions: tuple = ()

    def name(self) -> str:
        return "AccumulateGrad"

    def __repr__(self) -> str:
        return "<AccumulateGrad>"


INPUTS, OUTPUT = 1, 2  # what an operation saves for its derivative


class Operation(Node):
    """An op: ``forward`` computes an array from arrays, the ``grad_*`` methods are its derivative.

    ``forward(self, a, b, ...)`` takes an array for each tensor operand. For each operand in the
    same order a method whose name begins with ``grad_`` takes the gradient of the result and
    returns the gradient of that operand, in Tensor operations, so that it can be differentiated
    again. An op whose gradients come together overrides ``backward`` instead and consults
    ``needs(i)``.

    ``saves`` says what the derivative uses: INPUTS (then ``self.inputs`` is the tuple of operands),
    OUTPUT (``self.output``), or both. Parameters of an op (a dimension, a shape) go to its
    ``__init__``.
    """

    __slots__ = ("_inputs", "_arrays", "_stamp", "_output", "_output_stamp", "operand_shapes")

    operand_shapes: list[list[int]]
    _inputs: tuple[Any, ...] | None  # None in the place of an operand that is not kept
    _arrays: Sequence[Any]  # the arrays of the inputs, False for one that is not kept

    saves: ClassVar[int] = 0
    # For the gradient of each operand, which operands it uses; None: all. The others are not kept.
    uses: ClassVar[tuple[tuple[int, ...], ...] | None] = None
    adapts: ClassVar[bool] = False  # operands may differ from the result in shape or dtype
    keeps_shapes: ClassVar[bool] = False  # the derivative uses ``self.operand_shapes``
    view: ClassVar[bool] = False  # the result shares the memory of the first operand
    rules: ClassVar[tuple[Callable, ...]] = ()
    keeps: ClassVar[bool] = False  # saves or keeps_shapes

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        rules = tuple(value for key, value in vars(cls).items() if key.startswith("grad_"))
        if rules:
            cls.rules = rules
        cls.keeps = bool(cls.saves or cls.keeps_shapes)

    def forward(self, *operands: Array) -> Array:
        raise NotImplementedError

    def backward(self, grad_output: Any) -> Sequence[Tensor | None]:
        edges, rules = self.edges, self.rules
        if len(edges) == 1:
            return (rules[0](self, grad_output),)
        return [
            None if edge is None else rule(self, grad_output)
            for edge, rule in zip(edges, rules, strict=True)
        ]

    def needs(self, index: int) -> bool:
        """Whether the operand of that index needs a gradient."""
        return self.edges[index] is not None

    # ---- running ----

    def apply(self, *inputs: Tensor) -> Tensor:
        """Runs the op, and records it where an operand needs a gradient."""
        # Nearly all ops have one operand or two; spelled out they take two thirds of the time.
        count = len(inputs)
        edges: Sequence[Node | Tensor | None]
        if count == 2:
            a, b = inputs
            output = self.forward(a._array, b._array)
            recorded = (a._requires_grad or b._requires_grad) and _mode.enabled
            if recorded:
                edges = (
                    (a._node or a if a._view is None else edge_of(a)) if a._requires_grad else None,
                    (b._node or b if b._view is None else edge_of(b)) if b._requires_grad else None,
                )
        elif count == 1:
            a = inputs[0]
            output = self.forward(a._array)
            recorded = a._requires_grad and _mode.enabled
            if recorded:
                edges = (a._node or a if a._view is None else edge_of(a),)
        else:
            output = self.forward(*[each._array for each in inputs])
            recorded = is_recorded(*inputs)
            if recorded:
                edges = edges_of(inputs)
        result = _new(Tensor)
        result._array = output
        result._grad = result._view = result._hooks = None
        if recorded:
            result._requires_grad = True
            result._node = self
            self.edges = edges
            self.sequence = _next_sequence()
            self.hooks = self.shapes = None
            if self.adapts and output.flags & _ADAPTED:
                self.adapt(inputs, output)
            if self.keeps:
                self.keep(inputs, output)
        else:
            result._requires_grad = False
            result._node = None
        if self.view:
            a = inputs[0]
            result._view = (a if a._view is None else a._view[0], _clock[0])
        return result

    def adapt(self, inputs: tuple[Tensor, ...], output: Array) -> None:
        """Notes the shapes and dtypes that gradients have to be fitted to, if any has to."""
        flags = output.flags
        if (flags & _FIRST_ADAPTED and self.edges[0] is not None) or (
            flags & _SECOND_ADAPTED and self.edges[1] is not None
        ):
            self.shapes = [(each.shape, each.dtype) for each in inputs]

    def keep(
        self,
        inputs: tuple[Tensor, ...],
        output: Array,
        stamp: int = 0,
        used: tuple[Any, ...] | None = None,
    ) -> None:
        """Keeps what the derivative needs: of the inputs those that are ``used`` (None: found out
        here), as they were at ``stamp`` (0: now)."""
        saves = self.saves
        if saves & INPUTS:
            self._stamp = stamp or _clock[0]
            if used is None:
                used = inputs
                if self.uses is not None:
                    for edge in self.edges:
                        if edge is None:
                            used = self._used(inputs)
                            break
            self._inputs = used
            if len(used) == 2:
                a, b = used
                self._arrays = (a is not None and a._array, b is not None and b._array)
            else:
                self._arrays = [each is not None and each._array for each in used]
        if saves & OUTPUT:
            self._output = output
            self._output_stamp = _clock[0]
        if self.keeps_shapes:
            shapes = []
            for each in inputs:
                array = each._array
                shapes.append(_unpack(array.shape, array.ndim))
            self.operand_shapes = shapes

    def _used(self, inputs: tuple[Tensor, ...]) -> tuple[Any, ...]:
        """The operands that the gradients in demand use, None in the place of the others."""
        uses = self.uses
        if uses is None:
            return inputs
        kept: tuple[int, ...] = ()
        for index, edge in enumerate(self.edges):
            if edge is not None:
                kept += uses[index]
        if len(inputs) == 2:
            a, b = inputs
            return (a if 0 in kept else None, b if 1 in kept else None)
        return tuple([each if i in kept else None for i, each in enumerate(inputs)])

    def apply_in_place(self, target: Tensor, *others: Tensor) -> Tensor:
        """Runs the op with its result written over ``target``, its first operand."""
        inputs = (target, *others)
        array = target._array
        if not is_recorded(*inputs):
            self.forward(*[each._array for each in inputs], array)
            return target
        views.check_in_place(target)
        self.record(edges_of(inputs))
        before = _clock[0]
        used = self._used(inputs)
        if self.saves & INPUTS and used[0] is not None:
            # The derivative needs it as it was.
            original = wrap(own(lib.mg_cast(array, array.dtype)))
            original._requires_grad = target._requires_grad
            original._node = target._node
            used = (original, *used[1:])
        self.forward(*[each._array for each in inputs], array)
        # Another operand on the memory just overwritten must be noticed: its stamp is later.
        if self.adapts:
            self.adapt(inputs, array)
        self.keep(inputs, array, before, used)
        views.rebase(target, self)
        return target

    # ---- what was saved ----

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The operands, if they still are what they were in the forward pass; see ``uses``."""
        inputs = self._inputs
        if inputs is None:
            already_freed()
        stamp = self._stamp
        replaced = False
        for index, saved in enumerate(self._arrays):
            if saved is False:  # not kept
                continue
            if _stamp(saved) > stamp:
                modified(self, saved)
            if inputs[index]._array is not saved:
                replaced = True
        return tuple(map(_as_saved, inputs, self._arrays)) if replaced else inputs

    @property
    def output(self) -> Tensor:
        """The result, if it still is what it was; it continues the graph through this node."""
        output = self._output
        if output is None:
            already_freed()
        if _stamp(output) > self._output_stamp:
            modified(self, output)
        result = wrap(output)
        result._requires_grad = True
        result._node = self
        return result

    def release(self) -> None:
        if self.saves & INPUTS:
            self._inputs = None
            self._arrays = ()
        if self.saves & OUTPUT:
            self._output = None


def _as_saved(tensor: Tensor, saved: Array) -> Tensor:
    """The tensor as it was saved, though its ``data`` was replaced since."""
    if saved is False or tensor._array is saved:
        return tensor
    before = wrap(saved)
    before._requires_grad = tensor._requires_grad
    before._node = tensor._node
    return before


def already_freed() -> NoReturn:
    raise RuntimeError(
        "Trying to backward through the graph a second time (or directly access saved tensors "
        "after they have already been freed). Saved intermediate values of the graph are freed "
        "when you call .backward() or autograd.grad(). Specify retain_graph=True if you need to "
        "backward through the graph a second time or if you need to access saved tensors after "
        "calling backward."
    )


def modified(node: Node, array: Array) -> NoReturn:
    writer = ffi.string(lib.mg_last_writer(array)).decode()
    raise RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace "
        f"operation: [{arrays.dtype_of(array)} {list(arrays.shape_of(array))}], needed by "
        f"{node.name()}, was last changed by the in-place operation '{writer}' and is at version "
        f"{lib.mg_version(array)}. Hint: use the out-of-place form of that operation, or clone() "
        "the tensor before it."
    )


class OutputOf(Node):
    """The node of one of several results: it collects that result's gradient for the parent."""

    __slots__ = ("index",)

    def __init__(self, parent: Node, index: int) -> None:
        self.record((parent,))
        self.index = index

    def name(self) -> str:
        return self.edges[0].name()  # type: ignore[union-attr]

    def collect(self, gradient: Tensor, gradients: dict[Any, Any], send: Callable) -> None:
        """Puts the gradient in its place in the list that the parent gets."""
        parent: Any = self.edges[0]
        collected = gradients.get(parent)
        if collected is None:
            collected = [None] * len(parent.outputs)
            send(parent, collected)
        present = collected[self.index]
        collected[self.index] = gradient if present is None else present + gradient


class MultipleOutputs(Operation):
    """An op with several results: ``forward`` returns a list of arrays, ``backward`` takes a list
    of gradients, None where a result was not used. ``differentiable`` results need gradients; the
    others (indices, say) do not."""

    __slots__ = ("outputs",)

    differentiable: ClassVar[int] = 1  # the first so many

    def apply(self, *inputs: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        outputs = self.forward(*[each._array for each in inputs])
        results = tuple(map(wrap, outputs))
        if is_recorded(*inputs):
            self.record(edges_of(inputs))
            self.keep(inputs, outputs[0])
            self.outputs = outputs if self.saves & OUTPUT else [None] * len(outputs)
            for index in range(self.count(outputs)):
                results[index]._requires_grad = True
                results[index]._node = OutputOf(self, index)
        if self.view:
            for each in results:
                note_view(each, inputs[0])
        return results

    def count(self, outputs: Sequence[Array]) -> int:
        return self.differentiable

    def release(self) -> None:
        super().release()
        if self.saves & OUTPUT:
            self.outputs = [None] * len(self.outputs)

    @property
    def saved_outputs(self) -> list[Tensor]:
        """All results, as constants."""
        if self._output is None:
            already_freed()
        return [wrap(each) for each in self.outputs]


# ---- edges ----


def is_recorded(*operands: Tensor) -> bool:
    """Whether an operation on these operands would be recorded."""
    return _mode.enabled and any([each._requires_grad for each in operands])


def edge_of(tensor: Tensor) -> Node | Tensor:
    """Where the gradient of a tensor goes: to the node that made it, or for a leaf to itself."""
    if tensor._view is not None:
        views.refresh(tensor)
    node = tensor._node
    return tensor if node is None else node


def edges_of(inputs: Iterable[Tensor]) -> list[Node | Tensor | None]:
    """Where the gradients of the operands go; None for those that need none."""
    return [edge_of(each) if each._requires_grad else None for each in inputs]


def note_view(view: Tensor, source: Tensor) -> None:
    """Notes whose memory the view shares, so that an in-place change of either reaches the other's
    graph."""
    view._view = (source if source._view is None else source._view[0], _clock[0])


# ---- the backward pass ----


def backward_pass(
    roots: Sequence[tuple[Tensor, Tensor]],
    *,
    retain_graph: bool,
    create_graph: bool,
    targets: Sequence[Tensor] | None = None,
) -> dict[Any, Tensor]:
    """Sends the gradients of the roots back through the graph.

    Returns the gradient of every leaf that was reached, or, where ``targets`` are given, of each of
    those tensors that was, by edge (see ``edge_of``).
    """
    wanted = None if targets is None else {edge_of(each) for each in targets}
    useful = None if wanted is None else _leading_to(wanted, roots)
    gradients: dict[Any, Any] = {}  # of nodes not yet visited and of leaves, by edge
    waiting: dict[int, Node] = {}  # nodes not yet visited, by sequence number
    queue: list[int] = []  # the negated numbers as a heap: the latest node comes first
    captured: dict[Any, Tensor] = {}
    results: Any
    gradient: Any

    def send(edge: Any, gradient: Any) -> None:
        """Adds a gradient to what has arrived at an edge."""
        present = gradients.get(edge)
        if present is not None:
            gradients[edge] = present + gradient
        elif useful is None or edge in useful:
            gradients[edge] = gradient
            if isinstance(edge, Node):
                sequence = edge.sequence
                waiting[sequence] = edge
                heappush(queue, -sequence)

    previous = _mode.enabled
    _mode.enabled = create_graph
    try:
        for root, gradient in roots:
            send(edge_of(root), gradient)
        while queue:
            node = waiting.pop(-heappop(queue))
            gradient = gradients.pop(node)
            if node.hooks:
                gradient = _run_hooks(node.hooks, gradient)
            if wanted is not None and useful is not None and node in wanted:
                captured[node] = gradient
                if not any([edge in useful for edge in node.edges]):
                    continue
            if type(node) is OutputOf:
                node.collect(gradient, gradients, send)
                continue
            results = node.backward(gradient)
            if not retain_graph:
                node.release()
            if node.shapes is not None:
                results = list(map(_fitted, results, node.shapes))
            for edge, gradient in zip(node.edges, results, strict=True):
                if edge is not None and gradient is not None:
                    send(edge, gradient)
            results = gradient = None  # the accumulation below looks at who else holds a gradient
        for leaf in [edge for edge in gradients if edge._hooks]:
            gradients[leaf] = _run_hooks(leaf._hooks[0], gradients[leaf])
    finally:
        _mode.enabled = previous
    gradients.update(captured)
    return gradients


def _leading_to(wanted: set[Any], roots: Iterable[tuple[Tensor, Any]]) -> set[Any]:
    """The edges from which a wanted edge can be reached: only they need to be visited."""
    found: set[Any] = set()
    stack: list[Node | Tensor | None] = [edge_of(root) for root, _ in roots]
    while stack:
        edge = stack.pop()
        if edge is not None and edge not in found:
            found.add(edge)
            if isinstance(edge, Node):
                stack.extend(edge.edges)
    useful = found & wanted
    for node in sorted((each for each in found if isinstance(each, Node)), key=_by_sequence):
        if any([edge in useful for edge in node.edges]):
            useful.add(node)
    return useful


def _by_sequence(node: Node) -> int:
    return node.sequence


def _fitted(gradient: Tensor | None, like: tuple[Any, Any]) -> Tensor | None:
    """The gradient of an operand that was broadcast or converted: summed and converted back."""
    if gradient is None:
        return None
    shape, kind = like
    if gradient.dtype is not kind:
        gradient = gradient.to(kind)
    return gradient if gradient.shape == shape else gradient.sum_to_size(shape)


def _run_hooks(hooks: dict[int, Callable], gradient: Tensor) -> Tensor:
    for hook in list(hooks.values()):
        changed = hook(gradient)
        if changed is not None:
            gradient = changed
    return gradient


def accumulate(gradients: dict[Any, Tensor], create_graph: bool) -> None:
    """Adds each gradient to its leaf's ``grad``; the first is taken over where nobody shares it."""
    previous = _mode.enabled
    _mode.enabled = create_graph
    try:
        while gradients:
            leaf, gradient = gradients.popitem()
            present = leaf._grad
            if present is None:
                counts = _reference_counts(gradient)
                leaf._grad = gradient if _is_sole(gradient, counts) else _copied(gradient)
            elif create_graph:
                leaf._grad = present + gradient
            else:
                binary_kernel(_ADD, present._array, gradient._array, present._array)
            if leaf._hooks and len(leaf._hooks) > 1:
                for hook in list(leaf._hooks[1].values()):
                    hook(leaf)
    finally:
        _mode.enabled = previous


def _reference_counts(gradient: Tensor) -> tuple[int, int]:
    return _references(gradient), _references(gradient._array)


def _counts_of_a_sole_owner() -> tuple[int, int]:
    """What this interpreter counts where only a caller's variable holds a tensor."""
    probe = wrap(own(lib.mg_scalar_float(0.0)))
    return _reference_counts(probe)


_SOLE = _counts_of_a_sole_owner()


def _copied(gradient: Tensor) -> Tensor:
    if _mode.enabled:
        return gradient.clone()
    return wrap(own(lib.mg_cast(gradient._array, gradient._array.dtype)))


def _is_sole(gradient: Tensor, counts: tuple[int, int]) -> bool:
    """Whether nothing else refers to the tensor or its memory: then it may become a ``grad``."""
    return counts == _SOLE and gradient._node is None and bool(lib.mg_is_unique(gradient._array))


class Fused(Operation):
    """An op whose forward and derivative are kernels of their own, fused for speed.

    ``composition`` computes the same from plain Tensor operations: it is the test's oracle, and
    derivatives of the derivative come from it. ``fused_backward`` is the kernel for the first
    derivative. With several results (``MultipleOutputs`` is the second base, then) the composition
    returns a tuple of them, and ``fused_backward`` takes a list of gradients.
    """

    __slots__ = ()
    saves = INPUTS

    def composition(self, *inputs: Tensor) -> Any:
        raise NotImplementedError

    def fused_backward(self, grad_output: Any) -> Sequence[Tensor | None]:
        raise NotImplementedError

    def backward(self, grad_output: Any) -> Sequence[Tensor | None]:
        if not _mode.enabled:
            return self.fused_backward(grad_output)
        # Aliases, so that a path from one input to another through the graph is not followed here.
        inputs = [views.Alias().apply(each) for each in self.inputs]
        wanted = [each for each in inputs if each._requires_grad]
        composed = self.composition(*inputs)
        if isinstance(composed, Tensor):
            roots = [(composed, grad_output)]
        else:
            pairs = zip(composed, grad_output, strict=True)
            roots = [(result, grad) for result, grad in pairs if grad is not None]
        found = backward_pass(
            roots,
            retain_graph=True,
            create_graph=True,
            targets=wanted,
        )
        return [found.get(edge_of(each)) if each._requires_grad else None for each in inputs]


from . import views  # noqa: E402  (views are operations of this engine)
