"""Resampling: a sparse matrix along each of the last dimensions. Padding, interpolation and means
of windows are this with other matrices, and the derivative is this with the transposed ones."""

from __future__ import annotations

from collections.abc import Sequence

from .. import array as arrays
from ..autograd.engine import Operation
from ..dtypes import dtype as DType
from ..dtypes import int64
from ..kernels import Array, lib, own, pointers
from ..tensor import Tensor

Row = Sequence[tuple[int, float]]  # columns with their weights


class Axis:
    """A matrix for one dimension, of `size` elements to `len(rows)`.

    rows: the (column, weight) pairs of each element of the result. kind: dtype of the weights; None
    says that all are 1. Make them by functions with a cache, as the memory that the kernel reads is
    made here.
    """

    __slots__ = ("columns", "count", "index", "kind", "size", "weights", "_transpose")

    def __init__(self, size: int, rows: Sequence[Row], kind: DType | None = None) -> None:
        self.size, self.count, self.kind = size, len(rows), kind
        self.columns = rows
        offsets = [0]
        for row in rows:
            offsets.append(offsets[-1] + len(row))
        columns = [column for row in rows for column, _ in row]
        self.index = arrays.from_data([*offsets, *columns], int64)
        self.weights = None
        if kind is not None:
            self.weights = arrays.from_data([weight for row in rows for _, weight in row], kind)
        self._transpose: Axis | None = None

    @classmethod
    def map(cls, size: int, columns: Sequence[int]) -> Axis:
        """Each element of the result is an element of the operand, or for -1 the fill."""
        return cls(size, [((column, 1.0),) if column >= 0 else () for column in columns])

    @property
    def transpose(self) -> Axis:
        """The transposed matrix."""
        if self._transpose is None:
            rows: list[list[tuple[int, float]]] = [[] for _ in range(self.size)]
            for place, row in enumerate(self.columns):
                for column, weight in row:
                    rows[column].append((place, weight))
            self._transpose = Axis(self.count, rows, self.kind)
            self._transpose._transpose = self
        return self._transpose


class Matrices:
    """A matrix for each of the last dimensions, ready for the kernel. They are kept by caches too:
    making the tables takes longer than most uses of them."""

    __slots__ = ("axes", "sizes", "tables", "_transpose")

    def __init__(self, axes: Sequence[Axis]) -> None:
        self.axes = tuple(axes)  # they own what the tables point to
        self.sizes = [axis.count for axis in axes]
        self.tables = pointers([each for axis in axes for each in (axis.index, axis.weights)])
        self._transpose: Matrices | None = None

    @property
    def transpose(self) -> Matrices:
        """The transposed matrices."""
        if self._transpose is None:
            self._transpose = Matrices([axis.transpose for axis in self.axes])
            self._transpose._transpose = self
        return self._transpose


class Resample(Operation):
    """y = x with a matrix along each of its last dimensions, and the fill where a row of one is
    empty;  dx = dy with the transposed matrices"""

    __slots__ = ("fill", "matrices")

    def __init__(self, matrices: Matrices, fill: float = 0.0) -> None:
        self.matrices, self.fill = matrices, fill

    def forward(self, x: Array) -> Array:
        matrices = self.matrices
        sizes = matrices.sizes
        return own(lib.mg_resample(x, len(sizes), sizes, matrices.tables, self.fill))

    def grad_x(self, grad: Tensor) -> Tensor:
        return Resample(self.matrices.transpose).apply(grad)
