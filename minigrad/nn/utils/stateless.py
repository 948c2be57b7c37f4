"""Calling a module with other parameters and buffers than its own."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ...tensor import Tensor
from ..members import MODULE
from ..module import Module
from .parametrize import is_parametrized, replaced

__all__ = ["functional_call"]

_MISSING = object()


def functional_call(
    module: Module,
    parameters_and_buffers: dict[str, Tensor],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """`minigrad.func.functional_call` under its older name."""
    warnings.warn(
        "nn.utils.stateless.functional_call is deprecated; use func.functional_call",
        FutureWarning,
        stacklevel=2,
    )
    return call(module, parameters_and_buffers, args, kwargs, tie_weights, strict)


def call(
    module: Module,
    values: dict[str, Tensor],
    args: Any,
    kwargs: dict[str, Any] | None,
    tie_weights: bool,
    strict: bool,
) -> Any:
    """``module(*args, **kwargs)`` with tensors of the dictionary in place of the module's."""
    given = () if args is None else args if isinstance(args, tuple) else (args,)
    with _swapped(module, values, tie_weights, strict):
        return module(*given, **(kwargs or {}))


@contextmanager
def _swapped(
    module: Module, values: dict[str, Tensor], tie_weights: bool, strict: bool
) -> Iterator[None]:
    own = _own_tensors(module)
    new = _with_tied(own, values) if tie_weights else dict(values)
    if strict:
        _check_keys(module, own, new)
    places: list[tuple[str, dict[str, Any], str, Any]] = []
    with ExitStack() as stack:
        try:
            for key, value in new.items():
                path, _, name = key.rpartition(".")
                holder = module.get_submodule(path)
                if is_parametrized(holder, name):
                    stack.enter_context(replaced(holder, name, value))
                    continue
                if not isinstance(value, Tensor) and value is not None:
                    raise TypeError(
                        f"functional_call: {key!r} should be a Tensor, got {type(value).__name__}"
                    )
                if holder._members.get(name) == MODULE:
                    raise TypeError(f"functional_call: {key!r} is a module, not a tensor")
                attributes = holder.__dict__
                places.append((key, attributes, name, attributes.get(name, _MISSING)))
                attributes[name] = value
            yield
        finally:
            for key, attributes, name, before in reversed(places):
                if key in values and attributes.get(name) is not values[key]:
                    values[key] = attributes[name]  # the module has replaced it
                if before is _MISSING:
                    attributes.pop(name, None)
                else:
                    attributes[name] = before


def _own_tensors(module: Module) -> dict[str, Tensor]:
    """All parameters and buffers by name, tied ones under each of their names."""
    found: dict[str, Tensor] = dict(module.named_parameters(remove_duplicate=False))
    found.update(module.named_buffers(remove_duplicate=False))
    return found


def _with_tied(own: dict[str, Tensor], values: dict[str, Tensor]) -> dict[str, Tensor]:
    """The given tensors also under the other names of the tensors that they stand in for."""
    names: dict[int, list[str]] = {}
    for name, tensor in own.items():
        names.setdefault(id(tensor), []).append(name)
    result = dict(values)
    for group in names.values():
        given = [name for name in group if name in values]
        if len({id(values[name]) for name in given}) > 1:
            raise ValueError(
                f"functional_call: {sorted(given)} are one tensor in the module, but different "
                "tensors are given for them; give one, or pass tie_weights=False"
            )
        if given:
            result.update(dict.fromkeys(group, values[given[0]]))
    return result


def _check_keys(module: Module, own: dict[str, Tensor], new: dict[str, Tensor]) -> None:
    wrong = []
    for title, keys in (
        ("Unexpected key(s)", [key for key in new if key not in own]),
        ("Missing key(s)", [key for key in own if key not in new]),
    ):
        if keys:
            wrong.append(f"{title}: {', '.join(map(repr, keys))}.")
    if wrong:
        lines = "\n\t".join(wrong)
        raise RuntimeError(f"Error(s) in functional_call of {type(module).__name__}:\n\t{lines}")
