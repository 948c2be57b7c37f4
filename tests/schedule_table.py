"""The table of schedules: each a function of a module ``optim`` and an optimizer.

Those of `BOTH` exist in torch as well, those of `OURS` here alone, with their formula.
"""

from __future__ import annotations

import math


def _chain(m, o):
    s = m.lr_scheduler
    return s.ChainedScheduler([s.LinearLR(o, 0.1, total_iters=7), s.ExponentialLR(o, 0.95)])


def _sequence(m, o):
    s = m.lr_scheduler
    parts = [s.ConstantLR(o, 0.5, 4), s.CosineAnnealingLR(o, 12), s.ExponentialLR(o, 0.9)]
    return s.SequentialLR(o, parts, [5, 20])


def _nested(m, o):
    s = m.lr_scheduler
    inner = s.ChainedScheduler([s.LinearLR(o), s.StepLR(o, 3, 0.5)])
    return s.SequentialLR(o, [inner, s.PolynomialLR(o, 20, 2.0)], [10])


class Slope:
    """A callable object, whose attributes belong to the state."""

    def __init__(self, rate):
        self.rate = rate

    def __call__(self, epoch):
        return 1 / (1 + self.rate * epoch)


BOTH = {
    "LambdaLR": lambda m, o: m.lr_scheduler.LambdaLR(o, lambda epoch: 0.9**epoch),
    "LambdaLR each": lambda m, o: m.lr_scheduler.LambdaLR(o, [lambda e: 1 / (e + 1), Slope(0.2)]),
    "MultiplicativeLR": lambda m, o: m.lr_scheduler.MultiplicativeLR(o, lambda epoch: 0.95),
    "StepLR": lambda m, o: m.lr_scheduler.StepLR(o, 7, 0.3),
    "MultiStepLR": lambda m, o: m.lr_scheduler.MultiStepLR(o, [3, 8, 8, 30], 0.5),
    "ConstantLR": lambda m, o: m.lr_scheduler.ConstantLR(o),
    "LinearLR": lambda m, o: m.lr_scheduler.LinearLR(o),
    "LinearLR down": lambda m, o: m.lr_scheduler.LinearLR(o, 1.0, 0.2, 15),
    "ExponentialLR": lambda m, o: m.lr_scheduler.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda m, o: m.lr_scheduler.PolynomialLR(o, 20, 2.0),
    "PolynomialLR default": lambda m, o: m.lr_scheduler.PolynomialLR(o),
    "CosineAnnealingLR": lambda m, o: m.lr_scheduler.CosineAnnealingLR(o, 12, 0.01),
    "CosineAnnealingLR once": lambda m, o: m.lr_scheduler.CosineAnnealingLR(o, 40),
    "CosineAnnealingWarmRestarts": lambda m, o: m.lr_scheduler.CosineAnnealingWarmRestarts(o, 5),
    "CosineAnnealingWarmRestarts longer": lambda m, o: m.lr_scheduler.CosineAnnealingWarmRestarts(
        o, 4, 2, 0.01
    ),
    "CyclicLR": lambda m, o: m.lr_scheduler.CyclicLR(o, 0.01, [0.5, 0.3], 5),
    "CyclicLR triangular2": lambda m, o: m.lr_scheduler.CyclicLR(
        o, 0.01, 0.5, 5, 3, mode="triangular2", base_momentum=0.5, max_momentum=0.95
    ),
    "CyclicLR exp_range": lambda m, o: m.lr_scheduler.CyclicLR(
        o, 0.01, 0.5, 6, mode="exp_range", gamma=0.97, cycle_momentum=False
    ),
    "CyclicLR own": lambda m, o: m.lr_scheduler.CyclicLR(
        o, 0.01, 0.5, 6, scale_fn=lambda x: 1 / (1 + x), scale_mode="iterations"
    ),
    "OneCycleLR": lambda m, o: m.lr_scheduler.OneCycleLR(o, 0.5, total_steps=60),
    "OneCycleLR linear": lambda m, o: m.lr_scheduler.OneCycleLR(
        o, [0.5, 0.3], epochs=10, steps_per_epoch=5, anneal_strategy="linear", pct_start=0.2
    ),
    "OneCycleLR three phases": lambda m, o: m.lr_scheduler.OneCycleLR(
        o, 0.5, 50, three_phase=True, cycle_momentum=False, div_factor=10, final_div_factor=100
    ),
    "ChainedScheduler": _chain,
    "SequentialLR": _sequence,
    "SequentialLR nested": _nested,
    "SWALR": lambda m, o: m.swa_utils.SWALR(o, 0.05, 8),
    "SWALR linear": lambda m, o: m.swa_utils.SWALR(o, [0.05, 0.5], 8, "linear"),
    "SWALR at once": lambda m, o: m.swa_utils.SWALR(o, 0.05, 0),
}

OURS = {
    "LinearDecayLR": (
        lambda m, o: m.lr_scheduler.LinearDecayLR(o, 25),
        lambda t: max(0.0, 1 - t / 25),
    ),
    "InverseSquareRootLR": (
        lambda m, o: m.lr_scheduler.InverseSquareRootLR(o),
        lambda t: 1 / math.sqrt(t + 1),
    ),
    "WarmupLR": (lambda m, o: m.lr_scheduler.WarmupLR(o, 10), lambda t: min(1.0, (t + 1) / 10)),
    "WarmupLR start": (
        lambda m, o: m.lr_scheduler.WarmupLR(o, 5, 0.5),
        lambda t: 0.5 + 0.5 * min(1.0, (t + 1) / 5),
    ),
    "warm-up, then cosine": (
        lambda m, o: m.lr_scheduler.ChainedScheduler(
            [m.lr_scheduler.WarmupLR(o, 5), m.lr_scheduler.CosineAnnealingLR(o, 50)]
        ),
        lambda t: min(1.0, (t + 1) / 5) * (1 + math.cos(math.pi * t / 50)) / 2,
    ),
}
