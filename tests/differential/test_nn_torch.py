"""Layers, modules and initialisation side by side with torch."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


def random(*shape):
    return np.random.standard_normal(shape).astype(np.float32)


def both(make):
    """The same layer of both libraries with the same values."""
    ours, theirs = make(nn), make(torch.nn)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in ours.state_dict().items():
        other = theirs.state_dict()[name]
        assert tuple(value.shape) == tuple(other.shape)
        assert str(value.dtype).split(".")[1] == str(other.dtype).split(".")[1]
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    return ours, theirs


def compare(a, b, tolerance=2e-5):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), tolerance, tolerance)


@pytest.mark.parametrize("name", ["Parameter", "Buffer"])
def test_signatures_of_tensors(name):
    """torch gives them in `__new__`, beyond the reach of test_names_torch.py."""
    ours, theirs = (
        [
            (p.name, p.kind, p.default)
            for p in list(inspect.signature(function).parameters.values())[1:]
            if p.name not in ("args", "kwargs")
        ]
        for function in (getattr(nn, name).__init__, getattr(torch.nn, name).__new__)
    )
    assert ours == theirs


def test_module_has_torchs_methods():
    beyond = {
        "bfloat16", "half", "cuda", "hpu", "ipu", "mtia", "xpu", "share_memory", "to_empty",
        "compile", "register_backward_hook", "dump_patches", "call_super_init", "T_destination",
    }  # fmt: skip
    wanted = {name for name in vars(torch.nn.Module) if not name.startswith("_")} - beyond
    assert wanted <= set(dir(nn.Module))
    for name in wanted:
        ours, theirs = getattr(nn.Module, name), getattr(torch.nn.Module, name)
        if not inspect.isfunction(ours) or name in ("forward", "to", "state_dict"):
            continue
        ours, theirs = (
            [(p.name, p.default) for p in inspect.signature(each).parameters.values()]
            for each in (ours, theirs)
        )
        assert ours == theirs, name


CLASSES = np.array([0, 3, 2, -100, 1])
LOSSES = [
    (lambda m, t: m.CrossEntropyLoss(), (5, 4), CLASSES),
    (lambda m, t: m.CrossEntropyLoss(reduction="sum"), (5, 4), CLASSES),
    (lambda m, t: m.CrossEntropyLoss(reduction="none", ignore_index=2), (5, 4), abs(CLASSES) % 4),
    (lambda m, t: m.CrossEntropyLoss(weight=t([1.0, 2.0, 0.5, 3.0])), (5, 4), CLASSES),
    (lambda m, t: m.CrossEntropyLoss(t([1.0, 2.0, 0.5, 3.0]), label_smoothing=0.3), (5, 4),
     CLASSES),
    (lambda m, t: m.CrossEntropyLoss(label_smoothing=0.1, reduction="none"), (5, 4), CLASSES),
    (lambda m, t: m.CrossEntropyLoss(), (4,), np.array(2)),
    (lambda m, t: m.CrossEntropyLoss(), (2, 4, 3), np.array([[0, 1, 2], [3, 3, 0]])),
    (lambda m, t: m.CrossEntropyLoss(), (5, 4), "probabilities"),
    (lambda m, t: m.CrossEntropyLoss(t([1.0, 2.0, 0.5, 3.0]), label_smoothing=0.3), (5, 4),
     "probabilities"),
    (lambda m, t: m.NLLLoss(), (5, 4), CLASSES),
    (lambda m, t: m.NLLLoss(t([1.0, 2.0, 0.5, 3.0]), ignore_index=3), (5, 4), abs(CLASSES) % 4),
    (lambda m, t: m.NLLLoss(reduction="none"), (2, 4, 3), np.array([[0, 1, 2], [3, 3, 0]])),
    (lambda m, t: m.MSELoss(), (5, 4), "values"),
    (lambda m, t: m.MSELoss(reduction="sum"), (5, 4), "values"),
    (lambda m, t: m.MSELoss(reduction="none"), (5, 4), "values"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "shape", "target"), LOSSES)
def test_losses(make, shape, target):
    if isinstance(target, str):
        target = random(*shape)
    if target.dtype == np.float32 and make(nn, mg.tensor).__class__ is nn.CrossEntropyLoss:
        target = np.abs(target) / np.abs(target).sum(1, keepdims=True)
    values = random(*shape)
    x, t = mg.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    loss = make(nn, mg.tensor)(x, mg.tensor(target))
    expected = make(torch.nn, torch.tensor)(t, torch.tensor(target))
    compare(loss, expected)
    grad = random(*loss.shape)
    loss.backward(mg.tensor(grad))
    expected.backward(torch.tensor(grad))
    compare(x.grad, t.grad)


def outcome(call):
    """What a call raises: type and text, the libraries' names taken out."""
    try:
        call()
    except Exception as error:
        text = str(error).replace("minigrad", "torch").replace("torch.nn.modules.", "torch.nn.")
        return type(error), text.split("(torch")[0]
    return None


@pytest.mark.parametrize(
    "call",
    [
        lambda m, t: m.Linear(2, 2).register_parameter("a.b", None),
        lambda m, t: m.Linear(2, 2).register_parameter("", None),
        lambda m, t: m.Linear(2, 2).register_parameter("forward", None),
        lambda m, t: m.Linear(2, 2).register_parameter(3, None),
        lambda m, t: m.Linear(2, 2).register_buffer("weight", None),
        lambda m, t: m.Linear(2, 2).register_buffer("x", 3),
        lambda m, t: setattr(m.Linear(2, 2), "weight", 3),
        lambda m, t: setattr(m.Sequential(m.ReLU()), "0", 3),
        lambda m, t: setattr(m.BatchNorm1d(2), "running_mean", 3),
        lambda m, t: m.Linear(2, 2).missing,
        lambda m, t: m.Linear(2, 2).get_submodule("missing"),
        lambda m, t: m.Linear(2, 2).get_submodule("weight"),
        lambda m, t: m.Linear(2, 2).get_parameter("missing"),
        lambda m, t: m.Linear(2, 2).get_parameter("in_features"),
        lambda m, t: m.Linear(2, 2).get_buffer("weight"),
        lambda m, t: m.Linear(2, 2).train(3),
        lambda m, t: m.Linear(2, 2).load_state_dict(3),
        lambda m, t: m.Linear(2, 2).load_state_dict({}),
        lambda m, t: m.Linear(2, 2).load_state_dict({"a": t.ones(1), "weight": t.ones(3)}),
        lambda m, t: m.Linear(2, 2).to(t.int64),
        lambda m, t: m.Module()(1),
        lambda m, t: m.Sequential()[1],
        lambda m, t: m.Sequential() + 1,
        lambda m, t: m.Conv2d(3, 4, 2, groups=2),
        lambda m, t: m.Conv2d(3, 4, 2, groups=0),
        lambda m, t: m.Dropout(2),
        lambda m, t: m.BatchNorm1d(2)(t.ones(2)),
        lambda m, t: m.BatchNorm2d(2)(t.ones(2, 2)),
        lambda m, t: m.Unflatten(1, 3),
        lambda m, t: m.Unflatten(1, (2, "a")),
        lambda m, t: m.init.xavier_normal_(t.ones(2)),
        lambda m, t: m.init.kaiming_normal_(t.ones(2, 2), mode="a"),
        lambda m, t: m.init.calculate_gain("a"),
    ],
)
def test_errors_are_torchs(call):
    found = outcome(lambda: call(nn, mg))
    assert found is not None and found == outcome(lambda: call(torch.nn, torch))


def test_gains():
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert nn.init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    assert nn.init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain(
        "leaky_relu", 0.3
    )


@pytest.mark.parametrize("make", [lambda m: m.Linear(50, 400), lambda m: m.Conv2d(4, 200, (3, 4))])
def test_default_initialisation_is_distributed_as_torchs(make):
    for a, b in zip(make(nn).parameters(), make(torch.nn).parameters(), strict=True):
        a, b = a.detach().numpy(), b.detach().numpy()
        fan_in = make(torch.nn).weight[0].numel()
        assert max(np.abs(a).max(), np.abs(b).max()) <= 1 / math.sqrt(fan_in)
        quantiles = np.linspace(0, 1, 11)
        spread = 4 / math.sqrt(a.size * fan_in)
        np.testing.assert_allclose(
            np.quantile(a, quantiles), np.quantile(b, quantiles), atol=spread
        )


def test_state_dicts_load_into_torch():
    ours, theirs = both(lambda m: m.Sequential(m.Conv2d(1, 2, 3), m.BatchNorm2d(2), m.Flatten()))
    for p in ours.parameters():
        p.data = p.detach() + 1
    state = {name: torch.from_numpy(v.numpy()) for name, v in ours.state_dict().items()}
    theirs.load_state_dict(state)
    x = random(2, 1, 5, 5)
    compare(ours(mg.tensor(x)), theirs(torch.tensor(x)))
