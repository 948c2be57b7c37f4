"""Linear maps."""

from __future__ import annotations

from ..ops.matmul import linear

__all__ = ["linear"]
