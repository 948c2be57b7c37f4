"""The passes over a recorded plan: which launches they leave, and that a replay keeps its bits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import minigrad as mg
from minigrad import kernels, nn
from minigrad.kernels import check, lib, record


def tensor(*shape, seed=0):
    return mg.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def same(a, b):
    a, b = a.numpy(), b.numpy()
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def seed_of_a_gradient(x):
    """The first gradient is a number, whatever the data."""
    w = x.detach().requires_grad_()
    (grad,) = mg.autograd.grad((w * w).sum(), w)
    return grad


def mask_of_constants(x):
    mask = mg.arange(4).reshape(1, 4) < mg.arange(3).reshape(3, 1)
    return mg.where(mask, x, 0.0)


def overwritten_constant(x):
    """A constant that is written to before it is read stays as it is."""
    zeros = mg.zeros(3, 4)
    before = zeros + 1
    zeros += x
    return before + zeros


def gradient_of_a_slice(x):
    """Zeros, then a copy into a part of them."""
    w = x.detach().requires_grad_()
    (grad,) = mg.autograd.grad((w[:, 1] * w[:, 1]).sum(), w)
    return grad


def partly_read_between(x):
    zeros = mg.zeros(3, 4)
    first = zeros * 2
    zeros[:, 1] = x[:, 2]
    second = zeros * 2
    zeros[:, 2] = x[:, 1]
    return first + second + zeros


def constant_and_result(x):
    """A constant that the function returns."""
    return mg.ones(3, 4) * 2 + 0 * x, mg.ones(2) + 1


def repeated_copies(x):
    a = x.t().contiguous() * 2
    b = x.t().contiguous() * 3
    return a + b


def repeated_after_a_write(x):
    y = x + 0
    a = y.t().contiguous()
    y += 1
    return a + y.t().contiguous()


def repeated_then_written(x):
    a = x.t().contiguous()
    b = x.t().contiguous()
    b += 1
    return a + b


def dead_results(x):
    (x * 5).exp()
    return x + 1


def chain(x):
    return ((x.exp() + 1).log() * x).tanh().relu()


def chain_with_broadcasts(x):
    row = x.sum(0)
    return (row * 2 + x) * row + x.sum() * (row + row)


def same_operand_twice(x):
    y = x + 1
    z = y * y
    return z + z.t().contiguous().t()


def operand_in_another_form(x):
    y = (x + 1)[:, :3].contiguous()
    return y + y.t()


# function, launches that stay out of those recorded (None: not said)
FUNCTIONS = [
    (seed_of_a_gradient, None),
    (mask_of_constants, 1),
    (overwritten_constant, None),
    (gradient_of_a_slice, None),
    (partly_read_between, None),
    (constant_and_result, 2),
    (repeated_copies, 4),
    (repeated_after_a_write, None),
    (repeated_then_written, None),
    (dead_results, 1),
    (chain, 6),
    (chain_with_broadcasts, None),
    (same_operand_twice, None),
    (operand_in_another_form, None),
]


@pytest.mark.parametrize(
    "function, left", FUNCTIONS, ids=lambda each: getattr(each, "__name__", "")
)
def test_passes_keep_the_bits(function, left):
    compiled = mg.compile(function)
    for seed in range(4):
        x = tensor(3, 4, seed=seed)
        wanted, found = function(x), compiled(x)
        if not isinstance(wanted, tuple):
            wanted, found = (wanted,), (found,)
        assert all(same(a, b) for a, b in zip(wanted, found, strict=True)), seed
    if left is not None:
        assert len(compiled.plan) == left


def test_constants_leave_a_training_step():
    """The gradient of a loss begins with a one that is computed once."""
    model = nn.Linear(4, 2)
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1)

    @mg.compile
    def step(x):
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()

    for _ in range(3):  # the optimizer's state begins with the first
        step(tensor(3, 4))
    assert "copy" not in step.plan.kernels()


def test_a_plan_without_a_function_around_it():
    """What Python still holds stays, however dead it looks."""
    x = tensor(3, 4)
    with record() as plan:
        kept = x * 2
        del_me = kept + 1
        del del_me
    check(lib.mg_plan_optimize(plan.handle))
    assert plan.kernels() == ["binary"]
    with mg.no_grad():
        x.copy_(tensor(3, 4, seed=9))
    plan.replay()
    assert same(kept, x * 2)
    check(lib.mg_plan_optimize(plan.handle))
    check(lib.mg_plan_pack(plan.handle))
    plan.replay()
    assert same(kept, x * 2)


def test_memory_is_taken_over():
    """A chain of elementwise results lives in one piece of memory."""
    compiled = mg.compile(lambda x: x.exp().log().tanh().sigmoid() + 1)
    x = tensor(100, 100)
    compiled(x)
    assert compiled.plan.bytes()[0] < 2 * 4 * 100 * 100
    assert same(compiled(x), x.exp().log().tanh().sigmoid() + 1)


def product_then_relu(x, w, bias):
    return nn.functional.linear(x, w, bias).relu()


def product_then_relu_backward(x, w, bias):
    """The product's mask is the output of a relu."""
    y = nn.functional.linear(x, w, bias)
    v = x.detach().requires_grad_()
    (grad,) = mg.autograd.grad(nn.functional.linear(v.relu(), w).sum(), v)
    hidden = x.detach().requires_grad_()
    (through,) = mg.autograd.grad((nn.functional.linear(hidden.relu(), w) * y).sum(), hidden)
    return grad, through, y


def product_read_twice(x, w, bias):
    y = nn.functional.linear(x, w, bias)
    return y.relu(), y


PRODUCTS = [
    # rows, k, columns: every kernel of the product, and edges of their blocks
    (32, 64, 64), (1, 8, 5), (2, 70, 40), (5, 9, 2), (40, 3, 1), (13, 17, 33), (50, 700, 37),
    (3, 1, 4), (0, 3, 4), (49, 40, 300), (4, 0, 5),
]  # fmt: skip


@pytest.mark.parametrize("function", [product_then_relu, product_then_relu_backward])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows, k, columns", PRODUCTS)
def test_relu_in_a_product(function, dtype, rows, k, columns):
    compiled = mg.compile(function)
    generator = np.random.default_rng(0)
    for _ in range(2):
        x, w, b = (
            generator.standard_normal(shape).astype(dtype)
            for shape in ((rows, k), (columns, k), (columns,))
        )
        x.reshape(-1)[:3] = (np.nan, np.inf, -0.0)[: x.size]
        arguments = [mg.tensor(each) for each in (x, w, b)]
        wanted, found = function(*arguments), compiled(*arguments)
        if not isinstance(wanted, tuple):
            wanted, found = (wanted,), (found,)
        assert all(same(p, q) for p, q in zip(wanted, found, strict=True))
    if function is product_then_relu and rows:
        assert compiled.plan.kernels() == ["matmul"]


def test_a_product_that_is_read_stays():
    compiled = mg.compile(product_read_twice)
    arguments = tensor(5, 6), tensor(7, 6, seed=1), tensor(7, seed=2)
    for _ in range(2):
        wanted, found = product_read_twice(*arguments), compiled(*arguments)
        assert all(same(p, q) for p, q in zip(wanted, found, strict=True))
    assert compiled.plan.kernels() == ["matmul", "unary"]


def test_a_perceptron_has_no_relu_left():
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = mg.optim.Adam(model.parameters())

    @mg.compile
    def step(x, y):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    for _ in range(3):
        step(tensor(5, 6), mg.tensor([0, 1, 2, 1, 0]))
    assert not {"unary", "binary", "copy"} & set(step.plan.kernels())


@pytest.mark.parametrize("sizes", [(6, 8, 3), (64, 200, 34), (200, 130, 65, 10)])
def test_threads_keep_the_bits(sizes):
    """Replays on one thread and on several, and those that choose between them, are eager."""

    def trained(threads, compiled):
        kernels.set_num_threads(threads)
        mg.manual_seed(1)
        layers = [nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
        model = nn.Sequential(*[each for layer in layers for each in (layer, nn.ReLU())])
        optimizer = mg.optim.Adam(model.parameters(), lr=0.01)

        def step(x):
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            optimizer.step()
            return loss.detach()

        run = mg.compile(step) if compiled else step
        x = tensor(96, sizes[0])
        losses = [run(x + i * 0.01).numpy().tobytes() for i in range(200)]
        return losses, [each.detach().numpy().tobytes() for each in model.parameters()]

    before = kernels.get_num_threads()
    try:
        wanted = trained(1, False)
        for threads in (1, 2, 3):
            assert trained(threads, True) == wanted, threads
    finally:
        kernels.set_num_threads(before)


def test_python_in_a_plan_is_called_every_time():
    """What a user's Function computes with NumPy may depend on anything."""
    calls = []

    class Counted(mg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            calls.append(1)
            return mg.tensor(x.numpy() * 0 + len(calls))

        @staticmethod
        def backward(ctx, grad):
            return grad

    def function(x):
        constant = mg.ones(3)
        Counted.apply(constant)
        return x + Counted.apply(constant) - Counted.apply(constant) + Counted.apply(x)

    compiled = mg.compile(function)
    x = tensor(3)
    compiled(x)  # recording tries the code once more
    for _ in range(3):
        calls.clear()
        wanted = function(x)
        calls.clear()
        assert same(wanted, compiled(x))
        assert len(calls) == 4
