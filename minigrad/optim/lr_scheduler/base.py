"""`LRScheduler`, and the schedules that multiply the present learning rate."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...autograd import no_grad
from ...tensor import Tensor
from ..optimizer import Optimizer

__all__ = ["LRScheduler"]

Rate = float | Tensor


class LRScheduler:
    """Base class of schedules: `get_lr` gives the learning rates of epoch `last_epoch`.

    Making a schedule sets the rates of the first epoch. `last_epoch` other than -1 goes on from a
    saved state: the groups then have to have the ``initial_lr`` that an earlier schedule left.
    Subclasses with `_get_closed_form_lr` can jump to an epoch.
    """

    _get_lr_called_within_step = False
    _is_initial = False
    _step_count: int
    _last_lr: list[Any]

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for index, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", copied(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{index}] when resuming "
                    "scheduler with last_epoch >= 0. Load the optimizer's state_dict before making "
                    "the scheduler, or leave last_epoch at -1 for a new run."
                )
        self.base_lrs = values(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        note_steps(optimizer)
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    # ---- what users call ----

    def step(self, epoch: int | None = None) -> None:
        """Goes on by one epoch, or to the given one (deprecated in torch)."""
        if self._step_count == 1 and not self.optimizer._opt_called:
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. Call "
                "`optimizer.step()` first: otherwise the first value of the schedule is skipped.",
                UserWarning,
                stacklevel=2,
            )
        self._step_count += 1
        if epoch is not None:
            warn_epoch()
        self._update_lr(epoch)

    def get_lr(self) -> list[Any]:
        """The learning rates of `last_epoch`, one for each group; subclasses define it."""
        raise NotImplementedError

    def get_last_lr(self) -> list[Any]:
        """The learning rates that were set last, one for each group."""
        return self._last_lr

    def preview(self, steps: int, *, group: int = 0) -> list[float]:
        """The learning rates of a group in this epoch and the next ones, `steps` in all, if `step`
        is called once an epoch. Neither the schedule nor the optimizer changes."""
        twin = self._twin()
        curve: list[float] = []
        for index in range(steps):
            if index:
                twin.step()
            curve.append(float(twin.optimizer.param_groups[group]["lr"]))
        return curve

    def state_dict(self) -> dict[str, Any]:
        """All that is remembered but the optimizer; functions are not in it."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes what `state_dict` gave. The learning rates themselves are in the optimizer's."""
        self.__dict__.update(state_dict)

    # ---- inside ----

    def _update_lr(self, epoch: int | None = None) -> None:
        with self._asking():
            if epoch is None:
                self.last_epoch += 1
                rates = self.get_lr()
            else:
                self.last_epoch = epoch
                closed = getattr(self, "_get_closed_form_lr", None)
                rates = self.get_lr() if closed is None else closed()
        self._set(rates)

    def _set(self, rates: list[Any]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            assign(group, "lr", rate)
        self._last_lr = values(self.optimizer, "lr")

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """`get_lr` is called by `step`: it does not warn."""
        self._get_lr_called_within_step = True
        try:
            yield
        finally:
            self._get_lr_called_within_step = False

    def _warn_outside_of_step(self) -> None:
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use "
                "`get_last_lr()`.",
                UserWarning,
                stacklevel=3,
            )

    def _twin(self) -> Any:
        """A copy that moves the learning rates of nothing."""
        return copy.deepcopy(self, {id(self.optimizer): _Rates(self.optimizer)})


class Fraction(LRScheduler):
    """A schedule given by `_fraction(epoch)`, the fraction of the initial learning rate.

    A step multiplies the present learning rate by the quotient of two fractions, so several such
    schedules can be chained.
    """

    # Whether a schedule that goes on from a saved state leaves the rate of its first epoch as it
    # finds it; torch's schedules with steps do not.
    _keeps_resumed = True

    def _fraction(self, epoch: int) -> float:
        raise NotImplementedError

    def get_lr(self) -> list[Any]:
        """The present learning rates times the change of the fraction."""
        self._warn_outside_of_step()
        epoch = self.last_epoch
        groups = self.optimizer.param_groups
        if self._is_initial and epoch > 0 and self._keeps_resumed:
            return values(self.optimizer, "lr")
        before = 1.0 if epoch == 0 else self._fraction(epoch - 1)
        if before == 0.0:  # the way back from 0 starts at the initial rate
            return self._get_closed_form_lr()
        factor = self._fraction(epoch) / before
        return [group["lr"] * factor for group in groups]

    def _get_closed_form_lr(self) -> list[Any]:
        return [rate * self._fraction(self.last_epoch) for rate in self.base_lrs]


class _Rates:
    """Stands for an optimizer in a preview: the numbers of its groups, and no parameters."""

    _opt_called = True

    def __init__(self, optimizer: Optimizer) -> None:
        self.defaults = optimizer.defaults
        self.param_groups = [
            {key: copied(value) for key, value in group.items() if key != "params"}
            for group in optimizer.param_groups
        ]

    def __deepcopy__(self, memo: dict[int, Any]) -> _Rates:
        return self


def check_optimizer(optimizer: Any) -> None:
    """Raises a TypeError for what is no optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def note_steps(optimizer: Optimizer) -> None:
    """Has the optimizer's first step noted, to warn where it comes too late."""
    if optimizer._opt_called is not None:
        return
    optimizer._opt_called = False

    def note(optimizer: Any, args: Any, kwargs: Any) -> None:
        optimizer._opt_called = True
        handle.remove()

    handle = optimizer.register_step_post_hook(note)


def warn_epoch() -> None:
    """The deprecated argument of `step`."""
    warnings.warn(
        "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where "
        "possible. Please use `scheduler.step()` to step the scheduler. If epoch is given, the "
        "closed form is used instead of the chainable form, where there is one.",
        UserWarning,
        stacklevel=3,
    )


def copied(value: Any) -> Any:
    """A number as it is, a tensor as a copy that is not changed with it."""
    return value.detach().clone() if isinstance(value, Tensor) else value


def values(optimizer: Optimizer, key: str) -> list[Any]:
    """A hyperparameter of all groups; a KeyError where one lacks it."""
    return [copied(group[key]) for group in optimizer.param_groups]


def assign(group: Any, key: str, value: Rate) -> None:
    """Sets a hyperparameter; a tensor is written to."""
    present = group[key]
    if isinstance(present, Tensor):
        with no_grad():
            present.copy_(value) if isinstance(value, Tensor) else present.fill_(value)
    else:
        group[key] = float(value) if isinstance(value, Tensor) else value


def for_each_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """An argument that is one value or one for each group, as a list."""
    count = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [copied(value) for _ in range(count)]
    if len(value) != count:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. "
            f"{name} has {len(value)} values, param_groups has {count}."
        )
    return [copied(each) for each in value]
