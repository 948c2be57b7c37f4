"""Many tensors in one launch: their norm as one vector, and changes of all of them in place.

Nothing here is recorded by autograd.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..kernels import check, lib, own, pointers
from ..tensor import Tensor, wrap

_total_norm = lib.mg_total_norm


def total_norm(tensors: Iterable[Tensor], largest: bool = False) -> list[Tensor]:
    """√Σx² over all elements, or the largest |x|: a 0-d tensor for each dtype among them."""
    return [
        wrap(own(_total_norm(len(group), pointers([each._array for each in group]), largest)))
        for group in _by_dtype(tensors)
    ]


def clip_norm_(tensors: Iterable[Tensor], norm: Tensor, max_norm: float) -> None:
    """Each times min(1, max_norm / (norm + 1e-6))."""
    for group in _once_each(tensors):
        arrays = pointers([each._array for each in group])
        check(lib.mg_clip_norm(len(group), arrays, norm._array, max_norm))


def clip_value_(tensors: Iterable[Tensor], limit: float) -> None:
    """Each element into [-limit, limit]; NaN stays."""
    for group in _once_each(tensors):
        check(lib.mg_clip_value(len(group), pointers([each._array for each in group]), limit))


def _by_dtype(tensors: Iterable[Tensor]) -> Iterable[list[Tensor]]:
    groups: dict[object, list[Tensor]] = {}
    for each in tensors:
        groups.setdefault(each.dtype, []).append(each)
    return groups.values()


def _once_each(tensors: Iterable[Tensor]) -> Iterable[list[Tensor]]:
    """By dtype; a tensor that is listed twice stands in two groups, for threads share one."""
    rounds: dict[tuple[object, int], list[Tensor]] = {}
    listed: dict[int, int] = {}
    for each in tensors:
        occurrence = listed[id(each)] = listed.get(id(each), 0) + 1
        rounds.setdefault((each.dtype, occurrence), []).append(each)
    return rounds.values()
