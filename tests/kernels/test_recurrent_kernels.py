"""Recurrent layers against their formulas in float64 NumPy, step by step."""

from __future__ import annotations

import numpy as np
import pytest
from native import FLOATS, array, check, close, ffi, lib, many, ndarray, own, values

from minigrad import kernels

KERNELS = {"recurrent", "recurrent_backward"}

MODES = {"rnn_tanh": (0, 1), "rnn_relu": (1, 1), "lstm": (2, 4), "gru": (3, 3)}
# steps, batch, features, hidden: fewer and more sequences than take the product step by step,
# more than a piece, tails of every kind, and products over more than one block of rows
SIZES = [
    *((3, 1, 1, 1), (4, 3, 5, 7), (3, 9, 4, 16), (2, 16, 3, 17), (3, 37, 6, 13)),
    *((2, 9, 330, 5), (2, 8, 3, 330)),
]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step(name, x, h, c, w_ih, w_hh, b_ih, b_hh):
    """The next h and c."""
    a, b = x @ w_ih.T + b_ih, h @ w_hh.T + b_hh
    if name == "lstm":
        i, f, g, o = np.split(a + b, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    if name == "gru":
        (ar, az, an), (br, bz, bn) = np.split(a, 3, -1), np.split(b, 3, -1)
        z, n = sigmoid(az + bz), np.tanh(an + sigmoid(ar + br) * bn)
        return (1 - z) * n + z * h, c
    return np.maximum(a + b, 0) if name == "rnn_relu" else np.tanh(a + b), c


def sequence(name, rows, counts, reverse, h, c, *weights):
    """y, h_n, c_n of rows of step after step."""
    h, c = h.copy(), c.copy()
    y = np.empty((len(rows), h.shape[1]))
    starts = np.concatenate([[0], np.cumsum(counts)])
    for t in reversed(range(len(counts))) if reverse else range(len(counts)):
        n, at = counts[t], slice(starts[t], starts[t + 1])
        h[:n], c[:n] = step(name, rows[at], h[:n], c[:n], *weights)
        y[at] = h[:n]
    return y, h, c


def operands(name, dtype, steps, batch, features, hidden, packed):
    rng = np.random.default_rng(7)
    units = MODES[name][1] * hidden
    counts = [max(1, batch - 4 * t) if packed else batch for t in range(steps)]
    bound = 2 / np.sqrt(hidden + features)
    made = [values(rng, (sum(counts), features), dtype, -2, 2)]
    made += [values(rng, (batch, hidden), dtype, -1, 1) for _ in range(2)]
    made += [values(rng, (units, n), dtype, -bound, bound) for n in (features, hidden)]
    made += [values(rng, units, dtype, -1, 1) for _ in range(2)]
    return made, counts


def handles(name, made, counts, packed, steps):
    x, h, c, *weights = made
    if not packed:
        x = x.reshape(steps, -1, x.shape[1])
    sizes = array(np.array(counts, np.int64)) if packed else None
    cells = array(c) if name == "lstm" else None
    return many(array(x), sizes, array(h), cells, *map(array, weights), None)


def run(mode, reverse, inputs, keep=True):
    outputs = ffi.new("mg_array *[]", 6)
    check(lib.mg_recurrent(mode, reverse, keep, inputs, outputs))
    return [own(each) if each else None for each in outputs]


@pytest.mark.parametrize("packed", [False, True], ids=["whole", "packed"])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", MODES)
def test_recurrent(name, dtype, size, reverse, packed):
    """Values, and gradients against differences of the float64 reference in random directions."""
    made, counts = operands(name, dtype, *size, packed)
    inputs = handles(name, made, counts, packed, size[0])
    mode = MODES[name][0]
    kept = run(mode, reverse, inputs)
    wide = [each.astype(np.float64) for each in made]
    wanted = sequence(name, wide[0], counts, reverse, *wide[1:])
    found = [None if each is None else ndarray(each) for each in kept[:3]]
    found[0] = found[0].reshape(wanted[0].shape)
    for one, other in zip(found, wanted[: 3 if name == "lstm" else 2], strict=False):
        close(one, other, 64, 1.0)
    for one, other in zip(run(mode, reverse, inputs, keep=False)[:3], kept[:3], strict=True):
        assert (one is None) == (other is None)
        assert one is None or np.array_equal(ndarray(one), ndarray(other))

    rng = np.random.default_rng(8)
    seeds = [values(rng, each.shape, dtype, -1, 1) for each in wanted]
    grads = many(array(seeds[0].reshape(ndarray(kept[0]).shape)), *map(array, seeds[1:]))
    if name != "lstm":
        seeds[2] *= 0
        grads = many(array(seeds[0].reshape(ndarray(kept[0]).shape)), array(seeds[1]), None)
    outputs = ffi.new("mg_array *[]", 8)
    saved = many(kept[0], *kept[3:])
    check(lib.mg_recurrent_backward(mode, reverse, 3, inputs, saved, grads, outputs))
    results = [ndarray(own(each)) if each else None for each in outputs][:7]
    results[0] = results[0].reshape(made[0].shape)

    def value(operands):
        got = sequence(name, operands[0], counts, reverse, *operands[1:])
        return sum((a * b).sum() for a, b in zip(got, seeds, strict=True))

    for place, result in enumerate(results):
        if result is None:
            assert name != "lstm"
            assert place == 2
            continue
        direction = rng.standard_normal(result.shape)
        moved = [list(wide), list(wide)]
        for sign, each in zip((1, -1), moved, strict=True):
            each[place] = wide[place] + sign * 1e-6 * direction
        slope = (value(moved[0]) - value(moved[1])) / 2e-6
        scale = 1 + np.linalg.norm(result.astype(np.float64)) * np.linalg.norm(direction)
        tolerance = 3e-6 if dtype == "float32" else 1e-8
        assert abs((result * direction).sum() - slope) <= tolerance * scale, place


@pytest.mark.parametrize("name", MODES)
def test_threads_do_not_change_bits(name):
    made, counts = operands(name, "float32", 20, 67, 19, 51, True)
    inputs = handles(name, made, counts, True, 20)
    results, before = [], kernels.get_num_threads()
    for threads in (1, 2, 3):
        kernels.set_num_threads(threads)
        kept = run(MODES[name][0], 0, inputs)
        outputs = ffi.new("mg_array *[]", 8)
        grads = many(kept[0], kept[1], kept[2])
        saved = many(kept[0], *kept[3:])
        check(lib.mg_recurrent_backward(MODES[name][0], 0, 3, inputs, saved, grads, outputs))
        every = [*kept, *(own(each) if each else None for each in outputs)]
        results.append([ndarray(each).tobytes() for each in every if each is not None])
    kernels.set_num_threads(before)
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [([2, 3], "must not increase"), ([3, 1], "add up to 4"), ([3, -1, 3], "must not increase")],
)
def test_batch_sizes_are_checked(sizes, message):
    made, _ = operands("gru", "float32", 2, 3, 4, 5, False)
    inputs = many(
        array(made[0]), array(np.array(sizes, np.int64)), None, None, *map(array, made[3:]), None
    )
    with pytest.raises(RuntimeError, match=message):
        run(3, 0, inputs)
