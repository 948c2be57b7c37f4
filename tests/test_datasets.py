"""minigrad.datasets: tables, names and text."""

from __future__ import annotations

import collections
import sys

import numpy as np
import pytest

import minigrad as mg
from minigrad import datasets
from minigrad.datasets import Standardization, Table, Text, Vocabulary
from minigrad.utils.data import DataLoader

# name, rows, features, classes (None: values), the mean of the first feature
TABLES = [
    ("iris", 150, 4, ("setosa", "versicolor", "virginica"), 5.8433),
    ("wine", 178, 13, ("class_0", "class_1", "class_2"), 13.0006),
    ("breast_cancer", 569, 30, ("malignant", "benign"), 14.1273),
    ("diabetes", 442, 10, None, 48.5181),
]


@pytest.mark.parametrize(("name", "rows", "features", "classes", "mean"), TABLES)
def test_tables(name, rows, features, classes, mean):
    pytest.importorskip("sklearn")
    table = getattr(datasets, name)()
    assert table.name == name and len(table) == rows and table.data.shape == (rows, features)
    assert table.data.dtype is mg.float32 and table.target.shape == (rows,)
    assert table.target.dtype is (mg.float32 if classes is None else mg.int64)
    assert table.target_names == classes and len(set(table.feature_names)) == features
    assert abs(table.data[:, 0].mean().item() - mean) < 1e-3
    data, target = next(iter(DataLoader(table, batch_size=rows)))
    assert (data == table.data).all() and (target == table.target).all()
    assert table[3][1].item() == table.target[3].item()
    assert f"{rows} rows" in repr(table)


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r"minigrad\.datasets\.iris .*'minigrad\[datasets\]'"):
        datasets.iris()


def make_table(rows=20, classes=(0, 1)):
    data = mg.arange(rows * 2).float().reshape(rows, 2)
    target = mg.tensor([classes[row % len(classes)] for row in range(rows)])
    return Table("made", data, target, ["a", "b"], [str(each) for each in classes])


def row_numbers(table):
    return (table.data[:, 0] / 2).long().tolist()


def test_split():
    table = make_table()
    train, test = table.split(0.3)
    assert len(test) == 6 and sorted(row_numbers(train) + row_numbers(test)) == list(range(20))
    assert test.target.tolist().count(0) == 3
    assert row_numbers(table.split(0.3)[1]) == row_numbers(test)
    assert row_numbers(table.split(0.3, seed=1)[1]) != row_numbers(test)
    assert len(table.split(5)[1]) == 5 and len(table.split(0.0)[1]) == 0
    for size in range(21):  # with classes of unequal size: every share is rounded up or down
        uneven = make_table(classes=(0, 1, 1, 2, 2))
        counts = collections.Counter(uneven.split(size)[1].target.tolist())
        assert sum(counts.values()) == size
        for label, count in collections.Counter(uneven.target.tolist()).items():
            assert abs(counts[label] - count * size / 20) < 1
    plain = [table.split(10, seed=seed, stratify=False)[1].target.sum() for seed in range(8)]
    assert len({total.item() for total in plain}) > 1


def test_split_does_not_touch_the_default_generator():
    mg.manual_seed(0)
    expected = mg.rand(3).tolist()
    mg.manual_seed(0)
    make_table().split()
    assert mg.rand(3).tolist() == expected


BAD = [
    (lambda: make_table().split(1.5), "test must be a fraction from 0 to 1 or a number of the 20"),
    (lambda: make_table().split(21), "or a number of the 20 rows"),
    (lambda: make_table().split(-1), "or a number of the 20 rows"),
    (lambda: Table("t", mg.ones(3, 2), mg.ones(3), ["a"]), r"need data of shape \(N, 1\)"),
    (lambda: Table("t", mg.ones(3, 1), mg.ones(2), ["a"]), "3 rows, but 2 targets"),
    (
        lambda: Table("t", mg.ones(3, 1), mg.ones(3), ["a"]).split(1, stratify=True),
        "stratify=True needs classes",
    ),
    (lambda: Standardization.fit(mg.ones(0, 2)), r"no data, the shape is \(0, 2\)"),
    (lambda: Vocabulary("a.", end="."), "the end character '.' occurs"),
    (lambda: Text("", "here"), "text of here is empty"),
    (lambda: Text("abc", "here").batch(1, 3), "need a text of 4, this one has 3"),
    (lambda: Text("abc", "here").split(0.0), "leaves one part of 3 characters empty"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_standardization_is_fitted_to_the_training_part():
    train, test = make_table().split(0.3)
    values = train.data.numpy().astype(np.float64)
    scaled = train.standardized()
    np.testing.assert_allclose(scaled.data.mean(0).numpy(), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.data.numpy().std(0), 1, rtol=1e-5)
    expected = (test.data.numpy() - values.mean(0)) / values.std(0)
    np.testing.assert_allclose(test.standardized(by=train).data.numpy(), expected, rtol=1e-5)
    assert scaled.target.tolist() == train.target.tolist()


def test_standardization():
    # Far from 0, and one feature that is constant.
    data = mg.tensor([[1e4 + 1, 5.0], [1e4 - 1, 5.0]])
    scale = Standardization.fit(data)
    assert scale.mean.dtype is mg.float32 and scale(data).tolist() == [[1, 0], [-1, 0]]
    assert scale.inverse(scale(data)).tolist() == data.tolist()
    images = mg.rand(10, 3, 4, 4, dtype=mg.float64) * mg.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1)
    scale = Standardization.fit(images, dim=(0, 2, 3))
    assert scale.mean.shape == (1, 3, 1, 1) and scale.mean.dtype is mg.float64
    np.testing.assert_allclose(scale(images).numpy().std((0, 2, 3)), 1)
    assert Standardization.fit(mg.tensor([[1], [3]])).std.tolist() == [[1.0]]
    assert repr(scale).startswith("Standardization(mean=[")


def test_vocabulary():
    vocabulary = Vocabulary(["ba", "ca"], end=".")
    assert vocabulary.characters == ".abc" and len(vocabulary) == 4
    assert vocabulary.encode("cab").tolist() == [3, 1, 2]
    assert vocabulary.encode("").shape == (0,)
    assert vocabulary.decode(mg.tensor([3, 1, 2])) == "cab"
    assert vocabulary.decode([3, 1, 0, 2]) == "ca"
    assert Vocabulary("ba").decode([0, 1]) == "ab"
    with pytest.raises(KeyError, match="character 'd' is not one of"):
        vocabulary.encode("bad")


def test_names():
    names = datasets.names()
    assert len(names) == 5494 and names.names[0] == "mary" and names.data.shape == (5494, 12)
    assert names.target.sum().item() == 1219 and names.target_names == ("female", "male")
    assert len(names.vocabulary) == 27 and len(set(names.names)) == 5494 - 331
    for row in (0, 17, 5493):
        assert names.vocabulary.decode(names.data[row]) == names.names[row]
        assert names.lengths[row].item() == len(names.names[row])
    assert (names.data[:, -1] == 0).all() and 89 < names.share[names.target == 0].sum().item() < 91
    train, test = names.split(0.1)
    assert not set(train.names) & set(test.names) and len(train) + len(test) == 5494
    assert train.data.shape[1] == test.data.shape[1] == 12
    assert abs(test.target.float().mean().item() - 1219 / 5494) < 0.05
    data, target = next(iter(DataLoader(names, 32)))
    assert data.shape == (32, 12) and target.shape == (32,)


def test_text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("hello, hello wörld", encoding="utf-8")
    text = datasets.text(path)
    assert len(text) == 18 and text.vocabulary.decode(text.data) == text.text
    first, last = text.split(5)
    assert first.text + last.text == text.text and last.text == "wörld"
    assert last.vocabulary is text.vocabulary
    generator = mg.Generator().manual_seed(0)
    starts = set()
    for _ in range(50):
        inputs, targets = text.batch(4, 16, generator=generator)
        assert inputs.shape == targets.shape == (4, 16)
        assert (inputs[:, 1:] == targets[:, :-1]).all()
        for row in inputs:
            starts.add(text.text.index(text.vocabulary.decode(row)))
    assert starts == {0, 1}  # the last one that has a character after it, too


def test_text_that_python_carries():
    text = datasets.text()
    assert len(text) > 100_000 and len(text.vocabulary) < 128 and "lambda" in text.text
    assert datasets.text().text == text.text
