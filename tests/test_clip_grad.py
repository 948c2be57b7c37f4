"""Clipping of gradients: values, dtypes, plans, what happens once and what twice."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.kernels import record
from minigrad.nn import utils

SHAPES = [(3, 4), (), (7,), (40, 300), (2, 3, 5)]


def make(dtype=mg.float32, shapes=SHAPES):
    parameters = [nn.Parameter(mg.zeros(shape, dtype=dtype)) for shape in shapes]
    for parameter in parameters:
        values = np.random.standard_normal(tuple(parameter.shape))
        parameter.grad = mg.tensor(values, dtype=dtype)
    return parameters


def flat(parameters):
    return np.concatenate([p.grad.numpy().astype(np.float64).reshape(-1) for p in parameters])


@pytest.mark.parametrize("order", [2, 1, 3.5, math.inf, "inf", -math.inf, -1])
@pytest.mark.parametrize("dtype", [mg.float32, mg.float64], ids=str)
def test_the_norm_of_all_gradients_is_bounded(order, dtype):
    parameters = make(dtype)
    before = flat(parameters)
    expected = np.linalg.norm(before, float(order))
    norm = utils.clip_grad_norm_(parameters, expected / 3, order)
    assert norm.shape == () and norm.dtype is dtype and not norm.requires_grad
    assert norm.item() == pytest.approx(expected, rel=1e-5)
    factor = expected / 3 / (expected + 1e-6)
    np.testing.assert_allclose(flat(parameters), before * factor, 1e-4)
    after = flat(parameters)
    utils.clip_grad_norm_(parameters, 1e9, order)
    np.testing.assert_array_equal(flat(parameters), after)


def test_by_value():
    parameters = make()
    before = flat(parameters)
    utils.clip_grad_value_(iter(parameters), 0.5)
    np.testing.assert_array_equal(flat(parameters), np.clip(before, -0.5, 0.5))


def test_mixed_dtypes_one_tensor_and_none():
    a, b = nn.Parameter(mg.zeros(2)), nn.Parameter(mg.zeros(2, dtype=mg.float64))
    a.grad, b.grad = mg.tensor([3.0, 0]), mg.tensor([0.0, 4], dtype=mg.float64)
    norm = utils.clip_grad_norm_([a, nn.Parameter(mg.zeros(3)), b], 1.0)
    assert norm.item() == pytest.approx(5) and norm.dtype is mg.float64
    assert a.grad.tolist() == pytest.approx([0.6, 0]) and b.grad.tolist() == pytest.approx([0, 0.8])
    assert utils.clip_grad_norm_(a, 0.3).item() == pytest.approx(0.6)
    assert a.grad.tolist() == pytest.approx([0.3, 0], rel=1e-5)
    assert utils.clip_grad_norm_([], 1.0).item() == 0
    with pytest.warns(UserWarning, match="empty generator"):
        utils.clip_grad_norm_((p for p in []), 1.0)


def test_strided_gradients_and_a_parameter_listed_twice():
    p = nn.Parameter(mg.zeros(40, 30))
    p.grad = mg.ones(30, 40).t()
    assert utils.get_total_norm(p.grad).item() == pytest.approx(math.sqrt(1200))
    utils.clip_grad_norm_([p, p], math.sqrt(2400) / 2)
    np.testing.assert_allclose(p.grad.numpy(), np.full((40, 30), 0.25), 1e-5)  # as often as listed
    assert p.grad.stride() == (1, 40)


def test_a_plan_clips_the_gradients_of_the_day():
    (p,) = make(shapes=[(100,)])
    with record() as plan:
        norm = utils.clip_grad_norm_([p], 1.0)
        utils.clip_grad_value_([p], 0.2)
    for _ in range(3):
        values = np.random.standard_normal(100).astype(np.float32)
        p.grad.copy_(mg.tensor(values))
        plan.replay()
        expected = np.sqrt(np.sum(values.astype(np.float64) ** 2))
        assert norm.item() == pytest.approx(expected, rel=1e-5)
        np.testing.assert_allclose(
            p.grad.numpy(), np.clip(values / (expected + 1e-6), -0.2, 0.2), 1e-5
        )


def test_what_is_not_finite():
    for value in (math.nan, math.inf):
        p = nn.Parameter(mg.zeros(2))
        p.grad = mg.tensor([1.0, value])
        with pytest.raises(RuntimeError, match=r"The total norm of order 2\.0 .* is non-finite"):
            utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
        assert p.grad[0].item() == 1.0
        utils.clip_grad_norm_(p, 1.0)
        assert math.isnan(p.grad[1].item())


def test_the_same_bits_for_any_number_of_threads():
    mg.manual_seed(0)
    values = [mg.randn(50_001), mg.randn(3), mg.randn(200, 700)]

    def run(threads):
        mg.set_num_threads(threads)
        parameters = [nn.Parameter(value) for value in values]
        for parameter, value in zip(parameters, values, strict=True):
            parameter.grad = value.clone()
        norm = utils.clip_grad_norm_(parameters, 1.0)
        return norm.item(), *(p.grad.numpy().tobytes() for p in parameters)

    assert len({run(threads) for threads in (1, 2, 3)}) == 1


def test_a_change_of_a_saved_gradient_is_noticed():
    p = nn.Parameter(mg.ones(3))
    (grad,) = mg.autograd.grad((p**3).sum(), p, create_graph=True)
    p.grad = grad
    penalty = (grad * grad).sum()
    utils.clip_grad_norm_(p, 0.1)
    with pytest.raises(RuntimeError, match="clip_grads_with_norm_"):
        penalty.backward()
