"""Every test here runs once for each instruction set that the processor has."""

from __future__ import annotations

import pytest

from minigrad import kernels


@pytest.fixture(autouse=True, params=kernels.available_isas())
def isa(request):
    kernels.set_isa(request.param)
    yield request.param
    kernels.set_isa(None)
