"""`EarlyStopping` and `Checkpoint`: plain objects for a training loop of one's own.

stopping = EarlyStopping(model, patience=10)
checkpoint = Checkpoint("runs/digits", model=model, optimizer=optimizer)
for epoch in range(checkpoint.resume(), epochs):
    ...                                     # train, then validate
    checkpoint.save(epoch + 1, metric=loss)
    if stopping.step(loss):
        break
stopping.restore()
"""

from __future__ import annotations

import math
import os
import re
from copy import deepcopy
from pathlib import Path
from typing import Any, SupportsFloat

from .autograd import no_grad
from .ops.random import get_rng_state, set_rng_state
from .serialization import load, save
from .tensor import Tensor

__all__ = ["Checkpoint", "EarlyStopping"]


class _Best:
    """The best value of a metric so far."""

    def __init__(self, mode: str, min_delta: float) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', got {mode!r}")
        if not min_delta >= 0:
            raise ValueError(f"min_delta must be at least 0, got {min_delta}")
        self.sign = 1.0 if mode == "min" else -1.0
        self.min_delta = min_delta
        self.value = self.sign * math.inf

    def improves(self, metric: float) -> bool:
        """Whether the metric is better by more than min_delta; it is the best then. NaN never
        is."""
        if not self.sign * metric < self.sign * self.value - self.min_delta:
            return False
        self.value = metric
        return True


class EarlyStopping:
    """Says when a metric has stopped improving, and brings the best weights back.

    `step` takes the metric after each epoch. It returns True after `patience` epochs in a row
    without an improvement, which is a change by more than `min_delta` towards the smaller (`mode`
    "min") or the larger ("max"); NaN is none. With `restore_best` the weights of the best epoch are
    kept in memory, and put back when `step` returns True; a loop that ends before that calls
    `restore`. Prechelt, 1998, "Early stopping - but when?"

    `model` is a module, or anything with `state_dict` and `load_state_dict`.
    """

    def __init__(
        self,
        model: Any,
        patience: int = 10,
        min_delta: float = 0.0,
        mode: str = "min",
        restore_best: bool = True,
    ) -> None:
        if patience < 1:
            raise ValueError(f"EarlyStopping: patience must be at least 1, got {patience}")
        self.model = model
        self.patience = patience
        self.restore_best = restore_best
        self._best = _Best(mode, min_delta)
        self.epoch = 0
        self.best_epoch = 0
        self._weights: dict[str, Any] | None = None

    @property
    def best(self) -> float:
        """The best metric so far; ±inf before the first."""
        return self._best.value

    @property
    def epochs_without_improvement(self) -> int:
        """Epochs since the best one."""
        return self.epoch - self.best_epoch

    def step(self, metric: SupportsFloat) -> bool:
        """Takes the metric of an epoch; True where it is time to stop."""
        self.epoch += 1
        if self._best.improves(float(metric)):
            self.best_epoch = self.epoch
            if self.restore_best:
                self._keep()
        if self.epochs_without_improvement < self.patience:
            return False
        self.restore()
        return True

    def _keep(self) -> None:
        state = self.model.state_dict()
        known = self._weights
        if known is None or not _copied(state, known):
            self._weights = deepcopy(state)

    def restore(self) -> None:
        """Puts the weights of the best epoch back; nothing where there is none or
        `restore_best` is off."""
        if self._weights is not None:
            self.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """What is remembered, with the best weights, to go on in another process."""
        return {
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "best": self._best.value,
            "weights": self._weights,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes what `state_dict` gave."""
        self.epoch = state_dict["epoch"]
        self.best_epoch = state_dict["best_epoch"]
        self._best.value = state_dict["best"]
        self._weights = deepcopy(state_dict["weights"])


@no_grad()
def _copied(state: dict[str, Any], into: dict[str, Any]) -> bool:
    """Copies tensors into those of an earlier copy, which spares new memory each time; False where
    they do not fit."""
    if state.keys() != into.keys():
        return False
    for name, value in state.items():
        old = into[name]
        same = isinstance(value, Tensor) and isinstance(old, Tensor)
        if not same or value.shape != old.shape or value.dtype != old.dtype:
            return False
    for name, value in state.items():
        into[name].copy_(value)
    return True


class Checkpoint:
    """Writes the state of a training run, to go on from after an interruption.

    `parts` are named objects with `state_dict` and `load_state_dict`: the model, the optimizer, the
    schedule, the early stopping. `save` writes them all, with the state of the random generator,
    into ``epoch-000012.safetensors`` of the directory, atomically; of these the last `keep` stay.
    With a `metric`, the best so far also stands in ``best.safetensors`` (`mode` "min": the
    smallest). `resume` reads the last file.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        keep: int = 1,
        mode: str = "min",
        **parts: Any,
    ) -> None:
        if keep < 1:
            raise ValueError(f"Checkpoint: keep must be at least 1, got {keep}")
        if not parts:
            raise ValueError("Checkpoint: nothing to save; name the parts, as in model=model")
        for name, part in parts.items():
            if not hasattr(part, "state_dict") or not hasattr(part, "load_state_dict"):
                raise TypeError(
                    f"Checkpoint: {name} has no state_dict and load_state_dict: "
                    f"{type(part).__name__}"
                )
        self.directory = Path(directory)
        self.keep = keep
        self.parts = parts
        self._best = _Best(mode, 0.0)

    @property
    def best(self) -> float:
        """The best metric so far; ±inf before the first."""
        return self._best.value

    def save(self, epoch: int, metric: SupportsFloat | None = None) -> Path:
        """Writes a checkpoint after `epoch` epochs, and returns its path."""
        self.directory.mkdir(parents=True, exist_ok=True)
        better = metric is not None and self._best.improves(float(metric))
        state = {
            "epoch": epoch,
            "metric": None if metric is None else float(metric),
            "best": self._best.value,
            "random": get_rng_state(),
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
        }
        path = self.directory / f"epoch-{epoch:06d}.safetensors"
        save(state, path)
        if better:
            save(state, self.directory / "best.safetensors")
        for old in self._files()[: -self.keep]:
            if old != path:
                old.unlink()
        return path

    def _files(self) -> list[Path]:
        """The checkpoints of epochs, the oldest first."""
        if not self.directory.is_dir():
            return []
        found = []
        for path in self.directory.iterdir():
            match = re.fullmatch(r"epoch-(\d+)\.safetensors", path.name)
            if match:
                found.append((int(match[1]), path))
        return [path for _, path in sorted(found)]

    def resume(self) -> int:
        """Loads the last checkpoint into the parts and the random generator; the number of epochs
        that are done, 0 where there is no checkpoint."""
        files = self._files()
        return self.load(files[-1]) if files else 0

    def load_best(self) -> int:
        """Loads the checkpoint with the best metric; the number of its epoch."""
        return self.load(self.directory / "best.safetensors")

    def load(self, path: str | os.PathLike[str]) -> int:
        """Loads a checkpoint; the number of epochs that were done."""
        state = load(path)
        if not isinstance(state, dict) or "parts" not in state:
            raise ValueError(f"{os.fspath(path)!r} is not a checkpoint")
        missing = self.parts.keys() ^ state["parts"].keys()
        if missing:
            raise ValueError(
                f"the checkpoint {os.fspath(path)!r} has the parts {sorted(state['parts'])}, but "
                f"this one has {sorted(self.parts)}"
            )
        for name, part in self.parts.items():
            part.load_state_dict(state["parts"][name])
        self._best.value = state["best"]
        set_rng_state(state["random"])
        return state["epoch"]
