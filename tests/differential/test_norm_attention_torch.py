"""Normalisation and attention: bad calls raise what torch's raise."""

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


def _attend(q, k, v, mask=None, m_dtype=None, **options):
    """A call with operands of those shapes."""

    def call(m, f):
        tensors = [m.ones(*shape) for shape in (q, k, v)]
        dtype = None if m_dtype is None else getattr(m, m_dtype)
        of_mask = None if mask is None else m.ones(*mask).to(dtype)
        return f.scaled_dot_product_attention(*tensors, of_mask, **options)

    return call


BAD |= {
    "sdpa 1-d": _attend((3,), (4, 3), (4, 5)),
    "sdpa widths": _attend((2, 3), (4, 2), (4, 5)),
    "sdpa keys": _attend((2, 3), (4, 3), (3, 5)),
    "sdpa batches": _attend((2, 4, 2, 3), (2, 2, 4, 3), (2, 2, 4, 3)),
    "sdpa mask and causal": _attend((2, 3), (4, 3), (4, 5), (2, 4), "float32", is_causal=True),
    "sdpa mask of integers": _attend((2, 3), (4, 3), (4, 5), (2, 4), "int64"),
    "sdpa mask of float64": _attend((2, 3), (4, 3), (4, 5), (2, 4), "float64"),
    "sdpa mask shape": _attend((2, 3), (4, 3), (4, 5), (2, 3), "float32"),
    "sdpa mask dims": _attend((2, 3), (4, 3), (4, 5), (3, 2, 4), "bool"),
    "sdpa heads": _attend((1, 4, 2, 3), (1, 3, 4, 3), (1, 3, 4, 5), enable_gqa=True),
    "sdpa dropout": _attend((2, 3), (4, 3), (4, 5), dropout_p=1.5),
    "sdpa dtypes": lambda m, f: f.scaled_dot_product_attention(
        m.ones(2, 3), m.ones(2, 3).double(), m.ones(2, 3)
    ),
    "sdpa of integers": lambda m, f: f.scaled_dot_product_attention(
        *[m.ones(2, 3, dtype=m.int64)] * 3
    ),
}


def _multihead(q, k, v, options=None, **masks):
    """A call of nn.MultiheadAttention(6, 2) with operands of those shapes."""

    def call(m, f):
        layer = m.nn.MultiheadAttention(6, 2, **(options or {}))
        given = {
            name: m.zeros(*value) if isinstance(value, tuple) else value
            for name, value in masks.items()
        }
        return layer(m.ones(*q), m.ones(*k), m.ones(*v), **given)

    return call


_SAME = ((4, 3, 6),) * 3
BAD |= {
    "mha heads": lambda m, f: m.nn.MultiheadAttention(6, 4),
    "mha no heads": lambda m, f: m.nn.MultiheadAttention(6, 0),
    "mha no width": lambda m, f: m.nn.MultiheadAttention(0, 1),
    "mha 1-d": _multihead((6,), (6,), (6,)),
    "mha dims": _multihead((4, 3, 6), (4, 6), (4, 6)),
    "mha dims unbatched": _multihead((4, 6), (4, 3, 6), (4, 3, 6)),
    "mha width": _multihead((4, 3, 5), (4, 3, 5), (4, 3, 5)),
    "mha key and value": _multihead((4, 3, 6), (5, 3, 6), (4, 3, 6)),
    "mha key and value apart": _multihead((4, 3, 6), (5, 3, 2), (4, 3, 6), {"kdim": 2}),
    "mha mask shape": _multihead(*_SAME, attn_mask=(3, 4)),
    "mha mask of heads": _multihead(*_SAME, attn_mask=(3, 4, 4)),
    "mha mask dims": _multihead(*_SAME, attn_mask=(4,)),
    "mha padding dims": _multihead(*_SAME, key_padding_mask=(4,)),
    "mha padding shape": _multihead(*_SAME, key_padding_mask=(3, 3)),
    "mha causal without a mask": _multihead(*_SAME, is_causal=True),
    "transformer activation": lambda m, f: m.nn.TransformerEncoderLayer(4, 2, activation="swish"),
    "transformer batches": lambda m, f: m.nn.Transformer(4, 2, 1, 1, 8)(
        m.ones(5, 2, 4), m.ones(5, 3, 4)
    ),
    "transformer width": lambda m, f: m.nn.Transformer(4, 2, 1, 1, 8)(m.ones(5, 4), m.ones(5, 3)),
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


def test_the_causal_mask_and_its_hint():
    ours, theirs = (m.nn.Transformer.generate_square_subsequent_mask(5) for m in (mg, torch))
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    layer = mg.nn.MultiheadAttention(6, 2, batch_first=True)
    x = mg.randn(2, 5, 6)
    by_mask, _ = layer(x, x, x, attn_mask=ours, need_weights=False)
    by_hint, _ = layer(x, x, x, attn_mask=ours, need_weights=False, is_causal=True)
    np.testing.assert_allclose(by_mask.detach(), by_hint.detach(), rtol=1e-5, atol=1e-6)


def test_static_keys_and_values():
    rng = np.random.default_rng(0)
    shapes = [(4, 3, 6), (18, 6), (18,), (6, 6), (6,), (6, 5, 3), (6, 5, 3)]
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    found = []
    for m in (mg, torch):
        x, w, b, w_out, b_out, k, v = map(m.tensor, arrays)
        y, weights = m.nn.functional.multi_head_attention_forward(
            x, x, x, 6, 2, w, b, None, None, False, 0.0, w_out, b_out, static_k=k, static_v=v
        )
        found.append((y.numpy(), weights.numpy()))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
