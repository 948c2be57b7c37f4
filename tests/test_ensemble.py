"""Ensembles: a step equals those of the networks by themselves; members, decisions, snapshots."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.autograd import gradcheck, gradgradcheck
from minigrad.kernels import record
from minigrad.ops.matmul import LinearBatch


def mlp():
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 7), nn.Tanh(), nn.Linear(7, 4))


def normalised():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.LayerNorm(8),
        nn.Sequential(nn.Linear(8, 8, bias=False), nn.Sigmoid()), nn.Linear(8, 4),
    )  # fmt: skip


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, groups=2), nn.GroupNorm(3, 6), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4),
    )  # fmt: skip


def convolved_later():
    return nn.Sequential(
        nn.Identity(), nn.ReLU(), nn.Conv2d(2, 3, 2, bias=False, padding=1, padding_mode="reflect"),
        nn.Softmax(1), nn.LayerNorm((5, 5)), nn.Conv2d(3, 2, 2, stride=2), nn.Flatten(1),
        nn.Linear(8, 4), nn.LogSoftmax(-1),
    )  # fmt: skip


def signals():
    return nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4, momentum=None), nn.Tanh(),
                         nn.Flatten(), nn.Linear(16, 4))  # fmt: skip


class Own(nn.Module):
    """A layer that the ensemble does not know."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(mg.randn(6))

    def forward(self, x):
        return x * self.scale


def with_own():
    return nn.Sequential(Own(), nn.Linear(6, 4))


def recurrent():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(3, 4, batch_first=True)

        def forward(self, x):
            return self.gru(x)[0][:, -1]

    Last.stacked = staticmethod(nn.Ensemble.separately)
    return lambda: nn.Sequential(Last(), nn.Linear(4, 4))


SEPARATELY = {Own: nn.Ensemble.separately}
NETS = [
    (mlp, (5, 6), {}),
    (normalised, (5, 3, 4), {}),
    (lenet, (5, 1, 8, 8), {}),
    (convolved_later, (5, 2, 4, 4), {}),
    (signals, (5, 2, 6), {}),
    (with_own, (5, 6), SEPARATELY),
    (recurrent(), (5, 2, 3), {}),
]
nets = pytest.mark.parametrize(("make", "shape", "converters"), NETS)


def close(a, b, tolerance=1e-9):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), tolerance, tolerance)


@nets
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("each", [False, True], ids=["shared", "each its own"])
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_training_equals_that_of_separate_networks(make, shape, converters, count, each, kind):
    """Same starting values, same data, in float64: equal to rounding after four steps."""
    members = [make().double() for _ in range(count)]
    ensemble = nn.Ensemble.from_members(members, converters=converters)
    options = {"lr": 0.05} if kind == "Adam" else {"lr": 0.05, "momentum": 0.9}
    optimizer = getattr(optim, kind)(ensemble.parameters(), **options)
    others = [getattr(optim, kind)(member.parameters(), **options) for member in members]
    criterion = nn.CrossEntropyLoss(weight=mg.tensor([1.0, 2.0, 0.5, 1.0], dtype=mg.float64),
                                    label_smoothing=0.1)  # fmt: skip
    for _ in range(4):
        x = mg.randn((count, *shape) if each else shape, dtype=mg.float64)
        y = mg.randint(0, 4, (count, shape[0]) if each else shape[:1])
        optimizer.zero_grad()
        output = ensemble(x, each)
        assert output.shape == (count, shape[0], 4)
        loss = ensemble.loss(output, y, criterion, each)
        loss.backward()
        optimizer.step()
        total = 0.0
        for k, (member, other) in enumerate(zip(members, others, strict=True)):
            other.zero_grad()
            result = member(x[k] if each else x)
            close(output[k], result)
            value = criterion(result, y[k] if each else y)
            value.backward()
            other.step()
            total += value.item()
        assert loss.item() == pytest.approx(total, rel=1e-9)
    for k, member in enumerate(members):
        wanted, found = member.state_dict(), ensemble.member(k).state_dict()
        assert list(wanted) == list(found)
        for name, value in wanted.items():
            close(found[name], value, 1e-7)
    ensemble.eval()
    x = mg.randn(shape, dtype=mg.float64)
    for k, member in enumerate(members):
        close(ensemble(x)[k], member.eval()(x), 1e-7)
        close(ensemble.member(k)(x), member(x), 1e-7)


@nets
def test_members_go_in_and_out(make, shape, converters):
    ensemble = nn.Ensemble(make, 2, converters=converters)
    assert len(ensemble) == ensemble.count == 2
    other = make()
    ensemble.load_member(1, other)
    ensemble.eval(), other.eval()
    x = mg.randn(shape)
    close(ensemble(x)[1], other(x), 1e-5)
    first, second = ensemble.members()
    close(ensemble(x)[0], first(x), 1e-5)
    close(second(x), other(x), 1e-5)
    twin = copy.deepcopy(ensemble)
    for parameter in first.parameters():
        parameter.data = parameter.detach() * 0
    close(twin(x), ensemble(x), 1e-6)
    fresh = nn.Ensemble(make, 2, converters=converters).eval()
    fresh.load_state_dict(ensemble.state_dict())
    close(fresh(x), ensemble(x), 1e-6)


def test_the_state_dict_has_the_members_names():
    ensemble = nn.Ensemble(lambda: nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), 4)
    state = ensemble.state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "net.0.weight": (4, 3, 2), "net.0.bias": (4, 3),
        "net.1.weight": (4, 3), "net.1.bias": (4, 3),
        "net.1.running_mean": (4, 3), "net.1.running_var": (4, 3),
        "net.1.num_batches_tracked": (),
    }  # fmt: skip
    assert "4 x Linear(in_features=2, out_features=3, bias=True)" in repr(ensemble)
    single = nn.Ensemble(lambda: nn.Linear(2, 3), 2)
    assert single(mg.ones(5, 2)).shape == (2, 5, 3)


@nets
def test_members_have_the_dtype_of_the_stack(make, shape, converters):
    ensemble = nn.Ensemble(make, 2, converters=converters).double().eval()
    x = mg.randn(shape, dtype=mg.float64)
    member = ensemble.member(1)
    close(member(x), ensemble(x)[1], 1e-12)
    other = make().double().eval()
    ensemble.load_member(0, other)
    close(other(x), ensemble(x)[0], 1e-12)
    frozen = ensemble.requires_grad_(False).member(0)
    assert not any(p.requires_grad for p in frozen.parameters())


def test_random_layers_draw_for_each_network():
    ensemble = nn.Ensemble(lambda: nn.Sequential(nn.Dropout(0.5), nn.Identity()), 2)
    a, b = ensemble(mg.ones(20, 20))
    assert not mg.equal(a, b)
    convolved = nn.Ensemble(lambda: nn.Sequential(nn.Dropout2d(0.5), nn.Flatten()), 2)
    a, b = convolved(mg.ones(20, 20, 2, 2))
    assert not mg.equal(a, b) and a.reshape(20, 20, 4).std(-1).max() == 0


def test_the_layout_of_the_input():
    ensemble = nn.Ensemble(mlp, 3)
    x = mg.randn(3, 5, 6)
    assert ensemble(x[0]).shape == ensemble(x).shape == (3, 5, 4)
    close(ensemble(x)[1], ensemble(x[1])[1], 1e-5)
    with pytest.raises(ValueError, match="for 3 networks"):
        ensemble(mg.randn(2, 5, 6))
    sequences = ensemble(mg.randn(7, 5, 6), each=False)
    assert sequences.shape == (3, 7, 5, 4)


def test_a_step_is_replayed():
    x, y = mg.randn(8, 6), mg.randint(0, 4, (8,))
    results = []
    mg.manual_seed(2)
    start = nn.Ensemble(mlp, 3).state_dict()
    for replayed in (False, True):
        ensemble = nn.Ensemble(mlp, 3)
        ensemble.load_state_dict(start)
        optimizer = optim.Adam(ensemble.parameters())

        def step():
            optimizer.zero_grad()  # noqa: B023
            ensemble.loss(ensemble(x), y, nn.CrossEntropyLoss()).backward()  # noqa: B023
            optimizer.step()  # noqa: B023

        step()
        if replayed:
            with record() as plan:
                step()
            plan.replay()
        else:
            step()
            step()
        results.append([p.detach().numpy().copy() for p in ensemble.parameters()])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("criterion", [
    nn.MSELoss(), nn.MSELoss(reduction="sum"), lambda a, b: (a - b).abs().max(),
])  # fmt: skip
def test_losses_of_other_kinds(criterion):
    ensemble = nn.Ensemble(mlp, 3)
    x, y = mg.randn(5, 6), mg.randn(5, 4)
    output = ensemble(x)
    wanted = sum(criterion(output[k], y).item() for k in range(3))
    assert ensemble.loss(output, y, criterion).item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("shape", [(4, 2), (3, 4, 2)], ids=["shared", "each its own"])
def test_the_product_of_a_batch_of_layers(shape):
    operands = [mg.randn(s, dtype=mg.float64).requires_grad_() for s in (shape, (3, 5, 2), (3, 5))]
    x, weight, bias = (each.detach().numpy() for each in operands)
    wanted = x @ weight.swapaxes(1, 2) + bias[:, None]
    np.testing.assert_allclose(LinearBatch().apply(*operands).detach().numpy(), wanted, 1e-12)
    assert gradcheck(lambda *given: LinearBatch().apply(*given), operands)
    assert gradgradcheck(lambda *given: LinearBatch().apply(*given), operands)
    strided = mg.randn(5, 6, dtype=mg.float64)[:, ::2].t()
    got = LinearBatch().apply(operands[0], operands[1], strided)
    wanted = x @ weight.swapaxes(1, 2) + strided.numpy()[:, None]
    np.testing.assert_allclose(got.detach().numpy(), wanted, 1e-12)


# ---- decisions ----


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


DECISIONS = {
    "probabilities": lambda outputs: softmax(outputs).mean(0),
    "logits": lambda outputs: outputs.mean(0),
    "votes": lambda outputs: np.eye(4)[outputs.argmax(-1)].mean(0),
}


@pytest.mark.parametrize("how", DECISIONS)
def test_decisions(how):
    ensemble = nn.Ensemble(mlp, 5)
    x = mg.randn(6, 6)
    wanted = DECISIONS[how](ensemble(x).detach().numpy())
    np.testing.assert_allclose(ensemble.predict(x, how).detach().numpy(), wanted, 1e-5, 1e-6)
    averaging = nn.Averaging(ensemble.members(), how)
    np.testing.assert_allclose(averaging(x).detach().numpy(), wanted, 1e-5, 1e-6)
    unlike = nn.Averaging([mlp(), nn.Linear(6, 4)], how)
    outputs = np.stack([m(x).detach().numpy() for m in unlike.members])
    np.testing.assert_allclose(unlike(x).detach().numpy(), DECISIONS[how](outputs), 1e-5, 1e-6)
    assert f"how='{how}'" in repr(unlike)


def test_snapshots():
    model = mlp()
    optimizer = optim.SGD([{"params": model[0].parameters()},
                           {"params": model[2].parameters(), "lr": 1.0}], lr=0.4)  # fmt: skip
    snapshots = nn.SnapshotEnsemble(model, optimizer, cycle_length=5)
    with pytest.raises(ValueError, match="no cycle has ended"):
        snapshots.averaging()
    rates, ended = [], []
    for _ in range(12):
        rates.append([group["lr"] for group in optimizer.param_groups])
        ended.append(snapshots.step())
    curve = [0.5 * (math.cos(math.pi * ((t - 1) % 5) / 5) + 1) for t in range(1, 13)]
    np.testing.assert_allclose(rates, [[0.4 * c, 1.0 * c] for c in curve], 1e-12)
    assert [i for i, each in enumerate(ended) if each] == [4, 9] and len(snapshots.snapshots) == 2
    x = mg.randn(3, 6)
    kept = snapshots.snapshots[1](x)
    model[0].weight.data = mg.zeros(9, 6)
    assert mg.equal(snapshots.snapshots[1](x), kept)
    close(snapshots.averaging(last=1, how="logits")(x), kept, 1e-6)
    other = nn.SnapshotEnsemble(mlp(), optim.SGD(mlp().parameters(), lr=9.0), 5)
    other.max_lrs = [9.0]
    state = snapshots.state_dict()
    other.optimizer = optimizer
    other.load_state_dict(state)
    close(other.averaging()(x), snapshots.averaging()(x), 1e-6)
    assert other.steps == 12


# ---- errors ----


def unlike():
    sizes = iter([3, 4])
    return lambda: nn.Sequential(nn.Linear(2, next(sizes)))


def unlike_counts():
    members = [nn.BatchNorm1d(3), nn.BatchNorm1d(3)]
    members[0](mg.randn(4, 3))
    return nn.Ensemble.from_members(members)


def tied():
    layer = nn.Linear(3, 3)
    return nn.Sequential(layer, nn.ReLU(), layer)


def pruned():
    net = mlp()
    nn.utils.prune.identity(net[0], "weight")
    return net


SINGLE = nn.Linear(2, 2)
ERRORS = [
    (lambda: nn.Ensemble(tied, 2), NotImplementedError, "tied"),
    (lambda: nn.Ensemble(pruned, 2), NotImplementedError, r"Linear \(0\) has hooks"),
    (lambda: nn.Ensemble(lambda: SINGLE, 2), ValueError, "the same module twice"),
    (lambda: nn.Ensemble(lambda: nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), 2),
     NotImplementedError, "ParametrizedLinear"),
    (lambda: nn.Ensemble(mlp, 0), ValueError, "at least 1"),
    (lambda: nn.Ensemble.from_members([]), ValueError, "at least one"),
    (lambda: nn.Ensemble(lambda: 3, 2), TypeError, "not a Module"),
    (lambda: nn.Ensemble(unlike(), 2), ValueError, "the members differ in 0"),
    (lambda: nn.Ensemble(with_own, 2), NotImplementedError, r"Own \(0\).*separately"),
    (lambda: nn.Ensemble(lambda: nn.MaxPool2d(2, return_indices=True), 2), NotImplementedError,
     "MaxPool2d"),
    (lambda: nn.Ensemble(Own, 2, converters={Own: lambda members: members[0]}), TypeError,
     "returned a Own"),
    (unlike_counts, ValueError, "unlike many batches"),
    (lambda: nn.Ensemble(mlp, 2).member(2), IndexError, "no network 2"),
    (lambda: nn.Ensemble(mlp, 2).load_member(0, nn.Linear(2, 2)), RuntimeError, "Missing"),
    (lambda: nn.Ensemble(mlp, 2).predict(mg.ones(1, 6), "mean"), ValueError, "how must be"),
    (lambda: nn.Averaging([]), ValueError, "at least one"),
    (lambda: nn.Averaging([mlp()], "mean"), ValueError, "how must be"),
    (lambda: nn.SnapshotEnsemble(mlp(), optim.SGD(mlp().parameters(), lr=1.0), 0), ValueError,
     "at least 1"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS)
def test_errors(call, kind, text):
    with pytest.raises(kind, match=text):
        call()
