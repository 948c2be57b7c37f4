"""Each fused op against the composition of plain operations that it stands for."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd.engine import Fused
from minigrad.ops.activation import Glu
from minigrad.ops.attention import Attention
from minigrad.ops.loss import PointwiseLoss
from minigrad.ops.norm import BatchNorm, GroupNorm
from minigrad.ops.recurrent import GRU, LSTM, RNN_RELU, RNN_TANH, Recurrent
from minigrad.ops.softmax import CrossEntropy

TARGET = [1, 0, 3, 3, 2, 1]


def _targets() -> mg.Tensor:
    return mg.tensor(TARGET)


def _batch_norm(training: bool) -> BatchNorm:
    running = (mg.tensor([0.1, -0.2, 0.3, 0.0]).double(), mg.tensor([1.0, 2.0, 0.5, 1.5]).double())
    return BatchNorm(running, None, training, 0.1, 1e-5)


def _affine_groups() -> tuple[mg.Tensor, ...]:
    return (mg.rand(2, dtype=mg.float64), mg.rand(2, dtype=mg.float64))


def _affine() -> tuple[mg.Tensor, ...]:
    return (mg.rand(4, dtype=mg.float64), mg.rand(4, dtype=mg.float64))


def _keys_and_values() -> tuple[mg.Tensor, ...]:
    return (mg.rand(5, 4, dtype=mg.float64), mg.rand(5, 3, dtype=mg.float64))


def _masked() -> tuple[mg.Tensor, ...]:
    mask = mg.rand(6, 5, dtype=mg.float64)
    mask[mask < 0.3] = float("-inf")
    mask[1] = float("-inf")
    return (*_keys_and_values(), mask, (mg.rand(6, 5, dtype=mg.float64) < 0.7).double())


CASES = {
    "cross_entropy mean": (lambda: CrossEntropy(_targets(), None, -100, 0.0, "mean"), ()),
    "cross_entropy sum": (lambda: CrossEntropy(_targets(), None, 3, 0.1, "sum"), ()),
    "cross_entropy none": (
        lambda: CrossEntropy(_targets(), mg.tensor([1.0, 2.0, 0.5, 1.5]).double(), 2, 0.2, "none"),
        (),
    ),
    "batch_norm training": (lambda: _batch_norm(True), ()),
    "batch_norm training affine": (lambda: _batch_norm(True), _affine),
    "batch_norm evaluation": (lambda: _batch_norm(False), ()),
    "batch_norm evaluation affine": (lambda: _batch_norm(False), _affine),
    "attention": (lambda: Attention(0.3, False, False), _keys_and_values),
    "attention causal": (lambda: Attention(0.3, True, False), _keys_and_values),
    "attention masked": (lambda: Attention(0.3, False, True), _masked),
    "layer_norm": (lambda: GroupNorm(1, 4, 1, True, 1e-5), _affine),
    "layer_norm bias": (lambda: GroupNorm(1, 4, 1, True, 0.1, False), lambda: _affine()[:1]),
    "layer_norm plain": (lambda: GroupNorm(1, 4, 1, True, 1e-5, False), ()),
    "rms_norm": (lambda: GroupNorm(1, 4, 1, False, 1e-5), lambda: _affine()[:1]),
    "rms_norm plain": (lambda: GroupNorm(1, 4, 1, False, 1e-5, False), ()),
    "group_norm": (lambda: GroupNorm(2, 1, 2, True, 1e-5), _affine_groups),
    "glu": (lambda: Glu(1), ()),
    "glu of the first dimension": (lambda: Glu(0), ()),
    "group_norm rows": (lambda: GroupNorm(2, 2, 1, True, 1e-5), _affine),
}


def test_every_fused_op_has_a_case():
    names = {type(make()).__name__ for make, _ in CASES.values()} | {"Recurrent", "GridSample"}
    names.add("PointwiseLoss")
    assert names == {each.__name__ for each in Fused.__subclasses__()}


@pytest.mark.parametrize("name", CASES)
def test_fused_equals_composed(name):
    make, affine = CASES[name]
    mg.manual_seed(0)
    x = mg.randn(6, 4, dtype=mg.float64)
    inputs = [x, *(affine() if affine else ())]
    for each in inputs[:3]:  # the others are constants
        each.requires_grad_()
    operation = make()
    fused = operation.apply(*inputs)
    composed = operation.composition(*inputs)
    np.testing.assert_allclose(fused.detach(), composed.detach(), rtol=1e-12, atol=1e-13)
    seed = mg.randn(fused.shape, dtype=mg.float64)
    wanted = mg.autograd.grad(composed, inputs[:3], seed)
    found = mg.autograd.grad(fused, inputs[:3], seed)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def _losses(kind):
    """The classes that are a loss: those with a row of their own."""
    for each in kind.__subclasses__():
        if "code" in vars(each):
            yield each
        yield from _losses(each)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("kind", list(_losses(PointwiseLoss)), ids=lambda kind: kind.__name__)
def test_losses_equal_composed(kind, reduction):
    """The first derivatives of both operands: the kernel, and the plain operations."""
    mg.manual_seed(0)
    inputs = [mg.rand(5, 7, dtype=mg.float64).requires_grad_() for _ in range(2)]
    operation = kind(reduction, 0.3)
    fused, composed = operation.apply(*inputs), operation.composition(*inputs)
    np.testing.assert_allclose(fused.detach(), composed.detach(), rtol=1e-12, atol=1e-13)
    seed = mg.randn(fused.shape, dtype=mg.float64)
    wanted = mg.autograd.grad(composed, inputs, seed)
    found = mg.autograd.grad(fused, inputs, seed)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def _sequence(mode: int, batch: int, steps: int, projected: bool) -> tuple[mg.Tensor, ...]:
    """Operands of 4 features and 5 hidden units, rows of all steps one after the other."""
    gates = {LSTM: 4, GRU: 3}.get(mode, 1)
    state = 2 if projected else 5
    shapes = [(batch * steps, 4), (batch, state), *([(batch, 5)] if mode == LSTM else [])]
    shapes += [(5 * gates, 4), (5 * gates, state), (5 * gates,), (5 * gates,)]
    shapes += [(2, 5)] if projected else []
    return tuple(mg.randn(*shape, dtype=mg.float64).requires_grad_() for shape in shapes)


@pytest.mark.parametrize("sizes", [None, [3, 3, 2, 1]], ids=["whole", "packed"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("mode", "projected"),
    [(RNN_TANH, False), (RNN_RELU, False), (LSTM, False), (LSTM, True), (GRU, False)],
)
def test_recurrent_equals_composed(mode, projected, reverse, sizes):
    """The first derivatives of the kernel and of the composition, and the second ones, whatever
    results are used."""
    mg.manual_seed(1)
    x, *others = _sequence(mode, 3, 3, projected)
    present = [0, 1, *([2] if mode == LSTM else []), 3, 4, 5, 6, *([7] if projected else [])]
    counts = None if sizes is None else mg.tensor(sizes)
    inputs = [x if sizes else x.detach().reshape(3, 3, 4).requires_grad_(), *others]
    operation = Recurrent(mode, reverse, counts, present)
    fused = operation.apply(*inputs)
    composed = operation.composition(*inputs)
    seeds = [mg.randn(each.shape, dtype=mg.float64) for each in fused]
    for one, other in zip(fused, composed, strict=True):
        np.testing.assert_allclose(one.detach(), other.detach(), rtol=1e-12, atol=1e-13)
    for used in [range(len(fused)), *([place] for place in range(len(fused)))]:
        found, wanted = (
            mg.autograd.grad(
                [result[place] for place in used],
                inputs,
                [seeds[place] for place in used],
                retain_graph=True,
                allow_unused=True,
            )
            for result in (fused, composed)
        )
        for one, other in zip(found, wanted, strict=True):
            values = np.zeros(one.shape) if other is None else other
            np.testing.assert_allclose(one, values, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("mode", [RNN_TANH, LSTM, GRU])
def test_recurrent_second_derivatives(mode):
    mg.manual_seed(2)
    inputs = _sequence(mode, 2, 1, False)
    present = [0, 1, *([2] if mode == LSTM else []), 3, 4, 5, 6]
    sizes = mg.tensor([2])

    def call(*operands):
        return Recurrent(mode, False, sizes, present).apply(*operands)

    assert mg.autograd.gradcheck(call, inputs)
    assert mg.autograd.gradgradcheck(call, inputs)


def test_recurrent_notices_changed_results():
    y, _ = mg.nn.GRU(3, 4)(mg.ones(2, 1, 3))
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
