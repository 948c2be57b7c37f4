"""Learning rate schedules: formulas, resumption, previews, recorded steps."""

from __future__ import annotations

import copy
import math
import warnings

import numpy as np
import pytest
from schedule_table import BOTH, OURS

import minigrad as mg
from minigrad import optim
from minigrad.kernels import record

# A chain within a sequence makes its first step in the constructor, as torch's.
unwarned = pytest.mark.filterwarnings("ignore:Detected call")
ALL = {**BOTH, **{name: make for name, (make, _) in OURS.items()}}


def optimizer(kind=optim.SGD):
    groups = [{"params": [mg.zeros(2, requires_grad=True)], "lr": rate} for rate in (0.1, 0.4)]
    return kind(groups, momentum=0.9) if kind is optim.SGD else kind(groups)


def rates(of):
    return [group["lr"] for group in of.param_groups]


def advance(used, schedule, epochs):
    curve = []
    for _ in range(epochs):
        used.step()
        schedule.step()
        curve.append(rates(used))
    return curve


@pytest.mark.parametrize("name", OURS)
def test_formulas(name):
    make, formula = OURS[name]
    used = optimizer()
    schedule = make(optim, used)
    curve = [rates(used), *advance(used, schedule, 40)]
    expected = [[0.1 * formula(t), 0.4 * formula(t)] for t in range(41)]
    np.testing.assert_allclose(curve, expected, 1e-12, 1e-15)


def test_lecture_forms():
    """Linear, inverse square root and cosine, as formulas of the step t."""
    for make, formula in [
        (lambda o: optim.lr_scheduler.LinearDecayLR(o, 50), lambda t: 1 - t / 50),
        (lambda o: optim.lr_scheduler.InverseSquareRootLR(o), lambda t: 1 / math.sqrt(t + 1)),
        (lambda o: optim.lr_scheduler.CosineAnnealingLR(o, 50),
         lambda t: (1 + math.cos(math.pi * t / 50)) / 2),
    ]:  # fmt: skip
        used = optimizer()
        schedule = make(used)
        curve = [rates(used)[0], *[each[0] for each in advance(used, schedule, 50)]]
        np.testing.assert_allclose(curve, [0.1 * formula(t) for t in range(51)], 1e-12, 1e-15)


@unwarned
@pytest.mark.parametrize("name", ALL)
def test_resuming_is_exact(name):
    used = optimizer()
    schedule = ALL[name](optim, used)
    advance(used, schedule, 11)
    states = copy.deepcopy((used.state_dict(), schedule.state_dict()))
    expected = advance(used, schedule, 15)
    other = optimizer()
    again = ALL[name](optim, other)
    other.load_state_dict(states[0])
    again.load_state_dict(states[1])
    assert advance(other, again, 15) == expected


@unwarned
@pytest.mark.parametrize("name", ALL)
def test_preview_is_what_comes(name):
    used = optimizer()
    schedule = ALL[name](optim, used)
    advance(used, schedule, 3)
    before = copy.deepcopy((used.state_dict()["param_groups"], schedule.state_dict()))
    curve = schedule.preview(20, group=1)
    assert (used.state_dict()["param_groups"], schedule.state_dict()) == before
    assert curve == [rates(used)[1], *[each[1] for each in advance(used, schedule, 19)]]


def test_preview_of_a_plateau():
    used = optimizer()
    schedule = optim.lr_scheduler.ReduceLROnPlateau(used, factor=0.5, patience=1)
    metrics = [1.0, 0.9, 0.9, 0.9, 0.9]
    curve = schedule.preview(metrics)
    assert rates(used) == [0.1, 0.4] and schedule.best == math.inf
    assert curve == [0.1, 0.1, 0.1, 0.1, 0.05, 0.05]


def test_a_recorded_step_follows_the_schedule():
    """The learning rate is in memory: one recording serves the whole schedule."""
    results = []
    for replayed in (False, True):
        parameter = mg.ones(3, requires_grad=True)
        used = optim.SGD([parameter], lr=0.1)
        schedule = optim.lr_scheduler.ExponentialLR(used, 0.5)
        parameter.grad = mg.ones(3)
        with record() as plan:
            used.step()
        for _ in range(4):
            schedule.step()
            plan.replay() if replayed else used.step()
        results.append(parameter.detach().numpy().copy())
    np.testing.assert_array_equal(*results)


def test_order_of_steps_is_warned_about_once():
    used = optimizer()
    schedule = optim.lr_scheduler.StepLR(used, 2)
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        schedule.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schedule.step()
        used = optimizer()
        schedule = optim.lr_scheduler.StepLR(used, 2)
        used.step()
        schedule.step()
    assert not used._optimizer_step_post_hooks and not used._step_hooked


def test_get_lr_outside_of_a_step_warns():
    schedule = optim.lr_scheduler.StepLR(optimizer(), 2)
    with pytest.warns(UserWarning, match="get_last_lr"):
        schedule.get_lr()


def test_constant_from_zero():
    """torch divides by the factor and fails here."""
    used = optimizer()
    schedule = optim.lr_scheduler.ConstantLR(used, 0.0, 2)
    assert [rates(used)[0], *[each[0] for each in advance(used, schedule, 3)]] == [0, 0, 0.1, 0.1]


@pytest.mark.parametrize(
    "call",
    [
        lambda s, o: s.WarmupLR(o, 0),
        lambda s, o: s.WarmupLR(o, 3, 2.0),
        lambda s, o: s.LinearDecayLR(o, 0),
    ],
)
def test_errors(call):
    with pytest.raises(ValueError, match="must be"):
        call(optim.lr_scheduler, optimizer())
