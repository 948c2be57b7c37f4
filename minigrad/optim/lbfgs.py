"""L-BFGS, with a line search by the strong Wolfe conditions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ..autograd import no_grad
from ..ops.creation import zeros
from ..ops.shape import cat
from ..tensor import Tensor
from .optimizer import Optimizer, check_rate, run_closure

__all__ = ["LBFGS"]


class _Point(NamedTuple):
    """A place on the line x + t · d."""

    t: float
    loss: float
    gradient: Tensor
    slope: float  # gradient · d


class LBFGS(Optimizer):
    """Limited-memory BFGS (Nocedal and Wright, Numerical Optimization, 2006, algorithm 7.4);
    torch.optim.LBFGS.

    One call of `step` takes up to `max_iter` steps p ← p + t · d, for which it calls the closure
    up to `max_eval` times: d = -H · g, where the inverse Hessian H is estimated from the last
    `history_size` changes of place and gradient, and t is lr, or with line_search_fn
    "strong_wolfe" found so that the loss has fallen far enough and its slope has become flat enough
    (algorithms 3.5 and 3.6 there). It ends where the largest gradient is at most `tolerance_grad`,
    or place or loss change by no more than `tolerance_change`. All parameters form one vector, and
    there can be only one group. A step reads losses, so that it cannot be part of a recorded plan.
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_rate(lr)
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    @no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:
        """Takes up to `max_iter` steps; returns what the closure returned at first.

        The closure computes the loss anew: it calls zero_grad and backward and returns the loss.
        """
        if len(self.param_groups) != 1:
            raise AssertionError(f"LBFGS needs one parameter group, got {len(self.param_groups)}")
        group = self.param_groups[0]
        state = self.state[group["params"][0]]  # of all parameters, as in torch
        first_loss = run_closure(closure)
        state["func_evals"] = state.get("func_evals", 0) + 1
        state.setdefault("n_iter", 0)
        start = _Point(0.0, float(first_loss), self._gradient(), 0.0)
        if not start.gradient.numel() or _largest(start.gradient) <= group["tolerance_grad"]:
            return first_loss
        self._iterate(group, state, closure, start)
        return first_loss

    def _iterate(
        self, group: Any, state: dict[str, Any], closure: Callable[[], Any], point: _Point
    ) -> None:
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise RuntimeError("LBFGS: only 'strong_wolfe' is supported")
        rate, tolerance = float(group["lr"]), group["tolerance_change"]
        evaluations = 1
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction = self._direction(state, point.gradient, group["history_size"])
            state["d"] = direction
            state["prev_flat_grad"] = point.gradient
            state["prev_loss"] = before = point.loss
            t = rate
            if state["n_iter"] == 1:
                t *= min(1.0, 1.0 / point.gradient.abs().sum().item())
            state["t"] = t
            slope = _dot(point.gradient, direction)
            if slope > -tolerance:
                break
            here = self._values()

            def evaluate(
                t: float, here: list[Tensor] = here, direction: Tensor = direction
            ) -> _Point:
                self._move(here, t, direction)
                loss = float(run_closure(closure))
                gradient = self._gradient()
                return _Point(t, loss, gradient, _dot(gradient, direction))

            used = 0
            point = _Point(0.0, point.loss, point.gradient, slope)
            if group["line_search_fn"] is not None:
                point, used = strong_wolfe(
                    evaluate,
                    point,
                    t,
                    _largest(direction),
                    tolerance,
                    group["max_eval"] - evaluations,
                )
                t = point.t
                self._move(here, t, direction)
            elif iteration != group["max_iter"]:
                point, used = evaluate(t), 1
            else:
                self._move(here, t, direction)  # nobody asks for the loss there
            state["t"] = t
            evaluations += used
            state["func_evals"] += used
            if (
                evaluations >= group["max_eval"]
                or _largest(point.gradient) <= group["tolerance_grad"]
                or abs(t) * _largest(direction) <= tolerance
                or abs(point.loss - before) < tolerance
            ):
                break

    def _direction(self, state: dict[str, Any], gradient: Tensor, history_size: int) -> Tensor:
        """-H · gradient, by the two loops over the history; notes the last step in it."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
            return -gradient
        changes, steps, inverses = state["old_dirs"], state["old_stps"], state["ro"]
        change = gradient - state["prev_flat_grad"]
        step = state["d"] * state["t"]
        curvature = _dot(change, step)
        if curvature > 1e-10:
            if len(changes) == history_size:
                for each in (changes, steps, inverses):
                    each.pop(0)
            changes.append(change)
            steps.append(step)
            inverses.append(1.0 / curvature)
            state["H_diag"] = curvature / _dot(change, change)
        result = -gradient
        weights = state["al"] = [None] * history_size
        for i in reversed(range(len(changes))):
            weights[i] = _dot(steps[i], result) * float(inverses[i])
            result.sub_(changes[i] * weights[i])
        result.mul_(state["H_diag"])
        for i in range(len(changes)):
            back = _dot(changes[i], result) * float(inverses[i])
            result.add_(steps[i] * (weights[i] - back))
        return result

    def _gradient(self) -> Tensor:
        """The gradients of all parameters as one vector; 0 where there is none."""
        parts = []
        for each in self.param_groups[0]["params"]:
            gradient = each.grad
            if gradient is None:
                gradient = zeros(each.numel(), dtype=each.dtype)
            parts.append(gradient.reshape(-1))
        return cat(parts)

    def _values(self) -> list[Tensor]:
        return [each.clone() for each in self.param_groups[0]["params"]]

    def _move(self, start: list[Tensor], t: float, direction: Tensor) -> None:
        """Puts the parameters at start + t · direction."""
        offset = 0
        for parameter, value in zip(self.param_groups[0]["params"], start, strict=True):
            count = parameter.numel()
            part = direction[offset : offset + count].reshape(parameter.shape)
            parameter.copy_(value + part * t)
            offset += count


def _dot(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum().item())


def _largest(vector: Tensor) -> float:
    return float(vector.abs().max().item())


def strong_wolfe(
    evaluate: Callable[[float], _Point],
    start: _Point,
    t: float,
    reach: float,
    tolerance: float,
    limit: int,
    decrease: float = 1e-4,
    flatness: float = 0.9,
) -> tuple[_Point, int]:
    """A point with loss ≤ start's + decrease · t · slope and |slope| ≤ flatness · |start's slope|,
    or the best that was found with `limit` trials; and how often the loss was evaluated.

    `reach` is the largest element of the direction: an interval of less than tolerance / reach ends
    the search.
    """

    def too_high(point: _Point) -> bool:
        return point.loss > start.loss + decrease * point.t * start.slope

    def flat(point: _Point) -> bool:
        return abs(point.slope) <= -flatness * start.slope

    # Outwards, until two points have a good one between them.
    last, point, trials = start, evaluate(t), 0
    while trials < limit:
        if not too_high(point) and not (trials > 1 and point.loss >= last.loss):
            if flat(point):
                return point, trials + 1
            if not point.slope >= 0:
                bounds = point.t + 0.01 * (point.t - last.t), point.t * 10
                last, point = point, evaluate(_cubic_minimum(last, point, bounds))
                trials += 1
                continue
        break
    # Inwards. The better end of the interval is bracket[low].
    bracket = [start if trials >= limit else last, point]
    low = 0 if bracket[0].loss <= bracket[1].loss else 1
    stuck = False
    while trials < limit and not abs(bracket[1].t - bracket[0].t) * reach < tolerance:
        t, stuck = _inside(
            _cubic_minimum(bracket[0], bracket[1]), bracket[0].t, bracket[1].t, stuck
        )
        point = evaluate(t)
        trials += 1
        if too_high(point) or point.loss >= bracket[low].loss:
            bracket[1 - low] = point
            low = 0 if bracket[0].loss <= bracket[1].loss else 1
            continue
        if flat(point):
            return point, trials + 1
        if point.slope * (bracket[1 - low].t - bracket[low].t) >= 0:
            bracket[1 - low] = bracket[low]
        bracket[low] = point
    return bracket[low], trials + 1


def _cubic_minimum(a: _Point, b: _Point, bounds: tuple[float, float] | None = None) -> float:
    """Where the cubic through two points with their slopes is least, within the bounds (the points,
    unless given); their middle where it has no minimum."""
    a, b = (a, b) if a.t <= b.t else (b, a)
    least, most = bounds or (a.t, b.t)
    if a.t == b.t:
        return (least + most) / 2
    mean = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = mean * mean - a.slope * b.slope
    if not square >= 0:
        return (least + most) / 2
    root = math.sqrt(square)
    divisor = b.slope - a.slope + 2 * root
    if divisor == 0:
        return most
    t = b.t - (b.t - a.t) * ((b.slope + root - mean) / divisor)
    return min(max(t, least), most)


def _inside(t: float, a: float, b: float, stuck: bool) -> tuple[float, bool]:
    """Keeps a trial a tenth of the interval away from its ends, unless it is near one for the first
    time; and whether it is."""
    least, most = min(a, b), max(a, b)
    margin = 0.1 * (most - least)
    if not min(most - t, t - least) < margin:
        return t, False
    if not stuck and least < t < most:
        return t, True
    return (most - margin if abs(t - most) < abs(t - least) else least + margin), False
