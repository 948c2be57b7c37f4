"""Optimizers: state dictionaries both ways, copies, named parameters."""

from __future__ import annotations

import copy
import pickle

import pytest
from optim_table import CASES, SHAPES, make_parameters, one

import minigrad as mg
from minigrad import nn, optim


def test_state_dict_has_torchs_layout():
    parameters = make_parameters(shapes=[(2,), (3,)])
    optimizer = optim.Adam([{"params": parameters[:1]}, {"params": parameters[1:], "lr": 1.0}])
    parameters[1].grad = mg.ones(3, dtype=mg.float64)
    optimizer.step()
    state = optimizer.state_dict()
    assert list(state) == ["state", "param_groups"] and list(state["state"]) == [1]
    assert list(state["state"][1]) == ["step", "exp_avg", "exp_avg_sq"]
    assert state["state"][1]["step"].dtype is mg.float32 and state["state"][1]["step"].shape == ()
    assert [group["params"] for group in state["param_groups"]] == [[0], [1]]
    assert type(state["param_groups"][0]) is dict
    assert list(state["param_groups"][0]) == [
        "lr", "betas", "eps", "weight_decay", "amsgrad", "maximize", "foreach", "capturable",
        "differentiable", "fused", "decoupled_weight_decay", "params",
    ]  # fmt: skip
    momentum = optim.SGD(parameters[1:], momentum=0.9)
    momentum.step()
    assert list(momentum.state_dict()["state"][0]) == ["momentum_buffer"]
    assert list(momentum.state_dict()["param_groups"][0]) == [
        "lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize", "foreach",
        "differentiable", "fused", "params",
    ]  # fmt: skip


@pytest.mark.parametrize(("kind", "_", "options", "__"), CASES)
def test_training_continues_from_a_state_dict(kind, _, options, __):
    first = make_parameters()
    optimizer = kind(first, **options)
    gradients = [[mg.randn(s, dtype=mg.float64) for s in SHAPES] for _ in range(4)]

    def run(parameters, chosen, steps):
        for row in steps:
            for parameter, gradient in zip(parameters, row, strict=True):
                parameter.grad = gradient
            chosen.step()

    run(first, optimizer, gradients[:2])
    second = [nn.Parameter(p.detach().clone()) for p in first]
    other = kind(second, lr=123.0)
    other.load_state_dict(optimizer.state_dict())
    run(first, optimizer, gradients[2:])
    run(second, other, gradients[2:])
    for a, b in zip(first, second, strict=True):
        assert a.tolist() == b.tolist()
    assert other.param_groups[0]["lr"] == options["lr"]
    for entry, loaded in zip(optimizer.state.values(), other.state.values(), strict=True):
        assert all(entry[name].data_ptr() != loaded[name].data_ptr() for name in entry
                   if entry[name].numel())  # fmt: skip


def test_state_is_loaded_in_the_parameters_dtype():
    (p,) = make_parameters(shapes=[(2,)])
    p.grad = mg.ones(2, dtype=mg.float64)
    optimizer = optim.Adam([p])
    optimizer.step()
    q = nn.Parameter(p.detach().float())
    q.grad = mg.ones(2)
    other = optim.Adam([q])
    other.load_state_dict(optimizer.state_dict())
    other.step()
    assert other.state[q]["exp_avg"].dtype is mg.float32


def test_load_state_dict_refuses_other_groups():
    a, b = make_parameters(shapes=[(2,), (3,)])
    one_group = optim.SGD([a, b])
    with pytest.raises(ValueError, match="different number of parameter groups"):
        one_group.load_state_dict(optim.SGD([{"params": a}, {"params": b}]).state_dict())
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        one_group.load_state_dict(optim.SGD([a]).state_dict())


def test_groups_copy_as_plain_dictionaries():
    p, optimizer = one(lr=0.1)
    group = optimizer.param_groups[0]
    for copied in (copy.copy(group), group.copy(), copy.deepcopy(group),
                   pickle.loads(pickle.dumps(group))):  # fmt: skip
        assert type(copied) is dict and copied["lr"] == 0.1
        copied["lr"] = 5.0
    assert group["lr"] == 0.1
    optimizer.step()
    assert p.tolist() == pytest.approx([-0.1, -0.1])


@pytest.mark.parametrize("how", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_optimizers_copy_with_their_parameters(how):
    p, optimizer = one(optim.Adam, lr=0.1)
    optimizer.step()
    q, copied = how((p, optimizer))
    assert copied.param_groups[0]["params"][0] is q
    for parameter, each in ((p, optimizer), (q, copied)):
        parameter.grad = mg.ones(2, dtype=mg.float64)
        each.step()
    assert q.tolist() == p.tolist()
    copied.param_groups[0]["lr"] = 7.0
    copied.step()
    assert q.tolist() != p.tolist() and optimizer.param_groups[0]["lr"] == 0.1


def test_named_parameters():
    net = nn.Linear(2, 2)
    optimizer = optim.SGD(net.named_parameters(), lr=0.1)
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]
    with pytest.raises(ValueError, match="with/without names"):
        optimizer.add_param_group({"params": [nn.Parameter(mg.ones(1))]})
    with pytest.raises(ValueError, match="Some param names are missing"):
        optim.SGD([("a", net.weight), net.bias])
