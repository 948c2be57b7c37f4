"""Early stopping and checkpoints."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.training import Checkpoint, EarlyStopping


def weights(model):
    return [p.detach().numpy().copy() for p in model.parameters()]


def fill(model, value):
    with mg.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)


@pytest.mark.parametrize(
    ("metrics", "options", "stops", "best_epoch"),
    [
        ([3, 2, 1, 2, 2, 2], {"patience": 3}, 6, 3),
        ([3, 2, 1, 2, 2, 0.5, 1, 1, 1], {"patience": 3}, 9, 6),
        ([1, 1, 1], {"patience": 2}, 3, 1),
        ([1, 0.95, 0.9, 0.85], {"patience": 3, "min_delta": 0.2}, 4, 1),
        ([1, 0.9, 0.79, 0.7], {"patience": 3, "min_delta": 0.2}, None, 3),
        ([0.1, 0.5, 0.4, 0.6, 0.2], {"patience": 2, "mode": "max"}, None, 4),
        ([0.5, 0.4, 0.3], {"patience": 2, "mode": "max"}, 3, 1),
        ([math.nan, math.nan], {"patience": 2}, 2, 0),
        ([1, math.nan, math.nan], {"patience": 2}, 3, 1),
        ([math.inf, 5, math.inf], {"patience": 2}, None, 2),
    ],
)
def test_when_it_stops(metrics, options, stops, best_epoch):
    model = nn.Linear(2, 1)
    stopping = EarlyStopping(model, **options)
    stopped = None
    for epoch, metric in enumerate(metrics, 1):
        fill(model, epoch)
        if stopping.step(metric):
            stopped = epoch
            break
    assert (stopped, stopping.best_epoch) == (stops, best_epoch)
    stopping.restore()
    expected = best_epoch or len(metrics)  # where nothing improved, the weights stay
    assert all((w == expected).all() for w in weights(model))


def test_metrics_may_be_tensors():
    stopping = EarlyStopping(nn.Linear(1, 1), patience=1)
    assert not stopping.step(mg.tensor(0.5, requires_grad=True).sum())
    assert stopping.step(np.float32(0.6)) and stopping.best == 0.5


def test_without_restoring():
    model = nn.Linear(2, 1)
    stopping = EarlyStopping(model, patience=1, restore_best=False)
    fill(model, 1)
    stopping.step(1.0)
    fill(model, 2)
    assert stopping.step(2.0) and all((w == 2).all() for w in weights(model))


def test_kept_weights_take_no_new_memory():
    model = nn.Linear(20, 20)
    stopping = EarlyStopping(model)
    stopping.step(1.0)
    kept = stopping._weights["weight"].data_ptr()
    fill(model, 3)
    stopping.step(0.5)
    assert stopping._weights["weight"].data_ptr() == kept
    fill(model, 4)
    stopping.restore()
    assert all((w == 3).all() for w in weights(model))


def test_stopping_goes_on_from_its_state(tmp_path):
    first = EarlyStopping(nn.Linear(2, 1), patience=3)
    for metric in (3, 1, 2):
        first.step(metric)
    mg.save(first.state_dict(), tmp_path / "state")
    second = EarlyStopping(nn.Linear(2, 1), patience=3)
    second.load_state_dict(mg.load(tmp_path / "state"))
    assert (second.best, second.epoch, second.best_epoch) == (1.0, 3, 2)
    assert not second.step(2) and second.step(2)
    for a, b in zip(weights(first.model), weights(second.model), strict=True):
        assert a.shape == b.shape
    np.testing.assert_array_equal(
        second.model.weight.detach().numpy(), first._weights["weight"].numpy()
    )


class Run:
    """A small training run that draws random numbers and moves its learning rate."""

    def __init__(self, directory, keep=1):
        mg.manual_seed(1)
        self.model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 1))
        self.optimizer = optim.AdamW(self.model.parameters(), lr=0.05)
        self.schedule = optim.lr_scheduler.MultiStepLR(self.optimizer, [2, 3, 3])
        self.stopping = EarlyStopping(self.model, patience=50)
        self.checkpoint = Checkpoint(
            directory,
            keep=keep,
            model=self.model,
            optimizer=self.optimizer,
            schedule=self.schedule,
            stopping=self.stopping,
        )

    def train(self, until):
        x = mg.tensor(np.random.default_rng(0).standard_normal((16, 4)).astype(np.float32))
        for epoch in range(self.checkpoint.resume(), until):
            for _ in range(3):
                self.optimizer.zero_grad()
                loss = (self.model(x) - x.sum(1, keepdim=True)).square().mean()
                loss.backward()
                self.optimizer.step()
            self.schedule.step()
            self.stopping.step(loss)
            self.checkpoint.save(epoch + 1, metric=loss)
        return weights(self.model)


def test_an_interrupted_run_ends_as_an_uninterrupted_one(tmp_path):
    expected = Run(tmp_path / "whole").train(6)
    for until in (2, 3, 6):
        result = Run(tmp_path / "parts").train(until)
    for a, b in itertools.zip_longest(expected, result):
        np.testing.assert_array_equal(a, b)


def test_kept_files_and_the_best(tmp_path):
    run = Run(tmp_path, keep=2)
    for epoch, metric in enumerate([3.0, 1.0, 2.0, math.nan], 1):
        fill(run.model, epoch)
        run.checkpoint.save(epoch, metric)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "best.safetensors", "epoch-000003.safetensors", "epoch-000004.safetensors"
    ]  # fmt: skip
    other = Run(tmp_path)
    assert other.checkpoint.load_best() == 2 and other.checkpoint.best == 1.0
    assert all((w == 2).all() for w in weights(other.model))
    assert other.checkpoint.resume() == 4
    assert all((w == 4).all() for w in weights(other.model))


def test_a_directory_with_other_files(tmp_path):
    (tmp_path / "epoch-x.safetensors").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("mine")
    run = Run(tmp_path)
    assert run.checkpoint.resume() == 0
    run.checkpoint.save(1)
    assert (tmp_path / "notes.txt").exists()


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda p: EarlyStopping(nn.Linear(1, 1), 0), ValueError, "patience"),
        (lambda p: EarlyStopping(nn.Linear(1, 1), mode="up"), ValueError, "mode"),
        (lambda p: EarlyStopping(nn.Linear(1, 1), min_delta=-1.0), ValueError, "min_delta"),
        (lambda p: Checkpoint(p), ValueError, "nothing to save"),
        (lambda p: Checkpoint(p, model=3), TypeError, "model has no state_dict"),
        (lambda p: Checkpoint(p, keep=0, model=nn.Linear(1, 1)), ValueError, "keep"),
        (lambda p: Checkpoint(p, model=nn.Linear(1, 1)).load_best(), FileNotFoundError, "best"),
    ],
)
def test_errors(call, kind, text, tmp_path):
    with pytest.raises(kind, match=text):
        call(tmp_path)


def test_another_runs_checkpoint_is_refused(tmp_path):
    Run(tmp_path).checkpoint.save(1)
    with pytest.raises(ValueError, match="parts"):
        Checkpoint(tmp_path, model=nn.Linear(1, 1)).resume()
    mg.save({"a": mg.ones(1)}, tmp_path / "epoch-000007.safetensors")
    with pytest.raises(ValueError, match="not a checkpoint"):
        Run(tmp_path).checkpoint.resume()
