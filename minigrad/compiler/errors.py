"""Errors of a recording, with the line of the user's code that led to them."""

from __future__ import annotations

import linecache
import traceback
from pathlib import Path

from ..kernels import RecordingError

_PACKAGE = str(Path(__file__).parents[1])


def explained(error: Exception) -> Exception:
    """The error, with the user's line in its text where it is about recording."""
    if not isinstance(error, RecordingError):
        return error
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_PACKAGE)]
    if not own:
        return error
    frame = own[-1]
    line = (frame.line or linecache.getline(frame.filename, frame.lineno or 0)).strip()
    text = f"{error}\n  {frame.filename}:{frame.lineno}, in {frame.name}: {line}"
    return RecordingError(text).with_traceback(error.__traceback__)
