"""Channels in another order."""

from __future__ import annotations

from ..ops.elementwise import check_tensor
from ..tensor import Tensor

__all__ = ["channel_shuffle"]


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """(N, g · c, ...) with the channels of the groups interleaved: channel k of group i goes to
    place k · g + i (Zhang et al., 2018)."""
    check_tensor(input, "channel_shuffle")
    if input.ndim < 3:
        raise RuntimeError(
            f"channel_shuffle expects input with > 2 dims, but got input with sizes "
            f"{list(input.shape)}"
        )
    batch, channels = input.shape[:2]
    if groups <= 0:
        raise RuntimeError(f"Number of groups to divide channels in must be positive, got {groups}")
    if channels % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {channels} channels and {groups} "
            "groups."
        )
    grouped = input.reshape(batch, groups, channels // groups, -1)
    return grouped.transpose(1, 2).reshape(input.shape)
