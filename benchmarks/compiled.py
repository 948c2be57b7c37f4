"""Compiled steps: `minigrad.compile` beside torch (eager and compiled), JAX jit and NumPy by hand.

    python benchmarks/compiled.py [--quick] [--torch-compile] [--markdown FILE] [--only NAME ...]

The cases are the training steps of steps.py, inference of one sample and of a batch, the loop of a
deep Q-learner, and a network that solves a differential equation (loops.py). Processes, turns and
medians are those of steps.py; a library's figure is the better of its numbers of threads. JAX may
compute on while Python starts the next step; it is waited for after every fourth.

The first call of a function records or compiles it. Its time is in a table of its own; JAX and
torch then keep the step for the whole run, minigrad records anew in every round.

--torch-compile adds torch.compile, which needs a C++ compiler and takes half a minute per case.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cases
import loops
import steps

OURS = "minigrad compiled"
PEERS = ("torch", "torch compiled", "jax", "numpy")
ONE_SAMPLE = 10.0  # torch eager's time over ours that is wanted at least, for one sample
Times = dict[tuple[str, str, int], list[float]]


def best(times: Times, name: str, library: str) -> float | None:
    """The median of a library, in microseconds, with the better of its numbers of threads."""
    found = [
        statistics.median(values) * 1e6
        for (case, known, _), values in times.items()
        if case == name and known == library
    ]
    return min(found, default=None)


def evaluate(times: Times, firsts: Times, names: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each case: medians by library, the ratio to the best peer, and first calls."""
    libraries = ("minigrad", OURS, *PEERS)
    rows = []
    for name in names:
        medians = {library: best(times, name, library) for library in libraries}
        medians = {library: value for library, value in medians.items() if value is not None}
        first = {library: best(firsts, name, library) for library in libraries}
        peers = [medians[library] for library in PEERS if library in medians]
        ours = medians.get(OURS)
        row: dict[str, Any] = {"case": name, "medians_us": medians, "goal": cases.COMPILED[name]}
        row["first_us"] = {library: value for library, value in first.items() if value is not None}
        if ours and peers:
            row["ratio"] = min(peers) / ours
        if ours and "torch" in medians and loops.INFERENCE.get(name, ("", 0))[1] == 1:
            row |= {"goal": ONE_SAMPLE, "ratio": medians["torch"] / ours}
        rows.append(row)
    return rows


def table(rows: Sequence[dict[str, Any]], key: str, title: str, ratios: bool) -> str:
    """The rows as text."""
    libraries = [
        library
        for library in ("minigrad", OURS, *PEERS)
        if any(library in row[key] for row in rows)
    ]
    width = max(len(row["case"]) for row in rows) + 1
    head = f"{title:<{width}}" + "".join(f"{library:>19}" for library in libraries)
    lines = [head + (f"{'best peer / ours':>19}{'goal':>7}" if ratios else "")]
    for row in rows:
        line = f"{row['case']:<{width}}"
        for library in libraries:
            value = row[key].get(library)
            line += f"{value:>19.1f}" if value is not None else " " * 19
        if ratios and "ratio" in row:
            reached = "" if row["ratio"] >= row["goal"] else " no"
            line += f"{row['ratio']:>19.2f}{row['goal']:>7.1f}{reached}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def main() -> int:
    """Runs the benchmark and prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="rough figures")
    parser.add_argument("--torch-compile", action="store_true", help="torch.compile as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all medians there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also into that page")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="cases whose name contains one")
    parser.add_argument("--rounds", type=int, help="default: 20, with --quick 3")
    parser.add_argument("--threads", nargs="+", type=int, default=steps.THREADS)
    options = parser.parse_args()
    names = [
        name
        for name in cases.COMPILED
        if not options.only or any(part in name for part in options.only)
    ]
    if not names:
        parser.error(f"no case of that name; there are: {'; '.join(cases.COMPILED)}")
    libraries = [name for name in ("minigrad", "torch", "jax", "numpy") if is_installed(name)]
    libraries.insert(0, OURS)
    if options.torch_compile and "torch" in libraries:
        libraries.append("torch compiled")
    workers = [steps.Worker(library, n) for library in libraries for n in options.threads]
    facts = steps.machine() | {"libraries": {each.library: each.facts for each in workers}}
    rounds, seconds = (3, 0.02) if options.quick else (20, 0.05)
    firsts: Times = {}
    times = steps.measure(workers, names, options.rounds or rounds, seconds, firsts)
    for worker in workers:
        worker.close()
    # What compiles once: the first of all first calls.
    firsts = {key: v[:1] if key[1] in cases.SLOW_TO_COMPILE else v for key, v in firsts.items()}
    rows = evaluate(times, firsts, names)
    text = "\n".join(
        [
            *steps.heading(facts),
            "",
            table(rows, "medians_us", "median, microseconds", ratios=True),
            "inference of one sample: torch / ours instead of best peer / ours",
            "",
            table(rows, "first_us", "first call, microseconds", ratios=False),
        ]
    )
    print(text)
    if options.markdown:
        steps.put_into_page(options.markdown, "compiled.py", text)
    if options.json:
        options.json.write_text(json.dumps(facts | {"rows": rows}, indent=2) + "\n")
    return 0


def is_installed(name: str) -> bool:
    """Whether the library is there; says so if it is not."""
    found = importlib.util.find_spec(name) is not None
    if not found:
        print(f"{name} is not installed and left out", file=sys.stderr)
    return found


if __name__ == "__main__":
    sys.exit(main())
