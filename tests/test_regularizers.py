"""Regularizers against their formulas in NumPy: penalty, gradient, each form; choice; replay."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad import regularizers as R
from minigrad.autograd import gradcheck, gradgradcheck
from minigrad.kernels import record


def rows(w):
    return w.reshape(len(w), -1)


def row_norms(w):
    return np.sqrt((rows(w) ** 2).sum(1)).reshape(-1, *[1] * (w.ndim - 1))


def soft(w, a):
    return np.sign(w) * np.maximum(np.abs(w) - a, 0)


def excess(w):
    w = rows(w)
    return w @ w.T - np.eye(len(w)) if w.shape[0] <= w.shape[1] else w.T @ w - np.eye(w.shape[1])


def over_excess(w):
    e, m = excess(w), rows(w)
    return (4 * (e @ m if len(m) <= m.shape[1] else m @ e)).reshape(w.shape)


def shrunk(w, norm, a):
    return w * np.maximum(1 - a / np.maximum(norm, 1e-300), 0)


def p_norm(w, p):
    return (np.abs(w) ** p).sum() ** (1 / p)


# name: (made of λ, penalty, gradient, proximal step of a = lr λ), in NumPy and without λ
CASES = {
    "L1": (R.L1, lambda w: np.abs(w).sum(), np.sign, soft),
    "L2": (R.L2, lambda w: (w**2).sum(), lambda w: 2 * w, lambda w, a: w / (1 + 2 * a)),
    "half L2": (
        lambda s: R.L2(s, half=True), lambda w: (w**2).sum() / 2, lambda w: w,
        lambda w, a: w / (1 + a),
    ),
    "1-norm": (lambda s: R.PNorm(s, 1), lambda w: np.abs(w).sum(), np.sign, soft),
    "2-norm": (
        lambda s: R.PNorm(s, 2), lambda w: p_norm(w, 2), lambda w: w / p_norm(w, 2),
        lambda w, a: shrunk(w, p_norm(w, 2), a),
    ),
    "3-norm": (
        lambda s: R.PNorm(s, 3), lambda w: p_norm(w, 3),
        lambda w: np.sign(w) * (np.abs(w) / p_norm(w, 3)) ** 2, None,
    ),
    "20-norm": (
        lambda s: R.PNorm(s, 20), lambda w: p_norm(w, 20),
        lambda w: np.sign(w) * (np.abs(w) / p_norm(w, 20)) ** 19, None,
    ),
    "inf-norm": (
        lambda s: R.PNorm(s, math.inf), lambda w: np.abs(w).max(),
        lambda w: np.sign(w) * (np.abs(w) == np.abs(w).max()), None,
    ),
    "rows": (
        R.GroupLasso, lambda w: row_norms(w).sum() * math.sqrt(w[0].size),
        lambda w: w / row_norms(w) * math.sqrt(w[0].size),
        lambda w, a: shrunk(w, row_norms(w), a * math.sqrt(w[0].size)),
    ),
    "columns": (
        lambda s: R.GroupLasso(s, dim=1, scaled=False),
        lambda w: row_norms(w.swapaxes(0, 1)).sum(),
        lambda w: (w.swapaxes(0, 1) / row_norms(w.swapaxes(0, 1))).swapaxes(0, 1),
        lambda w, a: shrunk(w.swapaxes(0, 1), row_norms(w.swapaxes(0, 1)), a).swapaxes(0, 1),
    ),
    "orthogonality": (R.Orthogonality, lambda w: (excess(w) ** 2).sum(), over_excess, None),
}  # fmt: skip


def net():
    return nn.Sequential(
        nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(20, 3)
    ).double()


def weights(model):
    return [model[0].weight, model[3].weight]


def arrays(model):
    return [p.detach().numpy().copy() for p in model.parameters()]


@pytest.mark.parametrize("name", CASES)
def test_penalty_and_its_gradient(name):
    make, penalty, gradient, _ = CASES[name]
    model, regularizer = net(), make(0.3)
    value = regularizer(model)
    assert value.shape == () and value.dtype is mg.float64
    wanted = 0.3 * sum(penalty(p.detach().numpy()) for p in weights(model))
    np.testing.assert_allclose(value.item(), wanted, 1e-10)
    np.testing.assert_allclose(regularizer.bind(model)().item(), wanted, 1e-10)
    value.backward()
    for parameter in weights(model):
        wanted = 0.3 * gradient(parameter.detach().numpy())
        np.testing.assert_allclose(parameter.grad.numpy(), wanted, 1e-8, 1e-12)
        got = regularizer.gradient_of(parameter.detach())
        np.testing.assert_allclose(0.3 * got.numpy(), wanted, 1e-8, 1e-12)
    others = [p for p in model.parameters() if all(p is not w for w in weights(model))]
    assert len(others) == 4 and all(p.grad is None for p in others)

    layer = nn.Linear(3, 2, bias=False).double()

    def call(weight):
        layer.weight.data = weight.detach()
        return R.base.Penalty(regularizer, mg.tensor(0.3, dtype=mg.float64)).apply(weight)

    weight = mg.randn(3, 2, dtype=mg.float64).requires_grad_()
    assert gradcheck(call, (weight,)) and gradgradcheck(call, (weight,))


@pytest.mark.parametrize("name", CASES)
def test_at_zero_nothing_is_nan(name):
    make = CASES[name][0]
    model = nn.Linear(4, 3)
    model.weight.data = mg.zeros(3, 4)
    regularizer = make(0.5)
    regularizer(model).backward()
    assert (model.weight.grad == 0).all()
    for form in ("decoupled", "proximal"):
        if form == "decoupled" or CASES[name][3] is not None:
            regularizer.step_(model, 0.1, form=form)
            assert (model.weight == 0).all()
            regularizer.strength = 0.0
            regularizer.step_(model, 0.1, form=form)
            assert (model.weight == 0).all()


@pytest.mark.parametrize("form", ["gradient", "decoupled", "proximal"])
@pytest.mark.parametrize("name", CASES)
def test_in_the_optimizer(name, form):
    make, _, gradient, proximal = CASES[name]
    model, regularizer = net(), make(0.07)
    optimizer = optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    if form == "proximal" and proximal is None:
        with pytest.raises(NotImplementedError, match="proximal"):
            regularizer.attach(optimizer, model, form=form)
        return
    attached = regularizer.attach(optimizer, model, form=form)
    for parameter in model.parameters():
        parameter.grad = mg.randn(parameter.shape, dtype=mg.float64)
    before = arrays(model)
    grads = [p.grad.numpy().copy() for p in model.parameters()]
    optimizer.step()
    chosen = [any(p is w for w in weights(model)) for p in model.parameters()]
    for start, g, taken, after in zip(before, grads, chosen, arrays(model), strict=True):
        wanted = start - 0.5 * g
        if taken and form == "proximal":
            wanted = proximal(wanted, 0.5 * 0.07)
        elif taken:
            wanted = wanted - 0.5 * 0.07 * gradient(start)
        np.testing.assert_allclose(after, wanted, 1e-8, 1e-12)
    attached.remove()
    before = arrays(model)
    for parameter in model.parameters():
        parameter.grad = mg.zeros_like(parameter.detach())
    optimizer.zero_grad()
    optimizer.step()
    for start, after in zip(before, arrays(model), strict=True):
        np.testing.assert_array_equal(start, after)


def train(model, optimizer, loss=None, steps=5):
    mg.manual_seed(5)
    for _ in range(steps):
        x, y = mg.randn(8, 6), mg.randint(0, 3, (8,))
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(model(x), y)
        (value if loss is None else value + loss(model)).backward()
        optimizer.step()
    return arrays(model)


def mlp():
    mg.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


def groups(model, **options):
    return [
        {"params": [p for p in model.parameters() if p.dim() > 1], **options},
        {"params": [p for p in model.parameters() if p.dim() == 1]},
    ]


@pytest.mark.parametrize(
    ("kind", "form", "options"),
    [
        (optim.SGD, "gradient", {"lr": 0.1, "momentum": 0.9}),
        (optim.Adam, "gradient", {"lr": 0.1}),
        (optim.AdamW, "decoupled", {"lr": 0.1}),
    ],
)
def test_half_l2_is_weight_decay(kind, form, options):
    none = {"weight_decay": 0.0} if kind is optim.AdamW else {}
    model = mlp()
    wanted = train(model, kind(groups(model, weight_decay=0.3), **options, **none))
    model = mlp()
    optimizer = kind(groups(model), **options, **none)
    R.L2(0.3, half=True).attach(optimizer, model, form=form)
    for a, b in zip(wanted, train(model, optimizer), strict=True):
        np.testing.assert_allclose(a, b, 1e-5, 1e-6)
    if form == "gradient":  # and so is the penalty
        model = mlp()
        got = train(model, kind(groups(model), **options), R.L2(0.3, half=True))
        for a, b in zip(wanted, got, strict=True):
            np.testing.assert_allclose(a, b, 1e-4, 1e-5)


def test_proximal_l1_makes_zeros_and_the_penalty_does_not():
    counts = []
    for proximal in (True, False):
        model = mlp()
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        if proximal:
            R.L1(0.1).attach(optimizer, model, form="proximal")
        train(model, optimizer, None if proximal else R.L1(0.1), steps=60)
        counts.append(int((model[0].weight == 0).sum().item()))
    assert counts[0] > 15 and counts[1] == 0


def test_one_of_ones_own():
    class Barrier(R.Regularizer):
        def penalty(self, parameter):
            return (1 + parameter.square()).log().sum()

    class Faster(Barrier):
        def gradient_of(self, parameter):
            return 2 * parameter / (1 + parameter.square())

    model = mlp()
    results = []
    for kind in (Barrier, Faster):
        model.zero_grad()
        kind(0.3)(model).backward()
        results.append([p.grad.numpy().copy() for p in model.parameters() if p.dim() > 1])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, 1e-5, 1e-7)
    with pytest.raises(NotImplementedError, match="Barrier has no gradient"):
        Barrier(0.3).step_(model, form="decoupled")


# ---- sums ----


def test_elastic_net_and_sums():
    model = net()
    w = [p.detach().numpy().copy() for p in weights(model)]
    wanted = sum(0.1 * np.abs(each).sum() + 0.2 * (each**2).sum() for each in w)
    together = R.L1(0.1) + R.L2(0.2)
    elastic = R.ElasticNet(0.1, 0.2)
    for each in (together, elastic, R.L1(0.1) + elastic):
        total = wanted + (0.1 * sum(np.abs(x).sum() for x in w) if len(each.parts) == 3 else 0)
        np.testing.assert_allclose(each(model).item(), total, 1e-10)
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    attached = elastic.attach(optimizer, model, form="proximal")
    for parameter in model.parameters():
        parameter.grad = mg.zeros_like(parameter.detach())
    optimizer.step()
    for start, parameter in zip(w, weights(model), strict=True):
        wanted = soft(start, 0.05) / (1 + 2 * 0.5 * 0.2)
        np.testing.assert_allclose(parameter.detach().numpy(), wanted, 1e-10, 1e-14)
    attached.remove()
    assert repr(together) == "L1(0.1) + L2(0.2)"


# ---- the constraint and the noise ----


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_max_norm(dim):
    model = nn.Linear(7, 5).double()
    w = model.weight.detach().numpy().copy()
    other = 1 - dim % 2
    norms = np.sqrt((w**2).sum(other, keepdims=True))
    c = float(np.median(norms))
    R.MaxNorm(c, dim).step_(model)
    np.testing.assert_allclose(model.weight.detach().numpy(), w * np.minimum(c / norms, 1), 1e-12)
    optimizer = optim.SGD(model.parameters(), lr=100.0)
    R.MaxNorm(c, dim).attach(optimizer, model)
    model.weight.grad = mg.randn(5, 7, dtype=mg.float64)
    optimizer.step()
    assert (model.weight.norm(2, other) <= c * (1 + 1e-12)).all()
    with pytest.raises(NotImplementedError, match="no penalty"):
        R.MaxNorm(c)(model)
    with pytest.raises(NotImplementedError, match="proximal"):
        R.MaxNorm(c).attach(optimizer, model, form="decoupled")


def test_gradient_noise_anneals_and_replays():
    model = nn.Linear(100, 100)
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    noise = R.GradientNoise(eta=0.5, gamma=0.55)
    attached = noise.attach(optimizer, model)
    found = []

    def step():
        for parameter in model.parameters():
            parameter.grad = mg.zeros_like(parameter.detach())
        optimizer.step()

    for _ in range(3):
        before = model.weight.detach().clone()
        step()
        found.append((model.weight - before).std().item())
    with record() as plan:
        step()
    for _ in range(30):
        plan.replay()
    before = model.weight.detach().clone()
    plan.replay()
    found.append((model.weight - before).std().item())
    wanted = [math.sqrt(0.5 / (1 + t) ** 0.55) for t in (0, 1, 2, 34)]
    np.testing.assert_allclose(found, wanted, rtol=0.05)
    assert noise.steps.item() == 35
    attached.remove()
    for call in (
        lambda: noise(model),
        lambda: noise.step_(model),
        lambda: noise.attach(optimizer, model, form="proximal"),
    ):
        with pytest.raises(NotImplementedError, match="GradientNoise has no"):
            call()


# ---- what is chosen ----


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.norm = nn.BatchNorm2d(2)
        self.fc1 = nn.Linear(8, 4)
        self.fc2 = nn.Linear(4, 3)
        nn.utils.parametrizations.weight_norm(self.fc1)
        nn.utils.prune.l1_unstructured(self.fc2, "weight", 0.5)


CHOICES = [
    ({}, ["conv.weight", "fc2.weight", "fc1.weight", "fc1.weight"]),
    ({"modules": nn.Conv2d}, ["conv.weight"]),
    ({"modules": (nn.Conv2d, nn.BatchNorm2d)}, ["conv.weight"]),
    ({"names": "fc*.weight"}, ["fc1.weight", "fc1.weight", "fc2.weight"]),
    ({"names": ["conv.bias", "norm.*"]}, ["conv.bias", "norm.weight", "norm.bias"]),
    ({"modules": nn.Linear, "names": "*"},
     ["fc1.bias", "fc1.weight", "fc1.weight", "fc2.bias", "fc2.weight"]),
]  # fmt: skip


@pytest.mark.parametrize(("options", "wanted"), CHOICES, ids=str)
def test_choice(options, wanted):
    model = Net()
    terms = R.L2(0.1, **options).terms(model)
    assert sorted(name for name, _, _ in terms) == sorted(wanted)


def test_each_layer_has_its_own_strength():
    model = mlp()
    regularizer = R.L2({"0.*": 0.1, "2.weight": 0.4})
    wanted = 0.1 * model[0].weight.square().sum() + 0.4 * model[2].weight.square().sum()
    assert mg.allclose(regularizer(model), wanted)
    regularizer.strength = {"2.weight": 0.0}
    assert mg.allclose(regularizer(model), 0.1 * model[0].weight.square().sum())
    assert regularizer.strength == {"0.*": 0.1, "2.weight": 0.0}


def test_the_choice_follows_changes_of_the_model():
    model, regularizer = mlp(), R.L1(1.0)
    before = regularizer(model).item()
    assert regularizer.terms(model) is regularizer.terms(model)
    model[2] = nn.Linear(5, 3)
    model[2].weight.data = mg.zeros(3, 5)
    assert regularizer(model).item() < before
    model.append(nn.Linear(3, 2))
    assert len(regularizer.terms(model)) == 3
    model[0].weight = nn.Parameter(mg.zeros(5, 6))
    assert regularizer(model).item() == pytest.approx(model[3].weight.abs().sum().item())


def test_without_a_model_the_optimizers_weights_are_chosen():
    model = mlp()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    R.L2(0.5).attach(optimizer)
    start = arrays(model)
    for parameter in model.parameters():
        parameter.grad = mg.zeros_like(parameter.detach())
    optimizer.step()
    for before, parameter in zip(start, model.parameters(), strict=True):
        factor = 0.9 if parameter.dim() == 2 else 1.0
        np.testing.assert_allclose(parameter.detach().numpy(), before * factor, 1e-6)
    with pytest.raises(ValueError, match="pass it"):
        R.L2(0.5, names="*").attach(optimizer)


# ---- plans, schedules, learning rates ----


@pytest.mark.parametrize("form", ["gradient", "decoupled", "proximal", "penalty"])
def test_a_replayed_step_follows_lr_and_strength(form):
    results = []
    for replayed in (False, True):
        model = mlp()
        x, y = mg.randn(8, 6), mg.randint(0, 3, (8,))
        optimizer = optim.Adam(model.parameters(), lr=0.1)
        regularizer = R.L1(0.01)
        if form != "penalty":
            regularizer.attach(optimizer, model, form=form)

        def step():
            optimizer.zero_grad()  # noqa: B023
            loss = nn.functional.cross_entropy(model(x), y)  # noqa: B023
            if form == "penalty":
                loss = loss + regularizer(model)  # noqa: B023
            loss.backward()
            optimizer.step()  # noqa: B023

        step()
        if replayed:
            with record() as plan:
                step()
        else:
            step()
        for index in range(3):
            optimizer.param_groups[0]["lr"] = 0.1 / (index + 2)
            regularizer.strength = 0.02 * (index + 1)
            plan.replay() if replayed else step()
        results.append(arrays(model))
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_learning_rates_of_any_optimizer():
    class Plain(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        def step(self, closure=None):
            pass

    for kind, lr in ((Plain, 0.25), (optim.SGD, 0.25), (optim.SGD, mg.tensor(0.25))):
        model = nn.Linear(2, 2)
        start = model.weight.detach().clone()
        optimizer = kind(model.parameters(), lr=lr)
        R.L2(1.0, half=True).attach(optimizer, model)
        optimizer.step()
        assert mg.allclose(model.weight, start * 0.75)
        if not isinstance(lr, mg.Tensor):
            optimizer.param_groups[0]["lr"] = 0.5
            optimizer.step()
            assert mg.allclose(model.weight, start * 0.375)


# ---- errors ----

ERRORS = [
    (lambda: R.L1(-1.0), ValueError, "at least 0"),
    (lambda: R.L2(float("nan")), ValueError, "at least 0"),
    (lambda: R.PNorm(0.1, 0.5), ValueError, "at least 1"),
    (lambda: R.GradientNoise(gamma=-1), ValueError, "gamma"),
    (lambda: R.L1(0.1)(nn.ReLU()), ValueError, "chooses no parameter"),
    (lambda: R.L1(0.1, names="x*")(nn.Linear(2, 2)), ValueError, "weight, bias"),
    (lambda: R.L1(0.1).step_(nn.Linear(2, 2), form="gradient"), ValueError, "step_"),
    (lambda: R.L1(0.1).step_(nn.Linear(2, 2), form="soft"), ValueError, "form must be"),
    (lambda: setattr(R.L1(0.1), "strength", {"a": 1.0}), KeyError, "no strength for 'a'"),
    (lambda: R.GroupLasso(0.1, dim=2)(nn.Linear(2, 2)), IndexError, "out of range"),
    (
        lambda: R.L1(0.1).attach(optim.SGD([mg.zeros(2)]), nn.Linear(2, 2)),
        ValueError,
        "none of the chosen",
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS, ids=lambda each: str(each)[:30])
def test_errors(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_a_closure_hides_its_gradient():
    model = nn.Linear(2, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    R.L1(0.1).attach(optimizer, model, form="gradient")
    with pytest.raises(RuntimeError, match="closure"):
        optimizer.step(lambda: model(mg.ones(1, 2)).sum())
