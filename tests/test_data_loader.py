"""The DataLoader in one process."""

from __future__ import annotations

import numpy as np
import pytest
from data_helpers import Plain, Stream, make_dataset, rows

import minigrad as mg
from minigrad.utils.data import (
    DataLoader,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
)


@pytest.mark.parametrize("kind", [make_dataset, Plain])
def test_batches(kind):
    dataset = kind()
    loader = DataLoader(dataset, batch_size=4)
    assert len(loader) == 3 and rows(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert rows(loader) == rows(loader)
    batch = next(iter(loader))
    assert type(batch) is list and batch[0].shape == (4, 2) and batch[0].dtype is mg.float32
    assert batch[1].dtype is mg.int64
    loader = DataLoader(dataset, 4, drop_last=True)
    assert len(loader) == 2 and rows(loader) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert rows(DataLoader(dataset))[:2] == [[0], [1]]
    assert rows(DataLoader(dataset, 100)) == [list(range(10))]


@pytest.mark.parametrize("kind", [make_dataset, Plain])
def test_shuffling(kind):
    dataset = kind(40)
    loader = DataLoader(dataset, 7, shuffle=True)
    first, second = rows(loader), rows(loader)
    assert first != second and sorted(y for batch in first for y in batch) == list(range(40))
    for x, y in loader:
        assert x[:, 0].tolist() == [2 * value for value in y.tolist()]
    mg.manual_seed(3)
    seeded = rows(loader)
    mg.manual_seed(3)
    assert rows(loader) == seeded
    own = [rows(DataLoader(dataset, 7, True, generator=mg.Generator().manual_seed(5)))
           for _ in range(2)]  # fmt: skip
    assert own[0] == own[1]


def test_the_fast_way_gives_the_same_batches():
    for seed in range(3):
        for make in (
            lambda d: d,
            lambda d: Subset(d, [7, 3, 3, 9, 0]),
            lambda d: Subset(Subset(d, list(range(9, -1, -1))), (1, 5, 2)),
            lambda d: Subset(d, mg.tensor([4, 2])),
            lambda d: Subset(d, range(2, 8)),
            lambda d: Subset(d, np.array([1, 8, 1])),
        ):
            for options in ({}, {"shuffle": True}, {"drop_last": True, "shuffle": True}):
                mg.manual_seed(seed)
                fast = rows(DataLoader(make(make_dataset()), 2, **options))
                mg.manual_seed(seed)
                slow = rows(DataLoader(make(Plain()), 2, **options))
                assert fast == slow


def test_samplers_of_ones_own():
    for dataset in (make_dataset(), Plain(), Subset(make_dataset(), list(range(10)))):
        assert rows(DataLoader(dataset, 2, sampler=[3, 1, 2])) == [[3, 1], [2]]
        assert rows(DataLoader(dataset, batch_sampler=[[1, 2], [5]])) == [[1, 2], [5]]
        assert rows(DataLoader(dataset, 2, sampler=SequentialSampler(range(3)))) == [[0, 1], [2]]
        random = RandomSampler(dataset, replacement=True, num_samples=5)
        assert [len(row) for row in rows(DataLoader(dataset, 2, sampler=random))] == [2, 2, 1]
        assert len(DataLoader(dataset, batch_sampler=[[1, 2], [5]])) == 2


def test_batches_do_not_share_memory_with_the_data():
    for options in ({}, {"shuffle": True}):
        dataset = make_dataset()
        for x, _ in DataLoader(dataset, 4, **options):
            x.zero_()
        assert dataset[3][0].tolist() == [6, 7]


def test_a_dataset_that_changes_its_samples_is_asked_for_each():
    class Doubled(TensorDataset):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return x * 2, y

    loader = DataLoader(Doubled(*make_dataset().tensors), 4)
    assert next(iter(loader))[0][1].tolist() == [4, 6]


def test_own_collation_and_no_batching():
    dataset = make_dataset()
    assert next(iter(DataLoader(dataset, 3, collate_fn=len))) == 3
    samples = list(DataLoader(dataset, batch_size=None))
    assert len(samples) == 10 and samples[2][1].item() == 2
    shuffled = DataLoader(dataset, batch_size=None, shuffle=True)
    assert sorted(y.item() for _, y in shuffled) == list(range(10)) and len(shuffled) == 10


def test_streams():
    assert [batch.tolist() for batch in DataLoader(Stream(), 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    loader = DataLoader(Stream(), 3, drop_last=True)
    assert [batch.tolist() for batch in loader] == [[0, 1, 2], [3, 4, 5]] and len(loader) == 2
    assert list(DataLoader(Stream(3), batch_size=None)) == [0, 1, 2]
    assert len(DataLoader(Stream(7), 3)) == 3 and len(DataLoader(Stream(7), None)) == 7


def test_many_tensors_and_empty_data():
    dataset = TensorDataset(mg.ones(5), mg.ones(5, 2), mg.ones(5, 2, 3))
    assert [t.shape for t in next(iter(DataLoader(dataset, 2)))] == [(2,), (2, 2), (2, 2, 3)]
    assert list(DataLoader(TensorDataset(mg.ones(0, 2)), 4)) == []
    assert list(DataLoader(Subset(make_dataset(), []), 4)) == []
    assert len(DataLoader(TensorDataset(mg.ones(0, 2)), 4)) == 0


def test_out_of_range_indices_raise():
    with pytest.raises(IndexError):
        list(DataLoader(Subset(make_dataset(), [0, 10]), 2))


D = make_dataset()
BAD = [
    ({"num_workers": -1}, ValueError, "num_workers option should be non-negative"),
    ({"num_workers": 1, "prefetch_factor": -1}, ValueError, "should be non-negative"),
    (
        {"num_workers": 1, "multiprocessing_context": "threads"},
        ValueError,
        "should specify a valid start method in .* multiprocessing_context='threads'",
    ),
    (
        {"num_workers": 1, "multiprocessing_context": 3},
        TypeError,
        "should be a valid context object or a string .* multiprocessing_context=3",
    ),
    ({"timeout": -1}, ValueError, "timeout option should be non-negative"),
    ({"prefetch_factor": 2}, ValueError, "prefetch_factor option could only be specified"),
    ({"persistent_workers": True}, ValueError, "persistent_workers option needs"),
    ({"multiprocessing_context": "fork"}, ValueError, "multiprocessing_context can only be used"),
    ({"sampler": [1], "shuffle": True}, ValueError, "mutually exclusive with shuffle"),
    ({"batch_sampler": [[1]], "batch_size": 2}, ValueError, "mutually exclusive with batch_size"),
    ({"batch_sampler": [[1]], "drop_last": True}, ValueError, "mutually exclusive with batch_size"),
    ({"batch_size": None, "drop_last": True}, ValueError, "disables auto-batching"),
    ({"batch_size": 0}, ValueError, "batch_size should be a positive integer"),
    ({"dataset": Stream(), "shuffle": True}, ValueError, "expected unspecified shuffle option"),
    ({"dataset": Stream(), "sampler": [1]}, ValueError, "expected unspecified sampler option"),
    ({"dataset": Stream(), "batch_sampler": [[1]]}, ValueError, "unspecified batch_sampler"),
    ({"dataset": [], "shuffle": True}, ValueError, "num_samples should be a positive integer"),
]


@pytest.mark.parametrize(("options", "error", "text"), BAD)
def test_loader_errors(options, error, text):
    with pytest.raises(error, match=text):
        DataLoader(**{"dataset": D, **options})


def test_what_is_fixed_stays():
    loader = DataLoader(D, 2)
    for name in ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset"):
        with pytest.raises(ValueError, match="should not be set after DataLoader is initialized"):
            setattr(loader, name, None)
    loader.collate_fn = len
    assert next(iter(loader)) == 2
