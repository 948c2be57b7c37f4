"""Recording and replaying: a training step becomes a plan, and values live in memory."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import kernels, nn


def network():
    mg.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 16),
        nn.Tanh() if hasattr(nn, "Tanh") else nn.ReLU(),
        nn.Dropout(0.25),
        nn.Linear(16, 3),
    )


def batches(count):
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield (
            mg.tensor(rng.standard_normal((6, 1, 8, 8)).astype(np.float32)),
            mg.tensor(rng.integers(0, 3, 6)),
        )


OPTIMIZERS = {
    "SGD": lambda p: mg.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adam": lambda p: mg.optim.Adam(p, lr=0.01),
    "AdamW": lambda p: mg.optim.AdamW(p, lr=0.01, weight_decay=0.1, amsgrad=True),
}


def train(make_optimizer, replayed: bool) -> list[np.ndarray]:
    """Four steps, the last two of them as replays of the second; all parameters and buffers."""
    net = network()
    optimizer = make_optimizer(net.parameters())
    data = list(batches(4))
    x, y = mg.zeros(6, 1, 8, 8), mg.zeros(6, dtype=mg.int64)

    def step():
        optimizer.zero_grad(set_to_none=False)
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    plan, losses = None, []
    for index, (inputs, targets) in enumerate(data):
        with mg.no_grad():
            x.copy_(inputs)
            y.copy_(targets)
        if index == 3:  # a change of the learning rate reaches the replay through memory
            optimizer.param_groups[0]["lr"] *= 0.5
        if plan is not None:
            plan.replay()
        elif replayed and index == 1:
            with kernels.record() as plan:
                loss = step()
        else:
            loss = step()
        losses.append(loss.item())
    return [np.array(losses), *(value.numpy().copy() for value in net.state_dict().values())]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_replayed_training_step_is_the_eager_one(name):
    eager = train(OPTIMIZERS[name], replayed=False)
    replayed = train(OPTIMIZERS[name], replayed=True)
    for got, want in zip(replayed, eager, strict=True):
        np.testing.assert_array_equal(got, want)


def test_a_plan_lists_its_kernels():
    x = mg.ones(4, 4)
    with kernels.record() as plan:
        (x @ x + 1).sum()
    assert len(plan) == len(plan.kernels()) >= 3
    assert "matmul" in plan.kernels() and "reduce" in plan.kernels()


def test_replay_reads_and_writes_the_same_memory():
    x = mg.ones(3)
    with kernels.record() as plan:
        y = x * 2
        z = y + x
    x.copy_(mg.tensor([1.0, 2.0, 3.0]))
    plan.replay()
    assert z.tolist() == [3, 6, 9] and y.tolist() == [2, 4, 6]
    plan.replay()
    assert z.tolist() == [3, 6, 9]


def test_in_place_operations_are_replayed():
    x = mg.zeros(2)
    with kernels.record() as plan:
        x += 1
    version = x._version
    for _ in range(3):
        plan.replay()
    assert x.tolist() == [4, 4]
    assert x._version == version + 3


def test_temporaries_stay_alive_for_the_plan():
    x = mg.ones(1000)
    with kernels.record() as plan:
        y = ((x * 2).exp() + 1).sqrt()
    others = [mg.full((1000,), float(i)) for i in range(20)]  # would take freed memory
    x.fill_(0.5)
    plan.replay()
    np.testing.assert_array_equal(y.numpy(), ((x * 2).exp() + 1).sqrt().numpy())
    del others


def test_random_numbers_differ_from_replay_to_replay():
    x = mg.ones(200)
    mg.manual_seed(7)
    with kernels.record() as plan:
        y = nn.functional.dropout(x, 0.5)
    masks = [y.numpy().copy()]
    for _ in range(2):
        plan.replay()
        masks.append(y.numpy().copy())
    mg.manual_seed(7)
    for mask in masks:
        np.testing.assert_array_equal(nn.functional.dropout(x, 0.5).numpy(), mask)
    assert not np.array_equal(masks[0], masks[1])


@pytest.mark.parametrize(
    "read",
    [
        lambda t: t.item(),
        lambda t: t.numpy(),
        lambda t: t.tolist(),
        lambda t: bool(t),
        lambda t: repr(t),
        lambda t: float(t),
        lambda t: t.nonzero(),
        lambda t: t[t > 0],
    ],
    ids=["item", "numpy", "tolist", "bool", "repr", "float", "nonzero", "mask"],
)
def test_reading_a_value_while_recording_raises(read):
    x = mg.ones(1)
    with kernels.record(), pytest.raises(RuntimeError, match="record"):
        read(x)
    assert x.item() == 1


def test_an_exception_ends_the_recording():
    with pytest.raises(ValueError, match="stop"), kernels.record():
        raise ValueError("stop")
    assert mg.ones(1).item() == 1
    with kernels.record() as plan:
        mg.ones(2) * 2
    assert len(plan) > 0


def test_recording_does_not_nest():
    with kernels.record(), pytest.raises(RuntimeError, match="already"), kernels.record():
        pass
    with kernels.record() as plan, pytest.raises(RuntimeError, match="record"):
        plan.replay()


def test_an_empty_plan():
    with kernels.record() as plan:
        pass
    assert len(plan) == 0 and plan.kernels() == []
    plan.replay()


def test_errors_in_a_replay():
    x, index = mg.ones(3), mg.tensor([0, 1])
    with kernels.record() as plan:
        x[index]
    index.fill_(7)
    with pytest.raises(IndexError):
        plan.replay()
    index.fill_(2)
    plan.replay()


def test_recording_belongs_to_a_thread():
    import threading

    x = mg.ones(3)
    with kernels.record() as plan:
        thread = threading.Thread(target=lambda: (x * 2).sum().item())
        thread.start()
        thread.join()
    assert len(plan) == 0
