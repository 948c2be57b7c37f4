"""The switch: whether operations are recorded, for each thread by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar


class _GradMode(threading.local):
    enabled = True


state = _GradMode()  # read by the engine at each operation


def is_grad_enabled() -> bool:
    """Whether operations are recorded on this thread."""
    return state.enabled


class set_grad_enabled:  # noqa: N801  (torch's name)
    """Switches recording on or off: as a function, a context manager or a decorator."""

    def __init__(self, mode: bool) -> None:
        self._previous = state.enabled
        self._to = bool(mode)
        state.enabled = self._to

    def __enter__(self) -> None:
        state.enabled = self._to

    def __exit__(self, *_: Any) -> None:
        state.enabled = self._previous

    def __call__(self, function: Callable) -> Callable:
        state.enabled = self._previous  # as a decorator it takes effect in the call only
        return _decorated(function, self._to)


def _decorated(function: Callable, to: bool) -> Callable:
    @wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        previous = state.enabled
        state.enabled = to
        try:
            return function(*args, **kwargs)
        finally:
            state.enabled = previous

    return inner


class _Switch:
    """no_grad and enable_grad: ``with no_grad():`` or ``@no_grad()``."""

    _to: ClassVar[bool]

    def __new__(cls, function: Callable | None = None) -> Any:
        switch = object.__new__(cls)
        return switch if function is None else _decorated(function, cls._to)

    def __enter__(self) -> None:
        self._previous = state.enabled
        state.enabled = self._to

    def __exit__(self, *_: Any) -> None:
        state.enabled = self._previous

    def __call__(self, function: Callable) -> Callable:
        return _decorated(function, self._to)


class no_grad(_Switch):  # noqa: N801  (torch's name)
    """Operations inside are not recorded; their results need no gradient."""

    _to = False


class enable_grad(_Switch):  # noqa: N801  (torch's name)
    """Operations inside are recorded again, within a ``no_grad``."""

    _to = True
