"""Fixtures and settings of all tests."""

from __future__ import annotations

import signal

import numpy as np
import pytest

import minigrad as mg

# A shell starts a job in the background with interrupts ignored, and what tests start would inherit
# that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _fresh_state():
    """Every test starts from the same seed and leaves the documented switches as it found them."""
    threads = mg.get_num_threads()
    np.random.seed(0)
    mg.manual_seed(0)
    yield
    mg.set_num_threads(threads)
    assert mg.is_grad_enabled(), "the test left gradients switched off"
    assert mg.get_default_dtype() == mg.float32, "the test left another default dtype"
