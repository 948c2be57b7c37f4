"""Which parameters a regularizer acts on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from ..nn.members import BUFFER, MODULE
from ..nn.module import Module
from ..nn.utils.parametrize import ParametrizationList
from ..tensor import Tensor

Types = type | tuple[type, ...]
Patterns = str | Sequence[str]


def as_patterns(names: Patterns) -> tuple[str, ...]:
    """One pattern or several as a tuple."""
    return (names,) if isinstance(names, str) else tuple(names)


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a dotted name fits one of the shell patterns: ``*`` any text, ``?`` a character."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def is_norm(module: Module) -> bool:
    """Whether it is a normalisation layer: one of its classes says so in its name."""
    return any("Norm" in cls.__name__ for cls in type(module).__mro__)


def chosen(
    model: Module, modules: Types | None, names: Patterns | None, everything: bool
) -> Iterator[tuple[str, Tensor]]:
    """The parameters of `model` with their names, each once.

    `names` decides alone on those of the modules of the type `modules` (of all, for None). Without
    it, biases (everything of fewer than two dimensions) and the parameters of normalisation layers
    are left out, unless `everything`. A parametrized weight counts as its original and a pruned
    one as what is trained, under the name and the module that they had before.
    """
    seen: set[int] = set()
    for name, owner, parameter in _named(model):
        if id(parameter) in seen or (modules is not None and not isinstance(owner, modules)):
            continue
        if names is not None:
            taken = matches(name, as_patterns(names))
        else:
            taken = everything or (parameter.dim() >= 2 and not is_norm(owner))
        if taken:
            seen.add(id(parameter))
            yield name, parameter


def fingerprint(model: Module) -> list[Any]:
    """All modules and parameters of a model, in a fixed order: while they are the same objects,
    the same parameters are chosen. Faster than choosing them."""
    found: list[Any] = []
    waiting: list[Any] = [model]
    while waiting:
        attributes = waiting.pop().__dict__
        for name, kind in attributes["_members"].items():
            if kind != BUFFER:
                value = attributes[name]
                found.append(value)
                if kind == MODULE and value is not None:
                    waiting.append(value)
    return found


def _named(model: Module) -> Iterator[tuple[str, Module, Tensor]]:
    by_path: dict[str, Module] = {}
    for path, module in model.named_modules():
        by_path[path] = module
        owner, prefix, single = module, path, ""
        if isinstance(module, ParametrizationList):
            host, _, single = path.rpartition(".")
            prefix = host.rpartition(".")[0] if "." in host else ""
            owner = by_path[prefix]
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            plain = name.removesuffix("_orig")
            if plain + "_mask" not in module._buffers:
                plain = name
            full = single or plain
            yield (f"{prefix}.{full}" if prefix else full), owner, parameter
