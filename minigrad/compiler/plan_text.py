"""What a compiled function's plan says of itself: `print(step.plan)`, `step.plan.profile()`."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

from ..array import shape_of
from ..dtypes import BY_CODE
from ..kernels import Plan, check, ffi, isa, lib, own
from .costs import bytes_of, flops_of, memory_of
from .limits import Limits
from .segments import checked
from .sources import Source, Sources

_INTEGERS = 24
_SHOWN = 4  # arrays of a launch that are written out
_SHORT = {"float32": "", "float64": " f64", "int64": " i64", "int32": " i32", "uint8": " u8"}


class Launch(NamedTuple):
    """One launch of a plan. Sizes are those of the memory that it has to read and write."""

    number: int
    kernel: str
    operation: str  # of a kernel that has several: "add", "adam", ...
    results: list[Any]
    operands: list[Any]
    bytes: int
    flops: int
    source: Source | None  # the line of the user's code that led to it
    dtype: int

    @property
    def name(self) -> str:
        """The kernel and the operation."""
        return f"{self.kernel} {self.operation}" if self.operation else self.kernel


class CompiledPlan(Plan):
    """The plan of a compiled function: what it launches, and how long each launch takes."""

    def __init__(self, recording: Any, backward: bool = False) -> None:
        """Of a recording, or of a backward pass of one: both have `plan`, `sources`, `segments`."""
        self.handle = recording.plan.handle
        self._sources: Sources = recording.sources
        self._recording = recording
        self._backward = backward
        self._segments = {each.number: each.name for each in recording.segments}

    def backward_plans(self) -> list[CompiledPlan]:
        """The plans of backward passes that were recorded outside of the function: of one whose
        results require gradients."""
        graph = getattr(self._recording, "graph", None)
        return [] if graph is None else [CompiledPlan(each, True) for each in graph.plans]

    def launches(self) -> list[Launch]:
        """Every launch, in the order in which they run."""
        return [self._launch(number) for number in range(len(self))]

    def _launch(self, number: int) -> Launch:
        handle = self.handle
        kernel = ffi.string(lib.mg_plan_kernel(handle, number)).decode()
        operation = ffi.string(lib.mg_plan_operation(handle, number)).decode()
        integers = [lib.mg_plan_integer(handle, number, i) for i in range(_INTEGERS)]
        results, operands = self.arrays(number)
        if kernel == "host":
            kernel, operation = "Python", self._segments.get(integers[0], "")
        flops = flops_of(kernel, operation, integers, results, operands)
        source = self._sources.of(lib.mg_plan_recorded(handle, number))
        dtype = next((each.dtype for each in (*results, *operands) if each is not None), 0)
        size = bytes_of(kernel, results, operands)
        return Launch(number, kernel, operation, results, operands, size, flops, source, dtype)

    def heading(self) -> str:
        """The plan in a line."""
        launches = self.launches()
        own_bytes, _ = self.bytes()
        before = len(self._sources.lines)
        passes = f" ({before} as recorded)" if before != len(launches) else ""
        flops, moved = sum([e.flops for e in launches]), sum([e.bytes for e in launches])
        threads = lib.mg_plan_threads(self.handle)
        python = (
            f" and runs {_many(len(self._segments), 'Python segment')}" if self._segments else ""
        )
        return (
            f"{'backward ' * self._backward}plan of {len(launches)} launches{passes}, {isa()}, "
            f"{_many(threads, 'thread')}; "
            f"memory of its own {_bytes(own_bytes)}; a replay moves {_bytes(moved)} and does "
            f"{_count(flops)}FLOP{python}"
        )

    def __str__(self) -> str:
        rows = [
            [
                str(each.number),
                each.name,
                _arrays(each.results),
                _arrays(each.operands),
                _bytes(each.bytes),
                _count(each.flops),
                "" if each.source is None else str(each.source),
            ]
            for each in self.launches()
        ]
        titles = ["", "kernel", "results", "operands", "bytes", "FLOP", "asked for at"]
        text = f"{self.heading()}\n{_table(titles, rows, right={0, 4, 5})}"
        return "\n".join([text, *map(str, self.backward_plans())])

    def __repr__(self) -> str:
        return f"<{self.heading()}>"

    def profile(self, repeats: int = 20) -> Profile:
        """Runs the plan `repeats` times and times each launch; then measures what the machine can
        do at most, for the per cent of it.

        Afterwards parameters, gradients, the state of optimizers and random generators and whatever
        else the launches write to are as they were before; only the versions of this memory have
        advanced, as by any write in place. What Python segments do outside of tensors stays done.
        """
        if repeats < 1:
            raise ValueError(f"profile: repeats must be at least 1, got {repeats}")
        launches = self.launches()
        if lib.mg_is_recording():
            raise RuntimeError("profile: a plan cannot run while another one is being recorded")
        times: list[list[float]] = [[] for _ in launches]
        seconds = ffi.new("double[]", max(len(launches), 1))
        with getattr(self._recording, "lock", nullcontext()):
            kept = _snapshot(launches)
            try:
                for turn in range(repeats + 1):
                    checked(lib.mg_plan_profile(self.handle, seconds))
                    if turn:  # the first round fills the caches
                        for index, found in enumerate(times):
                            found.append(seconds[index])
            finally:
                for array, copy in kept:
                    check(lib.mg_copy(array, copy))
        medians = [statistics.median(each) for each in times]
        return Profile(self.heading(), launches, medians, Limits())


class Profile:
    """The times of a plan's launches. Its text is a table of kernels and one of launches, the
    longest first."""

    def __init__(
        self, heading: str, launches: list[Launch], seconds: list[float], limits: Limits
    ) -> None:
        self.heading, self.launches, self.seconds, self.limits = heading, launches, seconds, limits

    @property
    def total(self) -> float:
        """Seconds of all launches together."""
        return sum(self.seconds)

    def shares_of_limit(self) -> list[float]:
        """For each launch, the least time that it could take on this machine over its time."""
        pairs = zip(self.launches, self.seconds, strict=True)
        return [self.limits.seconds(each) / taken if taken else 0.0 for each, taken in pairs]

    def by_kernel(self) -> dict[str, tuple[int, float]]:
        """For each kernel the number of its launches and their seconds, the longest first."""
        found: dict[str, tuple[int, float]] = {}
        for each, taken in zip(self.launches, self.seconds, strict=True):
            count, seconds = found.get(each.name, (0, 0.0))
            found[each.name] = (count + 1, seconds + taken)
        return dict(sorted(found.items(), key=lambda item: -item[1][1]))

    def __str__(self) -> str:
        total = self.total or 1.0
        kernels = [
            [name, str(count), f"{1e6 * seconds:.2f}", f"{100 * seconds / total:.1f}"]
            for name, (count, seconds) in self.by_kernel().items()
        ]
        summary = _table(["kernel", "launches", "µs", "% of all"], kernels, right={1, 2, 3})
        found = zip(self.launches, self.seconds, self.shares_of_limit(), strict=True)
        rows = [
            [
                str(each.number),
                each.name,
                _arrays(each.results),
                f"{1e6 * taken:.2f}",
                f"{100 * taken / total:.1f}",
                f"{each.flops / taken / 1e9:.1f}" if taken else "",
                f"{each.bytes / taken / 1e9:.1f}" if taken else "",
                f"{100 * share:.0f}",
                "" if each.source is None else str(each.source),
            ]
            for each, taken, share in sorted(found, key=lambda row: -row[1])
        ]
        titles = ["", "kernel", "results", "µs", "% of all", "GFLOP/s", "GB/s", "% of limit"]
        table = _table([*titles, "asked for at"], rows, right={0, 3, 4, 5, 6, 7})
        first = f"{self.heading}\n{1e6 * self.total:.1f} µs; {self.limits}"
        return f"{first}\n\n{summary}\n\n{table}"


def _snapshot(launches: list[Launch]) -> list[tuple[Any, Any]]:
    """Every array that a launch writes, with a copy of what is in it."""
    kept: dict[tuple[int, int], tuple[Any, Any]] = {}
    for each in launches:
        for array in each.results:
            if array is None or not array.size:
                continue
            key = (int(ffi.cast("intptr_t", array.data)), memory_of(array))
            if key not in kept:
                kept[key] = (array, own(lib.mg_cast(array, array.dtype)))
    return list(kept.values())


# ---- text ----


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _arrays(arrays: Sequence[Any]) -> str:
    present = [each for each in arrays if each is not None]
    text = ", ".join([_shape(each) for each in present[:_SHOWN]])
    more = len(present) - _SHOWN
    return f"{text} and {more} more" if more > 0 else text


def _shape(array: Any) -> str:
    kind = BY_CODE[array.dtype].name
    sizes = "x".join(map(str, shape_of(array))) or "scalar"
    return sizes + _SHORT.get(kind, f" {kind}")


def _bytes(count: int) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024  # type: ignore[assignment]
    return ""


def _count(count: float) -> str:
    for unit in ("", "k", "M", "G"):
        if count < 1000 or unit == "G":
            return f"{count} " if unit == "" else f"{count:.1f} {unit}"
        count /= 1000
    return ""


def _table(titles: list[str], rows: list[list[str]], right: set[int]) -> str:
    widths = [max(len(line[i]) for line in [titles, *rows]) for i in range(len(titles))]
    lines = []
    for line in [titles, *rows]:
        cells = [
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
