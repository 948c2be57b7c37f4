"""Every row of the layer table, by itself."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from layer_table import all_layers, tensors_in

import minigrad as mg
from minigrad import nn
from minigrad.autograd import gradcheck

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
    """Compiled steps of training, then of evaluation, then of training again, do on new values what
    eager does, bit for bit; random numbers come from the same stream."""
    results = []
    for compiled in (False, True):
        module = made(row)
        parameters = list(module.parameters())
        optimizer = mg.optim.SGD(parameters, lr=0.01, momentum=0.9) if parameters else None

        def step(*inputs, module=module, optimizer=optimizer):
            outputs = tensors_in(row.call(module, *inputs))
            differentiable = [t for t in outputs if t.requires_grad]
            grads = []
            if differentiable:
                total = sum((each * each).sum() for each in differentiable)
                leaves = [p for p in (*inputs, *module.parameters()) if p.requires_grad]
                grads = mg.autograd.grad(total, leaves, allow_unused=True)
                for leaf, grad in zip(leaves, grads, strict=True):
                    if isinstance(leaf, nn.Parameter):
                        leaf.grad = grad
                if optimizer is not None and module.training:
                    optimizer.step()
            return [*(t.detach() for t in outputs), *(grad for grad in grads if grad is not None)]

        run = mg.compile(step) if compiled else step
        kept = []
        for again, training in enumerate((True, True, True, False, False, True)):
            module.train(training)
            kept += values(run(*row.tensors(mg, again=again)))
            kept += [each.numpy().copy() for each in module.state_dict().values()]
        results.append(kept)
    assert_same(*results)
    assert run.recordings
