"""Layer, RMS and group normalisation against float64 NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from native import FLOATS, NULL, array, check, close, ffi, lib, many, ndarray, outputs, own, values

KERNELS = {"group_norm", "group_norm_backward"}

# samples, groups, channels, inner
GEOMETRIES = [
    (5, 1, 7, 1),
    (70, 1, 67, 1),
    (9, 3, 5, 1),
    (1, 2, 1031, 1),
    (3, 2, 3, 5),
    (2, 4, 1, 67),
    (66, 2, 2, 2),
    (0, 2, 3, 2),
]


def exact(x, weight, bias, grad, centred, eps):
    """Value and derivatives of (N, groups, channels, inner) in float64."""
    x, weight, bias, grad = (each.astype(np.float64) for each in (x, weight, bias, grad))
    n = max(1, x.shape[2] * x.shape[3])
    mean = x.sum((2, 3), keepdims=True) / n * centred
    inverse = 1 / np.sqrt(((x - mean) ** 2).sum((2, 3), keepdims=True) / n + eps)
    normal = (x - mean) * inverse
    of_normal = grad * weight
    grad_input = inverse * (
        of_normal
        - of_normal.sum((2, 3), keepdims=True) / n * centred
        - normal * (of_normal * normal).sum((2, 3), keepdims=True) / n
    )
    sums = (grad * normal).sum((0, 3)), grad.sum((0, 3))
    return normal * weight + bias, mean.reshape(-1), inverse.reshape(-1), grad_input, *sums


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("sizes", "centred"),
    [*[(sizes, 1) for sizes in GEOMETRIES], *[(sizes, 0) for sizes in GEOMETRIES[:4]]],
    ids=str,
)
def test_group_norm(sizes, centred, dtype):
    rng = np.random.default_rng(0)
    geometry = [*sizes[1:], centred]
    x = values(rng, sizes, dtype) + np.asarray(3, dtype)
    grad = values(rng, sizes, dtype)
    weight, bias = (values(rng, (*sizes[1:3], 1), dtype) for _ in range(2))
    y, mean, inverse, *wanted = exact(x, weight, bias, grad, centred, 1e-3)
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
