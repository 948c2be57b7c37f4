"""Elementwise operations, each with its derivative beside it.

An op with a kernel of its own is a line in ``csrc/elementwise.def`` and a class here. ``dy`` is the
gradient of the result, ``dx`` that of the operand; broadcasting is undone by the engine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

from .. import array as arrays
from ..autograd.engine import INPUTS, OUTPUT, Operation
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

# ---- what all of them share ----


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


# ---- arithmetic ----


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


# ---- functions of one variable ----


class Neg(Unary, kernel="neg"):
    """y = -x;  dx = -dy"""

    __slots__ = ()

    def grad_x(self, grad: Tensor) -> Tensor:
        return -grad


class Abs(Unary, kernel="abs"):
    """y = |x|;  dx = dy sign(x)"""

    __slots__ = ()
    saves = INPUTS

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad * self.inputs[0].sign()


class Exp(Unary, kernel="exp"):
    """y = eˣ;  dx = dy y"""

    __slots__ = ()
    saves = OUTPUT

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad * self.output


class Exp2(Unary, kernel="exp2"):
    """y = 2ˣ;  dx = dy y ln 2"""

    __slots__ = ()
    saves = OUTPUT

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad * (self.output * math.log(2))


class Expm1(Unary, kernel="expm1"):
    """y = eˣ - 1;  dx = dy (y + 1)"""

    __slots__ = ()
    saves = OUTPUT

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad * (self.output + 1)


class Log(Unary, kernel="log"):
    """y = ln x;  dx = dy / x"""

    __slots__ = ()
    saves = INPUTS

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad / self.inputs[0]


class Log2(Unary, kernel="log2"):
    """y = log₂ x;  dx = dy / (x ln 2)"""

    __slots__ = ()
    saves = INPUTS

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad / (self.inputs[0] * math.log(2))


class Log10(Unary, kernel="log10"):
    """y = log₁₀ x;  dx = dy / (x ln 10)"""

    __slots__ = ()
    saves = INPUTS

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad / (self.inputs[0] * math.log(10))


class Log1p(Unary, kernel="log1p"):
    """y = ln(1 + x);  dx = dy / (1 + x)"""

    __slots__ = ()
    saves = INPUTS

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad / (self.inputs[0] + 1)


class Sqrt(Unary, kernel="sqrt"):
    """y = √x;  dx = dy / (2y)"""

    __slots__ = ()
    saves = OUTPUT

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad / (self.output * 2)


class Rsqrt(Unary, kernel="rsqrt"):
    """y = 1/√x;  dx = -dy y³ / 2"""

    __slots__ = ()
    saves = OUTPUT

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad * (self.output**3 * -0.5)


class Square(Unary, kernel="square"):
    """y = x²;  dx = 2 dy x"""

    __slots__ = ()
    saves = INPUTS

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad * (self.inputs[0] * 2)


class Reciprocal(Unary, kernel="reciprocal"):
    """y = 1/x;  dx = -dy y²"""

    __slots__ = ()
    saves = OUTPUT

    def grad_x(self, grad: Tensor) -> Tensor:
        return -grad * self.output.square()


class Sin(Unary, kernel="sin"):
    """y = sin x;  dx = dy cos x"""

    __slots__ = ()
    saves = INPUTS

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad * self.inputs[0].cos()


class Cos(Unary, kernel="cos"):
    """y = cos x;  dx = -dy sin x"""

    __slots__ = ()
    saves = INPUTS

    def grad_x(self, grad: Tensor) -> Tensor:
        return -grad * self.inputs[0].sin()


class Tan(Unary, kernel="tan"):
    """y = tan x;  dx = dy (1 + y²)"""

    __slots__ = ()
    saves = OUTPUT

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad * (self.output.square() + 1)


class Asin(Unary, kernel="asin"):
    """y = arcsin x;  dx = dy / √(1 - x²)"""

    __slots__ = ()
    saves = INPUTS

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad * (1 - self.inputs[0].square()).rsqrt()


class Acos(Unary, kernel="acos"):
    """y = arccos x;  dx = -dy / √(1 - x²)"""

    __slots__ = ()
    saves = INPUTS

    def grad_x(self, grad: Tensor) -> Tensor:
        return -grad * (1 - self.inputs[0].square()).rsqrt()


class Atan(Unary, kernel="atan"):
    """y = arctan x;  dx = dy / (1 + x²)"""

    __slots__ = ()
    saves = INPUTS

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad / (self.inputs[0].square() + 1)


class Sinh(Unary, kernel="sinh"):
    """y = sinh x;  dx = dy cosh x"""

    __slots__ = ()
    saves = INPUTS

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad * self.inputs[0].cosh()


class Cosh(Unary, kernel="cosh"):
    """y = cosh x;  dx = dy sinh x"""

    __slots__ = ()
    saves = INPUTS

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad * self.inputs[0].sinh()


class Erf(Unary, kernel="erf"):
    """y = erf x;  dx = dy 2/√π e^(-x²)"""

    __slots__ = ()
    saves = INPUTS

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad * ((-self.inputs[0].square()).exp() * (2 / math.sqrt(math.pi)))


class Erfc(Unary, kernel="erfc"):
    """y = 1 - erf x;  dx = -dy 2/√π e^(-x²)"""

    __slots__ = ()
    saves = INPUTS

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad * ((-self.inputs[0].square()).exp() * (-2 / math.sqrt(math.pi)))


class Tanh(Unary, kernel="tanh"):
    """y = tanh x;  dx = dy (1 - y²)"""

    __slots__ = ()
    saves = OUTPUT

    def grad_x(self, grad: Tensor) -> Tensor:
        return TanhBackward().apply(grad, self.output)


class TanhBackward(Binary, kernel="tanh_backward"):
    """z = g (1 - y²);  dg = dz (1 - y²),  dy = -2 dz g y"""

    __slots__ = ()
    saves = INPUTS
    uses = ((1,), (0, 1))

    def grad_g(self, grad: Tensor) -> Tensor:
        return TanhBackward().apply(grad, self.inputs[1])

    def grad_y(self, grad: Tensor) -> Tensor:
        g, y = self.inputs
        return grad * g * y * -2


class Sigmoid(Unary, kernel="sigmoid"):
    """y = 1 / (1 + e⁻ˣ);  dx = dy y (1 - y)"""

    __slots__ = ()
    saves = OUTPUT

    def grad_x(self, grad: Tensor) -> Tensor:
        return SigmoidBackward().apply(grad, self.output)


class SigmoidBackward(Binary, kernel="sigmoid_backward"):
    """z = g y (1 - y);  dg = dz y (1 - y),  dy = dz g (1 - 2y)"""

    __slots__ = ()
    saves = INPUTS
    uses = ((1,), (0, 1))

    def grad_g(self, grad: Tensor) -> Tensor:
        return SigmoidBackward().apply(grad, self.inputs[1])

    def grad_y(self, grad: Tensor) -> Tensor:
        g, y = self.inputs
        return grad * g * (1 - y * 2)


class Relu(Unary, kernel="relu"):
    """y = max(x, 0);  dx = dy where y > 0, else 0"""

    __slots__ = ()
    saves = OUTPUT

    def grad_x(self, grad: Tensor) -> Tensor:
        return ReluBackward().apply(grad, self.output)


class ReluBackward(Binary, kernel="relu_backward"):
    """z = g where y > 0, else 0;  dg = dz where y > 0, else 0"""

    __slots__ = ()
    saves = INPUTS
    uses = ((1,), ())

    def grad_g(self, grad: Tensor) -> Tensor:
        return ReluBackward().apply(grad, self.inputs[1])

    def grad_y(self, grad: Tensor) -> None:
        return None


class Step(Unary):
    """Piecewise constant functions: dx = 0."""

    __slots__ = ()

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad.new_zeros(grad.shape)


class Sign(Step, kernel="sign"):
    """y = -1, 0 or 1"""

    __slots__ = ()


class Floor(Step, kernel="floor"):
    """y = the largest integer at most x"""

    __slots__ = ()


class Ceil(Step, kernel="ceil"):
    """y = the smallest integer at least x"""

    __slots__ = ()


class Round(Step, kernel="round"):
    """y = the nearest integer, halves to the even one"""

    __slots__ = ()


class Trunc(Step, kernel="trunc"):
    """y = the nearest integer towards 0"""

    __slots__ = ()


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


UNARY: dict[str, type[Unary]] = {
    "neg": Neg,
    "negative": Neg,
    "abs": Abs,
    "absolute": Abs,
    "sign": Sign,
    "exp": Exp,
    "exp2": Exp2,
    "expm1": Expm1,
    "log": Log,
    "log2": Log2,
    "log10": Log10,
    "log1p": Log1p,
    "sqrt": Sqrt,
    "rsqrt": Rsqrt,
    "square": Square,
    "reciprocal": Reciprocal,
    "sin": Sin,
    "cos": Cos,
    "tan": Tan,
    "asin": Asin,
    "acos": Acos,
    "atan": Atan,
    "sinh": Sinh,
    "cosh": Cosh,
    "tanh": Tanh,
    "sigmoid": Sigmoid,
    "relu": Relu,
    "erf": Erf,
    "erfc": Erfc,
    "floor": Floor,
    "ceil": Ceil,
    "trunc": Trunc,
}

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


# ---- results that carry no gradient ----


def _plain_binary(kernel: str) -> tuple[Callable, Callable]:
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


def _plain_unary(kernel: str) -> Callable:
    code = find_unary(kernel)

    def function(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        if not isinstance(input, Tensor):
            check_tensor(input, kernel)
        result = wrap(unary(code, input._array))
        return result if out is None else into(out, result)

    function.__name__ = function.__qualname__ = kernel
    function.__doc__ = f"Elementwise ``{kernel}``; the result carries no gradient."
    return function


PLAIN_BINARY: dict[str, tuple[Callable, Callable]] = {
    name: _plain_binary(name)
    for name in (
        *("eq", "ne", "lt", "le", "gt", "ge"),
        *("logical_and", "logical_or", "logical_xor"),
        *("bitwise_and", "bitwise_or", "bitwise_xor"),
    )
}
PLAIN_UNARY: dict[str, Callable] = {
    name: _plain_unary(name)
    for name in ("logical_not", "bitwise_not", "isnan", "isinf", "isfinite")
}


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
    return into(out, _power(operand(input, "pow"), exponent))


def _power(base: Tensor, exponent: Any) -> Tensor:
    # Squares are so common that they have a kernel; the general one costs ten times as much.
    if type(exponent) is not Tensor:
        if base._array.dtype == lib.MG_BOOL and isinstance(exponent, bool):
            return wrap(base._array) | (not exponent)
        if exponent == 2 and base._array.dtype != lib.MG_BOOL:
            return Square().apply(base)
    return Pow().apply(base, operand(exponent, "pow"))


def round(input: Tensor, *, decimals: int = 0, out: Tensor | None = None) -> Tensor:
    """The nearest integer, halves to the even one; with ``decimals``, that many digits are kept."""
    check_tensor(input, "round")
    if decimals == 0:
        return into(out, Round().apply(input))
    scale = 10.0**decimals
    return into(out, Round().apply(input * scale) / scale)


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
