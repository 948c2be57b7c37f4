"""Initializers: values, distributions, generators, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn import init


def test_init_values():
    w = mg.empty(50, 40)
    for call, low, high, std in (
        (lambda: init.uniform_(w, -1, 3), -1, 3, 4 / math.sqrt(12)),
        (lambda: init.normal_(w, 0, 2), -math.inf, math.inf, 2),
        (lambda: init.xavier_uniform_(w, 2), -2 * math.sqrt(6 / 90), 2 * math.sqrt(6 / 90),
         2 * math.sqrt(2 / 90)),
        (lambda: init.xavier_normal_(w), -math.inf, math.inf, math.sqrt(2 / 90)),
        (lambda: init.kaiming_uniform_(w, mode="fan_out", nonlinearity="relu"),
         -math.sqrt(6 / 50), math.sqrt(6 / 50), math.sqrt(2 / 50)),
        (lambda: init.kaiming_normal_(w, a=1), -math.inf, math.inf, math.sqrt(1 / 40)),
        (lambda: init.trunc_normal_(w, std=1, a=-0.5, b=2), -0.5, 2, None),
        (lambda: init.trunc_normal_(w, std=1, a=2, b=4), 2, 4, None),
    ):  # fmt: skip
        assert call() is w
        values = w.numpy()
        assert values.min() >= low and values.max() <= high
        if std is not None:
            assert abs(values.std() - std) < 0.08 * std
    assert init.constant_(w, 3).unique().tolist() == [3] if hasattr(w, "unique") else True
    assert init.ones_(w).sum().item() == 2000 and init.zeros_(w).sum().item() == 0
    assert init.eye_(w).numpy().tolist() == np.eye(50, 40).tolist()


def test_init_takes_a_generator_and_no_gradient():
    for function in (init.uniform_, init.normal_, init.xavier_uniform_, init.xavier_normal_,
                     init.kaiming_uniform_, init.kaiming_normal_, init.trunc_normal_):  # fmt: skip
        drawn = []
        for _ in range(2):
            weight = mg.empty(3, 4, requires_grad=True)
            function(weight, generator=mg.Generator().manual_seed(7))
            assert weight.is_leaf and weight.requires_grad
            drawn.append(weight.tolist())
        assert drawn[0] == drawn[1]


def test_init_gains_and_errors():
    assert init.calculate_gain("tanh") == 5 / 3 and init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("leaky_relu", 1) == 1 and init.calculate_gain("conv2d") == 1
    assert init._calculate_fan_in_and_fan_out(mg.empty(4, 3, 2, 5)) == (30, 40)
    for call, text in (
        (lambda: init.calculate_gain("none"), "Unsupported nonlinearity none"),
        (lambda: init.calculate_gain("leaky_relu", True), "not a valid number"),
        (lambda: init.xavier_uniform_(mg.empty(3)), "fewer than 2 dimensions"),
        (lambda: init.kaiming_uniform_(mg.empty(3, 3), mode="fan"), "Mode fan not supported"),
        (lambda: init.eye_(mg.empty(3)), "Only tensors with 2 dimensions"),
    ):
        with pytest.raises(ValueError, match=text):
            call()
    with pytest.warns(UserWarning, match="zero-element"):
        init.kaiming_normal_(mg.empty(0, 3))


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (4, 2, 3), (64, 64), (1, 9)])
def test_orthogonal(shape):
    mg.manual_seed(0)
    weight = nn.init.orthogonal_(mg.empty(shape, dtype=mg.float64), gain=2.0).numpy()
    flat = weight.reshape(shape[0], -1) / 2
    gram = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-12)


def test_orthogonal_is_uniform():
    """Each entry of a random orthogonal 2x2 matrix is the cosine of a uniform angle: mean 0, mean
    of the squares 1/2, of the fourth powers 3/8; rotations and reflections are equally many."""
    mg.manual_seed(1)
    drawn = np.stack([nn.init.orthogonal_(mg.empty(2, 2)).numpy() for _ in range(600)])
    assert (abs(drawn.mean(0)) < 0.1).all()
    assert (abs((drawn**2).mean(0) - 0.5) < 0.06).all()
    assert (abs((drawn**4).mean(0) - 0.375) < 0.06).all()
    assert 240 < (np.linalg.det(drawn) > 0).sum() < 360


def test_sparse_init():
    mg.manual_seed(0)
    weight = nn.init.sparse_(mg.empty(50, 40), 0.3, std=2.0).numpy()
    assert ((weight == 0).sum(0) == 15).all()
    assert abs(weight[weight != 0].std() - 2) < 0.2


def test_dirac_passes_channels_on():
    x = mg.randn(2, 4, 5, 6)
    for groups in (1, 2):
        weight = nn.init.dirac_(mg.empty(4, 4 // groups, 3, 3), groups)
        y = nn.functional.conv2d(x, weight, padding=1, groups=groups)
        np.testing.assert_array_equal(y.numpy(), x.numpy())


@pytest.mark.parametrize(
    "call",
    [
        lambda: nn.init.orthogonal_(mg.empty(3)),
        lambda: nn.init.sparse_(mg.empty(3), 0.5),
        lambda: nn.init.dirac_(mg.empty(3, 3)),
        lambda: nn.init.dirac_(mg.empty(3, 3, 3), 2),
    ],
)
def test_initializers_refuse_other_shapes(call):
    with pytest.raises(ValueError):
        call()
