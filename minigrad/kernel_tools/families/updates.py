"""Optimizer steps, clipping, random numbers, indexing and joining."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...kernels import check, find_optimizer, lib
from ..arrays import array, many, ndarray, results
from ..checks import Case, Draw, Trial, of, wide
from .steps import FORMS, LR, Form

_ONE = ("contiguous",)
# A tail of every length, several pieces of a parallel loop, empty and 0-d.
SHAPES: tuple[tuple[int, ...], ...] = ((3,), (7, 19), (), (0,), (67,), (5, 1, 3), (3, 8200))


def _step(form: Form) -> Callable[[Draw], Iterator[Trial]]:
    row = find_optimizer(form.name)

    def trials(draw: Draw) -> Iterator[Trial]:
        """Three steps of several parameters in one launch."""
        for maximize, decay, decoupled in form.options():
            start = [draw.values(shape, -1, 1) for shape in SHAPES]
            gradients = [[draw.values(shape, -1, 1) for shape in SHAPES] for _ in range(3)]
            numbers = [row, LR, decay, maximize, decoupled, *form.own]
            numbers += [0] * (12 - len(numbers))
            exact = [
                form.run(wide(p), each, maximize, decay, decoupled)
                for p, each in zip(start, zip(*gradients, strict=True), strict=True)
            ]

            def run(*handles, gradients=gradients, numbers=numbers, start=start):
                count = len(handles)
                states = [array(np.zeros_like(p)) for _ in range(form.states) for p in start]
                counters = [array(np.float32(v)) for v in form.counters for _ in start]
                hyper = array(np.array(numbers, np.float64))
                kept = many(*handles), many(*states), many(*counters)
                for each in gradients:
                    g = many(*map(array, each))
                    check(lib.mg_optimize(row, count, kept[0], g, kept[1], kept[2], hyper))
                return list(handles)

            label = f"maximize {maximize}, decay {decay}, decoupled {decoupled}"
            yield Trial(label, run, start, exact, 1.0, ("contiguous", "transposed", "shifted"))

    return trials


# ---- clipping ----


def _norms(draw: Draw) -> Iterator[tuple[list[np.ndarray], np.ndarray]]:
    start = [draw.values(shape, -1, 1) for shape in SHAPES]
    yield start, np.concatenate([wide(x).reshape(-1) for x in start])


def _total_norm(draw: Draw) -> Iterator[Trial]:
    for start, flat in _norms(draw):
        for largest, wanted in ((0, np.sqrt(np.sum(flat * flat))), (1, np.abs(flat).max())):

            def run(*handles, largest=largest):
                return of(lib.mg_total_norm)(len(handles), many(*handles), largest)

            yield Trial("infinity" if largest else "two", run, start, wanted)
    for value in (np.nan, np.inf):
        x = np.ones(67, draw.dtype)
        x[40] = value

        def special(*handles):
            return of(lib.mg_total_norm)(len(handles), many(*handles), 0)

        yield Trial(str(value), special, [np.ones(3, draw.dtype), x], np.asarray(value))


def _clip_norm(draw: Draw) -> Iterator[Trial]:
    for start, flat in _norms(draw):
        norm = np.sqrt(np.sum(flat * flat))
        for most in (2.0, 1e9):

            def run(*handles, most=most, norm=norm):
                total = array(np.asarray(norm, draw.dtype))
                check(lib.mg_clip_norm(len(handles), many(*handles), total, most))
                return list(handles)

            factor = min(1.0, most / (norm + 1e-6))
            yield Trial(f"{most}", run, start, [wide(x) * factor for x in start])


def _clip_value(draw: Draw) -> Iterator[Trial]:
    for start, _ in _norms(draw):

        def run(*handles):
            check(lib.mg_clip_value(len(handles), many(*handles), 0.25))
            return list(handles)

        yield Trial("0.25", run, start, [np.clip(wide(x), -0.25, 0.25) for x in start])


# ---- random numbers: the moments of many, in units of their standard error ----


def _sample(entry: Any, *arguments: float) -> Callable[..., Any]:
    def run(target: Any) -> Any:
        check(entry(target, array(np.array([3, 0])), *arguments))
        return target

    return run


def _distribution(name: str, arguments: tuple[float, ...], moments: Any) -> Any:
    """A value depends on its position only, not on size or strides; and the moments of many are
    within six standard errors."""
    entry = getattr(lib, name)

    def trials(draw: Draw) -> Iterator[Trial]:
        draw_one = _sample(entry, *arguments)
        whole = array(np.zeros(40_000, draw.dtype))
        draw_one(whole)
        values = ndarray(whole)
        for shape in ((), (0,), (1,), (5,), (33,), (1000,), (40, 50)):
            size = int(np.prod(shape))
            operands = [np.zeros(shape, draw.dtype)]
            wanted = values[:size].reshape(shape)
            yield Trial(f"the first {shape}", draw_one, operands, wanted, None)
        mean, deviation = moments
        error = abs(wide(values).astype(np.float64).mean() - mean) / (deviation / 200)
        yield Trial("mean", lambda: np.asarray(error < 6), [], np.asarray(True), None, _ONE)
        spread = values.astype(np.float64).std()
        yield Trial(
            "deviation",
            lambda: np.asarray(abs(spread / deviation - 1) < 0.05),
            *([], np.asarray(True), None, _ONE),
        )

    return trials


def _permutation(draw: Draw) -> Iterator[Trial]:
    for size in (0, 1, 2, 7, 1000):

        def run(target, state):
            check(lib.mg_random_permutation(target, state))
            return np.sort(ndarray(target))

        operands = [np.zeros(size, np.int64), np.array([1, 0])]
        yield Trial(str(size), run, operands, np.arange(size), None, _ONE)


def _dropout(draw: Draw) -> Iterator[Trial]:
    """The mask is what bernoulli draws from the same state."""
    for shape in ((), (0,), (1,), (31,), (5, 7), (3333,)):
        x = draw.values(shape)
        kept = array(np.zeros(shape, draw.dtype))
        check(lib.mg_random_bernoulli(kept, array(np.array([9, 0])), 0.3))
        mask = 4 * wide(ndarray(kept))

        def run(x):
            state = array(np.array([9, 0]))
            return results(2, lambda o: lib.mg_dropout(x, state, 0.3, 4.0, o))

        yield Trial(str(shape), run, [x], [wide(x) * mask, mask])


# ---- indexing: shape, one index shape for each dimension (None: taken whole) ----

INDICES: tuple[tuple[Any, ...], ...] = (
    ((7,), [(5,)]),
    ((7,), [(2, 3)]),
    ((7,), [()]),
    ((5, 4), [(3,)]),
    ((5, 4), [None, (3,)]),
    ((5, 4), [(3,), (3,)]),
    ((5, 4), [(3, 1), (4,)]),
    ((3, 4, 5), [None, (6,), None]),
    ((3, 4, 5), [(2,), None, (2,)]),
    ((3, 4), [(0,)]),
    ((3, 67), [(131,)]),
)


def _indexed(draw: Draw) -> Iterator[tuple[Any, ...]]:
    for shape, index_shapes in INDICES:
        indices = [
            None if s is None else np.asarray(draw.rng.integers(-n, n, s))
            for s, n in zip(index_shapes, shape, strict=False)
        ]
        key = tuple(slice(None) if i is None else i for i in indices)
        padded = indices + [None] * (len(shape) - len(indices))
        yield f"{shape} {index_shapes}", draw.values(shape), key, padded


def _index(draw: Draw) -> Iterator[Trial]:
    for label, x, key, indices in _indexed(draw):

        def run(x, *handles):
            return of(lib.mg_index)(x, len(handles), many(*handles))

        yield Trial(label, run, [x, *indices], x[key])


def _index_put(draw: Draw) -> Iterator[Trial]:
    for label, x, key, indices in _indexed(draw):
        for accumulate in (0, 1):
            new = draw.values(x[key].shape)
            if not accumulate:  # equal values for equal places: their order does not matter
                new = np.full_like(new, draw.values(()))
            wanted = wide(x).copy()
            if accumulate:
                np.add.at(wanted, key, wide(new))
            else:
                wanted[key] = new

            def run(x, new, *handles, accumulate=accumulate):
                check(lib.mg_index_put(x, len(handles), many(*handles), new, accumulate))
                return x

            operands = [x, new, *indices]
            yield Trial(f"{label}{' added' * accumulate}", run, operands, wanted, 16.0)


def _join(draw: Draw) -> Iterator[Trial]:
    for dim in range(3):
        parts = []
        for size in (3, 1, 0, 17, 2):
            shape = [4, 5, 3]
            shape[dim] = size
            parts.append(draw.values(tuple(shape)))
        wanted = np.concatenate(parts, dim)
        outer = int(np.prod(wanted.shape[:dim]))

        def run(*handles, wanted=wanted, outer=outer):
            shape = list(wanted.shape)
            return of(lib.mg_join)(len(handles), many(*handles), len(shape), shape, outer)

        yield Trial(f"along {dim}", run, parts, wanted, None, ("contiguous", "shifted"))


CASES = [
    *(Case("optimizer_step", _step(form), 64, form.name) for form in FORMS),
    Case("total_norm", _total_norm, 4),
    Case("clip_norm", _clip_norm, 4),
    Case("clip_value", _clip_value, 0),
    Case("random_uniform", _distribution("mg_random_uniform", (-2.0, 3.0), (0.5, 5 / 12**0.5)), 0),
    Case("random_normal", _distribution("mg_random_normal", (1.0, 2.0), (1.0, 2.0)), 0),
    Case("random_bernoulli", _distribution("mg_random_bernoulli", (0.3,), (0.3, 0.21**0.5)), 0),
    Case("random_integers", _distribution("mg_random_integers", (0, 2), (0.5, 0.5)), 0),
    Case("random_permutation", _permutation, 0),
    Case("dropout", _dropout, 0.5),
    Case("index", _index, 0),
    Case("index_put", _index_put, 8),
    Case("join", _join, 0),
]
