"""Optimizers side by side with torch: steps, state dictionaries both ways, texts."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.3, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.8), "eps": 1e-4, "weight_decay": 0.2}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "maximize": True}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.2, "decoupled_weight_decay": True}),
    ("AdamW", {"lr": 0.1}),
    ("AdamW", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.5}),
]
SHAPES = [(3, 4), (), (7,)]


class Pair:
    """The same parameters and optimizer in both libraries."""

    def __init__(self, name, options, dtype=np.float32):
        self.dtype = dtype
        values = [np.random.standard_normal(s).astype(dtype) for s in SHAPES]
        self.ours = [mg.tensor(v, requires_grad=True) for v in values]
        self.theirs = [torch.tensor(v, requires_grad=True) for v in values]
        self.optimizer = getattr(optim, name)(self.ours, **options)
        self.other = getattr(torch.optim, name)(self.theirs, **options)

    def step(self, skip=None):
        for i, (a, b) in enumerate(zip(self.ours, self.theirs, strict=True)):
            grad = np.random.standard_normal(tuple(a.shape)).astype(self.dtype)
            a.grad = None if i == skip else mg.tensor(grad)
            b.grad = None if i == skip else torch.tensor(grad)
        self.optimizer.step()
        self.other.step()

    def compare(self):
        tolerance = 2e-5 if self.dtype == np.float32 else 1e-12
        for a, b in zip(self.ours, self.theirs, strict=True):
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), tolerance, tolerance)
        ours, theirs = self.optimizer.state_dict(), self.other.state_dict()
        assert list(ours) == list(theirs) and ours["param_groups"] == theirs["param_groups"]
        assert list(ours["param_groups"][0]) == list(theirs["param_groups"][0])
        assert list(ours["state"]) == list(theirs["state"])
        for number, entry in theirs["state"].items():
            assert list(ours["state"][number]) == list(entry)
            for name, value in entry.items():
                mine = ours["state"][number][name]
                assert str(mine.dtype).split(".")[1] == str(value.dtype).split(".")[1]
                np.testing.assert_allclose(mine.numpy(), value.numpy(), tolerance, tolerance)


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps(name, options, dtype):
    pair = Pair(name, options, dtype)
    assert repr(pair.optimizer) == repr(pair.other)
    for step in range(6):
        pair.step(skip=1 if step in (0, 3) else None)
        pair.compare()
    pair.optimizer.param_groups[0]["lr"] = pair.other.param_groups[0]["lr"] = 0.01
    pair.step()
    pair.compare()


def to_torch(value):
    if isinstance(value, mg.Tensor):
        return torch.tensor(value.numpy())
    if isinstance(value, dict):
        return {key: to_torch(item) for key, item in value.items()}
    return [to_torch(item) for item in value] if type(value) is list else value


@pytest.mark.parametrize(("name", "options"), CASES)
def test_state_dicts_both_ways(name, options):
    pair = Pair(name, options)
    for _ in range(3):
        pair.step()
    ours = getattr(optim, name)(pair.ours, lr=9.0)
    ours.load_state_dict(pair.other.state_dict())  # torch's tensors are taken as they are
    theirs = getattr(torch.optim, name)(pair.theirs, lr=9.0)
    theirs.load_state_dict(to_torch(pair.optimizer.state_dict()))
    pair.optimizer, pair.other = ours, theirs
    for _ in range(3):
        pair.step()
        pair.compare()


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_signatures(name):
    ours, theirs = (
        [(p.name, p.kind, p.default)
         for p in inspect.signature(getattr(m, name).__init__).parameters.values()]
        for m in (optim, torch.optim)
    )  # fmt: skip
    assert ours == theirs


def test_optimizer_has_torchs_methods():
    beyond = {"profile_hook_step", "OptimizerPreHook", "OptimizerPostHook"}
    wanted = {name for name in vars(torch.optim.Optimizer) if not name.startswith("_")} - beyond
    assert wanted <= set(vars(optim.Optimizer))


def outcome(call):
    try:
        call()
    except Exception as error:
        return type(error), str(error).replace("torch.FloatTensor", "Tensor")
    return None


@pytest.mark.parametrize(
    "call",
    [
        lambda o, p: o.SGD([]),
        lambda o, p: o.SGD(p),
        lambda o, p: o.SGD([3]),
        lambda o, p: o.SGD([p * 2]),
        lambda o, p: o.SGD([{"params": [p]}, {"params": [p]}]),
        lambda o, p: o.SGD([{"params": {p}}]),
        lambda o, p: o.SGD([p], lr=-1),
        lambda o, p: o.SGD([p], momentum=-1),
        lambda o, p: o.SGD([p], weight_decay=-1),
        lambda o, p: o.SGD([p], nesterov=True),
        lambda o, p: o.SGD([p], foreach=True, fused=True),
        lambda o, p: o.Adam([p], lr=-1),
        lambda o, p: o.Adam([p], eps=-1),
        lambda o, p: o.Adam([p], betas=(1.0, 0.5)),
        lambda o, p: o.Adam([p], betas=(0.5, -1.0)),
        lambda o, p: o.Adam([p], betas=(0, 0.5)),
        lambda o, p: o.Adam([p], weight_decay=-1),
        lambda o, p: o.Adam([p], fused=True, differentiable=True),
        lambda o, p: o.SGD([p]).add_param_group(3),
        lambda o, p: o.SGD([p]).load_state_dict({"state": {}, "param_groups": []}),
        lambda o, p: o.SGD([p]).load_state_dict({"state": {}, "param_groups": [{"params": []}]}),
        lambda o, p: o.SGD([("a", p), p]),
    ],
)
def test_errors_are_torchs(call):
    found = outcome(lambda: call(optim, mg.ones(2, requires_grad=True)))
    assert found is not None
    assert found == outcome(lambda: call(torch.optim, torch.ones(2, requires_grad=True)))
