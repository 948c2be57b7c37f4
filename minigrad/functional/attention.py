"""Attention."""

from __future__ import annotations

import math

from ..dtypes import bool_, float32
from ..ops.attention import attention
from ..ops.elementwise import check_tensor, where
from ..tensor import Tensor

__all__ = ["scaled_dot_product_attention"]


def _check_operands(query: Tensor, key: Tensor, value: Tensor) -> None:
    op = "scaled_dot_product_attention"
    operands = {"query": query, "key": key, "value": value}
    for name, each in operands.items():
        check_tensor(each, op, name)
    dims = ", ".join(f"{name}.dim: {each.ndim}" for name, each in operands.items())
    if min(each.ndim for each in operands.values()) < 2:
        raise RuntimeError(
            f"{op}: Expected query, key, and value to all be at least 2 dimensional, but got {dims}"
        )
    dtypes = ", ".join(f"{name}.dtype: {each.dtype}" for name, each in operands.items())
    if not query.dtype is key.dtype is value.dtype:
        raise RuntimeError(
            f"{op}: Expected query, key, and value to have the same dtype, but got {dtypes}"
        )
    if not query.is_floating_point():
        raise RuntimeError(f"{op}: Expected floating-point query, key and value, but got {dtypes}")
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise RuntimeError(
            f"{op}: Expected query (..., L, E), key (..., S, E) and value (..., S, F), but got "
            f"shapes {list(query.shape)}, {list(key.shape)} and {list(value.shape)}"
        )


def _as_added(mask: Tensor, query: Tensor) -> Tensor:
    """The mask as numbers that are added to the scores: bool says which keys are seen."""
    if mask.dtype is bool_:
        return where(mask, 0.0, -math.inf).to(query.dtype)
    if mask.dtype is float32:
        return mask.to(query.dtype)
    if mask.dtype is not query.dtype:
        raise RuntimeError(
            "scaled_dot_product_attention: Expected attn_mask dtype to be bool, float32 or the "
            f"query's, but got attn_mask.dtype: {mask.dtype} and query.dtype: {query.dtype}"
        )
    return mask


def _repeat_heads(query: Tensor, shared: Tensor) -> Tensor:
    """Each head of key or value for as many neighbouring heads of the query."""
    heads, given = query.shape[-3], shared.shape[-3]
    if given == heads:
        return shared
    if given == 0 or heads % given:
        raise RuntimeError(
            "scaled_dot_product_attention: Number of heads in key and value must divide the number "
            f"of heads in query, but got {given} and {heads}"
        )
    *batch, length, width = shared.shape
    spread = shared.unsqueeze(-3).expand(*batch, heads // given, length, width)
    return spread.reshape(*batch[:-1], heads, length, width)


def _common_batch(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The batch dimensions, all but the last two, that the shapes broadcast to."""
    dims = max(map(len, shapes)) - 2
    batch = []
    for d in range(dims):
        sizes = {shape[d - dims - 2] for shape in shapes if len(shape) - 2 >= dims - d}
        size = max(sizes - {1}, default=1) if 0 not in sizes else 0
        if sizes - {1, size}:
            raise RuntimeError(
                "scaled_dot_product_attention: batch dimensions do not broadcast: shapes "
                f"{', '.join(str(list(each)) for each in shapes)}"
            )
        batch.append(size)
    return tuple(batch)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(query keyᵀ · scale + attn_mask) value: query (..., L, E), key (..., S, E), value
    (..., S, F), output (..., L, F).

    ``attn_mask`` broadcasts to (..., L, S): bool, true where a key is seen, or numbers to add.
    ``is_causal``: query i sees keys up to i. ``scale`` is 1/√E if not given. ``dropout_p`` is
    applied whenever it is above 0. ``enable_gqa``: key and value may have fewer heads, dimension
    -3, than the query. A query that sees no key gives 0.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html
    """
    _check_operands(query, key, value)
    if is_causal and attn_mask is not None:
        raise RuntimeError(
            "scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True"
        )
    if not 0.0 <= dropout_p <= 1.0:
        raise RuntimeError(
            f"dropout probability has to be between 0 and 1, but got {float(dropout_p)}"
        )
    if enable_gqa:
        key, value = _repeat_heads(query, key), _repeat_heads(query, value)
    shapes = [tuple(each.shape) for each in (query, key, value)]
    batch = shapes[0][:-2]
    if batch != shapes[1][:-2] or batch != shapes[2][:-2]:
        batch = _common_batch(*shapes)
        query, key, value = (
            each.expand(*batch, *shape[-2:])
            for each, shape in zip((query, key, value), shapes, strict=True)
        )
    if attn_mask is not None:
        check_tensor(attn_mask, "scaled_dot_product_attention", "attn_mask")
        mask = _as_added(attn_mask, query)
        if mask.ndim and mask.shape[-1] > 1 and mask.stride(-1) != 1:
            mask = mask.contiguous()
        length, keys = shapes[0][-2], shapes[1][-2]
        if mask.ndim == 0 or mask.shape[-1] != keys:
            mask = mask.expand(*mask.shape[:-1], keys).contiguous()
        attn_mask = mask.expand(*batch, length, keys)
    if scale is None:
        scale = 1.0 / math.sqrt(max(1, shapes[0][-1]))
    return attention(query, key, value, attn_mask, dropout_p, float(scale), bool(is_causal))
