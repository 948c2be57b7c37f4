"""The training steps of the examples, and every optimizer: compiled, they are those of eager.

A recipe makes a model and its step; what else happens between steps (a schedule, pruning on the
way) is its `after`, which is never compiled.
"""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
from optim_table import CASES

import minigrad as mg
from minigrad import nn, optim
from minigrad.nn import functional as F
from minigrad.nn.utils import prune
from minigrad.nn.utils.parametrizations import drop_connect, orthogonal, spectral_norm, weight_norm
from minigrad.nn.utils.rnn import pack_padded_sequence
from minigrad.optim import lr_scheduler, swa_utils
from minigrad.regularizers import L1, L2

SIZE, CLASSES, BATCH = 8, 3, 6


def mlp(*hidden):
    return nn.Sequential(nn.Linear(SIZE, 12), *hidden, nn.Linear(12, CLASSES))


def vectors(rng, index):
    return rng.standard_normal((BATCH, SIZE), dtype=np.float32), rng.integers(0, CLASSES, BATCH)


def images(rng, index):
    x = rng.standard_normal((BATCH, 1, 8, 8), dtype=np.float32)
    return x, rng.integers(0, CLASSES, BATCH)


def tokens(rng, index):
    text = rng.integers(0, 10, (BATCH, 9))
    return text[:, :-1], text[:, 1:]


def recipe(model, optimizer=None, loss=None, data=vectors, steps=300, plans=1, **others):
    """A step of the usual kind; `others` are `step`, `after` and `seen` where they differ."""
    if optimizer is None:
        optimizer = optim.Adam(model.parameters(), lr=0.01)
    if loss is None:
        loss = lambda model, x, y: F.cross_entropy(model(x), y)  # noqa: E731

    def step(x, y):
        optimizer.zero_grad()
        value = loss(model, x, y)
        value.backward()
        optimizer.step()
        return value.detach()

    found = {"step": step, "after": lambda index: None, "seen": []} | others
    return SimpleNamespace(model=model, data=data, steps=steps, plans=plans, **found)


# ---- architectures ----


def classifier():
    return recipe(mlp(nn.ReLU()), steps=1000)


def normalized():
    return recipe(mlp(nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.4)), steps=1000)


def convolutional():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Dropout2d(0.2), nn.Flatten(), nn.Linear(24, CLASSES),
    )  # fmt: skip
    return recipe(model, data=images, steps=150)


class Speller(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(10, 8, batch_first=True)
        self.output = nn.Linear(8, 10)

    def forward(self, packed):
        return self.output(self.gru(packed)[0].data)


def packed_names():
    """Lengths are plain numbers, so each choice of them has a recording."""
    model = Speller()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    choices = [[8, 7, 7, 4, 2, 1], [3, 8, 5, 5, 1, 2]]
    turn = [0]

    def train(x, y, lengths):
        optimizer.zero_grad()
        inputs, wanted = (
            pack_padded_sequence(each, lengths, batch_first=True, enforce_sorted=False)
            for each in (F.one_hot(x, 10).float(), y)
        )
        loss = F.cross_entropy(model(inputs), wanted.data)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.detach()

    def with_lengths(train):
        def step(x, y):
            turn[0] += 1
            return train(x, y, choices[turn[0] % 2])

        return step

    return recipe(model, data=tokens, steps=100, plans=2, step=train, around=with_lengths)


class Attention(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.token, self.position = nn.Embedding(10, width), nn.Parameter(mg.zeros(8, width))
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3)])
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 16), nn.GELU(), nn.Linear(16, width))
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        x = self.token(x) + self.position
        y = self.norms[0](x)
        x = x + self.attention(y, y, y, attn_mask=mask, is_causal=True, need_weights=False)[0]
        return self.head(self.norms[2](x + self.mlp(self.norms[1](x))))


def language_model():
    model = Attention()
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    loss = lambda model, x, y: F.cross_entropy(model(x).flatten(0, 1), y.flatten())  # noqa: E731
    return recipe(model, optimizer, loss, data=tokens, steps=100)


def ensemble():
    model = nn.Ensemble(lambda: mlp(nn.ReLU()), 4)
    criterion = nn.CrossEntropyLoss()
    loss = lambda model, x, y: model.loss(model(x, each=False), y, criterion)  # noqa: E731
    return recipe(model, optim.SGD(model.parameters(), lr=0.1, momentum=0.9), loss)


def autoencoder_with_tied_weights():
    model = nn.Linear(SIZE, 4)

    def loss(model, x, y):
        return F.mse_loss(F.linear(model(x).tanh(), model.weight.t()), x)

    return recipe(model, loss=loss)


def gradient_penalty():
    """Second derivatives in the loss."""

    def loss(model, x, y):
        x = x.requires_grad_()
        score = model(x).square().sum()
        (slope,) = mg.autograd.grad(score, x, create_graph=True)
        return score + slope.square().sum()

    return recipe(mlp(nn.Tanh()), loss=lambda model, x, y: loss(model, x * 1, y))


# ---- regularization ----


def penalties():
    regularizer = L1(1e-3) + L2(1e-2)
    return recipe(
        mlp(nn.ReLU()), loss=lambda model, x, y: F.cross_entropy(model(x), y) + regularizer(model)
    )


def proximal_steps():
    model = mlp(nn.ReLU())
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    regularizer = L1(5e-3)
    regularizer.attach(optimizer, model, form="proximal")

    def after(index):
        if index == 100:
            regularizer.strength = 1e-2

    return recipe(model, optimizer, after=after, plans=2)


def pruned_on_the_way():
    """A pruned layer replaces its weight in each forward pass: such a step runs uncompiled."""
    model = mlp(nn.ReLU())

    def after(index):
        if index in (50, 100):
            prune.l1_unstructured(model[0], "weight", 0.3)
        if index == 150:
            prune.remove(model[0], "weight")

    return recipe(model, optim.SGD(model.parameters(), lr=0.1), plans=4, steps=200, after=after)


def weight_normalized():
    return recipe(nn.Sequential(weight_norm(nn.Linear(SIZE, 12)), nn.ReLU(), nn.Linear(12, 3)))


def spectrally_normalized():
    return recipe(nn.Sequential(spectral_norm(nn.Linear(SIZE, 12)), nn.ReLU(), nn.Linear(12, 3)))


def orthogonal_weights():
    return recipe(nn.Sequential(orthogonal(nn.Linear(SIZE, SIZE)), nn.Linear(8, 3)), steps=100)


def drop_connected():
    return recipe(nn.Sequential(drop_connect(nn.Linear(SIZE, 12), p=0.4), nn.Linear(12, 3)))


# ---- steps of other kinds ----


def clipped():
    model = mlp(nn.Tanh())
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def step(x, y):
        optimizer.zero_grad(set_to_none=False)
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        nn.utils.clip_grad_value_(model.parameters(), 0.05)
        optimizer.step()
        return loss.detach(), norm

    return recipe(model, step=step)


def one_cycle():
    """The schedule moves the learning rate and the momentum: both are memory."""
    model = mlp(nn.ReLU())
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedule = lr_scheduler.OneCycleLR(optimizer, 0.5, 300)
    return recipe(model, optimizer, after=lambda index: schedule.step() if index < 299 else None)


def snapshots():
    model = mlp(nn.ReLU())
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    taken = nn.SnapshotEnsemble(model, optimizer, cycle_length=20)
    return recipe(model, optimizer, steps=100, after=lambda index: taken.step())


def gathered():
    """Gradients of four calls for each step."""
    model = mlp(nn.ReLU())
    optimizer = optim.Adam(model.parameters(), lr=0.01, amsgrad=True)

    def step(x, y):
        loss = F.cross_entropy(model(x), y) / 4
        loss.backward()
        return loss.detach()

    def after(index):
        if index % 4 == 3:
            optimizer.step()
            optimizer.zero_grad()

    return recipe(model, step=step, after=after, plans=2)


def averaged():
    """SWA and EMA, updated outside of the step and inside of it."""
    model = mlp(nn.ReLU())
    mean = swa_utils.AveragedModel(model)
    moving = copy.deepcopy(model)
    optimizer = optim.Adam(model.parameters(), lr=0.01)

    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        with mg.no_grad():
            for mine, theirs in zip(moving.parameters(), model.parameters(), strict=True):
                mine.mul_(0.9).add_(theirs, alpha=0.1)
        return loss.detach()

    def after(index):
        if index > 50:
            mean.update_parameters(model)

    return recipe(model, step=step, after=after, seen=[mean, moving])


def adversarial():
    """Two models and two optimizers in one step, each with gradients of both."""
    generator, critic = nn.Linear(SIZE, SIZE), nn.Sequential(nn.Linear(SIZE, 1), nn.Sigmoid())
    optimizers = [optim.Adam(m.parameters(), lr=0.01) for m in (generator, critic)]

    def step(x, y):
        fake = generator(mg.randn(BATCH, SIZE))
        optimizers[1].zero_grad()
        loss = -(critic(x).log() + (1 - critic(fake.detach())).log()).mean()
        loss.backward()
        optimizers[1].step()
        optimizers[0].zero_grad()
        other = -critic(fake).log().mean()
        other.backward()
        optimizers[0].step()
        return loss.detach(), other.detach()

    return recipe(generator, step=step, seen=[critic])


RECIPES = [
    *(classifier, normalized, convolutional, packed_names, language_model, ensemble),
    *(autoencoder_with_tied_weights, gradient_penalty, penalties, proximal_steps),
    *(pruned_on_the_way, weight_normalized, spectrally_normalized, orthogonal_weights),
    *(drop_connected, clipped, one_cycle, snapshots, gathered, averaged, adversarial),
]


def compare(make):
    results = []
    for compiled in (False, True):
        mg.manual_seed(2)
        each, rng, seen = make(), np.random.default_rng(4), []
        call = step = mg.compile(each.step) if compiled else each.step
        if hasattr(each, "around"):
            call = each.around(step)
        for index in range(each.steps):
            result = call(*map(mg.tensor, each.data(rng, index)))
            seen += [part.item() for part in (result if isinstance(result, tuple) else [result])]
            each.after(index)
        state = [v for m in [each.model, *each.seen] for v in m.state_dict().values()]
        results.append([np.array(seen), *(value.numpy().copy() for value in state)])
    assert len(results[0]) == len(results[1])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.isfinite(results[0][0]).all()
    assert 1 <= len(step.recordings) <= each.plans, step.recordings


@pytest.mark.filterwarnings("ignore:compile. ")
@pytest.mark.parametrize("make", RECIPES, ids=lambda make: make.__name__)
def test_training_is_that_of_eager(make):
    compare(make)


OPTIONS = [(make, options) for make, _, options, _ in CASES] + [(optim.Muon, {"lr": 0.05})]


@pytest.mark.parametrize(
    ("make", "options"), OPTIONS, ids=[f"{m.__name__} {o}" for m, o in OPTIONS]
)
def test_optimizers(make, options):
    plans = 4 if make is optim.Muon else 1  # its learning rate is no memory

    def recipe_of():
        layers = [nn.Linear(a, b, bias=False) for a, b in [(SIZE, 5), (5, 3)]]
        model = nn.Sequential(layers[0], nn.Tanh(), layers[1])
        optimizer = make(model.parameters(), **options)

        def after(index):
            if index % 10 == 9:
                optimizer.param_groups[0]["lr"] *= 0.8

        loss = lambda model, x, y: F.mse_loss(model(x).tanh(), F.one_hot(y, 3).float())  # noqa: E731
        return recipe(model, optimizer, loss, steps=40, after=after, plans=plans)

    compare(recipe_of)
