"""Arguments that are one number or one for each dimension."""

from __future__ import annotations

from collections.abc import Sequence

Pair = int | Sequence[int]


def pair(value: Pair, name: str) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    given = tuple(int(each) for each in value)
    if len(given) == 1:
        return given[0], given[0]
    if len(given) != 2:
        raise RuntimeError(f"{name} must be an int or two of them, got {value!r}")
    return given[0], given[1]
