"""Automatic differentiation: ``engine`` is the page to read first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..kernels import lib, own
from ..tensor import Tensor, wrap
from .engine import Node, accumulate, backward_pass, edge_of
from .function import Function, FunctionContext, once_differentiable
from .grad_mode import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .gradcheck import GradcheckError, gradcheck, gradgradcheck


def _tensors(values: Tensor | Sequence[Tensor]) -> list[Tensor]:
    return [values] if isinstance(values, Tensor) else list(values)


def _roots(outputs: list[Tensor], grad_outputs: Any) -> list[tuple[Tensor, Tensor]]:
    """Each output with its gradient: the given one, or 1 for a scalar."""
    if grad_outputs is None:
        given: list[Any] = [None] * len(outputs)
    else:
        given = _tensors(grad_outputs)
    if len(given) != len(outputs):
        raise RuntimeError(
            f"got {len(outputs)} tensors and {len(given)} gradients: give one gradient for each "
            "tensor"
        )
    return [
        (output, _root_gradient(index, output, given[index]))
        for index, output in enumerate(outputs)
    ]


def _root_gradient(index: int, output: Tensor, gradient: Tensor | None) -> Tensor:
    if not output._requires_grad:
        raise RuntimeError(
            f"element {index} of tensors does not require grad and does not have a grad_fn"
        )
    array = output._array
    if gradient is None:
        if array.size != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        return wrap(own(lib.mg_full(array.dtype, array.ndim, array.shape, _one())))
    if not lib.mg_same_shape(gradient._array, array):
        raise RuntimeError(
            f"Mismatch in shape: grad_output[{index}] has a shape of {list(gradient.shape)} and "
            f"output[{index}] has a shape of {list(output.shape)}."
        )
    return gradient if gradient._array.dtype == array.dtype else gradient.to(output.dtype)


def _one() -> Any:
    return own(lib.mg_scalar_float(1.0))


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Adds the gradients of the tensors to the ``grad`` of the leaves (or of the ``inputs`` only).

    A scalar needs no gradient of its own; any other tensor takes one of its shape in
    ``grad_tensors``. The graph is freed unless ``retain_graph``; with ``create_graph`` the
    gradients are part of a graph themselves.
    https://pytorch.org/docs/stable/generated/torch.autograd.backward.html
    """
    targets = None if inputs is None else _tensors(inputs)
    if targets is not None and not targets:
        raise RuntimeError("'inputs' argument to backward() cannot be empty.")
    gradients = backward_pass(
        _roots(_tensors(tensors), grad_tensors),
        retain_graph=create_graph if retain_graph is None else retain_graph,
        create_graph=create_graph,
        targets=targets,
    )
    if targets is not None:  # a target that was computed gets its gradient too
        gradients = {
            each: gradients[edge_of(each)] for each in targets if edge_of(each) in gradients
        }
    accumulate(gradients, create_graph)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of the sum of the outputs with respect to the inputs; ``grad`` of leaves stays.

    https://pytorch.org/docs/stable/generated/torch.autograd.grad.html
    """
    if is_grads_batched:
        raise NotImplementedError("autograd.grad: is_grads_batched is not supported; loop instead")
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, "
            "but got: allow_unused=False."
        )
    targets = _tensors(inputs)
    for each in targets:
        if not each._requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    gradients: Any = backward_pass(
        _roots(_tensors(outputs), grad_outputs),
        retain_graph=create_graph if retain_graph is None else retain_graph,
        create_graph=create_graph,
        targets=targets,
    )
    results = tuple(gradients.get(edge_of(each)) for each in targets)
    if materialize_grads:
        return tuple(
            each.detach().new_zeros(each.shape) if result is None else result
            for each, result in zip(targets, results, strict=True)
        )
    if not allow_unused and any(each is None for each in results):
        raise RuntimeError(
            "One of the differentiated Tensors appears to not have been used in the graph. Set "
            "allow_unused=True if this is the desired behavior."
        )
    return results


__all__ = [
    "Function",
    "FunctionContext",
    "GradcheckError",
    "Node",
    "backward",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "is_grad_enabled",
    "no_grad",
    "once_differentiable",
    "set_grad_enabled",
]
