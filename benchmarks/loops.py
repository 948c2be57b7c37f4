"""Uses of small networks beyond a plain training step, written once for minigrad and torch:
inference, a DQN-like loop, and a network that solves a differential equation. `lib` is either.

What is made for `compiled` goes through the library's own `compile`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy
from networks import NETWORKS, perceptron

# Case: the network of networks.py and the size of the batch.
INFERENCE = {
    "inference, MLP 64-64-64-8, one sample": ("MLP 64-64-64-8, batch 32, Adam", 1),
    "inference, MLP 64-64-64-8, batch 32": ("MLP 64-64-64-8, batch 32, Adam", 32),
    "inference, LeNet 28x28, one sample": ("LeNet 28x28, batch 64, Adam", 1),
    "inference, LeNet 28x28, batch 64": ("LeNet 28x28, batch 64, Adam", 64),
}
DQN = "DQN loop: act, remember, train; 4-120-84-2, batch 128, Adam"
PINN = "PINN: heat equation, 2-32-32-32-1 tanh, 256 points, Adam"

CAPACITY, BATCH, SYNC = 10_000, 128, 500  # of the replay memory; steps between target networks
DISCOUNT, EPSILON = 0.99, 0.05
DQN_SIZES = (4, 120, 84, 2)
PINN_SIZES = (2, 32, 32, 32, 1)
POINTS, CONDUCTIVITY = 256, 0.1


def wrapper(lib: Any, compiled: bool) -> Callable[[Any], Any]:
    """The library's `compile`, or nothing."""
    return lib.compile if compiled else lambda function: function


def inference(lib: Any, name: str, seed: int, compiled: bool) -> Callable[[], Any]:
    """The forward pass of a network in evaluation mode."""
    case, batch = INFERENCE[name]
    lib.manual_seed(seed)
    net = NETWORKS[case].build(lib).eval()
    inputs = lib.from_numpy(NETWORKS[case].data(numpy.random.default_rng(seed))[0][:batch].copy())

    def forward(x: Any) -> Any:
        with lib.no_grad():
            return net(x)

    forward = wrapper(lib, compiled)(forward)
    return lambda: forward(inputs)


# ---- deep Q-learning ----


class Pole:
    """A cart with a pole, as in the classic control problem: state (4,), two actions."""

    def __init__(self, seed: int) -> None:
        self.generator = numpy.random.default_rng(seed)
        self.state = self.reset()

    def reset(self) -> numpy.ndarray:
        self.state = self.generator.uniform(-0.05, 0.05, 4).astype(numpy.float32)
        return self.state

    def step(self, action: int) -> tuple[numpy.ndarray, float, bool]:
        """The state after one fiftieth of a second, the reward, and whether the pole fell."""
        x, speed, angle, turn = self.state.tolist()
        force = 10.0 if action else -10.0
        push = (force + 0.05 * turn * turn * angle) / 1.1
        bend = (9.8 * angle - push) / (0.5 * (4 / 3 - 0.1 / 1.1))
        moved = (x + 0.02 * speed, speed + 0.02 * (push - 0.05 * bend / 1.1))
        self.state = numpy.array([*moved, angle + 0.02 * turn, turn + 0.02 * bend], numpy.float32)
        return self.state, 1.0, abs(x) > 2.4 or abs(angle) > 0.21


def dqn(lib: Any, seed: int, compiled: bool) -> Callable[[], Any]:
    """One step of the loop: an action for one state, its outcome into the replay memory, one update
    with a batch from there, and from time to time a new target network."""
    nn, functional = lib.nn, lib.nn.functional
    lib.manual_seed(seed)
    net = nn.Sequential(*perceptron(nn, *DQN_SIZES))
    target = nn.Sequential(*perceptron(nn, *DQN_SIZES))
    target.load_state_dict(net.state_dict())
    optimizer = lib.optim.Adam(net.parameters(), lr=2.5e-4)
    # A row: the state before, the state after, the action, the reward, 0 where the pole fell.
    memory = lib.zeros(CAPACITY, 11)
    environment, chance = Pole(seed), numpy.random.default_rng(seed)
    rows = numpy.empty((1, 11), numpy.float32)
    count = 0

    def act(state: Any) -> Any:
        with lib.no_grad():
            return net(state).argmax(1)

    def learn(row: Any, position: Any, filled: Any) -> Any:
        with lib.no_grad():
            memory[position] = row
            chosen = memory[(lib.rand(BATCH) * filled).long()]
            best = target(chosen[:, 4:8]).amax(1)
            wanted = chosen[:, 9] + DISCOUNT * chosen[:, 10] * best
        optimizer.zero_grad()
        values = net(chosen[:, :4]).gather(1, chosen[:, 8:9].long()).squeeze(1)
        loss = functional.mse_loss(values, wanted)
        loss.backward()
        optimizer.step()
        return loss.detach()

    act, learn = (wrapper(lib, compiled)(each) for each in (act, learn))

    def step() -> Any:
        nonlocal count
        before = environment.state
        if chance.random() < EPSILON:
            action = int(chance.integers(2))
        else:
            action = act(lib.from_numpy(before.reshape(1, 4))).item()
        after, reward, fell = environment.step(action)
        rows[0] = (*before, *after, action, reward, 1 - fell)
        position = lib.tensor([count % CAPACITY])
        loss = learn(lib.from_numpy(rows), position, lib.tensor(float(min(count + 1, CAPACITY))))
        count += 1
        if fell:
            environment.reset()
        if count % SYNC == 0:
            target.load_state_dict(net.state_dict())
        return loss

    return step


# ---- a physics-informed network ----


def points(generator: numpy.random.Generator) -> tuple[numpy.ndarray, ...]:
    """Points (x, t) inside of the domain; points on its border, and the solution there."""
    inside = generator.random((POINTS, 2), dtype=numpy.float32)
    border = generator.random((POINTS // 4, 2), dtype=numpy.float32)
    border[: len(border) // 2, 1] = 0  # the start
    border[len(border) // 2 :, 0] = numpy.arange(len(border) - len(border) // 2) % 2  # the ends
    known = numpy.where(border[:, 1] == 0, numpy.sin(numpy.pi * border[:, 0]), 0)
    return inside, border, known.astype(numpy.float32).reshape(-1, 1)


def pinn(lib: Any, seed: int, compiled: bool) -> Callable[[], Any]:
    """A training step: the residual of u_t = c u_xx, whose derivatives come from autograd.grad."""
    nn = lib.nn
    lib.manual_seed(seed)
    layers: list[Any] = []
    for inputs, outputs in itertools.pairwise(PINN_SIZES):
        layers += [nn.Linear(inputs, outputs), nn.Tanh()]
    net = nn.Sequential(*layers[:-1])
    optimizer = lib.optim.Adam(net.parameters(), lr=1e-3)
    data = [lib.from_numpy(each) for each in points(numpy.random.default_rng(seed))]

    def step(inside: Any, border: Any, known: Any) -> Any:
        optimizer.zero_grad()
        where = inside.detach().requires_grad_()
        (slope,) = lib.autograd.grad(net(where).sum(), where, create_graph=True)
        (bend,) = lib.autograd.grad(slope[:, 0].sum(), where, create_graph=True)
        residual = slope[:, 1] - CONDUCTIVITY * bend[:, 0]
        loss = residual.square().mean() + (net(border) - known).square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    step = wrapper(lib, compiled)(step)
    return lambda: step(*data)
