"""train a network on the digits; write its weights, history and plots

Adam with a learning rate that falls along half a cosine, on images of which half are moved by up to
a pixel.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import minigrad

from .. import nn, optim
from .._version import __version__
from ..files import replace_file
from ..kernels import get_num_threads, isa, set_num_threads
from ..tensor import Tensor
from ..utils.data import DataLoader
from ..vision.datasets import Digits
from . import plot
from .errors import CommandError
from .evaluate import Score, confusion_matrix, evaluate, format_scores
from .models import MODELS
from .progress import Progress

NAME = "train"
OPTIMIZERS = ("adam", "adamw", "sgd")
SHIFTED = 0.5  # share of the images that are moved


@dataclass
class Epoch:
    """The state after an epoch: both parts of the data, in evaluation mode."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float


def _positive(kind: type) -> Callable[[str], Any]:
    """A converter for argparse: a finite number of that type, above zero."""

    def convert(text: str) -> int | float:
        value = kind(text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"must be positive, not {text}")
        return value

    convert.__name__ = kind.__name__  # argparse: "invalid int value: 'many'"
    return convert


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**63:
        raise argparse.ArgumentTypeError(f"must be between 0 and 2**63 - 1, not {text}")
    return value


_seed.__name__ = "int"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `minigrad train`."""
    epochs = ", ".join(f"{model.defaults['epochs']} for {kind}" for kind, model in MODELS.items())
    rates = "; ".join(
        f"{kind}: " + ", ".join(f"{name} {model.defaults[name]:g}" for name in OPTIMIZERS)
        for kind, model in MODELS.items()
    )
    count, number = _positive(int), _positive(float)
    add = parser.add_argument
    add("--model", choices=MODELS, default="mlp", help="default: mlp")
    add("--epochs", type=count, metavar="N", help=f"default: {epochs}")
    add("--lr", type=number, metavar="RATE", help=f"learning rate at the start; default: {rates}")
    add("--optimizer", choices=OPTIMIZERS, default="adam", help="default: adam; sgd: momentum 0.9")
    add("--batch-size", type=count, default=32, metavar="N", help="default: 32")
    add("--seed", type=_seed, default=0, metavar="N", help="default: 0")
    # One, because the steps are so short that a second thread gains little, while on a busy machine
    # they would wait for each other.
    add("--threads", type=count, default=1, metavar="N", help="default: 1")
    add("--out", type=Path, metavar="DIR", help="where to write; default: runs/MODEL")


def complete(options: argparse.Namespace) -> argparse.Namespace:
    """Fills in what depends on the model, and makes the directory."""
    defaults = MODELS[options.model].defaults
    options.epochs = options.epochs or defaults["epochs"]
    options.lr = options.lr or defaults[options.optimizer]
    options.out = options.out or Path("runs", options.model)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"cannot make the directory {options.out}: {error.strerror}") from error
    return options


def make_optimizer(name: str, parameters: Iterator[nn.Parameter], rate: float) -> optim.Optimizer:
    """The optimizer of that name."""
    if name == "sgd":
        return optim.SGD(parameters, lr=rate, momentum=0.9)
    return {"adam": optim.Adam, "adamw": optim.AdamW}[name](parameters, lr=rate)


def shift(images: Tensor) -> Tensor:
    """Moves about half of the images by up to a pixel in each direction; the edge fills with zeros.

    images (N, 1, 8, 8) -> (N, 1, 8, 8). Each image is cut out of itself with a margin of one pixel:
    element i of the result is element start + window[i] of the padded image.
    """
    count, _, height, width = images.shape
    padded = minigrad.zeros(count, 1, height + 2, width + 2)
    padded[:, :, 1:-1, 1:-1] = images
    rows, columns = minigrad.arange(height), minigrad.arange(width)
    window = (rows.unsqueeze(1) * (width + 2) + columns).flatten()
    moved = minigrad.rand(count) < SHIFTED
    stay = minigrad.ones(count, dtype=minigrad.int64)
    row = minigrad.where(moved, minigrad.randint(0, 3, (count,)), stay)
    column = minigrad.where(moved, minigrad.randint(0, 3, (count,)), stay)
    start = row * (width + 2) + column
    image = minigrad.arange(count).unsqueeze(1)
    return padded.flatten(1)[image, start.unsqueeze(1) + window].reshape(images.shape)


class Trainer:
    """Network, optimizer and data of one run."""

    def __init__(self, options: argparse.Namespace) -> None:
        minigrad.manual_seed(options.seed)
        self.options = options
        self.train, self.test = Digits(train=True), Digits(train=False)
        self.network = MODELS[options.model]()
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = make_optimizer(options.optimizer, self.network.parameters(), options.lr)
        self.loader = DataLoader(self.train, batch_size=options.batch_size, shuffle=True)
        self.steps = options.epochs * len(self.loader)
        self.step = 0
        self.history: list[Epoch] = []
        self.seconds = 0.0  # in training steps, without the evaluations

    def train_epoch(self, progress: Progress) -> None:
        """One pass over the training images."""
        self.network.train()
        group = self.optimizer.param_groups[0]
        begin = time.perf_counter()
        for images, labels in self.loader:
            group["lr"] = 0.5 * self.options.lr * (1 + math.cos(math.pi * self.step / self.steps))
            self.optimizer.zero_grad()
            loss = self.loss(self.network(shift(images)), labels)
            loss.backward()
            self.optimizer.step()
            self.step += 1
            progress.advance()
        self.seconds += time.perf_counter() - begin

    def run(self) -> dict[str, Score]:
        """All epochs; returns the scores at the end. A loss that is no number stops the run."""
        with Progress(self.steps, f"train {self.options.model}") as progress:
            for epoch in range(1, self.options.epochs + 1):
                self.train_epoch(progress)
                train = evaluate(self.network, self.train)
                test = evaluate(self.network, self.test)
                if not math.isfinite(train.loss):
                    raise CommandError(
                        f"the loss is {train.loss} after epoch {epoch}: the training diverged; "
                        f"try a smaller learning rate than --lr {self.options.lr:g}",
                        status=1,
                    )
                rate = self.optimizer.param_groups[0]["lr"]
                self.history.append(
                    Epoch(epoch, rate, train.loss, train.accuracy, test.loss, test.accuracy)
                )
                progress.report(f"loss {train.loss:.4f}, test accuracy {test.accuracy:.2%}")
        return {"train": train, "test": test}


def summary(trainer: Trainer, scores: dict[str, Score], confusion: list[list[int]]) -> str:
    """The history as JSON text."""
    options = trainer.options
    arguments = {
        key: getattr(options, key)
        for key in ("model", "epochs", "lr", "optimizer", "batch_size", "seed")
    }
    final = {
        name: {"images": len(score.predictions), "loss": score.loss, "accuracy": score.accuracy}
        for name, score in scores.items()
    }
    content = {
        "minigrad": __version__,
        "arguments": arguments | {"threads": get_num_threads()},
        "instruction_set": isa(),
        "seconds": trainer.seconds,
        "samples_per_second": options.epochs * len(trainer.train) / trainer.seconds,
        "final": final,
        "confusion": confusion,
        "epochs": [asdict(epoch) for epoch in trainer.history],
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def run(options: argparse.Namespace) -> None:
    """Trains, prints the table, writes the files."""
    options = complete(options)
    set_num_threads(options.threads)
    trainer = Trainer(options)
    scores = trainer.run()
    samples = options.epochs * len(trainer.train)
    print(format_scores(scores), end="\n\n")
    print(
        f"trained for {trainer.seconds:.2f} s, "
        f"{samples / trainer.seconds:,.0f} samples per second "
        f"(threads: {get_num_threads()}, instruction set: {isa()})"
    )
    targets = trainer.test.targets.tolist()
    confusion = confusion_matrix(targets, scores["test"].predictions, len(Digits.classes))
    try:
        write(trainer, scores, confusion)
    except OSError as error:
        name = error.filename or options.out
        raise CommandError(f"cannot write {name}: {error.strerror}", status=1) from error


def write(trainer: Trainer, scores: dict[str, Score], confusion: list[list[int]]) -> None:
    """Writes weights, history and plots; each file appears complete or not at all."""
    out = trainer.options.out
    weights, history, curves = out / "weights.safetensors", out / "history.json", out / "curves.png"
    minigrad.save(trainer.network.state_dict(), weights)
    replace_file(history, summary(trainer, scores, confusion).encode())
    written = [weights, history]
    if plot.available():
        wrong = [
            (trainer.test.data[index, 0].tolist(), target, prediction)
            for index, (target, prediction) in enumerate(
                zip(trainer.test.targets.tolist(), scores["test"].predictions, strict=True)
            )
            if target != prediction
        ]
        title = f"{trainer.options.model} on the digits, seed {trainer.options.seed}"
        replace_file(curves, plot.draw(title, trainer.history, confusion, wrong))
        written.append(curves)
    print("wrote " + ", ".join(str(path) for path in written))
    if curves not in written:
        print(f"no {curves.name}: {plot.HOW_TO_INSTALL}")
