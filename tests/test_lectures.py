"""The optimizers as lectures write them down, in plain Python, beside the library's: the same path
over 50 steps, with the mapping that docs/optimizers.md states. θ: parameters, g: gradient, eta or
alpha: learning rate, t: the step, from 1."""

from __future__ import annotations

import math

import pytest

import minigrad as mg
from minigrad import optim

START = [2.0, -1.5, 0.3, 4.0]
STEPS = 50


def gradient(theta, t):
    """Of a ravine that sways: Σ ½ cᵢ (θᵢ - 1)² + sin(t + i) θᵢ."""
    curvatures = [1.0, 5.0, 0.1, 0.5]
    return [c * (x - 1) + math.sin(t + i) for i, (x, c) in enumerate(zip(theta, curvatures))]  # noqa: B905


def lecture(rule):
    """The path of a rule (g, memory of one parameter, t) -> what is added to it."""
    theta, memories, path = list(START), [{} for _ in START], []
    for t in range(1, STEPS + 1):
        g = gradient(theta, t)
        theta = [x + rule(gi, memory, t) for x, gi, memory in zip(theta, g, memories, strict=True)]
        path.append(theta)
    return path


def library(kind, **options):
    p = mg.tensor(START, dtype=mg.float64, requires_grad=True)
    optimizer, path = kind([p], **options), []
    for t in range(1, STEPS + 1):
        p.grad = mg.tensor(gradient(p.tolist(), t), dtype=mg.float64)
        optimizer.step()
        path.append(p.tolist())
    return path


def same(a, b):
    return all(x == pytest.approx(y, rel=1e-10, abs=1e-12) for x, y in zip(a, b, strict=True))


# ---- the forms ----


def gradient_descent(eta):
    return lambda g, memory, t: -eta * g


def momentum(alpha, rho):
    def rule(g, memory, t):
        memory["v"] = rho * memory.get("v", 0.0) + g
        return -alpha * memory["v"]

    return rule


def momentum_averaging(eta, beta):
    def rule(g, memory, t):
        memory["V"] = beta * memory.get("V", 0.0) + (1 - beta) * g
        return -eta * memory["V"]

    return rule


def nesterov(alpha, rho):
    def rule(g, memory, t):
        v = memory.get("v", 0.0)
        new = memory["v"] = rho * v - alpha * g
        return -rho * v + (1 + rho) * new

    return rule


def adagrad(eta, eps):
    def rule(g, memory, t):
        memory["s"] = memory.get("s", 0.0) + g * g
        return -eta * g / (math.sqrt(memory["s"]) + eps)

    return rule


def rmsprop(eta, rho, eps, inside=False):
    def rule(g, memory, t):
        s = memory["s"] = rho * memory.get("s", 0.0) + (1 - rho) * g * g  # ←, not +=
        return -eta * g / (math.sqrt(s + eps) if inside else math.sqrt(s) + eps)

    return rule


def adadelta(rho, eps, eta=1.0):
    def rule(g, memory, t):
        s = memory["s"] = rho * memory.get("s", 0.0) + (1 - rho) * g * g
        d = math.sqrt(memory.get("d", 0.0) + eps) / math.sqrt(s + eps) * g
        memory["d"] = rho * memory.get("d", 0.0) + (1 - rho) * d * d
        return -eta * d

    return rule


def adam(eta, beta1, beta2, eps, corrected=True):
    def rule(g, memory, t):
        m = memory["m"] = beta1 * memory.get("m", 0.0) + (1 - beta1) * g
        s = memory["s"] = beta2 * memory.get("s", 0.0) + (1 - beta2) * g * g
        if corrected:
            m, s = m / (1 - beta1**t), s / (1 - beta2**t)
        return -eta * m / (math.sqrt(s) + eps)

    return rule


FORMS = {
    "gradient descent": (gradient_descent(0.1), optim.SGD, {"lr": 0.1}),
    "momentum": (momentum(0.1, 0.9), optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    # α = η (1 - β)
    "momentum, averaging": (
        momentum_averaging(0.5, 0.9), optim.SGD, {"lr": 0.5 * (1 - 0.9), "momentum": 0.9},
    ),
    # The same with torch's dampening, but for the first step, which is not dampened: see below.
    "Nesterov": (
        nesterov(0.05, 0.9), optim.SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True},
    ),
    "AdaGrad": (adagrad(0.5, 1e-3), optim.Adagrad, {"lr": 0.5, "eps": 1e-3}),
    "RMSProp": (
        rmsprop(0.05, 0.9, 1e-2), optim.RMSprop, {"lr": 0.05, "alpha": 0.9, "eps": 1e-2},
    ),
    "Adadelta": (adadelta(0.9, 1e-3), optim.Adadelta, {"rho": 0.9, "eps": 1e-3}),
    "Adam": (
        adam(0.1, 0.9, 0.999, 1e-8), optim.Adam,
        {"lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8},
    ),
    "Adam without correction": (
        adam(0.1, 0.9, 0.999, 1e-8, corrected=False), optim.Adam,
        {"lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8, "bias_correction": False},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_the_lectures_form_is_the_librarys(name):
    rule, kind, options = FORMS[name]
    assert same(lecture(rule), library(kind, **options))


def test_the_two_forms_of_momentum_differ_by_the_rate_alone():
    assert same(lecture(momentum_averaging(0.5, 0.9)), lecture(momentum(0.5 * (1 - 0.9), 0.9)))
    # The same letter for the rate makes it a tenth as fast, where β is 0.9.
    assert not same(lecture(momentum_averaging(0.5, 0.9)), lecture(momentum(0.5, 0.9)))
    # dampening = β is the averaging form but for the first step, which torch does not dampen.
    dampened = library(optim.SGD, lr=0.5, momentum=0.9, dampening=0.9)
    assert not same(dampened, lecture(momentum_averaging(0.5, 0.9)))


def test_epsilon_stands_outside_of_the_root():
    options = {"lr": 0.05, "alpha": 0.9, "eps": 1e-2}
    path = library(optim.RMSprop, **options)
    assert same(path, lecture(rmsprop(0.05, 0.9, 1e-2)))
    assert not same(path, lecture(rmsprop(0.05, 0.9, 1e-2, inside=True)))


def first_steps(beta1, **options):
    """How far each step goes, as multiples of lr, under a gradient that is always 1."""
    p = mg.zeros(1, dtype=mg.float64, requires_grad=True)
    optimizer = optim.Adam([p], lr=1.0, betas=(beta1, 0.999), **options)
    sizes = []
    for _ in range(30):
        p.grad = mg.ones(1, dtype=mg.float64)
        before = p.item()
        optimizer.step()
        sizes.append(before - p.item())
    return sizes


def test_adam_without_bias_correction_starts_far_too_fast():
    """Both averages start at 0 and are too small at first. The mean of the squares takes a thousand
    steps to grow, the mean of the gradients ten: their quotient (1 - β1ᵗ) / √(1 - β2ᵗ) is too large
    all the while."""
    assert first_steps(0.9) == pytest.approx([1.0] * 30, rel=1e-6)
    sizes = first_steps(0.9, bias_correction=False)
    expected = [(1 - 0.9**t) / math.sqrt(1 - 0.999**t) for t in range(1, 31)]
    assert sizes == pytest.approx(expected, rel=1e-6)
    assert sizes[0] == pytest.approx(0.1 / math.sqrt(0.001), rel=1e-6)  # 3.2 times too large
    assert max(sizes) > 6.5  # and more within a dozen steps
    # Without the mean of the gradients to slow it down, the first step is 32 times too large.
    assert first_steps(0.0, bias_correction=False)[0] == pytest.approx(31.6, rel=1e-2)
