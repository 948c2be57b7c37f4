"""What there is: every compiled kernel, from the tables of the C core."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ..kernels import available_isas, ffi, lib
from .arrays import DTYPES


@dataclass(frozen=True)
class Loop:
    """A loop that is compiled for each instruction set."""

    name: str  # as in the source: NAME(name)
    file: str  # in csrc
    addresses: dict[str, int]  # of the instruction set in use, by dtype


@dataclass(frozen=True)
class Kernel:
    """A kernel, or one operation of a kernel that has several: ``unary.exp``."""

    kernel: str
    operation: str  # "" if it is the only one
    dtypes: tuple[str, ...]
    source: str  # the file of its driver in csrc
    loops: tuple[Loop, ...]

    @property
    def name(self) -> str:
        """``softmax``, ``unary.exp``."""
        return f"{self.kernel}.{self.operation}" if self.operation else self.kernel

    @property
    def isas(self) -> tuple[str, ...]:
        """The instruction sets that have code of their own for it; none where one serves all."""
        return tuple(available_isas()) if self.loops else ()

    @property
    def files(self) -> tuple[str, ...]:
        """Where it is written, in csrc."""
        return tuple(dict.fromkeys([*(loop.file for loop in self.loops), self.source]))


def matches(name: str, pattern: str | None) -> bool:
    """Whether a name fits: a shell pattern of the whole name, or a part of it."""
    if not pattern:
        return True
    return fnmatchcase(name, pattern) if set(pattern) & set("*?[") else pattern in name


def kernels(pattern: str | None = None) -> list[Kernel]:
    """All kernels whose names fit the pattern, in the order of the tables."""
    return [each for each in _all() if matches(each.name, pattern)]


def _all() -> Iterator[Kernel]:
    for index in range(lib.mg_kernel_count()):
        names = list(_operations(index))
        for operation in range(len(names)) if names else (-1,):
            mask = lib.mg_kernel_dtypes(index, operation)
            yield Kernel(
                _text(lib.mg_kernel_name(index)),
                names[operation] if names else "",
                tuple(dtype for code, dtype in enumerate(DTYPES) if mask >> code & 1),
                _text(lib.mg_kernel_source(index)),
                tuple(_loops(index, operation, mask)),
            )


def _operations(index: int) -> Iterator[str]:
    operation = 0
    while name := lib.mg_kernel_operation(index, operation):
        yield _text(name)
        operation += 1


def _loops(index: int, operation: int, mask: int) -> Iterator[Loop]:
    found = ffi.new("mg_kernel_loop *")
    number = 0
    while lib.mg_kernel_find_loop(index, operation, number, DTYPES.index("float32"), found):
        name, file, addresses = _text(found.name), _text(found.file), {}
        for code, dtype in enumerate(DTYPES):
            if mask >> code & 1:
                lib.mg_kernel_find_loop(index, operation, number, code, found)
                if found.address:
                    addresses[dtype] = int(ffi.cast("uintptr_t", found.address))
        yield Loop(name, file, addresses)
        number += 1


def _text(pointer: Any) -> str:
    return ffi.string(pointer).decode()
