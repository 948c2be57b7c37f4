"""Random training programs: compiled, they do what they do eagerly, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from compile_programs import compare

import minigrad as mg
from minigrad import nn, optim

pytestmark = pytest.mark.filterwarnings("ignore:compile. ")

# Seeds that once failed: gradients given to frozen parameters.
FOUND = [1, 142]


@pytest.mark.parametrize("seed", [*FOUND, *range(1000, 1045)])
def test_a_random_program_is_that_of_eager(seed):
    different, program = compare(seed)
    assert different is None, f"{different}\n{program.model}"


def test_gradients_given_to_frozen_parameters():
    """An optimizer uses a gradient that was put there by hand, though no backward pass would."""
    results = []
    for compiled in (False, True):
        weight = nn.Parameter(mg.ones(2), requires_grad=False)
        other = nn.Parameter(mg.ones(2))
        optimizer = optim.SGD([weight, other], lr=1.0)

        def step(other=other, optimizer=optimizer):
            other.sum().backward()
            optimizer.step()
            optimizer.zero_grad()

        step = mg.compile(step) if compiled else step
        for index in range(6):
            if index in (1, 4, 5):
                weight.grad = mg.full((2,), float(index))
            step()
        assert weight.grad is None
        results.append([weight.tolist(), other.tolist()])
    np.testing.assert_array_equal(*results)
