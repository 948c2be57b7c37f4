"""What this installation is and runs on: `minigrad info` prints it, a bug report should hold it."""

from __future__ import annotations

import platform
from typing import Any

import numpy

from ._version import __version__
from .dtypes import BY_CODE
from .kernels import available_isas, ffi, get_num_threads, isa, lib


def info() -> dict[str, Any]:
    """The facts as a dictionary that JSON can hold.

    ``processor_limit`` is the number of processors that the affinity mask and the control group
    (a container's CPU quota, rounded up) allow; ``threads`` is how many a kernel may use now;
    ``openmp`` is the version date of OpenMP, None in a build without it.
    """
    return {
        "version": __version__,
        "processor": ffi.string(lib.mg_processor()).decode(errors="replace"),
        "instruction_set": isa(),
        "instruction_sets": available_isas(),
        "threads": get_num_threads(),
        "processor_limit": lib.mg_processor_limit(),
        "openmp": ffi.string(lib.mg_openmp()).decode() or None,
        "compiler": ffi.string(lib.mg_compiler()).decode(),
        "dtypes": [dtype.name for dtype in BY_CODE],
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }


def format_info() -> str:
    """The same as text, one line a fact."""
    facts = info()
    others = [name for name in facts["instruction_sets"] if name != facts["instruction_set"]]
    lines = {
        "minigrad": facts["version"],
        "processor": facts["processor"],
        "instruction set": facts["instruction_set"]
        + (f" (also here: {', '.join(others)}; MINIGRAD_ISA=NAME selects one)" if others else ""),
        "threads": f"{facts['threads']} (processors allowed: {facts['processor_limit']})",
        "OpenMP": facts["openmp"] or "no (built single-threaded)",
        "compiler": facts["compiler"],
        "dtypes": ", ".join(facts["dtypes"]),
        "Python": f"{facts['python']} on {facts['system']}",
        "NumPy": facts["numpy"],
    }
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {fact}" for name, fact in lines.items())
