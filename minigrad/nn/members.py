"""Where a module keeps its parameters, buffers and submodules.

Their values are ordinary instance attributes, so that ``self.weight`` in a ``forward`` costs one
dictionary lookup; a registry of ``name -> kind`` in ``module.__dict__["_members"]`` says which
attributes they are, in order of registration. `Members` shows one kind as the mapping that torch
calls ``module._parameters``, ``module._buffers`` and ``module._modules``.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

PARAMETER = "parameter"
BUFFER = "buffer"
MODULE = "module"


class Members(MutableMapping[str, Any]):
    """A live view of the attributes of one kind; writing to it registers, deleting unregisters."""

    __slots__ = ("_attributes", "_kind")

    def __init__(self, attributes: dict[str, Any], kind: str) -> None:
        self._attributes = attributes
        self._kind = kind

    def __getitem__(self, name: str) -> Any:
        if self._attributes["_members"].get(name) != self._kind:
            raise KeyError(name)
        return self._attributes[name]

    def __setitem__(self, name: str, value: Any) -> None:
        attributes = self._attributes
        members = attributes["_members"]
        if members.get(name) != self._kind:
            members.pop(name, None)  # a name that changes its kind moves to the end
            attributes["_non_persistent_buffers_set"].discard(name)
            members[name] = self._kind
        attributes[name] = value

    def __delitem__(self, name: str) -> None:
        if self._attributes["_members"].get(name) != self._kind:
            raise KeyError(name)
        del self._attributes["_members"][name]
        del self._attributes[name]

    def __contains__(self, name: object) -> bool:
        return self._attributes["_members"].get(name) == self._kind

    def __iter__(self) -> Iterator[str]:
        return iter([n for n, kind in self._attributes["_members"].items() if kind == self._kind])

    def __len__(self) -> int:
        return sum(kind == self._kind for kind in self._attributes["_members"].values())

    def __repr__(self) -> str:
        return repr(dict(self))

    def copy(self) -> dict[str, Any]:
        """The names and values as a plain dictionary."""
        return dict(self)
