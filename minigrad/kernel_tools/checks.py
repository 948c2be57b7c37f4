"""Runs kernels against a reference in float64, and measures the largest error.

A `Case` belongs to one kernel (or one operation of it) and makes `Trial` after `Trial`: operands,
what the kernel should make of them, and how to call it. The runner takes care of the rest: every
dtype that the kernel says it has, memory layouts and alignments, instruction sets, threads.

The error counts units in the last place: the distance of two neighbouring numbers of the dtype at
the exact result or, where a trial names a `scale`, at the scale if that is larger, because the
rounding error of a sum, say, depends on the size of its terms and not on what remains of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import kernels
from .arrays import FLOATS, LAYOUTS, array, ndarray, values
from .listing import Kernel

Values = np.ndarray | float


@dataclass(frozen=True)
class Trial:
    """One call and what it should give."""

    label: str
    run: Callable[..., Any]  # handles of the operands -> the result's handle, or a list of them
    operands: Sequence[np.ndarray | None]
    wanted: Any  # like the results: an array or a list of them; None: whatever comes
    scale: Any = None  # one for all results, or a list
    layouts: tuple[str, ...] = LAYOUTS


class Draw:
    """What a case draws its operands from: a generator, and the dtype in question."""

    def __init__(self, dtype: str, seed: int = 0) -> None:
        self.dtype = dtype
        self.rng = np.random.default_rng(seed)

    @property
    def is_float(self) -> bool:
        """Whether the dtype is a floating one."""
        return self.dtype in FLOATS

    def values(self, shape: Any, low: float = -4.0, high: float = 4.0) -> np.ndarray:
        """Random values within the bounds."""
        return values(self.rng, shape, self.dtype, low, high)


@dataclass(frozen=True)
class Case:
    """How one kernel is tested: its trials for a dtype, and the error that is allowed, in ulp."""

    kernel: str
    trials: Callable[[Draw], Iterable[Trial]]
    limit: float = 4.0
    operation: str = ""
    integer_limit: float = 0.0  # difference of integer results

    @property
    def name(self) -> str:
        """``softmax``, ``unary.exp``."""
        return f"{self.kernel}.{self.operation}" if self.operation else self.kernel


@dataclass
class Outcome:
    """What came of a case for one dtype."""

    name: str
    dtype: str
    isa: str
    limit: float
    trials: int = 0
    error: float = 0.0  # the largest
    worst: str = ""  # where it was
    failure: str = ""  # what went wrong beyond rounding

    @property
    def passed(self) -> bool:
        """Whether every trial ran and stayed below the limit."""
        return not self.failure and self.error <= self.limit and self.trials > 0


def wide(x: np.ndarray) -> np.ndarray:
    """In float64, if it is of a floating dtype."""
    return x.astype(np.float64) if x.dtype.kind == "f" else x


def error_of(got: np.ndarray, wanted: Values, scale: Values | None = None) -> float:
    """The largest error in ulp; infinite where special values or shapes differ."""
    wanted = np.asarray(wanted)
    if got.shape != wanted.shape:
        return np.inf
    if not got.size:
        return 0.0
    if got.dtype.kind != "f":
        if np.asarray(wanted).dtype.kind in "biu":
            if np.array_equal(got, wanted.astype(got.dtype)):
                return 0.0
            return float(np.max(np.abs(got.astype(np.float64) - wanted.astype(np.float64))))
        return float(np.max(np.abs(got.astype(np.float64) - wanted)))
    wanted = wanted.astype(np.float64) if wanted.dtype.kind != "c" else wanted.real
    with np.errstate(over="ignore"):
        rounded = wanted.astype(got.dtype)  # what is too large is infinite
    fine = np.isfinite(rounded)
    same = np.where(np.isnan(rounded), np.isnan(got), got == rounded)
    if not np.array_equal(np.isfinite(got), fine) or not same[~fine].all():
        return np.inf
    size = np.abs(rounded)
    if scale is not None:
        size = np.maximum(size, np.broadcast_to(np.asarray(scale), size.shape).astype(got.dtype))
    unit = np.spacing(np.maximum(size[fine], np.finfo(got.dtype).tiny)).astype(np.float64)
    if not unit.size:
        return 0.0
    return float(np.max(np.abs(got[fine].astype(np.float64) - wanted[fine]) / unit))


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _measure(trial: Trial, layout: str) -> float:
    handles = [None if each is None else array(each, layout) for each in trial.operands]
    results = _listed(trial.run(*handles))
    wanted = _listed(trial.wanted)
    scales = _listed(trial.scale)
    scales = scales * len(wanted) if len(scales) == 1 else scales
    error = 0.0
    for got, exact, scale in zip(results, wanted, scales, strict=True):
        if exact is None:
            continue
        found = got if isinstance(got, np.ndarray) else ndarray(got)
        error = max(error, error_of(found, exact, scale))
    return error


def _one(case: Case, dtype: str, outcome: Outcome) -> None:
    # A NaN or an overflow in the reference is a part of the trial.
    with np.errstate(all="ignore"):
        for trial in case.trials(Draw(dtype)):
            for layout in trial.layouts:
                outcome.trials += 1
                error = _measure(trial, layout)
                if error > outcome.error or not outcome.worst:
                    outcome.error, outcome.worst = error, f"{trial.label}, {layout}"


def run_case(case: Case, kernel: Kernel, isa: str | None = None) -> list[Outcome]:
    """Runs a case for each dtype of its kernel, on the instruction set in use or on another."""
    before = kernels.isa()
    kernels.set_isa(isa or before)
    try:
        return [outcome_of(case, dtype, isa or before) for dtype in kernel.dtypes]
    finally:
        kernels.set_isa(before)


def outcome_of(case: Case, dtype: str, isa: str) -> Outcome:
    """Runs a case for one dtype; `isa` names the instruction set in use."""
    limit = case.limit if dtype in FLOATS else case.integer_limit
    outcome = Outcome(case.name, dtype, isa, limit)
    try:
        _one(case, dtype, outcome)
    except Exception as error:  # whatever a kernel or a reference raises fails the case
        outcome.failure = f"{type(error).__name__}: {error}"
    return outcome


def of(
    entry: Callable[..., Any], *arguments: Any, before: tuple[Any, ...] = ()
) -> Callable[..., Any]:
    """A `Trial.run` of an entry of C that returns a handle: its operands stand between `before` and
    the other arguments."""

    def run(*handles: Any) -> Any:
        present = [kernels.NULL if each is None else each for each in handles]
        return kernels.own(entry(*before, *present, *arguments))

    return run


__all__ = ["Case", "Draw", "Outcome", "Trial", "error_of", "of", "run_case", "wide"]
