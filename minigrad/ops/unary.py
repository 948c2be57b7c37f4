"""Elementwise functions of one operand, each with its derivative beside it."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..autograd.engine import INPUTS, OUTPUT
from ..tensor import Tensor
from .elementwise import Binary, Unary, check_tensor, into, plain_unary


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


def round(input: Tensor, *, decimals: int = 0, out: Tensor | None = None) -> Tensor:
    """The nearest integer, halves to the even one; with ``decimals``, that many digits are kept."""
    check_tensor(input, "round")
    if decimals == 0:
        return into(out, Round().apply(input))
    scale = 10.0**decimals
    return into(out, Round().apply(input * scale) / scale)


# ---- the tables of names ----

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

# Results that carry no gradient.
PLAIN_UNARY: dict[str, Callable] = {
    name: plain_unary(name) for name in ("logical_not", "bitwise_not", "isnan", "isinf", "isfinite")
}
