"""The command `minigrad kernels`."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys

import numpy as np
import pytest

import minigrad as mg
from minigrad import kernels as core
from minigrad.cli import main
from minigrad.compiler.limits import Limits
from minigrad.kernel_tools import Case, Draw, Trial, custom, kernels, machine_code, run_case
from minigrad.kernel_tools.arrays import array, ndarray
from minigrad.kernel_tools.bench import cost_of, measurements, peer_modules
from minigrad.kernel_tools.checks import error_of
from minigrad.kernel_tools.workloads import workloads

needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CC", "cc").split()[0]) is None, reason="there is no C compiler"
)
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


# ---- bench ----


def test_bench(capsys, tmp_path):
    picture = tmp_path / "roofline.png"
    arguments = ["kernels", "bench", "matmul", "--size", "32x", "--seconds", "0", "--threads", "1"]
    assert main([*arguments, "--plot", str(picture)]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split()[:5] == ["kernel", "size", "us", "GFLOP/s", "GB/s"]
    assert out.count("matmul  32x64x64") == 4 and "limits, measured just now" in out
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main([*arguments, "--peers", "none", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["machine"]["limits"]["flops"]["float32"] > 0
    first = found["results"][0]
    assert first["flops"] == 2 * 32 * 64 * 64 and first["bytes"] == 4 * (32 * 64 * 2 + 64 * 64)
    assert first["ratios"] == {} and first["threads"] == 1 and first["share"] > 0


@pytest.mark.parametrize(
    "arguments",
    [["--peers", "nobody"], ["--size", "nothing"], ["nothing"], ["--threads", "0"]],
)
def test_bench_refuses(arguments, capsys):
    assert main(["kernels", "bench", *arguments]) == 2
    assert capsys.readouterr().err.startswith("minigrad kernels: error: ")


def test_every_workload_is_a_kernel_and_runs():
    """Those of the smallest sizes; with what NumPy makes of the same operands."""
    names = {each.name for each in kernels()}
    chosen = {}
    for work in workloads("float32"):
        assert work.name in names
        if work.label.startswith("4Ki") or not work.label[:3].strip("0123456789"):
            chosen.setdefault(work.name, work)
    assert len(chosen) > 120
    for work in chosen.values():
        operands = work.operands(Draw("float32"))
        handles = [array(each) for each in operands]
        cost = cost_of(work.run, handles)
        assert cost.bytes > 0 and cost.flops >= 0
        if "numpy" in work.peers and work.label.startswith("4Ki"):
            got, wanted = ndarray(work.run(*handles)), np.asarray(work.peers["numpy"](*operands))
            np.testing.assert_allclose(got, wanted.reshape(got.shape), rtol=1e-4, atol=1e-5)


@pytest.mark.torch
def test_torch_is_a_peer():
    pytest.importorskip("torch")
    limits = Limits(0.01)
    modules = peer_modules(["torch"])
    for pattern in ("softmax_backward", "unary.relu", "binary.*_backward", "fused.gelu*"):
        for found in measurements(pattern, "float32", limits, modules, "4Ki", 0.0):
            assert found.ratio("torch") or "gelu_tanh_backward" in found.name


# ---- show ----


def test_show(capsys):
    assert main(["kernels", "show", "matmul", "--isa", core.available_isas()[0]]) == 0
    out = capsys.readouterr().out
    if machine_code.CSRC.is_dir():
        assert "int mg_run_matmul(const mg_launch *launch)" in out
        assert re.search(r"^static void NAME\(gemm_block\)", out, re.MULTILINE)
    else:
        assert "The sources are not here" in out
    if shutil.which("objdump") and shutil.which("readelf") and sys.platform == "linux":
        pattern = r"^gemm_block, float32, \w+: (\d+) bytes, (\d+) instructions"
        heading = re.search(pattern, out, re.MULTILINE)
        assert 100 < int(heading[2]) < int(heading[1])
    assert main(["kernels", "show", "copy", "--brief"]) == 0
    assert "no loops of its own" in capsys.readouterr().out


def test_show_without_objdump(capsys, monkeypatch):
    monkeypatch.setattr(machine_code.shutil, "which", lambda tool: None)
    assert main(["kernels", "show", "unary.exp", "--brief"]) == 0
    assert "objdump is not installed" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["unary"], ["nothing"], ["softmax", "--dtype", "int32"]])
def test_show_refuses(arguments, capsys):
    assert main(["kernels", "show", *arguments]) == 2
    assert capsys.readouterr().err.startswith("minigrad kernels: error: ")


def test_spills_are_stores_to_the_stack():
    x86 = """
      10:\tmov    %rsp,%rbp
      14:\tvmovaps %zmm1,-0x40(%rbp)
      18:\tvmovups %zmm2,0x40(%rsp)
      1c:\tmov    %rax,0x8(%rsp)
      20:\tmov    %rax,0x8(%rdi)
      24:\tvmovups 0x40(%rsp),%zmm2
      28:\tvmovups %zmm2,(%rsp,%rax,4)""".splitlines()
    assert machine_code.Code(x86, 1).spills() == (3, 1)
    assert machine_code.Code(x86[2:], 1).spills() == (2, 1)  # rbp is an ordinary register
    arm = ["4:\tstr\tq0, [sp, #16]", "8:\tstp\tx29, x30, [sp, #-16]!", "c:\tstr\tq0, [x0]"]
    assert machine_code.Code(arm, 1).spills() == (1, 1)


# ---- kernels of one's own ----

DOUBLE = "void twice(int64_t count, float *out, const float *x, float factor);"
SOURCE = """void twice(int64_t count, float *out, const float *x, float factor) {
    for (int64_t i = 0; i < count; i++) out[i] = factor * x[i];
}"""


@needs_compiler
def test_compile(tmp_path):
    kernel = mg.kernels.compile(SOURCE, DOUBLE, cache=tmp_path)
    x, out = mg.arange(5.0), mg.zeros(5)
    version = out._version
    kernel.twice(5, out, x, 2.0)
    assert out.tolist() == [0, 2, 4, 6, 8]
    assert out._version == version + 1 and x._version == 0
    (tmp_path / "twice.c").write_text(SOURCE)
    assert mg.kernels.compile(tmp_path / "twice.c", DOUBLE, cache=tmp_path).twice
    count = len(list(tmp_path.glob("*.so")))
    assert mg.kernels.compile(SOURCE, DOUBLE, cache=tmp_path).path == kernel.path
    assert len(list(tmp_path.glob("*.so"))) == count == 2  # messages name another file
    assert repr(kernel) == "Compiled(twice)"
    for error, arguments in (
        (TypeError, (5, out, x)),
        (TypeError, (5, out, mg.arange(5), 2.0)),
        (TypeError, (5, out, [1.0], 2.0)),
        (ValueError, (5, out, mg.zeros(5, 5)[:, 0], 2.0)),
        (TypeError, ("five", out, x, 2.0)),
    ):
        with pytest.raises(error):
            kernel.twice(*arguments)
    with pytest.raises(AttributeError, match="no function 'thrice'"):
        kernel.thrice  # noqa: B018


@needs_compiler
def test_what_does_not_compile(tmp_path, monkeypatch):
    def compile(source, declaration):
        return mg.kernels.compile(source, declaration, cache=tmp_path)

    with pytest.raises(custom.CompileError, match=r"source:2:.*error"):
        compile("void f(void) {\n    oops;\n}", "void f(void);")
    with pytest.raises(custom.CompileError, match="conflicting types"):
        compile("int f(void) { return 1; }", "void f(void);")
    with pytest.raises(ValueError, match="cannot read the declaration"):
        compile("", "void f(nothing *x);")
    monkeypatch.setenv("CC", "/no/such/compiler")
    with pytest.raises(custom.CompileError, match="does not run"):
        compile("int g(void) { return 1; }", "int g(void);")


@needs_compiler
def test_kernels_of_ones_own_are_tested_and_timed(tmp_path):
    kernel = mg.kernels.compile(SOURCE, DOUBLE, cache=tmp_path)

    def twice(x):
        out = mg.empty_like(x)
        kernel.twice(x.numel(), out, x, 2.0)
        return out

    (outcome,) = custom.test("twice", twice, lambda x: 2 * x, limit=0)
    assert outcome.passed and outcome.trials > 30
    (outcome,) = custom.test("twice", twice, lambda x: 2.0001 * x)
    assert not outcome.passed
    limits = Limits(0.01)
    found = custom.bench("twice", twice, [(4096,)], numpy=lambda x: 2 * x, seconds=0, limits=limits)
    assert found.bytes == 2 * 4 * 4096 and found.ratio("numpy") > 0
