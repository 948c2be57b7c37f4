"""The progress of a run: tqdm's bar where it is installed, otherwise a line now and then."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

try:
    from tqdm import tqdm
except ImportError:
    tqdm = None

SECONDS_BETWEEN_LINES = 1.0


class Progress:
    """Counts steps on standard error; `report` says how the run stands."""

    def __init__(self, steps: int, title: str) -> None:
        self._steps, self._title, self._done = steps, title, 0
        self._next_line = time.monotonic()
        self._bar: Any = None
        if tqdm is not None:
            self._bar = tqdm(total=steps, desc=title, unit=" steps", dynamic_ncols=True)

    def __enter__(self) -> Progress:
        return self

    def advance(self) -> None:
        """One more step is done."""
        self._done += 1
        if self._bar is not None:
            self._bar.update()

    def report(self, text: str) -> None:
        """Shows the text with the progress."""
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
        elif time.monotonic() >= self._next_line or self._done == self._steps:
            self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES
            share = self._done / self._steps
            print(f"{self._title}: {share:4.0%}, {text}", file=sys.stderr, flush=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
