"""Each fused op against the composition of plain operations that it stands for."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd.engine import Fused
from minigrad.ops.norm import BatchNorm, GroupNorm
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
    "layer_norm": (lambda: GroupNorm(1, 4, 1, True, 1e-5), _affine),
    "layer_norm bias": (lambda: GroupNorm(1, 4, 1, True, 0.1, False), lambda: _affine()[:1]),
    "layer_norm plain": (lambda: GroupNorm(1, 4, 1, True, 1e-5, False), ()),
    "rms_norm": (lambda: GroupNorm(1, 4, 1, False, 1e-5), lambda: _affine()[:1]),
    "rms_norm plain": (lambda: GroupNorm(1, 4, 1, False, 1e-5, False), ()),
    "group_norm": (lambda: GroupNorm(2, 1, 2, True, 1e-5), _affine_groups),
    "group_norm rows": (lambda: GroupNorm(2, 2, 1, True, 1e-5), _affine),
}


def test_every_fused_op_has_a_case():
    names = {type(make()).__name__ for make, _ in CASES.values()}
    assert names == {each.__name__ for each in Fused.__subclasses__()}


@pytest.mark.parametrize("name", CASES)
def test_fused_equals_composed(name):
    make, affine = CASES[name]
    mg.manual_seed(0)
    x = mg.randn(6, 4, dtype=mg.float64)
    inputs = [each.requires_grad_() for each in (x, *(affine() if affine else ()))]
    operation = make()
    fused = operation.apply(*inputs)
    composed = operation.composition(*inputs)
    np.testing.assert_allclose(fused.detach(), composed.detach(), rtol=1e-12, atol=1e-13)
    seed = mg.randn(fused.shape, dtype=mg.float64)
    wanted = mg.autograd.grad(composed, inputs, seed)
    found = mg.autograd.grad(fused, inputs, seed)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
