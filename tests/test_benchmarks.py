"""The benchmarks' cases build and step, and compiled they step as eager does, bit for bit."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
if not BENCHMARKS.exists():
    pytest.skip("the benchmarks are not part of an installation", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))
import cases  # noqa: E402
import compiled as compiled_benchmark  # noqa: E402
import loops  # noqa: E402
import steps  # noqa: E402

sys.path.remove(str(BENCHMARKS))


@pytest.mark.parametrize("name", cases.COMPILED)
def test_compiled_steps_are_those_of_eager(name):
    """A case returns its loss, or the network's output: the third depends on all before."""
    count = 12 if name == loops.DQN else 3
    results = []
    for library in ("minigrad", "minigrad compiled"):
        step = cases.make_step(library, mg, name, seed=4)
        results.append([step.run().numpy().copy() for _ in range(count)])
    np.testing.assert_array_equal(*results)
    assert np.isfinite(results[0]).all()


@pytest.mark.parametrize("name", [n for n in cases.COMPILED if cases.supports("numpy", n)])
def test_numpy_by_hand_steps(name):
    step = cases.make_step("numpy", np, name, seed=4)
    found = [np.asarray(step.run()) for _ in range(20)]
    assert np.isfinite(found).all()
    if name not in loops.INFERENCE:
        assert found[-1] < found[0]


@pytest.mark.parametrize("name", [n for n in cases.NAMES if ": " in n])
def test_single_operations_run(name):
    cases.make_step("minigrad", mg, name, seed=0).run()


def test_a_block_times_the_first_call_and_the_others():
    found = cases.block(cases.Step(lambda: None, 3), 0.001)
    assert found["first"] >= 0 and all(each >= 0 for each in found["times"])


def test_rows_compare_with_the_best_peer():
    name = next(iter(cases.COMPILED))
    medians = {"minigrad compiled": 1e-6, "torch": 9e-6, "jax": 6e-6, "numpy": 7e-6}
    times = {(name, library, 1): [value] for library, value in medians.items()}
    times[name, "jax", 2] = [4e-6]
    (row,) = compiled_benchmark.evaluate(times, times, [name])
    assert row["ratio"] == pytest.approx(4)
    text = compiled_benchmark.table([row], "medians_us", "median", ratios=True)
    assert text.splitlines()[1].endswith("4.00    5.0 no")
    one = next(n for n, (_, batch) in loops.INFERENCE.items() if batch == 1)
    times = {(one, library, 1): [value] for library, value in medians.items()}
    (row,) = compiled_benchmark.evaluate(times, times, [one])
    assert row["ratio"] == pytest.approx(9) and row["goal"] == 10


def test_tables_go_between_the_markers_of_a_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- begin a -->\nold\n<!-- end a -->\nafter\n")
    steps.put_into_page(page, "a", "new")
    steps.put_into_page(page, "a", "newer")
    expected = "before\n<!-- begin a -->\n```text\nnewer\n```\n<!-- end a -->\nafter\n"
    assert page.read_text() == expected
    with pytest.raises(SystemExit, match="once each"):
        steps.put_into_page(page, "b", "new")
