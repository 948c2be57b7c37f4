"""Learning rate schedules and averaged models side by side with torch."""

from __future__ import annotations

import numpy as np
import pytest
from schedule_table import BOTH

import minigrad as mg
from minigrad import nn, optim

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.torch,
    # a chain within a sequence makes its first step in the constructor, in torch as well
    pytest.mark.filterwarnings("ignore:Detected call"),
]

EPOCHS = 40
TOLERANCE = 1e-11


def optimizer(library, name="SGD", tensor=False):
    """Two groups with rates of their own, which make no steps worth the name."""
    groups = []
    for rate in (0.1, 0.4):
        rate = library.tensor(rate, dtype=library.float64) if tensor else rate
        groups.append({"params": [library.zeros(2, requires_grad=True)], "lr": rate})
    options = {"momentum": 0.9} if name == "SGD" else {}
    return getattr(library.optim, name)(groups, **options)


def rates(of):
    return [
        [float(group[key]) for key in ("lr", "momentum") if key in group]
        + [float(beta) for beta in group.get("betas", ())]
        for group in of.param_groups
    ]


def run(library, make, epochs=EPOCHS, **options):
    used = optimizer(library, **options)
    schedule = make(library.optim, used)
    curve = [rates(used)]
    for _ in range(epochs):
        used.step()
        schedule.step()
        curve.append(rates(used))
        last = [float(rate) for rate in schedule.get_last_lr()]
        assert last == [rate[0] for rate in curve[-1]]
    return schedule, curve


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("options", [{}, {"name": "Adam"}, {"tensor": True}], ids=str)
def test_forty_epochs(name, options):
    ours, curve = run(mg, BOTH[name], **options)
    theirs, expected = run(torch, BOTH[name], **options)
    np.testing.assert_allclose(curve, expected, TOLERANCE, 1e-12)
    assert ours.last_epoch == theirs.last_epoch if hasattr(theirs, "last_epoch") else True


@pytest.mark.parametrize("name", BOTH)
def test_state_dict_has_torchs_keys_and_goes_both_ways(name):
    ours, _ = run(mg, BOTH[name], 13)
    theirs, _ = run(torch, BOTH[name], 13)
    assert set(ours.state_dict()) == set(theirs.state_dict())
    mine, other = optimizer(mg), optimizer(torch)
    here, there = BOTH[name](mg.optim, mine), BOTH[name](torch.optim, other)
    here.load_state_dict(theirs.state_dict())
    there.load_state_dict(ours.state_dict())
    for group, source in zip(mine.param_groups, theirs.optimizer.param_groups, strict=True):
        group.update({key: value for key, value in source.items() if key != "params"})
    for group, source in zip(other.param_groups, ours.optimizer.param_groups, strict=True):
        group.update({key: value for key, value in source.items() if key != "params"})
    for _ in range(10):
        for each in (mine, other):
            each.step()
        for each in (here, there):
            each.step()
        np.testing.assert_allclose(rates(mine), rates(other), TOLERANCE, 1e-12)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize("cooldown", [0, 2])
def test_reduce_on_plateau(mode, threshold_mode, cooldown):
    metrics = np.random.default_rng(3).normal(1.0, 0.3, 60).cumsum() ** (-1) + 0.02
    metrics = metrics if mode == "min" else 1 / metrics
    made = []
    for library in (mg, torch):
        used = optimizer(library)
        schedule = library.optim.lr_scheduler.ReduceLROnPlateau(
            used, mode, 0.3, 2, 0.05, threshold_mode, cooldown, [1e-3, 1e-2]
        )
        curve = []
        for metric in metrics:
            schedule.step(metric)
            curve.append(rates(used))
        made.append((schedule, curve))
    np.testing.assert_allclose(made[0][1], made[1][1], TOLERANCE)
    assert set(made[0][0].state_dict()) == set(made[1][0].state_dict())
    assert made[0][0].state_dict() == made[1][0].state_dict()


@pytest.mark.parametrize("last_epoch", [0, 3, 6, 9])
@pytest.mark.parametrize(
    "name", [n for n in BOTH if "Sequential" not in n and "Chained" not in n and "each" not in n]
)
def test_last_epoch(name, last_epoch):
    """A schedule made for an optimizer that has been trained already."""
    curves = []
    for library in (mg, torch):
        used = optimizer(library)
        BOTH[name](library.optim, used)
        original = type(BOTH[name](library.optim, optimizer(library)))
        first = BOTH[name](library.optim, used)
        for _ in range(last_epoch):
            used.step()
            first.step()
        init = original.__init__

        def resumed(self, optimizer, *args, init=init, **options):
            init(self, optimizer, *args, **{**options, "last_epoch": last_epoch})

        original.__init__ = resumed
        try:
            schedule = BOTH[name](library.optim, used)
        finally:
            original.__init__ = init
        curve = [rates(used)]
        for _ in range(8):
            used.step()
            schedule.step()
            curve.append(rates(used))
        curves.append(curve)
    np.testing.assert_allclose(*curves, TOLERANCE, 1e-12)


@pytest.mark.parametrize(
    "name", ["StepLR", "MultiStepLR", "ExponentialLR", "PolynomialLR", "CosineAnnealingLR",
             "LambdaLR", "ConstantLR", "LinearLR", "CosineAnnealingWarmRestarts longer"]
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:The epoch parameter")
def test_step_to_an_epoch(name):
    curves = []
    for library in (mg, torch):
        used = optimizer(library)
        schedule = BOTH[name](library.optim, used)
        used.step()
        curve = []
        for epoch in (3, 17, 2, 0, 30):
            schedule.step(epoch)
            curve.append(rates(used))
        curves.append(curve)
    np.testing.assert_allclose(*curves, TOLERANCE, 1e-12)


WRONG = [
    lambda s, o, t: s.StepLR(3, 2),
    lambda s, o, t: s.StepLR(o, 2, last_epoch=3),
    lambda s, o, t: s.LambdaLR(o, [abs]),
    lambda s, o, t: s.MultiplicativeLR(o, 3),
    lambda s, o, t: s.ConstantLR(o, 2.0),
    lambda s, o, t: s.LinearLR(o, 0.0),
    lambda s, o, t: s.LinearLR(o, 0.5, 1.5),
    lambda s, o, t: s.SequentialLR(o, [], []),
    lambda s, o, t: s.SequentialLR(o, [s.StepLR(o, 2)], [3]),
    lambda s, o, t: s.SequentialLR(o, [s.ReduceLROnPlateau(o)], []),
    lambda s, o, t: s.SequentialLR(o, [3], []),
    lambda s, o, t: s.ChainedScheduler([]),
    lambda s, o, t: s.ChainedScheduler([s.ReduceLROnPlateau(o)]),
    lambda s, o, t: s.ChainedScheduler([s.StepLR(o, 2), s.StepLR(optimizer(t), 2)]),
    lambda s, o, t: s.ReduceLROnPlateau(o, factor=1.0),
    lambda s, o, t: s.ReduceLROnPlateau(3),
    lambda s, o, t: s.ReduceLROnPlateau(o, min_lr=[0.1]),
    lambda s, o, t: s.ReduceLROnPlateau(o, mode="best"),
    lambda s, o, t: s.ReduceLROnPlateau(o, threshold_mode="best"),
    lambda s, o, t: s.CyclicLR(3, 0.1, 0.2),
    lambda s, o, t: s.CyclicLR(o, [0.1], 0.2),
    lambda s, o, t: s.CyclicLR(o, 0.1, 0.2, mode="square"),
    lambda s, o, t: s.CosineAnnealingWarmRestarts(o, 0),
    lambda s, o, t: s.CosineAnnealingWarmRestarts(o, 2, 0),
    lambda s, o, t: s.CosineAnnealingWarmRestarts(o, 2, 1, "a"),
    lambda s, o, t: s.CosineAnnealingWarmRestarts(o, 2).step(-1),
    lambda s, o, t: s.OneCycleLR(o, 0.1),
    lambda s, o, t: s.OneCycleLR(o, 0.1, -3),
    lambda s, o, t: s.OneCycleLR(o, 0.1, epochs=3, steps_per_epoch=0),
    lambda s, o, t: s.OneCycleLR(o, 0.1, 10, pct_start=2.0),
    lambda s, o, t: s.OneCycleLR(o, 0.1, 10, anneal_strategy="square"),
    lambda s, o, t: [s.OneCycleLR(o, 0.1, 2).step() for _ in range(1)] and run(
        t, lambda m, o: m.lr_scheduler.OneCycleLR(o, 0.1, 2), 4),
    lambda s, o, t: t.optim.swa_utils.SWALR(o, 0.1, anneal_strategy="square"),
    lambda s, o, t: t.optim.swa_utils.SWALR(o, 0.1, -1),
    lambda s, o, t: t.optim.swa_utils.get_ema_avg_fn(2.0),
    lambda s, o, t: t.optim.swa_utils.get_ema_multi_avg_fn(-1.0),
]  # fmt: skip


@pytest.mark.parametrize("call", WRONG)
def test_errors_are_of_torchs_type(call):
    kinds = []
    for library in (mg, torch):
        with pytest.raises(Exception) as caught:
            call(library.optim.lr_scheduler, optimizer(library), library)
        kinds.append(caught.type)
    assert kinds[0] is kinds[1]


# ---- averages of weights ----

AVERAGES = {
    "mean": lambda s: {},
    "ema": lambda s: {"avg_fn": s.get_ema_avg_fn(0.8)},
    "ema of lists": lambda s: {"multi_avg_fn": s.get_ema_multi_avg_fn(0.9)},
    "mean of lists": lambda s: {"multi_avg_fn": s.get_swa_multi_avg_fn()},
    "mean with buffers": lambda s: {"use_buffers": True},
    "own": lambda s: {"avg_fn": lambda old, new, n: 0.5 * old + 0.5 * new},
}


def network(m):
    return m.Sequential(m.Linear(3, 4), m.BatchNorm1d(4), m.Linear(4, 2))


@pytest.mark.parametrize("name", AVERAGES)
def test_averaged_models(name):
    theirs = network(torch.nn)
    ours = network(nn)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    averaged = optim.swa_utils.AveragedModel(ours, **AVERAGES[name](optim.swa_utils))
    other = torch.optim.swa_utils.AveragedModel(theirs, **AVERAGES[name](torch.optim.swa_utils))
    assert list(averaged.state_dict()) == list(other.state_dict())
    assert repr(averaged) == repr(other)
    for _ in range(5):
        x = np.random.standard_normal((6, 3)).astype(np.float32)
        ours(mg.tensor(x))
        theirs(torch.tensor(x))
        with mg.no_grad(), torch.no_grad():
            for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
                change = np.random.standard_normal(tuple(p.shape)).astype(np.float32)
                p.add_(mg.tensor(change))
                q.add_(torch.tensor(change))
        averaged.update_parameters(ours)
        other.update_parameters(theirs)
    for key, value in averaged.state_dict().items():
        np.testing.assert_allclose(value.numpy(), other.state_dict()[key].numpy(), 2e-5, 1e-6)
    batches = [np.random.standard_normal((6, 3)).astype(np.float32) for _ in range(3)]
    optim.swa_utils.update_bn([mg.tensor(b) for b in batches], averaged)
    torch.optim.swa_utils.update_bn([torch.tensor(b) for b in batches], other)
    for key, value in averaged.state_dict().items():
        np.testing.assert_allclose(value.numpy(), other.state_dict()[key].numpy(), 2e-5, 1e-6)
