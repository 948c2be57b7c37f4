"""Memory does not grow: of training, of graphs, of views, of errors."""

from __future__ import annotations

import gc
import os

import numpy as np
import pytest

import minigrad as mg

PAGE = os.sysconf("SC_PAGE_SIZE")

needs_statm = pytest.mark.skipif(
    not os.path.exists("/proc/self/statm"), reason="resident memory is read from /proc"
)


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE


def grows_by(step, warmup: int, count: int) -> int:
    """By how much resident memory grows in `count` steps, after the warm-up."""
    for _ in range(warmup):
        step()
    gc.collect()
    before = resident_bytes()
    for _ in range(count):
        step()
    gc.collect()
    return resident_bytes() - before


@needs_statm
def test_10_000_training_steps_need_no_more_memory():
    nn = mg.nn
    net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.BatchNorm1d(32), nn.Linear(32, 4))
    optimizer = mg.optim.Adam(net.parameters(), lr=1e-3)
    x, y = mg.randn(16, 16), mg.randint(0, 4, (16,))
    gc.disable()  # reference counts alone must do
    try:

        def step():
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()

        growth = grows_by(step, 500, 10_000)
    finally:
        gc.enable()
    assert growth < 1 << 20, f"{growth} bytes in 10,000 steps"


@needs_statm
@pytest.mark.parametrize(
    "step",
    [
        lambda: mg.ones(3000).numpy(),
        lambda: mg.from_numpy(np.ones(3000)),
        lambda: mg.ones(50, 60).t()[1:, ::2].reshape(-1).unsqueeze(0).expand(3, -1),
        lambda: mg.ones(3000)[mg.arange(0, 3000, 2)],
        lambda: (mg.ones(3000, requires_grad=True) * 2).exp(),  # a graph that never runs backward
        lambda: mg.ones(3000).tolist(),
        lambda: repr(mg.ones(30)),
    ],
    ids=["numpy", "from_numpy", "views", "indexing", "graph", "tolist", "repr"],
)
def test_nothing_is_leaked_by(step):
    assert grows_by(step, 300, 3000) < 1 << 19


@needs_statm
def test_errors_leak_nothing():
    def step():
        for action in (
            lambda: mg.ones(300) + mg.ones(301),
            lambda: mg.ones(300)[mg.tensor([400])],
            lambda: mg.ones(30, 10) @ mg.ones(30, 10),
            lambda: mg.ones(300).view(7),
        ):
            with pytest.raises((RuntimeError, IndexError)):
                action()

    assert grows_by(step, 100, 1000) < 1 << 19


@needs_statm
def test_plans_leak_nothing():
    x = mg.ones(1000)

    def step():
        with mg.kernels.record() as plan:
            (x * 2 + 1).sum()
        plan.replay()

    assert grows_by(step, 100, 2000) < 1 << 19


def test_live_bytes_return_to_where_they_were():
    gc.collect()
    before = mg.kernels.memory_statistics()["live"]
    x = mg.ones(1000, 100, requires_grad=True)
    (x.exp() * x).sum().backward()
    assert mg.kernels.memory_statistics()["live"] > before
    del x
    assert mg.kernels.memory_statistics()["live"] == before


def test_empty_cache():
    mg.ones(1 << 20)
    mg.kernels.empty_cache()
    assert mg.kernels.memory_statistics()["cached"] == 0


def test_more_memory_than_there_is():
    with pytest.raises((MemoryError, RuntimeError)):
        mg.zeros(1 << 44)
    mg.ones(10)
