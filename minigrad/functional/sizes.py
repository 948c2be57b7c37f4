"""Arguments that are one number or one for each dimension."""

from __future__ import annotations

from collections.abc import Sequence

Sizes = int | Sequence[int]


def sizes_of(value: Sizes, count: int, name: str) -> tuple[int, ...]:
    """One number for each of `count` dimensions, from as many or from one for all."""
    if isinstance(value, int):
        return (value,) * count
    given = tuple([int(each) for each in value])
    if len(given) == count:
        return given
    if len(given) == 1:
        return given * count
    raise RuntimeError(
        f"expected {name} to be a single integer value or a list of {count} values, but got "
        f"{name}={value!r}"
    )


def pair(value: Sizes, name: str) -> tuple[int, ...]:
    return sizes_of(value, 2, name)
