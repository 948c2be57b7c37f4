"""The arguments of a call: the tensors in it, and everything else as a key that calls can share."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from ..array import is_contiguous, strides_of
from ..tensor import Tensor

# What counts by its value; other objects count as the same only if they are the same.
PLAIN = (bool, int, float, complex, str, bytes, type(None))


def flatten(value: Any, tensors: list[Tensor]) -> Any:
    """The structure of nested tuples, lists and dictionaries, a number in the place of each tensor,
    which goes to the end of the list. A tensor that comes again has the same number."""
    if isinstance(value, Tensor):
        for index, known in enumerate(tensors):
            if known is value:
                return Leaf(index)
        tensors.append(value)
        return Leaf(len(tensors) - 1)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return Branch(type(value), [flatten(each, tensors) for each in value])
    if type(value) in (tuple, list):
        return Branch(type(value), [flatten(each, tensors) for each in value])
    if type(value) is dict:
        return Branch(dict, [(key, flatten(each, tensors)) for key, each in value.items()])
    return value


class Leaf(int):
    """The number of a tensor."""


class Branch:
    """A container: its type, and what is in it, flattened."""

    __slots__ = ("kind", "parts")

    def __init__(self, kind: Any, parts: list[Any]) -> None:
        self.kind = kind
        self.parts = parts


def unflatten(structure: Any, tensors: list[Any]) -> Any:
    """What `flatten` took apart, with other tensors."""
    if type(structure) is Leaf:
        return tensors[structure]
    if type(structure) is not Branch:
        return structure
    if structure.kind is dict:
        return {key: unflatten(each, tensors) for key, each in structure.parts}
    parts = [unflatten(each, tensors) for each in structure.parts]
    if hasattr(structure.kind, "_fields"):
        return structure.kind(*parts)
    return structure.kind(parts)


def matches(structure: Any, value: Any, tensors: list[Tensor]) -> bool:
    """Whether `flatten` would make this structure of the value; its tensors go to the end of the
    list."""
    kind = type(structure)
    if kind is Leaf:
        if not isinstance(value, Tensor):
            return False
        for index, known in enumerate(tensors):
            if known is value:
                return index == structure
        tensors.append(value)
        return len(tensors) - 1 == structure
    if kind is not Branch:
        if value is structure:
            return True
        return type(value) is kind and kind in PLAIN and key_of(value) == key_of(structure)
    parts = structure.parts
    if type(value) is not structure.kind or len(value) != len(parts):
        return False
    if structure.kind is dict:
        for (key, part), (other, each) in zip(parts, value.items(), strict=True):
            if (key is not other and key_of(key) != key_of(other)) or not matches(
                part, each, tensors
            ):
                return False
        return True
    return all([matches(part, each, tensors) for part, each in zip(parts, value, strict=True)])


def objects_in(structure: Any) -> list[Any]:
    """What is in it besides containers and tensors."""
    if type(structure) is not Branch:
        return [] if type(structure) is Leaf else [structure]
    pairs = structure.kind is dict
    parts = [part for _, part in structure.parts] if pairs else structure.parts
    return [each for part in parts for each in objects_in(part)]


def key_of(structure: Any) -> Hashable:
    """Equal for structures that a recording can serve alike. It keeps the objects in it alive by
    nothing but their numbers: a recording keeps the structure, too."""
    kind = type(structure)
    if kind is Leaf:
        return (Leaf, int(structure))
    if kind is Branch:
        if structure.kind is dict:
            return (dict, tuple([(key, key_of(each)) for key, each in structure.parts]))
        return (structure.kind, tuple([key_of(each) for each in structure.parts]))
    if kind in PLAIN:
        # 0.0 and -0.0 are equal, and so are 1 and True; NaN is not even equal to itself.
        return (kind, repr(structure) if kind in (float, complex) else structure)
    if isinstance(structure, (np.ndarray, np.generic)) and structure.dtype.kind != "O":
        return (kind, structure.dtype.str, structure.shape, structure.tobytes())
    return (kind, id(structure))


def layout_of(tensor: Tensor) -> Hashable:
    """What of a tensor decides over the launches it leads to: all but its values."""
    array = tensor._array
    strides = None if is_contiguous(array) else strides_of(array)
    layout = (type(tensor), array.dtype, tensor.shape, strides, tensor._requires_grad)
    grad = tensor._grad
    if not tensor._requires_grad and grad is None:
        return layout
    hooks = [id(hook) for table in tensor._hooks or () for hook in table.values()]
    told = (tensor._node is None, tuple(hooks))
    return (*layout, told, None if grad is None else layout_of(grad))
