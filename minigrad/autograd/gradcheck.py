"""Gradients against central differences, as torch.autograd.gradcheck does it.

For an output y of m elements and an input x of n elements the Jacobian J[i, j] = dy_j / dx_i is
found twice: *analytical*, column by column, by a backward pass with a one-hot grad_output;
*numerical*, row by row, as (y(x + eps e_i) - y(x - eps e_i)) / (2 eps). Use float64: in float32 the
differences drown in rounding.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


class GradcheckError(RuntimeError):
    """Raised by `gradcheck` and `gradgradcheck` where gradients are wrong."""


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Compares the gradients of ``func(*inputs)`` with central differences.

    Args:
        func: takes the inputs, returns a tensor or a sequence of tensors.
        inputs: a tensor or a sequence; those with ``requires_grad`` are checked.
        eps: the step of the differences.
        atol, rtol: entries agree where ``|analytical - numerical| <= atol + rtol * |numerical|``.
        raise_exception: False returns False instead of raising `GradcheckError`.
        nondet_tol: by how much two backward passes with the same grad_output may differ.
        check_grad_dtypes: also demands that a gradient has its input's dtype.
        check_undefined_grad, fast_mode, masked: accepted and without effect; the check is always
            the full one.
        check_batched_grad, check_batched_forward_grad, check_forward_ad: not supported.

    Returns:
        True where all gradients agree.

    Raises:
        GradcheckError: a Jacobian differs; the message holds both.
        ValueError: no input requires a gradient.
        NotImplementedError: an unsupported check was asked for.
    """
    if not check_backward_ad:
        raise NotImplementedError("gradcheck: only backward derivatives exist to be checked")
    if check_batched_grad or check_batched_forward_grad or check_forward_ad:
        raise NotImplementedError("gradcheck: neither batched nor forward derivatives exist")
    arguments = (inputs,) if _is_tensor(inputs) else tuple(inputs)
    wanted = _differentiable_inputs(arguments)
    try:
        _check(func, arguments, wanted, eps, atol, rtol, nondet_tol, check_grad_dtypes)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Compares second derivatives with central differences of the first: `gradcheck` of the
    function ``inputs, grad_outputs -> gradients of inputs``.

    Args:
        grad_outputs: a tensor, or one for each output, which take part in the check where they
            require a gradient; None takes random ones that do.
        gen_non_contig_grad_outputs: makes the random ones non-contiguous.
        check_fwd_over_rev: not supported.

    The other arguments, the result and the errors are those of `gradcheck`.
    """
    if check_fwd_over_rev or not check_rev_over_rev:
        raise NotImplementedError("gradgradcheck: only reverse over reverse mode is supported")
    arguments = (inputs,) if _is_tensor(inputs) else tuple(inputs)
    if grad_outputs is None:
        outputs = _differentiable_outputs(func(*arguments))
        generator = np.random.default_rng(0)
        given = tuple(
            _random_like(output, generator, gen_non_contig_grad_outputs) for output in outputs
        )
    else:
        given = (grad_outputs,) if _is_tensor(grad_outputs) else tuple(grad_outputs)

    def gradients(*values: Any) -> tuple[Any, ...]:
        own = values[: len(arguments)]
        outputs = _differentiable_outputs(func(*own))
        sources = [value for value in own if _is_tensor(value) and value.requires_grad]
        found = _grad()(
            outputs, sources, values[len(arguments) :], create_graph=True, allow_unused=True
        )
        return tuple(each for each in found if each is not None)

    return gradcheck(
        gradients,
        (*arguments, *given),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad,
        fast_mode=fast_mode,
        masked=masked,
    )


def _grad() -> Callable[..., Any]:
    from . import grad  # this package re-exports gradcheck, so not at import time

    return grad


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "requires_grad") and hasattr(value, "grad_fn")


def _differentiable_inputs(arguments: tuple[Any, ...]) -> list[int]:
    """The positions of the inputs to check."""
    wanted = []
    for index, value in enumerate(arguments):
        if not (_is_tensor(value) and value.requires_grad):
            continue
        wanted.append(index)
        if value.dtype.itemsize < 8:
            warnings.warn(
                f"Input #{index} requires gradient and is not a double precision floating point: "
                "the check will likely fail.",
                stacklevel=3,
            )
        if value.numel() and any(
            stride == 0 < size - 1 for size, stride in zip(value.shape, value.stride(), strict=True)
        ):
            raise RuntimeError(
                f"The {index}th input has a dimension with stride 0. gradcheck only supports "
                "inputs that are non-overlapping to be able to compute the numerical gradients "
                "correctly. You should call .contiguous on the input before passing it to "
                "gradcheck."
            )
    if not wanted:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, "
            "but none of the them have requires_grad=True."
        )
    return wanted


def _differentiable_outputs(result: Any) -> tuple[Any, ...]:
    outputs = (result,) if _is_tensor(result) else tuple(result)
    return tuple(each for each in outputs if _is_tensor(each) and each.requires_grad)


def _like(tensor: Any, values: np.ndarray | float) -> Any:
    """A detached tensor of the same shape and dtype with these values."""
    made = tensor.detach().clone()
    made.numpy()[...] = values
    return made


def _random_like(tensor: Any, generator: np.random.Generator, gaps: bool) -> Any:
    """A leaf of random values in the tensor's shape; with gaps, every second of its memory."""
    made = _like(tensor, generator.standard_normal(tuple(tensor.shape)))
    if gaps and made.ndim:
        wide = made.unsqueeze(-1).expand(*made.shape, 2).clone()
        made = wide.select(-1, 0)
    return made.requires_grad_()


# ---- the two Jacobians ----


def _check(
    func: Callable[..., Any],
    arguments: tuple[Any, ...],
    wanted: list[int],
    eps: float,
    atol: float,
    rtol: float,
    nondet_tol: float,
    check_grad_dtypes: bool,
) -> None:
    result = func(*arguments)
    outputs = _differentiable_outputs(result)
    numerical = [_numerical_jacobians(func, arguments, index, eps) for index in wanted]
    if not outputs:
        for jacobians in numerical:
            if any(np.any(jacobian != 0) for jacobian in jacobians):
                raise GradcheckError("Numerical gradient for function expected to be zero")
        return
    sources = [arguments[index] for index in wanted]
    for number, output in enumerate(outputs):
        analytical = _analytical_jacobians(output, sources, check_grad_dtypes)
        again = _analytical_jacobians(output, sources, check_grad_dtypes)
        for place, index in enumerate(wanted):
            expected = numerical[place][number]
            if not np.allclose(analytical[place], expected, rtol, atol, equal_nan=True):
                raise GradcheckError(
                    _mismatch(number, index, expected, analytical[place], atol, rtol)
                )
            if not np.allclose(again[place], analytical[place], 0.0, nondet_tol, equal_nan=True):
                raise GradcheckError(
                    "Backward is not reentrant, i.e., running backward with same input and "
                    "grad_output multiple times gives different values, although analytical "
                    f"gradient matches numerical gradient. The tolerance for nondeterminism was "
                    f"{nondet_tol}."
                )


def _numerical_jacobians(
    func: Callable[..., Any], arguments: tuple[Any, ...], index: int, eps: float
) -> list[np.ndarray]:
    """dy/dx for input number `index` and every differentiable output: shapes (n, m).

    The values are changed through NumPy, behind autograd's back: a version counter that advanced
    would forbid graphs that this very input is part of.
    """
    values = arguments[index].detach().numpy()

    def outputs() -> list[np.ndarray]:
        found = func(*arguments)
        every = (found,) if _is_tensor(found) else tuple(found)
        chosen = _differentiable_outputs(every) or [y for y in every if _is_tensor(y)]
        return [y.detach().numpy().astype(np.float64).ravel() for y in chosen]

    rows: list[list[np.ndarray]] = []
    for position in np.ndindex(values.shape):
        original = values[position]
        values[position] = original + eps
        above, step_up = outputs(), float(values[position])
        values[position] = original - eps
        below, step_down = outputs(), float(values[position])
        values[position] = original
        rows.append(
            [(y1 - y0) / (step_up - step_down) for y1, y0 in zip(above, below, strict=True)]
        )
    if not rows:
        return [np.zeros((0, y.size)) for y in outputs()]
    return [np.stack(column) for column in zip(*rows, strict=True)]


def _analytical_jacobians(
    output: Any, sources: Sequence[Any], check_grad_dtypes: bool
) -> list[np.ndarray]:
    """dy/dx of one output for each source, shapes (n, m), one backward pass a column."""
    grad = _grad()
    jacobians = [np.zeros((source.numel(), output.numel())) for source in sources]
    for column, position in enumerate(np.ndindex(tuple(output.shape))):
        one_hot = _like(output, 0.0)
        one_hot.numpy()[position] = 1.0
        found = grad([output], sources, [one_hot], retain_graph=True, allow_unused=True)
        for jacobian, source, gradient in zip(jacobians, sources, found, strict=True):
            if gradient is None:
                continue
            if tuple(gradient.shape) != tuple(source.shape):
                raise GradcheckError(
                    f"Analytical gradient has incorrect size: {tuple(gradient.shape)} for an input "
                    f"of shape {tuple(source.shape)}"
                )
            if check_grad_dtypes and gradient.dtype != source.dtype:
                raise GradcheckError("Analytical gradient has incorrect dtype")
            jacobian[:, column] = gradient.detach().numpy().ravel()
    return jacobians


def _mismatch(
    output: int,
    index: int,
    numerical: np.ndarray,
    analytical: np.ndarray,
    atol: float,
    rtol: float,
) -> str:
    difference = np.abs(analytical - numerical)
    excess = np.where(np.isnan(difference), np.inf, difference - atol - rtol * np.abs(numerical))
    row, column = np.unravel_index(int(np.argmax(excess)), excess.shape)
    return (
        f"Jacobian mismatch for output {output} with respect to input {index},\n"
        f"numerical:{numerical}\n"
        f"analytical:{analytical}\n"
        f"The worst entry is [{row}, {column}], the derivative of output element {column} by input "
        f"element {row}: numerical {numerical[row, column]}, analytical {analytical[row, column]}."
    )
