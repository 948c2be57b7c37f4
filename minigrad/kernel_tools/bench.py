"""Times kernels beside their peers, and beside what this machine can do.

Every call is timed in turn with the same call of its peers, round after round, so that a slow
moment of the machine slows all of them; the figures are the medians. A sample is as many calls as
take a fifth of a millisecond. The limit is measured in the same run: multiply-adds in registers,
and copies of each size, so from each level of the caches. The least time that a call could take is
that of its operations or that of its bytes, whichever is longer (Williams, Waterman and Patterson,
"Roofline", 2009); both are counted from the launches that it makes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .. import kernels
from ..compiler.costs import bytes_of, flops_of
from ..compiler.limits import SIZES, Limits
from .arrays import DTYPES, array
from .checks import Draw
from .listing import matches
from .workloads import Workload, workloads

PEERS = ("numpy", "torch")
_SAMPLE = 2e-4  # seconds
_INTEGERS = 24  # of a launch record


@dataclass(frozen=True)
class Cost:
    """What a call costs at least; the attributes that `Limits.seconds` asks for."""

    flops: int
    bytes: int
    dtype: int


@dataclass(frozen=True)
class Measurement:
    """A workload and its medians."""

    name: str
    label: str
    dtype: str
    threads: int
    isa: str
    flops: int
    bytes: int
    limit: float  # seconds
    seconds: dict[str, float]  # of minigrad and the peers

    @property
    def own(self) -> float:
        """Our own median."""
        return self.seconds["minigrad"]

    @property
    def share(self) -> float:
        """Of the limit: 1 is all that the machine can do."""
        return self.limit / self.own

    def ratio(self, peer: str) -> float | None:
        """How many times as long the peer takes; None if it does not have the operation."""
        return self.seconds[peer] / self.own if peer in self.seconds else None

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        ratios = {peer: self.ratio(peer) for peer in self.seconds if peer != "minigrad"}
        rates = {"gflops": self.flops / self.own / 1e9, "gbytes": self.bytes / self.own / 1e9}
        return asdict(self) | rates | {"share": self.share, "ratios": ratios}


def peer_modules(names: Iterable[str]) -> dict[str, Any]:
    """The modules of the peers asked for; torch gets as many threads as we have."""
    modules: dict[str, Any] = {}
    for name in names:
        if name not in PEERS:
            raise ValueError(f"no peer named {name!r}: choose of {', '.join(PEERS)}")
        if name == "numpy":
            modules[name] = np
            continue
        try:
            import torch  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            raise ValueError("torch is not installed: choose --peers numpy, or none") from None
        torch.set_num_threads(kernels.get_num_threads())
        modules[name] = torch
    return modules


def cost_of(run: Callable[..., Any], handles: Sequence[Any]) -> Cost:
    """Bytes and operations of the launches of a call."""
    flops = size = 0
    dtype = 0
    with kernels.record() as plan:
        kept = run(*handles)
    lib, handle = kernels.lib, plan.handle
    for number, kernel in enumerate(plan.kernels()):
        operation = kernels.ffi.string(lib.mg_plan_operation(handle, number)).decode()
        integers = [lib.mg_plan_integer(handle, number, i) for i in range(_INTEGERS)]
        outputs, operands = plan.arrays(number)
        flops += flops_of(kernel, operation, integers, outputs, operands)
        size += bytes_of(kernel, outputs, operands)
        present = [each.dtype for each in (*outputs, *operands) if each is not None]
        dtype = max(dtype, *present)
    del kept
    return Cost(flops, size, dtype)


def medians(calls: dict[str, Callable[[], Any]], seconds: float = 0.1) -> dict[str, float]:
    """The median time of each call, taken in turns for about so many seconds in all."""
    repeats = {}
    for name, call in calls.items():
        call()
        begin = time.perf_counter()
        call()
        once = time.perf_counter() - begin
        repeats[name] = max(1, min(10_000, int(_SAMPLE / max(once, 1e-8))))
    samples: dict[str, list[float]] = {name: [] for name in calls}
    begin, rounds = time.perf_counter(), 0
    while rounds < 5 or (time.perf_counter() - begin < seconds and rounds < 200):
        for name, call in calls.items():
            count = repeats[name]
            start = time.perf_counter()
            for _ in range(count):
                call()
            samples[name].append((time.perf_counter() - start) / count)
        rounds += 1
    return {name: statistics.median(each) for name, each in samples.items()}


def measure(
    work: Workload, dtype: str, limits: Limits, modules: dict[str, Any], seconds: float = 0.1
) -> Measurement:
    """Times one workload."""
    operands = work.operands(Draw(dtype))
    handles = [array(each) for each in operands]
    cost = cost_of(work.run, handles)
    calls: dict[str, Callable[[], Any]] = {"minigrad": lambda: work.run(*handles)}
    for name, module in modules.items():
        peer = work.peers.get(name)
        if peer is None:
            continue
        if name == "numpy":
            calls[name] = lambda peer=peer: peer(*operands)  # type: ignore[misc]
        else:
            tensors = [module.from_numpy(np.array(each)) for each in operands]
            calls[name] = lambda peer=peer, m=module, t=tensors: peer(m, *t)  # type: ignore[misc]
    return Measurement(
        *(work.name, work.label, dtype, kernels.get_num_threads(), kernels.isa()),
        *(cost.flops, cost.bytes, limits.seconds(cost)),
        medians(calls, seconds),
    )


def measurements(
    pattern: str | None,
    dtype: str,
    limits: Limits,
    modules: dict[str, Any],
    size: str | None = None,
    seconds: float = 0.1,
) -> Iterator[Measurement]:
    """Times every workload whose kernel fits the pattern and whose size begins with `size`."""
    for work in workloads(dtype):
        if matches(work.name, pattern) and (size is None or work.label.startswith(size)):
            yield measure(work, dtype, limits, modules, seconds)


def limits_as_json(limits: Limits) -> dict[str, Any]:
    """The roofs: operations per second by dtype, bytes per second by the size of a copy."""
    flops = {DTYPES[code]: rate for code, rate in limits.flops.items()}
    return {"flops": flops, "bytes": dict(zip(map(str, SIZES), limits.bytes, strict=True))}


def plot(path: str, found: Sequence[Measurement], limits: Limits) -> None:
    """The roofline picture: what each call reaches over its operations per byte."""
    from matplotlib.figure import Figure

    roofs = limits_as_json(limits)
    dtype = found[0].dtype
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.add_subplot()
    intensities = np.geomspace(2.0**-6, 2.0**10, 200)
    peak = roofs["flops"][dtype]
    for size, label in ((1 << 14, "16 KiB"), (1 << 19, "512 KiB"), (1 << 26, "64 MiB")):
        rate = roofs["bytes"][str(size)]
        line = np.minimum(peak, rate * intensities) / 1e9
        axes.plot(intensities, line, lw=1, label=f"copies of {label}: {rate / 1e9:.0f} GB/s")
    axes.axhline(peak / 1e9, color="black", lw=1, ls=":", label=f"{peak / 1e9:.0f} GFLOP/s")
    for number, kernel in enumerate(dict.fromkeys(each.name.split(".")[0] for each in found)):
        mine = [each for each in found if each.name.split(".")[0] == kernel and each.flops]
        if mine:
            axes.scatter(
                [each.flops / each.bytes for each in mine],
                [each.flops / each.own / 1e9 for each in mine],
                *(14,),
                marker="os^Dv<>pP*XhH"[number % 13],
                label=kernel,
            )
    axes.set(xscale="log", yscale="log", xlabel="operations per byte", ylabel="GFLOP/s")
    axes.set_title(f"{dtype}, {found[0].isa}, {found[0].threads} threads")
    axes.grid(alpha=0.3, which="both", lw=0.5)
    axes.legend(fontsize="small", ncols=2)
    figure.savefig(path, dpi=120)
