"""How the samples of a batch become tensors."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from ...dtypes import float64
from ...ops.creation import as_tensor, tensor
from ...ops.shape import stack
from ...tensor import Tensor


def default_collate(batch: Any) -> Any:
    """Puts the samples of a batch together, with the batch as a new first dimension.

    Tensors, arrays and numbers become one tensor (Python floats a float64 one); strings stay a
    list; of mappings, tuples and lists, each entry is put together: tuples give a list, named
    tuples, mappings and lists their own type. Anything else raises TypeError.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return stack(batch, 0)
    if isinstance(first, np.ndarray):
        if first.dtype.kind in "SUO":
            raise TypeError(_unknown(first.dtype))
        return stack([as_tensor(sample) for sample in batch], 0)
    if isinstance(first, (np.bool_, np.number)):
        return as_tensor(np.array(batch))
    if isinstance(first, float):
        return tensor(batch, dtype=float64)
    if isinstance(first, int):
        return tensor(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        entries = {key: default_collate([sample[key] for sample in batch]) for key in first}
        return _like_mapping(first, entries)
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*[default_collate(samples) for samples in zip(*batch, strict=False)])
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [default_collate(samples) for samples in zip(*batch, strict=True)]
        return columns if isinstance(first, tuple) else _like_sequence(first, columns)
    raise TypeError(_unknown(type(first)))


def default_convert(data: Any) -> Any:
    """Makes tensors of the NumPy arrays and scalars in a sample; everything else stays."""
    if isinstance(data, Tensor):
        return data
    if isinstance(data, (np.ndarray, np.bool_, np.number)):
        return data if np.asarray(data).dtype.kind in "SUO" else as_tensor(data)
    if isinstance(data, Mapping):
        return _like_mapping(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*[default_convert(item) for item in data])
    if isinstance(data, tuple):
        return [default_convert(item) for item in data]
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _like_sequence(data, [default_convert(item) for item in data])
    return data


def _unknown(found: Any) -> str:
    return (
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
        f"found {found}"
    )


def _like_mapping(original: Mapping[Any, Any], entries: dict[Any, Any]) -> Any:
    """The entries in a mapping of the original's type; a dictionary where that cannot be."""
    try:
        if isinstance(original, MutableMapping):
            clone = copy.copy(original)  # keeps what else the type carries
            clone.update(entries)
            return clone
        return type(original)(entries)  # type: ignore[call-arg]
    except TypeError:
        return entries


def _like_sequence(original: Sequence[Any], items: list[Any]) -> Any:
    try:
        return type(original)(items)  # type: ignore[call-arg]
    except TypeError:
        return items
