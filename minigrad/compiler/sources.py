"""Which line of the user's code asked for each launch.

While a function is recorded, and only then, Python tells us of every return from a C function
(`sys.setprofile`). Where the plan has grown by then, the innermost frame outside of the package is
the user's.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from ..kernels import Plan, lib

_PACKAGE = str(Path(__file__).parents[1])
_length = lib.mg_plan_length


class Source(NamedTuple):
    """A line of code that led to launches."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{Path(self.file).name}:{self.line}"


class Sources:
    """A context that notes the source of each launch of a plan, by its number when recorded."""

    def __init__(self, plan: Plan) -> None:
        self._handle = plan.handle
        self.lines: list[Source | None] = []
        self._known: dict[tuple[Any, int], Source] = {}
        self._ours = False

    def __enter__(self) -> Sources:
        # A profiler that is at work stays; then there are no lines.
        self._ours = sys.getprofile() is None
        if self._ours:
            sys.setprofile(self._returned)
        return self

    def __exit__(self, *unused: Any) -> None:
        if self._ours:
            sys.setprofile(None)
        self._known.clear()

    def _returned(self, frame: FrameType, event: str, argument: Any) -> None:
        if event != "c_return":
            return
        length = _length(self._handle)
        if length == len(self.lines):
            return
        del self.lines[length:]
        source = self._source_of(frame)
        self.lines += [source] * (length - len(self.lines))

    def _source_of(self, frame: FrameType | None) -> Source | None:
        while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
            frame = frame.f_back
        if frame is None:
            return None
        key = (frame.f_code, frame.f_lineno)
        known = self._known.get(key)
        if known is None:
            code = frame.f_code
            known = self._known[key] = Source(code.co_filename, frame.f_lineno, code.co_name)
        return known

    def of(self, number: int) -> Source | None:
        """The source of the launch that was recorded as that number."""
        return self.lines[number] if 0 <= number < len(self.lines) else None
