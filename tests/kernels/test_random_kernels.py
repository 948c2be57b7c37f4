"""Random numbers: known answers, the same on every instruction set, and the right distributions."""

from __future__ import annotations

import numpy as np
import pytest
from native import DTYPES, FLOATS, array, check, empty, lib, ndarray, outputs

KERNELS = {
    "random_uniform",
    "random_normal",
    "random_bernoulli",
    "dropout",
    "random_integers",
    "random_permutation",
}


def generator(seed=1, counter=0):
    return array(np.array([seed, counter]))


def draw(entry, shape, dtype, state, *arguments):
    target = empty(shape, dtype)
    check(entry(target, state, *arguments))
    return ndarray(target)


def philox(key: int, block: int, stream: int = 0) -> list[int]:
    """Philox 4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011."""
    low = 0xFFFFFFFF
    c = [block & low, block >> 32, stream & low, stream >> 32]
    k0, k1 = key & low, key >> 32
    for _ in range(10):
        first, second = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(second >> 32) ^ c[1] ^ k0, second & low, (first >> 32) ^ c[3] ^ k1, first & low]
        k0, k1 = (k0 + 0x9E3779B9) & low, (k1 + 0xBB67AE85) & low
    return c


def test_the_reference_has_the_known_answers():
    """The vectors that come with the paper's code (Random123, kat_vectors)."""
    assert philox(0, 0) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    full = (1 << 64) - 1
    assert philox(full, full, full) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    assert philox(0x299F31D0A4093822, 0x85A308D3243F6A88, 0x0370734413198A2E) == [
        0xD16CFE09,
        0x94FDCCEB,
        0x5001E420,
        0x24126EA1,
    ]


@pytest.mark.parametrize("seed,counter", [(0, 0), (1, 8), (2**62 + 12345, 2**33), (-1, 40)])
def test_uniform_is_philox(seed, counter):
    """Groups of 8 blocks: words 0 and 1 of each as a 64-bit number, then words 2 and 3 of each."""
    got = draw(lib.mg_random_uniform, (48,), "float64", generator(seed, counter), 0.0, 1.0)
    words = []
    for group in range(3):
        blocks = [philox(seed % 2**64, counter + 8 * group + i) for i in range(8)]
        words += [b[0] | b[1] << 32 for b in blocks] + [b[2] | b[3] << 32 for b in blocks]
    wanted = np.array([word >> 11 for word in words], np.float64) * 2.0**-53
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("dtype", FLOATS)
def test_uniform(dtype):
    x = draw(lib.mg_random_uniform, (200_000,), dtype, generator(), -2.0, 3.0).astype(np.float64)
    assert -2 <= x.min() < -1.999 and 2.999 < x.max() < 3
    assert abs(x.mean() - 0.5) < 0.015 and abs(x.var() - 25 / 12) < 0.02
    counts, _ = np.histogram(x, 20)
    assert (abs(counts - 10_000) < 5 * 100).all()
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 0.012


@pytest.mark.parametrize("dtype", FLOATS)
def test_normal(dtype):
    x = draw(lib.mg_random_normal, (200_000,), dtype, generator(), 1.0, 2.0).astype(np.float64)
    z = (x - 1) / 2
    assert abs(z.mean()) < 0.012 and abs(z.std() - 1) < 0.008
    assert abs((z**3).mean()) < 0.03 and abs((z**4).mean() - 3) < 0.1
    for limit, share in ((1, 0.3173), (2, 0.0455), (3, 0.0027)):
        assert abs((abs(z) > limit).mean() - share) < 0.15 * share + 5e-4
    assert np.isfinite(z).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_bernoulli(dtype):
    x = draw(lib.mg_random_bernoulli, (100_000,), dtype, generator(), 0.3)
    assert set(np.unique(x).tolist()) == {0, 1}
    assert abs(x.mean() - 0.3) < 0.008
    assert not draw(lib.mg_random_bernoulli, (999,), dtype, generator(), 0.0).any()
    assert draw(lib.mg_random_bernoulli, (999,), dtype, generator(), 1.0).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_dropout(dtype):
    """The mask is what bernoulli draws from the same state, and moves the state as far."""
    rng = np.random.default_rng(0)
    for shape in [(), (0,), (1,), (31,), (5, 7), (33_333,)]:
        for layout in ("contiguous", "transposed", "sliced"):
            x = rng.standard_normal(shape).astype(dtype)
            states = generator(9), generator(9)
            kept = draw(lib.mg_random_bernoulli, shape, dtype, states[0], 0.3)
            got, mask = outputs(
                2, lambda o, x=x, g=states[1], w=layout: lib.mg_dropout(array(x, w), g, 0.3, 4.0, o)
            )
            np.testing.assert_array_equal(mask, 4 * kept)
            np.testing.assert_array_equal(got, x * mask)
            np.testing.assert_array_equal(ndarray(states[0]), ndarray(states[1]))
    x = array(np.ones(99, dtype))
    for keep in (0.0, 1.0):
        got, mask = outputs(2, lambda o, keep=keep: lib.mg_dropout(x, generator(), keep, 1.0, o))
        assert (got == keep).all() and (mask == keep).all()


@pytest.mark.parametrize("low,high", [(0, 10), (-5, 2), (0, 2**40), (-(2**63), 2**63 - 1), (7, 8)])
def test_integers(low, high):
    x = draw(lib.mg_random_integers, (50_000,), "int64", generator(), low, high)
    assert x.min() >= low and x.max() < high
    if high - low <= 10:
        counts = np.unique(x, return_counts=True)[1]
        assert len(counts) == high - low
        expected = 50_000 / (high - low)
        assert (abs(counts - expected) < 6 * np.sqrt(expected)).all()
    else:
        share = (x.astype(np.float64) - low) / (float(high) - low)
        assert abs(share.mean() - 0.5) < 0.01


def test_permutation():
    for size in (0, 1, 2, 7, 1000):
        x = draw(lib.mg_random_permutation, (size,), "int64", generator())
        np.testing.assert_array_equal(np.sort(x), np.arange(size))
    state, counts = generator(), {}
    for _ in range(6000):
        key = tuple(draw(lib.mg_random_permutation, (3,), "int64", state))
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 6 and all(abs(n - 1000) < 200 for n in counts.values())


RUNS = {
    "uniform": (lib.mg_random_uniform, "float32", (0.0, 1.0)),
    "normal": (lib.mg_random_normal, "float32", (0.0, 1.0)),
    "normal 64": (lib.mg_random_normal, "float64", (0.0, 1.0)),
    "bernoulli": (lib.mg_random_bernoulli, "float32", (0.5,)),
    "integers": (lib.mg_random_integers, "int64", (0, 1000)),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_value_depends_on_its_position_only(name):
    """Not on the size of the draw, the strides, or the number of threads."""
    entry, dtype, arguments = RUNS[name]
    whole = draw(entry, (40_000,), dtype, generator(3), *arguments)
    for size in (1, 5, 33, 1000, 12_345):
        part = draw(entry, (size,), dtype, generator(3), *arguments)
        np.testing.assert_array_equal(part, whole[:size])
    target = array(np.zeros((40, 50), dtype), "transposed")
    check(entry(target, generator(3), *arguments))
    np.testing.assert_array_equal(ndarray(target).reshape(-1), whole[:2000])
    threads = lib.mg_get_num_threads()
    for count in (1, 3):
        lib.mg_set_num_threads(count)
        np.testing.assert_array_equal(
            draw(entry, (40_000,), dtype, generator(3), *arguments), whole
        )
    lib.mg_set_num_threads(threads)


@pytest.mark.parametrize("name", RUNS)
def test_draws_do_not_repeat(name):
    entry, dtype, arguments = RUNS[name]
    state = generator(5)
    first = draw(entry, (1000,), dtype, state, *arguments)
    second = draw(entry, (1000,), dtype, state, *arguments)
    assert ndarray(state)[0] == 5 and ndarray(state)[1] > 0
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, draw(entry, (1000,), dtype, generator(6), *arguments))


SEEN: dict[str, np.ndarray] = {}


@pytest.mark.parametrize("name", [name for name in RUNS if "normal" not in name])
def test_every_instruction_set_draws_the_same(name):
    entry, dtype, arguments = RUNS[name]
    got = draw(entry, (5000,), dtype, generator(9), *arguments)
    np.testing.assert_array_equal(got, SEEN.setdefault(name, got))


def test_refused():
    x, state = empty((3,), "float32"), generator()
    assert lib.mg_random_uniform(x, state, 1.0, 0.0) == -1
    assert lib.mg_random_uniform(empty((3,), "int64"), state, 0.0, 1.0) == -1
    assert lib.mg_random_normal(x, state, 0.0, -1.0) == -1
    assert lib.mg_random_bernoulli(x, state, 1.5) == -1
    assert lib.mg_random_bernoulli(x, state, float("nan")) == -1
    assert lib.mg_random_integers(empty((3,), "int64"), state, 3, 3) == -1
    assert lib.mg_random_permutation(x, state) == -1
    assert lib.mg_random_uniform(x, empty((2,), "float32"), 0.0, 1.0) == -1
