"""The op table: one row per operation, and what makes inputs for it.

A row says how to call an operation on a module (``minigrad``, or ``torch`` in the differential
tests), which inputs to try and what NumPy says about the values. test_ops.py and
differential/test_ops_torch.py run every check on every row, so a new operation needs one row:

    Row("outer", lambda m, a, b: m.outer(a, b), [(Real((3,)), Real((4,)))], np.outer)

The rows stand in tests/rows, one file a family.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FLOATS = ("float32", "float64")
INTEGERS = ("uint8", "int32", "int64")
NUMBERS = INTEGERS + FLOATS
ALL = ("bool", *NUMBERS)

# ---- operands ----


@dataclass(frozen=True)
class Real:
    """A floating-point operand. ``domain`` keeps values where the function is defined and away from
    the points where it has no derivative; see `_DRAW`."""

    shape: tuple[int, ...]
    domain: str = "real"
    gradient: bool = True


@dataclass(frozen=True)
class Index:
    """An int64 operand of indices in [low, size)."""

    shape: tuple[int, ...]
    size: int
    low: int = 0


@dataclass(frozen=True)
class Mask:
    """A bool operand."""

    shape: tuple[int, ...]


Operand = Real | Index | Mask


def _spread(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """All different, at least 0.07 apart, and none of them near a multiple of 0.1 (the kinks)."""
    size = int(np.prod(shape))
    return ((rng.permutation(size) - size // 2) * 0.1 + 0.0437).reshape(shape)


_DRAW: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "real": lambda rng, shape: rng.standard_normal(shape) * 1.2,
    "positive": lambda rng, shape: rng.uniform(0.3, 2.5, shape),
    "unit": lambda rng, shape: rng.uniform(-0.9, 0.9, shape),
    "nonzero": lambda rng, shape: (
        rng.uniform(0.3, 2.5, shape) * np.where(rng.random(shape) < 0.5, -1.0, 1.0)
    ),
    "spread": _spread,
}


def _draw_integers(rng: np.random.Generator, operand: Real, kind: np.dtype) -> np.ndarray:
    if kind.kind == "b":
        return rng.random(operand.shape) < 0.6
    low = 1 if operand.domain in ("positive", "nonzero") else 0
    values = rng.integers(low, 6, operand.shape)
    if kind.kind == "i" and operand.domain not in ("positive",):
        values = values * np.where(rng.random(operand.shape) < 0.5, -1, 1)
    return values.astype(kind)


def draw(operand: Operand, seed: int, dtype: str = "float64") -> np.ndarray:
    """The values of an operand."""
    rng = np.random.default_rng(seed)
    if isinstance(operand, Index):
        return np.asarray(rng.integers(operand.low, operand.size, operand.shape), np.int64)
    if isinstance(operand, Mask):
        return np.asarray(rng.random(operand.shape) < 0.5)
    kind = np.dtype(dtype)
    if kind.kind != "f":
        return np.asarray(_draw_integers(rng, operand, kind))
    return np.asarray(_DRAW[operand.domain](rng, operand.shape), kind)


# ---- rows ----


@dataclass(frozen=True)
class Row:
    """One operation.

    call: ``call(module, *tensors)`` returns a tensor or a tuple of tensors.
    samples: the inputs to try, each a tuple of operands.
    reference: the same on float64 ndarrays; None compares values with torch only.
    dtypes: of the Real operands.
    result: dtype of the result: "same" as the first operand, "float" (integers become the default
        float), "sum" (integers become int64), "any" (bool, but uint8 of uint8) or the name of a
        dtype.
    differentiable: whether derivatives of the first and the second order are checked.
    in_place: the method that does the same to its first operand.
    also: other ways to call it, which must give the same bits.
    view: whether the result shares the memory of the first operand.
    special: whether nan, inf and signed zeros are tried: elementwise operations.
    replay: whether a recorded plan gives the same; not where shapes depend on values.
    tolerance: of the comparison with NumPy, in units of the dtype's epsilon.
    """

    name: str
    call: Callable[..., Any]
    samples: Sequence[tuple[Operand, ...]]
    reference: Callable[..., Any] | None = None
    dtypes: tuple[str, ...] = FLOATS
    result: str = "same"
    differentiable: bool = True
    in_place: Callable[..., Any] | None = None
    also: tuple[Callable[..., Any], ...] = ()
    view: bool = False
    special: bool = False
    replay: bool = True
    tolerance: float = 64.0

    def __repr__(self) -> str:
        return self.name

    def seed(self, sample: int) -> int:
        """The same values in every run, others for each row and sample."""
        return zlib.crc32(f"{self.name}/{sample}".encode())

    @property
    def widest(self) -> str:
        """The dtype of checks that need only one."""
        return self.dtypes[-1]

    def values(self, sample: int, dtype: str = "", again: int = 0) -> list[np.ndarray]:
        """The operands of a sample as ndarrays, of the widest dtype if none is named; `again`
        counts further draws."""
        dtype = dtype or self.widest
        seed = self.seed(sample) + 7919 * again
        return [
            draw(operand, seed + place, dtype) for place, operand in enumerate(self.samples[sample])
        ]

    def tensors(
        self, module: Any, sample: int, dtype: str = "", gradient: bool = False, again: int = 0
    ) -> list[Any]:
        """The operands as tensors of a module."""
        dtype = dtype or self.widest
        made = []
        for operand, values in zip(
            self.samples[sample], self.values(sample, dtype, again), strict=True
        ):
            tensor = module.tensor(values)
            if gradient and isinstance(operand, Real) and operand.gradient and dtype in FLOATS:
                tensor.requires_grad_()
            made.append(tensor)
        return made

    def result_dtype(self, dtype: str) -> str:
        """The name of the result's dtype for operands of a dtype."""
        if self.result == "same":
            return dtype
        if self.result == "float":
            return dtype if dtype in FLOATS else "float32"
        if self.result == "sum":
            return dtype if dtype in FLOATS else "int64"
        if self.result == "any":
            return "uint8" if dtype == "uint8" else "bool"
        return self.result


def outputs(result: Any) -> tuple[Any, ...]:
    """The tensors that an operation returned, as a tuple."""
    if isinstance(result, (tuple, list)):
        return tuple(result)
    return (result,)


def floating(tensors: Sequence[Any]) -> list[Any]:
    """Those that require a gradient."""
    return [tensor for tensor in tensors if tensor.requires_grad]


def unary(domain: str = "real") -> list[tuple[Operand, ...]]:
    """Shapes for a function of one operand: matrices, long vectors, 0-d, empty."""
    shapes: list[tuple[int, ...]] = [(3, 5), (), (0, 3), (2, 1, 4), (37,)]
    return [(Real(shape, domain),) for shape in shapes]


def binary(first: str = "real", second: str = "real") -> list[tuple[Operand, ...]]:
    """Pairs of shapes: equal, broadcast either way and both ways, 0-d, empty."""
    pairs: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((3, 4), (3, 4)),
        ((3, 1), (4,)),
        ((2, 3), (2, 1)),
        ((1, 3), (4, 2, 3)),
        ((), (2, 3)),
        ((3,), ()),
        ((), ()),
        ((0, 3), (3,)),
        ((0, 1), (1, 4)),
        ((19,), (19,)),
    ]
    return [(Real(a, first), Real(b, second)) for a, b in pairs]


def all_rows() -> list[Row]:
    """Every row of tests/rows."""
    paths = sorted(Path(__file__, "../rows").resolve().glob("*.py"))
    rows = [row for path in paths for row in importlib.import_module(f"rows.{path.stem}").ROWS]
    names = [row.name for row in rows]
    assert len(set(names)) == len(names), "two rows share a name"
    return rows


def cases(rows: Sequence[Row]) -> Iterator[tuple[Row, int]]:
    """Every row with every of its samples."""
    for row in rows:
        for sample in range(len(row.samples)):
            yield row, sample
