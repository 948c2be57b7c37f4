"""Sequences of different lengths in one batch: padded, or packed without the padding.

A packed batch holds the sequences sorted by length, the longest first, step after step: first the
first elements of all sequences, then the second elements of those that have one, and so on. So the
elements of one step are neighbours, and recurrent layers compute nothing for padding.

https://pytorch.org/docs/stable/nn.html#utilities
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from ...dtypes import float32, float64, int32, int64, uint8
from ...ops.creation import arange, tensor
from ...ops.index import index_select
from ...tensor import Tensor

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class _Packed(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Packed):
    """Sequences of different lengths without padding, as recurrent layers take and return them.

    `data` (elements of all sequences, ...), step after step; `batch_sizes` (steps), how many
    sequences reach each step; `sorted_indices` (batch), which of the given sequences stands where,
    and `unsorted_indices`, its inverse; both None where they were given in order. Made by
    `pack_sequence` and `pack_padded_sequence`.
    """

    __slots__ = ()

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> PackedSequence:
        if batch_sizes is None:  # the first two as a pair
            if not (isinstance(data, (list, tuple)) and len(data) == 2):
                raise AssertionError(
                    "PackedSequence: without batch_sizes the first argument is a pair "
                    f"(data, batch_sizes), got {type(data).__name__}"
                )
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same with `data` converted as by `Tensor.to`."""
        data = self.data.to(*args, **kwargs)
        return self if data is self.data else PackedSequence(data, *self[1:])

    def cpu(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Itself: the CPU is where everything is."""
        return self

    def double(self) -> PackedSequence:
        """The data as float64."""
        return self.to(dtype=float64)

    def float(self) -> PackedSequence:
        """The data as float32."""
        return self.to(dtype=float32)

    def long(self) -> PackedSequence:
        """The data as int64."""
        return self.to(dtype=int64)

    def int(self) -> PackedSequence:
        """The data as int32."""
        return self.to(dtype=int32)

    def byte(self) -> PackedSequence:
        """The data as uint8."""
        return self.to(dtype=uint8)

    @property
    def is_cuda(self) -> bool:
        """False: there is only the CPU."""
        return False

    def is_pinned(self) -> bool:
        """False: there is no pinned memory."""
        return False


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes one: ``inverse[permutation[i]] = i``; None of None."""
    if permutation is None:
        return None
    places = arange(permutation.numel(), dtype=permutation.dtype)
    return permutation.new_empty(permutation.shape).scatter_(0, permutation, places)


def _lengths(lengths: Tensor | Sequence[int]) -> list[int]:
    values = lengths.tolist() if isinstance(lengths, Tensor) else lengths
    if not isinstance(values, Sequence) or any(isinstance(each, Sequence) for each in values):
        raise RuntimeError(
            f"'lengths' should be one number for each sequence, a vector or list, got {lengths!r}"
        )
    return [int(each) for each in values]


def _batch_sizes(lengths: Sequence[int]) -> list[int]:
    """How many of the sequences, the longest first, reach each step."""
    counts: list[int] = []
    for place in reversed(range(len(lengths))):
        counts += [place + 1] * (lengths[place] - len(counts))
    return counts


def _places(counts: Sequence[int], order: Sequence[int], steps: int, batch_first: bool) -> Tensor:
    """Where the rows of packed sequences stand among the (steps · batch) elements of the padded
    batch; ``order``: which sequence comes first, second, ..."""
    batch = len(order)
    places: list[int] = []
    for step, count in enumerate(counts):
        if batch_first:
            places += [name * steps + step for name in order[:count]]
        else:
            places += [step * batch + name for name in order[:count]]
    return tensor(places, dtype=int64)


def pack_padded_sequence(
    input: Tensor,
    lengths: Tensor | list[int],
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> PackedSequence:
    """Packs a padded batch (steps, batch, ...), or with `batch_first` (batch, steps, ...).

    `lengths`: how many elements of each sequence are no padding, at least 1 each. Unless
    `enforce_sorted`, the sequences are sorted by length here; else they have to be.
    """
    if input.ndim < 2:
        raise IndexError(
            "pack_padded_sequence: expected a padded batch of at least 2 dimensions, got shape "
            f"{list(input.shape)}"
        )
    sizes = _lengths(lengths)
    batch, steps = (0, 1) if batch_first else (1, 0)
    if len(sizes) != input.shape[batch]:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(sizes)} (batch_size="
            f"{input.shape[batch]})"
        )
    if not sizes:
        raise RuntimeError("pack_padded_sequence: cannot pack an empty batch")
    order = None
    if not enforce_sorted:
        order = sorted(range(len(sizes)), key=lambda place: -sizes[place])
        sizes = [sizes[place] for place in order]
    if min(sizes) <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' "
            f"that is <= 0: {sizes}"
        )
    if any(first < second for first, second in pairwise(sizes)):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You "
            "can pass `enforce_sorted=False` to pack_padded_sequence to have the sequences sorted "
            f"for you; got {sizes}"
        )
    if sizes[0] > input.shape[steps]:
        raise RuntimeError(
            f"pack_padded_sequence: a length of {sizes[0]} exceeds the {input.shape[steps]} steps "
            f"of the padded batch of shape {list(input.shape)}"
        )
    counts = _batch_sizes(sizes)
    names = list(range(len(sizes))) if order is None else order
    places = _places(counts, names, input.shape[steps], batch_first)
    data = index_select(input.reshape(input.shape[0] * input.shape[1], *input.shape[2:]), 0, places)
    sorted_indices = None if order is None else tensor(order, dtype=int64)
    return PackedSequence(data, tensor(counts, dtype=int64), sorted_indices)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The padded batch (steps, batch, ...), with `batch_first` (batch, steps, ...), and the length
    of each sequence, in the order in which the sequences were packed.

    `total_length`: the number of steps, if more than the longest sequence has.
    """
    counts = sequence.batch_sizes.tolist()
    steps = len(counts)
    if total_length is not None:
        if total_length < steps:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in "
                f"input, but got total_length={total_length} and max sequence length being {steps}"
            )
        steps = total_length
    batch = counts[0]
    lengths = [sum(count > place for count in counts) for place in range(batch)]
    order = None if sequence.sorted_indices is None else sequence.sorted_indices.tolist()
    names = list(range(batch)) if order is None else order
    data = sequence.data
    shape = (batch, steps) if batch_first else (steps, batch)
    padded = data.new_full((steps * batch, *data.shape[1:]), padding_value)
    padded[_places(counts, names, steps, batch_first)] = data
    padded = padded.reshape(*shape, *data.shape[1:])
    given = [0] * batch
    for name, length in zip(names, lengths, strict=True):
        given[name] = length
    return padded, tensor(given, dtype=int64)


def pad_sequence(
    sequences: Tensor | Iterable[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences (length, ...) as one batch (steps, batch, ...), with `batch_first` (batch, steps,
    ...); shorter ones are filled with `padding_value` at the end, or with `padding_side` "left" at
    the beginning."""
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            "pad_sequence: Expected iterable for input sequences, but got arg of type: "
            f"{type(sequences)}"
        )
    given = tuple(sequences)
    if not given:
        raise RuntimeError("pad_sequence: received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(
            f"pad_sequence: padding_side should be either 'left' or 'right', got {padding_side!r}"
        )
    if any(each.ndim == 0 for each in given):
        raise RuntimeError("pad_sequence: a sequence has at least one dimension, got a 0-d tensor")
    steps = max(each.shape[0] for each in given)
    rest = given[0].shape[1:]
    shape = (len(given), steps) if batch_first else (steps, len(given))
    padded = given[0].new_full((*shape, *rest), padding_value)
    for place, each in enumerate(given):
        if each.shape[1:] != rest:
            raise RuntimeError(
                f"pad_sequence: sequence {place} has elements of shape {list(each.shape[1:])}, but "
                f"the first has {list(rest)}"
            )
        length = each.shape[0]
        part = slice(steps - length, steps) if padding_side == "left" else slice(0, length)
        if batch_first:
            padded[place, part] = each
        else:
            padded[part, place] = each
    return padded


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False
) -> list[Tensor]:
    """The sequences of a padded batch, each without its padding: undoes `pad_sequence`."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    sizes = _lengths(lengths)
    if len(sizes) != padded_sequences.shape[0]:
        raise ValueError(
            f"unpad_sequence: {len(sizes)} lengths for {padded_sequences.shape[0]} sequences"
        )
    return [padded_sequences[place, : sizes[place]] for place in range(len(sizes))]


def pack_sequence(sequences: list[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Packs sequences (length, ...); see `pack_padded_sequence`."""
    lengths = [each.shape[0] for each in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a packed batch: undoes `pack_sequence`."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
