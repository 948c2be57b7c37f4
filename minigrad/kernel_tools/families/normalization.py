"""Batch, layer, RMS and group normalisation, and attention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...kernels import NULL, lib
from .. import reference
from ..arrays import array, results
from ..checks import Case, Draw, Trial, wide

# samples, groups, channels, inner
GROUPS = (
    (5, 1, 7, 1),
    (70, 1, 67, 1),
    (9, 3, 5, 1),
    (1, 2, 1031, 1),
    (3, 2, 3, 5),
    (2, 4, 1, 67),
    (66, 2, 2, 2),
    (0, 2, 3, 2),
)
_LAYOUTS = ("contiguous", "transposed", "sliced")


def normalized(x, weight, bias, grad, centred, eps):
    """Value and derivatives of (N, groups, channels, inner) in float64."""
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


def _group_cases(draw: Draw) -> Iterator[tuple[Any, ...]]:
    for sizes in GROUPS:
        for centred in (1, 0) if sizes[3] == 1 else (1,):
            x = draw.values(sizes) + np.asarray(3, draw.dtype)
            grad, weight = draw.values(sizes), draw.values((*sizes[1:3], 1))
            bias = draw.values((*sizes[1:3], 1))
            wanted = normalized(wide(x), wide(weight), wide(bias), wide(grad), centred, 1e-3)
            yield f"{sizes}{' centred' * centred}", x, weight, bias, grad, centred, wanted


def _group_norm(draw: Draw) -> Iterator[Trial]:
    for label, x, weight, bias, _, centred, exact in _group_cases(draw):
        geometry = [*x.shape[1:], centred]

        def run(x, weight, bias, geometry=geometry):
            return results(3, lambda o: lib.mg_group_norm(x, weight, bias, geometry, 1e-3, o))

        wanted = [exact[0], exact[1] if centred else None, exact[2]]
        yield Trial(label, run, [x, weight, bias], wanted, [16.0, 8.0, None], _LAYOUTS)


def _group_norm_backward(draw: Draw) -> Iterator[Trial]:
    for label, x, weight, _, grad, centred, exact in _group_cases(draw):
        geometry = [*x.shape[1:], centred]
        kept = [exact[1].astype(draw.dtype) if centred else None, exact[2].astype(draw.dtype)]

        def run(grad, x, weight, mean, inverse, geometry=geometry):
            operands = grad, x, weight, NULL if mean is None else mean, inverse
            got = results(3, lambda o: lib.mg_group_norm_backward(*operands, geometry, 7, o))
            return got

        shape = weight.shape
        wanted = [exact[3], *(each.reshape(shape) for each in exact[4:])]
        sums = 8.0 * max(1, x.shape[0] * x.shape[3])
        yield Trial(label, run, [grad, x, weight, *kept], wanted, [16.0, sums, sums], _LAYOUTS)


BATCHES = ((4, 3), (5, 67), (2, 3, 7), (3, 2, 5, 4), (2, 1, 3, 3), (33, 16, 6, 6))


def _batch_norm(draw: Draw) -> Iterator[Trial]:
    for shape in BATCHES:
        channels, count = shape[1], int(np.prod(shape)) // shape[1]
        x = draw.values(shape) + np.asarray(3, draw.dtype)
        weight, bias = draw.values(channels), draw.values(channels)
        mean, variance = draw.values(channels), draw.values(channels, 0.5, 2)
        statistics = reference.batch_statistics(wide(x))
        for training in (1, 0):

            def run(x, weight, bias, mean, variance, training=training):
                tracked = array(np.array(0)) if training else NULL
                operands = x, weight, bias, mean, variance, tracked, training, 0.1, 1e-5
                return [*results(3, lambda o: lib.mg_batch_norm(*operands, o)), mean, variance]

            used = statistics if training else (wide(mean), wide(variance))
            wanted = [
                reference.batch_norm(wide(x), used[0], used[1], wide(weight), wide(bias)),
                used[0],
                1 / np.sqrt(used[1] + 1e-5),
                wide(mean),
                wide(variance),
            ]
            if training:
                spread = used[1] * count / (count - 1)
                wanted[3:] = [0.9 * wide(mean) + 0.1 * used[0], 0.9 * wide(variance) + 0.1 * spread]
            label = f"{shape} {'training' if training else 'evaluation'}"
            operands = [x, weight, bias, mean, variance]
            scales = [16.0, 8.0, None, 8.0, 8.0]
            yield Trial(label, run, operands, wanted, scales, _LAYOUTS[:1])


def _batch_norm_backward(draw: Draw) -> Iterator[Trial]:
    for shape in BATCHES:
        x, grad = draw.values(shape) + np.asarray(3, draw.dtype), draw.values(shape)
        weight = draw.values(shape[1])
        axes = (0, *range(2, len(shape)))
        spread = [1, -1] + [1] * (len(shape) - 2)
        mean, variance = reference.batch_statistics(wide(x))
        kept = [mean.astype(draw.dtype), (1 / np.sqrt(variance + 1e-5)).astype(draw.dtype)]
        inverse = wide(kept[1]).reshape(spread)
        normal = (wide(x) - wide(kept[0]).reshape(spread)) * inverse
        of_normal = wide(grad) * wide(weight).reshape(spread)
        sums = [(wide(grad) * normal).sum(axes), wide(grad).sum(axes)]
        for training in (1, 0):
            found = inverse * of_normal
            if training:
                means = of_normal.mean(axes, keepdims=True)
                along = (of_normal * normal).mean(axes, keepdims=True)
                found = inverse * (of_normal - means - normal * along)

            def run(grad, x, weight, mean, inverse, training=training):
                operands = grad, x, weight, mean, inverse, training
                return results(3, lambda o: lib.mg_batch_norm_backward(*operands, o))

            label = f"{shape} {'training' if training else 'evaluation'}"
            scale = 8.0 * x.size / shape[1]
            operands = [grad, x, weight, *kept]
            yield Trial(label, run, operands, [found, *sums], [16.0, scale, scale], _LAYOUTS[:1])


# ---- attention: batch, queries, keys, width, width of the values ----

ATTENTIONS = (
    ((), 1, 1, 1, 1),
    ((3,), 5, 7, 3, 2),
    ((2, 3), 64, 64, 16, 16),
    ((2, 2), 67, 33, 5, 17),
    ((1, 2), 33, 131, 33, 3),
    ((2,), 4, 0, 3, 2),
    ((0, 2), 4, 3, 3, 2),
)


def attention(q, k, v, mask, keep, grad, scale, causal):
    """Value and derivatives in float64, and the logarithms of the softmax's sums."""
    scores = scale * q @ k.swapaxes(-1, -2) + (0 if mask is None else mask)
    if causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
    largest = scores.max(-1, keepdims=True, initial=-np.inf)
    finite = np.where(np.isinf(largest), 0, largest)
    powers = np.exp(scores - finite)
    total = powers.sum(-1, keepdims=True)
    weights = powers / np.where(total == 0, 1, total)
    kept = weights if keep is None else weights * keep
    of_kept = grad @ v.swapaxes(-1, -2)
    of_weights = of_kept if keep is None else of_kept * keep
    slopes = weights * (of_weights - (weights * of_weights).sum(-1, keepdims=True)) * scale
    turned = slopes.swapaxes(-1, -2)
    gradients = slopes @ k, turned @ q, kept.swapaxes(-1, -2) @ grad
    return kept @ v, (finite + np.log(total))[..., 0], gradients


def _attentions(draw: Draw) -> Iterator[tuple[Any, ...]]:
    for batch, length, keys, width, out in ATTENTIONS:
        for option in ("plain", "causal", "mask", "keep", "causal keep"):
            shapes = [(length, width), (keys, width), (keys, out)]
            q, k, v = (draw.values((*batch, *shape), -2, 2) for shape in shapes)
            scores = (*batch, length, keys)
            mask = draw.values(scores) if option == "mask" else None
            keep = None
            if "keep" in option:
                keep = (draw.rng.random(scores) < 0.7) * np.asarray(1.5, draw.dtype)
            grad = draw.values((*batch, length, out))
            causal = int("causal" in option)
            exact = attention(
                *(wide(q), wide(k), wide(v)),
                None if mask is None else wide(mask),
                None if keep is None else wide(keep),
                *(wide(grad), 0.3, causal),
            )
            operands = [q, k, v, mask, keep, grad]
            label = f"{batch} {length} {keys} {width} {out} {option}"
            yield label, operands, causal, exact


def _call(handles) -> list[Any]:
    return [NULL if each is None else each for each in handles]


def _attention(draw: Draw) -> Iterator[Trial]:
    for label, operands, causal, exact in _attentions(draw):

        def run(*handles, causal=causal):
            given = _call(handles)
            return results(2, lambda o: lib.mg_attention(given, 0.3, causal, o))

        yield Trial(label, run, operands[:5], (exact[0], None), 8.0, _LAYOUTS[:1])


def _attention_backward(draw: Draw) -> Iterator[Trial]:
    for label, operands, causal, exact in _attentions(draw):
        log_sums = exact[1].astype(draw.dtype)

        def run(grad, log_sums, *handles, causal=causal):
            given = _call(handles)
            entry = lib.mg_attention_backward
            return results(3, lambda o: entry(grad, log_sums, given, 0.3, causal, o))

        size = operands[0].shape[-2]
        given = [operands[5], log_sums, *operands[:5]]
        yield Trial(label, run, given, list(exact[2]), 16.0 + size, _LAYOUTS[:1])


CASES = [
    Case("group_norm", _group_norm, 16),
    Case("group_norm_backward", _group_norm_backward, 64),
    Case("batch_norm", _batch_norm, 16),
    Case("batch_norm_backward", _batch_norm_backward, 64),
    Case("attention", _attention, 32),
    Case("attention_backward", _attention_backward, 64),
]
