"""Parts of the training kit together, as programs use them."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim, regularizers
from minigrad.nn.utils import parametrizations, prune
from minigrad.optim.swa_utils import AveragedModel
from minigrad.training import Checkpoint, EarlyStopping

COPIES = [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))]
OPTIMIZERS = [
    kind
    for name in optim.__all__
    if isinstance(kind := getattr(optim, name), type) and kind is not optim.Optimizer
]


def values(module):
    return {name: value.numpy().copy() for name, value in module.state_dict().items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], name)


# ---- an interrupted training run ----


class Run:
    """A small Transformer with dropout under everything that surrounds a step."""

    def __init__(self, directory):
        mg.manual_seed(1)
        layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.2, batch_first=True)
        self.model = nn.Sequential(
            nn.Embedding(11, 16), nn.TransformerEncoder(layer, 2), nn.Linear(16, 11)
        )
        self.optimizer = optim.AdamW(self.model.parameters())
        regularizers.L1(1.0, modules=nn.Linear).attach(self.optimizer, self.model, form="proximal")
        self.schedule = optim.lr_scheduler.OneCycleLR(self.optimizer, 1e-2, total_steps=24)
        self.average = AveragedModel(self.model)
        self.stopping = EarlyStopping(self.model, patience=2)
        self.checkpoint = Checkpoint(
            directory,
            model=self.model,
            optimizer=self.optimizer,
            schedule=self.schedule,
            average=self.average,
            stopping=self.stopping,
        )

    def epoch(self, number):
        tokens = mg.randint(0, 11, (6, 8))
        for _ in range(3):
            self.optimizer.zero_grad()
            scores = self.model(tokens).transpose(1, 2)
            loss = nn.functional.cross_entropy(scores, (tokens + 1) % 11, label_smoothing=0.1)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 0.5)
            self.optimizer.step()
            self.schedule.step()
        self.average.update_parameters(self.model)
        self.stopping.step(loss)
        self.checkpoint.save(number + 1, loss)


def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path):
    whole = Run(tmp_path / "whole")
    for number in range(6):
        whole.epoch(number)
    first = Run(tmp_path / "parts")
    for number in range(4):
        first.epoch(number)
    second = Run(tmp_path / "parts")
    mg.manual_seed(99)
    start = second.checkpoint.resume()
    assert start == 4
    for number in range(start, 6):
        second.epoch(number)
    assert_same(values(whole.model), values(second.model))
    assert_same(values(whole.average), values(second.average))
    assert whole.stopping.best == second.stopping.best
    assert whole.schedule.get_last_lr() == second.schedule.get_last_lr()
    assert (whole.model[2].weight == 0).any()  # the proximal steps reach zeros
    whole.stopping.restore()
    second.stopping.restore()
    assert_same(values(whole.model), values(second.model))


# ---- parametrized and pruned ----


class Slim(nn.Module):
    """Weights that are normalized, bounded, masked, and masked twice."""

    def __init__(self):
        super().__init__()
        self.normed = parametrizations.weight_norm(nn.Linear(5, 6))
        self.bounded = parametrizations.spectral_norm(nn.Linear(6, 7))
        self.masked = nn.Conv1d(1, 2, 3)
        self.recurrent = parametrizations.weight_norm(nn.LSTM(5, 4, 2), "weight_hh_l1")

    def prune(self):
        prune.l1_unstructured(self.masked, "weight", 0.4)
        prune.random_structured(self.masked, "weight", 1, dim=0)
        return self

    def forward(self, x):
        hidden = self.bounded(self.normed(x).relu())
        return self.masked(hidden.unsqueeze(1)).sum() + self.recurrent(x)[0].sum()


def test_parametrized_and_pruned_layers_are_saved_and_loaded(tmp_path):
    net = Slim().prune()
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    x = mg.randn(3, 5)
    for _ in range(3):
        optimizer.zero_grad()
        net(x).square().backward()
        optimizer.step()
    mg.save(net.state_dict(), tmp_path / "net.safetensors")
    other = Slim()
    prune.identity(other.masked, "weight")
    other.load_state_dict(mg.load(tmp_path / "net.safetensors"))
    twin = copy.deepcopy(net)
    assert net.eval()(x).item() == other.eval()(x).item() == twin.eval()(x).item()
    assert (net.masked.weight == 0).sum() >= 3


@pytest.mark.parametrize("how", COPIES)
def test_pruned_layers_are_copied_without_their_graph(how):
    layer = nn.Linear(4, 3)
    prune.l1_unstructured(layer, "weight", 0.5)
    x = mg.randn(2, 4)
    expected = layer(x)
    copied = how(layer)
    assert not copied.weight.requires_grad and copied.weight.data_ptr() != layer.weight.data_ptr()
    assert copied(x).tolist() == expected.tolist()
    copied(x).sum().backward()
    assert copied.weight_orig.grad is not None and layer.weight_orig.grad is None
    expected.sum().backward()
    assert layer.weight_orig.grad.tolist() == copied.weight_orig.grad.tolist()


# ---- several networks ----


def test_an_ensemble_of_convnets_with_batchnorm_learns_as_its_members_do():
    def make():
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(36, 3),
        )  # fmt: skip

    mg.manual_seed(2)
    members = [make() for _ in range(3)]
    ensemble = nn.Ensemble.from_members(members)
    x, labels = mg.randn(10, 1, 8, 8), mg.arange(10) % 3
    criterion = nn.CrossEntropyLoss()
    together = optim.AdamW(ensemble.parameters(), lr=1e-3)
    alone = [optim.AdamW(member.parameters(), lr=1e-3) for member in members]
    for _ in range(4):
        together.zero_grad()
        sum(criterion(scores, labels) for scores in ensemble(x)).backward()
        together.step()
        for member, optimizer in zip(members, alone, strict=True):
            optimizer.zero_grad()
            criterion(member(x), labels).backward()
            optimizer.step()
    scores = ensemble.eval()(x)
    for found, member in zip(scores, members, strict=True):
        wanted = member.eval()(x).detach().numpy()
        np.testing.assert_allclose(found.detach().numpy(), wanted, 1e-4, 1e-4)
    for how in COPIES:
        assert how(ensemble)(x).tolist() == scores.tolist()


# ---- every optimizer ----


@pytest.mark.parametrize("kind", OPTIMIZERS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("dtype", [mg.float32, mg.float64], ids=repr)
def test_frozen_unused_and_empty_parameters_in_every_optimizer(kind, dtype):
    trained, unused = (nn.Parameter(mg.ones(3, 3, dtype=dtype)) for _ in range(2))
    frozen = nn.Parameter(mg.ones(3, 3, dtype=dtype), requires_grad=False)
    empty = nn.Parameter(mg.ones(0, 3, dtype=dtype))
    optimizer = kind([trained, frozen, unused, empty], lr=mg.tensor(0.1))

    def closure():
        optimizer.zero_grad()
        loss = (trained * frozen).square().sum() + empty.sum()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    assert (frozen == 1).all() and (unused == 1).all() and not (trained == 1).any()
    assert trained.dtype is dtype
    for how in COPIES:
        assert repr(how(optimizer)) == repr(optimizer)
