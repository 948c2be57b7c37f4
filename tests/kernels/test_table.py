"""The table of cases that `minigrad kernels test` runs: every kernel, on every instruction set."""

from __future__ import annotations

import pytest

from minigrad.kernel_tools import kernels, run_case
from minigrad.kernel_tools.families import CASES

KERNELS: set[str] = set()
ALL = {each.name: each for each in kernels()}


@pytest.mark.parametrize("name", [name for name in ALL if name in CASES])
def test_kernel(name, isa):
    for outcome in run_case(CASES[name], ALL[name], isa):
        assert outcome.passed, (
            f"{outcome.dtype}: {outcome.error:.3g} ulp, allowed are {outcome.limit:g}, "
            f"{outcome.failure or outcome.worst}"
        )


def test_every_case_has_a_kernel():
    assert set(CASES) <= set(ALL)
