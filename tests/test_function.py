"""Custom functions, and gradcheck itself."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import GradcheckError, grad, gradcheck, gradgradcheck


def leaf(*values):
    return mg.tensor(list(values), dtype=mg.float64, requires_grad=True)


def check(tensor, wanted):
    np.testing.assert_allclose(tensor.detach().numpy(), wanted, rtol=1e-12)


# ---- custom functions ----


class Cube(mg.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * grad_output


class NumpyCos(mg.autograd.Function):
    """Leaves for NumPy in both directions."""

    @staticmethod
    def forward(ctx, x):
        values = x.detach().numpy()
        ctx.slope = -np.sin(values)
        return mg.from_numpy(np.cos(values))

    @staticmethod
    @mg.autograd.function.once_differentiable
    def backward(ctx, grad_output):
        return mg.from_numpy(ctx.slope * grad_output.detach().numpy())


def test_a_custom_function():
    x = leaf(1.0, 2.0)
    y = Cube.apply(x)
    assert y.grad_fn.name() == "CubeBackward"
    y.sum().backward()
    check(x.grad, [3.0, 12.0])
    assert gradcheck(Cube.apply, (x,))
    assert gradgradcheck(Cube.apply, (x,))
    with pytest.raises(RuntimeError, match="second time"):
        y.sum().backward()


def test_a_custom_function_with_numpy_inside():
    x = leaf(0.3, 1.2)
    (NumpyCos.apply(x) * 2).sum().backward()
    check(x.grad, -2 * np.sin([0.3, 1.2]))
    assert gradcheck(NumpyCos.apply, (x,))
    (first,) = grad((NumpyCos.apply(x) * x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=r"once_differentiable|twice"):
        first.sum().backward()


def test_a_saved_output():
    class Exp(mg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, grad_output):
            (y,) = ctx.saved_tensors
            return grad_output * y

    x = leaf(0.5, 1.0)
    assert gradcheck(Exp.apply, (x,))
    assert gradgradcheck(Exp.apply, (x,))


def test_needs_input_grad_and_arguments_that_are_no_tensors():
    seen = []

    class Scale(mg.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor, y):
            ctx.factor = factor
            return x * factor + y

        @staticmethod
        def backward(ctx, grad_output):
            seen.append(ctx.needs_input_grad)
            return grad_output * ctx.factor, None, grad_output

    x, y = leaf(1.0), mg.ones(1, dtype=mg.float64)
    Scale.apply(x, 4, y).sum().backward()
    check(x.grad, [4.0])
    assert seen == [(True, False, False)]


def test_several_outputs_and_non_differentiable_ones():
    class Split(mg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            top, index = x.max(0)
            ctx.mark_non_differentiable(index)
            ctx.index = index
            ctx.shape = x.shape
            return x * 2, top, index

        @staticmethod
        def backward(ctx, of_double, of_top, of_index):
            result = of_double * 2
            result[ctx.index] = result[ctx.index] + of_top
            return result

    x = leaf(1.0, 5.0)
    double, top, index = Split.apply(x)
    assert double.requires_grad and top.requires_grad and not index.requires_grad
    (double.sum() + 3 * top).backward()
    check(x.grad, [2.0, 5.0])
    x.grad = None
    Split.apply(x)[1].backward()  # the gradient of the unused output is zeros
    check(x.grad, [0.0, 1.0])


def test_set_materialize_grads():
    seen = []

    class Two(mg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 1, x * 2

        @staticmethod
        def backward(ctx, a, b):
            seen.append((a is None, b is None))
            return b * 2 if a is None else a

    x = leaf(1.0)
    Two.apply(x)[1].sum().backward()
    assert seen == [(True, False)]
    check(x.grad, [2.0])


def test_setup_context():
    class Square(mg.autograd.Function):
        @staticmethod
        def forward(x):
            return x * x

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, grad_output):
            (x,) = ctx.saved_tensors
            return 2 * x * grad_output

    assert gradcheck(Square.apply, (leaf(1.5),))


def test_errors_of_custom_functions():
    class TooFew(mg.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, grad_output):
            return grad_output

    with pytest.raises(RuntimeError, match="incorrect number of gradients"):
        TooFew.apply(leaf(1.0), leaf(2.0)).sum().backward()

    class WrongShape(mg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, grad_output):
            return mg.ones(5, dtype=mg.float64)

    with pytest.raises(RuntimeError, match="invalid gradient"):
        WrongShape.apply(leaf(1.0, 2.0)).sum().backward()


def test_a_saved_tensor_that_was_changed_raises():
    x = leaf(1.0)
    y = x * 1
    z = Cube.apply(y)
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_an_exception_in_backward_leaves_the_engine_usable():
    class Fails(mg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, grad_output):
            raise ValueError("not today")

    x = leaf(1.0)
    with pytest.raises(ValueError, match="not today"):
        Fails.apply(x).sum().backward()
    (x * 2).sum().backward()
    check(x.grad, [2.0])


# ---- gradcheck itself ----


class Wrong(mg.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * x

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output * 3


def test_gradcheck_finds_a_wrong_gradient():
    x = leaf(1.0, 2.0)
    with pytest.raises(GradcheckError, match=r"numerical.*\n.*\n*analytical") as error:
        gradcheck(Wrong.apply, (x,))
    assert "Jacobian mismatch for output 0 with respect to input 0" in str(error.value)
    assert gradcheck(Wrong.apply, (x,), raise_exception=False) is False
    check(x, [1.0, 2.0])


def test_gradcheck_of_several_inputs_and_outputs():
    a, b = leaf(0.3, 0.4), leaf(1.5)
    constant = mg.ones(2, dtype=mg.float64)
    assert gradcheck(lambda x, c, y: (x * y + c, x.sum(), c * 2), (a, constant, b))
    assert gradcheck(lambda x: x.t(), mg.zeros(2, 0, dtype=mg.float64, requires_grad=True))


def test_gradcheck_needs_an_input_to_check():
    with pytest.raises(ValueError, match="require"):
        gradcheck(lambda x: x, (mg.ones(2),))


def test_gradcheck_warns_of_float32():
    with pytest.warns(UserWarning, match="double precision"):
        gradcheck(lambda x: x * 2, (mg.ones(2, requires_grad=True),), eps=1e-2, atol=1e-2)


def test_gradgradcheck_finds_a_wrong_second_derivative():
    class HalfWrong(mg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, grad_output):
            (x,) = ctx.saved_tensors
            return 3 * x.detach() ** 2 * grad_output

    x = leaf(1.0, 2.0)
    assert gradcheck(HalfWrong.apply, (x,))
    with pytest.raises(GradcheckError):
        gradgradcheck(HalfWrong.apply, (x,))
