"""The command `minigrad` and the digits that it trains on."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import minigrad
from minigrad.cli import main
from minigrad.cli.train import shift
from minigrad.utils.data import DataLoader, Subset
from minigrad.vision import make_digits
from minigrad.vision.datasets import Digits


def run(*arguments: object, **options) -> subprocess.CompletedProcess:
    """`python -m minigrad` in a process of its own."""
    command = [sys.executable, "-m", "minigrad", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


# ---- the digits ----


def test_digits_are_the_known_ones():
    with np.load(make_digits.TARGET, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    digest = hashlib.sha256()
    for name in ("images", "labels", "test"):
        digest.update(arrays[name].tobytes())
    assert digest.hexdigest() == "59c2d4702c0b980022bd3b9c80c5566ef6155bbde8bb604ddb194b44996408e3"


def test_digits_file_is_reproducible():
    pytest.importorskip("sklearn")
    arrays = make_digits.make()
    with np.load(make_digits.TARGET, allow_pickle=False) as archive:
        assert sorted(archive.files) == sorted(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(archive[name], array)
    assert make_digits.archive(arrays) == make_digits.archive(arrays)


def test_split_is_stratified_and_complete():
    train, test = Digits(train=True), Digits(train=False)
    assert (len(train), len(test)) == (1438, 359)
    counts = np.bincount(test.targets.numpy(), minlength=10)
    whole = counts + np.bincount(train.targets.numpy(), minlength=10)
    assert (abs(counts - whole / 5) < 1).all()
    pixels = np.concatenate([train.data.numpy(), test.data.numpy()]).reshape(1797, 64)
    with np.load(make_digits.TARGET) as archive:
        expected = archive["images"].reshape(1797, 64) / 16
    assert sorted(map(tuple, pixels)) == sorted(map(tuple, expected.astype(np.float32)))


def test_items_and_transforms():
    digits = Digits(train=False)
    image, label = digits[3]
    assert image.shape == (1, 8, 8) and image.dtype is minigrad.float32 and type(label) is int
    assert image.min().item() >= 0 and image.max().item() <= 1
    with pytest.raises(IndexError):
        digits[len(digits)]
    changed = Digits(train=False, transform=lambda x: 1 - x, target_transform=lambda y: y % 2)
    inverse, parity = changed[3]
    np.testing.assert_allclose(inverse.numpy(), 1 - image.numpy())
    assert parity == label % 2
    assert "Digits" in repr(digits) and "Test" in repr(digits)


@pytest.mark.parametrize("subset", [False, True])
def test_loader_gives_the_same_with_and_without_its_short_cut(subset):
    plain = Digits(train=False)
    transformed = Digits(train=False, transform=lambda image: image)
    if subset:
        plain, transformed = Subset(plain, range(5, 50)), Subset(transformed, range(5, 50))
    pairs = zip(DataLoader(plain, 16), DataLoader(transformed, 16), strict=True)
    for (images, labels), (other_images, other_labels) in pairs:
        assert images.shape == other_images.shape and labels.dtype is other_labels.dtype
        np.testing.assert_array_equal(images.numpy(), other_images.numpy())
        np.testing.assert_array_equal(labels.numpy(), other_labels.numpy())


def test_shift_moves_by_at_most_a_pixel():
    images = Digits(train=False).data[:200]
    moved = shift(images).numpy()
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    found = set()
    for image, margin in zip(moved, padded, strict=True):
        places = [
            (row, column)
            for row in range(3)
            for column in range(3)
            if (image == margin[:, row : row + 8, column : column + 8]).all()
        ]
        assert places
        found.update(places)
    assert len(found) == 9


# ---- train and predict ----


@pytest.fixture(scope="module", params=["mlp", "cnn"])
def trained(request, tmp_path_factory):
    """The output directory of a short run, and its model."""
    out = tmp_path_factory.mktemp(request.param)
    arguments = ["--model", request.param, "--epochs", "2", "--out", str(out)]
    assert main(["train", *arguments]) == 0
    return request.param, out


def test_train_writes_weights_and_history(trained):
    model, out = trained
    history = json.loads((out / "history.json").read_text())
    assert history["arguments"]["model"] == model
    assert [epoch["epoch"] for epoch in history["epochs"]] == [1, 2]
    assert history["epochs"][-1]["test_accuracy"] == history["final"]["test"]["accuracy"]
    assert sum(map(sum, history["confusion"])) == 359
    assert history["samples_per_second"] > 0
    assert minigrad.load(out / "weights.safetensors")


def test_train_draws(trained):
    pytest.importorskip("matplotlib")
    assert (trained[1] / "curves.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_predict_finds_the_accuracy_of_the_training(trained, capsys):
    model, out = trained
    assert main(["predict", "--weights", str(out / "weights.safetensors")]) == 0
    text = capsys.readouterr().out
    accuracy = json.loads((out / "history.json").read_text())["final"]["test"]["accuracy"]
    assert text.startswith(f"{model} from ") and f"{accuracy:.2%}" in text
    assert "true \\ predicted" in text


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_same_seed_same_result_for_any_number_of_threads(optimizer, tmp_path):
    results = []
    for number, (seed, threads) in enumerate([(3, 1), (3, 2), (4, 1)]):
        out = tmp_path / str(number)
        arguments = ["--seed", seed, "--threads", threads, "--optimizer", optimizer, "--out", out]
        assert main(["train", "--epochs", "1", *map(str, arguments)]) == 0
        history = json.loads((out / "history.json").read_text())
        results.append(((out / "weights.safetensors").read_bytes(), history["epochs"]))
    assert results[0] == results[1]
    assert results[0] != results[2]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "accuracy"), [("mlp", 0.975), ("cnn", 0.985)])
def test_default_settings_reach_the_promised_accuracy(model, accuracy, tmp_path):
    assert main(["train", "--model", model, "--out", str(tmp_path)]) == 0
    final = json.loads((tmp_path / "history.json").read_text())["final"]
    assert final["test"]["accuracy"] >= accuracy


def test_info(capsys):
    assert main(["info"]) == 0
    assert minigrad.__version__ in capsys.readouterr().out
    assert main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == minigrad.__version__


# ---- what goes wrong ----


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["train", "--model", "rnn"], "invalid choice: 'rnn'"),
        (["train", "--epochs", "0"], "--epochs: must be positive, not 0"),
        (["train", "--epochs", "many"], "--epochs: invalid int value: 'many'"),
        (["train", "--lr", "nan"], "--lr: must be positive, not nan"),
        (["train", "--lr", "-1"], "--lr: must be positive"),
        (["train", "--batch-size", "0"], "--batch-size: must be positive"),
        (["train", "--optimizer", "lbfgs"], "invalid choice: 'lbfgs'"),
        (["train", "--seed", "-1"], "--seed: must be between"),
        (["train", "--threads", "0"], "--threads: must be positive"),
        (["train", "--out", os.devnull], "cannot make the directory"),
        (["predict"], "--weights"),
        (["predict", "--weights", "no-such-file"], "No such file"),
        (["predict", "--weights", __file__], "cannot read weights"),
    ],
)
def test_wrong_arguments_give_one_line_and_status_2(arguments, message, capsys):
    try:
        status = main(arguments)
    except SystemExit as end:  # argparse
        status = end.code
    captured = capsys.readouterr()
    assert status == 2
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert message in captured.err


def test_foreign_and_damaged_weights(trained, tmp_path, capsys):
    foreign = tmp_path / "foreign.safetensors"
    minigrad.save({"weight": minigrad.ones(3)}, foreign)
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes((trained[1] / "weights.safetensors").read_bytes()[:-1])
    for path in (foreign, damaged, tmp_path):
        assert main(["predict", "--weights", str(path)]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_divergence_is_named(tmp_path, capsys):
    arguments = ["--optimizer", "sgd", "--lr", "1e30", "--epochs", "2", "--out", str(tmp_path)]
    assert main(["train", *arguments]) == 1
    assert "try a smaller learning rate" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_interrupt_ends_cleanly(tmp_path):
    command = [sys.executable, "-m", "minigrad", "train", "--epochs", "100000"]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "out")], stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 60
    while not (tmp_path / "out").exists() and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "minigrad train: interrupted"
    assert "Traceback" not in errors
    assert not list((tmp_path / "out").iterdir())


def test_closed_pipe_is_quiet():
    process = subprocess.Popen(
        [sys.executable, "-m", "minigrad", "info"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.wait(timeout=60)
    process.stderr.close()


def test_without_the_extras_it_trains_and_says_what_is_missing(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.modules['tqdm'] = sys.modules['matplotlib'] = None\n"
    )
    root = Path(minigrad.__file__).parents[1]
    path = os.pathsep.join([str(tmp_path), str(root), os.environ.get("PYTHONPATH", "")])
    out = tmp_path / "out"
    arguments = ["--epochs", "2", "--out", out]
    result = run("train", *arguments, env=os.environ | {"PYTHONPATH": path})
    assert result.returncode == 0, result.stderr
    assert "no curves.png: matplotlib is not installed" in result.stdout
    assert "pip install -e '.[train]'" in result.stdout
    assert "test accuracy" in result.stderr and "100%" in result.stderr
    assert sorted(file.name for file in out.iterdir()) == ["history.json", "weights.safetensors"]


def test_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    from minigrad.files import replace_file

    path = tmp_path / "history.json"
    replace_file(path, b"old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["history.json"]
