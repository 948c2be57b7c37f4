"""Datasets, samplers, collation and the DataLoader."""

from __future__ import annotations

from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import minigrad as mg
from minigrad.utils import data
from minigrad.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    default_collate,
    default_convert,
    random_split,
)


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


# ---- datasets ----


def test_tensor_dataset():
    dataset = make_dataset()
    x, y = dataset[3]
    assert x.tolist() == [6, 7] and y.item() == 3 and len(dataset) == 10
    with pytest.raises(AssertionError, match="Size mismatch between tensors"):
        TensorDataset(mg.ones(2), mg.ones(3))


def test_subset_and_concat():
    dataset = make_dataset()
    subset = Subset(dataset, [5, 1])
    assert len(subset) == 2 and subset[0][1].item() == 5
    assert [y.item() for _, y in subset.__getitems__([1, 0])] == [1, 5]
    assert subset[[0, 1]][1].tolist() == [5, 1]
    both = subset + dataset
    assert isinstance(both, ConcatDataset) and len(both) == 12
    assert both[1][1].item() == 1 and both[2][1].item() == 0 and both[-1][1].item() == 9
    with pytest.raises(ValueError, match="absolute value of index"):
        both[-13]
    with pytest.raises(IndexError):
        both[12]
    with pytest.raises(AssertionError, match="empty iterable"):
        ConcatDataset([])
    with pytest.raises(AssertionError, match="IterableDataset"):
        ConcatDataset([Stream()])

    class Half(Subset):
        def __getitem__(self, index):
            return 0

    with pytest.raises(NotImplementedError, match="__getitems__"):
        Half(dataset, [0])


def test_random_split():
    dataset = make_dataset()
    first, second = random_split(dataset, [7, 3], generator=mg.Generator().manual_seed(1))
    assert len(first) == 7 and sorted(first.indices + second.indices) == list(range(10))
    again, _ = random_split(dataset, [7, 3], generator=mg.Generator().manual_seed(1))
    assert again.indices == first.indices != sorted(first.indices)
    assert [len(part) for part in random_split(dataset, [0.33, 0.33, 0.34])] == [4, 3, 3]
    assert [len(part) for part in random_split(range(1), [1])] == [1]
    with pytest.raises(ValueError, match="Sum of input lengths"):
        random_split(dataset, [7, 4])
    with pytest.raises(ValueError, match="Fraction at index 0 is not between 0 and 1"):
        random_split(dataset, [-0.5, 1.5])
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
        random_split(make_dataset(1), [0.9, 0.1])


def test_abstract_classes_say_so():
    for call in (
        lambda: Dataset()[0],
        lambda: iter(IterableDataset()),
        lambda: iter(data.Sampler()),
    ):
        with pytest.raises(NotImplementedError):
            call()


# ---- samplers ----


def test_samplers():
    assert list(SequentialSampler(range(4))) == [0, 1, 2, 3]
    sampler = RandomSampler(range(100))
    first, second = list(sampler), list(sampler)
    assert sorted(first) == list(range(100)) and first != second and len(sampler) == 100
    assert len(list(RandomSampler(range(3), num_samples=8))) == 8
    assert sorted(RandomSampler(range(3), num_samples=6)) == [0, 0, 1, 1, 2, 2]
    drawn = list(RandomSampler(range(3), replacement=True, num_samples=100))
    assert set(drawn) == {0, 1, 2} and len(drawn) == 100
    assert sorted(SubsetRandomSampler([4, 2, 9])) == [2, 4, 9]
    batches = BatchSampler(SequentialSampler(range(7)), 3, False)
    assert list(batches) == [[0, 1, 2], [3, 4, 5], [6]] and len(batches) == 3
    batches = BatchSampler(SequentialSampler(range(7)), 3, True)
    assert list(batches) == [[0, 1, 2], [3, 4, 5]] and len(batches) == 2


def test_samplers_take_generators():
    for make in (
        lambda g: RandomSampler(range(50), generator=g),
        lambda g: RandomSampler(range(50), replacement=True, generator=g),
        lambda g: SubsetRandomSampler(list(range(50)), generator=g),
    ):
        first = list(make(mg.Generator().manual_seed(3)))
        assert first == list(make(mg.Generator().manual_seed(3)))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: RandomSampler(range(3), replacement=1), TypeError, "replacement should be"),
        (lambda: RandomSampler(range(3), num_samples=0), ValueError, "num_samples should be"),
        (lambda: RandomSampler([]), ValueError, "num_samples=0"),
        (lambda: BatchSampler([1], 0, False), ValueError, "batch_size should be a positive"),
        (lambda: BatchSampler([1], True, False), ValueError, "batch_size should be a positive"),
        (lambda: BatchSampler([1], 1, 1), ValueError, "drop_last should be a boolean"),
    ],
)
def test_sampler_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


# ---- collation ----

Point = namedtuple("Point", ["x", "y"])


def test_default_collate():
    assert default_collate([mg.ones(2), mg.zeros(2)]).tolist() == [[1, 1], [0, 0]]
    assert default_collate([np.ones(2), np.zeros(2)]).dtype is mg.float64
    assert default_collate([1, 2]).dtype is mg.int64
    assert default_collate([1.5, 2.0]).dtype is mg.float64
    assert default_collate([True, False]).tolist() == [True, False]
    assert default_collate([np.float32(1), np.float32(2)]).dtype is mg.float32
    assert default_collate(["a", "b"]) == ["a", "b"]
    x, y = default_collate([(1, "a"), (2, "b")])
    assert x.tolist() == [1, 2] and y == ("a", "b")
    mapping = default_collate([OrderedDict(a=1), OrderedDict(a=2)])
    assert type(mapping) is OrderedDict and mapping["a"].tolist() == [1, 2]
    point = default_collate([Point(1, 2), Point(3, 4)])
    assert type(point) is Point and point.x.tolist() == [1, 3]
    nested = default_collate([[1, [2]], [3, [4]]])
    assert nested[1][0].tolist() == [2, 4]
    with pytest.raises(RuntimeError, match="equal size"):
        default_collate([[1], [1, 2]])
    with pytest.raises(TypeError, match="default_collate: batch must contain tensors"):
        default_collate([object()])
    with pytest.raises(TypeError, match="found <U1"):
        default_collate([np.array(["a"])])


def test_default_convert():
    converted = default_convert({"a": np.ones(2), "b": (np.float64(1), "s"), "c": Point(1, 2)})
    assert isinstance(converted["a"], mg.Tensor) and isinstance(converted["b"][0], mg.Tensor)
    assert converted["b"][1] == "s" and converted["c"] == Point(1, 2)


# ---- the loader ----


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
    ({"num_workers": 2}, NotImplementedError, "num_workers=2"),
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
