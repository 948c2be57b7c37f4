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


# These have a file of their own here, with references that are compositions or one pixel at a time.
WITHOUT_CASE = {"recurrent", "recurrent_backward", "adafactor", "host"}
WITHOUT_CASE |= {"image_window", "image_affine", "image_resample", "image_hue"}
WITHOUT_CASE |= {"grid_sample", "grid_sample_backward"}


def test_every_kernel_has_a_case():
    """A kernel, or a row of a .def file, that is new needs a case in minigrad/kernel_tools."""
    assert set(ALL) - WITHOUT_CASE == set(CASES)
