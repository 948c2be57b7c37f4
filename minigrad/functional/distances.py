"""Distances and similarities of vectors."""

from __future__ import annotations

from ..ops.elementwise import check_tensor, into
from ..tensor import Tensor

__all__ = ["cosine_similarity", "normalize", "pairwise_distance", "pdist"]


def normalize(
    input: Tensor,
    p: float = 2.0,
    dim: int = 1,
    eps: float = 1e-12,
    out: Tensor | None = None,
) -> Tensor:
    """x / max(‖x‖ₚ, eps) along a dimension."""
    check_tensor(input, "normalize")
    return into(out, input / input.norm(p, dim, keepdim=True).clamp(min=eps))


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """‖x1 - x2 + eps‖ₚ along the last dimension."""
    check_tensor(x1, "pairwise_distance", "x1")
    check_tensor(x2, "pairwise_distance", "x2")
    return (x1 - x2 + eps).norm(p, -1, keepdim=keepdim)


def _at_least(norms: Tensor, eps: float) -> Tensor:
    """The larger of a norm and eps, with the gradient of the norm everywhere."""
    low = (norms.detach() < eps).to(norms.dtype)
    return norms + low * (eps - norms.detach())


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 · x2 / (max(‖x1‖, eps) max(‖x2‖, eps)) along a dimension; both are broadcast."""
    check_tensor(x1, "cosine_similarity", "x1")
    check_tensor(x2, "cosine_similarity", "x2")
    if not (x1.is_floating_point() or x2.is_floating_point()):
        raise RuntimeError(
            f"cosine_similarity: expected common dtype to be floating point, yet the dtypes are "
            f"{x1.dtype} and {x2.dtype}; convert one of them"
        )
    lengths = [_at_least(x.norm(2, dim, keepdim=True), eps) for x in (x1, x2)]
    return ((x1 / lengths[0]) * (x2 / lengths[1])).sum(dim)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The p-norm distances of every pair of rows (0, 1), (0, 2), ..., (1, 2), ... of (N, M)."""
    check_tensor(input, "pdist")
    if input.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.ndim}D")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    rows = input.shape[0]
    left = [i for i in range(rows) for _ in range(i + 1, rows)]
    right = [j for i in range(rows) for j in range(i + 1, rows)]
    if not left:
        return input.sum() * 0 + input.new_zeros(0)
    return (input[left] - input[right]).norm(p, 1)
