"""The cases of every kernel, a file for each family."""

from __future__ import annotations

from ..checks import Case
from . import elementwise, fused, matmul, normalization, reductions, spatial, updates

MODULES = (elementwise, fused, reductions, matmul, normalization, spatial, updates)
CASES: dict[str, Case] = {case.name: case for module in MODULES for case in module.CASES}
