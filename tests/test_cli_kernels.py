"""The command `minigrad kernels`."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad import kernels as core
from minigrad.cli import main
from minigrad.kernel_tools import Case, Trial, kernels, run_case
from minigrad.kernel_tools.checks import error_of

ONES = np.ones((3, 5), np.float32)


def test_list(capsys):
    assert main(["kernels", "list", "softmax"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[0].split()[0] == "kernel"
    assert lines[1].split()[:3] == ["softmax", "float32", "float64"]
    assert "kernels/normalize.h normalize.c" in lines[1]
    assert main(["kernels", "list", "no such thing"]) == 2
    assert "see `minigrad kernels list`" in capsys.readouterr().err


def test_the_listing_is_complete():
    every = {each.name: each for each in kernels()}
    assert len({each.kernel for each in every.values()}) == core.lib.mg_kernel_count()
    assert every["unary.exp"].loops[0].name == "unary_exp"
    assert set(every["unary.exp"].loops[0].addresses) == {"float32", "float64"}
    assert every["unary.sin"].loops == () and every["unary.sin"].isas == ()
    assert "bool" not in every["reduce.argmax"].dtypes and "bool" in every["reduce.max"].dtypes
    assert [each.name for each in every["optimizer_step.lamb"].loops] == [
        "lamb_update",
        "lamb_measure",
    ]
    assert [each.name for each in kernels("reduce.m*n")] == ["reduce.mean", "reduce.min"]


def test_test(capsys):
    isa, threads = core.isa(), core.get_num_threads()
    assert main(["kernels", "test", "unary.ex*", "--isa", "all", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert out.count("unary.exp2") == 2 * len(core.available_isas())
    assert out.splitlines()[-1].endswith("passed")
    assert (core.isa(), core.get_num_threads()) == (isa, threads)
    assert main(["kernels", "test", "exp", "--threads", "0"]) == 2


def test_what_is_wrong_is_found():
    (kernel,) = kernels("softmax_backward")
    for run, error in (
        (lambda x: x, 0.0),
        (lambda x: core.binary(core.find_binary("add"), x, core.scalar(1.0)), 2.0**10),
    ):
        trials = [Trial("", run, [ONES], ONES * 1.0)]
        for outcome in run_case(Case("softmax_backward", lambda draw, t=trials: t, 1), kernel):
            assert (outcome.error == 0) == outcome.passed == (error == 0)

    def bad(draw):
        raise RuntimeError("broken")

    outcomes = run_case(Case("softmax_backward", bad), kernel)
    assert [each.failure for each in outcomes] == ["RuntimeError: broken"] * 2
    assert not run_case(Case("softmax_backward", lambda draw: []), kernel)[0].passed


def test_the_error_counts_units_in_the_last_place():
    one = np.ones(3, np.float32)
    assert error_of(one, np.ones(3)) == 0
    assert error_of(one, 1 + np.array([0, 0, 2.0**-23])) == 1
    assert error_of(one, 1 + np.array([0, 0, 2.0**-23]), 8) == 0.125
    assert error_of(one, np.array([1, 1, np.nan])) == np.inf
    assert error_of(one, np.ones(4)) == np.inf
    assert error_of(np.array([np.inf], np.float32), np.array([1e300])) == 0
    assert error_of(np.array([3]), np.array([5])) == 2


@pytest.mark.parametrize("arguments", [["kernels"], ["kernels", "nothing"]])
def test_wrong_arguments(arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
