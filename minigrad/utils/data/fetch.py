"""How the samples of a batch are got out of a dataset, here or in a worker."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...kernels import Array, ffi, lib, own
from ...tensor import Tensor, wrap
from .collate import default_collate
from .dataset import IterableDataset, Subset, TensorDataset

_gather = lib.mg_index
Fetch = Callable[[Any], Any]


class StreamEnded(Exception):  # noqa: N818  (nothing went wrong)
    """An IterableDataset has no further batch."""


def make_fetch(
    dataset: Any, collate_fn: Callable[[Any], Any], batched: bool, drop_last: bool
) -> Fetch:
    """The function from a list of indices to the batch, or, without batching, from an index to the
    sample. Of a stream it gives the next one, and raises StreamEnded in the end."""
    if isinstance(dataset, IterableDataset):
        return _fetch_from_stream(dataset, collate_fn, batched, drop_last)
    if not batched:
        return lambda index: collate_fn(dataset[index])
    found = tensors_behind(dataset) if collate_fn is default_collate else None
    if found is not None:
        rows, gather = found.rows, make_gather(found)

        def fetch_rows(indices: Any) -> list[Tensor]:
            chosen = as_indices(indices)
            return gather((chosen if rows is None else rows[chosen])._array)

        return fetch_rows
    several = getattr(dataset, "__getitems__", None)
    if several:
        return lambda indices: collate_fn(several(indices))
    return lambda indices: collate_fn([dataset[index] for index in indices])


def _fetch_from_stream(
    dataset: Any, collate_fn: Callable[[Any], Any], batched: bool, drop_last: bool
) -> Fetch:
    samples = iter(dataset)
    ended = False

    def fetch_sample(_: Any) -> Any:
        for sample in samples:
            return collate_fn(sample)
        raise StreamEnded

    def fetch_batch(indices: Any) -> Any:
        nonlocal ended
        batch = [] if ended else list(itertools.islice(samples, len(indices)))
        ended = len(batch) < len(indices)
        if not batch or (ended and drop_last):
            raise StreamEnded
        return collate_fn(batch)

    return fetch_batch if batched else fetch_sample


class Source(NamedTuple):
    """Tensors whose rows are the samples of a dataset."""

    tensors: tuple[Tensor, ...]
    rows: Tensor | None  # which of them, where the dataset is a subset
    finish: Callable[[list[Tensor]], list[Tensor]] | None  # what is still to be done with a batch


def make_gather(source: Source) -> Callable[[Array], list[Tensor]]:
    """The function from row numbers to the batch of them, by one call of C for each tensor."""
    tensors, finish = source.tensors, source.finish
    if any(each.requires_grad for each in tensors):

        def gather_with_gradients(chosen: Array) -> list[Tensor]:
            batch = [each[wrap(chosen)] for each in tensors]
            return batch if finish is None else finish(batch)

        return gather_with_gradients
    index = ffi.new("mg_array *[]", 1)
    arrays = [each._array for each in tensors]

    def gather(chosen: Array) -> list[Tensor]:
        index[0] = chosen
        batch = [wrap(own(_gather(array, 1, index))) for array in arrays]
        return batch if finish is None else finish(batch)

    return gather


def tensors_behind(dataset: Any) -> Source | None:
    """The tensors out of which batches of a dataset can be cut, if there are such.

    They are those of a TensorDataset; or what a method ``whole_tensors`` returns: a tuple of
    tensors whose rows are the samples (or None: not this time); or what ``whole_batches`` returns:
    such a tuple, and a function that makes of a list of their rows the batch (or None).
    """
    rows: Tensor | None = None
    while type(dataset) is Subset:
        chosen = as_indices(dataset.indices)
        rows = chosen if rows is None else chosen[rows]
        dataset = dataset.dataset
    if hasattr(dataset, "whole_batches"):
        found = dataset.whole_batches()
        return None if found is None else Source(found[0], rows, found[1])
    if hasattr(dataset, "whole_tensors"):
        tensors = dataset.whole_tensors()
        return None if tensors is None else Source(tensors, rows, None)
    if not isinstance(dataset, TensorDataset) or hasattr(dataset, "__getitems__"):
        return None
    if type(dataset).__getitem__ is not TensorDataset.__getitem__:
        return None
    return Source(dataset.tensors, rows, None)


def as_indices(indices: Any) -> Tensor:
    """Indices in any sequence as an int64 tensor."""
    values = np.asarray(indices)
    if values.size and values.dtype.kind not in "iu":
        raise TypeError(f"DataLoader: indices should be integers, but got {values.dtype} values")
    return Tensor(values.astype(np.int64))
