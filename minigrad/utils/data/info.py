"""Which worker of a DataLoader runs this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class WorkerInfo:
    """A worker process: its number from 0 on, of how many, its seed, and its own copy of the
    dataset."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: WorkerInfo | None = None  # of this process, set when it starts to work


def get_worker_info() -> WorkerInfo | None:
    """In a worker of a DataLoader, which one it is; None elsewhere.

    An IterableDataset finds here which part of its stream is the worker's.
    """
    return _info


def set_worker_info(info: WorkerInfo) -> None:
    """Makes this process that worker."""
    global _info
    _info = info
