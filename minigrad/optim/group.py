"""A parameter group whose numbers also live in memory that the kernels read.

A step that was recorded in a plan runs again without Python. So what may change from step to step,
such as the learning rate, is no argument of the launch: it stands in a float64 array, and writing
``group["lr"] = 0.1`` writes it there too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from .. import array as arrays
from ..dtypes import float64
from ..kernels import Array, check, ffi, lib
from ..tensor import Tensor

# What stands first in the memory of every group: MG_HYPER_... in csrc/optimizer_numbers.h.
_COMMON = (
    ("lr", None),
    ("weight_decay", None),
    ("maximize", None),
    ("decoupled_weight_decay", None),
)
_FORM, _FIRST, _MOST = 0, 1, 12


class Layout(NamedTuple):
    """What the kernel reads beyond what all have, in order: names, with an index into a tuple.

    A `structural` hyperparameter decides what is remembered of each parameter: when it is switched
    on or off, the launches are prepared anew. `absent` has the numbers that stand for names which a
    group does not have, where that is not 0.
    """

    own: tuple[str | tuple[str, int], ...] = ()
    structural: tuple[str, ...] = ()
    absent: tuple[tuple[str, float], ...] = ()


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
        own = ((name, None) if isinstance(name, str) else name for name in layout.own)
        for slot, (name, index) in enumerate((*_COMMON, *own), _FIRST):
            self._places.setdefault(name, []).append((slot, index))
        self.memory = arrays.filled((_MOST,), float64, 0.0)
        self._numbers = ffi.cast("double *", self.memory.data)
        self._tensors: dict[int, tuple[Any, Tensor]] = {}
        absent = dict(layout.absent)
        for name, places in self._places.items():
            if name in self:
                self._write(name)
            else:
                for slot, _ in places:
                    self._numbers[slot] = absent.get(name, 0.0)

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
                self._numbers[slot] = math.nan if value is None else float(value)

    def set_form(self, form: int) -> None:
        """Notes which form of the step is in use, by its number in the C core."""
        self._numbers[_FORM] = form

    def number(self, name: str) -> Array:
        """The number of that name in the memory: a 0-d float64 array, which follows it."""
        (slot, _), *_ = self._places[name]
        return arrays.as_strided(self.memory, (), (), slot)

    def copy_tensors(self) -> None:
        """Brings the hyperparameters that are given as tensors into the memory."""
        for place, value in self._tensors.values():
            check(lib.mg_copy(place, value._array))

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self._structural and bool(value) != bool(self.get(name)):
            self.launches = None
            self._numbers[_FORM] = -1  # a plan that has the old form refuses to go on
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
