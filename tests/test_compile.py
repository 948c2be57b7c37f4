"""`minigrad.compile`: replay is eager, bit for bit; what a recording depends on; errors."""

from __future__ import annotations

import gc
import itertools
import threading
import warnings
import weakref
from collections import deque

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.kernels import RecordingError

OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda p: optim.Adam(p, lr=0.01),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.1, amsgrad=True),
}


def network():
    return nn.Sequential(
        nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3)
    )


def batches(count, size=8):
    rng = np.random.default_rng(5)
    for _ in range(count):
        x = rng.standard_normal((size, 6)).astype(np.float32)
        yield mg.tensor(x), mg.tensor(rng.integers(0, 3, size))


class Training:
    """A model, its optimizer, and a step that is compiled or not."""

    def __init__(self, compiled, make_optimizer=OPTIMIZERS["Adam"], wrap=lambda step: step):
        mg.manual_seed(3)
        self.model = model = network()
        self.optimizer = optimizer = make_optimizer(model.parameters())

        def step(x, y):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss.detach()

        self.step = mg.compile(wrap(step)) if compiled else wrap(step)

    def values(self):
        return [value.numpy().copy() for value in self.model.state_dict().values()]


def assert_same(first, second):
    for a, b in itertools.zip_longest(first, second):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_thousand_steps_are_those_of_eager(name):
    results = []
    for compiled in (False, True):
        training = Training(compiled, OPTIMIZERS[name])
        losses = [training.step(x, y).item() for x, y in batches(1000)]
        results.append([np.array(losses), *training.values()])
    assert_same(*results)
    assert len(training.step.recordings) == 1 and training.step.plan is not None


def test_sizes_of_batches_have_recordings_of_their_own():
    results = []
    for compiled in (False, True):
        training = Training(compiled)
        losses = [
            training.step(x, y).item()
            for size in (8, 8, 5, 8, 5, 3, 8)
            for x, y in batches(2, size)
        ]
        results.append([np.array(losses), *training.values()])
    assert_same(*results)
    assert len(training.step.recordings) == 3


def test_the_least_recently_used_recording_goes():
    calls = deque()  # a deque is not looked into: filling it is no change

    @mg.compile(plans=2)
    def double(x):
        calls.append(len(x))
        return x * 2

    for size in (1, 2, 1, 3, 1, 2):
        assert double(mg.ones(size)).tolist() == [2] * size
    assert list(calls) == [1, 2, 3, 2] and len(double.recordings) == 2


def test_results_are_values_of_their_own():
    @mg.compile
    def double(x):
        return x * 2

    first, second = double(mg.ones(2)), double(mg.full((2,), 3.0))
    third = double(mg.full((2,), 4.0))
    assert [t.tolist() for t in (first, second, third)] == [[2, 2], [6, 6], [8, 8]]


def test_nested_arguments_and_results():
    @mg.compile
    def mixed(pair, *, table, power=2, name="a"):
        x, y = pair
        return {"sum": x + y, "parts": [x**power, (y, name)], "more": (table["z"] * 2, None)}

    for value in (1.0, 2.0, 3.0):
        x, y, z = mg.full((2,), value), mg.full((2,), value + 1), mg.full((3,), value + 2)
        found = mixed((x, y), table={"z": z}, power=3)
        assert found["sum"].tolist() == [2 * value + 1] * 2
        assert found["parts"][0].tolist() == [value**3] * 2
        assert found["parts"][1][0] is y and found["parts"][1][1] == "a"
        assert found["more"][0].tolist() == [2 * (value + 2)] * 3 and found["more"][1] is None
    assert mixed((x, y), table={"z": z}, power=2)["parts"][0].tolist() == [9, 9]
    assert len(mixed.recordings) == 2


@pytest.mark.parametrize("value", [2, 2.0, True, "2", None, (2,), [2]])
def test_arguments_of_other_kinds_are_told_apart(value):
    calls = deque()  # a deque is not looked into: filling it is no change

    @mg.compile
    def f(x, other):
        calls.append(other)
        return x + 1

    x = mg.ones(1)
    for other in (value, value, 3):
        f(x, other)
    assert list(calls) == [value, 3]


def test_zeros_of_both_signs_are_told_apart():
    @mg.compile
    def divide(x, y):
        return x / y

    assert divide(mg.ones(1), 0.0).item() == float("inf")
    assert divide(mg.ones(1), -0.0).item() == float("-inf")


def test_strides_and_aliases():
    @mg.compile
    def add(x, y):
        return x + y

    base = mg.arange(6.0).reshape(2, 3)
    for x, y in [(base, base), (base, base.clone()), (base.t(), base.t()), (base[:, :1], base)]:
        for _ in range(2):
            np.testing.assert_array_equal(add(x, y).numpy(), (x + y).numpy())
    expanded = mg.arange(2.0)[:, None].expand(2, 3)
    for _ in range(2):
        np.testing.assert_array_equal(add(expanded, base).numpy(), (expanded + base).numpy())


def test_arguments_changed_in_place():
    @mg.compile
    def increase(x, by):
        x.add_(by)
        return x

    x = mg.zeros(3)
    for count in (1, 2, 3):
        assert increase(x, mg.ones(3)) is x
        assert x.tolist() == [count] * 3


def test_inference_and_modules():
    mg.manual_seed(0)
    model = network().eval()
    compiled = mg.compile(model)
    for x, _ in batches(5):
        with mg.no_grad():
            np.testing.assert_array_equal(compiled(x).numpy(), model(x).numpy())
    assert len(compiled.recordings) == 1


# ---- what a recording depends on ----


def test_train_and_eval():
    model = network()
    calls = deque()  # a deque is not looked into: filling it is no change

    @mg.compile
    def f(x):
        calls.append(model.training)
        with mg.no_grad():
            return model(x)

    x = mg.randn(4, 6)
    for mode in (True, True, False, False, True):
        model.train(mode)
        f(x)
    assert list(calls) == [True, False]
    model.eval()
    np.testing.assert_array_equal(f(x).numpy(), model(x).detach().numpy())


def test_grad_mode():
    w = mg.ones(2, requires_grad=True)

    @mg.compile
    def f(x):
        return mg.tensor(float((w * x).requires_grad))

    x = mg.ones(2)
    for _ in range(2):
        assert f(x).item() == 1
        with mg.no_grad():
            assert f(x).item() == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda m: setattr(m[0], "weight", nn.Parameter(mg.full((2, 2), 2.0))),
        lambda m: setattr(m[0].weight, "data", mg.full((2, 2), 2.0)),
        lambda m: m.__setitem__(0, nn.Linear(2, 2)),
        lambda m: m.append(nn.Tanh()),
        lambda m: m.double(),
        lambda m: setattr(m[1], "p", 1.0),
        lambda m: m[1].register_forward_hook(lambda *_: mg.full((1, 2), 7.0)),
        lambda m: m.load_state_dict({"0.weight": mg.zeros(2, 2), "0.bias": mg.ones(2)}),
        lambda m: m[0].weight.requires_grad_(False),
    ],
)
def test_changes_of_a_model_are_seen(change):
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0))

    @mg.compile
    def f(x):
        with mg.no_grad():
            return model(x.to(model[0].weight.dtype))

    x = mg.ones(1, 2)
    f(x), f(x)
    change(model)
    for _ in range(3):
        with mg.no_grad():
            expected = model(x.to(model[0].weight.dtype))
        np.testing.assert_array_equal(f(x).numpy(), expected.numpy())


def test_a_removed_hook_is_seen():
    model = nn.Linear(2, 2)
    handle = model.register_forward_hook(lambda module, args, output: output * 0)
    f = mg.compile(model)
    with mg.no_grad():
        assert f(mg.ones(1, 2)).abs().sum().item() == 0
        handle.remove()
        np.testing.assert_array_equal(f(mg.ones(1, 2)).numpy(), model(mg.ones(1, 2)).numpy())


scale = 2.0


def test_names_objects_and_containers():
    global scale

    class Settings:
        def __init__(self):
            self.offset = 1.0
            self.parts = [1.0, 2.0]

    settings, factor = Settings(), mg.ones(1)

    @mg.compile
    def f(x):
        return x * scale * factor + settings.offset + sum(settings.parts)

    def check():
        for _ in range(2):
            expected = 3 * scale * factor.item() + settings.offset + sum(settings.parts)
            assert f(mg.full((1,), 3.0)).item() == expected

    check()
    try:
        scale = 5.0
        check()
    finally:
        scale = 2.0
    settings.offset = 4.0
    check()
    settings.parts[1] = 7.0
    check()
    settings.parts.append(1.0)
    check()
    factor = mg.full((1,), 3.0)
    check()
    factor.fill_(4.0)  # memory: no new recording
    count = len(f.recordings)
    check()
    assert len(f.recordings) == count


def test_hyperparameters():
    """Numbers of an optimizer follow; what changes the structure of its step is recorded anew."""
    results = []
    for compiled in (False, True):
        training = Training(compiled, lambda p: optim.SGD(p, lr=0.1))
        schedule = optim.lr_scheduler.ExponentialLR(training.optimizer, 0.9)
        for index, (x, y) in enumerate(batches(12)):
            training.step(x, y)
            schedule.step()
            if index == 4:
                training.optimizer.param_groups[0]["momentum"] = 0.9
            if index == 8:
                training.optimizer.param_groups[0]["weight_decay"] = 0.1
        results.append(training.values())
    assert_same(*results)


def test_saved_and_loaded_states():
    results = []
    for compiled in (False, True):
        training = Training(compiled)
        states = None
        for index, (x, y) in enumerate(batches(12)):
            training.step(x, y)
            if index == 4:
                states = [
                    {k: v.clone() for k, v in training.model.state_dict().items()},
                    mg.optim.Adam.state_dict(training.optimizer),
                ]
            if index == 8:
                training.model.load_state_dict(states[0])
                training.optimizer.load_state_dict(states[1])
        results.append(training.values())
    assert_same(*results)


def test_eager_use_between_replays():
    results = []
    for compiled in (False, True):
        training = Training(compiled)
        for index, (x, y) in enumerate(batches(12)):
            if index % 3 == 2:  # an eager step on the same parameters, with gradients of its own
                training.optimizer.zero_grad()
                nn.functional.cross_entropy(training.model(x), y).backward()
                training.optimizer.step()
            else:
                training.step(x, y)
        results.append(training.values())
    assert_same(*results)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_gradients_gathered_over_several_calls(set_to_none):
    results = []
    for compiled in (False, True):
        mg.manual_seed(1)
        model = nn.Linear(6, 3)
        optimizer = optim.SGD(model.parameters(), lr=0.1)

        def gather(x, y, model=model):
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            return loss.detach()

        gather = mg.compile(gather) if compiled else gather
        seen = []
        for index, (x, y) in enumerate(batches(20)):
            gather(x, y)
            seen.append(model.weight.grad.numpy().copy())
            if index % 4 == 3:
                optimizer.step()
                optimizer.zero_grad(set_to_none=set_to_none)
        results.append([*seen, *(p.detach().numpy().copy() for p in model.parameters())])
    assert_same(*results)


def test_zero_grad_and_step_outside():
    results = []
    for compiled in (False, True):
        mg.manual_seed(1)
        model = nn.Linear(6, 3)
        optimizer = optim.SGD(model.parameters(), lr=0.1)

        def backward(x, y, model=model):
            nn.functional.cross_entropy(model(x), y).backward()

        backward = mg.compile(backward) if compiled else backward
        for x, y in batches(6):
            optimizer.zero_grad()
            backward(x, y)
            optimizer.step()
        results.append([p.detach().numpy().copy() for p in model.parameters()])
    assert_same(*results)


def test_gradient_clipping_and_autograd_grad():
    results = []
    for compiled in (False, True):
        mg.manual_seed(1)
        model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
        optimizer = optim.Adam(model.parameters(), lr=0.05)

        def step(x, y, model=model, optimizer=optimizer):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            (slope,) = mg.autograd.grad(loss, model[0].weight, create_graph=True)
            (loss + 0.1 * slope.square().sum()).backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
            return loss.detach(), norm

        step = mg.compile(step) if compiled else step
        losses = [[each.item() for each in step(x, y)] for x, y in batches(10)]
        results.append([np.array(losses), *(p.detach().numpy().copy() for p in model.parameters())])
    assert_same(*results)


def test_random_numbers_continue_the_stream():
    streams = []
    for compiled in (False, True):
        mg.manual_seed(11)
        f = lambda x: nn.functional.dropout(x, 0.5) + mg.rand(50)  # noqa: E731
        f = mg.compile(f) if compiled else f
        values = []
        for _ in range(4):
            values += [f(mg.ones(50)).numpy(), mg.rand(3).numpy()]
        streams.append(values)
    assert_same(*streams)


# ---- what cannot be replayed ----


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x.sum().item(),
        lambda x: x.numpy(),
        lambda x: x.tolist(),
        lambda x: 1 if x.sum() > 0 else 2,
        lambda x: float(x.sum()),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: repr(x),
    ],
)
def test_reading_a_value_names_the_line(read):
    @mg.compile
    def f(x):
        y = x * 2
        read(y)  # the line
        return y

    for _ in range(2):
        with pytest.raises(RecordingError, match=r"test_compile\.py:\d+, in <lambda>: lambda x"):
            f(mg.ones(3))
    assert mg.ones(2).sum().item() == 2  # nothing is being recorded any more


def test_an_exception_passes_through():
    @mg.compile
    def f(x):
        if x.shape[0] == 2:
            raise KeyError("mine")
        return x + 1

    for _ in range(2):
        with pytest.raises(KeyError, match="mine"):
            f(mg.ones(2))
    assert f(mg.ones(3)).tolist() == [2, 2, 2]


def test_python_side_effects_make_a_function_uncompiled():
    count = 0

    @mg.compile
    def f(x):
        nonlocal count
        count += 1
        return x * count

    with pytest.warns(UserWarning, match="count"):
        assert [f(mg.ones(1)).item() for _ in range(12)] == list(range(1, 13))


def test_state_made_in_the_first_call():
    average = None

    def f(x):
        nonlocal average
        if average is None:
            average = mg.zeros(3)
        average.mul_(0.5).add_(x)
        return average.sum()

    compiled = mg.compile(f)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = [compiled(mg.full((3,), float(i))).item() for i in range(6)]
    average = None
    assert found == [f(mg.full((3,), float(i))).item() for i in range(6)]


def test_constants_made_by_the_host():
    @mg.compile
    def f(x):
        table = mg.tensor([1.0, 2.0, 3.0])
        table += x
        return table

    for i in range(4):
        assert f(mg.full((3,), float(i))).tolist() == [1 + i, 2 + i, 3 + i]


def test_compiled_functions_within_one_another():
    inner = mg.compile(lambda x: x * 2)
    outer = mg.compile(lambda x: inner(x) + 1)
    for value in (1.0, 2.0, 3.0):
        assert outer(mg.full((2,), value)).tolist() == [2 * value + 1] * 2
    assert inner.plan is None and inner(mg.ones(1)).item() == 2


def test_methods():
    class Model:
        def __init__(self, factor):
            self.factor = factor

        @mg.compile
        def __call__(self, x):
            return x * self.factor

        @mg.compile
        def half(self, x):
            return x * self.factor / 2

    two, three = Model(2.0), Model(3.0)
    for _ in range(3):
        assert two.half(mg.ones(1)).item() == 1 and three.half(mg.ones(1)).item() == 1.5
        assert two(mg.ones(1)).item() == 2 and three(mg.ones(1)).item() == 3
    two.factor = 4.0
    assert two.half(mg.ones(1)).item() == 2


# ---- memory and threads ----


def test_memory_is_shared_and_does_not_grow():
    @mg.compile
    def chain(x):
        for _ in range(50):
            x = (x * 1.01).exp().log()
        return x

    x = mg.ones(1000)
    for _ in range(3):
        chain(x)
    held, peak = chain.plan.bytes()
    assert held <= 3 * 4096 and peak <= held  # two results live at a time, and the output
    gc.collect()
    live = mg.kernels.memory_statistics()["live"]
    for _ in range(2000):
        chain(x)
    assert mg.kernels.memory_statistics()["live"] == live


def test_a_plan_dies_with_its_function():
    gc.collect()
    live = mg.kernels.memory_statistics()["live"]
    f = mg.compile(lambda x: (x * 2).exp())
    reference = weakref.ref(f)
    f(mg.ones(100_000)), f(mg.ones(100_000))
    del f
    gc.collect()
    assert reference() is None
    assert mg.kernels.memory_statistics()["live"] == live


def test_threads_take_turns():
    @mg.compile
    def f(x):
        return (x * 2).cumsum(0) if hasattr(x, "cumsum") else (x * 2).sum()

    f(mg.ones(200)), f(mg.ones(200))
    wrong = []

    def work(value):
        expected = f.function(mg.full((200,), value)).numpy()
        for _ in range(200):
            if not np.array_equal(f(mg.full((200,), value)).numpy(), expected):
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(float(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(
    ("call", "kind"),
    [(lambda: mg.compile(3), TypeError), (lambda: mg.compile(len, plans=0), ValueError)],
)
def test_errors(call, kind):
    with pytest.raises(kind, match="compile"):
        call()


def test_disable():
    function = lambda x: x  # noqa: E731
    assert mg.compile(function, disable=True) is function
    assert mg.compile(disable=True)(function) is function
