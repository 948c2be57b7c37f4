"""What a function may change without kernels: streams of random numbers of Python and NumPy,
iterators, numbers of optimizers. A replay would not advance them, so a call that did is not kept.
"""

from __future__ import annotations

import random
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

from .signature import PLAIN

_STREAMS = (random.Random, np.random.Generator, np.random.RandomState)


def moves(value: Any) -> bool:
    """Whether it is a stream or an iterator of Python's, whose position can be told."""
    return isinstance(value, _STREAMS) or (
        isinstance(value, Iterator) and type(value).__module__ in ("builtins", "itertools")
    )


class Outside:
    """How such things stood before a call; `moved` names those that are not there any more."""

    def __init__(self, things: list[tuple[Any, str]], optimizers: list[Any]) -> None:
        self.things, self.optimizers = things, optimizers
        self.before = self._present()

    def _present(self) -> list[tuple[Any, str]]:
        kind, keys, position, *_ = np.random.get_state()
        found: list[tuple[Any, str]] = [
            (hash(random.getstate()), "the random numbers of `random`"),
            ((kind, position, np.asarray(keys).tobytes()), "the random numbers of `numpy.random`"),
        ]
        found += [(_position(each), name) for each, name in self.things]
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                numbers = [(k, _plain(v)) for k, v in group.items() if k != "params"]
                found.append((numbers, "a parameter group of the optimizer"))
        return found

    def moved(self) -> list[str]:
        """The names of what the call has changed."""
        after = self._present()
        return [
            name
            for (before, name), (now, _) in zip(self.before, after, strict=False)
            if before != now
        ]


def _plain(value: Any) -> Any:
    if isinstance(value, PLAIN):
        return repr(value)
    return tuple(map(_plain, value)) if isinstance(value, tuple) else id(value)


def _position(value: Any) -> Any:
    """Something that differs once the stream or the iterator has advanced."""
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        return repr(value.get_state(legacy=False))
    if isinstance(value, types.GeneratorType):
        frame = value.gi_frame
        if frame is None:
            return None
        return frame.f_lasti, [_position(each) for each in frame.f_locals.values()]
    if moves(value):
        try:
            return [_position(each) for each in value.__reduce__()[1:]]
        except TypeError:
            return id(value)
    if isinstance(value, tuple):
        return [_position(each) for each in value]
    return _plain(value)
