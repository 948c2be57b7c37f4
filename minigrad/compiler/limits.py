"""What this machine can do at most, measured when asked for: the hundred per cent of a profile."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from ..dtypes import BY_CODE, float32, float64
from ..kernels import fail, lib

SIZES = [1 << exponent for exponent in range(12, 27)]  # bytes: from the first cache to memory


class Limits:
    """Multiply-adds in registers and copies, per second, with the threads in use."""

    def __init__(self, seconds: float = 0.1) -> None:
        """Measures for about that long."""
        share = seconds / (2 + len(SIZES))
        codes = {kind: BY_CODE.index(kind) for kind in (float32, float64)}
        self.flops = {c: _checked(lib.mg_peak_flops(c, share)) for c in codes.values()}
        # What a copy reaches at its size or a larger one, so that a short disturbance is no limit.
        self.bytes = [_checked(lib.mg_peak_bytes(size, share)) for size in SIZES]
        for index in range(len(SIZES) - 2, -1, -1):
            self.bytes[index] = max(self.bytes[index], self.bytes[index + 1])
        self.single: float = self.flops[codes[float32]]

    def seconds(self, launch: Any) -> float:
        """The least time that a launch could take: its operations at the rate of multiply-adds, its
        bytes at that of copies of this size, whichever is longer. What reads more than it writes
        can be a little faster than a copy."""
        place = min(bisect_left(SIZES, launch.bytes), len(SIZES) - 1)
        flops = self.flops.get(launch.dtype, self.single)
        return max(launch.flops / flops, launch.bytes / self.bytes[place])

    def __str__(self) -> str:
        cache, memory = self.bytes[2], self.bytes[-1]
        return (
            f"limits, measured just now: {self.single / 1e9:.0f} GFLOP/s in float32, copies "
            f"{cache / 1e9:.0f} GB/s within {SIZES[2] >> 10} KiB and {memory / 1e9:.0f} GB/s "
            f"within {SIZES[-1] >> 20} MiB"
        )


def _checked(rate: float) -> float:
    if rate <= 0:
        fail()
    return rate
