"""Every check on every row of the op table, against NumPy in float64."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from op_table import FLOATS, Index, Mask, Real, Row, all_rows, cases, floating, outputs

import minigrad as mg
from minigrad import ops
from minigrad.autograd import grad, gradcheck, gradgradcheck

ROWS = all_rows()


def each(rows, with_dtype=False):
    """Parametrizes a test by row and sample, and by dtype where asked."""
    every = []
    for row, sample in cases(rows):
        name = f"{row.name}-{sample}"
        if with_dtype:
            every += [pytest.param(row, sample, d, id=f"{name}-{d}") for d in row.dtypes]
        else:
            every.append(pytest.param(row, sample, id=name))
    return pytest.mark.parametrize("row,sample,dtype" if with_dtype else "row,sample", every)


def expected_of(row: Row, values: list[np.ndarray]) -> list[np.ndarray]:
    """What NumPy says, computed in float64 for floating operands."""
    wide = [v.astype(np.float64) if v.dtype.kind == "f" else v for v in values]
    if row.result == "float":  # integers divide, square-root, ... as floats
        wide = [v if v.dtype.kind == "f" else v.astype(np.float64) for v in wide]
    with np.errstate(all="ignore"):
        found = row.reference(*wide)
    return [np.asarray(each) for each in (found if isinstance(found, (tuple, list)) else [found])]


def check_values(row: Row, result, values: list[np.ndarray], dtype: str) -> None:
    expected = expected_of(row, values)
    found = outputs(result)
    assert len(found) == len(expected)
    for tensor, wanted in zip(found, expected, strict=True):
        name = row.result_dtype(dtype) if isinstance(row.samples[0][-1], Real) else None
        if name is not None:
            assert tensor.dtype == getattr(mg, name), f"{tensor.dtype}, not {name}"
        assert tuple(tensor.shape) == wanted.shape
        got = tensor.detach().numpy()
        if got.dtype.kind != "f":
            np.testing.assert_array_equal(got, wanted.astype(got.dtype))
            continue
        # Both computations start from operands rounded to the dtype: only the op's error counts.
        precision = np.float32 if "float32" in (dtype, str(got.dtype)) else np.float64
        tolerance = row.tolerance * np.finfo(precision).eps
        finite = wanted[np.isfinite(wanted)]
        scale = float(np.abs(finite).max()) if finite.size else 1.0
        np.testing.assert_allclose(
            got.astype(np.float64), wanted, rtol=tolerance, atol=tolerance * min(scale, 1.0)
        )


@each(ROWS, with_dtype=True)
def test_forward(row: Row, sample: int, dtype: str) -> None:
    """Values, shape and dtype, for every supported dtype."""
    values = row.values(sample, dtype)
    check_values(row, row.call(mg, *map(mg.tensor, values)), values, dtype)


@each([row for row in ROWS if row.also])
def test_other_spellings(row: Row, sample: int) -> None:
    """Function, method and operator give the same bits."""
    tensors = row.tensors(mg, sample, row.dtypes[0])
    wanted = outputs(row.call(mg, *tensors))
    for spelling in row.also:
        for got, want in zip(outputs(spelling(mg, *tensors)), wanted, strict=True):
            assert got.dtype == want.dtype
            np.testing.assert_array_equal(got.numpy(), want.numpy())


@each([row for row in ROWS if row.in_place])
def test_in_place(row: Row, sample: int) -> None:
    """The in-place form writes the same values into the same tensor and advances its version."""
    tensors = row.tensors(mg, sample)
    wanted = row.call(mg, *tensors)
    if tuple(wanted.shape) != tuple(tensors[0].shape):
        with pytest.raises(RuntimeError):
            row.in_place(mg, *tensors)
        return
    before = tensors[0]._version
    result = row.in_place(mg, *tensors)
    assert result is tensors[0]
    assert tensors[0]._version > before
    np.testing.assert_array_equal(result.numpy(), wanted.numpy())


DIFFERENTIABLE = [row for row in ROWS if row.differentiable]


def has_gradient(row: Row, sample: int) -> bool:
    """Whether the gradient checks have something to compare."""
    leaves = row.tensors(mg, sample, gradient=True)
    return bool(floating(leaves)) and bool(floating(outputs(row.call(mg, *leaves))))


@each(DIFFERENTIABLE)
def test_gradient(row: Row, sample: int) -> None:
    """Backward against central differences, float64."""
    leaves = row.tensors(mg, sample, gradient=True)
    if floating(leaves):
        assert gradcheck(lambda *xs: row.call(mg, *xs), leaves)


@each(DIFFERENTIABLE)
def test_gradient_of_gradient(row: Row, sample: int) -> None:
    """Backward of backward against central differences of backward, float64."""
    if has_gradient(row, sample):
        leaves = row.tensors(mg, sample, gradient=True)
        assert gradgradcheck(lambda *xs: row.call(mg, *xs), leaves)


@each([row for row in DIFFERENTIABLE if row.in_place])
def test_in_place_gradient(row: Row, sample: int) -> None:
    """The in-place form on a copy has the gradient of the plain one."""
    leaves = row.tensors(mg, sample, gradient=True)
    plain = row.call(mg, *leaves)
    if tuple(plain.shape) != tuple(leaves[0].shape) or not plain.requires_grad:
        return
    seed = mg.tensor(np.random.default_rng(1).standard_normal(tuple(plain.shape)))
    wanted = grad(plain, floating(leaves), seed, allow_unused=True)
    changed = row.in_place(mg, leaves[0].clone(), *leaves[1:])
    for got, want in zip(
        grad(changed, floating(leaves), seed, allow_unused=True), wanted, strict=True
    ):
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-12, atol=1e-14)


# ---- layouts ----


def transposed(values: np.ndarray):
    """The same values in memory in column-major order."""
    if values.ndim < 2:
        return mg.tensor(values)
    axes = list(range(values.ndim))[::-1]
    return mg.tensor(np.ascontiguousarray(values.transpose(axes))).permute(axes)


def sliced(values: np.ndarray):
    """The same values as every second element, behind an offset, of larger memory."""
    wide = np.full([2 * n + 3 for n in values.shape], 77).astype(values.dtype)
    window = tuple(slice(2, 2 + 2 * n, 2) for n in values.shape)
    wide[window] = values
    return mg.tensor(wide)[window]


def expanded(values: np.ndarray):
    """The values at the start of each dimension, repeated with stride 0."""
    if values.ndim == 0 or values.size == 0:
        return mg.tensor(values)
    corner = values[tuple(slice(0, 1) for _ in values.shape)]
    return mg.tensor(np.ascontiguousarray(corner)).expand(values.shape)


CONTIGUOUS_ONLY = ("view", "view_as")  # views exist for some layouts only


@each([row for row in ROWS if not row.name.startswith(CONTIGUOUS_ONLY)])
def test_layout(row: Row, sample: int) -> None:
    """Operands of any strides give what contiguous ones give, and so do their gradients."""

    def run(make):
        tensors = []
        for operand, values in zip(row.samples[sample], row.values(sample), strict=True):
            tensor = make(values).detach()
            if isinstance(operand, Real) and operand.gradient and row.differentiable:
                tensor.requires_grad_()
            tensors.append(tensor)
        results = outputs(row.call(mg, *tensors))
        differentiable = floating(results)
        if not differentiable:
            return results, ()
        rng = np.random.default_rng(2)
        seeds = [make(rng.standard_normal(tuple(y.shape))) for y in differentiable]
        return results, grad(differentiable, floating(tensors), seeds, allow_unused=True)

    for strided in (transposed, sliced, expanded):
        results, gradients = run(strided)
        plain, plain_gradients = run(lambda values, f=strided: mg.tensor(f(values).numpy().copy()))
        for got, want in zip(results, plain, strict=True):
            np.testing.assert_allclose(
                got.detach().numpy(), want.detach().numpy(), rtol=1e-12, atol=1e-13
            )
        for got, want in zip(gradients, plain_gradients, strict=True):
            assert (got is None) == (want is None)
            if got is not None:
                np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-11, atol=1e-12)


# ---- special values ----

SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 1e30, -1e-30])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("row", [row for row in ROWS if row.special], ids=repr)
def test_special_values(row: Row, dtype: str) -> None:
    """nan, infinities and zeros propagate as in NumPy, whichever operand holds them."""
    count = len(row.samples[0])
    grid = np.meshgrid(*[SPECIAL.astype(dtype)] * count, indexing="ij")
    values = [np.ascontiguousarray(each.reshape(-1)) for each in grid]
    with np.errstate(all="ignore"):
        wanted = np.asarray(row.reference(*[v.astype(np.float64) for v in values]))
        result = row.call(mg, *map(mg.tensor, values)).numpy()
        wanted = wanted.astype(result.dtype)  # what overflows in float32 is infinite there
    np.testing.assert_allclose(result, wanted, rtol=1e-5 if dtype == "float32" else 1e-13)


# ---- replay ----


@each([row for row in ROWS if row.replay])
def test_replay(row: Row, sample: int) -> None:
    """A compiled forward and backward pass, replayed on new values, gives eager's bits."""
    dtype = "float32" if "float32" in row.dtypes else row.widest

    def run(*tensors):
        results = outputs(row.call(mg, *tensors))
        differentiable = floating(results)
        if not differentiable:
            return list(results)
        seeds = [y.detach() * 0.75 + 0.5 for y in differentiable]
        gradients = grad(differentiable, floating(tensors), seeds, allow_unused=True)
        return [*(y.detach() for y in results), *(g for g in gradients if g is not None)]

    compiled = mg.compile(run)
    for again in range(3):
        tensors = row.tensors(mg, sample, dtype, gradient=row.differentiable, again=again)
        found = compiled(*tensors)
        for got, want in zip(found, run(*tensors), strict=True):
            assert got.dtype == want.dtype and got.shape == want.shape
            np.testing.assert_array_equal(got.numpy(), want.numpy())
    assert len(compiled.recordings) == 1


# ---- the table itself ----


def test_rows_are_complete() -> None:
    """Every row has samples of one arity family and a reference."""
    for row in ROWS:
        assert row.samples, row.name
        assert row.reference is not None, row.name
        for operands in row.samples:
            assert all(isinstance(operand, (Real, Index, Mask)) for operand in operands)


# Creation and questions: test_tensor.py has them; the random ones also tests/kernels.
ELSEWHERE = """
    Generator allclose arange as_strided as_tensor bernoulli default_generator empty empty_like
    equal eye from_dlpack from_numpy full full_like get_rng_state initial_seed is_floating_point
    is_tensor isclose linspace manual_seed normal numel ones ones_like promote_types rand rand_like
    randint randn randn_like randperm result_type seed set_rng_state tensor zeros zeros_like
    absolute clip concat concatenate divide greater greater_equal less less_equal multiply negative
    not_equal subtract true_divide
""".split()  # noqa: SIM905  (a list of its own line each would hide the rest of the file)


def test_every_function_has_a_row() -> None:
    """Each function of the package is named in tests/rows, as an attribute or in a string."""
    named = set(ELSEWHERE)
    for path in (Path(__file__).parent / "rows").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                named.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                named.add(node.value)
    missing = set(ops.methods.FUNCTIONS) - named
    assert not missing, f"add rows for {sorted(missing)}"
