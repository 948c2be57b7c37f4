"""Messages between the DataLoader's process and a worker, over a pair of sockets.

A message is a tag (a tuple of small values) and a payload (any object that can be pickled). Tensors
and ndarrays in the payload are not copied into the pickle: their memory goes through the socket as
it is, and is received into the memory of the new tensor. Nothing has a name in the system that
could outlive a process that is killed. Measured beside it: a shared memory block per batch takes 3
to 10 times as long (its pages are fresh each time), reused blocks are no faster.

On the wire: the length of the head; the head, which is a pickle of the tag, of the payload's pickle
and of a table of memory blocks; the blocks.
"""

from __future__ import annotations

import io
import itertools
import pickle
import queue
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ... import array as arrays
from ...dtypes import BY_CODE
from ...tensor import Tensor, wrap

_PREFIX = struct.Struct("<Q")
_PARTS = 256  # buffers for one sendmsg: systems allow 1,024 and more


class Message(NamedTuple):
    """What arrived; the payload is unpickled when it is asked for."""

    tag: tuple[Any, ...]
    body: bytes
    tensors: list[Tensor]
    buffers: list[np.ndarray]

    def payload(self) -> Any:
        reader = _Unpickler(io.BytesIO(self.body), buffers=self.buffers)
        reader.tensors = self.tensors
        return reader.load()


class _Pickler(pickle.Pickler):
    """Notes plain tensors and the memory of ndarrays instead of writing them."""

    def __init__(self, target: io.BytesIO) -> None:
        super().__init__(target, protocol=5, buffer_callback=self._note_buffer)
        self.tensors: dict[int, tuple[int, Tensor]] = {}  # by id: the number, the tensor kept alive
        self.buffers: list[memoryview] = []

    def persistent_id(self, item: Any) -> int | None:
        if type(item) is not Tensor or item.requires_grad or item.__dict__:
            return None  # as every other object, by its __reduce_ex__
        return self.tensors.setdefault(id(item), (len(self.tensors), item))[0]

    def _note_buffer(self, buffer: pickle.PickleBuffer) -> None:
        self.buffers.append(buffer.raw())


class _Unpickler(pickle.Unpickler):
    tensors: list[Tensor]

    def persistent_load(self, number: int) -> Tensor:
        return self.tensors[number]


def pack(tag: tuple[Any, ...], payload: Any) -> deque[memoryview]:
    """The parts of a message, in order. Whatever pickling raises is raised here."""
    target = io.BytesIO()
    pickler = _Pickler(target)
    pickler.dump(payload)
    tensors = [tensor for _, tensor in pickler.tensors.values()]
    table = [(tensor._array.dtype, tuple(tensor.shape)) for tensor in tensors]
    lengths = [buffer.nbytes for buffer in pickler.buffers]
    head = pickle.dumps((tag, target.getvalue(), table, lengths), protocol=5)
    blocks = [_bytes_of(np.ascontiguousarray(arrays.to_numpy(each._array))) for each in tensors]
    parts = [memoryview(_PREFIX.pack(len(head)) + head), *blocks, *pickler.buffers]
    return deque(part for part in parts if part.nbytes)


def _bytes_of(values: np.ndarray) -> memoryview:
    return values.reshape(-1).view(np.uint8).data


def send_parts(connection: socket.socket, parts: deque[memoryview], flags: int = 0) -> None:
    """Sends until `parts` is empty; BlockingIOError, with `parts` the rest, where it would wait."""
    while parts:
        sent = connection.sendmsg(list(itertools.islice(parts, _PARTS)), [], flags)
        while parts and sent >= parts[0].nbytes:
            sent -= parts.popleft().nbytes
        if sent:
            parts[0] = parts[0][sent:]


class Inbox:
    """Puts messages together from what a socket gives."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._arrived: deque[Message] = deque()
        self._places = self._find_places()
        self._place = next(self._places)

    def receive(self, flags: int = 0) -> Message | None:
        """The next message. With MSG_DONTWAIT, None where it is not complete yet; EOFError where
        the other side is gone."""
        while not self._arrived:
            try:
                count = self._connection.recv_into(self._place, 0, flags)
            except BlockingIOError:
                return None
            except ConnectionError:
                count = 0
            if count == 0:
                raise EOFError
            self._place = self._place[count:]
            if not self._place.nbytes:
                self._place = next(self._places)
        return self._arrived.popleft()

    def _find_places(self) -> Iterator[memoryview]:
        """Memory to be filled, one piece after the other; notes each message that is complete."""
        while True:
            prefix = bytearray(_PREFIX.size)
            yield memoryview(prefix)
            head = bytearray(*_PREFIX.unpack(prefix))
            yield memoryview(head)
            tag, body, table, lengths = pickle.loads(head)
            made = [arrays.empty(shape, BY_CODE[code]) for code, shape in table]
            buffers = [np.empty(length, np.uint8) for length in lengths]
            for values in (*map(arrays.to_numpy, made), *buffers):
                if values.size:
                    yield _bytes_of(values)
            self._arrived.append(Message(tag, body, [wrap(each) for each in made], buffers))


class Outbox:
    """Sends messages without waiting for the reader: what the socket does not take at once is left
    to a thread. So a worker goes on to its next batch. The thread sends copies, unless with `fresh`
    nobody else writes to the memory of the messages."""

    def __init__(self, connection: socket.socket, fresh: bool) -> None:
        self._connection = connection
        self._fresh = fresh
        self._waiting: queue.SimpleQueue[deque[memoryview]] = queue.SimpleQueue()
        self._backlog = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def send(self, parts: deque[memoryview]) -> None:
        with self._lock:
            idle = self._backlog == 0
        if idle:
            try:
                send_parts(self._connection, parts, socket.MSG_DONTWAIT)
                return
            except BlockingIOError:
                pass
        with self._lock:
            self._backlog += 1
        if not self._fresh:
            parts = deque(memoryview(bytes(part)) for part in parts)
        self._waiting.put(parts)
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        try:
            while True:
                send_parts(self._connection, self._waiting.get())
                with self._lock:
                    self._backlog -= 1
        except OSError:
            return  # the reader is gone, which the worker notices as it asks for its next task
