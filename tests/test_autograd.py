"""The rules of the engine: leaves, accumulation, lifetimes of graphs, hooks, in-place changes."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import GradcheckError, grad, gradcheck, gradgradcheck


def leaf(*values):
    return mg.tensor(list(values), dtype=mg.float64, requires_grad=True)


def check(tensor, wanted):
    np.testing.assert_allclose(tensor.detach().numpy(), wanted, rtol=1e-12)


# ---- leaves and accumulation ----


def test_leaves():
    x = mg.ones(2, requires_grad=True)
    y = x * 2
    assert x.is_leaf and x.grad_fn is None and x.grad is None
    assert not y.is_leaf and y.requires_grad and y.grad_fn is not None
    constant = mg.ones(2)
    assert constant.is_leaf and not (constant * 2).requires_grad
    with pytest.raises(RuntimeError, match="leaf"):
        y.requires_grad = False
    with pytest.raises(RuntimeError, match="floating point"):
        mg.ones(2, dtype=mg.int64).requires_grad_()
    with pytest.raises(RuntimeError, match=r"floating point"):
        mg.tensor([1, 2], requires_grad=True)


def test_gradients_accumulate():
    x = leaf(1.0, 2.0)
    (x * 3).sum().backward()
    (x * x).sum().backward()
    check(x.grad, [5.0, 7.0])
    x.grad = None
    (x * 3).sum().backward()
    check(x.grad, [3.0, 3.0])


def test_accumulation_writes_into_the_same_tensor():
    x = leaf(1.0)
    x.sum().backward()
    first = x.grad
    x.sum().backward()
    assert x.grad is first
    check(first, [2.0])


def test_a_gradient_is_not_shared_between_leaves():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (x + y).backward(mg.ones(2, dtype=mg.float64))
    x.grad.add_(1)
    check(x.grad, [2.0, 2.0])
    check(y.grad, [1.0, 1.0])


def test_the_gradient_given_is_not_changed():
    x = leaf(1.0, 2.0)
    seed = mg.ones(2, dtype=mg.float64)
    x.clone().backward(seed)
    x.clone().backward(seed)
    check(seed, [1.0, 1.0])
    check(x.grad, [2.0, 2.0])


def test_one_tensor_used_several_times():
    x = leaf(3.0)
    y = x * x * x + x
    y.sum().backward()
    check(x.grad, [28.0])
    x = leaf(2.0)
    a = x * x
    ((a + a) * a).sum().backward()  # 2 x^4
    check(x.grad, [64.0])


def test_broadcast_gradients_are_summed():
    x, y = leaf(1.0, 2.0, 3.0), mg.tensor([[2.0], [5.0]], dtype=mg.float64, requires_grad=True)
    (x * y).sum().backward()
    check(x.grad, [7.0] * 3)
    check(y.grad, [[6.0], [6.0]])


def test_the_gradient_has_the_dtype_and_shape_of_its_leaf():
    x = mg.ones(3, requires_grad=True)
    y = mg.ones(3, dtype=mg.float64, requires_grad=True)
    (x * y).sum().backward()
    assert x.grad.dtype == mg.float32 and y.grad.dtype == mg.float64
    assert x.grad.shape == x.shape


def test_grad_can_be_assigned():
    x = mg.ones(2, requires_grad=True)
    x.grad = mg.full((2,), 7.0)
    x.sum().backward()
    check(x.grad, [8.0, 8.0])
    with pytest.raises(RuntimeError):
        x.grad = mg.ones(3)
    with pytest.raises(RuntimeError):
        x.grad = mg.ones(2, dtype=mg.float64)
    with pytest.raises(TypeError):
        x.grad = 1.0


# ---- backward() and grad() ----


def test_only_scalars_have_an_implicit_gradient():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="scalar"):
        (x * 2).backward()
    (x * 2).backward(mg.tensor([1.0, 10.0], dtype=mg.float64))
    check(x.grad, [2.0, 20.0])
    with pytest.raises(RuntimeError, match=r"shape|[Mm]ismatch"):
        (x * 2).backward(mg.ones(3, dtype=mg.float64))
    with pytest.raises(RuntimeError, match="does not require grad"):
        mg.ones(1).sum().backward()


def test_second_backward_raises_unless_retained():
    x = leaf(2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    check(x.grad, [8.0])
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_second_backward_works_where_nothing_was_saved():
    x = leaf(2.0)
    y = (x + 1).sum()
    y.backward()
    y.backward()
    check(x.grad, [2.0])


def test_create_graph():
    x = leaf(2.0, 3.0)
    (first,) = grad((x**3).sum(), x, create_graph=True)
    check(first, [12.0, 27.0])
    (second,) = grad(first.sum(), x, create_graph=True)
    check(second, [12.0, 18.0])
    (third,) = grad(second.sum(), x)
    check(third, [6.0, 6.0])
    assert not third.requires_grad
    assert x.grad is None


def test_backward_with_create_graph():
    x = leaf(2.0)
    (x**3).sum().backward(create_graph=True)
    assert x.grad.requires_grad
    (second,) = grad(x.grad.sum(), x)
    check(second, [12.0])


def test_grad_of_unused_inputs():
    x, y = leaf(1.0), leaf(1.0)
    z = (x * 2).sum()
    with pytest.raises(RuntimeError, match=r"unused|not have been used"):
        grad(z, [x, y], retain_graph=True)
    gradients = grad(z, [x, y], allow_unused=True, retain_graph=True)
    assert gradients[1] is None
    check(gradients[0], [2.0])
    check(grad(z, [x, y], materialize_grads=True)[1], [0.0])


def test_grad_with_respect_to_what_was_computed():
    x = leaf(2.0)
    y = x * x
    z = (y * 3).sum()
    (of_y,) = grad(z, y, retain_graph=True)
    check(of_y, [3.0])
    of_y, of_x = grad(z, [y, x])
    check(of_y, [3.0])
    check(of_x, [12.0])
    check(grad(y.sum(), y)[0], [1.0])


def test_backward_with_inputs_leaves_the_others_alone():
    x, y = leaf(2.0), leaf(3.0)
    (x * y).sum().backward(inputs=[x])
    check(x.grad, [3.0])
    assert y.grad is None


def test_several_roots():
    x = leaf(2.0)
    mg.autograd.backward([(x * 2).sum(), (x * x).sum()])
    check(x.grad, [6.0])
    (of_x,) = grad([x * 2, x * 3], x, [mg.ones(1, dtype=mg.float64)] * 2)
    check(of_x, [5.0])


def test_backward_of_a_leaf():
    x = leaf(2.0)
    x.sum().backward()
    y = mg.tensor(3.0, requires_grad=True)
    y.backward()
    check(y.grad, 1.0)


def test_nodes_run_after_all_that_use_their_result():
    """A diamond with arms of different length: each node runs once, with its complete gradient."""
    order = []
    x = leaf(1.0)
    a = x * 2
    b = a * 3
    c = ((a + 1) * 1 + 0) * 5
    y = b + c
    for name, tensor in {"a": a, "b": b, "c": c, "y": y}.items():
        tensor.register_hook(lambda g, name=name: order.append((name, g.item())))
    y.sum().backward()
    assert [name for name, _ in order] == ["y", "c", "b", "a"]
    assert dict(order) == {"y": 1.0, "c": 1.0, "b": 1.0, "a": 8.0}


# ---- switching it off ----


def test_no_grad():
    x = leaf(1.0)
    with mg.no_grad():
        assert not mg.is_grad_enabled()
        y = x * 2
        assert not y.requires_grad
        with mg.enable_grad():
            assert (x * 2).requires_grad
        assert not mg.is_grad_enabled()
        assert mg.ones(1, requires_grad=True).requires_grad
    assert (x * 2).requires_grad


def test_no_grad_ends_with_an_exception():
    with pytest.raises(ValueError), mg.no_grad():
        raise ValueError
    assert mg.is_grad_enabled()


def test_decorators():
    x = leaf(1.0)

    @mg.no_grad()
    def quiet(t):
        """Docstring."""
        return t * 2

    @mg.enable_grad()
    def loud(t):
        return t * 2

    assert not quiet(x).requires_grad
    assert quiet.__name__ == "quiet" and quiet.__doc__ == "Docstring."
    with mg.no_grad():
        assert loud(x).requires_grad


def test_set_grad_enabled():
    x = leaf(1.0)
    with mg.set_grad_enabled(False):
        assert not (x * 2).requires_grad
    mg.set_grad_enabled(False)
    try:
        assert not (x * 2).requires_grad
    finally:
        mg.set_grad_enabled(True)


def test_grad_mode_belongs_to_a_thread():
    import threading

    seen = []
    with mg.no_grad():
        thread = threading.Thread(target=lambda: seen.append(mg.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_detach():
    x = leaf(2.0)
    y = (x * 3).detach()
    assert not y.requires_grad and y.is_leaf
    (x * y).sum().backward()
    check(x.grad, [6.0])
    x.detach()[0] = 9.0  # the same memory
    check(x, [9.0])


# ---- hooks ----


def test_hooks_run_in_order_and_replace_the_gradient():
    x = leaf(1.0)
    calls = []
    x.register_hook(lambda g: calls.append("first") or g * 2)
    second = x.register_hook(lambda g: calls.append("second") or g + 1)
    x.register_hook(lambda g: calls.append("third") and None)
    (x * 3).sum().backward()
    assert calls == ["first", "second", "third"]
    check(x.grad, [7.0])
    second.remove()
    x.grad = None
    (x * 3).sum().backward()
    check(x.grad, [6.0])


def test_hooks_of_computed_tensors():
    x = leaf(1.0)
    y = x * 2
    seen = []
    handle = y.register_hook(lambda g: seen.append(g.item()))
    (y * 5).sum().backward(retain_graph=True)
    assert seen == [5.0]
    y.register_hook(lambda g: g * 10)
    handle.remove()
    x.grad = None
    (y * 5).sum().backward()
    assert seen == [5.0]
    check(x.grad, [100.0])


def test_a_hook_sees_the_whole_gradient_once():
    x = leaf(1.0)
    seen = []
    x.register_hook(lambda g: seen.append(g.item()))
    (x * 2 + x * 3 + x * 4).sum().backward()
    assert seen == [9.0]


def test_a_hook_needs_a_gradient():
    with pytest.raises(RuntimeError, match="require"):
        mg.ones(1).register_hook(lambda g: g)


def test_retain_grad():
    x = leaf(2.0)
    y = x * 3
    y.retain_grad()
    assert y.retains_grad and not (x * 1).retains_grad
    (y * y).sum().backward()
    check(y.grad, [12.0])
    check(x.grad, [36.0])
    x.retain_grad()  # of a leaf: nothing to do
    with pytest.raises(RuntimeError, match=r"retain_grad|requires_grad"):
        mg.ones(1).retain_grad()


# ---- in-place changes ----


def test_an_in_place_change_of_a_saved_value_raises_and_names_the_op():
    x = leaf(1.0, 2.0)
    y = x.exp()
    z = y * 2
    y.add_(1)
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation.*add") as error:
        (z + y).sum().backward()
    assert "Exp" in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.mul_(2),
        lambda t: t.zero_(),
        lambda t: t.copy_(mg.zeros(2, dtype=mg.float64)),
        lambda t: t.__setitem__(0, 5.0),
        lambda t: t[1:].fill_(3.0),
        lambda t: t.view(2, 1).mul_(3),
        lambda t: t.detach().mul_(2),
        lambda t: t.relu_(),
    ],
    ids=["mul_", "zero_", "copy_", "setitem", "fill_ of a view", "view", "detached", "relu_"],
)
def test_every_way_to_change_a_saved_value_is_noticed(change):
    x = leaf(1.0, 2.0)
    value = mg.tensor([3.0, 4.0], dtype=mg.float64)
    y = x * value
    with mg.no_grad():
        change(value)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_change_before_the_value_is_saved_is_fine():
    x = leaf(1.0, 2.0)
    y = x.clone()
    y.add_(1)
    (y * y).sum().backward()
    check(x.grad, [4.0, 6.0])


def test_a_change_that_backward_does_not_need_is_fine():
    x = leaf(1.0, 2.0)
    y = x * 3
    y.add_(1).mul_(2)  # neither saves y
    y.sum().backward()
    check(x.grad, [6.0, 6.0])


def test_in_place_operations_are_differentiated():
    x = leaf(1.0, 2.0)
    y = x.clone()
    y *= x
    y += 3
    y[0] = 5.0
    y.sum().backward()
    check(x.grad, [0.0, 4.0])


def test_a_leaf_that_requires_grad_is_protected():
    x = leaf(1.0, 2.0)
    for change in (
        lambda: x.add_(1),
        lambda: x.__setitem__(0, 1.0),
        lambda: x[:1].mul_(2),
        lambda: x.view(2, 1).zero_(),
    ):
        with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
            change()
    with mg.no_grad():
        x.add_(1)
    check(x, [2.0, 3.0])
    assert x.requires_grad and x.is_leaf


def test_a_leaf_becomes_a_result_by_an_in_place_op_with_a_gradient():
    x, buffer = leaf(1.0, 2.0), mg.zeros(2, dtype=mg.float64)
    buffer.add_(x * 3)
    assert buffer.requires_grad and not buffer.is_leaf
    buffer.sum().backward()
    check(x.grad, [3.0, 3.0])


def test_an_in_place_change_of_a_view_reaches_the_base():
    x = mg.ones(2, 3, dtype=mg.float64, requires_grad=True)
    base = x * 2
    base[0].mul_(10)
    check(base, [[20.0] * 3, [2.0] * 3])
    (base * mg.tensor([[1.0], [2.0]], dtype=mg.float64)).sum().backward()
    check(x.grad, [[20.0] * 3, [4.0] * 3])


def test_an_in_place_change_of_the_base_reaches_a_view():
    x = leaf(1.0, 2.0, 3.0)
    base = x * 2
    view = base[1:]
    base.mul_(5)
    check(view, [20.0, 30.0])
    view.sum().backward()
    check(x.grad, [0.0, 10.0, 10.0])


def test_an_in_place_change_of_a_view_reaches_another_view():
    x = mg.ones(4, dtype=mg.float64, requires_grad=True)
    base = x * 1
    first, second = base[:3], base[2:]
    first.mul_(7)
    check(second, [7.0, 1.0])
    second.sum().backward()
    check(x.grad, [0.0, 0.0, 7.0, 1.0])


def test_in_place_changes_of_views_of_views():
    x = mg.ones(2, 2, dtype=mg.float64, requires_grad=True)
    base = x * 1
    base.t()[0].mul_(3)  # the first column
    base.view(-1)[3:].add_(x[0, 0])
    base.sum().backward()
    check(x.grad, [[4.0, 1.0], [3.0, 1.0]])


def test_writing_a_computed_value_into_a_constant_through_a_view():
    x = leaf(1.0, 2.0)
    base = mg.zeros(3, dtype=mg.float64)
    base[1:] = x * 2
    assert base.requires_grad
    (base * base).sum().backward()
    check(x.grad, [8.0, 16.0])


def test_double_backward_through_in_place_changes():
    x = leaf(0.5, -1.5, 2.0)

    def function(x):
        y = x * x
        y[1:].mul_(x[:2])
        y[0] = x[2] ** 3
        return y.exp()

    assert gradcheck(function, (x,))
    assert gradgradcheck(function, (x,))


def test_versions():
    x = mg.zeros(2, 3)
    before = x._version
    x[0].fill_(1)
    assert x._version == before + 1
    assert x.view(-1)._version == x._version
    assert x.detach()._version == x._version
    assert x.clone()._version == 0


# ---- the graph ----


def test_a_chain_of_100_000_nodes():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    y.sum().backward()
    check(x.grad, [1.0])
    del y  # freeing it must not recurse either


def test_a_long_chain_that_saves_values_is_freed_without_backward():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y * 1.0
    reference = weakref.ref(y)
    del y
    assert reference() is None


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_a_graph_is_freed_by_reference_counts(no_collector):
    x = leaf(1.0, 2.0)
    held = []

    def run():
        a = x.exp()
        b = (a * a).tanh()
        c = mg.cat([b, a[:1]]).view(3, 1) @ mg.ones(1, 2, dtype=mg.float64)
        parts = c.unbind(1)
        y = parts[0].sum() + mg.nn.functional.cross_entropy(c, mg.tensor([0, 1, 0]))
        held.extend(weakref.ref(each) for each in (a, b, c, y, *parts))
        held.extend(weakref.ref(each.grad_fn) for each in (a, b, c, y))
        return y

    y = run()
    y.backward()
    del y
    assert [each() for each in held] == [None] * len(held)


def test_a_graph_with_everything_in_it_leaves_no_garbage(no_collector):
    """Views, in-place changes, hooks, a custom function, second derivatives: no cycles."""
    x = leaf(1.0, 2.0, 3.0)

    def run():
        y = x * 2
        y[1:].mul_(3)
        y.register_hook(lambda g: g)
        z = Cube.apply(y)
        (first,) = grad(z.sum(), x, create_graph=True)
        (first * first).sum().backward()

    run()
    x.grad = None
    gc.collect()
    run()
    x.grad = None
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        garbage = [each for each in gc.garbage if type(each).__module__.startswith("minigrad")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert garbage == []


def test_saved_memory_is_freed_by_backward():
    x = mg.ones(250_000, requires_grad=True)
    y = (x * 2).exp().sum()
    live = mg.kernels.memory_statistics()["live"]
    y.backward()
    freed = live - mg.kernels.memory_statistics()["live"]
    assert freed >= 0  # exp's result is gone, x.grad has come


def test_names_of_nodes():
    x = leaf(1.0)
    y = x * 2
    assert y.grad_fn.name() == "MulBackward0"
    assert (x + 1).grad_fn.name() == "AddBackward0"
    assert x.exp().grad_fn.name() == "ExpBackward0"
    assert "MulBackward0" in repr(y)
    (next_node, index), *_ = (y + 1).grad_fn.next_functions
    assert next_node.name() == "MulBackward0" and index == 0


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
        return mg.from_numpy(ctx.slope * grad_output.numpy())


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
        grad(first.sum(), x)


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


# ---- a whole network ----


@pytest.mark.parametrize("regularization", [0.0, 0.7])
def test_gradients_of_a_whole_network(regularization):
    """A small network of every kind of layer, every parameter against central differences: relative
    error of the whole gradient at most 1e-6."""
    functional = mg.nn.functional
    rng = np.random.default_rng(5)

    def parameter(*shape):
        values = rng.standard_normal(shape) * 0.5
        return mg.tensor(values, dtype=mg.float64, requires_grad=True)

    parameters = [
        parameter(3, 1, 3, 3),
        parameter(3),
        parameter(3),
        parameter(3),
        parameter(6, 12),
        parameter(6),
        parameter(4, 6),
        parameter(4),
    ]
    x = mg.tensor(rng.standard_normal((5, 1, 6, 6)))
    target = mg.tensor(rng.integers(0, 4, 5))

    def loss():
        kernel, kernel_bias, scale, shift, w1, b1, w2, b2 = parameters
        h = functional.conv2d(x, kernel, kernel_bias)
        h = functional.batch_norm(h, None, None, scale, shift, training=True)
        h = functional.max_pool2d(functional.relu(h), 2).flatten(1)
        h = mg.tanh(functional.linear(h, w1, b1))
        result = functional.cross_entropy(functional.linear(h, w2, b2), target)
        penalty = sum((p * p).sum() for p in parameters)
        return result + regularization / 2 * penalty

    analytical = np.concatenate([g.numpy().ravel() for g in grad(loss(), parameters)])
    numerical = []
    eps = 1e-5
    with mg.no_grad():
        for each in parameters:
            values = each.detach().numpy()
            for position in np.ndindex(values.shape):
                original = values[position]
                values[position] = original + eps
                above = loss().item()
                values[position] = original - eps
                below = loss().item()
                values[position] = original
                numerical.append((above - below) / (2 * eps))
    numerical = np.array(numerical)
    difference = np.linalg.norm(analytical - numerical)
    assert difference / (np.linalg.norm(analytical) + np.linalg.norm(numerical)) <= 1e-6
