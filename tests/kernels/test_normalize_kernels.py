"""Layer, RMS and group normalisation against float64 NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from native import FLOATS, NULL, array, check, close, ffi, lib, many, ndarray, outputs, own, values

from minigrad.kernel_tools.families.normalization import GROUPS, normalized

KERNELS = {"group_norm", "group_norm_backward"}


def exact(*operands, centred, eps):
    """Value and derivatives of (N, groups, channels, inner) in float64."""
    return normalized(*(each.astype(np.float64) for each in operands), centred, eps)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("sizes", "centred"),
    [*[(sizes, 1) for sizes in GROUPS], *[(sizes, 0) for sizes in GROUPS[:4]]],
    ids=str,
)
def test_group_norm(sizes, centred, dtype):
    rng = np.random.default_rng(0)
    geometry = [*sizes[1:], centred]
    x = values(rng, sizes, dtype) + np.asarray(3, dtype)
    grad = values(rng, sizes, dtype)
    weight, bias = (values(rng, (*sizes[1:3], 1), dtype) for _ in range(2))
    y, mean, inverse, *wanted = exact(x, weight, bias, grad, centred=centred, eps=1e-3)
    results = ffi.new("mg_array *[]", 3)
    check(
        lib.mg_group_norm(
            array(x, "transposed"), array(weight), array(bias), geometry, 1e-3, results
        )
    )
    kept = own(results[1]) if centred else NULL, own(results[2])
    close(ndarray(own(results[0])), y, 256, 8)
    if centred:
        close(ndarray(kept[0]), mean, 64, 4)
    close(ndarray(kept[1]), inverse, 256)

    def backward(results):
        return lib.mg_group_norm_backward(
            array(grad), array(x), array(weight), *kept, geometry, 7, results
        )

    grad_input, grad_weight, grad_bias = outputs(3, backward)
    close(grad_input, wanted[0], 1024, 8)
    close(grad_weight[..., 0], wanted[1], 1024, 8)
    close(grad_bias[..., 0], wanted[2], 1024, 8)
    for place, whole in enumerate((grad_input, grad_weight, grad_bias)):
        check(
            lib.mg_group_norm_backward(
                array(grad), array(x), array(weight), *kept, geometry, 1 << place, results
            )
        )
        assert [bool(each) for each in results] == [i == place for i in range(3)]
        np.testing.assert_array_equal(ndarray(own(results[place])), whole)


@pytest.mark.parametrize("inner", [1, 64])
def test_a_large_mean_costs_no_digits(inner):
    """The variance of numbers far from 0 is taken around their mean."""
    x = np.random.default_rng(0).standard_normal((4, 1, 64, inner)).astype("float32") + 4096
    ones, zeros = np.ones((1, 64), "float32"), np.zeros((1, 64), "float32")
    y, _, _ = outputs(
        3,
        lambda results: lib.mg_group_norm(
            array(x), array(ones), array(zeros), [1, 64, inner, 1], 1e-5, results
        ),
    )
    wide = x.astype(np.float64)
    wide = wide - wide.mean((2, 3), keepdims=True)
    close(y, wide / np.sqrt((wide**2).mean((2, 3), keepdims=True) + 1e-5), 1, 4096)


def test_what_does_not_fit_is_an_error():
    x, wide = array(np.ones((2, 6), "float32")), array(np.ones(6))
    results = many(NULL, NULL, NULL)
    for geometry, weight in [([1, 5, 1, 1], NULL), ([0, 1, 1, 1], NULL), ([1, 6, 1, 1], wide)]:
        assert lib.mg_group_norm(x, weight, NULL, geometry, 0.1, results) == -1
    assert lib.mg_group_norm(x, NULL, NULL, [1, 3, 2, 0], 0.1, results) == -1
    few = array(np.ones(1, "float32"))
    assert lib.mg_group_norm_backward(x, x, NULL, few, few, [1, 6, 1, 1], 1, results) == -1
    assert lib.mg_group_norm_backward(x, x, NULL, NULL, few, [1, 6, 1, 1], 1, results) == -1
