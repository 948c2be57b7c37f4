"""Recurrent layers: all steps of one layer in one direction, fused, with the composition that they
stand for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..autograd.engine import INPUTS, OUTPUT, Fused, MultipleOutputs, is_recorded
from ..kernels import Array, check, lib, own, pointers, several
from ..tensor import Tensor, wrap
from .matmul import linear
from .shape import cat

RNN_TANH, RNN_RELU, LSTM, GRU = range(4)

# The operands, in the order of the results of mg_recurrent_backward.
X, H0, C0, W_IH, W_HH, B_IH, B_HH, W_HR = range(8)


class Recurrent(Fused, MultipleOutputs):
    """y, h_n (and c_n of the LSTM) of a sequence x and the first states h0, c0 (None: zeros); with
    a = x_t W_ihᵀ + b_ih and b = h W_hhᵀ + b_hh, in blocks of rows named by their gates:

    RNN   h' = tanh(a + b) or relu(a + b)
    LSTM  i, f, o = σ(a + b), g = tanh(a + b);  c' = f c + i g,  h' = o tanh(c'), or with a
          projection W_hr o tanh(c')
    GRU   r, z = σ(a + b), n = tanh(a_n + r b_n);  h' = (1 - z) n + z h

    Hochreiter and Schmidhuber 1997, Gers et al. 2000; Cho et al. 2014,
    https://arxiv.org/abs/1406.1078 in torch's form

    x is (steps, batch, features); or, with `sizes` (int64, steps), the rows of step after step of
    that many sequences, sorted by length; or (batch, features) for a single step.
    """

    __slots__ = ("mode", "reverse", "sizes", "present", "recorded", "kept")
    saves = INPUTS | OUTPUT

    def __init__(
        self, mode: int, reverse: bool, sizes: Tensor | None, present: Sequence[int]
    ) -> None:
        self.mode, self.reverse, self.sizes = mode, reverse, sizes
        self.present = present  # which operands it is applied to
        self.recorded = False
        self.kept: list[Array] = []

    def apply(self, *inputs: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        self.recorded = is_recorded(*inputs)
        return MultipleOutputs.apply(self, *inputs)

    def count(self, outputs: Sequence[Array]) -> int:
        return len(outputs)

    def _operands(self, arrays: Sequence[Array]) -> Any:
        """The operands in C's order: batch sizes follow x."""
        operands: list[Array | None] = [None] * 9
        for place, array in zip(self.present, arrays, strict=True):
            operands[place + 1 if place else 0] = array
        operands[1] = None if self.sizes is None else self.sizes._array
        return pointers(operands)

    def forward(self, *arrays: Array) -> list[Array]:
        outputs = several(6)
        operands = self._operands(arrays)
        check(lib.mg_recurrent(self.mode, self.reverse, self.recorded, operands, outputs))
        made = [own(each) if each else None for each in outputs]
        self.kept = made[3:]
        return made[: 3 if self.mode == LSTM else 2]

    def fused_backward(self, grads: Any) -> list[Tensor | None]:
        inputs = [each._array for each in self.inputs]
        saved = pointers([self.output._array, *self.kept])
        given = pointers([None if grad is None else grad._array for grad in (*grads, None)][:3])
        needs = [place for index, place in enumerate(self.present) if self.needs(index)]
        wanted = (X in needs) + 2 * any(place >= W_IH for place in needs)
        outputs = several(8)
        operands = self._operands(inputs)
        check(
            lib.mg_recurrent_backward(
                self.mode, self.reverse, wanted, operands, saved, given, outputs
            )
        )
        results = [wrap(own(each)) if each else None for each in outputs]
        return [results[place] for place in self.present]

    def composition(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        operand: dict[int, Tensor] = dict(zip(self.present, inputs, strict=True))
        x, w_ih, w_hh = operand[X], operand[W_IH], operand[W_HH]
        counts = self._counts(x)
        state = operand[W_HR].shape[0] if W_HR in operand else w_hh.shape[1]
        h = operand[H0] if H0 in operand else x.new_zeros(counts[0], state)
        hidden = w_hh.shape[0] // 4
        c = operand[C0] if C0 in operand else x.new_zeros(counts[0], hidden)
        steps = x.reshape(-1, x.shape[-1]).split(counts)
        results: list[Any] = [None] * len(counts)
        places = range(len(counts))
        for place in reversed(places) if self.reverse else places:
            count = counts[place]
            a = linear(steps[place], w_ih, operand.get(B_IH))
            b = linear(h[:count], w_hh, operand.get(B_HH))
            if self.mode == LSTM:
                new, cell = _lstm(a + b, c[:count])
                if W_HR in operand:
                    new = linear(new, operand[W_HR])
                c = cell if count == counts[0] else cat([cell, c[count:]])
            else:
                new = _CELLS[self.mode](a, b, h[:count])
            results[place] = new
            h = new if count == counts[0] else cat([new, h[count:]])
        y = cat(results).reshape(*x.shape[:-1], state)
        return (y, h, c) if self.mode == LSTM else (y, h)

    def _counts(self, x: Tensor) -> list[int]:
        """The number of sequences of each step."""
        if self.sizes is not None:
            return self.sizes.tolist()
        return [x.shape[1]] * x.shape[0] if x.ndim == 3 else [x.shape[0]]

    def release(self) -> None:
        super().release()
        self.kept = []


def _lstm(sums: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = sums.chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def _gru(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    (a_r, a_z, a_n), (b_r, b_z, b_n) = a.chunk(3, -1), b.chunk(3, -1)
    z = (a_z + b_z).sigmoid()
    n = (a_n + (a_r + b_r).sigmoid() * b_n).tanh()
    return (1 - z) * n + z * h


_CELLS: dict[int, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    RNN_TANH: lambda a, b, h: (a + b).tanh(),
    RNN_RELU: lambda a, b, h: (a + b).relu(),
    GRU: _gru,
}


def recurrent(
    mode: int,
    x: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    weights: Sequence[Tensor | None],
    *,
    sizes: Tensor | None = None,
    reverse: bool = False,
) -> tuple[Tensor, ...]:
    """See ``Recurrent``; ``weights``: of W_ih, W_hh, b_ih, b_hh, W_hr, None where there is none."""
    operands = (x, h0, c0, *weights)
    present = [place for place, each in enumerate(operands) if each is not None]
    given = [each for each in operands if each is not None]
    return Recurrent(mode, reverse, sizes, present).apply(*given)
