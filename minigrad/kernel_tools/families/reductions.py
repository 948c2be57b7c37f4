"""Reductions, softmax and cross-entropy."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...kernels import NULL, lib
from .. import reference
from ..arrays import results
from ..checks import Case, Draw, Trial, of, wide

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sum": np.sum,
    "prod": np.prod,
    "mean": np.mean,
    "max": np.max,
    "min": np.min,
    "any": np.any,
    "all": np.all,
    "argmax": np.argmax,
    "argmin": np.argmin,
}
SHAPES = ((1,), (5,), (67,), (3, 4), (7, 67), (67, 7), (2, 3, 5), (5, 1, 33), (2, 3, 4, 5))


def _dimensions(name: str, ndim: int) -> Iterator[tuple[int, ...]]:
    longest = 1 if name.startswith("arg") else ndim
    for count in range(1, longest + 1):
        yield from itertools.combinations(range(ndim), count)


def _reduce(name: str) -> Callable[[Draw], Iterator[Trial]]:
    op, function = lib.mg_find_reduction(name.encode()), FUNCTIONS[name]

    def trial(x: np.ndarray, dims: tuple[int, ...], keep: int, label: str = "") -> Trial:
        exact = wide(x)
        if name.startswith("arg"):
            wanted = function(exact, axis=dims[0], keepdims=bool(keep))
        else:
            wanted = function(exact, axis=dims, keepdims=bool(keep))
        if x.dtype == np.uint8 and name in ("any", "all"):
            wanted = wanted.astype(np.uint8)  # as torch has it
        if x.dtype.kind == "f" and name in ("sum", "mean"):
            scale = (np.sum if name == "sum" else np.mean)(np.abs(exact), dims, keepdims=bool(keep))
        else:
            scale = None
        run = of(lib.mg_reduce, sum(1 << d for d in dims), keep, before=(op,))
        return Trial(label or f"{x.shape} over {dims}", run, [x], wanted, scale)

    def trials(draw: Draw) -> Iterator[Trial]:
        bounds = (0.8, 1.2) if name == "prod" and draw.is_float else (-2, 2)
        for shape in SHAPES:
            x = draw.values(shape, *bounds)
            for dims in _dimensions(name, len(shape)):
                yield trial(x, dims, 0)
        yield trial(draw.values((3, 4, 5), *bounds), (1,), 1, "keepdim")
        if name in ("sum", "prod", "mean", "any", "all"):
            yield trial(draw.values((0, 3)), (1,), 0, "empty rows")
            if name != "mean":
                yield trial(draw.values((0, 3)), (0,), 0, "empty columns")
        if draw.is_float and name not in ("any", "all"):
            x = draw.values((2, 67), 0.8, 1.2)
            for place in (0, 3, 40, 66):
                x[1, place] = np.nan
                yield trial(x, (1,), 0, f"NaN at {place}")
        if draw.is_float and name in ("sum", "mean"):
            yield trial(np.full(300_007, 0.1, draw.dtype), (0,), 0, "a long one")

    return trials


# ---- softmax ----

SOFTMAX_SHAPES = ((1,), (67,), (5, 3), (3, 67), (2, 19, 5), (4, 1, 3), (0, 3), (3, 0))


def _softmax(draw: Draw) -> Iterator[Trial]:
    for shape, logarithm in itertools.product(SOFTMAX_SHAPES, (0, 1)):
        for dim in range(len(shape)):
            x = draw.values(shape, -9, 9)
            logs = reference.log_softmax(wide(x), dim) if x.size else wide(x)
            label = f"{'log ' * logarithm}{shape} along {dim}"
            wanted = logs if logarithm else np.exp(logs)
            scale = np.abs(logs).max(initial=1) if logarithm else None
            yield Trial(label, of(lib.mg_softmax, dim, logarithm), [x], wanted, scale)
    big = [[1e4, 1e4 - 1, -1e4], [-1e30, -1e30, -1e30], [-np.inf, 0, 0], [np.nan, 0, 0]]
    x = np.array(big, draw.dtype)
    wanted = np.exp(reference.log_softmax(wide(x), 1))
    yield Trial("large and special", of(lib.mg_softmax, 1, 0), [x], wanted)


def _softmax_backward(draw: Draw) -> Iterator[Trial]:
    for shape, logarithm in itertools.product(SOFTMAX_SHAPES, (0, 1)):
        for dim in range(len(shape)):
            x, g = draw.values(shape, -9, 9), draw.values(shape)
            if not x.size:
                continue
            logs = reference.log_softmax(wide(x), dim)
            y = (logs if logarithm else np.exp(logs)).astype(draw.dtype)
            exact, slope = wide(y), wide(g)
            if logarithm:
                wanted = slope - np.exp(exact) * slope.sum(dim, keepdims=True)
            else:
                wanted = exact * (slope - (slope * exact).sum(dim, keepdims=True))
            label = f"{'log ' * logarithm}{shape} along {dim}"
            run = of(lib.mg_softmax_backward, dim, logarithm)
            yield Trial(label, run, [g, y], wanted, 4 if not logarithm else 8)


# ---- cross-entropy ----

REDUCTIONS = ("none", "mean", "sum")


def _losses(draw: Draw) -> Iterator[tuple]:
    """(label, input, target, weight, smoothing, reduction)"""
    shapes = (((5, 3), (5,)), ((7, 67), (7,)), ((2, 4, 3, 2), (2, 3, 2)), ((6,), ()))
    for (shape, inner), weighted, smoothing, reduction in itertools.product(
        shapes, (False, True), (0.0, 0.3), range(3)
    ):
        classes = shape[1] if len(shape) > 1 else shape[0]
        target = np.asarray(draw.rng.integers(0, classes, inner))
        if target.size > 3:
            target.reshape(-1)[1] = -100  # ignored
        weight = draw.values(classes, 0.5, 2) if weighted else None
        label = f"{shape} {REDUCTIONS[reduction]}{' weighted' * weighted} {smoothing}"
        yield label, draw.values(shape), target, weight, smoothing, reduction


def _cross_entropy(draw: Draw) -> Iterator[Trial]:
    for label, x, target, weight, smoothing, reduction in _losses(draw):
        w = None if weight is None else wide(weight)
        wanted = reference.cross_entropy(
            wide(x), target, w, -100, REDUCTIONS[reduction], label_smoothing=smoothing
        )
        logs = reference.log_softmax(wide(x), 1 if x.ndim > 1 else 0)

        def run(x, target, weight, smoothing=smoothing, reduction=reduction):
            operands = x, target, NULL if weight is None else weight
            return results(
                3, lambda o: lib.mg_cross_entropy(*operands, -100, smoothing, reduction, o)
            )

        scales = [16.0 * (target.size if reduction == 2 else 1), np.abs(logs).max(initial=1), None]
        yield Trial(label, run, [x, target, weight], [wanted, logs, None], scales)


def _cross_entropy_backward(draw: Draw) -> Iterator[Trial]:
    for label, x, target, weight, smoothing, reduction in _losses(draw):
        dim = 1 if x.ndim > 1 else 0
        logs = reference.log_softmax(wide(x), dim)
        classes = x.shape[dim]
        shape = [1] * x.ndim
        shape[dim] = classes
        w = np.ones(classes) if weight is None else wide(weight)
        here = target != -100
        safe = np.where(here, target, 0)
        total = np.where(here, w[safe], 0.0).sum()
        g = draw.values(target.shape if reduction == 0 else ())
        # of the log-probabilities: -(1 - s) w_t at the target, -s / C w_c everywhere
        hot = np.moveaxis(np.eye(classes)[safe], -1, dim)
        of_logs = -((1 - smoothing) * hot + smoothing / classes) * w.reshape(shape)
        outer = wide(g) / (total if reduction == 1 else 1) * here
        of_logs = of_logs * np.expand_dims(outer, dim)
        wanted = of_logs - np.exp(logs) * of_logs.sum(dim, keepdims=True)
        kept = logs.astype(draw.dtype), np.asarray(total, draw.dtype)

        def run(g, logs, target, weight, total, smoothing=smoothing, reduction=reduction):
            operands = g, logs, target, NULL if weight is None else weight, total
            entry = lib.mg_cross_entropy_backward
            return of(entry)(*operands, -100, smoothing, reduction)

        operands = [g, kept[0], target, weight, kept[1]]
        yield Trial(label, run, operands, wanted, 8.0, ("contiguous",))


CASES = [
    # A product rounds as often as it has factors.
    *(Case("reduce", _reduce(name), 64 if name == "prod" else 16, name) for name in FUNCTIONS),
    # The difference to the largest element is rounded, up to 18 of them here, and then raised.
    Case("softmax", _softmax, 24),
    Case("softmax_backward", _softmax_backward, 8),
    Case("cross_entropy", _cross_entropy, 8),
    Case("cross_entropy_backward", _cross_entropy_backward, 8),
]
