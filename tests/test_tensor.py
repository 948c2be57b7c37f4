"""The Tensor itself: creation, dtypes, conversion, indexing errors, printing."""

from __future__ import annotations

import copy
import math
import operator
import pickle

import numpy as np
import promotion_table
import pytest

import minigrad as mg

DTYPES = ("bool", "uint8", "int32", "int64", "float32", "float64")


def same(tensor, values, dtype=None):
    np.testing.assert_array_equal(tensor.detach().numpy(), np.asarray(values))
    if dtype is not None:
        assert tensor.dtype == dtype


# ---- creation ----


def test_tensor_infers_the_dtype():
    same(mg.tensor([1.5, 2]), [1.5, 2], mg.float32)
    same(mg.tensor([1, 2]), [1, 2], mg.int64)
    same(mg.tensor([True, False]), [True, False], mg.bool)
    same(mg.tensor(3.0), 3.0, mg.float32)
    same(mg.tensor(3), 3, mg.int64)
    same(mg.tensor([[1, 2], [3, 4.0]]), [[1, 2], [3, 4]], mg.float32)
    same(mg.tensor(()), [], mg.float32)
    same(mg.tensor([[], []]), np.zeros((2, 0)), mg.float32)
    same(mg.tensor([1, 2], dtype=mg.float64), [1, 2], mg.float64)
    same(mg.tensor([1.9, -1.9], dtype=mg.int32), [1, -1], mg.int32)
    same(mg.tensor(np.float64(2.0)), 2.0, mg.float64)
    same(mg.tensor(np.arange(3, dtype=np.int32)), [0, 1, 2], mg.int32)
    same(mg.tensor([mg.tensor(1.0), mg.tensor(2.0)]), [1, 2], mg.float32)


@pytest.mark.parametrize("data", [[[1, 2], [3]], [1, [2]], "text", [None], object(), {1: 2}])
def test_tensor_refuses(data):
    with pytest.raises((ValueError, TypeError, RuntimeError)):
        mg.tensor(data)


def test_default_dtype():
    assert mg.get_default_dtype() == mg.float32
    mg.set_default_dtype(mg.float64)
    try:
        assert mg.tensor(1.0).dtype == mg.zeros(1).dtype == mg.float64
        assert (mg.tensor(1) / 2).dtype == mg.float64
        assert repr(mg.tensor(1.0)) == "tensor(1.)"
        assert repr(mg.tensor(1.0, dtype=mg.float32)) == "tensor(1., dtype=minigrad.float32)"
    finally:
        mg.set_default_dtype(mg.float32)
    with pytest.raises(TypeError):
        mg.set_default_dtype(mg.int64)


@pytest.mark.parametrize("dtype", DTYPES)
def test_filled(dtype):
    kind = getattr(mg, dtype)
    same(mg.zeros(2, 3, dtype=kind), np.zeros((2, 3)), kind)
    same(mg.ones((2, 3), dtype=kind), np.ones((2, 3)), kind)
    same(mg.full((2,), 1, dtype=kind), [1, 1], kind)
    x = mg.ones(2, 3, dtype=kind)
    same(mg.zeros_like(x), np.zeros((2, 3)), kind)
    same(mg.ones_like(x), np.ones((2, 3)), kind)
    same(mg.full_like(x, 1), np.ones((2, 3)), kind)
    assert mg.empty(0, 3, dtype=kind).shape == (0, 3)
    assert mg.empty_like(x).dtype == kind
    same(x.new_zeros(2), [0, 0], kind)
    same(x.new_ones((1,)), [1], kind)


def test_full_infers_the_dtype():
    assert mg.full((1,), 1).dtype == mg.int64
    assert mg.full((1,), 1.0).dtype == mg.float32
    assert mg.full((1,), True).dtype == mg.bool


def test_ranges():
    same(mg.arange(4), range(4), mg.int64)
    same(mg.arange(1, 8, 3), [1, 4, 7], mg.int64)
    same(mg.arange(3, 0, -1), [3, 2, 1], mg.int64)
    same(mg.arange(0, 1, 0.25), [0, 0.25, 0.5, 0.75], mg.float32)
    same(mg.arange(2.0), [0, 1], mg.float32)
    same(mg.arange(3, dtype=mg.float64), [0, 1, 2], mg.float64)
    same(mg.arange(0), [], mg.int64)
    np.testing.assert_allclose(mg.linspace(0, 1, 5).numpy(), [0, 0.25, 0.5, 0.75, 1])
    same(mg.eye(2, 3), np.eye(2, 3), mg.float32)
    with pytest.raises(RuntimeError):
        mg.arange(3, 0)
    with pytest.raises(RuntimeError):
        mg.arange(0, 1, 0)


def test_random_creation_is_reproducible():
    for make in (
        lambda: mg.rand(5, 3),
        lambda: mg.randn(5, 3),
        lambda: mg.randint(0, 10, (7,)),
        lambda: mg.randperm(9),
        lambda: mg.bernoulli(mg.full((20,), 0.5)),
    ):
        mg.manual_seed(4)
        first = make().numpy().copy()
        second = make().numpy().copy()
        mg.manual_seed(4)
        np.testing.assert_array_equal(make().numpy(), first)
        np.testing.assert_array_equal(make().numpy(), second)
        assert not np.array_equal(first, second)


# ---- shapes and limits ----


def test_metadata():
    x = mg.zeros(2, 3, 4, dtype=mg.float64)
    assert x.shape == (2, 3, 4) == x.size() and x.size(-1) == 4
    assert x.ndim == x.dim() == 3 and x.numel() == 24 and len(x) == 2
    assert x.stride() == (12, 4, 1) and x.stride(1) == 4 and x.is_contiguous()
    assert x[1:].storage_offset() == 12
    assert x.element_size() == 8 and x.nbytes == 192
    assert x.is_floating_point() and not mg.zeros(1, dtype=mg.int32).is_floating_point()
    assert not x.transpose(0, 1).is_contiguous()
    assert x.shape.numel() == 24
    assert repr(x.shape).endswith("Size([2, 3, 4])")
    with pytest.raises(IndexError):
        x.size(3)


def test_eight_dimensions_work_and_nine_raise():
    x = mg.ones([1] * 7 + [2])
    assert x.ndim == 8 and (x + x).sum().item() == 4
    for action in (
        lambda: mg.zeros([1] * 9),
        lambda: x.unsqueeze(0),
        lambda: x[None],
        lambda: x.reshape([1] * 8 + [2]),
        lambda: x.expand([2] + [1] * 7 + [2]),
        lambda: mg.tensor(np.zeros([1] * 9)),
        lambda: mg.from_numpy(np.zeros([1] * 9)),
        lambda: mg.stack([x, x]),
    ):
        with pytest.raises((RuntimeError, ValueError), match="dimension"):
            action()


@pytest.mark.parametrize(
    "action",
    [
        lambda: mg.zeros(-1),
        lambda: mg.zeros(2**62, 4),
        lambda: mg.ones(2, 3).view(4),
        lambda: mg.ones(2, 3).reshape(-1, -1),
        lambda: mg.ones(2, 3).reshape(5, -1),
        lambda: mg.ones(2, 3).t().view(6),
        lambda: mg.ones(2, 3).expand(4, 3),
        lambda: mg.ones(2, 3).permute(0, 0),
        lambda: mg.ones(2, 3).permute(0),
        lambda: mg.ones(2) + mg.ones(3),
        lambda: mg.ones(2).add_(mg.ones(3, 2)),
        lambda: mg.ones(2, 3) @ mg.ones(2, 3),
        lambda: mg.ones(2, 3).mm(mg.ones(3)),
        lambda: mg.ones(()) @ mg.ones(2),
        lambda: mg.cat([mg.ones(2, 3), mg.ones(2, 2)]),
        lambda: mg.stack([mg.ones(2), mg.ones(3)]),
        lambda: mg.ones(2, 3).split(0),
        lambda: mg.ones(4).split([1, 2]),
        lambda: mg.ones(2, 3).narrow(0, 1, 2),
        lambda: mg.ones(2, 3).item(),
        lambda: bool(mg.ones(2)),
        lambda: mg.ones(2, dtype=mg.int64).add_(1.5),
        lambda: mg.ones(2, dtype=mg.int64).mean(),
        lambda: mg.zeros(0).max(),
        lambda: mg.ones(2, dtype=mg.bool) - mg.ones(2, dtype=mg.bool),
        lambda: -mg.ones(2, dtype=mg.bool),
    ],
)
def test_runtime_errors(action):
    with pytest.raises(RuntimeError):
        action()


@pytest.mark.parametrize(
    "action",
    [
        lambda: mg.ones(2)[2],
        lambda: mg.ones(2)[-3],
        lambda: mg.ones(2)[0, 0],
        lambda: mg.ones(())[0],
        lambda: mg.ones(2)[mg.tensor([2])],
        lambda: mg.ones(2)[mg.tensor([-3])],
        lambda: mg.ones(2)[[0, 5]],
        lambda: mg.ones(2, 3)[mg.ones(3, dtype=mg.bool)],
        lambda: mg.ones(2, 3)[mg.tensor([0, 1]), mg.tensor([0, 1, 2])],
        lambda: mg.ones(2).sum(1),
        lambda: mg.ones(2).sum(-2),
        lambda: mg.ones(2).transpose(0, 1),
        lambda: mg.ones(2).unsqueeze(3),
        lambda: mg.ones(2)[1.0],
        lambda: mg.ones(2).softmax(1),
        lambda: mg.ones(2, 3).argmax(2),
        lambda: mg.zeros(2, 0).argmax(1),
        lambda: mg.zeros(2, 0).max(1),
    ],
)
def test_index_errors(action):
    with pytest.raises(IndexError):
        action()


@pytest.mark.parametrize(
    "action",
    [
        lambda: mg.ones(2) + "a",
        lambda: mg.ones(2) + None,
        lambda: mg.ones(2) @ 3,
        lambda: len(mg.ones(())),
        lambda: list(mg.ones(())),
        lambda: mg.ones(2, dtype="float32"),
        lambda: mg.cat(mg.ones(2)),
        lambda: mg.ones(2)["a"],
        lambda: mg.from_numpy([1, 2]),
    ],
)
def test_type_errors(action):
    with pytest.raises(TypeError):
        action()


def test_negative_steps_raise():
    with pytest.raises(ValueError, match="step"):
        mg.ones(4)[::-1]


def test_errors_name_the_shapes():
    with pytest.raises(RuntimeError, match=r"2.*3"):
        mg.ones(2) + mg.ones(3)
    with pytest.raises(RuntimeError, match=r"4.*5|5.*4"):
        mg.ones(3, 4) @ mg.ones(5, 2)


# ---- dtypes ----


@pytest.mark.parametrize("name", promotion_table.OPERATIONS)
def test_type_promotion(name):
    wrong = []
    for case, function, kind, left, right, letter in promotion_table.cases():
        if case != name:
            continue
        operands = [
            promotion_table.operand(mg, which, value)
            for which, value in zip(kind, (left, right), strict=True)
        ]
        try:
            found = str(function(*operands).dtype).split(".")[-1]
        except (RuntimeError, TypeError):
            found = "-"
        if found != promotion_table.DTYPES.get(letter, "-"):
            wrong.append(f"{kind}: {left}, {right} gives {found}, not {letter}")
    assert not wrong


def test_in_place_keeps_the_dtype():
    x = mg.ones(2)
    x += mg.ones(2, dtype=mg.float64)
    assert x.dtype == mg.float32
    x = mg.ones(2, dtype=mg.int32)
    x += 2
    assert x.dtype == mg.int32
    x *= True
    for action in (
        lambda: x.add_(1.5),
        lambda: x.div_(2),
        lambda: x.mul_(mg.ones(2)),
        lambda: mg.ones(2, dtype=mg.bool).add_(1),
    ):
        with pytest.raises(RuntimeError, match=r"can't be cast|cannot be cast"):
            action()


def test_integers_wrap_around():
    same(mg.tensor([255], dtype=mg.uint8) + 1, [0], mg.uint8)
    same(mg.tensor([0], dtype=mg.uint8) - 1, [255], mg.uint8)
    same(mg.tensor([2**31 - 1], dtype=mg.int32) + 1, [-(2**31)], mg.int32)
    same(mg.tensor([2**63 - 1]) + 1, [-(2**63)], mg.int64)


def test_integer_division():
    for zero in (lambda x: x // 0, lambda x: x % 0):
        with pytest.raises(RuntimeError, match=r"[Zz]ero"):
            zero(mg.tensor([1, 2]))
    same(mg.tensor([7, -7]) // 2, [3, -4])
    same(mg.tensor([7, -7]) % 3, [1, 2])
    same(mg.tensor([7.0, -7.0]) % -3, [-2.0, -1.0])
    assert math.isinf((mg.tensor([1.0]) // 0).item())


def test_division_towards_zero():
    def trunc(a, b):
        return mg.div(a, b, rounding_mode="trunc")

    values = [7, -7, 2**53 + 1, -(2**63), -(2**62 + 1)]
    expected = [3, 3, 2**53 + 1, -(2**63), -1537228672809129301]
    same(trunc(mg.tensor(values), mg.tensor([2, -2, 1, 1, 3])), expected, mg.int64)
    same(trunc(mg.tensor([-7, 7], dtype=mg.int32), 2), [-3, 3], mg.int32)
    same(trunc(mg.tensor([True]), mg.tensor([2])), [0], mg.int64)
    same(trunc(mg.tensor([-7.0, 7.0]), 2), [-3.0, 3.0], mg.float32)
    same(mg.tensor([-5, 5]).div_(2, rounding_mode="trunc"), [-2, 2], mg.int64)
    with pytest.raises(RuntimeError, match="can't be cast"):
        mg.tensor([5]).div_(2.0, rounding_mode="trunc")
    with pytest.raises(RuntimeError, match="Zero"):
        trunc(mg.tensor([5]), 0)


@pytest.mark.parametrize("data", [2**70, 2**63, [2**63, 1], -(2**63) - 1], ids=str)
def test_integers_beyond_int64(data):
    for dtype in (None, mg.int64, mg.uint8):
        with pytest.raises(ValueError, match="Overflow"):
            mg.tensor(data, dtype=dtype)
    same(mg.tensor(data, dtype=mg.float64), np.asarray(data, np.float64))
    assert mg.tensor([1.0, 2**70]).dtype == mg.float32


def test_casts():
    same(mg.tensor([1.7, -1.7]).to(mg.int64), [1, -1], mg.int64)
    same(mg.tensor([0.0, 0.5, float("nan")]).bool(), [False, True, True])
    same(mg.tensor([2**40 + 3]).to(mg.int32), [3], mg.int32)
    x = mg.ones(2)
    assert x.to(mg.float32) is x and x.float() is x
    assert x.double().dtype == mg.float64
    assert x.to("cpu") is x
    assert x.to(mg.ones(1, dtype=mg.int32)).dtype == mg.int32
    y = mg.ones(2, requires_grad=True)
    y.double().sum().backward()
    assert y.grad.dtype == mg.float32


# ---- Python values ----


def test_python_values():
    assert mg.tensor([2.5]).item() == 2.5 and isinstance(mg.tensor(2).item(), int)
    assert mg.tensor(True).item() is True
    assert mg.tensor([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert mg.tensor(1.5).tolist() == 1.5
    assert int(mg.tensor(2.9)) == 2 and float(mg.tensor([3])) == 3.0
    assert bool(mg.tensor(0.0)) is False and bool(mg.tensor([[1]])) is True
    assert operator.index(mg.tensor(3)) == 3 and [10, 20, 30][mg.tensor(1)] == 20
    assert f"{mg.tensor(2.0):.3f}" == "2.000"
    assert 2 in mg.tensor([1, 2]) and 5 not in mg.tensor([1, 2])
    assert hash(mg.ones(1)) != hash(mg.ones(1))
    assert [x.item() for x in mg.tensor([1, 2])] == [1, 2]


def test_mixed_with_numpy():
    x = mg.tensor([1.0, 2.0], dtype=mg.float64)
    assert isinstance(np.float64(1.0) * x, mg.Tensor)
    same(x + mg.tensor(np.array([1.0, 1.0])), [2, 3])
    same(x * np.float64(2.0), [2, 4])


def test_copies():
    x = mg.ones(2, requires_grad=True)
    x.sum().backward()
    y = copy.deepcopy(x)
    assert y.requires_grad and y.is_leaf
    same(y.grad, [1, 1])
    with mg.no_grad():
        y.zero_()
    same(x, [1, 1])
    with pytest.raises(RuntimeError, match=r"leaves|leaf"):
        copy.deepcopy(x * 2)
    z = pickle.loads(pickle.dumps(mg.ones(2, 3)[:, 1:]))
    same(z, np.ones((2, 2)))


def test_where_and_nonzero_as_tuples():
    x = mg.tensor([[0, 1], [2, 0]])
    rows, columns = mg.nonzero(x, as_tuple=True)
    same(rows, [0, 1])
    same(columns, [1, 0])
    same(x[rows, columns], [1, 2])


def test_named_results():
    result = mg.tensor([[1.0, 3.0], [5.0, 2.0]]).max(1)
    same(result.values, [3, 5])
    same(result.indices, [1, 0])
    values, indices = result
    assert values is result.values and indices is result.indices


def test_duplicate_indices_write_last_or_accumulate():
    x = mg.zeros(3)
    x.index_put_((mg.tensor([0, 0, 2]),), mg.tensor([1.0, 2.0, 3.0]), accumulate=True)
    same(x, [3, 0, 3])


def test_overlapping_copies():
    """A slice written with another slice of the same memory reads the old values."""
    x = mg.arange(6)
    x[1:] = x[:-1].clone()
    same(x, [0, 0, 1, 2, 3, 4])


# ---- other names ----

ALIASES = {
    "absolute": "abs",
    "negative": "neg",
    "clip": "clamp",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "true_divide": "div",
    "concat": "cat",
    "concatenate": "cat",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "not_equal": "ne",
}


@pytest.mark.parametrize("alias", ALIASES)
def test_other_names(alias):
    a, b = mg.tensor([1.5, -2.0, 3.0]), mg.tensor([1.0, 2.0, 3.0])
    name = ALIASES[alias]
    operands = {"abs": (a,), "neg": (a,), "clamp": (a, -1, 1), "cat": ([a, b],)}.get(name, (a, b))
    wanted = getattr(mg, name)(*operands)
    same(getattr(mg, alias)(*operands), wanted.numpy(), wanted.dtype)
    if name != "cat":
        same(getattr(operands[0], alias)(*operands[1:]), wanted.numpy())


@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or"])
def test_comparisons_in_place(name):
    a, b = mg.tensor([1.0, 0.0, 3.0]), mg.tensor([1.0, 2.0, 0.0])
    wanted = getattr(a, name)(b).float()
    result = getattr(a, name + "_")(b)
    assert result is a and a.dtype == mg.float32
    same(a, wanted.numpy())


def test_bits_in_place():
    x = mg.tensor([6, 5])
    x &= 4
    same(x, [4, 4])
    x |= mg.tensor([1, 2])
    same(x, [5, 6])
    x ^= 7
    same(x, [2, 1])


def test_closeness():
    a = mg.tensor([1.0, 2.0, float("nan")])
    same(mg.isclose(a, a + 1e-9), [True, True, False])
    same(mg.isclose(a, a, equal_nan=True), [True, True, True])
    assert not mg.allclose(a, a) and mg.allclose(a, a, equal_nan=True)
    assert mg.equal(mg.ones(2), mg.ones(2)) and not mg.equal(mg.ones(2), mg.ones(3))


def test_dtype_functions():
    assert mg.promote_types(mg.int32, mg.float32) == mg.float32
    assert mg.result_type(mg.ones(2, dtype=mg.int64), 1.5) == mg.float32
    assert mg.is_tensor(mg.ones(1)) and not mg.is_tensor([1])
    assert mg.numel(mg.ones(2, 3)) == 6
    assert mg.finfo(mg.float32).eps == np.finfo(np.float32).eps
    assert mg.iinfo(mg.int32).max == 2**31 - 1


def test_generator_state():
    mg.manual_seed(3)
    mg.rand(5)
    state = mg.get_rng_state()
    first = mg.rand(5)
    mg.set_rng_state(state)
    same(mg.rand(5), first.numpy())
    assert mg.initial_seed() == 3
    generator = mg.Generator().manual_seed(3)
    one = mg.rand(4, generator=generator)
    same(mg.rand(4, generator=mg.Generator().manual_seed(3)), one.numpy())
    for made in (mg.rand_like(one), mg.randn_like(one), mg.empty_like(one)):
        assert made.shape == one.shape and made.dtype == one.dtype


def test_new_tensors_take_dtype_from_their_model():
    x = mg.ones(1, dtype=mg.float64)
    assert x.new_empty(2).dtype == x.new_full((2,), 3).dtype == mg.float64
    assert x.new_tensor([1, 2]).dtype == mg.float64


# ---- printing ----


@pytest.fixture
def print_options():
    yield
    mg.set_printoptions(profile="default")


def test_printing(print_options):
    text = repr
    assert text(mg.tensor([1.0, 2.5])) == "tensor([1.0000, 2.5000])"
    assert text(mg.tensor([1.0, float("nan")])) == "tensor([1., nan])"
    assert text(mg.tensor(3)) == "tensor(3)"
    assert text(mg.tensor([True])) == "tensor([True])"
    assert text(mg.zeros(0, 3)) == "tensor([], size=(0, 3))"
    assert text(mg.tensor([], dtype=mg.int64)) == "tensor([], dtype=minigrad.int64)"
    assert text(mg.ones(1, dtype=mg.float64)) == "tensor([1.], dtype=minigrad.float64)"
    assert text(mg.ones(1, requires_grad=True)) == "tensor([1.], requires_grad=True)"
    assert text(mg.ones(1, requires_grad=True) * 2) == "tensor([2.], grad_fn=<MulBackward0>)"
    assert text(mg.tensor([1e-6, 1.0])) == "tensor([1.0000e-06, 1.0000e+00])"
    assert text(mg.arange(2000)) == "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])"
    assert text(mg.zeros(2, 1, 2)) == "tensor([[[0., 0.]],\n\n        [[0., 0.]]])"
    mg.set_printoptions(precision=1)
    assert text(mg.tensor([0.26])) == "tensor([0.3])"
    mg.set_printoptions(sci_mode=True, precision=2)
    assert text(mg.tensor([2.0])) == "tensor([2.00e+00])"


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool"])
@pytest.mark.parametrize(
    ("shape", "count"), [((), 3), ((0,), 2), ((5,), 300), ((2, 3), 7), ((40, 30), 33), ((3, 0), 2)]
)
def test_joining_many(shape, count, dtype):
    """cat and stack along every dimension, in one launch, of parts that differ along it."""
    kind = getattr(mg, dtype)
    random = np.random.default_rng(0)
    values = [random.integers(0, 2, shape).astype(dtype) for _ in range(count)]
    parts = [mg.tensor(each, dtype=kind) for each in values]
    for dim in range(len(shape) + 1):
        joined = mg.stack(parts, dim)
        assert joined.dtype is kind
        np.testing.assert_array_equal(joined.numpy(), np.stack(values, dim))
    for dim in range(len(shape)):
        chosen = [slice(None)] * dim
        uneven = [each[(*chosen, slice(index % 3, None))] for index, each in enumerate(values)]
        views = [part[(*chosen, slice(index % 3, None))] for index, part in enumerate(parts)]
        for tensors in (views, [view.clone() for view in views]):
            result = mg.cat(tensors, dim)
            np.testing.assert_array_equal(result.numpy(), np.concatenate(uneven, dim))
