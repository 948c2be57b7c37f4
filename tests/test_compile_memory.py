"""The memory of compiled functions: shared between results, given back, and never growing."""

from __future__ import annotations

import gc
import resource
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.kernels import memory_statistics
from minigrad.nn import functional as F


def small_step():
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.1))
    model.append(nn.Linear(8, 3))
    optimizer = optim.Adam(model.parameters(), lr=1e-3)

    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step, model


def evaluation():
    _, model = small_step()
    model.eval()

    def evaluate(x, y):
        with mg.no_grad():
            scores = model(x)
            return {"scores": scores, "loss": [F.cross_entropy(scores, y), scores.argmax(1)]}

    return evaluate, model


def results_with_gradients():
    _, model = small_step()
    return lambda x, y: (F.cross_entropy(model(x), y), model), model


@pytest.mark.parametrize("make", [small_step, evaluation, results_with_gradients])
@pytest.mark.parametrize("shapes", [1, 2])
def test_a_hundred_thousand_calls_hold_what_ten_do(make, shapes):
    step, _ = make()
    compiled = mg.compile(step)
    batches = [(mg.randn(n, 4), mg.arange(n) % 3) for n in (6, 5)[:shapes]]

    def run(count):
        for index in range(count):
            result = compiled(*batches[index % shapes])
            if type(result) is tuple:
                result[0].backward()
        gc.collect()
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB
        return memory_statistics()["live"], len(gc.get_objects()), resident

    run(10)
    before = run(1000)
    live, objects, resident = run(100_000 // (6 if make is results_with_gradients else shapes))
    assert live <= before[0] and objects <= before[1] + 10
    assert resident <= before[2] + 2048
    assert len(compiled.recordings) <= 2 * shapes


def test_everything_is_given_back():
    gc.collect()
    live = memory_statistics()["live"]
    step, model = small_step()
    references = [weakref.ref(each) for each in (step, model)]
    compiled = mg.compile(step)
    for size in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12):  # more than are kept
        compiled(mg.randn(size, 4), mg.arange(size) % 3)
    del step, model, compiled
    gc.collect()
    assert [each() for each in references] == [None, None]
    assert memory_statistics()["live"] == live


NETWORKS = {
    "MLP": lambda: nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.Tanh(),
                                 nn.BatchNorm1d(128), nn.Linear(128, 10)),
    "deep": lambda: nn.Sequential(*[nn.Sequential(nn.Linear(64, 64), nn.SiLU())
                                    for _ in range(12)]),
    "convolutions": lambda: nn.Sequential(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3), nn.ReLU(),
                                          nn.BatchNorm2d(8), nn.MaxPool2d(2), nn.Flatten(),
                                          nn.Linear(72, 10)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("training", [True, False])
def test_a_plan_holds_no_more_than_eager_at_its_peak(name, training):
    mg.manual_seed(0)
    model = NETWORKS[name]()
    x, y = mg.randn(256, 64), mg.arange(256) % 10

    def step(x, y):
        with mg.set_grad_enabled(training):
            loss = F.cross_entropy(model(x), y)
        if training:
            model.zero_grad()
            loss.backward()
        return loss.detach()

    step(x, y)
    model.zero_grad()
    gc.collect()
    mg.kernels.empty_cache()  # the peak counts anew from here
    base = memory_statistics()["live"]
    step(x, y)
    eager = memory_statistics()["peak"] - base
    compiled = mg.compile(step)
    compiled(x, y)
    held, together = compiled.plan.bytes()
    assert 0 < together <= held <= eager
    assert held <= 1.1 * together  # how well the places fit


def test_a_replay_reads_nothing_that_an_earlier_one_has_left():
    """The shared memory is filled with NaN between the calls."""
    results = []
    for poisoned in (False, True):
        step, model = small_step()
        compiled = mg.compile(step)
        seen = []
        for index in range(10):
            if poisoned and compiled.plan is not None:
                compiled.plan.poison()
            seen.append(compiled(mg.full((6, 4), index / 10), mg.arange(6) % 3).item())
        results.append([seen, *(value.tolist() for value in model.state_dict().values())])
    np.testing.assert_equal(*results)
