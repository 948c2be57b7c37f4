"""User-defined operations: subclass ``Function`` and write ``forward`` and ``backward``.

https://pytorch.org/docs/stable/autograd.html#function has the protocol that this follows. Inside
``forward`` nothing is recorded, so it may leave the graph: NumPy, a C library, anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from .. import array as arrays
from ..kernels import lib
from ..tensor import Tensor, wrap
from .engine import MultipleOutputs, Node, OutputOf, already_freed, edge_of, modified
from .grad_mode import no_grad, state


class FunctionContext(MultipleOutputs):
    """``ctx``: what forward leaves for backward. It is the node of the graph itself, and takes any
    attribute."""

    __slots__ = ("__dict__",)

    needs_input_grad: tuple[bool, ...] = ()
    _operands: list[Any]  # (shape, dtype) of each argument, None for one that is no tensor

    def __init__(self, function: type[Function]) -> None:
        self._function = function
        self._to_save: tuple[Any, ...] = ()
        self._saved: list[tuple[Any, Any]] | None = []
        self._not_differentiable: tuple[Tensor, ...] = ()
        self._dirty: tuple[Tensor, ...] = ()
        self._materialize = True

    def name(self) -> str:
        return f"{self._function.__name__}Backward"

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keeps inputs or outputs for backward, where ``saved_tensors`` returns them."""
        for each in tensors:
            if each is not None and not isinstance(each, Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but got {type(each).__name__}; "
                    "keep other values as attributes of ctx"
                )
        self._to_save = tensors

    def mark_non_differentiable(self, *outputs: Tensor) -> None:
        """These outputs need no gradient (indices, masks)."""
        self._not_differentiable = outputs

    def mark_dirty(self, *tensors: Tensor) -> None:
        """These inputs were changed in place and are returned as outputs."""
        self._dirty = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward gets zeros (the default) or None for outputs without a gradient."""
        self._materialize = value

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """What ``save_for_backward`` was given; an error where it was changed in place since."""
        if self._saved is None:
            already_freed()
        results = []
        for tensor, array in self._saved:
            if isinstance(tensor, int):  # an output: it was not kept itself, that would be a cycle
                result = wrap(array)
                result._requires_grad, result._node = True, self._output_node(tensor)
                tensor = result
            if array is not None and lib.mg_stamp(array) > self._stamp:
                modified(self, array)
            results.append(tensor)
        return tuple(results)

    def _output_node(self, index: int) -> Node:
        return OutputOf(self, index)

    def _keep(self, outputs: Sequence[Any]) -> None:
        """Turns what is to be saved into (tensor or index of an output, array) pairs."""
        self._saved = []
        for each in self._to_save:
            index = next((i for i, output in enumerate(outputs) if output is each), None)
            if each is None:
                self._saved.append((None, None))
            else:
                self._saved.append((each if index is None else index, each._array))
        self._to_save = ()

    def backward(self, grad_outputs: list[Tensor | None]) -> list[Tensor | None]:
        if self._materialize:
            grad_outputs = [
                _zeros(shape, kind) if grad is None else grad
                for grad, (shape, kind) in zip(grad_outputs, self.outputs, strict=True)
            ]
        results = run("backward", self, self._function.backward, self, *grad_outputs)
        results = list(results) if isinstance(results, (tuple, list)) else [results]
        count = len(self.edges)
        if len(results) > count and all(each is None for each in results[count:]):
            results = results[:count]
        if len(results) != count:
            raise RuntimeError(
                f"function {self.name()} returned an incorrect number of gradients "
                f"(expected {count}, got {len(results)})"
            )
        return [self._checked(i, each) for i, each in enumerate(results)]

    def _checked(self, index: int, grad: Any) -> Tensor | None:
        if grad is None or self.edges[index] is None:
            return None
        if not isinstance(grad, Tensor):
            raise TypeError(
                f"{self.name()}: expected a Tensor or None as gradient {index}, got "
                f"{type(grad).__name__}"
            )
        shape, kind = self._operands[index]
        if grad.shape != shape:
            try:
                grad = grad.sum_to_size(shape)
            except RuntimeError:
                raise RuntimeError(
                    f"Function {self.name()} returned an invalid gradient at index {index} - got "
                    f"{list(grad.shape)} but expected shape compatible with {list(shape)}"
                ) from None
        return grad if grad.dtype is kind else grad.to(kind)

    def release(self) -> None:
        self._saved = None


def _zeros(shape: Sequence[int], kind: Any) -> Tensor:
    value = wrap(arrays.empty(shape, kind))
    value.zero_()
    return value


class Function:
    """A user-defined operation::

        class Cube(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x**3

            @staticmethod
            def backward(ctx, grad_output):
                (x,) = ctx.saved_tensors
                return 3 * x**2 * grad_output

        y = Cube.apply(x)

    ``backward`` returns one gradient for each argument of ``forward``, None for those that are no
    tensors. Written in Tensor operations it can be differentiated again. With ``setup_context(ctx,
    inputs, output)`` defined, ``forward`` takes no ``ctx``.
    """

    def __init__(self) -> None:
        raise RuntimeError(
            f"{type(self).__name__} should not be instantiated. Methods on autograd functions are "
            "all static, so you should invoke them on the class itself: "
            f"{type(self).__name__}.apply(...)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("You must implement the forward function for custom Function.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        raise NotImplementedError("You must implement the backward function for custom Function.")

    setup_context: Any = None

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Runs ``forward`` and records the operation."""
        ctx = FunctionContext(cls)
        inputs = [each if isinstance(each, Tensor) else None for each in args]
        ctx.needs_input_grad = tuple([each is not None and each._requires_grad for each in inputs])
        with no_grad():
            results = run("forward", ctx, _forward, ctx, *args)
        outputs = list(results) if isinstance(results, (tuple, list)) else [results]
        outputs = [_own_tensor(each, args, ctx) for each in outputs]
        ctx._keep(outputs)
        if state.enabled and any(ctx.needs_input_grad):
            _record(ctx, inputs, outputs)
        if isinstance(results, (tuple, list)):
            return tuple(outputs)
        return outputs[0]


def run_directly(stage: str, ctx: FunctionContext, function: Callable, *args: Any) -> Any:
    """Runs the user's code: ``stage`` says whether it is forward or backward, for that ``ctx``."""
    return function(*args)


# Every call of the user's code goes through this; whoever needs to know of them can replace it.
run: Callable[..., Any] = run_directly


def _forward(ctx: FunctionContext, *args: Any) -> Any:
    cls = ctx._function
    if cls.setup_context is None:
        return cls.forward(ctx, *args)
    results = cls.forward(*args)
    cls.setup_context(ctx, args, results)
    return results


def _own_tensor(output: Any, args: Sequence[Any], ctx: FunctionContext) -> Any:
    """An input returned as it is becomes a new tensor, so that its own history stays."""
    if any(output is each for each in args) and not any(output is each for each in ctx._dirty):
        alias = output.detach()
        ctx._to_save = tuple(alias if each is output else each for each in ctx._to_save)
        return alias
    return output


def _record(ctx: FunctionContext, inputs: list[Tensor | None], outputs: list[Any]) -> None:
    """Makes the context a node and links the outputs to it."""
    ctx.record(
        [edge_of(each) if each is not None and each._requires_grad else None for each in inputs]
    )
    ctx._operands = [None if each is None else (each.shape, each.dtype) for each in inputs]
    ctx._stamp = lib.mg_clock()[0]
    ctx.outputs = [
        (each.shape, each.dtype) if isinstance(each, Tensor) else None for each in outputs
    ]
    for index, each in enumerate(outputs):
        constant = not isinstance(each, Tensor) or any(
            each is marked for marked in ctx._not_differentiable
        )
        if constant or not each.dtype.is_floating_point:
            continue
        each._requires_grad = True
        each._node = OutputOf(ctx, index)


def once_differentiable(backward: Callable) -> Callable:
    """Decorates a ``backward`` that is not written in Tensor operations: its results cannot be
    differentiated again, and trying to raises."""

    @wraps(backward)
    def inner(ctx: Any, *grad_outputs: Any) -> Any:
        constants = [each.detach() if isinstance(each, Tensor) else each for each in grad_outputs]
        with no_grad():
            results = backward(ctx, *constants)
        if not state.enabled or not any(
            isinstance(each, Tensor) and each._requires_grad for each in grad_outputs
        ):
            return results
        single = not isinstance(results, (tuple, list))
        wrapped = [_refuse(each) for each in ([results] if single else results)]
        return wrapped[0] if single else tuple(wrapped)

    return inner


class _Refuse(Node):
    """The node behind a gradient that cannot be differentiated."""

    __slots__ = ()

    def backward(self, grad_output: Any) -> Any:
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable"
        )


def _refuse(grad: Any) -> Any:
    if not isinstance(grad, Tensor):
        return grad
    result = grad.detach()
    node = _Refuse()
    node.record(())
    result._requires_grad, result._node = True, node
    return result
