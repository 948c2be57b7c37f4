"""K small networks trained at once by nn.Ensemble, beside K networks one after the other: ours, and
torch's.

    python benchmarks/ensemble.py [--quick] [--json FILE]

A step is: zero the gradients, forward, cross-entropy, backward, Adam, for all K networks on the
same batch of 32. Each library runs in a process of its own on one thread; they take turns in short
blocks, so that a busy moment of the machine hits all alike. A figure is the median of all steps.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import steps

COUNTS = (1, 2, 4, 8, 16, 32)
NETS = ("mlp 64-64-64-8", "convnet on 8x8")
WAYS = ("ensemble", "one by one")


def make_net(nn: Any, name: str) -> Any:
    """A network of that name, of either library."""
    if name.startswith("mlp"):
        return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(),
                             nn.Linear(64, 8))  # fmt: skip
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 8),
    )  # fmt: skip


def make_step(library: Any, name: str, way: str, count: int) -> Callable[[], None]:
    """One step of `count` networks."""
    nn = library.nn
    x = library.randn(32, 64) if name.startswith("mlp") else library.randn(32, 1, 8, 8)
    y = library.randint(0, 8, (32,))
    criterion = nn.CrossEntropyLoss()
    if way == "ensemble":
        ensemble = nn.Ensemble(lambda: make_net(nn, name), count)
        optimizer = library.optim.Adam(ensemble.parameters())

        def step() -> None:
            optimizer.zero_grad()
            ensemble.loss(ensemble(x), y, criterion).backward()
            optimizer.step()

        return step
    nets = [make_net(nn, name) for _ in range(count)]
    pairs = [(net, library.optim.Adam(net.parameters())) for net in nets]

    def steps_of_each() -> None:
        for net, optimizer in pairs:
            optimizer.zero_grad()
            criterion(net(x), y).backward()
            optimizer.step()

    return steps_of_each


def work(name: str) -> None:
    """The process of a library: for each line (net, way, count, seconds) the times of the steps."""
    library = importlib.import_module(name)
    library.set_num_threads(1)
    known: dict[tuple[str, str, int], Callable[[], None]] = {}
    print(json.dumps({"version": library.__version__}), flush=True)
    for line in sys.stdin:
        net, way, count, seconds = json.loads(line)
        key = (net, way, count)
        if key not in known:
            known[key] = make_step(library, *key)
            known[key]()
            known[key]()
        times = []
        end = time.perf_counter() + seconds
        while True:
            start = time.perf_counter()
            known[key]()
            now = time.perf_counter()
            times.append(now - start)
            if now > end:
                break
        print(json.dumps(times), flush=True)


class Worker:
    """A process that runs a library's steps."""

    def __init__(self, library: str) -> None:
        variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        command = [sys.executable, __file__, "--worker", library]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | dict.fromkeys(variables, "1"),
        )  # fmt: skip
        self.version = self._receive()["version"]

    def _receive(self) -> Any:
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise SystemExit(f"a process ended with {self._process.wait()}")
        return json.loads(line)

    def times(self, net: str, way: str, count: int, seconds: float) -> list[float]:
        """The times of the steps of a block."""
        request = json.dumps([net, way, count, seconds])
        print(request, file=self._process.stdin, flush=True)
        return self._receive()

    def close(self) -> None:
        """Ends the process."""
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait()


def main() -> int:
    """Runs the benchmark and prints the table."""
    parser = argparse.ArgumentParser(description="K networks at once beside one after the other")
    parser.add_argument("--quick", action="store_true", help="a few seconds: rough figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all medians there")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker)
        return 0
    workers = {"minigrad": Worker("minigrad")}
    if importlib.util.find_spec("torch") is not None:
        workers["torch"] = Worker("torch")
    columns = [("minigrad", way) for way in WAYS] + [("torch", "one by one")] * ("torch" in workers)
    rounds, seconds = (2, 0.01) if options.quick else (20, 0.03)
    facts = steps.machine()
    times: dict[tuple[Any, ...], list[float]] = {}
    for _ in range(rounds):
        for net in NETS:
            for count in COUNTS:
                for library, way in columns:
                    found = workers[library].times(net, way, count, seconds)
                    times.setdefault((net, count, library, way), []).extend(found)
    for worker in workers.values():
        worker.close()
    print(f"{facts['processor']}, {facts['processors']} processors, {facts['system']}")
    versions = ", ".join(f"{name} {worker.version}" for name, worker in workers.items())
    print(f"Python {platform.python_version()}, {versions}, one thread each")
    rows = []
    for net in NETS:
        print(f"\n{net}; microseconds for a step of all K networks")
        titles = "".join(f"{library + ', ' + way:>24}" for library, way in columns)
        print(f"{'K':>4}{titles}{'K ours / ensemble':>20}", end="")
        print(f"{'K torch / ensemble':>20}" if "torch" in workers else "")
        for count in COUNTS:
            found_times = [times[(net, count, *column)] for column in columns]
            medians = [statistics.median(each) * 1e6 for each in found_times]
            ratios = [median / medians[0] for median in medians[1:]]
            rows.append({"net": net, "count": count, "medians_us": medians, "ratios": ratios})
            print(f"{count:>4}" + "".join(f"{median:>24.1f}" for median in medians), end="")
            print("".join(f"{ratio:>20.2f}" for ratio in ratios))
    if options.json:
        options.json.write_text(json.dumps(facts | {"rows": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
