"""`DataLoader`: batches of a dataset."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ...kernels import Array, lib, own
from ...ops.creation import arange
from ...ops.random import randint
from ...tensor import Tensor
from .collate import default_collate, default_convert
from .dataset import IterableDataset
from .fetch import Source, StreamEnded, as_indices, make_fetch, make_gather, tensors_behind
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler

if TYPE_CHECKING:
    from .parallel import WorkerIterator


class DataLoader:
    """Iterates over a dataset in batches; each iteration starts over, in a new order if shuffled.

    Arguments and defaults are torch's; see https://docs.pytorch.org/docs/stable/data.html. A
    TensorDataset (or a Subset of one) with the default collation gives each batch by one indexing
    call for each tensor; so does any dataset with a method ``whole_tensors`` that returns the tuple
    of tensors whose rows are its samples (or None: not this time). Such data are read fastest
    without workers.

    `num_workers` processes make the batches ahead, each up to `prefetch_factor` (2). The order of
    the samples is drawn in this process, so a seed gives the same one for any number of workers.
    Random numbers that a dataset draws differ between workers: each is seeded with a number from
    `generator` plus its own. An exception in a worker is raised here, with the worker's traceback;
    a worker that dies raises RuntimeError.
    """

    dataset: Any
    batch_size: int | None
    sampler: Any
    batch_sampler: Any
    drop_last: bool
    persistent_workers: bool

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable:
            _check_iterable(shuffle, sampler, batch_sampler)
        _check_batches(batch_size, bool(shuffle), sampler, batch_sampler, drop_last)
        if batch_sampler is not None:
            batch_size = None
        if sampler is None:
            if self._iterable:
                sampler = _Endless()
            elif shuffle:
                sampler = RandomSampler(dataset, generator=generator)
            else:
                sampler = SequentialSampler(dataset)
        if batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate
        self.dataset = dataset
        self.batch_size = batch_size
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.drop_last = drop_last
        self.persistent_workers = persistent_workers
        self.num_workers = num_workers
        self.collate_fn = collate_fn
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.generator = generator
        self.prefetch_factor = 2 if num_workers > 0 and prefetch_factor is None else prefetch_factor
        self.in_order = in_order
        self._iterator: WorkerIterator | None = None  # of persistent workers
        self._initialized = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and "_initialized" in self.__dict__:
            raise ValueError(
                f"{name} attribute should not be set after {type(self).__name__} is initialized"
            )
        super().__setattr__(name, value)

    def __len__(self) -> int:
        if not self._iterable:
            return len(self.sampler if self.batch_sampler is None else self.batch_sampler)
        count = len(self.dataset)
        if self.batch_size is None:
            return count
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    @property
    def multiprocessing_context(self) -> Any:
        """How workers are started: a context of `multiprocessing`, or None for the default one."""
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, value: Any) -> None:
        self._context = None if value is None else _find_context(value, self.num_workers)

    def __iter__(self) -> Iterator[Any]:
        # Drawn with any number of workers, so that what comes after it is the same.
        drawn = randint(0, (1 << 63) - 1, (), generator=self.generator)
        if self.num_workers > 0:
            return self._iterate_workers(int(drawn.item()))
        if self._iterable or self.batch_sampler is None:
            return self._iterate_fetch()
        found = tensors_behind(self.dataset)
        if found is not None and self.collate_fn is default_collate:
            return self._iterate_tensors(found)
        return self._iterate_fetch()

    def _iterate_workers(self, base_seed: int) -> WorkerIterator:
        from .parallel import WorkerIterator  # multiprocessing takes time to import

        if not self.persistent_workers:
            return WorkerIterator(self, base_seed)
        if self._iterator is None or self._iterator.closed:
            self._iterator = WorkerIterator(self, base_seed)
        else:
            self._iterator.restart()
        return self._iterator

    def _iterate_fetch(self) -> Iterator[Any]:
        batched = self.batch_sampler is not None
        fetch = make_fetch(self.dataset, self.collate_fn, batched, self.drop_last)
        for indices in self.batch_sampler if batched else self.sampler:
            try:
                batch = fetch(indices)
            except StreamEnded:
                return
            yield batch

    def _iterate_tensors(self, source: Source) -> Iterator[Any]:
        """Batches out of tensors: the rows of each by one indexing call for each tensor."""
        gather = make_gather(source)
        for chosen in self._chosen_rows(source.rows):
            yield gather(chosen)

    def _chosen_rows(self, rows: Tensor | None) -> Iterator[Array]:
        """The rows of each batch as an array of int64."""
        order = self._order()
        if order is None:  # samplers of one's own
            for indices in self.batch_sampler:
                chosen = as_indices(indices)
                yield (chosen if rows is None else rows[chosen])._array
            return
        if rows is not None:
            order = rows[order]
        size = self.batch_sampler.batch_size
        count = order.shape[0]
        stop = count - count % size if self.drop_last else count
        for start in range(0, stop, size):
            length = min(size, stop - start)
            yield own(_view(order._array, 1, (length,), (1,), start))

    def _order(self) -> Tensor | None:
        """The order of a whole iteration as an int64 tensor; None with samplers of one's own."""
        batches = self.batch_sampler
        if type(batches) is not BatchSampler:
            return None
        if type(batches.sampler) is RandomSampler:
            return batches.sampler.draw()
        if type(batches.sampler) is SequentialSampler:
            return arange(len(batches.sampler))
        return None


_view = lib.mg_as_strided
_FIXED = (
    "batch_size",
    "batch_sampler",
    "sampler",
    "drop_last",
    "dataset",
    "persistent_workers",
)


class _Endless(Sampler[None]):
    """Stands in as the sampler of a dataset that is a stream."""

    def __iter__(self) -> Iterator[None]:
        return itertools.repeat(None)


def _check_workers(
    num_workers: int, timeout: float, prefetch_factor: int | None, persistent_workers: bool
) -> None:
    if num_workers < 0:
        raise ValueError(
            "num_workers option should be non-negative; use num_workers=0 to disable "
            "multiprocessing."
        )
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if prefetch_factor is not None and num_workers == 0:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing. let num_workers > "
            "0 to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")
    allowed = lib.mg_processor_limit()
    if num_workers > allowed:
        warnings.warn(
            f"This DataLoader will create {num_workers} worker processes in total, but this "
            f"process may use {allowed} processors. Loading may be slow or even freeze; lower "
            "the number of workers to avoid it.",
            stacklevel=3,
        )


def _find_context(value: Any, num_workers: int) -> Any:
    """The context of multiprocessing that an argument stands for."""
    import multiprocessing.context

    if num_workers == 0:
        raise ValueError(
            "multiprocessing_context can only be used with multi-process loading "
            f"(num_workers > 0), but got num_workers={num_workers}"
        )
    if isinstance(value, str):
        methods = multiprocessing.get_all_start_methods()
        if value not in methods:
            raise ValueError(
                f"multiprocessing_context option should specify a valid start method in {methods}, "
                f"but got multiprocessing_context={value!r}"
            )
        return multiprocessing.get_context(value)
    if not isinstance(value, multiprocessing.context.BaseContext):
        raise TypeError(
            "multiprocessing_context option should be a valid context object or a string "
            f"specifying the start method, but got multiprocessing_context={value}"
        )
    return value


def _check_iterable(shuffle: Any, sampler: Any, batch_sampler: Any) -> None:
    for name, value in (
        ("shuffle", shuffle or None),
        ("sampler", sampler),
        ("batch_sampler", batch_sampler),
    ):
        if value is not None:
            raise ValueError(
                f"DataLoader with IterableDataset: expected unspecified {name} option, but got "
                f"{name}={value}"
            )


def _check_batches(
    batch_size: int | None, shuffle: bool, sampler: Any, batch_sampler: Any, drop_last: bool
) -> None:
    if sampler is not None and shuffle:
        raise ValueError("sampler option is mutually exclusive with shuffle")
    if batch_sampler is not None:
        if batch_size != 1 or shuffle or sampler is not None or drop_last:
            raise ValueError(
                "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and "
                "drop_last"
            )
    elif batch_size is None and drop_last:
        raise ValueError(
            "batch_size=None option disables auto-batching and is mutually exclusive with drop_last"
        )
