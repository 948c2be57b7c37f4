"""The graph: its size, its lifetime, its nodes, and the gradient of a whole network."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import grad


def leaf(*values):
    return mg.tensor(list(values), dtype=mg.float64, requires_grad=True)


def check(tensor, wanted):
    np.testing.assert_allclose(tensor.detach().numpy(), wanted, rtol=1e-12)


# ---- the graph ----


class Cube(mg.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * grad_output


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
