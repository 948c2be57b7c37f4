"""Batches that worker processes make."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import signal
import socket
import time
import weakref
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .channel import Inbox, Message, pack, send_parts
from .worker import BATCH, ENDED, Setup, run

if TYPE_CHECKING:
    from .dataloader import DataLoader

# How long a worker may take to end by itself when nobody wants its batches any more: it finishes
# the sample that it is at. Then it is terminated.
GRACE_SECONDS = 5.0
INTERRUPTED_GRACE_SECONDS = 0.5


class _Worker:
    """A worker process as the parent sees it."""

    def __init__(self, context: Any, setup: Setup, siblings: list[_Worker]) -> None:
        self.id = setup.id
        self.connection, theirs = socket.socketpair()
        ours = [each.connection for each in siblings] + [self.connection]
        # Those that are not forked do not inherit anything.
        inherited = ours if context.get_start_method() == "fork" else []
        try:
            self.process = context.Process(
                target=run, args=(setup, theirs, inherited), daemon=True,
                name=f"DataLoader worker {setup.id}",
            )  # fmt: skip
            self.process.start()
        except BaseException:
            self.connection.close()
            raise
        finally:
            theirs.close()  # so that the end of the worker is the end of the connection
        self.inbox = Inbox(self.connection)
        self.unsent: deque[memoryview] = deque()
        self.outstanding = 0  # tasks of this epoch without an answer that was used
        self.ended = False  # its stream, in this epoch

    def send(self, tag: tuple[int, int], indices: Any) -> None:
        """Notes a task and sends what the socket takes without waiting."""
        self.unsent.extend(pack(tag, indices))
        self.outstanding += 1
        self.flush()

    def flush(self) -> None:
        # An error is that of a worker that is gone, which its connection tells when it is read.
        with contextlib.suppress(BlockingIOError, ConnectionError):
            send_parts(self.connection, self.unsent, socket.MSG_DONTWAIT)


class _Pool:
    """The workers of one iterator."""

    def __init__(self, loader: DataLoader, base_seed: int) -> None:
        self._owner = os.getpid()
        self.workers: list[_Worker] = []
        self.closed = False
        context = loader.multiprocessing_context or multiprocessing.get_context()
        try:
            for number in range(loader.num_workers):
                setup = Setup(
                    number,
                    loader.num_workers,
                    base_seed,
                    loader.dataset,
                    loader.collate_fn,
                    loader.worker_init_fn,
                    loader.batch_sampler is not None,
                    loader.drop_last,
                )
                self.workers.append(_Worker(context, setup, self.workers))
        except BaseException:
            self.close(0.0)
            raise

    def receive(self, timeout: float | None) -> list[Message]:
        """Waits until something arrives; nothing after `timeout` seconds. RuntimeError where a
        worker is gone that has tasks left."""
        poll = select.poll()
        for worker in self.workers:
            events = select.POLLIN | (select.POLLOUT if worker.unsent else 0)
            poll.register(worker.connection, events)
            poll.register(worker.process.sentinel, select.POLLIN)
        found = {
            descriptor for descriptor, _ in poll.poll(None if timeout is None else timeout * 1e3)
        }
        messages: list[Message] = []
        for worker in self.workers:
            is_gone = worker.process.sentinel in found  # seen before its last words are read
            if not is_gone and worker.connection.fileno() not in found:
                continue
            worker.flush()
            try:
                while (message := worker.inbox.receive(socket.MSG_DONTWAIT)) is not None:
                    messages.append(message)
            except EOFError:
                is_gone = True
            if is_gone and not messages:
                self._raise_for(worker)
        return messages

    def _raise_for(self, worker: _Worker) -> None:
        worker.process.join(1.0)
        code = worker.process.exitcode
        how = f"with exit code {code}"
        if code is None:
            how = "by closing its connection"
        elif code < 0:
            how = f"by signal {signal.Signals(-code).name}"
        error = RuntimeError(
            f"DataLoader worker {worker.id} (pid(s) {worker.process.pid}) exited unexpectedly, "
            f"{how}"
        )
        self.close(INTERRUPTED_GRACE_SECONDS)
        raise error

    def close(self, grace: float | None = None) -> None:
        """Ends the workers and waits until they are gone: `grace` seconds, then less kindly."""
        if self.closed:
            return
        grace = GRACE_SECONDS if grace is None else grace
        self.closed = True
        is_owner = os.getpid() == self._owner
        for worker in self.workers:
            if is_owner:  # ends the connection although workers forked later hold copies of it
                with contextlib.suppress(OSError):
                    worker.connection.shutdown(socket.SHUT_RDWR)
            worker.connection.close()
        if not is_owner:  # a fork of the process that made them: they are not its to end
            return
        deadline = time.monotonic() + grace
        for end in (None, "terminate", "kill"):
            for worker in self.workers:
                if end is not None and worker.process.is_alive():
                    getattr(worker.process, end)()
            for worker in self.workers:
                worker.process.join(max(0.0, deadline - time.monotonic()))
            deadline = time.monotonic() + 1.0
            if not any(worker.process.is_alive() for worker in self.workers):
                break
        for worker in self.workers:
            with contextlib.suppress(ValueError):  # one that not even a kill has ended yet
                worker.process.close()


class WorkerIterator(Iterator[Any]):
    """One iteration over a loader with workers; with persistent ones, `restart` begins the next.

    Tasks are numbered and go to the workers in turn, `prefetch_factor` to each ahead of what was
    asked for. Batches come in the order of the numbers (or, with ``in_order=False``, as they
    arrive). That the stream of a worker has ended takes effect in its turn too, so that the order
    does not depend on who is faster.
    """

    def __init__(self, loader: DataLoader, base_seed: int) -> None:
        self._timeout = loader.timeout
        self._in_order = loader.in_order
        self._persistent = loader.persistent_workers
        self._tasks_each = max(1, loader.prefetch_factor or 0)
        # Not the loader: a persistent iterator would keep its own owner alive.
        self._source = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
        self._epoch = -1
        self._pool = _Pool(loader, base_seed)
        self._finalizer = weakref.finalize(self, self._pool.close)
        self.restart()

    @property
    def closed(self) -> bool:
        """Whether the workers are gone."""
        return self._pool.closed

    def restart(self) -> None:
        """Begins a new iteration. Answers of the one before are dropped as they come."""
        self._epoch += 1
        self._sampler = iter(self._source)
        self._next_number = 0
        self._turn = 0
        self._order: dict[int, _Worker] = {}  # tasks whose answer was not used yet
        self._answers: dict[int, Message] = {}
        for worker in self._pool.workers:
            worker.outstanding = 0
            worker.ended = False
        for _ in range(self._tasks_each * len(self._pool.workers)):
            self._send_task()

    def __next__(self) -> Any:
        try:
            return self._next_batch()
        except KeyboardInterrupt:
            self._pool.close(INTERRUPTED_GRACE_SECONDS)
            raise

    def _next_batch(self) -> Any:
        deadline = time.monotonic() + self._timeout if self._timeout > 0 else None
        while not self._pool.closed:
            number = self._next_answered()
            if number is not None:
                worker, message = self._order.pop(number), self._answers.pop(number)
                worker.outstanding -= 1
                status = message.tag[2]
                worker.ended = worker.ended or status == ENDED
                self._send_task()
                if status == ENDED:
                    continue
                payload = message.payload()
                if status == BATCH:
                    return payload
                payload.reraise()
            if not self._order:
                break
            self._wait(deadline)
        if not self._persistent:
            self._pool.close()
        raise StopIteration

    def _next_answered(self) -> int | None:
        """The task whose turn it is, if its answer is here."""
        if not self._in_order:
            return next(iter(self._answers), None)
        first = next(iter(self._order), None)
        return first if first in self._answers else None

    def _wait(self, deadline: float | None) -> None:
        """Waits for answers. The time runs from when the batch was asked for."""
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        messages = self._pool.receive(left)
        if not messages and left == 0.0:
            self._pool.close(INTERRUPTED_GRACE_SECONDS)
            raise RuntimeError(
                f"DataLoader timed out after {self._timeout} seconds: no worker finished the next "
                "batch in time"
            )
        for message in messages:
            epoch, number, _ = message.tag
            if epoch == self._epoch:
                self._answers[number] = message

    def _send_task(self) -> None:
        """Gives the next indices to the worker whose turn it is."""
        worker = self._choose_worker()
        if worker is None:
            return
        try:
            indices = next(self._sampler)
        except StopIteration:
            return
        self._order[self._next_number] = worker
        worker.send((self._epoch, self._next_number), indices)
        self._next_number += 1

    def _choose_worker(self) -> _Worker | None:
        active = [worker for worker in self._pool.workers if not worker.ended]
        if not active:
            return None
        if not self._in_order:
            return min(active, key=lambda worker: worker.outstanding)
        while True:
            worker = self._pool.workers[self._turn % len(self._pool.workers)]
            self._turn += 1
            if not worker.ended:
                return worker

    def __len__(self) -> int:
        return len(self._source)
