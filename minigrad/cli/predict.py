"""classify the test digits with the weights of a file

The network is recognised by the names and shapes of its weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import minigrad

from ..vision.datasets import Digits
from .errors import CommandError
from .evaluate import confusion_matrix, evaluate, format_confusion, format_scores
from .models import MODELS, kind_of

NAME = "predict"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `minigrad predict`."""
    parser.add_argument(
        "--weights", type=Path, required=True, metavar="FILE", help="as written by minigrad train"
    )


def run(options: argparse.Namespace) -> None:
    """Loads the weights, classifies, prints accuracy, confusion matrix and the errors."""
    path = options.weights
    try:
        weights = minigrad.load(path)
    except Exception as error:
        reason = getattr(error, "strerror", None) or error
        raise CommandError(f"cannot read weights from {path}: {reason}") from error
    kind = kind_of(weights) if isinstance(weights, dict) else None
    if kind is None:
        raise CommandError(f"{path} does not hold the weights of one of: {', '.join(MODELS)}")
    network = MODELS[kind]()
    network.load_state_dict(weights)
    digits = Digits(train=False)
    score = evaluate(network, digits)
    targets = digits.targets.tolist()
    print(f"{kind} from {path}\n")
    print(format_scores({"test": score}), end="\n\n")
    print(format_confusion(confusion_matrix(targets, score.predictions, len(digits.classes))))
