"""`minigrad.compile`: NumPy inside a user's `autograd.Function` is called by the plan."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.autograd import Function
from minigrad.functional import cross_entropy
from minigrad.kernels import RecordingError


class NumpyTanh(Function):
    """Both ways in NumPy, a Python value in between."""

    @staticmethod
    def forward(ctx, x):
        ctx.y = np.tanh(x.detach().numpy())
        return mg.tensor(ctx.y)

    @staticmethod
    def backward(ctx, grad):
        return mg.tensor(grad.numpy() * (1 - ctx.y**2))


class NumpyForward(Function):
    @staticmethod
    def forward(ctx, x):
        y = mg.tensor(np.tanh(x.detach().numpy()))
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx, grad):
        _, y = ctx.saved_tensors
        return grad * (1 - y * y)


class NumpyBackward(Function):
    @staticmethod
    def forward(ctx, x):
        y = x.tanh()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, grad):
        (y,) = ctx.saved_tensors
        return mg.tensor(grad.numpy() * (1 - y.detach().numpy() ** 2))


class InTensors(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.y = x.tanh()
        return ctx.y

    @staticmethod
    def backward(ctx, grad):
        return grad * (1 - ctx.y * ctx.y)


class WithContext(Function):
    """Several results, some without a gradient; an intermediate value is saved."""

    @staticmethod
    def forward(x, scale):
        a = x.detach().numpy()
        return mg.tensor(np.tanh(a * scale)), mg.tensor(np.argsort(a, 1)), x

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, ctx.scale = inputs
        ctx.save_for_backward(x * 1.0, output[0])
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx, grad, _, same):
        x, y = ctx.saved_tensors
        assert np.allclose(np.tanh(x.detach().numpy() * ctx.scale), y.detach().numpy(), atol=1e-6)
        return grad * (1 - y * y) * ctx.scale + same, None


def chosen(x):
    y, order, same = WithContext.apply(x, 0.5)
    return y * order.to(mg.float32) + same


FUNCTIONS = {
    "both": (NumpyTanh.apply, 4),
    "forward": (NumpyForward.apply, 4),
    "backward": (NumpyBackward.apply, 2),
    "none": (InTensors.apply, 0),
    "context": (chosen, 4),
}


def batches(count, size=8):
    rng = np.random.default_rng(5)
    for _ in range(count):
        x = rng.standard_normal((size, 6)).astype(np.float32)
        yield mg.tensor(x), mg.tensor(rng.integers(0, 3, size))


def train(apply, how, steps=30):
    mg.manual_seed(0)
    first, second = nn.Linear(6, 5), nn.Linear(5, 3)
    parameters = [*first.parameters(), *second.parameters()]
    optimizer = optim.Adam(parameters, lr=0.05)

    def loss_of(x, y):
        hidden = apply(apply(nn.functional.dropout(first(x), 0.2)))
        return cross_entropy(second(hidden), y)

    def step(x, y):
        optimizer.zero_grad()
        loss = loss_of(x, y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    compiled = None
    if how == "step":
        step = compiled = mg.compile(step)
    elif how == "loss":
        loss_of = compiled = mg.compile(loss_of)
    losses = [step(x, y).item() for x, y in batches(steps)]
    return [np.array(losses), *(p.detach().numpy().copy() for p in parameters)], compiled


@pytest.mark.parametrize("how", ["step", "loss"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_training_is_that_of_eager(name, how):
    apply, count = FUNCTIONS[name]
    expected, _ = train(apply, "eager")
    found, compiled = train(apply, how)
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, b)
    recording = compiled.recordings[0]
    assert recording is compiled._last and len(compiled.recordings) <= 2
    segments = list(recording.segments)
    if how == "loss":
        segments += [s for plan in recording.graph._plans.values() for s in plan.segments]
    assert len(segments) == count
    kernels = recording.plan.kernels()
    assert kernels.count("host") == len(recording.segments)


def test_segments_have_names_and_places():
    f = mg.compile(lambda x: NumpyTanh.apply(x * 2) + 1)
    f(mg.ones(2))
    (segment,) = f.recordings[0].segments
    assert segment.name == "NumpyTanh.forward" and segment.position == 1
    assert f.recordings[0].plan.kernels() == ["binary", "host", "binary"]


def test_the_code_runs_once_in_each_replay():
    calls = []

    class Count(Function):
        @staticmethod
        def forward(ctx, x):
            values = x.numpy()
            calls.append(values.copy())
            return mg.tensor(values * 2)

    f = mg.compile(lambda x: Count.apply(x) + 1)
    for i in range(4):
        assert f(mg.full((2,), float(i))).tolist() == [2 * i + 1] * 2
    assert [c[0] for c in calls] == [0, 1, 2, 3]


def failing(kind):
    class Failing(Function):
        @staticmethod
        def forward(ctx, x):
            value = x.numpy()[0]
            if value == 2:
                raise KeyError("mine")
            if kind == "shape" and value == 3:
                return mg.zeros(7)
            if kind == "dtype" and value == 3:
                return mg.zeros(2, dtype=mg.float64)
            if kind == "count" and value == 3:
                return mg.zeros(2), mg.zeros(2)
            return mg.tensor(x.numpy() * 2)

    return Failing.apply


@pytest.mark.parametrize("kind", ["shape", "dtype", "count"])
def test_exceptions_of_a_segment(kind):
    apply = failing(kind)
    f = mg.compile(lambda x: apply(x * 1) + 1)
    for _ in range(2):
        assert f(mg.ones(2)).tolist() == [3, 3]
        with pytest.raises(KeyError, match="mine"):
            f(mg.full((2,), 2.0))
        with pytest.raises(RuntimeError, match="recorded"):
            f(mg.full((2,), 3.0))
    assert f(mg.full((2,), 4.0)).tolist() == [9, 9]


class ChangesFirst(Function):
    @staticmethod
    def forward(ctx, x):
        x.add_(1.0)
        return mg.tensor(x.numpy() * 2)


class DrawsFirst(Function):
    @staticmethod
    def forward(ctx, x):
        noise = mg.rand(2)
        return mg.tensor((x + noise).numpy())


class ReturnsANumber(Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2, float(x.sum())


@pytest.mark.parametrize("function", [ChangesFirst, DrawsFirst, ReturnsANumber])
def test_what_no_segment_can_do(function):
    f = mg.compile(lambda x: function.apply(x * 1)[0] * 1)
    with pytest.raises(RecordingError):
        f(mg.ones(2))
    assert mg.ones(2).tolist() == [1, 1]  # nothing is being recorded any more


def test_second_derivatives_of_a_segment_are_refused():
    w = mg.ones(2, requires_grad=True)

    @mg.compile
    def f(x):
        (slope,) = mg.autograd.grad(NumpyBackward.apply(w * x).sum(), w, create_graph=True)
        return mg.autograd.grad(slope.sum(), w, allow_unused=True)[0]

    with pytest.raises((RecordingError, RuntimeError)):
        f(mg.ones(2))


def test_a_segment_that_calls_compiled_functions():
    inner = mg.compile(lambda x: x * 3)

    class Calls(Function):
        @staticmethod
        def forward(ctx, x):
            return mg.tensor(inner(x.detach()).numpy())

    outer = mg.compile(lambda x: Calls.apply(x) + 1)
    for i in range(4):
        assert outer(mg.full((2,), float(i))).tolist() == [3 * i + 1] * 2
    assert len(inner.recordings) == 1


def test_a_segment_that_calls_its_own_function():
    class Down(Function):
        @staticmethod
        def forward(ctx, x):
            return mg.tensor(f(x * 0.5).numpy()) if x.numpy()[0] >= 1 else x.clone()

    f = mg.compile(lambda x: Down.apply(x) + 1)
    eager = f.function
    for value in (8.0, 4.0, 0.5, 16.0):
        assert f(mg.full((1,), value)).item() == eager(mg.full((1,), value)).item()
