"""The op table against torch: values, dtypes, shapes, strides, gradients, errors, printing."""

from __future__ import annotations

import random
import re

import numpy as np
import promotion_table
import pytest
from op_table import FLOATS, Row, all_rows, cases, floating, outputs

import minigrad as mg

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
torch.set_num_threads(1)

ROWS = all_rows()
# Where torch has a gap: no int/bool kernel for these, other answers for empty inputs, or (the slope
# of hardsigmoid in float64) a constant of float32.
TORCH_GAPS = ("F.max_pool2d empty batch", "F.pixel_shuffle empty batch", "F.hardsigmoid")


def name_of(dtype) -> str:
    return str(dtype).split(".")[-1]


def parameters(rows, with_dtype=True):
    return [
        pytest.param(row, sample, dtype, id=f"{row.name}-{sample}-{dtype}")
        for row, sample in cases(rows)
        for dtype in (row.dtypes if with_dtype else row.dtypes[-1:])
        if row.name not in TORCH_GAPS
    ]


def close(ours, theirs, dtype: str, tolerance: float) -> None:
    got, want = ours.detach().numpy(), theirs.detach().numpy()
    assert name_of(ours.dtype) == name_of(theirs.dtype)
    assert tuple(ours.shape) == tuple(theirs.shape)
    if got.dtype.kind != "f":
        np.testing.assert_array_equal(got, want)
        return
    precision = np.float32 if dtype == "float32" or got.dtype == np.float32 else np.float64
    unit = tolerance * np.finfo(precision).eps
    scale = float(np.max(np.abs(want[np.isfinite(want)]), initial=0.0))
    np.testing.assert_allclose(got, want, rtol=unit, atol=unit * max(scale, 1.0))


@pytest.mark.parametrize("row,sample,dtype", parameters(ROWS))
def test_same_as_torch(row: Row, sample: int, dtype: str) -> None:
    ours = row.tensors(mg, sample, dtype, gradient=row.differentiable)
    theirs = row.tensors(torch, sample, dtype, gradient=row.differentiable)
    results, expected = outputs(row.call(mg, *ours)), outputs(row.call(torch, *theirs))
    assert len(results) == len(expected)
    for got, want in zip(results, expected, strict=True):
        close(got, want, dtype, row.tolerance)
        assert got.requires_grad == want.requires_grad
        if row.view and got.numel():
            assert [s for s, n in zip(got.stride(), got.shape, strict=True) if n > 1] == [
                s for s, n in zip(want.stride(), want.shape, strict=True) if n > 1
            ]
            assert got.storage_offset() == want.storage_offset()
            assert got.data_ptr() - ours[0].data_ptr() == want.data_ptr() - theirs[0].data_ptr()
    if dtype not in FLOATS or not floating(results):
        return
    rng = np.random.default_rng(3)
    seeds = [
        rng.standard_normal(tuple(y.shape)).astype(name_of(y.dtype)) for y in floating(results)
    ]
    found = mg.autograd.grad(
        floating(results), floating(ours), [mg.tensor(s) for s in seeds], allow_unused=True
    )
    wanted = torch.autograd.grad(
        floating(expected), floating(theirs), [torch.tensor(s) for s in seeds], allow_unused=True
    )
    for got, want in zip(found, wanted, strict=True):
        if want is None or got is None:  # no gradient and a gradient of zeros are the same
            present = got if want is None else want
            assert present is None or not present.detach().numpy().any()
        else:
            close(got, want, dtype, 8 * row.tolerance)


# ---- dtypes ----


def test_the_promotion_table_is_torchs() -> None:
    for name, function, kind, left, right, letter in promotion_table.cases():
        operands = [
            promotion_table.operand(torch, which, value)
            for which, value in zip(kind, (left, right), strict=True)
        ]
        try:
            found = name_of(function(*operands).dtype)
        except (RuntimeError, TypeError):
            found = "-"
        assert found == promotion_table.DTYPES.get(letter, "-"), (name, kind, left, right)


# ---- errors ----


BAD = {
    "shapes that do not broadcast": lambda m: m.ones(2) + m.ones(3),
    "matmul sizes": lambda m: m.ones(2, 3) @ m.ones(2, 3),
    "matmul 0-d": lambda m: m.ones(()) @ m.ones(2),
    "mm of vectors": lambda m: m.mm(m.ones(2), m.ones(2)),
    "bmm of matrices": lambda m: m.bmm(m.ones(2, 2), m.ones(2, 2)),
    "dot sizes": lambda m: m.dot(m.ones(2), m.ones(3)),
    "matmul dtypes": lambda m: m.ones(2, 2) @ m.ones(2, 2, dtype=m.float64),
    "view size": lambda m: m.ones(2, 3).view(5),
    "view of a transpose": lambda m: m.ones(2, 3).t().view(6),
    "reshape two unknown": lambda m: m.ones(2, 3).reshape(-1, -1),
    "reshape unknown of none": lambda m: m.ones(0, 3).reshape(0, -1),
    "expand": lambda m: m.ones(2, 3).expand(2, 2),
    "expand fewer": lambda m: m.ones(2, 3).expand(3),
    "permute twice": lambda m: m.ones(2, 3).permute(0, 0),
    "permute too few": lambda m: m.ones(2, 3).permute(1),
    "permute range": lambda m: m.ones(2, 3).permute(0, 2),
    "transpose range": lambda m: m.ones(2, 3).transpose(0, 2),
    "t of 3-d": lambda m: m.ones(1, 2, 3).t(),
    "squeeze range": lambda m: m.ones(2).squeeze(1),
    "unsqueeze range": lambda m: m.ones(2).unsqueeze(2),
    "flatten order": lambda m: m.ones(1, 2, 3).flatten(2, 1),
    "unflatten": lambda m: m.ones(6).unflatten(0, (4, 2)),
    "cat sizes": lambda m: m.cat([m.ones(2, 3), m.ones(2, 2)]),
    "cat dims": lambda m: m.cat([m.ones(2, 3), m.ones(2)]),
    "cat nothing": lambda m: m.cat([]),
    "cat numbers": lambda m: m.cat([1, 2]),
    "stack sizes": lambda m: m.stack([m.ones(2), m.ones(3)]),
    "split zero": lambda m: m.ones(4).split(-1),
    "split sizes": lambda m: m.ones(4).split([1, 2]),
    "chunk zero": lambda m: m.ones(4).chunk(0),
    "narrow": lambda m: m.ones(4).narrow(0, 3, 2),
    "select": lambda m: m.ones(4).select(0, 4),
    "index range": lambda m: m.ones(4)[4],
    "index of 0-d": lambda m: m.ones(())[0],
    "too many indices": lambda m: m.ones(4)[0, 0],
    "index float": lambda m: m.ones(4)[1.0],
    "index float tensor": lambda m: m.ones(4)[m.ones(1)],
    "index tensor range": lambda m: m.ones(4)[m.tensor([4])],
    "mask shape": lambda m: m.ones(2, 3)[m.ones(3, dtype=m.bool)],
    "index shapes": lambda m: m.ones(4, 4)[m.tensor([0, 1]), m.tensor([0, 1, 2])],
    "write shape": lambda m: m.ones(4).__setitem__(slice(0, 2), m.ones(3)),
    "negative step": lambda m: m.ones(4)[::-1],
    "sum range": lambda m: m.ones(4).sum(1),
    "sum twice": lambda m: m.ones(2, 3).sum((0, 0)),
    "mean of integers": lambda m: m.arange(3).mean(),
    "max of nothing": lambda m: m.zeros(0).max(),
    "max of nothing along": lambda m: m.zeros(2, 0).max(1),
    "argmax of nothing": lambda m: m.zeros(0).argmax(),
    "item of many": lambda m: m.ones(2).item(),
    "bool of many": lambda m: bool(m.ones(2)),
    "bool of none": lambda m: bool(m.ones(0)),
    "float of many": lambda m: float(m.ones(2)),
    "len of 0-d": lambda m: len(m.ones(())),
    "iterate over 0-d": lambda m: list(m.ones(())),
    "bool minus bool": lambda m: m.ones(2, dtype=m.bool) - m.ones(2, dtype=m.bool),
    "minus bool": lambda m: -m.ones(2, dtype=m.bool),
    "invert float": lambda m: ~m.ones(2),
    "and float": lambda m: m.ones(2) & m.ones(2),
    "integer division by zero": lambda m: m.arange(3) // 0,
    "integers to negative powers": lambda m: m.arange(3) ** -1,
    "add a string": lambda m: m.ones(2) + "a",
    "add None": lambda m: m.ones(2) + None,
    "add a list": lambda m: m.ones(2) + [1, 2],  # noqa: RUF005
    "in place wider": lambda m: m.arange(3).add_(1.5),
    "in place shape": lambda m: m.ones(2).add_(m.ones(3, 2)),
    "in place leaf": lambda m: m.ones(2, requires_grad=True).add_(1),
    "in place of expanded": lambda m: m.ones(1).expand(3).add_(1),
    "requires_grad of integers": lambda m: m.arange(3).requires_grad_(),
    "numpy with a gradient": lambda m: m.ones(2, requires_grad=True).numpy(),
    "backward of a vector": lambda m: (m.ones(2, requires_grad=True) * 2).backward(),
    "backward of a constant": lambda m: m.ones(2).sum().backward(),
    "tensor of ragged lists": lambda m: m.tensor([[1, 2], [3]]),
    "tensor of a string": lambda m: m.tensor("a"),
    "tensor of None": lambda m: m.tensor(None),
    "tensor of a set": lambda m: m.tensor({1}),
    "from_numpy of a list": lambda m: m.from_numpy([1]),
    "from_numpy of negative strides": lambda m: m.from_numpy(np.arange(3.0)[::-1]),
    "from_numpy of strings": lambda m: m.from_numpy(np.array(["a"])),
    "zeros of negative": lambda m: m.zeros(-1),
    "arange the wrong way": lambda m: m.arange(3, 0),
    "arange step zero": lambda m: m.arange(0, 3, 0),
    "where condition": lambda m: m.where(m.ones(2), m.ones(2), m.ones(2)),
    "masked_fill mask": lambda m: m.ones(2).masked_fill(m.ones(2), 1.0),
    "clamp without bounds": lambda m: m.ones(2).clamp(),
    "gather index dtype": lambda m: m.gather(m.ones(2, 2), 0, m.ones(1, 1)),
    "gather dims": lambda m: m.gather(m.ones(2, 2), 0, m.zeros(1, dtype=m.int64)),
    "gather range": lambda m: m.gather(m.ones(2, 2), 0, m.tensor([[2]])),
    "index_select dims": lambda m: m.index_select(m.ones(2), 0, m.zeros(1, 1, dtype=m.int64)),
    "index_select range": lambda m: m.index_select(m.ones(2), 0, m.tensor([2])),
    "linear sizes": lambda m: m.nn.functional.linear(m.ones(2, 3), m.ones(4, 5)),
    "conv2d channels": lambda m: m.nn.functional.conv2d(m.ones(1, 2, 4, 4), m.ones(1, 3, 2, 2)),
    "conv2d dims": lambda m: m.nn.functional.conv2d(m.ones(4, 4), m.ones(1, 1, 2, 2)),
    "conv2d kernel": lambda m: m.nn.functional.conv2d(m.ones(1, 1, 2, 2), m.ones(1, 1, 3, 3)),
    "conv2d stride": lambda m: m.nn.functional.conv2d(
        m.ones(1, 1, 2, 2), m.ones(1, 1, 1, 1), stride=0
    ),
    "conv2d groups": lambda m: m.nn.functional.conv2d(
        m.ones(1, 3, 2, 2), m.ones(2, 1, 1, 1), groups=2
    ),
    "conv2d same with strides": lambda m: m.nn.functional.conv2d(
        m.ones(1, 1, 3, 3), m.ones(1, 1, 3, 3), stride=2, padding="same"
    ),
    "max_pool2d padding": lambda m: m.nn.functional.max_pool2d(m.ones(1, 4, 4), 2, padding=2),
    "max_pool2d too small": lambda m: m.nn.functional.max_pool2d(m.ones(1, 1, 1), 2),
    "avg_pool2d divisor": lambda m: m.nn.functional.avg_pool2d(
        m.ones(1, 4, 4), 2, divisor_override=0
    ),
    "cross_entropy target": lambda m: m.nn.functional.cross_entropy(m.ones(2, 3), m.tensor([0, 3])),
    "cross_entropy sizes": lambda m: m.nn.functional.cross_entropy(m.ones(2, 3), m.tensor([0])),
    "cross_entropy weight": lambda m: m.nn.functional.cross_entropy(
        m.ones(2, 3), m.tensor([0, 1]), m.ones(2)
    ),
    "cross_entropy reduction": lambda m: m.nn.functional.cross_entropy(
        m.ones(2, 3), m.tensor([0, 1]), reduction="all"
    ),
    "nll_loss target dtype": lambda m: m.nn.functional.nll_loss(m.ones(2, 3), m.ones(2)),
    "dropout probability": lambda m: m.nn.functional.dropout(m.ones(2), 1.5),
    "batch_norm of one value": lambda m: m.nn.functional.batch_norm(
        m.ones(1, 3), None, None, training=True
    ),
    "batch_norm without statistics": lambda m: m.nn.functional.batch_norm(m.ones(2, 3), None, None),
    "softmax range": lambda m: m.softmax(m.ones(2), 1),
    "softmax of integers": lambda m: m.softmax(m.arange(3), 0),
    "manual_seed": lambda m: m.manual_seed("a"),
    "randint": lambda m: m.randint(3, 3, (2,)),
    "copy_ shape": lambda m: m.ones(2).copy_(m.ones(3)),
    "set grad shape": lambda m: setattr(m.ones(2), "grad", m.ones(3)),
    "dtype text": lambda m: m.ones(2, dtype="float32"),
    "to a bad device": lambda m: m.ones(2).to("nowhere"),
}


# Where torch raises something less telling than the kind of mistake.
OTHERWISE = {"gather range": IndexError, "manual_seed": TypeError}


@pytest.mark.parametrize("name", BAD)
def test_errors_are_torchs(name: str) -> None:
    """Bad input raises, and what it raises can be caught as what torch raises."""
    with pytest.raises(Exception) as expected:
        BAD[name](torch)
    with pytest.raises(OTHERWISE.get(name, expected.type)):
        BAD[name](mg)


# ---- printing ----


def random_tensor(rng):
    """A tensor of torch of any dtype and shape, with values that print in every way."""
    dims = int(rng.integers(0, 6))
    sizes = rng.choice(
        [0, 1, 2, 3, 5, 8, 12, 40], size=dims, p=[0.03, 0.2, 0.25, 0.2, 0.15, 0.1, 0.05, 0.02]
    )
    shape = tuple(int(n) for n in sizes)
    if np.prod(shape) > 4000:
        shape = shape[:2]
    kind = random.choice(["float32", "float64", "int64", "int32", "uint8", "bool"])
    if kind in FLOATS:
        values = rng.standard_normal(shape)
        values = values * 10.0 ** rng.integers(-6, 10, size=shape if rng.random() < 0.3 else ())
        values = np.asarray(np.round(values) if rng.random() < 0.3 else values)
        for special in (0, np.nan, np.inf, -np.inf):
            if rng.random() < 0.3:
                values[rng.random(shape) < 0.2] = special
    elif kind == "bool":
        values = rng.random(shape) < 0.5
    else:
        values = np.asarray(rng.integers(0, random.choice([10, 200]), size=shape))
        values = values * (1 if kind == "uint8" else random.choice([1, -1, 12345]))
    return np.asarray(values).astype(kind)


def unbroken(text: str) -> str:
    """Without what depends on the length of the module's name: the line that dtype=... is on."""
    text = re.sub(r",\s+(dtype|grad_fn|requires_grad)=", r", \1=", text)
    return text.replace("minigrad.", "torch.")


def test_printing_is_torchs() -> None:
    rng = np.random.default_rng(0)
    random.seed(0)
    try:
        for _ in range(400):
            options = {
                "precision": random.choice([None, None, 2, 8, 0]),
                "threshold": random.choice([None, None, 5, 100]),
                "edgeitems": random.choice([None, None, 1, 2, 4]),
                "linewidth": random.choice([None, None, 20, 40, 120]),
                "profile": random.choice(["default", "short", "full"]),
                "sci_mode": random.choice([None, None, True, False]),
            }
            torch.set_printoptions(**options)
            mg.set_printoptions(**options)
            values = random_tensor(rng)
            ours, theirs = mg.tensor(values), torch.tensor(values)
            if values.dtype.kind == "f" and rng.random() < 0.5:
                ours.requires_grad_()
                theirs.requires_grad_()
                if rng.random() < 0.5:
                    ours, theirs = ours * 1, theirs * 1
            assert unbroken(repr(ours)) == unbroken(repr(theirs)), options
    finally:
        torch.set_printoptions(profile="default")
        mg.set_printoptions(profile="default")


# ---- a whole program ----


def test_a_network_trains_as_in_torch() -> None:
    """The same weights, the same batches: the same losses in float64."""
    losses = []
    for m in (mg, torch):
        rng = np.random.default_rng(0)

        def tensor(*shape, m=m, rng=rng):
            return m.tensor(rng.standard_normal(shape) * 0.3)

        kernel, weight, bias = tensor(3, 1, 3, 3), tensor(4, 27), tensor(4)
        parameters = [kernel.requires_grad_(), weight.requires_grad_(), bias.requires_grad_()]
        optimizer = m.optim.Adam(parameters, lr=0.05)
        x, y = tensor(8, 1, 8, 8), m.tensor(rng.integers(0, 4, 8))
        functional = m.nn.functional
        mine = []
        for _ in range(20):
            h = functional.max_pool2d(functional.relu(functional.conv2d(x, kernel)), 2)
            loss = functional.cross_entropy(functional.linear(h.flatten(1), weight, bias), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            mine.append(loss.item())
        losses.append(mine)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-9)
    assert losses[0][-1] < losses[0][0] / 2
