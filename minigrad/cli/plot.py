"""The picture of a run: loss and accuracy by epoch, the confusion matrix, and the errors."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence
from typing import Any

HOW_TO_INSTALL = "matplotlib is not installed; in the checkout run: pip install -e '.[train]'"

TRAIN, TEST = "#4477aa", "#cc3311"
MOST_ERRORS = 12  # shown


def available() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def _curves(axes: Any, history: Sequence[Any], name: str, legend: str) -> None:
    epochs = [epoch.epoch for epoch in history]
    marker = "o" if len(history) == 1 else None
    for part, color in (("train", TRAIN), ("test", TEST)):
        values = [getattr(epoch, f"{part}_{name}") for epoch in history]
        axes.plot(epochs, values, color=color, linewidth=1.8, marker=marker, label=part)
    axes.set_xlabel("epoch")
    axes.set_title(name, loc="left")
    axes.grid(color="0.9", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.02)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, loc=legend)


def _confusion(axes: Any, matrix: Sequence[Sequence[int]]) -> None:
    """Counts as numbers; the colour is the share of the row, so that errors show beside hits."""
    shares = [[count / max(1, sum(row)) for count in row] for row in matrix]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for target, row in enumerate(matrix):
        for prediction, count in enumerate(row):
            if count:
                color = "white" if shares[target][prediction] > 0.5 else TEST
                axes.text(
                    prediction, target, count, ha="center", va="center", color=color, fontsize=9
                )
    ticks = range(len(matrix))
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title("confusion matrix (test)", loc="left")
    axes.tick_params(length=0)


def _errors(panel: Any, wrong: Sequence[tuple[Any, int, int]]) -> None:
    """The test images that were not recognised."""
    shown = wrong[:MOST_ERRORS]
    count = f", {len(shown)} of {len(wrong)}" if len(shown) < len(wrong) else ""
    panel.suptitle(f"errors on the test images{count}", x=0.01, ha="left", fontsize=12)
    for axes in panel.subplots(1, MOST_ERRORS).flat:
        axes.set_axis_off()
        if shown:
            image, target, prediction = shown[0]
            shown = shown[1:]
            axes.imshow(image, cmap="gray_r", vmin=0, vmax=1)
            axes.set_title(f"{target}, read as {prediction}", fontsize=8)


def draw(
    title: str,
    history: Sequence[Any],
    confusion: Sequence[Sequence[int]],
    wrong: Sequence[tuple[Any, int, int]],
) -> bytes:
    """The picture as PNG.

    history: objects with epoch, train_loss, test_loss, train_accuracy, test_accuracy.
    wrong: (rows of pixels from 0 to 1, true label, predicted label).
    """
    # Figure without pyplot: no window system, no state shared with the caller's own plots.
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure: Any = Figure(figsize=(13, 5.9 if wrong else 4.3), dpi=120, layout="constrained")
    panels = figure.subfigures(2, 1, height_ratios=[3.3, 1]) if wrong else [figure]
    loss, accuracy, matrix = panels[0].subplots(1, 3, width_ratios=[1, 1, 1])
    figure.suptitle(title, x=0.01, ha="left", fontsize=14, fontweight="bold")
    _curves(loss, history, "loss", "upper right")
    loss.set_yscale("log")
    _curves(accuracy, history, "accuracy", "lower right")
    accuracy.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    # The first epochs would flatten the rest: what matters happens near the end.
    low = min(
        min(epoch.train_accuracy, epoch.test_accuracy) for epoch in history[-len(history) // 2 :]
    )
    accuracy.set_ylim(max(0.0, low - 0.03), 1.002)
    _confusion(matrix, confusion)
    if wrong:
        _errors(panels[1], wrong)
    buffer = io.BytesIO()
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
