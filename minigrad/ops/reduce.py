"""Reductions over any dimensions, each with its derivative."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from .. import array as arrays
from ..autograd.engine import INPUTS, OUTPUT, Operation
from ..dtypes import bool_
from ..dtypes import dtype as DType
from ..kernels import Array, find_reduction, lib, own, reduce
from ..tensor import Tensor, normalized, wrap
from .elementwise import check_tensor, into, to_dtype, where

SUM, PROD, MEAN = (find_reduction(name) for name in ("sum", "prod", "mean"))
MAX, MIN, ANY, ALL = (find_reduction(name) for name in ("max", "min", "any", "all"))
ARGMAX, ARGMIN = (find_reduction(name) for name in ("argmax", "argmin"))

Dims = int | Sequence[int] | None


def mask_of(dim: Dims, ndim: int, op: str) -> int:
    """The dimensions to reduce as the bits of an integer; None and () mean all of them."""
    if dim is None:
        return (1 << ndim) - 1
    if isinstance(dim, int):
        return 1 << normalized(dim, ndim, op) if ndim else normalized(dim, 0, op) * 0
    dims = [normalized(each, ndim, op) for each in dim]
    if not dims:
        return (1 << ndim) - 1
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"{op}: dim {dims[0]} appears multiple times in the list of dims")
    mask = 0
    for each in dims:
        mask |= 1 << each
    return mask if ndim else 0


class Reduction(Operation):
    """What the reductions share: the dimensions, and the shape with 1 for each of them."""

    __slots__ = ("mask", "keepdim")
    keeps_shapes = True

    def __init__(self, mask: int, keepdim: bool = False) -> None:
        self.mask = mask
        self.keepdim = keepdim

    def spread(self, reduced: Tensor) -> Tensor:
        """A tensor of the result's shape, viewed with the operand's."""
        return Spread(self.operand_shapes[0], self.mask, self.keepdim).apply(reduced)

    def count(self) -> int:
        """How many elements are reduced to one."""
        return math.prod(
            size for d, size in enumerate(self.operand_shapes[0]) if self.mask >> d & 1
        )


class Spread(Operation):
    """y = g repeated over the reduced dimensions, as a view;  dg = Σ dy over them"""

    __slots__ = ("shape", "mask", "keepdim")
    view = True

    def __init__(self, shape: Sequence[int], mask: int, keepdim: bool) -> None:
        self.shape, self.mask, self.keepdim = shape, mask, keepdim

    def forward(self, g: Array) -> Array:
        strides = []
        kept = 0  # dimensions of g passed so far
        for d in range(len(self.shape)):
            reduced = self.mask >> d & 1
            strides.append(0 if reduced else g.strides[kept])
            kept += self.keepdim or not reduced
        return arrays.as_strided(g, self.shape, strides, g.offset)

    def grad_g(self, grad: Tensor) -> Tensor:
        return Sum(self.mask, self.keepdim).apply(grad)


class Sum(Reduction):
    """y = Σ x;  dx = dy, spread"""

    __slots__ = ()

    def forward(self, x: Array) -> Array:
        return reduce(SUM, x, self.mask, self.keepdim)

    def grad_x(self, grad: Tensor) -> Tensor:
        return self.spread(grad)


class Mean(Reduction):
    """y = Σ x / n;  dx = dy / n, spread"""

    __slots__ = ()

    def forward(self, x: Array) -> Array:
        return reduce(MEAN, x, self.mask, self.keepdim)

    def grad_x(self, grad: Tensor) -> Tensor:
        return self.spread(grad / (self.count() or 1))


class SumTo(Operation):
    """y = x summed to a smaller shape that broadcasts to its own;  dx = dy, expanded"""

    __slots__ = ("shape",)
    keeps_shapes = True

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        return own(lib.mg_sum_to(x, len(self.shape), self.shape))

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad.expand(self.operand_shapes[0])


class Prod(Reduction):
    """y = Π x;  dx = dy times the product of the others (which is y / x where no x is 0)"""

    __slots__ = ()
    saves = INPUTS

    def forward(self, x: Array) -> Array:
        return reduce(PROD, x, self.mask, self.keepdim)

    def grad_x(self, grad: Tensor) -> Tensor:
        (x,) = self.inputs
        return self.spread(grad) * _product_of_others(x, self.mask)


def _product_of_others(x: Tensor, mask: int) -> Tensor:
    """For each element the product of the other elements that it is reduced with: the products of
    those before and of those behind, gathered in log₂ n doubling steps."""
    order = [d for d in range(x.ndim) if not mask >> d & 1]
    reduced = [d for d in range(x.ndim) if mask >> d & 1]
    moved = x.permute(order + reduced)
    kept = [x.shape[d] for d in order]
    flat = moved.reshape(*kept, -1)
    count = flat.shape[-1]
    if count <= 1:
        return x.new_ones(x.shape)
    others = _exclusive_products(flat) * _exclusive_products(flat.flip(-1)).flip(-1)
    back = [0] * x.ndim
    for place, d in enumerate(order + reduced):
        back[d] = place
    return others.reshape(moved.shape).permute(back)


def _exclusive_products(x: Tensor) -> Tensor:
    """Along the last dimension, the product of all elements before each one."""
    from .shape import cat

    count = x.shape[-1]
    ones = x.new_ones([*x.shape[:-1], 1])
    products = cat([ones, x.narrow(-1, 0, count - 1)], -1)
    step = 1
    while step < count:
        earlier = products.narrow(-1, 0, count - step)
        ones = x.new_ones([*x.shape[:-1], step])
        products = products * cat([ones, earlier], -1)
        step *= 2
    return products


class Extreme(Reduction):
    """y = max x or min x;  the gradient is shared equally by all that attain it"""

    __slots__ = ("code",)
    saves = INPUTS | OUTPUT

    def __init__(self, code: int, mask: int, keepdim: bool = False) -> None:
        super().__init__(mask, keepdim)
        self.code = code

    def forward(self, x: Array) -> Array:
        return reduce(self.code, x, self.mask, self.keepdim)

    def grad_x(self, grad: Tensor) -> Tensor:
        (x,) = self.inputs
        attains = (x == self.spread(self.output.detach())) | x.isnan()
        attains = attains.to(grad.dtype)
        shares = Sum(self.mask, self.keepdim).apply(attains)
        return self.spread(grad / shares) * attains


class ExtremeAlong(Operation):
    """y = max x or min x along a dimension, with the index of the element chosen, which alone gets
    the gradient"""

    __slots__ = ("code", "dim", "keepdim", "indices")
    keeps_shapes = True

    def __init__(self, code: int, dim: int, keepdim: bool, indices: Tensor) -> None:
        self.code, self.dim, self.keepdim, self.indices = code, dim, keepdim, indices

    def forward(self, x: Array) -> Array:
        return reduce(self.code, x, 1 << self.dim if x.ndim else 0, self.keepdim)

    def grad_x(self, grad: Tensor) -> Tensor:
        shape = self.operand_shapes[0]
        if not shape:
            return grad
        indices = self.indices
        if not self.keepdim:
            indices, grad = indices.unsqueeze(self.dim), grad.unsqueeze(self.dim)
        return grad.new_zeros(shape).scatter_add(self.dim, indices, grad)


# ---- functions ----


def sum(
    input: Tensor,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    out: Tensor | None = None,
    axis: Dims = None,
) -> Tensor:
    """The sum over the dimensions, or over all; integers are summed as int64."""
    if not isinstance(input, Tensor):
        check_tensor(input, "sum")
    if axis is not None:  # NumPy's name for dim, which torch takes too
        dim = axis
    if dtype is not None:
        input = to_dtype(input, dtype)
    result = Sum(mask_of(dim, input._array.ndim, "sum"), keepdim).apply(input)
    return result if out is None else into(out, result)


def mean(
    input: Tensor,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    out: Tensor | None = None,
    axis: Dims = None,
) -> Tensor:
    """The mean over the dimensions, or over all."""
    check_tensor(input, "mean")
    if axis is not None:  # NumPy's name for dim, which torch takes too
        dim = axis
    if dtype is not None:
        input = to_dtype(input, dtype)
    return into(out, Mean(mask_of(dim, input.ndim, "mean"), bool(keepdim)).apply(input))


def prod(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """The product over one dimension, or over all."""
    check_tensor(input, "prod")
    if dtype is not None:
        input = to_dtype(input, dtype)
    return into(out, Prod(mask_of(dim, input.ndim, "prod"), bool(keepdim)).apply(input))


class ValuesAndIndices(NamedTuple):
    """What ``max`` and ``min`` over a dimension return."""

    values: Tensor
    indices: Tensor


def _extreme(code: int, arg: int, name: str, input: Tensor, dim: Any, keepdim: bool) -> Any:
    check_tensor(input, name)
    if isinstance(dim, Tensor):
        return getattr(input, name + "imum")(dim)
    if dim is None:
        if input.numel() == 0:
            raise RuntimeError(
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify "
                "the reduction dim with the 'dim' argument."
            )
        return Extreme(code, mask_of(None, input.ndim, name)).apply(input)
    dim = normalized(dim, input.ndim, name)
    mask = 1 << dim if input.ndim else 0
    ordered = input.byte() if input.dtype is bool_ else input
    indices = wrap(reduce(arg, ordered._array, mask, keepdim))
    return ValuesAndIndices(ExtremeAlong(code, dim, keepdim, indices).apply(input), indices)


def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest element; with ``dim`` the largest along it and its index; with another tensor the
    elementwise maximum."""
    return _extreme(MAX, ARGMAX, "max", input, dim if other is None else other, keepdim)


def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest element; with ``dim`` the smallest along it and its index; with another tensor
    the elementwise minimum."""
    return _extreme(MIN, ARGMIN, "min", input, dim if other is None else other, keepdim)


def amax(
    input: Tensor, dim: Dims = (), keepdim: bool = False, *, out: Tensor | None = None
) -> Tensor:
    """The largest element over the dimensions; equal ones share the gradient."""
    check_tensor(input, "amax")
    return into(out, Extreme(MAX, mask_of(dim, input.ndim, "amax"), bool(keepdim)).apply(input))


def amin(
    input: Tensor, dim: Dims = (), keepdim: bool = False, *, out: Tensor | None = None
) -> Tensor:
    """The smallest element over the dimensions; equal ones share the gradient."""
    check_tensor(input, "amin")
    return into(out, Extreme(MIN, mask_of(dim, input.ndim, "amin"), bool(keepdim)).apply(input))


def _argument(code: int, name: str, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    check_tensor(input, name)
    return wrap(reduce(code, input._array, mask_of(dim, input.ndim, name), keepdim))


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the largest element, of the flattened tensor or along a dimension."""
    return _argument(ARGMAX, "argmax", input, dim, keepdim)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the smallest element, of the flattened tensor or along a dimension."""
    return _argument(ARGMIN, "argmin", input, dim, keepdim)


def any(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether any element is not zero."""
    check_tensor(input, "any")
    return wrap(reduce(ANY, input._array, mask_of(dim, input.ndim, "any"), keepdim))


def all(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether all elements are not zero."""
    check_tensor(input, "all")
    return wrap(reduce(ALL, input._array, mask_of(dim, input.ndim, "all"), keepdim))


def _spread_of(input: Tensor, dim: Dims, unbiased: Any, correction: Any, keepdim: bool) -> Tensor:
    if unbiased is not None:
        correction = int(unbiased)
    elif correction is None:
        correction = 1
    mask = mask_of(dim, input.ndim, "var")
    count = math.prod(size for d, size in enumerate(input.shape) if mask >> d & 1)
    centred = input - Mean(mask, True).apply(input)
    total = Sum(mask, keepdim).apply(centred.square())
    freedom = count - correction
    return total / freedom if freedom > 0 else total / 0.0


def var(
    input: Tensor,
    dim: Dims = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The variance, divided by n - correction (1 unless given)."""
    check_tensor(input, "var")
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return _spread_of(input, dim, unbiased, correction, keepdim)


def std(
    input: Tensor,
    dim: Dims = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The standard deviation, with n - correction (1 unless given)."""
    check_tensor(input, "std")
    return var(input, dim, unbiased, keepdim, correction=correction).sqrt()


def logsumexp(input: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    """ln Σ eˣ, computed from the largest element so that nothing overflows."""
    check_tensor(input, "logsumexp")
    mask = mask_of(dim, input.ndim, "logsumexp")
    largest = wrap(reduce(MAX, input._array, mask, True))
    largest = where(largest.isfinite(), largest, 0.0)
    total = Sum(mask, True).apply((input - largest).exp()).log() + largest
    return total if keepdim else total.squeeze([d for d in range(input.ndim) if mask >> d & 1])


def norm(input: Tensor, p: Any = 2, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The p-norm over the dimensions ("fro" is 2); p may be inf, -inf or 0."""
    check_tensor(input, "norm")
    if p in ("fro", 2, None):
        squares = Sum(mask_of(dim, input.ndim, "norm"), keepdim).apply(input.square())
        return NormFromSquares().apply(squares)
    if p == 1:
        return sum(input.abs(), dim, keepdim)
    if p == math.inf:
        return amax(input.abs(), () if dim is None else dim, keepdim)
    if p == -math.inf:
        return amin(input.abs(), () if dim is None else dim, keepdim)
    if p == 0:
        return sum((input != 0).to(input.dtype), dim, keepdim)
    return sum(input.abs() ** p, dim, keepdim) ** (1.0 / p)


class NormFromSquares(Operation):
    """y = √s of a sum of squares;  ds = dy / (2y), and 0 at 0, where 0 is a subgradient"""

    __slots__ = ()
    saves = OUTPUT

    def forward(self, s: Array) -> Array:
        from .unary import Sqrt

        return Sqrt().forward(s)

    def grad_s(self, grad: Tensor) -> Tensor:
        y = self.output
        return where(y == 0, 0.0, grad / (y * 2))


def sum_to_size(self: Tensor, *size: Any) -> Tensor:
    """The tensor summed to a shape that broadcasts to its own."""
    shape = size[0] if len(size) == 1 and not isinstance(size[0], int) else size
    if tuple(shape) == self.shape:
        return self
    return SumTo(tuple(shape)).apply(self)
