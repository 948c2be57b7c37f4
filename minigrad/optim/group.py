"""A parameter group whose numbers also live in memory that the kernels read.

A step that was recorded in a plan runs again without Python. So what may change from step to step,
such as the learning rate, is no argument of the launch: it stands in a float64 array, and writing
``group["lr"] = 0.1`` writes it there too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .. import array as arrays
from ..dtypes import float64
from ..kernels import check, fail, ffi, lib
from ..tensor import Tensor


class Layout(NamedTuple):
    """What the kernel reads, in order: names, with an index where the value is a tuple.

    A `structural` hyperparameter decides what is remembered of each parameter: when it changes
    between 0 and something else, the launches are prepared anew.
    """

    slots: tuple[tuple[str, int | None], ...] = ()
    structural: str = ""


class ParameterGroup(dict[str, Any]):
    """The dictionary of a group: ``params`` and hyperparameters, the latter mirrored in memory.

    Copies and pickles of it are plain dictionaries, from which an optimizer makes a new group.
    """

    __slots__ = ("idle", "launches", "memory", "_numbers", "_places", "_structural", "_tensors")

    def __init__(self, values: Mapping[str, Any], layout: Layout) -> None:
        super().__init__(values)
        # What the fused step has prepared (None: nothing), and parameters that are not part of it.
        self.launches: list[Any] | None = None
        self.idle: list[Tensor] = []
        self._structural = layout.structural
        self._places: dict[str, list[tuple[int, int | None]]] = {}
        for slot, (name, index) in enumerate(layout.slots):
            self._places.setdefault(name, []).append((slot, index))
        self.memory = arrays.empty((max(len(layout.slots), 1),), float64)
        self._numbers = ffi.cast("double *", lib.mg_host_data(self.memory) or fail())
        self._tensors: dict[int, tuple[Any, Tensor]] = {}
        for name in self._places:
            if name in self:
                self._write(name)

    def _write(self, name: str) -> None:
        if name == "params":
            self.launches = None
        for slot, index in self._places.get(name, ()):
            value = self[name] if index is None else self[name][index]
            self._tensors.pop(slot, None)
            if isinstance(value, Tensor):
                # Copied by a launch before each step, so that a replayed plan follows it.
                self._tensors[slot] = (arrays.as_strided(self.memory, (1,), (1,), slot), value)
            else:
                self._numbers[slot] = float(value)

    def copy_tensors(self) -> None:
        """Brings the hyperparameters that are given as tensors into the memory."""
        for place, value in self._tensors.values():
            check(lib.mg_copy(place, value._array))

    def __setitem__(self, name: str, value: Any) -> None:
        if name == self._structural and bool(value) != bool(self.get(name)):
            self.launches = None
        super().__setitem__(name, value)
        self._write(name)

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self.launches = None

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Sets several at once."""
        for name, value in dict(*args, **kwargs).items():
            self[name] = value

    def __ior__(self, other: Any) -> ParameterGroup:  # type: ignore[override, misc]
        self.update(other)
        return self

    def setdefault(self, name: str, default: Any = None) -> Any:
        """The value of that name, which is set to the default where there is none."""
        if name not in self:
            self[name] = default
        return self[name]

    def copy(self) -> dict[str, Any]:
        """A plain dictionary."""
        return dict(self)

    def __copy__(self) -> dict[str, Any]:
        return dict(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, (dict(self),)
