"""Arguments of a recorded call: their copies, the gradients they bring and get, views of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..autograd import backward, enable_grad, no_grad
from ..autograd.views import Alias, AsStrided, geometry_of
from ..kernels import lib
from ..tensor import Tensor, wrap
from .memory import compact, static


def argument_copy(tensor: Tensor) -> tuple[Tensor, Any]:
    """A copy in the plan's own memory, and the array that a call is copied to."""
    seen, bound = static(tensor._array)
    result = wrap(seen)
    result._requires_grad = tensor._requires_grad
    return result, bound


class ArgumentGradients:
    """The gradients that a call finds at its arguments and leaves there."""

    def __init__(self, places: list[int], tensors: list[Tensor], inputs: list[Tensor]) -> None:
        self._places = places
        self._found: dict[int, tuple[Tensor, int]] = {}  # by argument: a copy, and its version
        self._sources: dict[int, Tensor] = {}
        self.inputs: list[Any] = []
        for i in places:
            tensor, grad = tensors[i], tensors[i]._grad
            inputs[i]._hooks = tensor._hooks
            if tensor._node is not None:
                with enable_grad():  # what goes on to its history arrives at a leaf behind it
                    inputs[i], leaf = Alias().apply(inputs[i]), inputs[i]
                self._sources[i] = leaf
            if grad is not None:
                copy, bound = argument_copy(grad)
                inputs[i]._grad = copy
                self._found[i] = (copy, lib.mg_version(copy._array))
                self.inputs.append(bound)
        self._hooks = [list(table.values()) for i in places for table in tensors[i]._hooks or ()]
        self._dropped: list[int] = []
        self._left: list[tuple[int, Tensor, bool]] = []  # the flag: changed in place
        self._passed: list[tuple[int, Tensor]] = []  # on, to the history of an argument

    def note(self, inputs: list[Tensor]) -> None:
        """What the recorded call has left."""
        for i in self._places:
            grad = inputs[i]._grad
            copy, version = self._found.get(i, (None, 0))
            if grad is None:
                if copy is not None:
                    self._dropped.append(i)
            elif grad is not copy:
                self._left.append((i, grad, False))
            elif lib.mg_version(grad._array) != version:
                self._left.append((i, grad, True))
            inputs[i]._grad = inputs[i]._hooks = None
        for i, leaf in self._sources.items():
            if leaf._grad is not None:
                self._passed.append((i, leaf._grad))
                leaf._grad = None

    def __bool__(self) -> bool:
        return bool(self._found or self._dropped or self._left or self._passed)

    def values(self) -> list[Any]:
        """Their memory in the plan."""
        left = [each for _, each, _ in self._left] + [each for _, each in self._passed]
        return [each._array for each in left]

    def given(self, tensors: list[Any]) -> list[Any]:
        """The gradients that a call brings along."""
        return [compact(tensors[i]._grad._array) for i in self._found]

    def deliver(self, tensors: list[Tensor], values: list[Any]) -> None:
        """Puts values of a call's own where the function left them."""
        for i in self._dropped:
            tensors[i]._grad = None
        for (i, _, in_place), value in zip(self._left, values, strict=False):
            tensor = tensors[i]
            if in_place:
                with no_grad():
                    tensor._grad.copy_(wrap(value))  # type: ignore[union-attr]
            else:
                tensor._grad = wrap(value)
        for (i, _), value in zip(self._passed, values[len(self._left) :], strict=True):
            backward(tensors[i], wrap(value))


class View:
    """A result that shows memory of an argument or of a tensor that the function reaches."""

    def __init__(self, result: Tensor, origin: Any, place: int | None) -> None:
        self.base = None if place is not None else origin
        self.place = place
        self.differentiable = result._requires_grad
        shape, strides, offset = geometry_of(result._array)
        self.shape, self.strides, self.offset = shape, strides, offset - origin._array.offset

    def of(self, tensors: Sequence[Tensor]) -> Tensor:
        """The same view in a call with these arguments."""
        base: Any = self.base if self.place is None else tensors[self.place]
        geometry = (self.shape, self.strides, base._array.offset + self.offset)
        view = AsStrided(geometry, geometry_of(base._array))
        if self.differentiable:
            return view.apply(base)
        with no_grad():
            return view.apply(base)
