"""`DataLoader`: batches of a dataset."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...kernels import Array, ffi, lib, own
from ...ops.creation import arange
from ...tensor import Tensor, wrap
from .collate import default_collate, default_convert
from .dataset import Dataset, IterableDataset, Subset, TensorDataset
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler


class DataLoader:
    """Iterates over a dataset in batches; each iteration starts over, in a new order if shuffled.

    Arguments and defaults are torch's. `num_workers` above 0 is not implemented: batches are made
    in this process. A TensorDataset (or a Subset of one) with the default collation gives each
    batch by one indexing call for each tensor; so does any dataset with a method ``whole_tensors``
    that returns the tuple of tensors whose rows are its samples (or None: not this time).
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
        _check_workers(
            num_workers, timeout, prefetch_factor, persistent_workers, multiprocessing_context
        )
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
        self.prefetch_factor = prefetch_factor
        self.in_order = in_order
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

    def __iter__(self) -> Iterator[Any]:
        if self._iterable:
            return self._iterate_stream()
        if self.batch_sampler is None:
            return (self.collate_fn(self.dataset[index]) for index in self.sampler)
        found = _tensors_behind(self.dataset)
        if found is not None and self.collate_fn is default_collate:
            return self._iterate_tensors(*found)
        return self._iterate_samples()

    def _iterate_stream(self) -> Iterator[Any]:
        samples = iter(self.dataset)
        if self.batch_size is None:
            for sample in samples:
                yield self.collate_fn(sample)
            return
        while batch := list(itertools.islice(samples, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield self.collate_fn(batch)

    def _iterate_samples(self) -> Iterator[Any]:
        dataset = self.dataset
        fetch = getattr(dataset, "__getitems__", None)
        for indices in self.batch_sampler:
            yield self.collate_fn(fetch(indices) if fetch else [dataset[i] for i in indices])

    def _iterate_tensors(self, tensors: tuple[Tensor, ...], rows: Tensor | None) -> Iterator[Any]:
        """Batches of a TensorDataset: the rows of each by one indexing call for each tensor."""
        index = ffi.new("mg_array *[]", 1)
        sources = [each._array for each in tensors]
        follows_gradients = any(each.requires_grad for each in tensors)
        for chosen in self._chosen_rows(rows):
            if follows_gradients:
                yield [each[wrap(chosen)] for each in tensors]
            else:
                index[0] = chosen
                yield [wrap(own(_gather(source, 1, index))) for source in sources]

    def _chosen_rows(self, rows: Tensor | None) -> Iterator[Array]:
        """The rows of each batch as an array of int64."""
        order = self._order()
        if order is None:  # samplers of one's own
            for indices in self.batch_sampler:
                chosen = _as_indices(indices)
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


_gather = lib.mg_index
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


def _tensors_behind(dataset: Dataset[Any]) -> tuple[tuple[Tensor, ...], Tensor | None] | None:
    """The tensors of a TensorDataset and, for subsets of one, which rows of them; else None."""
    rows: Tensor | None = None
    while type(dataset) is Subset:
        chosen = _as_indices(dataset.indices)
        rows = chosen if rows is None else chosen[rows]
        dataset = dataset.dataset
    whole = getattr(dataset, "whole_tensors", None)
    if whole is not None:
        found = whole()
        return None if found is None else (found, rows)
    if not isinstance(dataset, TensorDataset) or hasattr(dataset, "__getitems__"):
        return None
    if type(dataset).__getitem__ is not TensorDataset.__getitem__:
        return None
    return dataset.tensors, rows


def _as_indices(indices: Any) -> Tensor:
    """Indices in any sequence as an int64 tensor."""
    values = np.asarray(indices)
    if values.size and values.dtype.kind not in "iu":
        raise TypeError(f"DataLoader: indices should be integers, but got {values.dtype} values")
    return Tensor(values.astype(np.int64))


def _check_workers(
    num_workers: int,
    timeout: float,
    prefetch_factor: int | None,
    persistent_workers: bool,
    multiprocessing_context: Any,
) -> None:
    if num_workers < 0:
        raise ValueError(
            "num_workers option should be non-negative; use num_workers=0 to disable "
            "multiprocessing."
        )
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers > 0:
        raise NotImplementedError(
            f"DataLoader(num_workers={num_workers}) is not implemented; use num_workers=0: batches "
            "are then made in this process, which for data in memory is the fastest way"
        )
    if prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing. let num_workers > "
            "0 to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if persistent_workers:
        raise ValueError("persistent_workers option needs num_workers > 0")
    if multiprocessing_context is not None:
        raise ValueError(
            "multiprocessing_context can only be used with multi-process loading "
            f"(num_workers > 0), but got num_workers={num_workers}"
        )


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
