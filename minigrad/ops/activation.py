"""Activation functions with kernels of their own: a row of ``csrc/fused.def`` for the function and
one for its derivative, and the second derivative written in Tensor operations.

``p``, ``q`` and ``r`` are the numbers of a row (a slope, a threshold, ...).
"""

from __future__ import annotations

from typing import Any, ClassVar

from .. import array as arrays
from ..autograd.engine import INPUTS, Fused, Operation
from ..kernels import NULL, Array, fail, find_fused, fused_entry, lib, own, owning, release
from ..tensor import Tensor, wrap
from .elementwise import where


class Activation(Operation):
    """y = f(x);  dx = dy f'(x)

    ``class Silu(Activation, kernel="silu")``: the rows are ``silu`` and ``silu_backward``, or the
    one that ``backward`` names. ``curvature`` is f''; None where it is 0 wherever it exists.
    """

    __slots__ = ("numbers",)
    saves = INPUTS
    code: ClassVar[int]
    backward_code: ClassVar[int]

    def __init_subclass__(cls, kernel: str = "", backward: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.code = find_fused(kernel)
        cls.backward_code = find_fused(backward or kernel + "_backward")

    def __init__(self, p: float = 0.0, q: float = 0.0, r: float = 0.0) -> None:
        self.numbers = (p, q, r)

    def forward(self, x: Array, out: Array = NULL) -> Array:
        return owning(fused_entry(self.code, x, NULL, NULL, out, *self.numbers) or fail(), release)

    def grad_x(self, grad: Tensor) -> Tensor:
        return ActivationBackward(type(self), self.numbers).apply(grad, self.inputs[0])

    @staticmethod
    def curvature(x: Tensor, p: float, q: float, r: float) -> Tensor | None:
        """f''(x)."""
        return None


class ActivationBackward(Operation):
    """z = g f'(x);  dg = dz f'(x),  dx = dz g f''(x)"""

    __slots__ = ("activation", "numbers")
    saves = INPUTS
    uses = ((1,), (0, 1))

    def __init__(self, activation: type[Activation], numbers: tuple[float, float, float]) -> None:
        self.activation, self.numbers = activation, numbers

    def forward(self, g: Array, x: Array) -> Array:
        code = self.activation.backward_code
        return owning(fused_entry(code, g, x, NULL, NULL, *self.numbers) or fail(), release)

    def grad_g(self, grad: Tensor) -> Tensor:
        return ActivationBackward(self.activation, self.numbers).apply(grad, self.inputs[1])

    def grad_x(self, grad: Tensor) -> Tensor | None:
        g, x = self.inputs
        curvature = self.activation.curvature(x, *self.numbers)
        return None if curvature is None else grad * g * curvature


# ---- piecewise linear ----


class LeakyRelu(Activation, kernel="leaky_relu"):
    """y = x where x > 0, else p x"""

    __slots__ = ()


class Hardtanh(Activation, kernel="hardtanh"):
    """y = x between p and q, the nearer of them outside"""

    __slots__ = ()


class Hardsigmoid(Activation, kernel="hardsigmoid"):
    """y = min(max(x + 3, 0), 6) / 6"""

    __slots__ = ()


class Hardshrink(Activation, kernel="hardshrink"):
    """y = 0 for |x| <= p, else x"""

    __slots__ = ()


class Softshrink(Activation, kernel="softshrink", backward="hardshrink_backward"):
    """y = 0 for |x| <= p, else x - p sign(x)"""

    __slots__ = ()


class Threshold(Activation, kernel="threshold"):
    """y = x where x > p, else q"""

    __slots__ = ()


# ---- smooth ----


class Hardswish(Activation, kernel="hardswish"):
    """y = x min(max(x + 3, 0), 6) / 6  (Howard et al., 2019)"""

    __slots__ = ()

    @staticmethod
    def curvature(x: Tensor, p: float, q: float, r: float) -> Tensor:
        return ((x > -3) & (x < 3)).to(x.dtype) / 3


class Elu(Activation, kernel="elu"):
    """y = q x where x > 0, else p (e^(r x) - 1)  (Clevert et al., 2015)"""

    __slots__ = ()

    @staticmethod
    def curvature(x: Tensor, p: float, q: float, r: float) -> Tensor:
        below = where(x > 0, 0.0, x)  # an exponential that overflowed would give 0 · inf
        return where(x > 0, 0.0, (below * r).exp() * (p * r * r))


class Softplus(Activation, kernel="softplus"):
    """y = log(1 + e^(p x)) / p, x where p x > q"""

    __slots__ = ()

    @staticmethod
    def curvature(x: Tensor, p: float, q: float, r: float) -> Tensor:
        s = (x * p).sigmoid()
        return where(x * p > q, 0.0, s * (1 - s) * p)


class LogSigmoid(Activation, kernel="logsigmoid"):
    """y = log(1 / (1 + e⁻ˣ))"""

    __slots__ = ()

    @staticmethod
    def curvature(x: Tensor, p: float, q: float, r: float) -> Tensor:
        s = x.sigmoid()
        return s * (s - 1)


class Silu(Activation, kernel="silu"):
    """y = x s, s = 1 / (1 + e⁻ˣ)  (Hendrycks and Gimpel, 2016)"""

    __slots__ = ()

    @staticmethod
    def curvature(x: Tensor, p: float, q: float, r: float) -> Tensor:
        s = x.sigmoid()
        return s * (1 - s) * (2 + x * (1 - 2 * s))


class Gelu(Activation, kernel="gelu"):
    """y = x Φ(x), Φ the normal distribution function  (Hendrycks and Gimpel, 2016)"""

    __slots__ = ()

    @staticmethod
    def curvature(x: Tensor, p: float, q: float, r: float) -> Tensor:
        square = x.square()
        return (square * -0.5).exp() * (2 - square) * 0.3989422804014327  # 1/√(2π)


class GeluTanh(Activation, kernel="gelu_tanh"):
    """y = x s(u), s the logistic function, u = 2 √(2/π) (x + 0.044715 x³): GELU, nearly"""

    __slots__ = ()

    @staticmethod
    def curvature(x: Tensor, p: float, q: float, r: float) -> Tensor:
        factor = 1.5957691216057308  # 2 √(2/π)
        square = x.square()
        s = (x * (square * 0.044715 + 1) * factor).sigmoid()
        first = (square * (3 * 0.044715) + 1) * factor  # u'
        second = x * (6 * 0.044715 * factor)  # u''
        return s * (1 - s) * (2 * first + x * (second + first.square() * (1 - 2 * s)))


class Mish(Activation, kernel="mish"):
    """y = x tanh(log(1 + eˣ))  (Misra, 2019)"""

    __slots__ = ()

    @staticmethod
    def curvature(x: Tensor, p: float, q: float, r: float) -> Tensor:
        s = x.sigmoid()
        t = (-(-x).sigmoid().log()).tanh()  # tanh of softplus: -log(1 - s)
        first = s * (1 - t.square())  # t'
        return first * (2 + x * (1 - s) - 2 * x * t * s)


class Softsign(Activation, kernel="softsign"):
    """y = x / (1 + |x|)"""

    __slots__ = ()

    @staticmethod
    def curvature(x: Tensor, p: float, q: float, r: float) -> Tensor:
        return x.sign() * -2 / (x.abs() + 1) ** 3


# ---- of two operands ----


class Glu(Fused):
    """y = a s(b) for the halves a and b of a dimension, s the logistic function;
    da = dy s(b),  db = dy a s(b) (1 - s(b))"""

    __slots__ = ("dim",)
    code = find_fused("glu")

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, x: Array) -> Array:
        a, b = self._halves(x)
        return owning(fused_entry(self.code, a, b, NULL, NULL, 0, 0, 0) or fail(), release)

    def _halves(self, x: Array) -> tuple[Array, Array]:
        shape, strides = list(arrays.shape_of(x)), arrays.strides_of(x)
        shape[self.dim] //= 2
        step = shape[self.dim] * strides[self.dim]
        first = arrays.as_strided(x, shape, strides, x.offset)
        return first, arrays.as_strided(x, shape, strides, x.offset + step)

    def composition(self, x: Tensor) -> Tensor:  # type: ignore[override]
        size = x.shape[self.dim] // 2
        return Gate().apply(x.narrow(self.dim, 0, size), x.narrow(self.dim, size, size))

    def fused_backward(self, grad_output: Tensor) -> list[Tensor]:
        x = self.inputs[0]._array
        result = wrap(own(lib.mg_empty(x.dtype, x.ndim, x.shape)))
        (a, b), (to_a, to_b) = self._halves(x), self._halves(result._array)
        g = grad_output._array
        own(fused_entry(self.code, g, b, NULL, to_a, 0, 0, 0))
        own(fused_entry(GluBackwardGate.code, g, a, b, to_b, 0, 0, 0))
        return [result]


class Gate(Operation):
    """y = a s(b);  da = dy s(b),  db = dy a s(b) (1 - s(b))"""

    __slots__ = ()
    saves = INPUTS
    uses = ((1,), (0, 1))

    def forward(self, a: Array, b: Array) -> Array:
        return owning(fused_entry(Glu.code, a, b, NULL, NULL, 0, 0, 0) or fail(), release)

    def grad_a(self, grad: Tensor) -> Tensor:
        return Gate().apply(grad, self.inputs[1])

    def grad_b(self, grad: Tensor) -> Tensor:
        return GluBackwardGate().apply(grad, *self.inputs)


class GluBackwardGate(Operation):
    """z = g a s(b) (1 - s(b)), linear in g and a"""

    __slots__ = ()
    saves = INPUTS
    uses = ((1, 2), (0, 2), (0, 1, 2))
    code = find_fused("glu_backward_gate")

    def forward(self, g: Array, a: Array, b: Array) -> Array:
        return owning(fused_entry(self.code, g, a, b, NULL, 0, 0, 0) or fail(), release)

    def grad_g(self, grad: Tensor) -> Tensor:
        return GluBackwardGate().apply(grad, *self.inputs[1:])

    def grad_a(self, grad: Tensor) -> Tensor:
        g, _, b = self.inputs
        return GluBackwardGate().apply(grad, g, b)

    def grad_b(self, grad: Tensor) -> Tensor:
        g, a, b = self.inputs
        return GluBackwardGate().apply(grad * g, a, b) * (1 - 2 * b.sigmoid())


class Prelu(Operation):
    """y = x where x > 0, else w x;  dw = Σ dy x over x <= 0  (He et al., 2015)"""

    __slots__ = ()
    saves = INPUTS
    adapts = True
    code = find_fused("prelu")

    def forward(self, x: Array, w: Array) -> Array:
        return owning(fused_entry(self.code, x, w, NULL, NULL, 0, 0, 0) or fail(), release)

    def grad_x(self, grad: Tensor) -> Tensor:
        return PreluBackward().apply(grad, *self.inputs)

    def grad_w(self, grad: Tensor) -> Tensor:
        return PreluBackwardWeight().apply(grad, self.inputs[0])


class PreluBackward(Operation):
    """z = g where x > 0, else g w"""

    __slots__ = ()
    saves = INPUTS
    uses = ((1, 2), (), (0, 1))
    code = find_fused("prelu_backward")

    def forward(self, g: Array, x: Array, w: Array) -> Array:
        return owning(fused_entry(self.code, g, x, w, NULL, 0, 0, 0) or fail(), release)

    def grad_g(self, grad: Tensor) -> Tensor:
        return PreluBackward().apply(grad, *self.inputs[1:])

    def grad_x(self, grad: Tensor) -> None:
        return None

    def grad_w(self, grad: Tensor) -> Tensor:
        g, x, w = self.inputs
        return where(x > 0, 0.0, grad * g).sum_to_size(w.shape)


class PreluBackwardWeight(Operation):
    """z = g x where x <= 0, else 0"""

    __slots__ = ()
    saves = INPUTS
    code = find_fused("prelu_backward_weight")

    def forward(self, g: Array, x: Array) -> Array:
        return owning(fused_entry(self.code, g, x, NULL, NULL, 0, 0, 0) or fail(), release)

    def grad_g(self, grad: Tensor) -> Tensor:
        return PreluBackwardWeight().apply(grad, self.inputs[1])

    def grad_x(self, grad: Tensor) -> Tensor:
        g, x = self.inputs
        return where(x > 0, 0.0, grad * g)
