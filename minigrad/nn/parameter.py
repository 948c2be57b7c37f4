"""Tensors that a module registers when they are assigned to it."""

from __future__ import annotations

from typing import Any

from ..ops.creation import empty
from ..tensor import Tensor, wrap

__all__ = ["Buffer", "Parameter"]


class Parameter(Tensor):
    """A leaf tensor that a module registers as a parameter on assignment.

    Shares the memory of `data`. `requires_grad` holds whatever the grad mode is.
    """

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            data = empty(0)
        elif not isinstance(data, Tensor):
            raise TypeError(
                f"Parameter data must be a Tensor, but got {type(data).__name__}; "
                "minigrad.tensor(data) makes one"
            )
        return _subclass(cls, data, requires_grad)

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        pass

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.detach().clone(), self.requires_grad)
        return memo[id(self)]

    def __repr__(self, **options: Any) -> str:
        return "Parameter containing:\n" + super().__repr__(**options)


class Buffer(Tensor):
    """A tensor without gradient that a module registers as a buffer on assignment.

    `persistent` says whether it is part of the module's state_dict.
    """

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Buffer:
        buffer = _subclass(cls, empty(0) if data is None else data, False)
        buffer.persistent = persistent
        return buffer

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        pass

    def __deepcopy__(self, memo: dict[int, Any]) -> Buffer:
        if id(self) not in memo:
            copied = type(self)(self.detach().clone(), persistent=self.persistent)
            memo[id(self)] = copied
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _rebuild_buffer, (type(self), self.detach(), self.persistent)


def _subclass(cls: type[Any], data: Tensor, requires_grad: bool) -> Any:
    """A leaf of that class on the memory of `data`."""
    tensor = wrap(data._array)
    tensor.__class__ = cls
    tensor.requires_grad = requires_grad
    return tensor


def _rebuild_buffer(cls: type[Buffer], data: Tensor, persistent: bool) -> Buffer:
    return cls(data, persistent=persistent)
