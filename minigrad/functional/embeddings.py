"""Embeddings: rows of a table, by their indices, alone or summed over bags."""

from __future__ import annotations

from ..autograd import no_grad
from ..dtypes import int32, int64
from ..kernels import lib
from ..ops.creation import arange
from ..ops.elementwise import check_tensor
from ..ops.index import Index
from ..ops.shape import stack
from ..tensor import Tensor

__all__ = ["embedding", "embedding_bag"]


class _Rows(Index):
    """y = weight[indices];  d weight: dy added at the indices, without the row of padding, divided
    by how often an index occurs where that is asked for"""

    __slots__ = ("factors",)

    def __init__(self, index: Tensor, factors: Tensor | None) -> None:
        super().__init__([index._array])
        self.factors = factors

    def grad_x(self, grad: Tensor) -> Tensor:
        return super().grad_x(grad if self.factors is None else grad * self.factors)


def _gradient_factors(
    index: Tensor, weight: Tensor, padding_idx: int | None, scale_grad_by_freq: bool
) -> Tensor | None:
    """What the gradient of each looked-up row is multiplied by; None: 1."""
    factors = None
    if padding_idx is not None:
        factors = (index != padding_idx).to(weight.dtype)
    if scale_grad_by_freq:
        flat = index.reshape(-1)
        ones = weight.new_ones(flat.shape)
        counts = weight.new_zeros(weight.shape[:1]).index_put_((flat,), ones, accumulate=True)
        frequency = 1.0 / counts[index]
        factors = frequency if factors is None else factors * frequency
    return None if factors is None else factors.unsqueeze(-1)


def _checked(input: Tensor, weight: Tensor, op: str) -> Tensor:
    """The indices as int64, none of them negative, which would count from the end. In a recorded
    plan, which cannot look at values, one that is negative becomes one that the lookup refuses."""
    check_tensor(input, op)
    check_tensor(weight, op, "weight")
    if weight.ndim != 2:
        raise RuntimeError(f"{op}: 'weight' must be 2-D, got shape {list(weight.shape)}")
    if input.dtype not in (int64, int32):
        raise RuntimeError(
            f"{op}: Expected tensor for argument #1 'indices' to have one of the following scalar "
            f"types: Long, Int; but got {input.dtype} instead; convert it with input.long()"
        )
    index = input if input.dtype is int64 else input.long()
    if lib.mg_is_recording():
        return index.masked_fill(index < 0, weight.shape[0])
    if index.numel() and index.min().item() < 0:
        raise IndexError(f"{op}: index out of range in self: a negative index")
    return index


def _padding(padding_idx: int | None, rows: int) -> int | None:
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise AssertionError(f"Padding_idx must be within num_embeddings, got {padding_idx}")
    return padding_idx + rows if padding_idx < 0 else padding_idx


def _check_sparse(sparse: bool, op: str) -> None:
    if sparse:
        raise NotImplementedError(
            f"{op}: there are no sparse gradients; sparse=False gives the same gradient dense, of "
            "the weight's shape"
        )


def _renormalize(weight: Tensor, index: Tensor, max_norm: float, norm_type: float) -> None:
    """In place: rows that are looked up and longer than max_norm are shortened to it."""
    with no_grad():
        flat = index.reshape(-1)
        rows = weight.detach()[flat]
        lengths = rows.norm(norm_type, 1, keepdim=True)
        factors = (max_norm / (lengths + 1e-7)).masked_fill(lengths <= max_norm, 1.0)
        weight.index_put_((flat,), rows * factors)


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of ``weight`` (V, D) at the indices (...), (..., D).

    The row ``padding_idx`` gets no gradient. ``max_norm`` shortens looked-up rows in place to that
    norm. ``scale_grad_by_freq`` divides gradients by how often the index occurs. ``sparse=True``
    raises ``NotImplementedError``: gradients are dense.
    """
    index = _checked(input, weight, "embedding")
    _check_sparse(sparse, "embedding")
    padding = _padding(padding_idx, weight.shape[0])
    if max_norm is not None:
        _renormalize(weight, index, max_norm, norm_type)
    factors = _gradient_factors(index, weight, padding, scale_grad_by_freq)
    return _Rows(index, factors).apply(weight)


def _check_bags(
    input: Tensor, offsets: Tensor | None, weights: Tensor | None, mode: str, last: bool
) -> None:
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights is only supported for mode='sum' (got "
            f"mode='{mode}'); multiply the rows of embedding() and reduce them"
        )
    if weights is not None and weights.shape != input.shape:
        raise ValueError(
            f"embedding_bag: per_sample_weights {list(weights.shape)} must have the same shape as "
            f"the input {list(input.shape)}"
        )
    if input.ndim == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated as a mini-batch "
                "of fixed length sequences"
            )
        return
    if input.ndim != 1:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dim {input.ndim}")
    if not isinstance(offsets, Tensor) or offsets.ndim != 1:
        raise ValueError("offsets has to be a 1D Tensor")
    if lib.mg_is_recording():  # a plan cannot look at values
        return
    places = offsets.tolist()
    if last and not places:
        raise RuntimeError("include_last_offset: number of offsets should be at least 1")
    if places and places[0] != 0:
        raise RuntimeError(
            "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from "
            f"position 0. However, got {places[0]}"
        )
    if places and places[-1] > input.numel():
        raise RuntimeError(
            f"offsets[-1] can not be greater than input's length {input.numel()} but got "
            f"offsets[-1] of {places[-1]}"
        )


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or largest elements of the rows of ``weight`` (V, D) in each bag, (B, D).

    Bags are the rows of an input (B, N), or the parts of an input (N) that begin at ``offsets``
    (B); with ``include_last_offset`` the last of B + 1 offsets is where the last bag ends. Empty
    bags give 0. ``padding_idx`` counts for nothing. In a recorded plan "max" needs an input (B, N).
    """
    check_tensor(input, "embedding_bag")
    _check_bags(input, offsets, per_sample_weights, mode, include_last_offset)
    index = _checked(input, weight, "embedding_bag")
    _check_sparse(sparse, "embedding_bag")
    padding = _padding(padding_idx, weight.shape[0])
    if max_norm is not None:
        _renormalize(weight, index, max_norm, norm_type)
    factors = _gradient_factors(index, weight, padding, scale_grad_by_freq)
    rows = _Rows(index, factors).apply(weight)
    kept = None if padding is None else (index != padding).unsqueeze(-1)
    if mode == "max":
        if kept is not None:
            rows = rows.masked_fill(~kept, -float("inf"))
        return _largest(rows, offsets, include_last_offset)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(-1)
    if kept is not None:
        rows = rows * kept.to(rows.dtype)
    if offsets is None:
        total = rows.sum(1)
        if mode == "sum":
            return total
        if kept is None:
            return total / max(index.shape[1], 1)
        return total / kept.to(rows.dtype).sum(1).clamp(min=1)
    return _by_offsets(rows, kept, offsets, include_last_offset, mode)


def _by_offsets(
    rows: Tensor, kept: Tensor | None, offsets: Tensor, last: bool, mode: str
) -> Tensor:
    """The sum or mean of the parts of (N, D) that begin at the offsets."""
    starts = offsets.long()[:-1] if last else offsets.long()
    # The bag of a row is the last that begins at or before it; that of later rows does not exist.
    bag = (arange(rows.shape[0]).unsqueeze(1) >= starts).long().sum(1) - 1
    zeros = rows.new_zeros(starts.shape[0], rows.shape[1])
    total = zeros.index_put_((bag,), rows, accumulate=True)
    if mode == "sum":
        return total
    ones = rows.new_ones(rows.shape[0]) if kept is None else kept.to(rows.dtype).squeeze(-1)
    counts = rows.new_zeros(starts.shape[0]).index_put_((bag,), ones, accumulate=True)
    return total / counts.clamp(min=1).unsqueeze(-1)


def _largest(rows: Tensor, offsets: Tensor | None, last: bool) -> Tensor:
    """The largest elements of each bag, 0 where it has no row."""
    if offsets is None:
        bags = rows.max(1).values if rows.shape[1] else rows.sum(1)
    else:
        places = offsets.tolist()
        ends = places[1:] if last else [*places[1:], rows.shape[0]]
        parts = [rows[a:b] for a, b in zip(places, ends, strict=False)]
        found = [part.max(0).values if part.shape[0] else part.sum(0) for part in parts]
        bags = stack(found) if found else rows.new_zeros(0, rows.shape[1])
    return bags.masked_fill(bags.detach() == -float("inf"), 0.0)
