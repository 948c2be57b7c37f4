"""The methods and operators of Tensor, and the functions of the package: one table of names.

An op becomes usable by a line here; where it is defined and differentiated is its own module's
matter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import autograd
from .. import dtypes as kinds
from ..autograd.engine import Node, OutputOf
from ..dtypes import BY_CODE
from ..tensor import RemovableHandle, Tensor, constant, is_tensor, operand
from . import arithmetic, creation, elementwise, index, matmul, random, reduce, shape, unary
from .arithmetic import BINARY, PLAIN_BINARY, Add, Div, FloorDivide, Mul, Pow, Remainder, Sub
from .elementwise import (
    binary_function,
    binary_in_place,
    to_dtype,
    unary_function,
    unary_in_place,
)
from .unary import PLAIN_UNARY, UNARY, Neg

FUNCTIONS: dict[str, Any] = {}  # of the package, by torch's names


def _export(module: Any, *names: str) -> None:
    for name in names:
        FUNCTIONS[name] = getattr(module, name)


# ---- elementwise ----

for _name, _unary in UNARY.items():
    FUNCTIONS[_name] = unary_function(_unary, _name)
    setattr(Tensor, _name, FUNCTIONS[_name])
    setattr(Tensor, _name + "_", unary_in_place(_unary, _name + "_"))
for _name, _binary in BINARY.items():
    FUNCTIONS[_name] = binary_function(_binary, _name)
    setattr(Tensor, _name, FUNCTIONS[_name])
    setattr(Tensor, _name + "_", binary_in_place(_binary, _name + "_"))
for _name, (_function, _method) in PLAIN_BINARY.items():
    FUNCTIONS[_name] = _function
    setattr(Tensor, _name, _function)
    setattr(Tensor, _name + "_", _method)
for _name, _function in PLAIN_UNARY.items():
    FUNCTIONS[_name] = _function
    setattr(Tensor, _name, _function)

_export(arithmetic, "add", "sub", "div", "pow", "clamp")
_export(unary, "round")
_export(elementwise, "where")
FUNCTIONS |= {
    "subtract": arithmetic.sub,
    "divide": arithmetic.div,
    "true_divide": arithmetic.div,
    "clip": arithmetic.clamp,
    "greater": FUNCTIONS["gt"],
    "less": FUNCTIONS["lt"],
    "not_equal": FUNCTIONS["ne"],
    "greater_equal": FUNCTIONS["ge"],
    "less_equal": FUNCTIONS["le"],
}


def _operator(operation: type[Any], name: str) -> Callable:
    def method(self: Tensor, other: Any) -> Tensor:
        if type(other) is not Tensor:
            if type(other) is float or type(other) is int:
                other = constant(other)
            elif _is_operand(other):
                other = operand(other, name)
            else:
                return NotImplemented
        return operation().apply(self, other)

    method.__name__ = name
    return method


def _reflected(operation: type[Any], name: str) -> Callable:
    def method(self: Tensor, other: Any) -> Tensor:
        if not _is_operand(other):
            return NotImplemented
        return operation().apply(operand(other, name), self)

    method.__name__ = name
    return method


def _in_place_operator(operation: type[Any], name: str) -> Callable:
    def method(self: Tensor, other: Any) -> Tensor:
        return operation().apply_in_place(self, operand(other, name))

    method.__name__ = name
    return method


def _is_operand(value: Any) -> bool:
    return isinstance(value, (Tensor, bool, int, float, np.ndarray, np.generic))


for _name, _binary in {
    "add": Add,
    "sub": Sub,
    "mul": Mul,
    "truediv": Div,
    "floordiv": FloorDivide,
    "mod": Remainder,
    "pow": Pow,
}.items():
    setattr(Tensor, f"__{_name}__", _operator(_binary, f"__{_name}__"))
    setattr(Tensor, f"__r{_name}__", _reflected(_binary, f"__r{_name}__"))
    setattr(Tensor, f"__i{_name}__", _in_place_operator(_binary, f"__i{_name}__"))


def _power(self: Tensor, exponent: Any) -> Tensor:
    return arithmetic.power(self, exponent) if _is_operand(exponent) else NotImplemented


def _comparison(name: str) -> Callable:
    function = FUNCTIONS[name]

    def method(self: Tensor, other: Any) -> Tensor:
        return function(self, other) if _is_operand(other) else NotImplemented

    return method


for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Tensor, f"__{_name}__", _comparison(_name))
for _symbol in ("and", "or", "xor"):
    _function, _method = PLAIN_BINARY[f"bitwise_{_symbol}"]
    setattr(Tensor, f"__{_symbol}__", _function)
    setattr(Tensor, f"__r{_symbol}__", _function)
    setattr(Tensor, f"__i{_symbol}__", _method)


def _negated(self: Tensor) -> Tensor:
    return Neg().apply(self)


def _inverted(self: Tensor) -> Tensor:
    if self.is_floating_point():
        raise TypeError(
            "~ (operator.invert) is only implemented on integer and Boolean-type tensors"
        )
    return FUNCTIONS["bitwise_not"](self)


def _positive(self: Tensor) -> Tensor:
    return self


def _matrix_product(self: Tensor, other: Any) -> Tensor:
    return matmul.product(self, other) if isinstance(other, Tensor) else NotImplemented


# ---- in place ----


def zero_(self: Tensor) -> Tensor:
    """Fills with zeros."""
    return index.copy_(self, 0)


def fill_(self: Tensor, value: Any) -> Tensor:
    """Fills with one value, a number or a 0-d tensor."""
    if isinstance(value, Tensor) and value.ndim:
        raise RuntimeError(
            "fill_ only supports 0-dimension value tensor but got tensor with "
            f"{value.ndim} dimensions."
        )
    return index.copy_(self, value)


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """A copy with the value where the mask (bool, broadcast) holds."""
    if mask.dtype is not kinds.bool_:
        raise RuntimeError(
            f"masked_fill only supports boolean masks, but got mask with dtype {mask.dtype}"
        )
    value = operand(value, "masked_fill")
    if value.ndim:
        raise RuntimeError(
            "masked_fill only supports a 0-dimensional value tensor, but got tensor with "
            f"{value.ndim} dimension(s)."
        )
    if value.dtype is not input.dtype:
        value = to_dtype(value, input.dtype)
    return elementwise.where(mask, value, input)


def masked_fill_(self: Tensor, mask: Tensor, value: Any) -> Tensor:
    """The value in place where the mask (bool, broadcast) holds."""
    return self.copy_(masked_fill(self, mask, value))


def square_(self: Tensor) -> Tensor:
    """``square`` in place."""
    return unary.Square().apply_in_place(self)


def addcmul_(self: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """In place ``self + value * tensor1 * tensor2``."""
    return self.add_(tensor1 * tensor2, alpha=value)


def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """``input + weight * (end - input)``."""
    return input + (end - input) * weight


def lerp_(self: Tensor, end: Tensor, weight: Any) -> Tensor:
    """``lerp`` in place."""
    return self.copy_(lerp(self, end, weight))


def detach_(self: Tensor) -> Tensor:
    """Cuts this tensor off from its graph."""
    if self._view is not None:
        raise RuntimeError("Can't detach views in-place. Use detach() instead.")
    self._node = None
    self._requires_grad = False
    return self


# ---- autograd ----


def backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Adds the gradient of this tensor to the ``grad`` of the leaves that it was computed from."""
    autograd.backward(self, gradient, retain_graph, create_graph, inputs)


def grad_fn(self: Tensor) -> Node | None:
    """The node that made this tensor; None for a leaf."""
    if self._view is not None:
        from ..autograd.views import refresh

        refresh(self)
    node = self._node
    if type(node) is OutputOf:
        return node.edges[0]  # type: ignore[return-value]  # always the node of the whole op
    return node


def register_hook(self: Tensor, hook: Callable) -> RemovableHandle:
    """Calls ``hook(grad)`` when this tensor's gradient is complete; its result, if any, is used."""
    if not self._requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if self._node is not None:
        return self._node.register_hook(hook)
    return _register(_leaf_hooks(self)[0], hook)


def register_post_accumulate_grad_hook(self: Tensor, hook: Callable) -> RemovableHandle:
    """Calls ``hook(tensor)`` after this leaf's ``grad`` was updated by a backward pass."""
    if not self._requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if self._node is not None:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    return _register(_leaf_hooks(self)[1], hook)


def _leaf_hooks(tensor: Tensor) -> tuple[dict, dict]:
    if tensor._hooks is None:
        tensor._hooks = ({}, {})
    return tensor._hooks


def _register(hooks: dict[int, Callable], hook: Callable) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


def retains_grad(self: Tensor) -> bool:
    """Whether ``retain_grad`` was called on this tensor, which is not a leaf."""
    return self.__dict__.get("_retains_grad", False)


def retain_grad(self: Tensor) -> None:
    """Keeps ``grad`` for this tensor though it is not a leaf."""
    import weakref

    if not self._requires_grad:
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    if self._node is None or retains_grad(self):
        return
    reference = weakref.ref(self)  # the node must not keep its own result alive

    def keep(gradient: Tensor) -> None:
        tensor = reference()
        if tensor is not None:
            tensor._grad = gradient.clone() if tensor._grad is None else tensor._grad + gradient

    self._node.register_hook(keep)
    self.__dict__["_retains_grad"] = True


# ---- the rest ----


def _converter(kind: kinds.dtype) -> Callable:
    def method(self: Tensor) -> Tensor:
        return self if BY_CODE[self._array.dtype] is kind else to_dtype(self, kind)

    method.__doc__ = f"The tensor as {kind.name}."
    return method


def cpu(self: Tensor) -> Tensor:
    """The tensor itself: it is on the CPU."""
    return self


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape and elements."""
    return input.shape == other.shape and bool((input == other).all())


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether |input - other| <= atol + rtol |other| everywhere."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """Where |input - other| <= atol + rtol |other|."""
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{input.dtype} did not match {other.dtype}")
    close = input == other
    if input.is_floating_point():
        difference = (input.detach() - other.detach()).abs()
        close = close | (difference.isfinite() & (difference <= other.detach().abs() * rtol + atol))
        if equal_nan:
            close = close | (input.isnan() & other.isnan())
    else:
        close = close | ((input - other).abs().double() <= other.abs().double() * rtol + atol)
    return close


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a floating-point one."""
    return input.is_floating_point()


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.numel()


_export(shape, "reshape", "flatten", "unflatten", "transpose", "t", "permute", "movedim")
_export(shape, "squeeze", "unsqueeze", "broadcast_to", "narrow", "select", "unbind", "split")
_export(shape, "chunk", "cat", "stack", "flip", "roll", "clone", "as_strided")
_export(reduce, "sum", "mean", "prod", "max", "min", "amax", "amin", "argmax", "argmin", "any")
_export(reduce, "all", "var", "std", "logsumexp", "norm")
_export(index, "nonzero", "index_select", "gather", "scatter", "scatter_add", "masked_select")
_export(index, "take_along_dim")
_export(matmul, "matmul", "mm", "bmm", "mv", "dot", "outer", "addmm")
_export(creation, "tensor", "as_tensor", "from_numpy", "from_dlpack", "empty", "full", "zeros")
_export(creation, "ones", "empty_like", "full_like", "zeros_like", "ones_like", "arange")
_export(creation, "linspace", "eye", "tril", "triu", "result_type", "promote_types")
_export(random, "Generator", "default_generator", "manual_seed", "seed", "initial_seed")
_export(random, "get_rng_state", "set_rng_state", "rand", "randn", "randint", "randperm", "normal")
_export(random, "bernoulli", "rand_like", "randn_like")
FUNCTIONS |= {
    "concat": shape.cat,
    "concatenate": shape.cat,
    "masked_fill": masked_fill,
    "lerp": lerp,
    "equal": equal,
    "allclose": allclose,
    "isclose": isclose,
    "is_floating_point": is_floating_point,
    "is_tensor": is_tensor,
    "numel": numel,
}

METHODS: dict[str, Any] = {
    name: FUNCTIONS[name]
    for name in (
        *("add", "sub", "subtract", "div", "divide", "true_divide", "pow", "round", "clamp"),
        *("clip", "greater", "less", "not_equal", "greater_equal", "less_equal"),
        *("reshape", "flatten", "unflatten", "transpose", "t", "permute", "movedim", "squeeze"),
        *("unsqueeze", "broadcast_to", "narrow", "select", "unbind", "split", "chunk", "flip"),
        *("roll", "clone", "as_strided", "sum", "mean", "prod", "max", "min", "amax", "amin"),
        *("argmax", "argmin", "any", "all", "var", "std", "logsumexp", "norm", "nonzero"),
        *("index_select", "gather", "scatter", "scatter_add", "masked_select", "masked_fill"),
        *("take_along_dim", "matmul", "mm", "bmm", "mv", "dot", "outer", "addmm", "lerp"),
        *("equal", "allclose", "isclose", "tril", "triu", "bernoulli"),
    )
} | {
    "__pow__": _power,
    "__neg__": _negated,
    "__pos__": _positive,
    "__abs__": FUNCTIONS["abs"],
    "__invert__": _inverted,
    "__matmul__": _matrix_product,
    "__getitem__": index.getitem,
    "__setitem__": index.setitem,
    "add_": arithmetic.add_,
    "sub_": arithmetic.sub_,
    "div_": arithmetic.div_,
    "pow_": binary_in_place(Pow, "pow_"),
    "square_": square_,
    "round_": unary_in_place(unary.Round, "round_"),
    "clamp_": arithmetic.clamp_in_place,
    "clip_": arithmetic.clamp_in_place,
    "copy_": index.copy_,
    "zero_": zero_,
    "fill_": fill_,
    "masked_fill_": masked_fill_,
    "index_put_": index.index_put_,
    "scatter_": index.scatter_,
    "scatter_add_": index.scatter_add_,
    "addcmul_": addcmul_,
    "lerp_": lerp_,
    "detach_": detach_,
    "where": lambda self, condition, other: elementwise.where(condition, self, other),
    "view": shape.view,
    "view_as": shape.view_as,
    "reshape_as": shape.reshape_as,
    "expand": shape.expand,
    "expand_as": shape.expand_as,
    "repeat": shape.repeat,
    "contiguous": shape.contiguous,
    "sum_to_size": reduce.sum_to_size,
    "to": shape.to,
    "type_as": shape.type_as,
    "cpu": cpu,
    "mT": property(shape.mT),
    "T": property(shape.T),
    "new_empty": creation.new_empty,
    "new_full": creation.new_full,
    "new_zeros": creation.new_zeros,
    "new_ones": creation.new_ones,
    "new_tensor": creation.new_tensor,
    "uniform_": random.uniform_,
    "normal_": random.normal_,
    "bernoulli_": random.bernoulli_,
    "random_": random.random_,
    "float": _converter(kinds.float32),
    "double": _converter(kinds.float64),
    "long": _converter(kinds.int64),
    "int": _converter(kinds.int32),
    "byte": _converter(kinds.uint8),
    "bool": _converter(kinds.bool_),
    "backward": backward,
    "grad_fn": property(grad_fn),
    "register_hook": register_hook,
    "register_post_accumulate_grad_hook": register_post_accumulate_grad_hook,
    "retain_grad": retain_grad,
    "retains_grad": property(retains_grad),
}

for _name, _value in METHODS.items():
    setattr(Tensor, _name, _value)
