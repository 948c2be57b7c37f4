"""`minigrad.compile`: results that require gradients, gradients at arguments, compiled modules."""

from __future__ import annotations

import copy
import gc
import io
import multiprocessing
import os
import pickle
import signal
import threading
import time

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.autograd import Function
from minigrad.functional import cross_entropy


def network():
    return nn.Sequential(
        nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3)
    )


def batches(count, size=8):
    rng = np.random.default_rng(5)
    for _ in range(count):
        x = rng.standard_normal((size, 6)).astype(np.float32)
        yield mg.tensor(x), mg.tensor(rng.integers(0, 3, size))


def assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


# How a loop may use a compiled part: (model, compile or not) -> function of a batch, its loss.
def module(model, compiled):
    f = compiled(model)
    return lambda x, y: cross_entropy(f(x), y)


def loss_function(model, compiled):
    return compiled(lambda x, y: cross_entropy(model(x), y))


def several_results(model, compiled):
    def f(x, y):
        logits = model(x)
        return cross_entropy(logits, y), {"logits": logits, "norm": logits.square().mean()}

    f = compiled(f)

    def loss(x, y):
        value, more = f(x, y)
        return value + 0.1 * more["norm"]

    return loss


def parts_one_after_another(model, compiled):
    first, second = compiled(model[:3]), compiled(model[3:])
    return lambda x, y: cross_entropy(second(first(x)), y)


def two_calls_then_backward(model, compiled):
    f = compiled(model)
    return lambda x, y: cross_entropy(f(x), y) + f(x * 2).square().mean()


def only_the_second_result(model, compiled):
    f = compiled(lambda x, y: (model(x).log(), cross_entropy(model(x), y)))
    return lambda x, y: f(x, y)[1]


def inner_uncompiled(model, compiled):
    f = compiled(model)
    return lambda x, y: cross_entropy(f(x), y) + sum(p.square().sum() for p in model.parameters())


USES = [
    module,
    loss_function,
    several_results,
    parts_one_after_another,
    two_calls_then_backward,
    only_the_second_result,
]
ORDERS = {
    "zero_grad first": ("zero", "loss", "backward", "step"),
    "zero_grad before backward": ("loss", "zero", "backward", "step"),
    "zero_grad last": ("loss", "backward", "step", "zero"),
    "gathered": ("loss", "backward", "loss", "backward", "step", "zero"),
}


def train(use, compiled, order=ORDERS["zero_grad first"], steps=100):
    mg.manual_seed(3)
    model = network()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    loss = use(model, compiled)
    found = []
    for x, y in batches(steps):
        for action in order:
            if action == "zero":
                optimizer.zero_grad()
            elif action == "loss":
                value = loss(x, y)
            elif action == "backward":
                value.backward()
            else:
                optimizer.step()
        found.append(value.item())
    return [np.array(found), *(value.numpy().copy() for value in model.state_dict().values())]


@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
def test_training_loops_are_those_of_eager(use):
    with np.errstate(invalid="ignore"):
        assert_same(train(use, lambda f: f), train(use, mg.compile))


@pytest.mark.parametrize("name", ORDERS)
def test_the_order_of_a_loop(name):
    order = ORDERS[name]
    assert_same(train(module, lambda f: f, order, 20), train(module, mg.compile, order, 20))


def test_a_leaf_used_outside_too():
    """Its gradient is summed in another order than eagerly: equal but for rounding."""
    pairs = zip(
        train(inner_uncompiled, lambda f: f, steps=10),
        train(inner_uncompiled, mg.compile, steps=10),
        strict=True,
    )
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_loop_needs_no_recording_after_the_first_steps():
    model = network()
    f = mg.compile(model)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    counts = []
    for x, y in batches(20):
        loss = cross_entropy(f(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        counts.append(len(f.recordings))
    assert counts[-1] == 2 == counts[2]  # without gradients at first, then with them
    assert len(f.recordings[0].graph.plans) == 1


def test_backward_twice():
    w = mg.tensor([2.0, 3.0], requires_grad=True)
    f = mg.compile(lambda x: (w * w * x).sum())
    for _ in range(3):
        w.grad = None
        loss = f(mg.ones(2))
        loss.backward(retain_graph=True)
        loss.backward()
        assert w.grad.tolist() == [8, 12]
        with pytest.raises(RuntimeError, match="second time"):
            loss.backward()


def test_calls_whose_backward_is_still_to_come_have_memory_of_their_own():
    w = mg.tensor([2.0], requires_grad=True)
    f = mg.compile(lambda x: (w * x).exp().sum())
    for _ in range(2):
        losses = [f(mg.full((1,), i / 10)) for i in range(12)]
        for i, loss in reversed(list(enumerate(losses))):
            (grad,) = mg.autograd.grad(loss, w)
            x = mg.full((1,), i / 10)
            (expected,) = mg.autograd.grad((w * x).exp().sum(), w)
            assert grad.item() == expected.item()
        assert len(f.recordings) <= 5


def test_results_without_backward_do_not_keep_it_busy():
    model = nn.Linear(2, 2)
    f = mg.compile(model)
    for _ in range(10):
        y = f(mg.ones(1, 2))
    assert y.requires_grad and len(f.recordings) == 2  # the name y keeps one while the next runs


def test_double_backward_is_refused():
    w = mg.tensor([2.0], requires_grad=True)
    f = mg.compile(lambda x: (w * w * w * x).sum())
    (grad,) = mg.autograd.grad(f(mg.ones(1)), w, create_graph=True)
    assert grad.item() == 12
    with pytest.raises(RuntimeError, match="inside the compiled function"):
        mg.autograd.grad(grad.sum(), w)


def test_changes_between_forward_and_backward_are_noticed():
    w = mg.tensor([2.0], requires_grad=True)
    f = mg.compile(lambda x: (w * w * x).sum())
    for _ in range(3):
        loss = f(mg.ones(1))
        with mg.no_grad():
            w.add_(1.0)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()
        loss = f(mg.ones(1))
        loss.backward()


def test_results_changed_in_place():
    """They are copies: what backward needs stays."""
    w = mg.tensor([0.5], requires_grad=True)
    f = mg.compile(lambda x: (w * x).exp())
    for _ in range(3):
        w.grad = None
        y = f(mg.ones(1))
        y.mul_(2.0)
        y.sum().backward()
        np.testing.assert_allclose(w.grad.numpy(), 2 * np.exp(0.5), rtol=1e-6)


def test_gradients_of_arguments():
    w = mg.tensor([2.0, 3.0], requires_grad=True)
    f = mg.compile(lambda x, y: (w * x * y).exp())
    for value in (0.1, 0.2, 0.3):
        x = mg.full((2,), value, requires_grad=True)
        source = mg.full((2,), value + 1, requires_grad=True)
        found = mg.autograd.grad(f(x, source * 2).sum(), [x, source, w])
        expected = mg.autograd.grad((w * x * (source * 2)).exp().sum(), [x, source, w])
        assert_same([g.numpy() for g in found], [g.numpy() for g in expected])
        (alone,) = mg.autograd.grad(f(mg.full((2,), value), x)[0], x)
        assert alone.tolist()[1] == 0
    assert len(f.recordings) == 2


def test_layouts_of_incoming_gradients():
    w = mg.ones(3, 4, requires_grad=True)
    f = mg.compile(lambda x: x @ w)
    x = mg.randn(2, 3)
    for _ in range(2):
        for reduce in (
            lambda y: y.sum(),
            lambda y: (y * y).sum(),
            lambda y: (y.t() * mg.arange(8.0).reshape(4, 2)).sum(),
        ):
            (found,) = mg.autograd.grad(reduce(f(x)), w)
            (expected,) = mg.autograd.grad(reduce(x @ w), w)
            np.testing.assert_array_equal(found.numpy(), expected.numpy())


def test_hooks_of_leaves_and_results():
    seen = []
    w = mg.tensor([2.0], requires_grad=True)
    w.register_hook(lambda g: g * 10)
    f = mg.compile(lambda x: w * x)
    for i in range(3):
        w.grad = None
        y = f(mg.full((1,), 3.0))
        y.register_hook(lambda g: seen.append(g.item()))
        (y * (i + 1)).sum().backward()
        assert w.grad.tolist() == [30.0 * (i + 1)]
    assert seen == [1, 2, 3]


def test_state_with_a_history():
    """A tensor that was computed outside passes gradients on."""
    w = mg.tensor([2.0], requires_grad=True)

    class Holder:
        pass

    holder = Holder()
    f = mg.compile(lambda x: (holder.value * x).sum())
    for i in range(4):
        holder.value = w * w
        (found,) = mg.autograd.grad(f(mg.full((1,), float(i))), w)
        assert found.item() == 4 * i


# ---- gradients that a call leaves at arguments ----


def leave(x, y):
    (x * y).exp().sum().backward()


def leave_twice(x, y):
    (x * y).sum().backward(inputs=[x])
    (x * x * y).sum().backward(inputs=[x])


def leave_through_twice(x, y):
    (x * y).sum().backward(retain_graph=True)
    (x * x * y).sum().backward()


def leave_afresh(x, y):
    x.grad = None
    (x * y).sum().backward()


def drop(x, y):
    x.grad = None
    return y * 2


@pytest.mark.parametrize("function", [leave, leave_twice, leave_through_twice, leave_afresh, drop])
@pytest.mark.parametrize("kind", ["leaf", "hooked", "computed"])
def test_gradients_left_at_arguments(function, kind):
    results = []
    for compiled in (False, True):
        f = mg.compile(function) if compiled else function
        leaf = mg.tensor([0.5, 0.25, 1.0], requires_grad=True)
        if kind == "hooked":
            leaf.register_hook(lambda g: g * 3)
        found = []
        for i in range(6):
            x = leaf * 2 if kind == "computed" else leaf
            f(x, mg.full((3,), float(i)))
            found.append(np.zeros(0) if leaf.grad is None else leaf.grad.numpy().copy())
            if i == 3:
                leaf.grad = None
        results.append(found)
    assert_same(*results)


# ---- views ----


def test_views_of_state_and_arguments():
    w = mg.arange(6.0).reshape(2, 3).requires_grad_()

    @mg.compile
    def f(x):
        return w[1], w.detach().t(), x[:, 0], x.t(), x + 1

    for offset in range(3):
        base = mg.arange(12.0 + offset)[offset:].reshape(4, 3)
        row, turned, column, swapped, new = f(base)
        assert row.requires_grad and not turned.requires_grad and not new.requires_grad
        (grad,) = mg.autograd.grad((row * mg.tensor([1.0, 2.0, 3.0])).sum(), w)
        assert grad.tolist() == [[0, 0, 0], [1, 2, 3]]
        column.fill_(7.0)  # the memory of the argument
        assert base[:, 0].tolist() == [7] * 4 and swapped.tolist()[0] == [7] * 4
        turned.add_(1.0)
        assert w[0, 0].item() == offset + 1
    assert len(f.recordings) == 1


def test_the_same_tensor_twice_and_parameters_as_arguments():
    p = nn.Parameter(mg.tensor([2.0, 3.0]))
    f = mg.compile(lambda a, b: (a * b).sum())
    for _ in range(3):
        p.grad = None
        f(p, p).backward()
        assert p.grad.tolist() == [4, 6]
        p.grad = None
        f(p, p.detach()).backward()
        assert p.grad.tolist() == [2, 3]
    assert len(f.recordings) <= 4


# ---- compiled modules ----


def test_a_compiled_module_is_a_module():
    model = network()
    compiled = mg.compile(model)
    assert isinstance(compiled, nn.Module) and repr(compiled).startswith("OptimizedModule(")
    assert list(compiled.state_dict()) == ["_orig_mod." + key for key in model.state_dict()]
    assert list(compiled.parameters()) == list(model.parameters())
    assert compiled[0] is model[0] and len(compiled) == 5
    compiled.eval()
    assert not model.training and not model[1].training and not compiled.training
    model.train()
    assert compiled.training
    compiled.extra = 3
    assert model.extra == 3 and compiled.extra == 3
    with pytest.raises(AttributeError):
        compiled.missing  # noqa: B018
    compiled.load_state_dict({k: mg.zeros_like(v) for k, v in compiled.state_dict().items()})
    assert model[0].weight.abs().sum().item() == 0
    seen = []
    handle = compiled.register_forward_hook(lambda *_: seen.append(1))
    compiled(mg.ones(4, 6))
    handle.remove()
    compiled(mg.ones(4, 6))
    assert seen == [1]


def test_copies_of_compiled_modules():
    model = mg.compile(network().eval())
    x = mg.randn(4, 6)
    expected = model(x).detach().numpy()
    stream = io.BytesIO(pickle.dumps(model))
    for other in (copy.deepcopy(model), pickle.load(stream)):
        assert other[0].weight is not model[0].weight
        np.testing.assert_array_equal(other(x).detach().numpy(), expected)
        with mg.no_grad():
            other[4].bias.add_(1.0)
            np.testing.assert_allclose(other(x).numpy(), expected + 1, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(model(x).detach().numpy(), expected)


class WithCompiledMethod(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 3)
        self.forward = mg.compile(self.forward)

    def forward(self, x):
        return self.inner(x)


@mg.compile
def doubled(x):
    return x * 2


def test_copies_of_compiled_functions():
    model = WithCompiledMethod()
    model(mg.ones(1, 3))
    other = copy.deepcopy(model)
    with mg.no_grad():
        other.inner.weight.zero_()
        other.inner.bias.zero_()
    for _ in range(2):
        assert other(mg.ones(1, 3)).abs().sum().item() == 0
        assert model(mg.ones(1, 3)).abs().sum().item() != 0
    assert pickle.loads(pickle.dumps(doubled)) is doubled
    assert copy.deepcopy(doubled)(mg.ones(1)).item() == 2


def test_memory_does_not_grow():
    model = network()
    f = mg.compile(model)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    lives = []
    for x, y in batches(60):
        cross_entropy(f(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()
        lives.append(mg.kernels.memory_statistics()["live"])
    assert max(lives[5:]) <= lives[4] == lives[5], lives
    gc.collect()
    before = mg.kernels.memory_statistics()["live"]
    del f
    gc.collect()
    assert mg.kernels.memory_statistics()["live"] < before


# ---- calls of many forms ----


class Settings:
    def __init__(self, factor):
        self.factor = factor


def test_calls_of_many_forms_replay_the_last_recording():
    settings, other = Settings(2.0), Settings(3.0)

    @mg.compile
    def f(*parts, table=None, settings=settings, flag=True):
        total = parts[0] * settings.factor
        for each in parts[1:]:
            total = total + each
        return (total + table["a"][0]) if flag else total

    x, y = mg.ones(2), mg.full((2,), 5.0)
    for _ in range(3):
        assert f(x, y, table={"a": [x]}).tolist() == [8, 8]
    assert len(f.recordings) == 1
    assert f(x, y, table={"a": [y]}).tolist() == [12, 12]  # y twice: another recording
    assert f(x, x, table={"a": [y]}).tolist() == [8, 8]
    assert f(x, y, y, table={"a": [x]}).tolist() == [13, 13]
    assert f(x, y, table={"a": [x]}, flag=False).tolist() == [7, 7]
    assert f(x, y, table={"a": [x]}, flag=1).tolist() == [8, 8]
    assert f(x, y, table={"a": [x]}, settings=other).tolist() == [9, 9]
    other.factor = 4.0
    assert f(x, y, table={"a": [x]}, settings=other).tolist() == [10, 10]
    assert f(x, y, table={"a": (x,)}).tolist() == [8, 8]
    for value in (0.0, -0.0, float("nan")):
        g = mg.compile(lambda x, by: x / by)
        for by in (value, -value, 1.0, value):
            expected = (x / by).numpy()
            np.testing.assert_array_equal(g(x, by=by).numpy(), expected)


def test_an_argument_that_the_function_reaches_too():
    total = mg.zeros(2)

    @mg.compile
    def f(x):
        total.add_(1.0)
        return x * 2

    for i in range(1, 3):
        assert f(mg.ones(2)).tolist() == [2, 2] and total.tolist() == [2 * i - 1] * 2
        assert f(total).tolist() == [4 * i, 4 * i]


def test_recursion():
    @mg.compile
    def power(x, n):
        return x * power(x, n - 1) if n else mg.ones_like(x)

    for value in (2.0, 3.0):
        assert power(mg.full((1,), value), 3).item() == value**3


def test_an_exception_leaves_the_function_usable():
    model = nn.Linear(2, 2)
    optimizer = optim.Adam(model.parameters())

    @mg.compile
    def step(x, fail):
        optimizer.zero_grad()
        loss = model(x).square().sum()
        loss.backward()
        if fail:
            raise ValueError("mine")
        optimizer.step()
        return loss

    before = model.weight.detach().clone()
    with pytest.raises(ValueError, match="mine"):
        step(mg.ones(1, 2), True)
    assert model.weight.grad is not None and model.weight.tolist() == before.tolist()
    for _ in range(3):
        step(mg.ones(1, 2), False)
    with pytest.raises(ValueError, match="mine"):
        step(mg.ones(1, 2), True)
    assert step.plan is not None


# ---- processes ----


def training():
    mg.manual_seed(4)
    model = network()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    forward = mg.compile(lambda x, y: cross_entropy(model(x), y))

    @mg.compile
    def step(x, y):
        optimizer.zero_grad()
        loss = cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def run(count):
        losses = []
        for x, y in batches(count):
            losses.append(step(x, y).item())
            optimizer.zero_grad()
            loss = forward(x, y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    return run


def worker(run, queue):
    queue.put(run(5))


def test_a_forked_child_goes_on():
    run = training()
    run(3)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=worker, args=(run, queue)) for _ in range(2)]
    for child in children:
        child.start()
    found = [queue.get(timeout=60) for _ in children]
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    expected = run(5)  # the parent's own, which the children have not touched
    assert found == [expected, expected]


def test_a_fork_while_another_thread_replays():
    f = mg.compile(lambda x: (x * 2).sum())
    x = mg.ones(20000)
    f(x), f(x)
    stop = threading.Event()

    def replay():
        while not stop.is_set():
            f(x)

    thread = threading.Thread(target=replay)
    thread.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                os._exit(0 if f(x).item() == 40000 else 1)
            deadline = time.monotonic() + 30
            while True:
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    break
                if time.monotonic() > deadline:
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                    raise AssertionError("the child hangs")
                time.sleep(0.01)
            assert os.waitstatus_to_exitcode(status) == 0
    finally:
        stop.set()
        thread.join()


# ---- users' own backward functions and hooks ----


class LeavesGradients(Function):
    """Its backward calls backward() on a graph of its own, as recomputation does."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x)
        ctx.w = w
        return (x * w).exp()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        inner = x.detach().requires_grad_()
        with mg.enable_grad():
            (inner * weight_of_gradients).exp().backward(grad)
        return inner.grad, None


weight_of_gradients = mg.tensor([0.5, 0.25], requires_grad=True)


def test_a_backward_that_leaves_gradients():
    w = weight_of_gradients
    results = []
    for compiled in (False, True):
        f = lambda x, s: LeavesGradients.apply(x * s, w.detach()).sum()  # noqa: E731
        f = mg.compile(f) if compiled else f
        s = mg.tensor([1.0, 2.0], requires_grad=True)
        w.grad = None
        found = []
        for i in range(4):
            f(mg.full((2,), i / 4), s).backward()
            found += [w.grad.numpy().copy(), s.grad.numpy().copy()]
        results.append(found)
    w.grad = None
    assert_same(*results)


def test_hooks_of_modules():
    results = []
    for compiled in (False, True):
        mg.manual_seed(2)
        model = network()
        model[0].register_full_backward_hook(
            lambda m, gi, go: tuple(None if g is None else g * 2 for g in gi)
        )
        model[2].register_forward_hook(lambda m, args, out: out * 1.5)
        model[4].weight.register_hook(lambda g: g * 3)
        f = mg.compile(model) if compiled else model
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        found = []
        for x, y in batches(10):
            x.requires_grad_()
            loss = cross_entropy(f(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found += [loss.detach().numpy(), x.grad.numpy()]
        results.append([*found, *(p.detach().numpy().copy() for p in model.parameters())])
    assert_same(*results)
