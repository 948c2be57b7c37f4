"""Every row of the layer table side by side with torch."""

from __future__ import annotations

import numpy as np
import pytest
from layer_table import all_layers, tensors_in

import minigrad as mg
from minigrad import nn

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore:Implicit dimension choice"),
    pytest.mark.filterwarnings("ignore::UserWarning:torch"),
]


def both(make):
    """The same layer of both libraries, ours with torch's values, loaded without renaming."""
    ours, theirs = make(nn), make(torch.nn)
    found, wanted = ours.state_dict(), theirs.state_dict()
    assert list(found) == list(wanted)
    for name, value in found.items():
        assert tuple(value.shape) == tuple(wanted[name].shape), name
        assert str(value.dtype).split(".")[1] == str(wanted[name].dtype).split(".")[1], name
    ours.load_state_dict({name: value.numpy() for name, value in wanted.items()})
    theirs.load_state_dict({k: torch.from_numpy(v.numpy()) for k, v in ours.state_dict().items()})
    return ours, theirs


def compare(ours, theirs, tolerance):
    """Values relative to the largest of them."""
    assert str(ours.dtype).split(".")[1] == str(theirs.dtype).split(".")[1]
    a, b = ours.detach().numpy(), theirs.detach().numpy()
    assert a.shape == b.shape
    scale = max(1.0, np.abs(b, where=np.isfinite(b), out=np.zeros_like(b)).max(initial=0.0))
    np.testing.assert_allclose(a, b, tolerance, tolerance * scale)


def compare_all(ours, theirs, tolerance):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            compare(a, b, tolerance)


@pytest.mark.parametrize("row", all_layers(nn), ids=repr)
def test_layers(row):
    ours, theirs = both(row.make)
    assert repr(ours) == repr(theirs)
    for mode in (False,) if row.random else (True, True, False):
        ours.train(mode)
        theirs.train(mode)
        ours.zero_grad()
        theirs.zero_grad()
        x, t = row.tensors(mg), row.tensors(torch)
        y, u = tensors_in(row.call(ours, *x)), tensors_in(row.call(theirs, *t))
        compare_all(y, u, row.tolerance)
        assert [each.requires_grad for each in y] == [each.requires_grad for each in u]
        for each, other in zip(y, u, strict=True):
            if each.requires_grad:
                grad = np.random.standard_normal(each.shape).astype(np.float32)
                each.backward(mg.tensor(grad), retain_graph=True)
                other.backward(torch.tensor(grad), retain_graph=True)
        compare_all([each.grad for each in x], [each.grad for each in t], row.tolerance)
        compare_all(
            [each.grad for each in ours.parameters()],
            [each.grad for each in theirs.parameters()],
            5 * row.tolerance,
        )
        for name, value in ours.state_dict().items():
            compare(value, theirs.state_dict()[name], row.tolerance)
