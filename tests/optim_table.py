"""The formula of each optimizer in NumPy, and the options with which it is tested.

A formula gets a parameter, its gradient, a dictionary to remember things in and the options, and
returns the new parameter.
"""

from __future__ import annotations

import numpy as np

import minigrad as mg
from minigrad import nn, optim


def sgd_reference(p, g, memory, lr, momentum=0, dampening=0, weight_decay=0, nesterov=False,
                  maximize=False):  # fmt: skip
    g = (-g if maximize else g) + weight_decay * p
    if momentum:
        first = "b" not in memory
        memory["b"] = g if first else momentum * memory["b"] + (1 - dampening) * g
        g = g + momentum * memory["b"] if nesterov else memory["b"]
    return p - lr * g


def adam_reference(p, g, memory, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False,
                   maximize=False, decoupled=False, bias_correction=True):  # fmt: skip
    g = -g if maximize else g
    if decoupled:
        p = p * (1 - lr * weight_decay)
    else:
        g = g + weight_decay * p
    t = memory["t"] = memory.get("t", 0) + 1
    m, v = moments(g, memory, betas)
    if amsgrad:
        v = memory["largest"] = np.maximum(memory.get("largest", 0), v)
    if not bias_correction:
        return p - lr * m / (np.sqrt(v) + eps)
    return p - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)


def decayed(p, g, weight_decay, maximize):
    return (-g if maximize else g) + weight_decay * p


def count(memory):
    memory["t"] = memory.get("t", 0) + 1
    return memory["t"]


def moments(g, memory, betas):
    """The averages of Adam and its relatives."""
    m = memory["m"] = betas[0] * memory.get("m", 0) + (1 - betas[0]) * g
    v = memory["v"] = betas[1] * memory.get("v", 0) + (1 - betas[1]) * g * g
    return m, v


def asgd_reference(p, g, memory, lr=0.01, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0,
                   maximize=False):  # fmt: skip
    g, t = decayed(p, g, weight_decay, maximize), count(memory)
    eta, mu = float(memory.get("eta", np.float32(lr))), float(memory.get("mu", 1))
    p = p * (1 - lambd * eta) - eta * g
    memory["ax"] = memory.get("ax", 0) + mu * (p - memory.get("ax", 0))
    memory["eta"] = np.float32(lr / (1 + lambd * lr * t) ** alpha)
    memory["mu"] = np.float32(1 / max(1, t - t0))
    return p


def adagrad_reference(p, g, memory, lr=0.01, lr_decay=0, weight_decay=0, eps=1e-10,
                      initial_accumulator_value=0, maximize=False):  # fmt: skip
    g, t = decayed(p, g, weight_decay, maximize), count(memory)
    s = memory["s"] = memory.get("s", initial_accumulator_value) + g * g
    return p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s) + eps)


def adadelta_reference(p, g, memory, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0, maximize=False):
    g = decayed(p, g, weight_decay, maximize)
    s = memory["s"] = rho * memory.get("s", 0) + (1 - rho) * g * g
    d = np.sqrt(memory.get("a", 0) + eps) / np.sqrt(s + eps) * g
    memory["a"] = rho * memory.get("a", 0) + (1 - rho) * d * d
    return p - lr * d


def rmsprop_reference(p, g, memory, lr=0.01, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0,
                      centered=False, maximize=False):  # fmt: skip
    g = decayed(p, g, weight_decay, maximize)
    v = memory["s"] = alpha * memory.get("s", 0) + (1 - alpha) * g * g
    if centered:
        memory["a"] = alpha * memory.get("a", 0) + (1 - alpha) * g
        v = v - memory["a"] ** 2
    d = g / (np.sqrt(v) + eps)
    if momentum:
        d = memory["b"] = momentum * memory.get("b", 0) + d
    return p - lr * d


def rprop_reference(p, g, memory, lr=0.01, etas=(0.5, 1.2), step_sizes=(1e-6, 50), maximize=False):
    g = -g if maximize else g
    same = np.sign(g * memory.get("g", 0))
    factor = np.where(same > 0, etas[1], np.where(same < 0, etas[0], 1))
    size = memory["size"] = np.clip(memory.get("size", lr) * factor, *step_sizes)
    g = memory["g"] = np.where(same < 0, 0, g)
    return p - np.sign(g) * size


def adamax_reference(p, g, memory, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0,
                     maximize=False):  # fmt: skip
    g, t = decayed(p, g, weight_decay, maximize), count(memory)
    m = moments(g, memory, betas)[0]
    u = memory["u"] = np.maximum(betas[1] * memory.get("u", 0), abs(g) + eps)
    return p - lr / (1 - betas[0] ** t) * m / u


def nadam_reference(p, g, memory, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0,
                    momentum_decay=4e-3, decoupled_weight_decay=False,
                    maximize=False):  # fmt: skip
    t = count(memory)
    g = decayed(p, g, 0 if decoupled_weight_decay else weight_decay, maximize)
    p = p * (1 - lr * weight_decay) if decoupled_weight_decay else p
    m, v = moments(g, memory, betas)
    mu, after = (betas[0] * (1 - 0.5 * 0.96 ** (k * momentum_decay)) for k in (t, t + 1))
    product = memory["mu"] = np.float32(memory.get("mu", np.float32(1)) * np.float32(mu))
    step = (1 - mu) / (1 - float(product)) * g + after / (1 - float(product) * after) * m
    return p - lr * step / (np.sqrt(v / (1 - betas[1] ** t)) + eps)


def radam_reference(p, g, memory, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0,
                    decoupled_weight_decay=False, maximize=False):  # fmt: skip
    t = count(memory)
    g = decayed(p, g, 0 if decoupled_weight_decay else weight_decay, maximize)
    p = p * (1 - lr * weight_decay) if decoupled_weight_decay else p
    m, v = moments(g, memory, betas)
    corrected, power = m / (1 - betas[0] ** t), betas[1] ** t
    most = 2 / (1 - betas[1]) - 1
    rho = most - 2 * t * power / (1 - power)
    if rho <= 5:
        return p - lr * corrected
    r = np.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
    return p - lr * corrected * r * np.sqrt(1 - power) / (np.sqrt(v) + eps)


def lion_reference(p, g, memory, lr=1e-4, betas=(0.9, 0.99), weight_decay=0, maximize=False):
    g, m = -g if maximize else g, memory.get("m", 0)
    memory["m"] = betas[1] * m + (1 - betas[1]) * g
    return p * (1 - lr * weight_decay) - lr * np.sign(betas[0] * m + (1 - betas[0]) * g)


def lamb_reference(p, g, memory, lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0,
                   maximize=False):  # fmt: skip
    t = count(memory)
    m, v = moments(-g if maximize else g, memory, betas)
    u = m / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps) + weight_decay * p
    norms = np.sqrt(np.sum(p * p)), np.sqrt(np.sum(u * u))
    return p - lr * (norms[0] / norms[1] if all(norms) else 1) * u


def sparse_adam_reference(p, g, memory, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, maximize=False):
    t = count(memory)
    rows = (g != 0).any(tuple(range(1, g.ndim)), keepdims=True)
    before = memory.get("m", np.zeros_like(p)), memory.get("v", np.zeros_like(p))
    m, v = moments(-g if maximize else g, memory, betas)
    new = p - lr * np.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t) * m / (np.sqrt(v) + eps)
    memory["m"], memory["v"] = np.where(rows, m, before[0]), np.where(rows, v, before[1])
    return np.where(rows, new, p)


def adafactor_reference(p, g, memory, lr=1e-2, beta2_decay=-0.8, eps=(None, 1e-3), d=1.0,
                        weight_decay=0, maximize=False, dtype_eps=None):  # fmt: skip
    t = count(memory)
    if not p.size:
        return p
    eps1 = dtype_eps if eps[0] is None else eps[0]
    weight, rho = t**beta2_decay, min(lr, 1 / np.sqrt(t))
    alpha = max(eps[1], np.sqrt(np.mean(p * p))) * rho
    if g.ndim > 1:
        for name, axis in (("rows", -1), ("columns", -2)):
            old = memory.get(name, 0)
            memory[name] = old + weight * ((g * g).mean(axis, keepdims=True) - old)
        v = memory["rows"] * memory["columns"]
        v = v / np.maximum(memory["rows"].mean(-2, keepdims=True), eps1)
    else:
        v = memory["v"] = memory.get("v", 0) + weight * (g * g - memory.get("v", 0))
    u = (-g if maximize else g) / np.sqrt(np.maximum(v, eps1**2))
    return p * (1 - lr * weight_decay) - alpha / max(1, np.sqrt(np.mean(u * u)) / d) * u


def muon_reference(p, g, memory, lr, weight_decay=0.1, momentum=0.95, nesterov=True):
    b = memory["b"] = momentum * memory.get("b", 0) + (1 - momentum) * g
    x = (1 - momentum) * g + momentum * b if nesterov else b
    x = x / max(np.linalg.norm(x), 1e-7)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    rows, columns = p.shape
    return p * (1 - lr * weight_decay) - lr * np.sqrt(max(1, rows / columns)) * x


# optimizer, formula, options of both, options of the formula alone
CASES = [
    (optim.Adafactor, adafactor_reference, {"lr": 0.1}, {"dtype_eps": 2.0**-52}),
    (optim.Adafactor, adafactor_reference,
     {"lr": 0.5, "beta2_decay": -0.5, "eps": (1e-3, 1e-2), "d": 1.5, "weight_decay": 0.1,
      "maximize": True}, {}),
    (optim.SGD, sgd_reference, {"lr": 0.1}, {}),
    (optim.SGD, sgd_reference, {"lr": 0.1, "weight_decay": 0.3, "maximize": True}, {}),
    (optim.SGD, sgd_reference, {"lr": 0.1, "momentum": 0.9}, {}),
    (optim.SGD, sgd_reference, {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}, {}),
    (optim.SGD, sgd_reference, {"lr": 0.1, "momentum": 0.9, "nesterov": True}, {}),
    (optim.SGD, sgd_reference,
     {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1, "maximize": True}, {}),
    (optim.ASGD, asgd_reference, {"lr": 0.1}, {}),
    (optim.ASGD, asgd_reference,
     {"lr": 0.1, "lambd": 0.1, "t0": 2, "weight_decay": 0.1, "maximize": True}, {}),
    (optim.Adagrad, adagrad_reference, {"lr": 0.1}, {}),
    (optim.Adagrad, adagrad_reference,
     {"lr": 0.1, "lr_decay": 0.2, "initial_accumulator_value": 0.5, "weight_decay": 0.1,
      "maximize": True}, {}),
    (optim.Adadelta, adadelta_reference, {"lr": 1.0}, {}),
    (optim.Adadelta, adadelta_reference,
     {"lr": 0.5, "rho": 0.5, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}, {}),
    (optim.RMSprop, rmsprop_reference, {"lr": 0.1, "weight_decay": 0.1, "maximize": True}, {}),
    (optim.RMSprop, rmsprop_reference, {"lr": 0.1, "alpha": 0.9, "momentum": 0.5}, {}),
    (optim.RMSprop, rmsprop_reference, {"lr": 0.1, "centered": True, "eps": 1e-2}, {}),
    (optim.RMSprop, rmsprop_reference,
     {"lr": 0.1, "centered": True, "eps": 1e-2, "momentum": 0.5}, {}),
    (optim.Rprop, rprop_reference, {"lr": 0.1}, {}),
    (optim.Rprop, rprop_reference,
     {"lr": 0.1, "etas": (0.3, 2.0), "step_sizes": (0.05, 0.3), "maximize": True}, {}),
    (optim.Adam, adam_reference, {"lr": 0.1}, {}),
    (optim.Adam, adam_reference, {"lr": 0.1, "betas": (0.5, 0.7), "eps": 1e-3}, {}),
    (optim.Adam, adam_reference, {"lr": 0.1, "weight_decay": 0.3, "maximize": True}, {}),
    (optim.Adam, adam_reference, {"lr": 0.1, "amsgrad": True}, {}),
    (optim.Adam, adam_reference, {"lr": 0.1, "bias_correction": False}, {}),
    (optim.AdamW, adam_reference, {"lr": 0.1, "weight_decay": 0.3}, {"decoupled": True}),
    (optim.AdamW, adam_reference, {"lr": 0.1, "amsgrad": True},
     {"decoupled": True, "weight_decay": 0.01}),
    (optim.SparseAdam, sparse_adam_reference, {"lr": 0.1}, {}),
    (optim.SparseAdam, sparse_adam_reference,
     {"lr": 0.1, "betas": (0.5, 0.7), "eps": 1e-3, "maximize": True}, {}),
    (optim.Adamax, adamax_reference, {"lr": 0.1}, {}),
    (optim.Adamax, adamax_reference,
     {"lr": 0.1, "betas": (0.5, 0.7), "eps": 1e-3, "weight_decay": 0.3, "maximize": True}, {}),
    (optim.NAdam, nadam_reference, {"lr": 0.1, "weight_decay": 0.3, "maximize": True}, {}),
    (optim.NAdam, nadam_reference,
     {"lr": 0.1, "momentum_decay": 0.1, "weight_decay": 0.3, "decoupled_weight_decay": True}, {}),
    (optim.RAdam, radam_reference, {"lr": 0.1, "weight_decay": 0.3, "maximize": True}, {}),
    (optim.RAdam, radam_reference,
     {"lr": 0.1, "betas": (0.5, 0.8), "weight_decay": 0.3, "decoupled_weight_decay": True}, {}),
    (optim.Lion, lion_reference, {"lr": 0.1}, {}),
    (optim.Lion, lion_reference,
     {"lr": 0.1, "betas": (0.5, 0.7), "weight_decay": 0.3, "maximize": True}, {}),
    (optim.LAMB, lamb_reference, {"lr": 0.1}, {}),
    (optim.LAMB, lamb_reference,
     {"lr": 0.1, "betas": (0.5, 0.7), "eps": 1e-3, "weight_decay": 0.3, "maximize": True}, {}),
]  # fmt: skip


SHAPES = [(3,), (), (4, 5), (0,), (1, 1, 2), (17,)]


def make_parameters(dtype=mg.float64, shapes=SHAPES):
    return [nn.Parameter(mg.tensor(np.random.standard_normal(s), dtype=dtype)) for s in shapes]


def set_gradients(parameters):
    for parameter in parameters:
        values = np.random.standard_normal(tuple(parameter.shape))
        parameter.grad = mg.tensor(values, dtype=parameter.dtype)


def one(kind=optim.SGD, **options):
    p = nn.Parameter(mg.zeros(2, dtype=mg.float64))
    p.grad = mg.ones(2, dtype=mg.float64)
    return p, kind([p], **options)
