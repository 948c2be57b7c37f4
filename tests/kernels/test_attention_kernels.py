"""Attention against float64 NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from native import FLOATS, NULL, array, close, lib, many, outputs, values

KERNELS = {"attention", "attention_backward"}

# batch, queries, keys, width, width of the values
SIZES = [
    ((), 1, 1, 1, 1),
    ((3,), 5, 7, 3, 2),
    ((2, 3), 64, 64, 16, 16),
    ((2, 2), 67, 33, 5, 17),
    ((1, 2), 33, 131, 33, 3),
    ((2,), 150, 150, 8, 8),
    ((2,), 4, 0, 3, 2),
    ((0, 2), 4, 3, 3, 2),
]
OPTIONS = ["plain", "causal", "mask", "keep", "causal keep", "hidden", "row mask"]


def exact(q, k, v, mask, keep, grad, scale, causal):
    """Value and derivatives in float64."""
    scores = scale * q @ k.swapaxes(-1, -2) + (0 if mask is None else mask)
    if causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
    largest = scores.max(-1, keepdims=True, initial=-np.inf)
    powers = np.exp(scores - np.where(np.isinf(largest), 0, largest))
    total = powers.sum(-1, keepdims=True)
    weights = powers / np.where(total == 0, 1, total)
    kept = weights if keep is None else weights * keep
    of_kept = grad @ v.swapaxes(-1, -2)
    of_weights = of_kept if keep is None else of_kept * keep
    slopes = weights * (of_weights - (weights * of_weights).sum(-1, keepdims=True)) * scale
    turned = slopes.swapaxes(-1, -2)
    return kept @ v, slopes @ k, turned @ q, kept.swapaxes(-1, -2) @ grad


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_attention(sizes, dtype, option):
    batch, length, keys, width, out = sizes
    rng = np.random.default_rng(0)
    shapes = [(length, width), (keys, width), (keys, out)]
    q, k, v = (values(rng, (*batch, *shape), dtype, -2, 2) for shape in shapes)
    grad = values(rng, (*batch, length, out), dtype)
    mask = keep = None
    if option in ("mask", "hidden"):
        mask = values(rng, (*batch, length, keys), dtype)
    if option == "hidden":
        mask[rng.random(mask.shape) < 0.5] = -np.inf
        mask[..., :2, :] = -np.inf
    if option == "row mask":
        mask = np.broadcast_to(values(rng, (keys,), dtype), (*batch, length, keys)).copy()
    if "keep" in option:
        keep = (rng.random((*batch, length, keys)) < 0.7).astype(dtype) * np.asarray(1.5, dtype)
    layout = "transposed" if option == "causal" else "sliced"
    tensors = [array(each, layout) for each in (q, k, v)]
    tensors += [NULL if each is None else array(each) for each in (mask, keep)]
    causal = int("causal" in option)
    operands = many(*tensors)
    y, log_sums = outputs(2, lambda results: lib.mg_attention(operands, 0.3, causal, results))
    wide = [None if x is None else x.astype(np.float64) for x in (q, k, v, mask, keep, grad)]
    wanted = exact(*wide, 0.3, causal)
    close(y, wanted[0], 256, 4)
    kept = array(log_sums)

    def backward(results):
        return lib.mg_attention_backward(array(grad, layout), kept, operands, 0.3, causal, results)

    for got, exactly in zip(outputs(3, backward), wanted[1:], strict=True):
        close(got, exactly, 1024, 16)


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_nan_stays_in_its_row(dtype):
    rng = np.random.default_rng(0)
    q, k, v = (values(rng, (1, 5, 3), dtype) for _ in range(3))
    q[0, 2] = np.nan
    operands = many(array(q), array(k), array(v), NULL, NULL)
    y, _ = outputs(2, lambda results: lib.mg_attention(operands, 0.3, 0, results))
    assert np.isnan(y[0, 2]).all() and not np.isnan(np.delete(y, 2, 1)).any()


def test_what_does_not_fit_is_an_error():
    results = many(NULL, NULL)
    good, wide = array(np.ones((2, 3, 4))), array(np.ones((2, 3, 5)))
    scores = array(np.ones((2, 3, 3)))
    for operands in [
        (good, wide, good, NULL, NULL),
        (good, good, array(np.ones((2, 4, 4))), NULL, NULL),
        (good, good, array(np.ones((3, 4))), NULL, NULL),
        (good, good, array(np.ones((2, 3, 4), "float32")), NULL, NULL),
        (good, good, good, wide, NULL),
        (good, good, good, array(np.ones((2, 3, 3)), "transposed"), NULL),
        (good, good, good, NULL, good),
        (array(np.ones(3)), good, good, NULL, NULL),
        (*[array(np.ones((2, 2), "int64"))] * 3, NULL, NULL),
    ]:
        assert lib.mg_attention(many(*operands), 1.0, 0, results) == -1
    operands = many(good, good, good, scores, NULL)
    assert lib.mg_attention_backward(wide, good, operands, 1.0, 0, many(NULL, NULL, NULL)) == -1
