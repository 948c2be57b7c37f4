"""Attention with several heads: projections, masks, the joining of heads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..dtypes import bool_
from ..ops.elementwise import where
from ..ops.matmul import linear, matmul
from ..ops.shape import cat
from ..ops.softmax import Softmax
from ..tensor import Tensor
from .attention import scaled_dot_product_attention
from .dropouts import dropout

__all__ = ["multi_head_attention_forward"]


def _require(condition: bool, message: str) -> None:
    """torch raises AssertionError for what does not fit here."""
    if not condition:
        raise AssertionError(message)


@dataclass
class Heads:
    """The weights and options of an attention with several heads, under torch's names.

    in_proj_weight (3E, E), or the three (E, E), (E, kdim) and (E, vdim); in_proj_bias (3E); bias_k
    and bias_v (1, 1, E); out_proj_weight (E, E), out_proj_bias (E).
    """

    embed_dim: int
    num_heads: int
    in_proj_weight: Tensor | None
    in_proj_bias: Tensor | None
    out_proj_weight: Tensor
    out_proj_bias: Tensor | None
    bias_k: Tensor | None = None
    bias_v: Tensor | None = None
    add_zero_attn: bool = False
    separate_weights: tuple[Tensor | None, Tensor | None, Tensor | None] | None = None
    dropout_p: float = 0.0
    batch_first: bool = False

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """Query, key and value of all heads, each (..., E)."""
        bias = self.in_proj_bias
        if self.separate_weights is None:
            weight = self.in_proj_weight
            if weight is None:
                raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
            if query is key and key is value:
                return list(linear(query, weight, bias).chunk(3, -1))
            weights: Any = weight.chunk(3)
        else:
            weights = self.separate_weights
            for name, each in zip("qkv", weights, strict=True):
                _require(
                    each is not None,
                    f"use_separate_proj_weight is True but {name}_proj_weight is None",
                )
        biases: Any = (None, None, None) if bias is None else bias.chunk(3)
        operands = (query, key, value)
        return [linear(*each) for each in zip(operands, weights, biases, strict=True)]

    def split(self, projected: Tensor) -> Tensor:
        """(N, L, E), or (L, N, E) unless batch_first, as (N, heads, L, E / heads)."""
        apart = projected.unflatten(-1, (self.num_heads, self.embed_dim // self.num_heads))
        return apart.transpose(1, 2) if self.batch_first else apart.permute(1, 2, 0, 3)

    def join(self, heads: Tensor) -> Tensor:
        """The opposite of ``split``."""
        turned = heads.transpose(1, 2) if self.batch_first else heads.permute(2, 0, 1, 3)
        return turned.flatten(-2)


def _check_dims(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None,
    attn_mask: Tensor | None,
) -> bool:
    """Whether there is a batch."""
    dims = query.ndim
    _require(
        dims in (2, 3), f"query should be unbatched 2D or batched 3D, but received {dims}-D query"
    )
    _require(
        key.ndim == dims and value.ndim == dims,
        f"For a {dims}-D query, expected {dims}-D key and value, but found {key.ndim}-D and "
        f"{value.ndim}-D",
    )
    if key_padding_mask is not None:
        _require(
            key_padding_mask.ndim == dims - 1,
            f"For a {dims}-D query, expected a {dims - 1}-D key_padding_mask but found "
            f"{key_padding_mask.ndim}-D",
        )
    if attn_mask is not None:
        _require(
            attn_mask.ndim in (2, 3),
            f"Expected attn_mask to be None, 2-D or 3-D but found {attn_mask.ndim}-D",
        )
    return dims == 3


def _as_added(mask: Tensor, name: str, like: Tensor) -> Tensor:
    """A mask as numbers that are added to the scores: here true of bool means not seen."""
    if mask.dtype is bool_:
        return where(mask, -math.inf, 0.0).to(like.dtype)
    _require(mask.is_floating_point(), f"only bool and floating types of {name} are supported")
    return mask


def _merged_mask(
    query: Tensor,
    attn_mask: Tensor | None,
    key_padding_mask: Tensor | None,
    sizes: tuple[int, int, int, int],
    more_keys: int,
) -> Tensor | None:
    """Both masks as one that is added to scores (N, heads, L, S + more_keys); further keys, which
    come last, are seen."""
    samples, heads, length, keys = sizes
    merged = None
    if attn_mask is not None:
        shape, wanted = tuple(attn_mask.shape), (length, keys)
        if attn_mask.ndim == 3:
            wanted = (samples * heads, *wanted)  # type: ignore[assignment]
        if shape != wanted:
            raise RuntimeError(
                f"The shape of the {attn_mask.ndim}D attn_mask is {shape}, but should be {wanted}."
            )
        merged = _as_added(attn_mask, "attn_mask", query)
        leading = (samples, heads) if attn_mask.ndim == 3 else (1, 1)
        merged = _followed(merged.reshape(*leading, length, keys), more_keys)
    if key_padding_mask is not None:
        shape = tuple(key_padding_mask.shape)
        _require(
            shape == (samples, keys),
            f"Expected key_padding_mask of shape {(samples, keys)}, but got {shape}",
        )
        padding = _as_added(key_padding_mask, "key_padding_mask", query)
        padding = _followed(padding.reshape(samples, 1, 1, keys), more_keys)
        merged = padding if merged is None else merged + padding
    return merged


def _followed(mask: Tensor, more: int) -> Tensor:
    return cat([mask, mask.new_zeros((*mask.shape[:-1], more))], -1) if more else mask


def _with_more_keys(heads: Heads, given: Tensor, bias: Tensor | None) -> Tensor:
    """Keys or values (N, heads, S, D) with the learned one and the zero one behind them."""
    samples, _, _, width = given.shape
    parts = [given]
    if bias is not None:
        one = bias.reshape(1, heads.num_heads, 1, width)
        parts.append(one.expand(samples, heads.num_heads, 1, width))
    if heads.add_zero_attn:
        parts.append(given.new_zeros((samples, heads.num_heads, 1, width)))
    return cat(parts, 2) if len(parts) > 1 else given


def _weigh(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, p: float
) -> tuple[Tensor, Tensor]:
    """The attention of each head and its weights."""
    scores = matmul(query, key.mT) * (1.0 / math.sqrt(query.shape[-1]))
    if mask is not None:
        scores = scores + mask
    weights = dropout(Softmax(3).apply(scores), p) if p > 0 else Softmax(3).apply(scores)
    return matmul(weights, value), weights


def attend(
    heads: Heads,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None,
    need_weights: bool,
    attn_mask: Tensor | None,
    average_attn_weights: bool,
    is_causal: bool,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """The attention of ``multi_head_attention_forward``, of (N, L, E) where batch_first."""
    batched = _check_dims(query, key, value, key_padding_mask, attn_mask)
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint: make it by "
            "Transformer.generate_square_subsequent_mask"
        )
    if not batched:
        together = query is key and key is value
        place = 0 if heads.batch_first else 1
        query = query.unsqueeze(place)
        key, value = (query, query) if together else (key.unsqueeze(place), value.unsqueeze(place))
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    embed_dim, num_heads = heads.embed_dim, heads.num_heads
    _require(
        query.shape[-1] == embed_dim,
        f"was expecting embedding dimension of {embed_dim}, but got {query.shape[-1]}",
    )
    _require(
        embed_dim % num_heads == 0, f"embed_dim {embed_dim} not divisible by num_heads {num_heads}"
    )
    same = slice(2) if heads.separate_weights is not None else slice(3)
    _require(
        key.shape[same] == value.shape[same],
        f"key shape {list(key.shape)} does not match value shape {list(value.shape)}",
    )
    _require(
        (heads.bias_k is None) == (heads.bias_v is None), "only one of bias_k and bias_v is set"
    )
    q, k, v = map(heads.split, heads.project(query, key, value))
    if static_k is not None:
        k = _static(static_k, "static_k", q, heads.bias_k)
    if static_v is not None:
        v = _static(static_v, "static_v", q, heads.bias_v)
    samples, _, length, _ = q.shape
    sizes = (samples, num_heads, length, k.shape[2])
    causal = is_causal and key_padding_mask is None and not need_weights
    k, v = _with_more_keys(heads, k, heads.bias_k), _with_more_keys(heads, v, heads.bias_v)
    more = k.shape[2] - sizes[3]
    mask = _merged_mask(query, None if causal else attn_mask, key_padding_mask, sizes, more)
    weights = None
    if need_weights:
        joined, weights = _weigh(q, k, v, mask, heads.dropout_p)
        weights = weights.mean(1) if average_attn_weights else weights
        weights = weights if batched else weights.squeeze(0)
    else:
        joined = scaled_dot_product_attention(q, k, v, mask, heads.dropout_p, causal)
    output = linear(heads.join(joined), heads.out_proj_weight, heads.out_proj_bias)
    if not batched:
        output = output.squeeze(0 if heads.batch_first else 1)
    return output, weights


def _static(given: Tensor, name: str, query: Tensor, bias: Tensor | None) -> Tensor:
    """Keys or values (N · heads, S, D) that are used instead of the projected ones."""
    samples, heads, _, width = query.shape
    _require(bias is None, f"bias cannot be added to {name}")
    _require(
        given.shape[0] == samples * heads and given.shape[2] == width,
        f"expecting {name} of shape ({samples * heads}, S, {width}), but got {list(given.shape)}",
    )
    return given.unflatten(0, (samples, heads))


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """What ``nn.MultiheadAttention`` computes, for query (L, N, E) and key, value (S, N, E), or
    without N: output (L, N, E), and with ``need_weights`` the weights (N, L, S), averaged over the
    heads, or (N, heads, L, S). Where a mask of bool is true, a key is not seen.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.MultiheadAttention.html"""
    separate = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
    heads = Heads(
        embed_dim_to_check,
        num_heads,
        in_proj_weight,
        in_proj_bias,
        out_proj_weight,
        out_proj_bias,
        bias_k,
        bias_v,
        add_zero_attn,
        separate,
        dropout_p if training else 0.0,
    )
    return attend(
        heads,
        query,
        key,
        value,
        key_padding_mask,
        need_weights,
        attn_mask,
        average_attn_weights,
        is_causal,
        static_k,
        static_v,
    )
