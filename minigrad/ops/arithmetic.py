"""Elementwise operations of two operands, each with its derivative beside it: arithmetic, extrema,
clamping, comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..autograd.engine import INPUTS, OUTPUT, Operation
from ..kernels import NULL, Array, binary, lib
from ..tensor import Tensor, operand, wrap
from .elementwise import Binary, check_tensor, into, plain_binary, to_dtype, where
from .unary import Square


class Add(Binary, kernel="add"):
    """y = a + b;  da = dy,  db = dy"""

    __slots__ = ()

    def grad_a(self, grad: Tensor) -> Tensor:
        return grad

    def grad_b(self, grad: Tensor) -> Tensor:
        return grad


class Sub(Binary, kernel="sub"):
    """y = a - b;  da = dy,  db = -dy"""

    __slots__ = ()

    def grad_a(self, grad: Tensor) -> Tensor:
        return grad

    def grad_b(self, grad: Tensor) -> Tensor:
        return -grad


class Mul(Binary, kernel="mul"):
    """y = a b;  da = dy b,  db = dy a"""

    __slots__ = ()
    saves = INPUTS
    uses = ((1,), (0,))

    def grad_a(self, grad: Tensor) -> Tensor:
        return grad * self.inputs[1]

    def grad_b(self, grad: Tensor) -> Tensor:
        return grad * self.inputs[0]


class Div(Binary, kernel="div"):
    """y = a / b;  da = dy / b,  db = -da y"""

    __slots__ = ()
    saves = INPUTS | OUTPUT
    uses = ((1,), (1,))

    def backward(self, grad: Tensor) -> list[Tensor | None]:
        grad_a = grad / self.inputs[1]
        grad_b = -(grad_a * self.output) if self.needs(1) else None
        return [grad_a if self.needs(0) else None, grad_b]


class Pow(Binary, kernel="pow"):
    """y = aᵇ;  da = dy b aᵇ⁻¹ (0 where b = 0),  db = dy y log a (0 where a = 0 and b >= 0)"""

    __slots__ = ()
    saves = INPUTS | OUTPUT

    def grad_a(self, grad: Tensor) -> Tensor:
        a, b = self.inputs
        if b._array.flags & lib.MG_WEAK:  # a Python number: one case, known now
            exponent = b.item()
            if exponent == 0:
                return grad.new_zeros(grad.shape)
            return grad * (exponent * a ** (exponent - 1))
        return where(b == 0, 0.0, grad * (b * a ** (b - 1)))

    def grad_b(self, grad: Tensor) -> Tensor:
        a, b = self.inputs
        return where((a == 0) & (b >= 0), 0.0, grad * (self.output * a.log().to(grad.dtype)))


class Remainder(Binary, kernel="remainder"):
    """y = a - b floor(a / b), with the sign of b;  da = dy,  db = -dy floor(a / b)"""

    __slots__ = ()
    saves = INPUTS
    uses = ((), (0, 1))

    def grad_a(self, grad: Tensor) -> Tensor:
        return grad

    def grad_b(self, grad: Tensor) -> Tensor:
        a, b = self.inputs
        return -grad * (a / b).floor()


class Fmod(Binary, kernel="fmod"):
    """y = a - b trunc(a / b), with the sign of a;  da = dy,  db = -dy trunc(a / b)"""

    __slots__ = ()
    saves = INPUTS
    uses = ((), (0, 1))

    def grad_a(self, grad: Tensor) -> Tensor:
        return grad

    def grad_b(self, grad: Tensor) -> Tensor:
        a, b = self.inputs
        return -grad * (a / b).trunc()


class FloorDivide(Binary, kernel="floor_divide"):
    """y = floor(a / b), piecewise constant."""

    __slots__ = ()

    def grad_a(self, grad: Tensor) -> Tensor:
        return grad.new_zeros(grad.shape)

    def grad_b(self, grad: Tensor) -> Tensor:
        return grad.new_zeros(grad.shape)


class Maximum(Binary, kernel="maximum"):
    """y = max(a, b);  the gradient goes to the larger, half to each where they are equal."""

    __slots__ = ()
    saves = INPUTS

    def grad_a(self, grad: Tensor) -> Tensor:
        a, b = self.inputs
        return where(a == b, grad / 2, grad).masked_fill(a < b, 0.0)

    def grad_b(self, grad: Tensor) -> Tensor:
        a, b = self.inputs
        return where(a == b, grad / 2, grad).masked_fill(b < a, 0.0)


class Minimum(Binary, kernel="minimum"):
    """y = min(a, b);  the gradient goes to the smaller, half to each where they are equal."""

    __slots__ = ()
    saves = INPUTS

    def grad_a(self, grad: Tensor) -> Tensor:
        a, b = self.inputs
        return where(a == b, grad / 2, grad).masked_fill(a > b, 0.0)

    def grad_b(self, grad: Tensor) -> Tensor:
        a, b = self.inputs
        return where(a == b, grad / 2, grad).masked_fill(b > a, 0.0)


class Atan2(Binary, kernel="atan2"):
    """y = the angle of the point (b, a);  da = dy b / (a² + b²),  db = -dy a / (a² + b²)"""

    __slots__ = ()
    saves = INPUTS

    def grad_a(self, grad: Tensor) -> Tensor:
        a, b = self.inputs
        return grad * (b / (a * a + b * b))

    def grad_b(self, grad: Tensor) -> Tensor:
        a, b = self.inputs
        return -grad * (a / (a * a + b * b))


class Clamped(Operation):
    """y = max(x, b) or min(x, b);  dx = dy where x is within or on the bound, db = dy elsewhere"""

    __slots__ = ("code",)
    adapts = True
    saves = INPUTS

    def __init__(self, code: int) -> None:
        self.code = code

    def forward(self, x: Array, bound: Array, out: Array = NULL) -> Array:
        return binary(self.code, x, bound, out)

    def _within(self) -> Tensor:
        x, bound = self.inputs
        return x >= bound if self.code == Maximum.code else x <= bound

    def grad_x(self, grad: Tensor) -> Tensor:
        return where(self._within(), grad, 0.0)

    def grad_bound(self, grad: Tensor) -> Tensor:
        return where(self._within(), 0.0, grad)


# ---- functions ----


def _scaled(other: Any, alpha: Any, op: str) -> Tensor:
    """``alpha * other`` of add and sub."""
    other = operand(other, op)
    if isinstance(alpha, float) and not other.dtype.is_floating_point:
        raise RuntimeError(
            f"{op}(): For integral input tensors, argument alpha must not be a floating point "
            "number."
        )
    return other * alpha


def add(input: Any, other: Any, *, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """``input + alpha * other``."""
    other = operand(other, "add") if alpha == 1 else _scaled(other, alpha, "add")
    return into(out, Add().apply(operand(input, "add"), other))


def sub(input: Any, other: Any, *, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """``input - alpha * other``."""
    other = operand(other, "sub") if alpha == 1 else _scaled(other, alpha, "sub")
    return into(out, Sub().apply(operand(input, "sub"), other))


def add_(self: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """In place ``self + alpha * other``."""
    other = operand(other, "add_") if alpha == 1 else _scaled(other, alpha, "add_")
    return Add().apply_in_place(self, other)


def sub_(self: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """In place ``self - alpha * other``."""
    other = operand(other, "sub_") if alpha == 1 else _scaled(other, alpha, "sub_")
    return Sub().apply_in_place(self, other)


def _division(rounding_mode: str | None) -> type[Binary] | None:
    if rounding_mode not in (None, "floor", "trunc"):
        raise RuntimeError(
            "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
            f"'{rounding_mode}'"
        )
    return {None: Div, "floor": FloorDivide, "trunc": None}[rounding_mode]


def div(
    input: Any, other: Any, *, rounding_mode: str | None = None, out: Tensor | None = None
) -> Tensor:
    """``input / other``, rounded where ``rounding_mode`` is "floor" or "trunc"."""
    operation = _division(rounding_mode)
    input, other = operand(input, "div"), operand(other, "div")
    if operation is not None:
        return into(out, operation().apply(input, other))
    if input.is_floating_point() or other.is_floating_point():
        return into(out, Div().apply(input, other).trunc())
    # Without the remainder the division is exact, so that floor and trunc are the same.
    remainder = Fmod().apply(input, other)
    multiple = to_dtype(input, remainder.dtype) - remainder
    return into(out, FloorDivide().apply(multiple, other))


def div_(self: Tensor, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """In place ``self / other``."""
    operation = _division(rounding_mode)
    other = operand(other, "div_")
    if operation is not None:
        return operation().apply_in_place(self, other)
    quotient = div(self, other, rounding_mode=rounding_mode)
    if quotient.is_floating_point() and not self.is_floating_point():
        raise RuntimeError(
            f"div_: result type {quotient.dtype} can't be cast to the desired output type "
            f"{self.dtype}; use div, or convert the tensor to a floating dtype first"
        )
    return self.copy_(quotient)


def pow(input: Any, exponent: Any, *, out: Tensor | None = None) -> Tensor:
    """``input ** exponent``."""
    return into(out, power(operand(input, "pow"), exponent))


def power(base: Tensor, exponent: Any) -> Tensor:
    """`base ** exponent`, without `out`."""
    # Squares are so common that they have a kernel; the general one costs ten times as much.
    if type(exponent) is not Tensor:
        if base._array.dtype == lib.MG_BOOL and isinstance(exponent, bool):
            return wrap(base._array) | (not exponent)
        if exponent == 2 and base._array.dtype != lib.MG_BOOL:
            return Square().apply(base)
    return Pow().apply(base, operand(exponent, "pow"))


def _bounds(op: str, min: Any, max: Any) -> list[tuple[int, Tensor]]:
    """The kernel and the bound of each step of clamping."""
    if min is None and max is None:
        raise RuntimeError(f"{op}: At least one of 'min' or 'max' must not be None")
    steps = []
    if min is not None:
        steps.append((Maximum.code, operand(min, op)))
    if max is not None:
        steps.append((Minimum.code, operand(max, op)))
    return steps


def clamp(input: Tensor, min: Any = None, max: Any = None, *, out: Tensor | None = None) -> Tensor:
    """Values below ``min`` become ``min``, those above ``max`` ``max`` (numbers or tensors)."""
    check_tensor(input, "clamp")
    result = input
    for code, bound in _bounds("clamp", min, max):
        result = Clamped(code).apply(result, bound)
    return into(out, result)


def clamp_in_place(self: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """``clamp`` in place."""
    for code, bound in _bounds("clamp_", min, max):
        Clamped(code).apply_in_place(self, bound)
    return self


# ---- the tables of names ----

BINARY: dict[str, type[Binary]] = {
    "mul": Mul,
    "multiply": Mul,
    "remainder": Remainder,
    "fmod": Fmod,
    "floor_divide": FloorDivide,
    "atan2": Atan2,
    "maximum": Maximum,
    "minimum": Minimum,
}

# Results that carry no gradient.
PLAIN_BINARY: dict[str, tuple[Callable, Callable]] = {
    name: plain_binary(name)
    for name in (
        *("eq", "ne", "lt", "le", "gt", "ge"),
        *("logical_and", "logical_or", "logical_xor"),
        *("bitwise_and", "bitwise_or", "bitwise_xor"),
    )
}
