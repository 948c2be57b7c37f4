"""The formulas of the optimizers in float64: p the parameter, g the gradient, s the states and c
the counters, both of which a formula changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

LR, DECAY = 0.01, 0.1
BETA1, BETA2, EPS = 0.9, 0.99, 1e-6


def average(old, new, beta):
    return beta * old + (1 - beta) * new


def sgd(p, g, s, c):
    return p - LR * g


def sgd_momentum(p, g, s, c):  # momentum 0.9, dampening 0.3, Nesterov's form
    s[0] = 0.9 * s[0] + 0.7 * g if c[0] else g
    c[0] = 1
    return p - LR * (g + 0.9 * s[0])


def asgd(p, g, s, c):  # lambd 0.1, alpha 0.75, t0 1
    c[0] += 1
    p = p * (1 - 0.1 * c[1]) - c[1] * g
    s[0] = s[0] + (p - s[0]) * c[2]
    c[1] = float(np.float32(LR / (1 + 0.1 * LR * c[0]) ** 0.75))
    c[2] = float(np.float32(1 / max(1, c[0] - 1)))
    return p


def adagrad(p, g, s, c):  # lr_decay 0.1
    c[0] += 1
    s[0] = s[0] + g * g
    return p - LR / (1 + (c[0] - 1) * 0.1) * g / (np.sqrt(s[0]) + EPS)


def adadelta(p, g, s, c):
    c[0] += 1
    s[0] = average(s[0], g * g, BETA2)
    d = np.sqrt(s[1] + EPS) / np.sqrt(s[0] + EPS) * g
    s[1] = average(s[1], d * d, BETA2)
    return p - LR * d


def rmsprop(p, g, s, c, momentum=0, centered=0):
    """`momentum` and `centered`: which states they are, 0: without"""
    c[0] += 1
    v = s[0] = average(s[0], g * g, BETA2)
    if centered:
        s[centered] = average(s[centered], g, BETA2)
        v = v - s[centered] ** 2
    d = g / (np.sqrt(v) + 0.1)
    if momentum:
        d = s[momentum] = 0.5 * s[momentum] + d
    return p - LR * d


def rprop(p, g, s, c):
    c[0] += 1
    same = np.sign(g * s[0])
    s[1] = np.clip(s[1] * np.where(same > 0, 1.2, np.where(same < 0, 0.5, 1)), 0.2, 1.5)
    s[0] = np.where(same < 0, 0, g)
    return p - np.sign(s[0]) * s[1]


def moments(g, s, c):
    c[0] += 1
    s[0], s[1] = average(s[0], g, BETA1), average(s[1], g * g, BETA2)
    return s[0] / (1 - BETA1 ** c[0]), s[1] / (1 - BETA2 ** c[0])


def adam(p, g, s, c):
    m, v = moments(g, s, c)
    return p - LR * m / (np.sqrt(v) + EPS)


def amsgrad(p, g, s, c):
    m, _ = moments(g, s, c)
    s[2] = np.maximum(s[2], s[1])
    return p - LR * m / (np.sqrt(s[2] / (1 - BETA2 ** c[0])) + EPS)


def sparse_adam(p, g, s, c):
    rows = (g != 0).any(tuple(range(1, g.ndim)), keepdims=True)
    before = list(s)
    m, _ = moments(g, s, c)
    new = p - LR * np.sqrt(1 - BETA2 ** c[0]) * m / (np.sqrt(s[1]) + EPS)
    s[:] = [np.where(rows, *pair) for pair in zip(s, before, strict=True)]
    return np.where(rows, new, p)


def adamax(p, g, s, c):
    c[0] += 1
    s[0] = average(s[0], g, BETA1)
    s[1] = np.maximum(BETA2 * s[1], abs(g) + EPS)
    return p - LR / (1 - BETA1 ** c[0]) * s[0] / s[1]


def nadam(p, g, s, c):  # momentum_decay 0.1
    _, v = moments(g, s, c)
    mu, after = (BETA1 * (1 - 0.5 * 0.96 ** (t * 0.1)) for t in (c[0], c[0] + 1))
    c[1] = float(np.float32(c[1]) * np.float32(mu))
    step = (1 - mu) / (1 - c[1]) * g + after / (1 - c[1] * after) * s[0]
    return p - LR * step / (np.sqrt(v) + EPS)


def radam(p, g, s, c):
    m, _ = moments(g, s, c)
    t, most = c[0], 2 / (1 - BETA2) - 1
    rho = most - 2 * t * BETA2**t / (1 - BETA2**t)
    if rho <= 5:
        return p - LR * m
    r = np.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
    return p - LR * m * r * np.sqrt(1 - BETA2**t) / (np.sqrt(s[1]) + EPS)


def lion(p, g, s, c):
    direction = np.sign(average(s[0], g, BETA1))
    s[0] = average(s[0], g, BETA2)
    return p - LR * direction


def lamb(p, g, s, c):
    m, v = moments(g, s, c)
    u = m / (np.sqrt(v) + EPS) + DECAY * p
    norms = np.sqrt(np.sum(p * p)), np.sqrt(np.sum(u * u))
    return p - LR * (norms[0] / norms[1] if all(norms) else 1) * u


@dataclass(frozen=True)
class Form:
    """A row of optimizer.def: its formula, its own hyperparameters, its counters before the first
    step, and how many states it has."""

    name: str
    formula: Callable[..., Any]
    own: list[float]
    counters: list[float]
    states: int

    def options(self) -> list[tuple[int, float, int]]:
        """maximize, weight decay, whether that is decoupled; some have none, or one of their own"""
        if self.name == "lamb":
            return [(0, DECAY, 0), (1, DECAY, 0)]
        if self.name in ("rprop", "sparse_adam", "lion"):
            return [(0, 0, 0), (1, 0, 0)]
        return [(0, 0, 0), (1, DECAY, 0), (0, DECAY, 1)]

    def run(
        self,
        p: np.ndarray,
        gradients: Iterable[np.ndarray],
        maximize: int,
        decay: float,
        decoupled: int,
    ) -> np.ndarray:
        """The parameter after a step for each gradient."""
        states, counters = [np.zeros(p.shape) for _ in range(self.states)], list(self.counters)
        for gradient in gradients:
            g = gradient.astype(np.float64) * (-1 if maximize else 1)
            if decay and self.name != "lamb":
                if decoupled and self.name != "asgd":
                    p = p * (1 - LR * decay)
                elif not decoupled:
                    g = g + decay * p
            p = self.formula(p, g, states, counters)
        return p


ADAM: list[float] = [BETA1, BETA2, EPS, 1]
FORMS = [
    Form("sgd", sgd, [], [], 0),
    Form("sgd_momentum", sgd_momentum, [0.9, 0.3, 1], [0], 1),
    Form("asgd", asgd, [0.1, 0.75, 1], [0, float(np.float32(LR)), 1], 1),
    Form("adagrad", adagrad, [0.1, EPS], [0], 1),
    Form("adadelta", adadelta, [BETA2, EPS], [0], 2),
    Form("rmsprop", rmsprop, [BETA2, 0.1, 0], [0], 1),
    Form("rmsprop_momentum", partial(rmsprop, momentum=1), [BETA2, 0.1, 0.5], [0], 2),
    Form("rmsprop_centered", partial(rmsprop, centered=1), [BETA2, 0.1, 0], [0], 2),
    Form(
        "rmsprop_centered_momentum",
        partial(rmsprop, momentum=1, centered=2),
        [BETA2, 0.1, 0.5],
        [0],
        3,
    ),
    Form("rprop", rprop, [0.5, 1.2, 0.2, 1.5], [0], 2),
    Form("adam", adam, ADAM, [0], 2),
    Form("adam_amsgrad", amsgrad, ADAM, [0], 3),
    Form("sparse_adam", sparse_adam, ADAM, [0], 2),
    Form("adamax", adamax, ADAM, [0], 2),
    Form("nadam", nadam, [BETA1, BETA2, EPS, 0.1], [0, 1], 2),
    Form("radam", radam, ADAM, [0], 2),
    Form("lion", lion, ADAM, [], 1),
    Form("lamb", lamb, ADAM, [0], 2),
]
