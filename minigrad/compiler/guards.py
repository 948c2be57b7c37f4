"""Many conditions as one function, written out in Python: some nanoseconds each.

A loop over pairs costs about 50 ns for each; the same comparisons in one expression are a fifth of
that, since the interpreter specializes each place of the code for what it finds there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

_MOST = 64  # conditions in one expression; that of 64 equal ones is compiled only once


class Conditions:
    """Collects conditions; `function` gives the one that tells whether all of them hold."""

    def __init__(self) -> None:
        self._chunks: list[tuple[list[str], list[Any]]] = [([], [])]

    def add(self, text: str, *objects: Any) -> None:
        """`text` has a ``{}`` for each object."""
        texts, known = self._chunks[-1]
        if len(texts) == _MOST:
            texts, known = [], []
            self._chunks.append((texts, known))
        texts.append(text.format(*[f"o{len(known) + i}" for i in range(len(objects))]))
        known += objects

    def function(self) -> Callable[[], bool]:
        """What is missing, an attribute or a key, counts as a condition that does not hold."""
        parts = []
        for texts, objects in self._chunks:
            names = ", ".join([f"o{i}" for i in range(len(objects))])
            parts.append(_compiled(names, " and ".join(texts) or "True")(*objects))
        return parts[0] if len(parts) == 1 else lambda: all([part() for part in parts])


@lru_cache(256)
def _compiled(names: str, condition: str) -> Any:
    source = (
        f"def make({names}):\n"
        "    def holds():\n"
        "        try:\n"
        f"            return {condition}\n"
        "        except (AttributeError, IndexError, KeyError, ValueError):\n"
        "            return False\n"
        "    return holds\n"
    )
    scope: dict[str, Any] = {}
    exec(source, scope)
    return scope["make"]
