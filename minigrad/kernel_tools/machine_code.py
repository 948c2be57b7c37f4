"""The machine code of a loop and the source that it comes from.

The code is that of the library in use, which has no symbol table: where a function begins is known
from the table of loops, where it ends from the library's unwind tables.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from .listing import Kernel, Loop

CSRC = Path(__file__).resolve().parents[2] / "csrc"
# Instruction, register, and the register that holds the address.
_STORE_X86 = re.compile(r"\s(v?mov\w*)\s+%(\w+)(?:\{%k\d\})?,[-\w]*\(%(rsp|rbp)[,)]")
_STORE_ARM = re.compile(r"\s(st[ur]?[rp]\w*)\s+([qdvxw]\d+).*\[(sp|x29)")


class UnavailableError(Exception):
    """What is missing to show the code."""


@dataclass(frozen=True)
class Code:
    """A disassembled function."""

    lines: list[str]
    bytes: int

    @property
    def instructions(self) -> int:
        """How many."""
        return len(self.lines)

    def spills(self) -> tuple[int, int]:
        """Instructions that store vector registers, and others, to the stack. A vector that the
        source keeps in an array counts as well."""
        vectors = others = 0
        framed = any(re.search(r"mov\s+%rsp,%rbp", line) for line in self.lines)
        for line in self.lines:
            found = _STORE_X86.search(line) or _STORE_ARM.search(line)
            if not found or (found[3] == "rbp" and not framed):
                continue
            if found[2][1:3] == "mm" or found[2][0] in "qv":
                vectors += 1
            else:
                others += 1
        return vectors, others


def code_of(loop: Loop, dtype: str) -> Code:
    """Disassembles a loop of the instruction set in use with objdump."""
    address = loop.addresses.get(dtype)
    if address is None:
        raise UnavailableError(f"{loop.name} has no code for {dtype}")
    for tool in ("objdump", "readelf"):
        if shutil.which(tool) is None:
            raise UnavailableError(f"{tool} is not installed: it comes with the package binutils")
    path, base = _library(address)
    begin = address - base
    starts, ends = _functions(path)
    place = bisect_right(starts, begin) - 1
    if place < 0 or not starts[place] <= begin < ends[place]:
        raise UnavailableError(f"the unwind tables of {path} do not say where {loop.name} ends")
    span = f"--start-address={begin:#x}", f"--stop-address={ends[place]:#x}"
    text = _output("objdump", "-d", "--no-show-raw-insn", *span, path)
    lines = [line for line in text.splitlines() if re.match(r"\s*[0-9a-f]+:\s", line)]
    return Code(lines, ends[place] - begin)


def _library(address: int) -> tuple[str, int]:
    """The file that is loaded at an address, and where it begins."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        raise UnavailableError("where the library is loaded is known on Linux only")
    begins: dict[str, int] = {}
    found = ""
    for line in maps.read_text().splitlines():
        span, *_, path = line.split(maxsplit=5) if line.count(" ") > 4 else (line, "")
        first, last = (int(each, 16) for each in span.split()[0].split("-"))
        begins.setdefault(path.strip(), first)
        if first <= address < last:
            found = path.strip()
    if not found.startswith("/"):
        raise UnavailableError("the loop is not in a file")
    return found, begins[found]


@lru_cache(maxsize=1)
def _functions(path: str) -> tuple[list[int], list[int]]:
    """Where the functions of a library begin and end, by the unwind tables."""
    text = _output("readelf", "--debug-dump=frames", "-W", path)
    pairs = sorted(
        (int(begin, 16), int(end, 16))
        for begin, end in re.findall(r"FDE .*pc=([0-9a-f]+)\.\.([0-9a-f]+)", text)
    )
    return [begin for begin, _ in pairs], [end for _, end in pairs]


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError(f"{command[0]} failed: {done.stderr.strip()}")
    return done.stdout


# ---- source ----


def sources(kernel: Kernel) -> list[tuple[str, int, str]]:
    """(file, line, text) of what a kernel is written in: its row of a table, its loops, its driver.
    Empty where the C sources are not at hand: an installation has none."""
    found = []
    for path in ("elementwise.def", "fused.def", "optimizer.def"):
        kinds = {"unary": "UNARY", "binary": "BINARY", "fused": "FUSED", "fused_sum": "FUSED"}
        kind = kinds.get(kernel.kernel, "OPTIMIZER|MEASURED")
        pattern = rf"^(?:LIBM_|SCALAR_)?(?:{kind})\({re.escape(kernel.operation)}[,)]"
        if kernel.operation:
            found += _excerpt(path, pattern, r"\)\s*(/\*.*\*/)?$")
    for loop in kernel.loops:
        pattern = rf"^[\w ]*\bNAME\({re.escape(loop.name)}\)\("
        found += _excerpt(loop.file, pattern, r"^\}")
    return found + _excerpt(kernel.source, rf"^int mg_run_{kernel.kernel}\(", r"^\}")


def _excerpt(file: str, begin: str, end: str) -> list[tuple[str, int, str]]:
    """Every piece of a file from a line that fits one pattern to one that fits the other, with the
    comment above it."""
    path = CSRC / file
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    found = []
    for number, line in enumerate(lines):
        if not re.search(begin, line):
            continue
        last = next((i for i in range(number, len(lines)) if re.search(end, lines[i])), number)
        first = number
        if first and lines[first - 1].endswith("*/"):
            first -= 1
            while first and "/*" not in lines[first]:
                first -= 1
        found.append((file, first + 1, "\n".join(lines[first : last + 1])))
    return found
