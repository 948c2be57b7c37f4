"""Layers: what the layer table does not say of them. Text, errors, distributions, statistics."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

LAYERS = [
    (nn.Linear(2, 3, bias=False), "Linear(in_features=2, out_features=3, bias=False)"),
    (nn.Identity(1, a=2), "Identity()"),
    (nn.Conv2d(1, 2, 3, padding="same", bias=False),
     "Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1), padding=same, bias=False)"),
    (nn.Conv2d(2, 4, (3, 2), 2, 1, (1, 2), 2), "Conv2d(2, 4, kernel_size=(3, 2), stride=(2, 2), "
     "padding=(1, 1), dilation=(1, 2), groups=2)"),
    (nn.MaxPool2d(2), "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"),
    (nn.AvgPool2d((2, 3)), "AvgPool2d(kernel_size=(2, 3), stride=(2, 3), padding=0)"),
    (nn.Flatten(), "Flatten(start_dim=1, end_dim=-1)"),
    (nn.Unflatten(1, (2, 2)), "Unflatten(dim=1, unflattened_size=(2, 2))"),
    (nn.ReLU(True), "ReLU(inplace=True)"),
    (nn.Softmax(1), "Softmax(dim=1)"),
    (nn.LogSoftmax(-1), "LogSoftmax(dim=-1)"),
    (nn.Dropout(0.3, True), "Dropout(p=0.3, inplace=True)"),
    (nn.BatchNorm1d(3), "BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, "
     "track_running_stats=True)"),
    (nn.CrossEntropyLoss(), "CrossEntropyLoss()"),
    (nn.MSELoss(), "MSELoss()"),
    (nn.NLLLoss(), "NLLLoss()"),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "text"), LAYERS, ids=[text for _, text in LAYERS])
def test_layer_repr(layer, text):
    assert repr(layer) == text


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: nn.Conv2d(3, 4, 2, groups=2), ValueError, "in_channels must be divisible"),
        (lambda: nn.Conv2d(4, 3, 2, groups=2), ValueError, "out_channels must be divisible"),
        (lambda: nn.Conv2d(4, 3, 2, groups=0), ValueError, "groups must be a positive integer"),
        (lambda: nn.Conv2d(1, 1, 2, padding="full"), ValueError, "Invalid padding string"),
        (lambda: nn.Conv2d(1, 1, 2, 2, "same"), ValueError, "not supported for strided"),
        (lambda: nn.Conv2d(1, 1, 2, padding_mode="a"), ValueError, "padding_mode must be one of"),
        (lambda: nn.ConvTranspose2d(1, 1, 2, padding_mode="reflect"), ValueError, "Only"),
        (lambda: nn.Conv2d(1, 1, (2, 2, 2)), ValueError, "kernel_size"),
        (lambda: nn.Dropout(1.5), ValueError, "dropout probability has to be between 0 and 1"),
        (lambda: nn.Unflatten(1, 2), TypeError, "unflattened_size must be a tuple of ints"),
        (lambda: nn.Unflatten(1, (2, "a")), TypeError, "found element of type str at pos 1"),
        (lambda: nn.BatchNorm1d(2)(mg.ones(2)), ValueError, r"expected 2D or 3D input \(got 1D"),
        (lambda: nn.BatchNorm2d(2)(mg.ones(2, 2)), ValueError, r"expected 4D input \(got 2D"),
        (lambda: nn.BatchNorm1d(2)(mg.ones(1, 2)), ValueError, "more than 1 value per channel"),
    ],
)
def test_layer_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_default_initialisation_has_torchs_bounds():
    for layer, fan_in in ((nn.Linear(300, 200), 300), (nn.Conv2d(8, 64, (3, 5), groups=2), 60)):
        bound = 1 / math.sqrt(fan_in)
        for value in (layer.weight, layer.bias):
            values = value.detach().numpy()
            assert np.abs(values).max() <= bound
            assert np.abs(values).max() > 0.9 * bound
            assert abs(values.std() - bound / math.sqrt(3)) < 0.15 * bound
    with pytest.warns(UserWarning, match="zero-element"):
        assert nn.Linear(0, 3).bias.tolist() == [0, 0, 0]


def test_layers_obey_the_seed():
    def make():
        mg.manual_seed(5)
        return nn.Linear(4, 4).weight.tolist()

    assert make() == make()


def test_forward_of_shapes_and_pools():
    x = mg.arange(16).float().reshape(1, 1, 4, 4)
    assert nn.MaxPool2d(2)(x).tolist() == [[[[5, 7], [13, 15]]]]
    values, indices = nn.MaxPool2d(2, return_indices=True)(x)
    assert indices.tolist() == [[[[5, 7], [13, 15]]]] and values.shape == (1, 1, 2, 2)
    assert nn.AvgPool2d(2)(x).tolist() == [[[[2.5, 4.5], [10.5, 12.5]]]]
    assert nn.Flatten()(x).shape == (1, 16) and nn.Flatten(0)(x).shape == (16,)
    assert nn.Unflatten(3, (2, -1))(x).shape == (1, 1, 4, 2, 2)
    assert nn.Conv2d(1, 3, 3, padding="same")(x).shape == (1, 3, 4, 4)
    assert nn.Conv2d(1, 3, 2, padding="same")(x).shape == (1, 3, 4, 4)
    assert nn.Conv2d(1, 3, 3, padding="valid")(x[0]).shape == (3, 2, 2)


def test_dropout():
    layer = nn.Dropout(0.25)
    x = mg.ones(100, 100)
    y = layer(x)
    assert set(np.unique(y.numpy()).tolist()) <= {0.0, np.float32(1 / 0.75)}
    assert abs(y.mean().item() - 1) < 0.05
    assert layer.eval()(x).tolist() == x.tolist()
    assert nn.Dropout(1.0)(x).sum().item() == 0 and nn.Dropout(0.0)(x).tolist() == x.tolist()
    z = mg.ones(100)
    assert nn.Dropout(0.5, inplace=True)(z) is z and 0 in z.tolist()


def test_vanilla_dropout():
    """Training: x · mask; evaluation: x · (1 - p). The mask of a seed is that of the usual form."""
    layer, x = nn.Dropout(0.25, inverted=False), mg.ones(1000)
    mg.manual_seed(3)
    plain = layer(x)
    mg.manual_seed(3)
    usual = nn.Dropout(0.25)(x)
    assert set(plain.tolist()) == {0.0, 1.0}
    np.testing.assert_allclose(plain.numpy() / 0.75, usual.numpy(), rtol=1e-6)
    assert (layer.eval()(x) == 0.75).all()
    assert repr(layer) == "Dropout(p=0.25, inplace=False, inverted=False)"
    z = mg.ones(4)
    assert nn.Dropout(0.5, True, inverted=False).eval()(z) is z and z.tolist() == [0.5] * 4


@pytest.mark.parametrize(
    "layer,shape",
    [
        (nn.Dropout1d(0.4), (50, 40, 3)),
        (nn.Dropout1d(0.4), (900, 3)),
        (nn.Dropout2d(0.4, inplace=True), (50, 40, 2, 3)),
        (nn.Dropout3d(0.4), (50, 40, 2, 1, 3)),
    ],
)
def test_dropout_of_channels(layer, shape):
    mg.manual_seed(0)
    x = mg.ones(shape)
    y = layer(x).reshape(-1, 3)
    assert (y == y[:, :1]).all()  # a channel is dropped whole
    assert set(y.reshape(-1).tolist()) == {0.0, mg.tensor(1 / 0.6).item()}
    assert abs((y == 0).float().mean().item() - 0.4) < 0.06
    if layer.inplace:
        assert (x.reshape(-1, 3) == y).all()


@pytest.mark.parametrize("layer", [nn.AlphaDropout(0.3), nn.FeatureAlphaDropout(0.3)])
def test_alpha_dropout_keeps_mean_and_variance(layer):
    mg.manual_seed(0)
    y = layer(mg.randn(400, 300))
    assert abs(y.mean().item()) < 0.02 and abs(y.std().item() - 1) < 0.02
    assert layer.eval()(y) is y


def test_batch_norm_statistics():
    x = mg.randn(64, 3, dtype=mg.float64) * 2 + 1
    for momentum in (0.1, None):
        norm = nn.BatchNorm1d(3, momentum=momentum, dtype=mg.float64)
        y = norm(x)
        assert mg.allclose(y.mean(0), mg.zeros(3, dtype=mg.float64), atol=1e-9)
        assert mg.allclose(y.var(0, correction=0), mg.ones(3, dtype=mg.float64), atol=1e-4)
        norm(2 * x)
        assert norm.num_batches_tracked.item() == 2
        mean = x.mean(0)
        expected = 0.09 * mean + 0.2 * mean if momentum else (mean + 2 * mean) / 2
        assert mg.allclose(norm.running_mean, expected)
        count = norm.num_batches_tracked.item()
        norm.eval()(x)
        assert norm.num_batches_tracked.item() == count
    untracked = nn.BatchNorm1d(3, track_running_stats=False, dtype=mg.float64)
    assert untracked.running_mean is None and list(untracked.state_dict()) == ["weight", "bias"]
    assert mg.allclose(untracked.eval()(x), untracked.train()(x))
    plain = nn.BatchNorm1d(3, affine=False)
    assert plain.weight is None and list(plain.parameters()) == []
    assert nn.BatchNorm1d(3, bias=False).bias is None


def test_losses_have_weights_as_buffers():
    loss = nn.CrossEntropyLoss(weight=mg.tensor([1.0, 2.0]), ignore_index=-1, reduction="sum")
    assert list(loss.state_dict()) == ["weight"]
    logits = mg.tensor([[0.0, 1.0], [2.0, 0.0], [1.0, 1.0]])
    target = mg.tensor([1, 0, -1])
    nll = nn.NLLLoss(weight=mg.tensor([1.0, 2.0]), ignore_index=-1, reduction="sum")
    assert mg.allclose(loss(logits, target), nll(nn.LogSoftmax(1)(logits), target))
    assert loss.double().weight.dtype is mg.float64
    assert nn.MSELoss(reduction="none")(mg.ones(2), mg.zeros(2)).tolist() == [1, 1]
    with pytest.warns(UserWarning, match="reduction='sum'"):
        assert nn.MSELoss(size_average=False).reduction == "sum"


def test_rrelu_draws_its_slopes():
    mg.manual_seed(0)
    x = mg.full((4000,), -2.0)
    slopes = nn.RReLU(0.1, 0.5)(x) / x
    assert slopes.min().item() >= 0.1 and slopes.max().item() <= 0.5 + 1e-6
    assert abs(slopes.mean().item() - 0.3) < 0.01
    assert (nn.RReLU(0.1, 0.5)(-x) == -x).all()
    assert abs(nn.RReLU(0.1, 0.5).eval()(x)[0].item() + 0.6) < 1e-6


def test_gumbel_softmax():
    """The place of the largest is distributed as softmax; hard samples are one-hot with the
    gradient of the soft ones."""
    mg.manual_seed(0)
    logits = mg.tensor([0.0, 1.0, -1.0, 2.0])
    hard = nn.functional.gumbel_softmax(logits.expand(20000, 4), hard=True)
    assert set(hard.reshape(-1).tolist()) <= {0.0, 1.0} and (hard.sum(1) == 1).all()
    np.testing.assert_allclose(hard.mean(0).numpy(), logits.softmax(0).numpy(), atol=0.015)
    x = mg.randn(3, 4).requires_grad_()
    results = []
    for flag in (False, True):
        mg.manual_seed(1)
        y = nn.functional.gumbel_softmax(x, tau=0.7, hard=flag)
        assert np.allclose(y.detach().sum(1).numpy(), 1, atol=1e-6)
        results.append(mg.autograd.grad((y * mg.arange(4.0)).sum(), x)[0].numpy())
    np.testing.assert_allclose(*results, rtol=1e-6)


def test_embeddings_made_of_tables():
    table = mg.arange(12.0).reshape(4, 3)
    frozen = nn.Embedding.from_pretrained(table)
    assert not frozen.weight.requires_grad and frozen(mg.tensor([2])).tolist() == [[6.0, 7.0, 8.0]]
    bag = nn.EmbeddingBag.from_pretrained(table, freeze=False, mode="max")
    assert bag.weight.requires_grad and bag(mg.tensor([[0, 3]])).tolist() == [[9.0, 10.0, 11.0]]
    padded = nn.Embedding(4, 3, padding_idx=-1)
    assert padded.padding_idx == 3 and padded.weight[3].tolist() == [0.0] * 3
