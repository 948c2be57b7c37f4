"""The rules of the engine: leaves, accumulation, backward, switching it off, hooks."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import grad


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
