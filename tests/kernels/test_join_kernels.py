"""Joining arrays along a dimension."""

from __future__ import annotations

import numpy as np
import pytest
from native import DTYPES, array, lib, many, ndarray, own, values

KERNELS = {"join"}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_join(dtype, dim):
    rng = np.random.default_rng(0)
    shapes = []
    for size in (3, 1, 0, 17, 2):
        shape = [4, 5, 3]
        shape[dim] = size
        shapes.append(shape)
    parts = [values(rng, shape, dtype) for shape in shapes]
    wanted = np.concatenate(parts, dim)
    handles = many(*map(array, parts))
    assert lib.mg_can_join(len(parts), handles, dim)
    outer = int(np.prod(wanted.shape[:dim]))
    got = ndarray(own(lib.mg_join(len(parts), handles, 3, list(wanted.shape), outer)))
    np.testing.assert_array_equal(got, wanted)


def test_what_does_not_join():
    good = np.ones((2, 3))
    for other in (array(np.ones((2, 4))), array(np.ones((2, 3), "float32")), array(np.ones(2))):
        assert not lib.mg_can_join(2, many(array(good), other), 0)
    assert not lib.mg_can_join(2, many(array(good), array(good, "transposed")), 0)
    assert not lib.mg_join(2, many(array(good), array(good)), 2, [2, 3], 1)
