"""Datasets for the tests of minigrad.utils.data, importable by worker processes."""

from __future__ import annotations

import minigrad as mg
from minigrad.utils.data import Dataset, IterableDataset, TensorDataset


def make_dataset(count=10):
    x = mg.arange(count * 2).float().reshape(count, 2)
    return TensorDataset(x, mg.arange(count))


class Plain(Dataset):
    """The same samples as make_dataset, one by one."""

    def __init__(self, count=10):
        self.inner = make_dataset(count)

    def __len__(self):
        return len(self.inner)

    def __getitem__(self, index):
        return self.inner[index]


class Stream(IterableDataset):
    def __init__(self, count=7):
        self.count = count

    def __iter__(self):
        return iter(range(self.count))

    def __len__(self):
        return self.count


def rows(loader):
    return [batch[1].tolist() for batch in loader]
