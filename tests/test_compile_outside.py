"""What a compiled function may meet besides kernels: each of these has to give what eager gives, or
to be refused with an error that says so."""

from __future__ import annotations

import itertools
import random
import types
from types import SimpleNamespace

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.kernels import RecordingError
from minigrad.utils.data import DataLoader, TensorDataset

pytestmark = pytest.mark.filterwarnings("ignore:compile. ")


def floats(*values):
    return mg.tensor([float(each) for each in values])


def case(function, between=lambda i: None, arguments=lambda i: (floats(i, 2),), look=lambda: 0):
    return SimpleNamespace(function=function, between=between, arguments=arguments, look=look)


# ---- numbers of the host ----


def numpy_values_that_change():
    values = np.ones(2, np.float32)
    return case(lambda x: x * mg.tensor(values), lambda i: values.fill(i))


def numpy_memory_that_is_shared():
    values = np.ones(100_000, np.float32)
    tensor = mg.from_numpy(values)
    return case(lambda x: x * tensor[:2] + mg.from_numpy(values)[:2], lambda i: values.fill(i))


def numpy_arguments():
    values = np.ones(2, np.float32)
    return case(
        lambda x, factor: mg.tensor(x) * factor,
        lambda i: values.fill(i // 2),
        lambda i: (values, np.float32(i // 3)),
    )


def random_numbers_of_python():
    return case(lambda x: x * random.random())


def random_numbers_of_numpy():
    return case(lambda x: x * float(np.random.rand()))


def a_generator_of_numpy():
    rng = np.random.default_rng(0)
    return case(lambda x: x * float(rng.random()))


def a_stream_of_python():
    stream = random.Random(1)
    return case(lambda x: x * stream.random())


def a_list_iterator():
    values = iter([float(i) for i in range(40)])
    return case(lambda x: x * next(values))


def a_counter():
    values = enumerate(itertools.count())
    return case(lambda x: x * next(values)[1])


def a_python_generator():
    values = (float(i) for i in range(40))
    return case(lambda x: x * next(values))


def side_effects():
    seen = []

    def function(x):
        seen.append(x * 2)
        return x

    return case(function, look=lambda: [each.tolist() for each in seen])


def a_buffer_that_is_replaced():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("state", mg.zeros(2))

        def forward(self, x):
            self.state = self.state * 0.5 + x
            return self.state * 1

    model = Model()
    return case(model, look=lambda: model.state.tolist())


def data_that_is_replaced():
    weight = nn.Parameter(mg.ones(2))

    def function(x):
        weight.data = weight.data * x

    return case(function, arguments=lambda i: (floats(1.5, 0.5),), look=lambda: weight.tolist())


# ---- random numbers ----


def a_random_state_that_is_set():
    state = mg.get_rng_state()
    return case(
        lambda x: x * mg.rand(2) + mg.nn.functional.dropout(x),
        lambda i: mg.set_rng_state(state) if i % 3 == 1 else mg.rand(i),
    )


def a_seed_between_calls():
    return case(lambda x: x * mg.rand(2), lambda i: mg.manual_seed(4) if i == 4 else None)


def a_generator_of_its_own():
    holder = SimpleNamespace(generator=mg.Generator().manual_seed(1))

    def between(i):
        if i == 3:
            holder.generator.manual_seed(5)
        if i == 6:
            holder.generator = mg.Generator().manual_seed(2)

    return case(lambda x: x * mg.rand(2, generator=holder.generator), between)


def generators_as_arguments():
    streams = [mg.Generator().manual_seed(i) for i in range(2)]
    return case(
        lambda x, stream: x * mg.rand(2, generator=stream),
        arguments=lambda i: (floats(i, 2), streams[i % 2]),
    )


# ---- optimizers and gradients ----


def quadratic(optimizer_of):
    weight = nn.Parameter(floats(1, 2))
    optimizer = optimizer_of([weight])

    def gradient(x):
        optimizer.zero_grad()
        loss = ((weight - x) ** 2).sum()
        loss.backward()
        return loss

    return weight, optimizer, gradient


def a_closure_of_an_optimizer():
    weight, optimizer, gradient = quadratic(lambda p: optim.SGD(p, lr=0.1))
    return case(lambda x: optimizer.step(lambda: gradient(x)).detach(), look=weight.tolist)


def a_schedule_within_the_function():
    weight, optimizer, gradient = quadratic(lambda p: optim.SGD(p, lr=0.1))
    schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    def function(x):
        gradient(x)
        optimizer.step()
        schedule.step()

    return case(function, look=weight.tolist)


def a_learning_rate_written_within():
    weight, optimizer, gradient = quadratic(lambda p: optim.Adam(p, lr=0.1))

    def function(x):
        gradient(x)
        optimizer.param_groups[0]["lr"] *= 0.5
        optimizer.step()

    return case(function, look=weight.tolist)


def a_learning_rate_read_as_a_number():
    _, optimizer, _ = quadratic(lambda p: optim.SGD(p, lr=0.1))

    def between(i):
        optimizer.param_groups[0]["lr"] = i / 2

    return case(lambda x: x * optimizer.param_groups[0]["lr"], between)


def a_learning_rate_that_is_a_tensor():
    rate = mg.tensor(0.1)
    weight, optimizer, gradient = quadratic(lambda p: optim.SGD(p, lr=rate))

    def function(x):
        gradient(x)
        optimizer.step()

    return case(function, lambda i: rate.mul_(0.9), look=weight.tolist)


def hooks_that_come_and_go():
    weight = nn.Parameter(floats(1, 2))
    handles = []

    def function(x):
        weight.grad = None
        (weight * x).sum().backward()

    def between(i):
        if i in (2, 4):
            handles.append(weight.register_hook(lambda grad: grad * 2))
        if i == 6:
            handles.pop().remove()
        if i == 8:
            weight.register_post_accumulate_grad_hook(lambda tensor: tensor.grad.mul_(5))

    return case(
        function, between, look=lambda: None if weight.grad is None else weight.grad.tolist()
    )


def a_hook_that_collects():
    weight, seen = nn.Parameter(floats(1, 2)), []
    weight.register_hook(lambda grad: seen.append(grad * 1))
    return case(
        lambda x: (weight * x).sum().backward(), look=lambda: [each.tolist() for each in seen]
    )


def modes_within_the_function():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))

    def function(x):
        model.eval()
        with mg.no_grad():
            result = model(x)
        model.train()
        return result + model(x).detach()

    return case(function, look=lambda: model.training)


def a_loader_within_the_function():
    data, total = mg.arange(8.0), mg.zeros(4)
    loader = DataLoader(TensorDataset(data), batch_size=4)

    def function():
        for (x,) in loader:
            total.add_(x)
        return total.clone()

    return case(function, lambda i: data.add_(1), lambda i: ())


def default_dtypes():
    def between(i):
        mg.set_default_dtype(mg.float64 if i % 2 else mg.float32)

    return case(lambda x: mg.ones(2) * x, between, lambda i: (0.1,))


def settings_in_a_namespace():
    settings = SimpleNamespace(scale=1.0, parts=[1.0])

    def between(i):
        settings.scale = float(i // 3)
        settings.parts[0] = float(i // 4)

    return case(lambda x: x * settings.scale + settings.parts[0], between)


class Scaled:
    factor = 1.0
    __slots__ = ("offset",)

    def __init__(self):
        self.offset = 1.0


class ScaledLayer(nn.Module):
    factor = 1.0

    def forward(self, x):
        return x * self.factor


def attributes_of_classes():
    Scaled.factor = ScaledLayer.factor = 1.0
    layer, local = ScaledLayer(), type("Local", (), {"factor": 1.0})

    def between(i):
        ScaledLayer.factor, Scaled.factor, local.factor = i // 3, i // 4, i // 5

    return case(lambda x: layer(x) * Scaled.factor * local.factor, between)


def slots_of_objects():
    scaled = Scaled()

    def between(i):
        scaled.offset = i // 3

    return case(lambda x: x + scaled.offset, between)


def names_in_modules_of_python():
    settings = types.ModuleType("settings")
    settings.factor = 1.0

    def between(i):
        settings.factor = i // 3

    return case(lambda x: x * settings.factor, between)


def sets():
    chosen = {0.0}

    def between(i):
        chosen.clear()
        chosen.add(i // 3)

    return case(lambda x: x * sum(chosen), between)


def objects_as_arguments():
    settings, layer = SimpleNamespace(factor=1.0), nn.Dropout(0.5)

    def between(i):
        settings.factor = i // 3
        layer.train(i // 4 % 2 == 0)

    return case(
        lambda x, settings, layers: layers[0](x * settings.factor),
        between,
        lambda i: (floats(i, 2), settings, [layer]),
    )


def groups_of_optimizers():
    first, second = nn.Parameter(floats(1, 2)), nn.Parameter(floats(3, 4))
    optimizer = optim.SGD([first], lr=0.1, momentum=0.9)

    def function(x):
        optimizer.zero_grad()
        ((first - x) ** 2 + (second - x) ** 2).sum().backward()
        optimizer.step()

    def between(i):
        groups = optimizer.param_groups
        if i == 2:
            optimizer.add_param_group({"params": [second], "lr": 0.5})
        if i == 4:
            groups[1]["params"] = []
        if i == 5:
            groups[0]["params"].append(second)
        if i == 6:
            groups[0]["nesterov"] = True
        if i == 8:
            groups[0]["lr"] = mg.tensor(0.3)
        if i == 9:
            groups[0]["lr"].mul_(0.5)
        if i == 10:
            groups[0]["lr"] = 0.01

    return case(function, between, look=lambda: (first.tolist(), second.tolist()))


CASES = [value for value in list(globals().values()) if isinstance(value, types.FunctionType) and
         getattr(value, "__module__", "") == __name__ and
         not value.__code__.co_flags & 4 and value.__code__.co_argcount == 0]  # fmt: skip


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_what_kernels_do_not_do(make):
    results = []
    try:
        for compiled in (False, True):
            mg.manual_seed(0)
            random.seed(0)
            np.random.seed(0)
            each, seen = make(), []
            call = mg.compile(each.function) if compiled else each.function
            for i in range(12):
                each.between(i)
                result = call(*each.arguments(i))
                seen += [None if result is None else (result.tolist(), result.dtype), each.look()]
            results.append(seen)
    finally:
        mg.set_default_dtype(mg.float32)
    assert results[0] == results[1]


# ---- what is refused ----


def lbfgs(x):
    _, optimizer, gradient = quadratic(lambda p: optim.LBFGS(p))
    optimizer.step(lambda: gradient(x))


READING = {
    "item": lambda x: x[0].item(),
    "numpy": lambda x: x.numpy(),
    "array": lambda x: np.asarray(x),
    "tolist": lambda x: x.tolist(),
    "float": lambda x: float(x[0]),
    "int": lambda x: int(x[0]),
    "index": lambda x: [1, 2, 3][x[0].long()],
    "bool": lambda x: bool(x[0]),
    "if": lambda x: 1 if x[0] > 0 else 2,
    "while": lambda x: [0 for _ in iter(lambda: (x[0] > 0).item(), False)],
    "in": lambda x: 1.0 in x,
    "max of Python": lambda x: max(x[0], x[1]),
    "sorted": lambda x: sorted([x[0], x[1]]),
    "repr": lambda x: repr(x),
    "format": lambda x: f"{x[0]:.2f}",
    "print": lambda x: str(x),
    "mask": lambda x: x[x > 0],
    "nonzero": lambda x: x.nonzero(),
    "equal": lambda x: mg.equal(x, x * 1),
    "allclose": lambda x: mg.allclose(x, x * 1),
    "range": lambda x: range(x[0].long()),
    "shape": lambda x: mg.zeros(x[0].long().item()),
    "unpack": lambda x: [float(each) for each in x],
    "seed": lambda x: mg.manual_seed(0),
    "state": lambda x: mg.set_rng_state(mg.tensor([0, 0])),
    "save": lambda x: mg.save(x, "nowhere"),
    "LBFGS": lbfgs,
}


@pytest.mark.parametrize("name", READING)
def test_reading_names_the_line(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    @mg.compile
    def function(x):
        READING[name](x * 2)
        return x

    for _ in range(2):
        with pytest.raises(RecordingError, match=r"test_compile_outside\.py:\d+, in "):
            function(mg.ones(2))
    assert mg.ones(1).item() == 1  # nothing is being recorded any more


WEIGHT = mg.ones(3)


def writes_one(x, y):
    x.add_(1)
    return y * 2


def writes_elsewhere(x, y):
    WEIGHT.mul_(2)
    return x * 2


def writes_through(x, y):
    x.mul_(2)
    return WEIGHT.sum()


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (writes_one, lambda base: (base[:2], base[1:])),
        (writes_elsewhere, lambda base: (WEIGHT[:2], base)),
        (writes_through, lambda base: (WEIGHT[:2], base)),
    ],
)
def test_arguments_that_share_memory_which_is_written(function, arguments):
    """Arguments are copied, so writing to what they share would not be seen."""
    compiled = mg.compile(function)
    with pytest.raises(RuntimeError, match="clone"):
        compiled(*arguments(mg.ones(3)))
    compiled = mg.compile(function)
    for _ in range(3):
        compiled(mg.ones(2), mg.ones(2))  # these share nothing
    with pytest.raises(RuntimeError, match="clone"):
        compiled(*[each.clone() if each.shape == (3,) else each for each in arguments(mg.ones(3))])
    other = mg.ones(4)
    assert mg.compile(lambda x, y: x * y)(other[:2], other[2:]).tolist() == [1, 1]
