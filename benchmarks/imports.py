"""What an installation costs: the time of `import minigrad` beyond NumPy's, and the size of the
wheel.

    python benchmarks/imports.py [--quick] [--wheel] [--json FILE]

Each import runs in a fresh interpreter, minigrad and torch (where installed) in turn; NumPy is
imported before the clock starts, as every one of them needs it. minigrad is imported with all that
a training program uses of it. The interpreter may keep the compiled bytecode, as an installation
does. --wheel builds the wheel from this checkout, which compiles the C core.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

GOALS = {"import_ms": 80.0, "wheel_bytes": 3_000_000}
CODE = "import numpy, time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
MODULES = {
    "minigrad": "minigrad, minigrad.nn, minigrad.optim, minigrad.utils.data",
    "torch": "torch",
}
NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"  # with it every import compiles the sources again


def import_seconds(library: str) -> float:
    """The time of one import in a fresh interpreter."""
    command = [sys.executable, "-c", CODE.format(MODULES[library])]
    environment = {key: value for key, value in os.environ.items() if key != NO_BYTECODE}
    result = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(result.stdout)


def wheel_bytes() -> int:
    """The size of the wheel of this checkout."""
    checkout = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as directory:
        command = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--no-deps",
            "-w",
            directory,
            str(checkout),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return next(Path(directory).glob("*.whl")).stat().st_size


def main() -> int:
    """Measures and prints; status 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--wheel", action="store_true", help="also build the wheel")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    options = parser.parse_args()
    libraries = [name for name in MODULES if importlib.util.find_spec(name)]
    times: dict[str, list[float]] = {library: [] for library in libraries}
    for turn in range(4 if options.quick else 16):
        for library in libraries:
            seconds = import_seconds(library)
            if turn:  # the first import reads from disk and may write bytecode
                times[library].append(seconds)
    result: dict[str, Any] = {}
    for library, values in times.items():
        result[f"{library}_import_ms"] = statistics.median(values) * 1e3
        print(f"import {library} beyond numpy: {result[f'{library}_import_ms']:.1f} ms (median)")
    missed = result["minigrad_import_ms"] > GOALS["import_ms"]
    if options.wheel:
        result["wheel_bytes"] = wheel_bytes()
        missed |= result["wheel_bytes"] >= GOALS["wheel_bytes"]
        print(f"wheel: {result['wheel_bytes'] / 1e6:.2f} MB")
    print(f"goals: {GOALS['import_ms']:.0f} ms, {GOALS['wheel_bytes'] / 1e6:.0f} MB")
    if options.json:
        options.json.write_text(json.dumps(result | {"goals": GOALS}, indent=2) + "\n")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
