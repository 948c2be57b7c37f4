"""Rows: attention with several heads, and the Transformer."""

from __future__ import annotations

from layer_table import Layer
from op_table import Real


def itself(**options):
    """Self-attention; masks among the options are made of the second and the third operand."""

    def call(module, x, *masks):
        given = dict(options)
        for name, mask in zip(given.pop("masks", ()), masks, strict=True):
            given[name] = mask > 1 if given.get(name) == "bool" else mask
        return module(x, x, x, **given)

    return call


def _mask(*shape):
    return Real(shape, gradient=False)


def causal(module, x, *others):
    """The encoder with the causal mask of its input."""
    length = x.shape[-2]
    return module(x, *others, x.new_zeros((length, length)).fill_(float("-inf")).triu(1))


_SELF = ((5, 2, 8),)
_MULTIHEAD = [
    Layer(lambda m: m.MultiheadAttention(8, 2), _SELF, itself()),
    Layer(lambda m: m.MultiheadAttention(8, 4), _SELF, itself(need_weights=False)),
    Layer(lambda m: m.MultiheadAttention(8, 2, batch_first=True), _SELF, itself()),
    Layer(
        lambda m: m.MultiheadAttention(8, 2, bias=False, batch_first=True),
        _SELF,
        itself(need_weights=False),
    ),
    Layer(lambda m: m.MultiheadAttention(8, 1), ((5, 8),), itself(average_attn_weights=False)),
    Layer(
        lambda m: m.MultiheadAttention(8, 2, batch_first=True),
        ((5, 8),),
        itself(need_weights=False),
    ),
    Layer(lambda m: m.MultiheadAttention(6, 3), ((4, 2, 6), (5, 2, 6), (5, 2, 6))),
    Layer(lambda m: m.MultiheadAttention(6, 2, kdim=3, vdim=5), ((4, 2, 6), (5, 2, 3), (5, 2, 5))),
    Layer(
        lambda m: m.MultiheadAttention(6, 2, kdim=3, batch_first=True, bias=False),
        ((2, 4, 6), (2, 5, 3), (2, 5, 6)),
        lambda module, *x: module(*x, need_weights=False),
    ),
    Layer(lambda m: m.MultiheadAttention(6, 2, add_bias_kv=True), ((4, 2, 6),), itself()),
    Layer(
        lambda m: m.MultiheadAttention(
            6, 2, add_bias_kv=True, add_zero_attn=True, batch_first=True
        ),
        ((2, 4, 6), _mask(4, 4), _mask(2, 4)),
        itself(
            masks=("attn_mask", "key_padding_mask"),
            need_weights=False,
            attn_mask="bool",
            key_padding_mask="bool",
        ),
    ),
    Layer(
        lambda m: m.MultiheadAttention(6, 2, add_zero_attn=True),
        ((4, 3, 6), _mask(3, 4)),
        itself(masks=("key_padding_mask",)),
    ),
    Layer(
        lambda m: m.MultiheadAttention(6, 2),
        ((4, 3, 6), _mask(6, 4, 4), _mask(3, 4)),
        itself(masks=("attn_mask", "key_padding_mask"), average_attn_weights=False),
    ),
    Layer(
        lambda m: m.MultiheadAttention(6, 2, dropout=0.5),
        ((4, 6), _mask(2, 4, 4)),
        itself(masks=("attn_mask",), need_weights=False),
        random=True,
    ),
    Layer(lambda m: m.MultiheadAttention(6, 2, dropout=0.5), ((4, 6),), itself(), random=True),
]

_SMALL = {"dim_feedforward": 12, "dropout": 0.0}
_TRANSFORMER = [
    Layer(lambda m: m.TransformerEncoderLayer(8, 2, **_SMALL), ((5, 2, 8),)),
    Layer(
        lambda m: m.TransformerEncoderLayer(
            8, 2, activation="gelu", norm_first=True, batch_first=True, bias=False, **_SMALL
        ),
        ((2, 5, 8), _mask(5, 5), _mask(2, 5)),
    ),
    Layer(
        lambda m: m.TransformerEncoderLayer(
            8, 2, 12, 0.3, m.Tanh(), layer_norm_eps=0.1, batch_first=True
        ),
        ((5, 8),),
        random=True,
    ),
    Layer(lambda m: m.TransformerDecoderLayer(8, 2, **_SMALL), ((5, 2, 8), (3, 2, 8))),
    Layer(
        lambda m: m.TransformerDecoderLayer(8, 4, norm_first=True, batch_first=True, **_SMALL),
        ((2, 5, 8), (2, 3, 8), _mask(5, 5), _mask(5, 3), _mask(2, 5), _mask(2, 3)),
    ),
    Layer(
        lambda m: m.TransformerEncoder(
            m.TransformerEncoderLayer(6, 2, batch_first=True, **_SMALL), 2, m.LayerNorm(6)
        ),
        ((2, 5, 6),),
        causal,
        smooth=False,  # their layers are
    ),
    Layer(
        lambda m: m.TransformerDecoder(
            m.TransformerDecoderLayer(6, 2, batch_first=True, **_SMALL), 2
        ),
        ((2, 5, 6), (2, 3, 6)),
        causal,
        smooth=False,  # their layers are
    ),
    Layer(
        lambda m: m.Transformer(
            6, 2, 1, 1, 8, 0.0, activation="gelu", norm_first=True, batch_first=True
        ),
        ((2, 5, 6), (2, 3, 6)),
        smooth=False,
    ),
    Layer(lambda m: m.Transformer(4, 1, 1, 1, 8, 0.0, bias=False), ((5, 4), (3, 4)), smooth=False),
]

LAYERS = [*_MULTIHEAD, *_TRANSFORMER]
