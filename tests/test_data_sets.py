"""Datasets, samplers and collation."""

from __future__ import annotations

import collections
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
from data_helpers import Stream, make_dataset

import minigrad as mg
from minigrad.utils import data
from minigrad.utils.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    StackDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
    random_split,
)

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


def test_stack_dataset():
    dataset = make_dataset()
    pairs = StackDataset(dataset, range(10))
    assert len(pairs) == 10 and pairs[3][1] == 3 and pairs[3][0][1].item() == 3
    named = StackDataset(x=Subset(dataset, range(10)), y=range(10))
    assert named[2]["y"] == 2 and set(named[2]) == {"x", "y"}
    assert [sample["y"] for sample in named.__getitems__([4, 1])] == [4, 1]
    assert named.__getitems__([4, 1])[0]["x"][1].item() == 4
    assert [y for _, y in pairs.__getitems__([4, 1])] == [4, 1]
    for call, message in (
        (lambda: StackDataset(), "At least one dataset"),
        (lambda: StackDataset(range(2), range(3)), "Size mismatch between datasets"),
        (lambda: StackDataset(a=range(2), b=range(3)), "Size mismatch between datasets"),
        (lambda: StackDataset(range(2), b=range(2)), "both were given"),
    ):
        with pytest.raises(ValueError, match=message):
            call()

    class Short(Dataset):
        def __len__(self):
            return 10

        def __getitems__(self, indices):
            return [0]

    with pytest.raises(ValueError, match="Expected 2, got 1"):
        StackDataset(Short()).__getitems__([0, 1])


def test_chain_dataset():
    both = Stream(2) + Stream(3)
    assert isinstance(both, ChainDataset) and list(both) == [0, 1, 0, 1, 2] and len(both) == 5
    assert list(both) == [0, 1, 0, 1, 2]
    for call in (list, len):
        with pytest.raises(AssertionError, match="only supports IterableDataset"):
            call(ChainDataset([Stream(2), range(2)]))


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
        lambda g: WeightedRandomSampler([1.0] * 50, 50, generator=g),
        lambda g: WeightedRandomSampler([1.0] * 50, 50, False, generator=g),
    ):
        first = list(make(mg.Generator().manual_seed(3)))
        assert first == list(make(mg.Generator().manual_seed(3)))


def test_weighted_sampler():
    weights = [0.0, 1.0, 2.0, 0.0, 5.0, 0.0]
    drawn = list(WeightedRandomSampler(weights, 80_000, generator=mg.Generator()))
    shares = np.bincount(drawn, minlength=6) / 80_000
    np.testing.assert_allclose(shares, np.array(weights) / 8, atol=0.01)
    sampler = WeightedRandomSampler(weights, 3, replacement=False, generator=mg.Generator())
    orders = [tuple(sampler) for _ in range(4_000)]
    assert all(sorted(order) == [1, 2, 4] for order in orders) and len(sampler) == 3
    counts = collections.Counter(orders)
    # One after the other: the first by weight, the second by weight among the rest.
    for order, share in {(4, 2, 1): 5 / 8 * 2 / 3, (1, 4, 2): 1 / 8 * 5 / 7}.items():
        assert abs(counts[order] / 4_000 - share) < 0.03
    assert list(sampler) != list(sampler) or list(sampler) != list(sampler)
    assert list(WeightedRandomSampler(mg.tensor([0, 3]), 4)) == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("weights", "count", "replacement", "text"),
    [
        ([0.0, 0.0], 1, True, "no weight is above 0"),
        ([-1.0, 2.0], 1, True, "weights contain"),
        ([float("nan")], 1, False, "weights contain"),
        ([1.0, 0.0], 2, False, "cannot draw num_samples=2 without replacement from 1"),
    ],
)
def test_weights_that_cannot_be_drawn_from(weights, count, replacement, text):
    with pytest.raises(RuntimeError, match=text):
        iter(WeightedRandomSampler(weights, count, replacement))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: WeightedRandomSampler([1.0], 0), ValueError, "num_samples should be"),
        (lambda: WeightedRandomSampler([1.0], True), ValueError, "num_samples should be"),
        (lambda: WeightedRandomSampler([1.0], 1, 1), ValueError, "replacement should be"),
        (lambda: WeightedRandomSampler([[1.0]], 1), ValueError, r"weights should be a 1d .*\(1, 1"),
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
