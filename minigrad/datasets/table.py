"""`Table`: rows of features with a target each; splitting and standardizing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..dtypes import int64
from ..ops.creation import ones_like, tensor
from ..ops.elementwise import where
from ..ops.random import Generator, randperm
from ..tensor import Tensor
from ..utils.data import Dataset


class Table(Dataset[tuple[Tensor, Tensor]]):
    """Rows of features with a target each. Sample i is ``(data[i], target[i])``.

    ``data``: features, of the default dtype, shape (N, F). ``target``: classes, int64 (N), or
    values, of the default dtype (N). ``feature_names``: F names. ``target_names``: the names of the
    classes, None where the target is a value. ``name``: what the table is called.
    """

    def __init__(
        self,
        name: str,
        data: Tensor,
        target: Tensor,
        feature_names: Sequence[str],
        target_names: Sequence[str] | None = None,
    ) -> None:
        if data.dim() != 2 or data.shape[1] != len(feature_names):
            raise ValueError(
                f"Table {name!r}: {len(feature_names)} feature names need data of shape "
                f"(N, {len(feature_names)}), got {tuple(data.shape)}"
            )
        if len(target) != len(data):
            raise ValueError(f"Table {name!r}: {len(data)} rows, but {len(target)} targets")
        self.name = name
        self.data = data
        self.target = target
        self.feature_names = tuple(feature_names)
        self.target_names = None if target_names is None else tuple(target_names)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: Any) -> tuple[Tensor, Tensor]:
        return self.data[index], self.target[index]

    def whole_tensors(self) -> tuple[Tensor, Tensor]:
        """``data`` and ``target``, out of which a DataLoader cuts its batches."""
        return self.data, self.target

    def rows(self, indices: Any) -> Table:
        """The table of some rows: a list of indices, a slice, or a tensor of indices or bools."""
        return Table(
            self.name,
            self.data[indices],
            self.target[indices],
            self.feature_names,
            self.target_names,
        )

    def split(
        self, test: float | int = 0.2, *, seed: int = 0, stratify: bool | None = None
    ) -> tuple[Table, Table]:
        """(training rows, test rows), drawn at random: the same ones for the same seed.

        `test` is a fraction of the rows, or a number of them. `stratify` gives every class its
        share of the test rows, rounded; it is the default for classes, and impossible for values.
        """
        test_rows = split_rows(len(self), test, seed, self._classes(stratify))
        chosen = set(test_rows)
        training_rows = [row for row in range(len(self)) if row not in chosen]
        return self.rows(training_rows), self.rows(test_rows)

    def _classes(self, stratify: bool | None) -> list[int] | None:
        if stratify and self.target_names is None:
            raise ValueError(f"Table {self.name!r}: stratify=True needs classes as target")
        if stratify is False or self.target_names is None:
            return None
        return self.target.tolist()

    def standardized(self, by: Table | None = None) -> Table:
        """The table with each feature shifted and scaled to mean 0 and standard deviation 1.

        The statistics are those of `by`, or of the table itself. A test set takes its training
        set's: ``test.standardized(by=train)``.
        """
        scale = Standardization.fit((self if by is None else by).data)
        return Table(
            self.name, scale(self.data), self.target, self.feature_names, self.target_names
        )

    def __repr__(self) -> str:
        kind = "values" if self.target_names is None else f"{len(self.target_names)} classes"
        return f"Table({self.name!r}, {len(self)} rows, {len(self.feature_names)} features, {kind})"


class Standardization:
    """``(x - mean) / std`` with statistics fitted to data, which is meant to be the training part.

    The deviation is that of the population (divided by N). A feature that does not vary is only
    shifted.
    """

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        self.mean = mean
        self.std = std

    @classmethod
    def fit(cls, data: Tensor, dim: int | Sequence[int] = 0) -> Standardization:
        """Statistics over `dim`: 0 for the columns of a table (N, F), (0, 2, 3) for the channels of
        images (N, C, H, W)."""
        if data.numel() == 0:
            raise ValueError(f"Standardization.fit: no data, the shape is {tuple(data.shape)}")
        # In float64: the variance of a feature far from 0 is a small difference of large numbers.
        values = data.detach().double()
        mean = values.mean(dim, keepdim=True)
        std = (values - mean).square().mean(dim, keepdim=True).sqrt()
        std = where(std == 0, ones_like(std), std)
        dtype = data.dtype if data.dtype.is_floating_point else None
        return cls(_to(mean, dtype), _to(std, dtype))

    def __call__(self, data: Tensor) -> Tensor:
        return (data - self.mean) / self.std

    def inverse(self, data: Tensor) -> Tensor:
        """From standardized values back to the original ones."""
        return data * self.std + self.mean

    def __repr__(self) -> str:
        return (
            f"Standardization(mean={self.mean.flatten().tolist()}, "
            f"std={self.std.flatten().tolist()})"
        )


def _to(values: Tensor, dtype: Any) -> Tensor:
    return values.float() if dtype is None else values.to(dtype)


def split_rows(
    count: int, test: float | int, seed: int, classes: list[int] | None = None
) -> list[int]:
    """The rows of a test set, in order: a fraction or a number of `count`, drawn with that seed.

    With `classes` every class gives its share: the whole part of it first, then one more from
    those with the largest remainders.
    """
    number = test if isinstance(test, int) else round(count * test)
    if not 0 <= number <= count or (isinstance(test, float) and not 0 <= test <= 1):
        raise ValueError(
            f"split: test must be a fraction from 0 to 1 or a number of the {count} rows, but is "
            f"{test}"
        )
    order = randperm(count, generator=Generator().manual_seed(seed)).tolist()
    if classes is None:
        return sorted(order[:number])
    members: dict[int, list[int]] = {label: [] for label in sorted(set(classes))}
    for row in order:
        members[classes[row]].append(row)
    shares = {label: len(rows) * number / count for label, rows in members.items()}
    sizes = {label: int(share) for label, share in shares.items()}
    by_remainder = sorted(members, key=lambda label: sizes[label] - shares[label])
    for label in by_remainder[: number - sum(sizes.values())]:
        sizes[label] += 1
    return sorted(row for label, rows in members.items() for row in rows[: sizes[label]])


def class_tensor(labels: Any) -> Tensor:
    """Classes as an int64 tensor."""
    return tensor(labels, dtype=int64)
