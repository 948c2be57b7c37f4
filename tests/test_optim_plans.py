"""Optimizers' steps in recorded plans."""

from __future__ import annotations

import copy

import pytest
from optim_table import CASES, one

import minigrad as mg
from minigrad import nn, optim
from minigrad.kernels import record


@pytest.mark.parametrize(
    ("kind", "options"),
    [(kind, {k: v for k, v in options.items() if k != "lr"}) for kind, _, options, _ in CASES],
)
def test_a_replayed_step_sees_new_hyperparameters(kind, options):
    """The state is there before the recording: what a recording makes, each replay begins with."""

    def train(replay):
        mg.manual_seed(1)
        p = nn.Parameter(mg.randn(5))
        optimizer = kind([p], lr=0.1, **options)

        def step():
            optimizer.zero_grad()
            (p * p).sum().backward()
            optimizer.step()

        step()
        with record() as plan:
            step()
        for index in range(6):
            optimizer.param_groups[0]["lr"] = 0.1 / (index + 2)
            if replay:
                plan.replay()
            else:
                step()
        return p.tolist(), dict(optimizer.state[p])

    eager, eager_state = train(False)
    replayed, replayed_state = train(True)
    assert eager == replayed
    for name, value in eager_state.items():
        assert value.tolist() == replayed_state[name].tolist(), name


@pytest.mark.parametrize("momentum", [0.1, None])
def test_a_replayed_network_is_the_eager_one(momentum):
    def train(replay):
        mg.manual_seed(1)
        net = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, momentum=momentum), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Dropout(0.3), nn.Linear(36, 8), nn.Tanh(), nn.BatchNorm1d(8),
            nn.Linear(8, 3),
        )  # fmt: skip
        optimizer = optim.AdamW(net.parameters(), lr=0.01)
        criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
        x, y = mg.randn(6, 1, 8, 8), mg.tensor([0, 1, 2, 0, 1, 2])

        def step():
            optimizer.zero_grad()
            loss = criterion(net(x), y)
            loss.backward()
            optimizer.step()
            return loss

        step()
        with record() as plan:
            loss = step()
        for _ in range(4):
            x.normal_()  # the batch is memory: it changes without a new plan
            if replay:
                plan.replay()
            else:
                loss = step()
        return loss.item(), net.state_dict()

    loss, state = train(False)
    replayed_loss, replayed = train(True)
    assert loss == replayed_loss
    for name, value in state.items():
        assert value.tolist() == replayed[name].tolist(), name


def test_a_plan_refuses_another_form_of_its_step():
    for kind, switch in ((optim.SGD, "momentum"), (optim.Adam, "amsgrad"),
                         (optim.RMSprop, "centered")):  # fmt: skip
        p, optimizer = one(kind, lr=0.1)
        with record() as plan:
            optimizer.step()
        optimizer.param_groups[0][switch] = 0.5
        before = p.tolist()
        with pytest.raises(RuntimeError, match=f"{kind.__name__}.step: .* record it again"):
            plan.replay()
        assert p.tolist() == before
        optimizer.step()  # anew, with more to remember
        with pytest.raises(RuntimeError, match="record it again"):
            plan.replay()


def test_a_plan_survives_load_state_dict():
    p, optimizer = one(optim.Adam, lr=0.1)
    optimizer.step()
    saved = copy.deepcopy(optimizer.state_dict())
    with record() as plan:
        optimizer.step()
    optimizer.load_state_dict(saved)
    plan.replay()
    assert optimizer.state[p]["step"].item() == 2


def test_a_replayed_muon_sees_new_hyperparameters():
    def train(replay):
        mg.manual_seed(1)
        p = nn.Parameter(mg.randn(4, 3))
        optimizer = optim.Muon([p], lr=mg.tensor(0.1))

        def step():
            optimizer.zero_grad()
            (p * p).sum().backward()
            optimizer.step()

        step()
        with record() as plan:
            step()
        for index in range(4):
            optimizer.param_groups[0]["lr"].fill_(0.1 / (index + 2))
            optimizer.param_groups[0]["momentum"] = 0.5
            plan.replay() if replay else step()
        return p.tolist()

    assert train(True) == train(False)
