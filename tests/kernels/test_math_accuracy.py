"""Accuracy of the vectorised functions in units in the last place, over the whole range."""

from __future__ import annotations

import decimal

import numpy as np
import pytest
from native import NULL, array, lib, ndarray, own

KERNELS: set[str] = set()

LIMIT = {"float32": 2.0, "float64": 4.0}


def spread(dtype: str, low: float, high: float, count: int = 20_000) -> np.ndarray:
    """Evenly over the interval, and evenly over exponents and signs within it."""
    rng = np.random.default_rng(1)
    even = rng.uniform(low, high, count)
    smallest = np.log10(float(np.finfo(dtype).tiny))
    sizes = 10.0 ** rng.uniform(smallest, np.log10(max(abs(low), abs(high))), count)
    sizes *= np.where(rng.random(count) < 0.5, -1, 1)
    x = np.concatenate([even, sizes[(sizes >= low) & (sizes <= high)]]).astype(dtype)
    return x[(x >= low) & (x <= high)]


def ulps(got: np.ndarray, wanted: np.ndarray) -> float:
    """The largest error in units in the last place of the exact result's float neighbour."""
    exact = wanted.astype(got.dtype)
    fine = np.isfinite(exact)
    assert np.array_equal(np.isfinite(got), fine)
    unit = np.abs(np.spacing(exact[fine])).astype(wanted.dtype)
    return float(np.max(np.abs(got[fine].astype(wanted.dtype) - wanted[fine]) / unit))


def run(name: str, x: np.ndarray) -> np.ndarray:
    return ndarray(own(lib.mg_unary(lib.mg_find_unary(name.encode()), array(x), NULL)))


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


FUNCTIONS = {
    "exp": (np.exp, {"float32": (-104, 88.7), "float64": (-745, 709.7)}),
    "expm1": (np.expm1, {"float32": (-20, 88.7), "float64": (-40, 709.7)}),
    "log": (np.log, {"float32": (1e-45, 3e38), "float64": (5e-324, 1.7e308)}),
    "log1p": (np.log1p, {"float32": (-0.9999, 3e38), "float64": (-0.9999, 1.7e308)}),
    "tanh": (np.tanh, {"float32": (-12, 12), "float64": (-24, 24)}),
    "sigmoid": (_sigmoid, {"float32": (-87, 90), "float64": (-700, 710)}),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32(name):
    function, bounds = FUNCTIONS[name]
    x = spread("float32", *bounds["float32"])
    assert ulps(run(name, x), function(x.astype(np.float64))) <= LIMIT["float32"]


@pytest.mark.skipif(
    np.finfo(np.longdouble).eps >= np.finfo(np.float64).eps, reason="no wider type to compare with"
)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_float64(name):
    function, bounds = FUNCTIONS[name]
    x = spread("float64", *bounds["float64"])
    assert ulps(run(name, x), function(x.astype(np.longdouble))) <= LIMIT["float64"]


def exact_erf(x: float) -> decimal.Decimal:
    """2 / sqrt(pi) sum (-1)^n x^(2n + 1) / (n! (2n + 1)), with 60 digits."""
    with decimal.localcontext() as context:
        context.prec = 60
        value = decimal.Decimal(x)
        term = total = value
        n = 0
        while abs(term) > abs(total) * decimal.Decimal(10) ** -35:
            n += 1
            term = -term * value * value / n
            total += term / (2 * n + 1)
        pi = decimal.Decimal("3.14159265358979323846264338327950288419716939937510582097494")
        return 2 * total / pi.sqrt()


@pytest.mark.parametrize("dtype", LIMIT)
def test_erf(dtype):
    rng = np.random.default_rng(2)
    sizes = np.concatenate([rng.uniform(0, 6, 400), 10.0 ** rng.uniform(-30, 0, 100)])
    x = (sizes * np.where(rng.random(500) < 0.5, -1, 1)).astype(dtype)
    got = run("erf", x)
    for point, found in zip(x, got, strict=True):
        exact = exact_erf(float(point))
        unit = decimal.Decimal(float(np.spacing(abs(found))))
        assert abs(decimal.Decimal(float(found)) - exact) <= decimal.Decimal(LIMIT[dtype]) * unit


@pytest.mark.parametrize("dtype", LIMIT)
def test_monotonic_ends_and_symmetry(dtype):
    info = np.finfo(dtype)
    huge = np.array([info.max, -info.max, np.inf, -np.inf, np.nan], dtype)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(run("exp", huge), [np.inf, 0, np.inf, 0, np.nan])
        np.testing.assert_array_equal(run("tanh", huge), [1, -1, 1, -1, np.nan])
        np.testing.assert_array_equal(run("erf", huge), [1, -1, 1, -1, np.nan])
        np.testing.assert_array_equal(run("sigmoid", huge), [1, 0, 1, 0, np.nan])
        np.testing.assert_array_equal(run("expm1", huge), [np.inf, -1, np.inf, -1, np.nan])
        got = run("log", np.array([0.0, -0.0, -1.0, np.inf, 1.0], dtype))
        np.testing.assert_array_equal(got, [-np.inf, -np.inf, np.nan, np.inf, 0])
    x = spread(dtype, 0, 9, 2000)
    for name in ("tanh", "erf"):
        np.testing.assert_array_equal(run(name, -x), -run(name, x))
    tiny = np.array([info.tiny, -info.tiny, info.smallest_subnormal], dtype)
    np.testing.assert_array_equal(run("tanh", tiny), tiny)
    np.testing.assert_array_equal(run("expm1", tiny), tiny)
    np.testing.assert_array_equal(run("log1p", tiny), tiny)


def test_a_value_does_not_depend_on_its_place():
    """The last elements, which do not fill a register, get the bits of all others."""
    x = np.linspace(-3, 3, 67).astype(np.float32)
    for name in ("exp", "tanh", "erf", "sigmoid", "log1p", "sqrt", "sin"):
        values = np.abs(x) + 0.1 if name in ("log1p", "sqrt") else x
        whole = run(name, values)
        single = np.array([run(name, values[i : i + 1])[0] for i in range(len(values))])
        np.testing.assert_array_equal(whole, single)
