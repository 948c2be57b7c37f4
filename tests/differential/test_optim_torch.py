"""Optimizers side by side with torch: steps, state dictionaries both ways, texts."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

CASES = [
    ("Adafactor", {}),
    ("Adafactor", {"lr": 0.5, "beta2_decay": -0.5, "weight_decay": 0.1, "maximize": True}),
    ("Adafactor", {"lr": 0.1, "eps": (1e-2, 0.1), "d": 1.5}),
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.3, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("ASGD", {}),
    ("ASGD", {"lr": 0.1, "lambd": 0.1, "alpha": 0.5, "t0": 3, "weight_decay": 0.1}),
    ("ASGD", {"lr": 0.1, "t0": 0, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("Adagrad", {"lr": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.5, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.1, "alpha": 0.5, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {"momentum": 0.9}),
    ("RMSprop", {"centered": True, "eps": 1e-2}),
    ("RMSprop", {"centered": True, "eps": 1e-2, "momentum": 0.5, "weight_decay": 0.1}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.1, "etas": (0.3, 1.5), "step_sizes": (0.01, 0.2), "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.8), "eps": 1e-4, "weight_decay": 0.2}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "maximize": True}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.2, "decoupled_weight_decay": True}),
    ("AdamW", {"lr": 0.1}),
    ("AdamW", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.5}),
    ("Adamax", {}),
    ("Adamax", {"betas": (0.5, 0.8), "eps": 1e-3, "weight_decay": 0.2, "maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"betas": (0.5, 0.8), "eps": 1e-3, "weight_decay": 0.2, "momentum_decay": 0.1}),
    ("NAdam", {"weight_decay": 0.2, "decoupled_weight_decay": True, "maximize": True}),
    ("RAdam", {}),
    ("RAdam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.2}),
    ("RAdam", {"weight_decay": 0.2, "decoupled_weight_decay": True, "maximize": True}),
]
NAMES = sorted({name for name, _ in CASES} | {"SparseAdam"})
SHAPES = [(3, 4), (), (7,), (0, 2), (2, 3, 5), (37,)]


class Pair:
    """The same parameters and optimizer in both libraries."""

    def __init__(self, name, options, dtype=np.float32):
        self.dtype = dtype
        # torch's Adafactor divides by the number of elements.
        shapes = [s for s in SHAPES if name != "Adafactor" or 0 not in s]
        values = [np.random.standard_normal(s).astype(dtype) for s in shapes]
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
        tolerance = 5e-5 if self.dtype == np.float32 else 1e-12
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
    for step in range(50):
        pair.step(skip=1 if step in (0, 3) else 3 if step < 20 else None)
        if step < 5 or step % 10 == 9:
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
        *(lambda o, p, n=n: getattr(o, n)([p], lr=-1) for n in NAMES),
        *(lambda o, p, n=n: getattr(o, n)([p], lr=type(p)([1.0, 2.0])) for n in NAMES),
        *(
            lambda o, p, n=n: getattr(o, n)([p], weight_decay=-1)
            for n in NAMES
            if n not in ("Rprop", "SparseAdam")
        ),
        *(
            lambda o, p, n=n: getattr(o, n)([p], betas=(0.5, 1.0))
            for n in ("AdamW", "Adamax", "NAdam", "RAdam", "SparseAdam")
        ),
        *(
            lambda o, p, n=n: getattr(o, n)([p], eps=-1.0)
            for n in NAMES
            if n not in ("SGD", "ASGD", "Rprop", "Adafactor")
        ),
        lambda o, p: o.Adafactor([p], beta2_decay=1),
        lambda o, p: o.Adafactor([p], eps=(-1, 1)),
        lambda o, p: o.Adafactor([p], eps=(None, -1)),
        lambda o, p: o.Adafactor([p], d=0.5),
        lambda o, p: o.Adagrad([p], lr_decay=-1),
        lambda o, p: o.Adagrad([p], initial_accumulator_value=-1),
        lambda o, p: o.Adagrad([p], fused=True, foreach=True),
        lambda o, p: o.Adagrad([p], fused=True, differentiable=True),
        lambda o, p: o.Adadelta([p], rho=1.5),
        lambda o, p: o.RMSprop([p], momentum=-1),
        lambda o, p: o.RMSprop([p], alpha=-1),
        lambda o, p: o.Rprop([p], etas=(0.5, 0.9)),
        lambda o, p: o.NAdam([p], momentum_decay=-1),
        lambda o, p: o.SparseAdam([p], lr=0.0),
        lambda o, p: o.SparseAdam([p], eps=0.0),
        lambda o, p: o.Adam([p], lr=p[0].detach(), foreach=True),
        lambda o, p: o.Adam([p], betas=(p[0].detach() / 2, p[0].detach() / 2), foreach=True),
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


def test_sparse_adam_takes_the_rows_that_a_batch_reaches():
    values = np.random.standard_normal((6, 3)).astype(np.float32)
    ours, theirs = mg.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    optimizer, other = optim.SparseAdam([ours], lr=0.1), torch.optim.SparseAdam([theirs], lr=0.1)
    torch.sparse.check_sparse_tensor_invariants.enable()
    for step in range(20):
        rows = np.random.choice(6, 2, replace=False)
        grad = np.random.standard_normal((2, 3)).astype(np.float32)
        theirs.grad = torch.sparse_coo_tensor(rows[None], grad, (6, 3))
        ours.grad = mg.tensor(theirs.grad.to_dense().numpy())
        optimizer.step()
        other.step()
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), 1e-5, 1e-6)
        if step == 9:  # torch counts in a Python number, which is taken, too
            saved = other.state_dict()
            assert list(saved["state"][0]) == list(optimizer.state_dict()["state"][0])
            other.load_state_dict(to_torch(optimizer.state_dict()))
            optimizer.load_state_dict(saved)


MUON = [
    {},
    {"lr": 0.1, "weight_decay": 0.0, "nesterov": False},
    {"lr": 0.1, "momentum": 0.5, "adjust_lr_fn": "match_rms_adamw", "ns_steps": 3},
    {"lr": 0.1, "ns_coefficients": (3.0, -3.2, 1.2), "eps": 1e-3, "adjust_lr_fn": "original"},
]


@pytest.mark.parametrize("options", MUON)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_muon(options, dtype, monkeypatch):
    """torch iterates in bfloat16; here it is made to iterate in the parameter's dtype."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    values = [np.random.standard_normal(s).astype(dtype) for s in ((5, 8), (8, 5), (6, 6), (1, 3))]
    ours = [mg.tensor(v, requires_grad=True) for v in values]
    theirs = [torch.tensor(v, requires_grad=True) for v in values]
    optimizer, other = optim.Muon(ours, **options), torch.optim.Muon(theirs, **options)
    assert repr(optimizer) == repr(other)
    tolerance = 2e-3 if dtype == np.float32 else 1e-9  # the iteration spreads rounding errors
    for step in range(50):
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            grad = np.random.standard_normal(a.shape).astype(dtype)
            a.grad = None if step == i else mg.tensor(grad)
            b.grad = None if step == i else torch.tensor(grad)
        optimizer.step()
        other.step()
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), 1e-3, tolerance)
        if step == 20:
            saved = other.state_dict()
            mine = optimizer.state_dict()
            assert mine["param_groups"] == saved["param_groups"]
            assert [list(e) for e in mine["state"].values()] == [["momentum_buffer"]] * 4
            other.load_state_dict(to_torch(mine))
            optimizer.load_state_dict(saved)


def test_muon_in_bfloat16_is_near():
    values = np.random.standard_normal((8, 20)).astype(np.float32)
    ours, theirs = mg.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    grad = np.random.standard_normal((8, 20)).astype(np.float32)
    ours.grad, theirs.grad = mg.tensor(grad), torch.tensor(grad)
    optim.Muon([ours], lr=1.0, weight_decay=0.0).step()
    torch.optim.Muon([theirs], lr=1.0, weight_decay=0.0).step()
    change, other = ours.detach().numpy() - values, theirs.detach().numpy() - values
    assert np.linalg.norm(change - other) < 0.02 * np.linalg.norm(other)


def rosenbrock(p):
    a, b = p[0], p[1]
    return ((1 - a) ** 2).sum() + (100 * (b - a * a) ** 2).sum()


def bowl(p):
    return sum(((x - 1) ** 2 * (i + 1)).sum() for i, x in enumerate(p)) + p[0].sin().sum()


LBFGS = [
    (rosenbrock, {"lr": 1e-3, "max_iter": 4}),
    (rosenbrock, {"line_search_fn": "strong_wolfe"}),
    (rosenbrock, {"line_search_fn": "strong_wolfe", "max_iter": 5, "max_eval": 7}),
    (rosenbrock, {"line_search_fn": "strong_wolfe", "history_size": 2, "lr": 0.5}),
    (rosenbrock, {"line_search_fn": "strong_wolfe", "max_iter": 3, "max_eval": 1}),
    (bowl, {"max_iter": 5, "lr": 0.3}),
    (bowl, {"line_search_fn": "strong_wolfe", "max_iter": 3, "lr": 20}),
    (bowl, {"max_iter": 50, "tolerance_grad": 1e-3}),
]


@pytest.mark.parametrize(("loss", "options"), LBFGS)
def test_lbfgs(loss, options):
    rng = np.random.default_rng(1)
    values = [rng.uniform(-1, 1, s) for s in ((2,), (2,), (1, 1))]
    sets = [[m.tensor(v, requires_grad=True) for v in values] for m in (mg, torch)]
    pair = [m.optim.LBFGS(p, **options) for m, p in zip((mg, torch), sets, strict=True)]
    assert repr(pair[0]) == repr(pair[1])
    # A short history on this valley makes much of every rounding error.
    for step in range(2 if "history_size" in options else 10):
        calls, losses = [0, 0], []
        for which, (optimizer, p) in enumerate(zip(pair, sets, strict=True)):

            def closure(optimizer=optimizer, p=p, which=which, calls=calls):
                calls[which] += 1
                optimizer.zero_grad()
                value = loss(p)
                value.backward()
                return value

            losses.append(optimizer.step(closure).item())
        assert calls[0] == calls[1]
        assert losses[0] == pytest.approx(losses[1], rel=1e-6, abs=1e-12)
        for a, b in zip(*sets, strict=True):
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), 1e-6, 1e-7)
        ours, theirs = pair[0].state_dict()["state"], pair[1].state_dict()["state"]
        assert set(ours[0]) == set(theirs[0])
        assert ours[0]["func_evals"] == theirs[0]["func_evals"]
        assert ours[0]["n_iter"] == theirs[0]["n_iter"]
        if step == 4:
            saved = pair[1].state_dict()
            pair[1].load_state_dict(to_torch(pair[0].state_dict()))
            pair[0].load_state_dict(saved)


@pytest.mark.parametrize(
    "call",
    [
        lambda m, p: m.optim.LBFGS([p], lr=-1),
        lambda m, p: m.optim.LBFGS([{"params": [p]}, {"params": [p.detach().clone()]}]),
        lambda m, p: m.optim.LBFGS([p]).step(),
        lambda m, p: m.optim.LBFGS([p], line_search_fn="a").step(
            lambda: p.mean().backward() or p.mean()
        ),
        lambda m, p: m.optim.Muon([p[0].detach()]),
        lambda m, p: m.optim.Muon([p], lr=-1),
        lambda m, p: m.optim.Muon([p], momentum=-1),
        lambda m, p: m.optim.Muon([p], weight_decay=-1),
        lambda m, p: m.optim.Muon([p], adjust_lr_fn="a"),
        lambda m, p: stepped(m.optim.Muon([p], ns_steps=100), p),
        lambda m, p: stepped(m.optim.Muon([p], ns_coefficients=(1, 2)), p),
    ],
)
def test_error_types_of_the_rest(call):
    found = []
    for m in (mg, torch):
        with pytest.raises(Exception) as raised:
            call(m, m.ones(2, 2, requires_grad=True))
        found.append(raised.type)
    assert found[0] is found[1]


def stepped(optimizer, p):
    p.sum().backward()
    optimizer.step()
