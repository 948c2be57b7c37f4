"""Training steps and small operations: minigrad beside torch (eager) and NumPy by hand, in one run.

    python benchmarks/steps.py [--quick] [--json FILE] [--markdown FILE] [--only NAME ...]

Every library runs in processes of its own, one for each number of threads, so that no two OpenMP
runtimes meet in a process. The processes take turns: in every round each of them times a short
block of each case while the others sleep, so that a busy moment of the machine hits all alike. Each
round starts from a new network. A figure is the median of all steps of all rounds; a ratio is a
quotient of such medians, each library with the better of its numbers of threads.

A step is: zero the gradients, forward, cross-entropy, backward, optimizer. The batch is in memory.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cases

THREADS = (1, 2)
LIBRARIES = ("minigrad", "torch", "numpy")
PAUSE = 0.004  # seconds: the idle threads of the last block's OpenMP runtime stop spinning


class Worker:
    """A process that runs blocks of a library with a number of threads."""

    def __init__(self, library: str, threads: int) -> None:
        self.library, self.threads = library, threads
        variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        environment = os.environ | dict.fromkeys(variables, str(threads))
        if library == "jax":
            environment["NPROC"] = str(threads)  # what the sizes of its pools follow
        command = [sys.executable, cases.__file__, library, str(threads)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.facts = self._receive()

    def _receive(self) -> Any:
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise SystemExit(f"the {self.library} process ended with {self._process.wait()}")
        return json.loads(line)

    def block(self, name: str, seconds: float) -> dict[str, Any]:
        """The time of each step, in seconds, of a block that takes about `seconds` ("times"), and
        that of the first call ("first")."""
        print(json.dumps({"case": name, "seconds": seconds}), file=self._process.stdin, flush=True)
        return self._receive()

    def close(self) -> None:
        """Ends the process."""
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait()


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        pass  # not Linux, or a processor without that line
    return {
        "processor": model,
        "processors": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
    }


def measure(
    workers: Sequence[Worker],
    names: Sequence[str],
    rounds: int,
    seconds: float,
    firsts: dict[tuple[str, str, int], list[float]] | None = None,
) -> dict[tuple[str, str, int], list[float]]:
    """The times of all steps, by case, library and threads; those of first calls to `firsts`."""
    times: dict[tuple[str, str, int], list[float]] = {}
    refused: set[tuple[str, str]] = set()
    for turn in range(rounds):
        order = workers if turn % 2 == 0 else list(reversed(workers))
        for name in names:
            for worker in order:
                if cases.supports(worker.library, name) and (worker.library, name) not in refused:
                    time.sleep(PAUSE)
                    found = worker.block(name, seconds)
                    key = (name, worker.library, worker.threads)
                    if "error" in found:
                        print(f"{worker.library}: {name}: {found['error']}", file=sys.stderr)
                        refused.add((worker.library, name))
                        continue
                    times.setdefault(key, []).extend(found["times"])
                    if firsts is not None:
                        firsts.setdefault(key, []).append(found["first"])
        print(f"\rround {turn + 1} of {rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return times


def evaluate(
    times: dict[tuple[str, str, int], list[float]], names: Sequence[str]
) -> list[dict[str, Any]]:
    """A row for each case: medians in microseconds by library and threads, and ratios."""
    rows = []
    for name in names:
        medians: dict[str, dict[int, float]] = {}
        for (case, library, threads), values in times.items():
            if case == name:
                medians.setdefault(library, {})[threads] = statistics.median(values) * 1e6
        best = {library: min(values.values()) for library, values in medians.items()}
        ratios = {
            library: best[library] / best["minigrad"]
            for library in best
            if library != "minigrad" and "minigrad" in best
        }
        goal = cases.GOALS.get(name.split(": ")[0])
        rows.append({"case": name, "medians_us": medians, "ratios": ratios, "goal": goal})
    return rows


def groups(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each group of single operations: the geometric means of its rows."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if ": " in row["case"]:
            found.setdefault(row["case"].split(": ")[0], []).append(row)
    result = []
    for name, members in found.items():
        first = members[0]
        mean = statistics.geometric_mean
        medians = {
            library: {
                threads: mean([row["medians_us"][library][threads] for row in members])
                for threads in by_threads
            }
            for library, by_threads in first["medians_us"].items()
        }
        ratios = {
            library: mean([row["ratios"][library] for row in members])
            for library in first["ratios"]
        }
        case = f"{name}: geometric mean of {len(members)}"
        result.append(
            {"case": case, "medians_us": medians, "ratios": ratios, "goal": first["goal"]}
        )
    return result


def table(rows: Sequence[dict[str, Any]], libraries: Sequence[str]) -> str:
    """The rows as text."""
    columns = [(library, threads) for library in libraries for threads in THREADS]
    peers = [library for library in libraries if library != "minigrad"]
    width = max(len(row["case"]) for row in rows) + 1
    lines = [
        f"{'median, microseconds':<{width}}"
        + "".join(f"{library:>11} {threads}" for library, threads in columns)
        + "".join(f"{peer + ' / minigrad':>18}" for peer in peers)
        + f"{'goal':>8}"
    ]
    for row in rows:
        line = f"{row['case']:<{width}}"
        for library, threads in columns:
            value = row["medians_us"].get(library, {}).get(threads)
            line += f"{value:>13.2f}" if value is not None else f"{'':>13}"
        for peer in peers:
            ratio = row["ratios"].get(peer)
            line += f"{ratio:>18.2f}" if ratio is not None else f"{'':>18}"
        if row["goal"] is not None and "torch" in row["ratios"]:
            reached = "" if row["ratios"]["torch"] >= row["goal"] else " no"
            line += f"{row['goal']:>8.2f}{reached}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def heading(facts: dict[str, Any]) -> list[str]:
    """The machine and the libraries, in lines."""
    lines = [
        f"{facts['processor']}, {facts['processors']} processors, {facts['system']}",
        f"load at the start {facts['load']:.1f}, Python {facts['python']}",
    ]
    for library, fact in facts["libraries"].items():
        lines.append(f"{library}: " + ", ".join(f"{name} {value}" for name, value in fact.items()))
    return lines


def put_into_page(path: Path, script: str, text: str) -> None:
    """Writes the text between the two markers of that script in a Markdown file."""
    begin, end = f"<!-- begin {script} -->", f"<!-- end {script} -->"
    page = path.read_text(encoding="utf-8")
    if page.count(begin) != 1 or page.count(end) != 1:
        raise SystemExit(f"{path} must hold {begin} and {end} once each")
    before, rest = page.split(begin)
    after = rest.split(end)[1]
    content = f"{before}{begin}\n```text\n{text}\n```\n{end}{after}"
    path.write_text(content, encoding="utf-8")


def main() -> int:
    """Runs the benchmark and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few seconds: rough figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all medians there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also into that page")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="cases whose name contains one")
    parser.add_argument("--rounds", type=int, help="default: 30, with --quick 3")
    options = parser.parse_args()
    names = [
        name
        for name in cases.NAMES
        if not options.only or any(part in name for part in options.only)
    ]
    if not names:
        parser.error(f"no case of that name; there are: {', '.join(cases.NAMES)}")
    libraries = [name for name in LIBRARIES if importlib.util.find_spec(name) is not None]
    for name in set(LIBRARIES) - set(libraries):
        print(f"{name} is not installed and left out", file=sys.stderr)
    workers = [Worker(library, threads) for library in libraries for threads in THREADS]
    facts = machine() | {"libraries": {each.library: each.facts for each in workers}}
    rounds, seconds = (3, 0.02) if options.quick else (30, 0.05)
    times = measure(workers, names, options.rounds or rounds, seconds)
    for worker in workers:
        worker.close()
    rows = evaluate(times, names)
    rows += groups(rows)
    text = "\n".join([*heading(facts), "", table(rows, libraries)])
    print(text)
    if options.markdown:
        put_into_page(options.markdown, "steps.py", text)
    if options.json:
        options.json.write_text(json.dumps(facts | {"rows": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
