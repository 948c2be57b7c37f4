"""Every row of the layer table, by itself."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from layer_table import all_layers, tensors_in

import minigrad as mg
from minigrad import nn
from minigrad.autograd import gradcheck
from minigrad.kernels import record

LAYERS = all_layers(nn)
pytestmark = pytest.mark.filterwarnings("ignore:Implicit dimension choice")
every_layer = pytest.mark.parametrize("row", LAYERS, ids=repr)


def made(row, dtype=mg.float32):
    mg.manual_seed(7)
    return row.make(nn).to(dtype)


def values(result):
    return [tensor.detach().numpy().copy() for tensor in tensors_in(result)]


def assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("row", [row for row in LAYERS if row.smooth], ids=repr)
def test_gradients(row):
    """Those of inputs and parameters against differences, in float64."""
    module = made(row, mg.float64)
    module.train(not row.random)
    inputs = row.tensors(mg, "float64")
    parameters = [p for p in module.parameters() if p.requires_grad]
    buffers = {name: value.clone() for name, value in module.named_buffers()}

    def call(*operands):
        for name, value in module.named_buffers():
            value.copy_(buffers[name])
        result = tensors_in(row.call(module, *operands[: len(inputs)]))
        return tuple(each for each in result if each.is_floating_point())

    if any(each.requires_grad for each in (*inputs, *parameters)):
        assert gradcheck(call, (*inputs, *parameters))


@every_layer
def test_copies_and_state_dicts_compute_the_same(row):
    module = made(row)
    inputs = row.tensors(mg)
    if not row.random:
        row.call(module, *inputs)  # moves running statistics
    module.eval()
    expected = values(row.call(module, *inputs))
    other = row.make(nn)
    other.load_state_dict(module.state_dict())
    assert_same(values(row.call(copy.deepcopy(module), *inputs)), expected)
    assert_same(values(row.call(other.eval(), *inputs)), expected)


@pytest.mark.parametrize("row", [row for row in LAYERS if row.replay], ids=repr)
def test_replay_is_eager(row):
    """A recorded forward and backward pass does on new values what eager does, bit for bit; random
    numbers come from the same stream."""
    results = []
    for replayed in (False, True):
        module = made(row)
        inputs = row.tensors(mg)
        parameters = [p for p in (*inputs, *module.parameters()) if p.requires_grad]

        def step(module=module, inputs=inputs, parameters=parameters):
            outputs = [t for t in tensors_in(row.call(module, *inputs)) if t.requires_grad]
            if not outputs:
                return []
            total = sum((each * each).sum() for each in outputs)
            grads = mg.autograd.grad(total, parameters, allow_unused=True)
            return [*outputs, *(grad for grad in grads if grad is not None)]

        if replayed:
            with record() as plan:
                kept = step()
        else:
            kept = step()
        with mg.no_grad():
            for tensor, fresh in zip(inputs, row.values(again=1), strict=True):
                tensor.copy_(mg.tensor(fresh))
        if replayed:
            plan.replay()
        else:
            kept = step()
        results.append(values(kept) + [b.numpy().copy() for b in module.buffers()])
    assert_same(*results)
