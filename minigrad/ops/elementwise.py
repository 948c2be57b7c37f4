"""What elementwise operations share: their classes, `where`, conversion, and how functions and
methods follow from a class. The operations themselves are in unary.py and arithmetic.py.

An op with a kernel of its own is a line in ``csrc/elementwise.def`` and a class there. ``dy`` is
the gradient of the result, ``dx`` that of the operand; broadcasting is undone by the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from .. import array as arrays
from ..autograd.engine import Operation
from ..autograd.grad_mode import no_grad
from ..kernels import (
    NULL,
    Array,
    binary,
    binary_entry,
    check,
    fail,
    find_binary,
    find_unary,
    lib,
    own,
    owning,
    release,
    unary,
    unary_entry,
)
from ..tensor import Tensor, operand, wrap


class Unary(Operation):
    """y = f(x) by one kernel: ``class Exp(Unary, kernel="exp")``."""

    __slots__ = ()
    code: ClassVar[int]

    def __init_subclass__(cls, kernel: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if kernel:
            cls.code = find_unary(kernel)

    def forward(self, x: Array, out: Array = NULL) -> Array:
        return owning(unary_entry(self.code, x, out) or fail(), release)


class Binary(Operation):
    """y = f(a, b) by one kernel, with broadcasting and type promotion."""

    __slots__ = ()
    code: ClassVar[int]
    adapts = True

    def __init_subclass__(cls, kernel: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.code = find_binary(kernel)

    def forward(self, a: Array, b: Array, out: Array = NULL) -> Array:
        return owning(binary_entry(self.code, a, b, out) or fail(), release)


# ---- choosing, copying, converting ----


class Where(Operation):
    """y = a where the condition holds, else b;  da = dy where it holds,  db = dy where not"""

    __slots__ = ("condition",)
    adapts = True

    def __init__(self, condition: Array) -> None:
        self.condition = condition

    def forward(self, a: Array, b: Array) -> Array:
        return own(lib.mg_where(self.condition, a, b))

    def grad_a(self, grad: Tensor) -> Tensor:
        return where(wrap(self.condition), grad, 0.0)

    def grad_b(self, grad: Tensor) -> Tensor:
        return where(wrap(self.condition), 0.0, grad)


class Cast(Operation):
    """y = x in another dtype, or a copy in the same;  dx = dy in x's dtype"""

    __slots__ = ("kind", "before")

    def __init__(self, kind: Any) -> None:
        self.kind = kind

    def forward(self, x: Array) -> Array:
        self.before = arrays.dtype_of(x)
        return own(lib.mg_cast(x, self.kind.code))

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad if self.before is self.kind else to_dtype(grad, self.before)


class Copy(Operation):
    """In place: target = source, broadcast and converted;  d target = 0,  d source = dy"""

    __slots__ = ()
    adapts = True

    def forward(self, target: Array, source: Array, out: Array = NULL) -> Array:
        check(lib.mg_copy(target, source))
        return target

    def adapt(self, inputs: tuple[Tensor, ...], output: Array) -> None:
        self.shapes = [(each.shape, each.dtype) for each in inputs]

    def grad_target(self, grad: Tensor) -> Tensor:
        return grad.new_zeros(grad.shape)

    def grad_source(self, grad: Tensor) -> Tensor:
        return grad


def to_dtype(tensor: Tensor, kind: Any) -> Tensor:
    """The tensor in that dtype; itself where it has it."""
    result = Cast(kind).apply(tensor)
    if result._requires_grad and not kind.is_floating_point:  # integers carry no gradient
        result._requires_grad, result._node = False, None
    return result


def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """``input`` where the condition (bool) holds, else ``other``; with the condition alone, the
    indices where it holds (see ``nonzero``)."""
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    return Where(condition._array).apply(operand(input, "where"), operand(other, "where"))


# ---- functions and methods ----


def into(out: Tensor | None, result: Tensor) -> Tensor:
    """Handles an ``out=`` argument: the result is written there."""
    if out is None:
        return result
    if out.shape != result.shape:
        raise RuntimeError(
            f"out= has shape {list(out.shape)} but the result has shape {list(result.shape)}; give "
            "a tensor of that shape"
        )
    with no_grad():
        return out.copy_(result)


def check_tensor(value: Any, op: str, argument: str = "input") -> None:
    """torch's TypeError for an argument that must be a Tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{op}(): argument '{argument}' must be Tensor, not {type(value).__name__}")


def unary_function(operation: type[Unary], name: str, doc: str | None = None) -> Callable:
    """``f(input, *, out=None)`` for an operation."""

    def function(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        if not isinstance(input, Tensor):
            check_tensor(input, name)
        result = operation().apply(input)
        return result if out is None else into(out, result)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc or operation.__doc__
    return function


def unary_in_place(operation: type[Unary], name: str) -> Callable:
    """``tensor.f_()`` for an operation."""

    def method(self: Tensor) -> Tensor:
        return operation().apply_in_place(self)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"In-place form of ``{name[:-1]}``."
    return method


def binary_function(operation: type[Binary], name: str) -> Callable:
    """``f(input, other, *, out=None)`` for an operation."""

    def function(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
        if not isinstance(input, Tensor):
            input = operand(input, name)
        if not isinstance(other, Tensor):
            other = operand(other, name)
        result = operation().apply(input, other)
        return result if out is None else into(out, result)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = operation.__doc__
    return function


def binary_in_place(operation: type[Binary], name: str) -> Callable:
    """``tensor.f_(other)`` for an operation."""

    def method(self: Tensor, other: Any) -> Tensor:
        return operation().apply_in_place(self, operand(other, name))

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"In-place form of ``{name[:-1]}``."
    return method


def plain_binary(kernel: str) -> tuple[Callable, Callable]:
    """(function, in-place method) of a binary kernel whose result is bool or integer."""
    code = find_binary(kernel)

    def function(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
        if not isinstance(input, Tensor):
            input = operand(input, kernel)
        if not isinstance(other, Tensor):
            other = operand(other, kernel)
        result = wrap(binary(code, input._array, other._array))
        return result if out is None else into(out, result)

    def method(self: Tensor, other: Any) -> Tensor:
        binary(code, self._array, operand(other, kernel)._array, self._array)
        return self

    function.__name__ = function.__qualname__ = kernel
    function.__doc__ = f"Elementwise ``{kernel}`` with broadcasting; the result has no gradient."
    return function, method


def plain_unary(kernel: str) -> Callable:
    """The function of a unary kernel whose result is bool or integer."""
    code = find_unary(kernel)

    def function(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        if not isinstance(input, Tensor):
            check_tensor(input, kernel)
        result = wrap(unary(code, input._array))
        return result if out is None else into(out, result)

    function.__name__ = function.__qualname__ = kernel
    function.__doc__ = f"Elementwise ``{kernel}``; the result carries no gradient."
    return function
