"""Normalisation: bad calls raise what torch's raise; the state that layers move."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:.*num_features:UserWarning")]

BAD = {
    "layer_norm of integers": lambda m, f: f.layer_norm(m.ones(2, 3, dtype=m.int64), (3,)),
    "layer_norm shape": lambda m, f: f.layer_norm(m.ones(2, 3), (4,)),
    "layer_norm dims": lambda m, f: f.layer_norm(m.ones(3), (2, 3)),
    "layer_norm int": lambda m, f: f.layer_norm(m.ones(2, 3), 3),
    "layer_norm nothing": lambda m, f: f.layer_norm(m.ones(2, 3), ()),
    "layer_norm weight": lambda m, f: f.layer_norm(m.ones(2, 3), (3,), m.ones(4)),
    "layer_norm bias": lambda m, f: f.layer_norm(m.ones(2, 3), (3,), m.ones(3), m.ones(1)),
    "layer_norm dtypes": lambda m, f: f.layer_norm(m.ones(2, 3), (3,), m.ones(3).double()),
    "rms_norm of integers": lambda m, f: f.rms_norm(m.ones(2, 3, dtype=m.int64), (3,)),
    "rms_norm shape": lambda m, f: f.rms_norm(m.ones(2, 3), (2,)),
    "rms_norm int": lambda m, f: f.rms_norm(m.ones(2, 3), 3),
    "rms_norm weight": lambda m, f: f.rms_norm(m.ones(2, 3), (3,), m.ones(2, 3)),
    "group_norm of integers": lambda m, f: f.group_norm(m.ones(2, 4, dtype=m.int64), 2),
    "group_norm channels": lambda m, f: f.group_norm(m.ones(2, 3), 2),
    "group_norm 1-d": lambda m, f: f.group_norm(m.ones(3), 3),
    "group_norm weight": lambda m, f: f.group_norm(m.ones(2, 4), 2, m.ones(3)),
    "group_norm bias": lambda m, f: f.group_norm(m.ones(2, 4), 2, m.ones(4), m.ones(2)),
    "group_norm of one value": lambda m, f: f.group_norm(m.ones(1, 2), 2),
    "group_norm no group": lambda m, f: f.group_norm(m.ones(2, 4), 0),
    "group_norm negative": lambda m, f: f.group_norm(m.ones(2, 4), -1),
    "group_norm dtypes": lambda m, f: f.group_norm(m.ones(2, 4), 2, m.ones(4).double()),
    "GroupNorm channels": lambda m, f: m.nn.GroupNorm(3, 4),
    "GroupNorm no group": lambda m, f: m.nn.GroupNorm(0, 4),
    "instance_norm of one value": lambda m, f: f.instance_norm(m.ones(2, 3, 1)),
    "instance_norm running": lambda m, f: f.instance_norm(m.ones(2, 3, 4), use_input_stats=False),
    "instance_norm weight": lambda m, f: f.instance_norm(m.ones(2, 3, 4), weight=m.ones(2)),
    "instance_norm of integers": lambda m, f: f.instance_norm(m.ones(2, 3, 4, dtype=m.int64)),
    "InstanceNorm1d dims": lambda m, f: m.nn.InstanceNorm1d(3)(m.ones(3)),
    "InstanceNorm2d dims": lambda m, f: m.nn.InstanceNorm2d(3)(m.ones(3, 4)),
    "InstanceNorm3d dims": lambda m, f: m.nn.InstanceNorm3d(3)(m.ones(3, 4)),
    "InstanceNorm1d features": lambda m, f: m.nn.InstanceNorm1d(3, affine=True)(m.ones(2, 4, 5)),
    "BatchNorm3d dims": lambda m, f: m.nn.BatchNorm3d(2)(m.ones(2, 2, 4, 4)),
    "batch_norm eps": lambda m, f: f.batch_norm(m.ones(4, 2), None, None, training=True, eps=0.0),
    "local_response_norm dims": lambda m, f: f.local_response_norm(m.ones(2, 3), 2),
    "local_response_norm size": lambda m, f: f.local_response_norm(m.ones(2, 3, 4), 0),
}


@pytest.mark.parametrize("name", BAD)
def test_errors_are_torchs(name):
    with pytest.raises(Exception) as expected:
        BAD[name](torch, torch.nn.functional)
    with pytest.raises(expected.type) as found:
        BAD[name](mg, mg.nn.functional)
    assert str(found.value)


def test_an_instance_norm_of_other_channels_warns_and_computes():
    x = np.random.standard_normal((4, 5)).astype(np.float32)
    results = []
    for m in (mg, torch):
        with pytest.warns(UserWarning, match="num_features"):
            results.append(m.nn.InstanceNorm1d(3)(m.tensor(x)).numpy())
    np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-6)


def test_rms_norm_of_two_dtypes():
    x, w = np.random.standard_normal((4, 5)).astype(np.float32), np.random.standard_normal(5)
    ours = mg.nn.functional.rms_norm(mg.tensor(x), (5,), mg.tensor(w))
    theirs = torch.nn.functional.rms_norm(torch.tensor(x), (5,), torch.tensor(w))
    assert str(ours.dtype).split(".")[1] == str(theirs.dtype).split(".")[1]
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5)
