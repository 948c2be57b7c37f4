"""Sequential, ParameterList, ParameterDict: what the layer table does not say of them."""

from __future__ import annotations

from collections import OrderedDict

import pytest

import minigrad as mg
from minigrad import nn


def test_sequential_is_a_list():
    layers = [nn.Linear(1, 1), nn.ReLU(), nn.Tanh()]
    net = nn.Sequential(*layers)
    assert len(net) == 3 and list(net) == layers and net[-1] is layers[2]
    assert list(net[1:]) == layers[1:] and isinstance(net[:1], nn.Sequential)
    net.append(nn.Sigmoid())
    net.insert(1, nn.Identity())
    assert [type(m).__name__ for m in net] == ["Linear", "Identity", "ReLU", "Tanh", "Sigmoid"]
    assert list(net._modules) == ["0", "1", "2", "3", "4"]
    del net[1]
    assert list(net._modules) == ["0", "1", "2", "3"] and net[1] is layers[1]
    del net[2:]
    assert list(net) == layers[:2]
    net.extend([nn.Tanh()])
    assert isinstance(net.pop(-1), nn.Tanh) and len(net) == 2
    net[0] = layers[2]
    assert net[0] is layers[2]
    assert len(net + net) == 4 and len(net * 3) == 6
    net += nn.Sequential(nn.ReLU())
    assert len(net) == 3
    net *= 2
    assert len(net) == 6
    for call, error in (
        (lambda: net[9], IndexError),
        (lambda: net.insert(99, nn.ReLU()), IndexError),
        (lambda: net.insert(0, 1), AssertionError),
        (lambda: net + 1, ValueError),
        (lambda: net * 0, ValueError),
        (lambda: net * "a", TypeError),
        (lambda: nn.Sequential(1), TypeError),
    ):
        with pytest.raises(error):
            call()


def test_sequential_with_names():
    net = nn.Sequential(OrderedDict(a=nn.Linear(1, 2), b=nn.ReLU()))
    assert net.a is net[0] and list(net.state_dict()) == ["a.weight", "a.bias"]
    assert list(net[:1]._modules) == ["a"]
    assert net(mg.ones(1)).shape == (2,)


def test_parameter_list():
    first, second = nn.Parameter(mg.ones(2)), mg.zeros(3, 4)
    parameters = nn.ParameterList([first, second, "text"])
    assert len(parameters) == 3 and parameters[0] is first and parameters[-1] == "text"
    assert isinstance(parameters[1], nn.Parameter)
    assert list(parameters.state_dict()) == ["0", "1"]
    assert [tuple(p.shape) for p in parameters.parameters()] == [(2,), (3, 4)]
    parameters += [mg.ones(1)]
    parameters[0] = mg.ones(5)
    assert tuple(parameters[0].shape) == (5,) and len(parameters[1:3]) == 2
    assert repr(parameters[:2]) == (
        "ParameterList(\n"
        "    (0): Parameter containing: [minigrad.float32 of size 5]\n"
        "    (1): Parameter containing: [minigrad.float32 of size 3x4]\n)"
    )
    with pytest.raises(IndexError):
        parameters[4]
    with pytest.raises(TypeError):
        parameters.extend(3)
    with pytest.raises(RuntimeError):
        parameters(1)


def test_parameter_dict():
    parameters = nn.ParameterDict({"b": mg.ones(2), "a": mg.zeros(1)})
    assert list(parameters) == ["a", "b"]  # sorted, as a plain dict is in torch
    parameters["c"] = 3
    assert list(parameters.state_dict()) == ["a", "b"] and parameters["c"] == 3
    assert parameters.get("d", 4) == 4 and "d" not in parameters
    assert parameters.setdefault("d", mg.ones(1)) is parameters["d"]
    assert isinstance(parameters["d"], nn.Parameter)
    assert parameters.pop("c") == 3 and parameters.popitem()[0] == "d"
    joined = parameters | nn.ParameterDict({"z": mg.ones(4)})
    assert list(joined) == ["a", "b", "z"] and len(parameters) == 2
    assert joined["a"] is parameters["a"]
    assert repr(parameters) == (
        "ParameterDict(\n"
        "    (a): Parameter containing: [minigrad.FloatTensor of size 1]\n"
        "    (b): Parameter containing: [minigrad.FloatTensor of size 2]\n)"
    )
    for bad, kind in ((3, TypeError), ([3], TypeError), ([(1, 2, 3)], ValueError)):
        with pytest.raises(kind):
            parameters.update(bad)
    with pytest.raises(KeyError):
        parameters["missing"]
    parameters.clear()
    assert not len(parameters) and not list(parameters.parameters())
