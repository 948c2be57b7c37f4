"""Pruning: masks held while training, zeros counted, and shrinking that keeps the function."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.nn.utils import prune


def test_the_mask_is_held_while_training():
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    original = net[0].weight
    prune.l1_unstructured(net[0], "weight", amount=0.75)
    assert net[0].weight_orig is original and list(net[0].state_dict()) == [
        "bias", "weight_orig", "weight_mask",
    ]  # fmt: skip
    zeros = net[0].weight_mask == 0
    assert int(zeros.sum()) == 36
    smallest = np.sort(np.abs(original.detach().numpy()).ravel())[36]
    assert (original.detach()[zeros].abs() < smallest + 1e-9).all()
    optimizer = optim.Adam(net.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        (net(mg.randn(4, 6)) ** 2).sum().backward()
        optimizer.step()
    assert (net[0].weight[zeros] == 0).all() and (original.grad[zeros] == 0).all()
    assert not (net[0].weight[~zeros] == 0).any()
    prune.remove(net[0], "weight")
    assert net[0].weight is original and (original[zeros] == 0).all()
    assert list(net[0].state_dict()) == ["bias", "weight"] and not prune.is_pruned(net)


def test_pruning_again_takes_of_what_is_left():
    layer = nn.Linear(10, 10)
    prune.random_unstructured(layer, "weight", 0.5)
    prune.ln_structured(layer, "weight", amount=2, n=1, dim=0)
    prune.l1_unstructured(layer, "weight", 5)
    (method,) = [hook.function for hook in layer._forward_pre_hooks.values()]
    assert isinstance(method, prune.PruningContainer) and len(method) == 3
    rows = (layer.weight_mask.sum(1) == 0).sum().item()
    zeros = (layer.weight_mask == 0).sum().item()
    assert rows >= 2 and zeros >= 60 and (layer.weight == 0).sum().item() == zeros


def test_a_failed_pruning_leaves_the_module_as_it_was():
    layer = nn.Linear(3, 3)
    weight = layer.weight
    with pytest.raises(ValueError):
        prune.l1_unstructured(layer, "weight", 100)
    assert layer.weight is weight and not prune.is_pruned(layer)
    prune.identity(layer, "weight")
    with pytest.raises(ValueError):
        prune.l1_unstructured(layer, "weight", 100)
    assert prune.is_pruned(layer)
    layer(mg.ones(1, 3)).sum().backward()
    assert weight.grad is not None
    prune.remove(layer, "weight")


def test_sparsity_sees_what_forward_sees():
    net = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 2))
    prune.l1_unstructured(net[0], "weight", 0.5)
    net[1].bias.data = mg.zeros(2)
    nn.utils.parametrizations.weight_norm(net[1])
    found = prune.sparsity(net)
    assert {layer.name: (layer.zeros, layer.total) for layer in found.layers} == {
        "0.weight": (10, 20), "0.bias": (0, 5), "1.weight": (0, 10), "1.bias": (2, 2),
    }  # fmt: skip
    assert (found.zeros, found.total) == (12, 37) and found.fraction == 12 / 37
    assert "0.weight         10 of        20   50.00%" in str(found)
    speed = prune.compare_speed(net, net, mg.randn(2, 4), repeats=3)
    assert speed.dense > 0 and "times as fast" in str(speed) and net.training


def _convnet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 2),
        nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(8 * 4, 10), nn.Tanh(),
        nn.Linear(10, 4),
    )  # fmt: skip


NETS = {
    "mlp": (
        lambda: nn.Sequential(nn.Linear(7, 9), nn.BatchNorm1d(9), nn.Sigmoid(), nn.Linear(9, 5),
                              nn.ReLU(), nn.Linear(5, 3, bias=False)),
        (4, 7),
        [0, 3],
    ),
    "conv": (_convnet, (2, 1, 8, 8), [0, 4, 8]),
    "padded": (
        lambda: nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(),
                              nn.Conv2d(6, 3, 3, padding=1), nn.Softmax(1), nn.Conv2d(3, 2, 1)),
        (2, 2, 5, 5),
        [0, 2],
    ),
    "last layer without bias": (
        lambda: nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 2, bias=False)),
        (4, 3),
        [0],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("amount", [0.5, 1.0])
@pytest.mark.parametrize("held", [True, False], ids=["held", "removed"])
def test_shrinking_keeps_the_function(name, amount, held):
    make, shape, places = NETS[name]
    net = make()
    x = mg.randn(shape)
    net(x)  # statistics
    for place in places:
        prune.ln_structured(net[place], "weight", amount, n=2, dim=0)
        if not held:
            prune.remove(net[place], "weight")
    net.eval()
    small = prune.shrink(net)
    assert mg.allclose(small(x), net(x), atol=1e-5)
    count = [sum(p.numel() for p in each.parameters()) for each in (small, net)]
    assert count[0] < count[1] and not prune.is_pruned(small)
    assert small[places[0]].weight.shape[0] < net[places[0]].weight.shape[0]
    assert (small[-1].weight.shape[0]) == net[-1].weight.shape[0]
    assert mg.allclose(prune.shrink(small)(x), net(x), atol=1e-5)


def test_shrinking_takes_units_that_nobody_reads():
    net = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2))
    prune.ln_structured(net[2], "weight", 2, n=1, dim=1)
    small = prune.shrink(net)
    assert small[0].out_features == small[2].in_features == 4 and small.training
    x = mg.randn(5, 3)
    assert mg.allclose(small(x), net(x), atol=1e-6)


def test_shrinking_leaves_what_it_does_not_understand():
    net = nn.Sequential(nn.Linear(4, 4), nn.Softmax(1), nn.Linear(4, 2))
    prune.ln_structured(net[0], "weight", 2, n=1, dim=0)
    small = prune.shrink(net)
    assert small[0].weight.shape == (4, 4)
    mixed = nn.Sequential(nn.Linear(4, 3), nn.Flatten(), nn.Linear(6, 2))  # on (N, 2, 4)
    prune.ln_structured(mixed[0], "weight", 2, n=1, dim=0)
    x = mg.randn(5, 2, 4)
    assert mg.allclose(prune.shrink(mixed)(x), mixed(x))
    with pytest.raises(TypeError, match="expected a Sequential"):
        prune.shrink(nn.Linear(2, 2))
