"""For people who write kernels: what there is, tests against a reference, benchmarks, disassembly,
and kernels of one's own. The command ``minigrad kernels`` is its face."""

from __future__ import annotations

from .checks import Case, Draw, Outcome, Trial, run_case
from .listing import Kernel, kernels

__all__ = ["Case", "Draw", "Kernel", "Outcome", "Trial", "kernels", "run_case"]
