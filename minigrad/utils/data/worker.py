"""What runs in a DataLoader's worker process."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import signal
import socket
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

import numpy as np

from ...kernels import set_num_threads
from ...ops.random import manual_seed
from .channel import Inbox, Message, Outbox, pack
from .collate import default_collate
from .fetch import Fetch, StreamEnded, make_fetch
from .info import WorkerInfo, set_worker_info

# What the tag of a worker's answer says about its payload.
BATCH, ENDED, FAILURE = "batch", "ended", "failure"

WATCH_SECONDS = 1.0


@dataclass(frozen=True)
class Setup:
    """What a worker is given. All of it is pickled where workers are spawned."""

    id: int
    num_workers: int
    base_seed: int
    dataset: Any
    collate_fn: Callable[[Any], Any]
    init_fn: Callable[[int], None] | None
    batched: bool
    drop_last: bool


def run(setup: Setup, connection: socket.socket, inherited: Sequence[socket.socket]) -> None:
    """Answers tasks until the other side closes the connection.

    A task is the tag (epoch, number) with indices as payload; a new epoch starts a stream anew.
    `inherited` are the parent's ends of connections, of which a forked worker holds copies: as long
    as they are open, nobody would notice that the parent is gone.
    """
    for each in inherited:
        each.close()
    # Ctrl-C reaches the whole group of processes. The parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    set_num_threads(1)
    _seed(setup)
    inbox = Inbox(connection)
    # What the default collation makes is new; other functions may fill the same memory each time.
    outbox = Outbox(connection, fresh=setup.collate_fn is default_collate)
    failed: _Failure | None = None
    try:
        if setup.init_fn is not None:
            setup.init_fn(setup.id)
    except Exception as error:
        failed = _Failure.of(error, setup.id)
    epoch, fetch = -1, None
    try:
        while (message := inbox.receive()) is not None:
            if message.tag[0] != epoch:
                epoch, fetch = message.tag[0], None
            parts, fetch = _answer(message, fetch, setup, failed)
            outbox.send(parts)
    except (EOFError, OSError):
        return  # the other side wants no more


def _answer(
    task: Message, fetch: Fetch | None, setup: Setup, failed: _Failure | None
) -> tuple[deque[memoryview], Fetch | None]:
    """The batch, or why there is none, ready to be sent; and the function that fetched it."""
    if failed is None:
        try:
            if fetch is None:
                fetch = make_fetch(setup.dataset, setup.collate_fn, setup.batched, setup.drop_last)
            return pack((*task.tag, BATCH), fetch(task.payload())), fetch
        except StreamEnded:
            return pack((*task.tag, ENDED), None), fetch
        except Exception as error:
            failed = _Failure.of(error, setup.id)
    return pack((*task.tag, FAILURE), failed), fetch


def _seed(setup: Setup) -> None:
    """Python's, minigrad's and NumPy's random numbers, different in each worker."""
    seed = setup.base_seed + setup.id
    random.seed(seed)
    manual_seed(seed)
    np.random.seed(np.random.SeedSequence([setup.base_seed, setup.id]).generate_state(4))
    set_worker_info(WorkerInfo(setup.id, setup.num_workers, seed, setup.dataset))


def _end_with_parent(starter: int) -> None:
    """Ends this process when the one that made it is gone, whatever the main thread is at."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    while os.getppid() == starter and not wait([parent.sentinel], WATCH_SECONDS):
        pass
    os._exit(1)


@dataclass(frozen=True)
class _Failure:
    """An exception of a worker, for the parent to raise."""

    kind: bytes  # the pickled class, or nothing where that cannot be
    text: str

    @classmethod
    def of(cls, error: Exception, worker: int) -> _Failure:
        name, trace = type(error).__name__, "".join(traceback.format_exception(error))
        text = f"Caught {name} in DataLoader worker process {worker}.\nOriginal {trace}"
        try:
            return cls(pickle.dumps(type(error)), text)
        except Exception:
            return cls(b"", text)

    def reraise(self) -> None:
        """Raises an exception of the same class with the worker's traceback as its message;
        RuntimeError where the class does not take a message."""
        try:
            kind = pickle.loads(self.kind)
            error = kind(_Text(self.text) if kind is KeyError else self.text)
        except Exception:
            error = RuntimeError(self.text)
        if isinstance(error, StopIteration):  # would end the loop over the batches without a word
            error = RuntimeError(self.text)
        raise error from None


class _Text(str):
    """KeyError prints the repr() of its argument: a traceback with \\n instead of lines."""

    def __repr__(self) -> str:
        return str(self)
