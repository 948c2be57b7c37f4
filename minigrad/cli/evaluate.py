"""What a trained network does on a part of the digits, and how that is printed."""

from __future__ import annotations

from dataclasses import dataclass

import minigrad

from .. import nn
from ..vision.datasets import Digits


@dataclass
class Score:
    """Mean loss, share of right answers, and the predicted label of each image."""

    loss: float
    accuracy: float
    predictions: list[int]


def evaluate(network: nn.Module, digits: Digits) -> Score:
    """Classifies all images at once, with the network in evaluation mode."""
    network.eval()
    with minigrad.no_grad():
        logits = network(digits.data)
        loss = nn.functional.cross_entropy(logits, digits.targets).item()
        predicted = logits.argmax(dim=1)
        right = (predicted == digits.targets).sum().item()
    return Score(loss, right / len(digits), predicted.tolist())


def confusion_matrix(targets: list[int], predictions: list[int], classes: int) -> list[list[int]]:
    """How often images of class `row` were taken for class `column`."""
    matrix = [[0] * classes for _ in range(classes)]
    for target, prediction in zip(targets, predictions, strict=True):
        matrix[target][prediction] += 1
    return matrix


def format_confusion(matrix: list[list[int]]) -> str:
    """The matrix as text: a row for each true class, with the share of it that was recognised."""
    width = max(4, *(len(str(count)) + 1 for row in matrix for count in row))
    header = "".join(f"{column:>{width}}" for column in range(len(matrix)))
    lines = [f"true \\ predicted{header}   recognised"]
    for label, row in enumerate(matrix):
        counts = "".join(f"{count or '.':>{width}}" for count in row)
        share = row[label] / sum(row) if sum(row) else 0.0
        lines.append(f"{label:>16}{counts}      {share:>7.2%}")
    return "\n".join(lines)


def format_scores(scores: dict[str, Score]) -> str:
    """A table with a row for each part of the data."""
    lines = [f"{'':<7}{'images':>8}{'loss':>11}{'accuracy':>11}"]
    for name, score in scores.items():
        count = len(score.predictions)
        loss = f"{score.loss:.4f}" if score.loss < 1e4 else f"{score.loss:.3g}"
        lines.append(f"{name:<7}{count:>8}{loss:>11}{score.accuracy:>11.2%}")
    return "\n".join(lines)
