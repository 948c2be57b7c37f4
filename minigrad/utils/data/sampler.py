"""Samplers: in which order the samples of a dataset are visited."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import numpy as np

from ...dtypes import float64
from ...ops.creation import as_tensor
from ...ops.random import rand, randint, randperm
from ...ops.shape import cat
from ...tensor import Tensor

T_co = TypeVar("T_co", covariant=True)


class Sampler(Generic[T_co]):
    """An iterable of indices, or of lists of them; a subclass defines ``__iter__``."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} should implement __iter__")


class SequentialSampler(Sampler[int]):
    """0, 1, 2, ..."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """All indices in random order, drawn anew by each iteration; or with `replacement`, any
    indices.

    `num_samples` is the length of the data unless given; a longer one takes several orders.
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
    ) -> None:
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        if not isinstance(replacement, bool):
            raise TypeError(
                f"replacement should be a boolean value, but got replacement={replacement}"
            )
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            raise ValueError(
                "num_samples should be a positive integer value, but got "
                f"num_samples={self.num_samples}"
            )

    @property
    def num_samples(self) -> int:
        """How many indices one iteration gives."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def draw(self) -> Tensor:
        """The indices of one iteration as an int64 tensor."""
        count = len(self.data_source)
        if self.replacement:
            return randint(0, count, (self.num_samples,), generator=self.generator)
        if self.num_samples == count:
            return randperm(count, generator=self.generator)
        orders = [
            randperm(count, generator=self.generator) for _ in range(-(-self.num_samples // count))
        ]
        return cat(orders)[: self.num_samples]

    def __iter__(self) -> Iterator[int]:
        return iter(self.draw().tolist())

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given indices in random order, drawn anew by each iteration."""

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for position in randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[position]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """`num_samples` indices, index i with a probability proportional to ``weights[i]``.

    Without replacement no index is drawn twice, and weights count among those not drawn yet.
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Any = None,
    ) -> None:
        if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples <= 0:
            raise ValueError(
                f"num_samples should be a positive integer value, but got num_samples={num_samples}"
            )
        if not isinstance(replacement, bool):
            raise ValueError(
                f"replacement should be a boolean value, but got replacement={replacement}"
            )
        self.weights = as_tensor(weights, dtype=float64)
        if self.weights.dim() != 1:
            raise ValueError(
                "weights should be a 1d sequence but given weights have shape "
                f"{tuple(self.weights.shape)}"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        weights = self.weights.detach().numpy()
        _check_weights(weights, self.num_samples, self.replacement)
        count = self.num_samples if self.replacement else len(weights)
        uniform = rand(count, dtype=float64, generator=self.generator).numpy()
        if self.replacement:
            # The index whose part of [0, sum of the weights) the number falls in.
            ends = weights.cumsum()
            chosen = np.searchsorted(ends, uniform * ends[-1], side="right")
            chosen = np.minimum(chosen, weights.nonzero()[0][-1])  # rounded up to the sum
        else:
            # Exponential waiting times with these rates: who is first, second, ... is drawn by
            # weight. Efraimidis and Spirakis (2006).
            waits = np.full(count, np.inf)
            positive = weights > 0
            waits[positive] = -np.log1p(-uniform[positive]) / weights[positive]
            chosen = waits.argsort(kind="stable")[: self.num_samples]
        return iter(chosen.tolist())

    def __len__(self) -> int:
        return self.num_samples


def _check_weights(weights: np.ndarray, num_samples: int, replacement: bool) -> None:
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise RuntimeError("WeightedRandomSampler: weights contain either `inf`, `nan` or < 0")
    positive = int((weights > 0).sum())
    if positive == 0:
        raise RuntimeError("WeightedRandomSampler: no weight is above 0")
    if not replacement and num_samples > positive:
        raise RuntimeError(
            f"WeightedRandomSampler: cannot draw num_samples={num_samples} without replacement "
            f"from {positive} indices with a weight above 0"
        )


class BatchSampler(Sampler[list[int]]):
    """Lists of `batch_size` indices of another sampler; the last may be shorter, or is dropped."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(
                f"batch_size should be a positive integer value, but got batch_size={batch_size}"
            )
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield batch

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)
