"""Recurrent layers: RNN (Elman, 1990), LSTM (Hochreiter and Schmidhuber, 1997), GRU (Cho et al.,
2014), and their cells. A layer runs its whole sequence in C, one direction at a time.

https://pytorch.org/docs/stable/nn.html#recurrent-layers
"""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Sequence
from typing import Any

from ..functional import dropout as drop
from ..ops import recurrent as ops
from ..ops.creation import empty
from ..ops.index import index_select
from ..ops.shape import cat, stack
from ..tensor import Tensor
from . import init
from .module import Module
from .parameter import Parameter
from .utils.rnn import PackedSequence

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]

_MODES = {"RNN_TANH": ops.RNN_TANH, "RNN_RELU": ops.RNN_RELU, "LSTM": ops.LSTM, "GRU": ops.GRU}
_GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}


def _reset(module: Module, hidden_size: int) -> None:
    """All parameters uniform in ±1/√hidden_size."""
    bound = 1.0 / math.sqrt(hidden_size) if hidden_size > 0 else 0
    for parameter in module.parameters():
        init.uniform_(parameter, -bound, bound)


def _permuted(states: Tensor | None, order: Tensor | None) -> Tensor | None:
    return states if states is None or order is None else index_select(states, 1, order)


class RNNBase(Module):
    """What `RNN`, `LSTM` and `GRU` share: `num_layers` layers, each in one direction or two.

    Parameters of layer k, with G gates (1; LSTM 4: i, f, g, o; GRU 3: r, z, n) and D directions,
    those of the second direction ending in ``_reverse``:
    `weight_ih_lk` (G · hidden_size, input_size; for k > 0 D · state size),
    `weight_hh_lk` (G · hidden_size, state size), `bias_ih_lk` and `bias_hh_lk` (G · hidden_size),
    and with `proj_size` (LSTM) `weight_hr_lk` (proj_size, hidden_size). The state size is
    hidden_size, or proj_size. They start uniform in ±1/√hidden_size.

    Input: (steps, batch, input_size), with `batch_first` (batch, steps, input_size), without a
    batch (steps, input_size), or a `PackedSequence`; states (D · num_layers, batch, state size),
    without a batch (D · num_layers, state size), zeros where they are not given. Output: the states
    of the last layer at all steps, (steps, batch, D · state size) or as the input is, and the last
    states of all layers. `dropout` is the probability with which elements of the outputs of all
    layers but the last are dropped in training.
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._check_options(dropout)
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            for suffix in ("", "_reverse") if bidirectional else ("",):
                shapes = self._shapes(layer)
                names = [f"{name}_l{layer}{suffix}" for name in shapes]
                for name, shape in zip(names, shapes.values(), strict=True):
                    setattr(self, name, Parameter(empty(shape, device=device, dtype=dtype)))
                self._all_weights.append(names)
        self.reset_parameters()

    def _check_options(self, dropout: Any) -> None:
        if (
            not isinstance(dropout, numbers.Number)
            or isinstance(dropout, bool)
            or not 0 <= self.dropout <= 1
        ):
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an "
                f"element being zeroed, got {dropout!r}"
            )
        if self.dropout > 0 and self.num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero "
                f"dropout expects num_layers greater than 1, but got dropout={dropout} and "
                f"num_layers={self.num_layers}",
                stacklevel=4,
            )
        for name, kind in (("bias", bool), ("batch_first", bool), ("input_size", int)):
            if not isinstance(getattr(self, name), kind):
                found = type(getattr(self, name)).__name__
                raise TypeError(f"{name} should be of type {kind.__name__}, got: {found}")
        if not isinstance(self.hidden_size, int):
            found = type(self.hidden_size).__name__
            raise TypeError(f"hidden_size should be of type int, got: {found}")
        for name in ("input_size", "hidden_size", "num_layers"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be greater than zero, got {getattr(self, name)}")
        if self.proj_size < 0:
            raise ValueError(
                "proj_size should be a positive integer or zero to disable projections, got "
                f"{self.proj_size}"
            )
        if self.proj_size >= self.hidden_size:
            raise ValueError(
                f"proj_size has to be smaller than hidden_size, got {self.proj_size} and "
                f"{self.hidden_size}"
            )
        if self.mode not in _MODES:
            raise ValueError(f"Unrecognized RNN mode: {self.mode}")

    def _shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        """The parameters of one direction of a layer, in their order."""
        units = _GATES[self.mode] * self.hidden_size
        state = self._state_size
        below = self.input_size if layer == 0 else state * self._directions
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (units, below),
            "weight_hh": (units, state),
        }
        if self.bias:
            shapes |= {"bias_ih": (units,), "bias_hh": (units,)}
        if self.proj_size > 0:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        return shapes

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def _state_size(self) -> int:
        return self.proj_size or self.hidden_size

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        _reset(self, self.hidden_size)

    def flatten_parameters(self) -> None:
        """Does nothing; in torch it moves the parameters together for a GPU."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        for name, default in (
            ("proj_size", 0),
            ("num_layers", 1),
            ("bias", True),
            ("batch_first", False),
            ("dropout", 0),
            ("bidirectional", False),
        ):
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text

    # ---- checks ----

    def _check_input(self, input: Tensor, expected: int) -> None:
        kind = getattr(self, self._all_weights[0][0]).dtype
        if input.dtype is not kind:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({kind}). Convert "
                f"input: input.to({kind}), or convert model: model.to({input.dtype})"
            )
        if input.ndim != expected:
            raise RuntimeError(f"input must have {expected} dimensions, got {input.ndim}")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got "
                f"{input.shape[-1]}"
            )

    def _check_states(self, states: Sequence[Tensor | None], batch: int | None) -> None:
        """Their shapes; the batch of packed sequences (None) is checked in C."""
        names = ("hidden[0]", "hidden[1]") if self.mode == "LSTM" else ("hidden",)
        for name, each, size in zip(
            names, states, (self._state_size, self.hidden_size), strict=False
        ):
            if each is None:
                continue
            known = batch if batch is not None or each.ndim != 3 else each.shape[1]
            expected = (self.num_layers * self._directions, known, size)
            if each.shape != expected:
                raise RuntimeError(f"Expected {name} size {expected}, got {list(each.shape)}")
            kind = getattr(self, self._all_weights[0][0]).dtype
            if each.dtype is not kind:
                raise RuntimeError(
                    f"{self.mode}: {name} is {each.dtype}, but input and weights are {kind}; "
                    "convert it with .to()"
                )

    # ---- running ----

    def _run_layers(
        self, x: Tensor, states: Sequence[Tensor | None], sizes: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        """All layers of (steps, batch, input_size) or packed rows: output and last states."""
        lasts: list[tuple[Tensor, ...]] = []
        directions = self._directions
        for index, names in enumerate(self._all_weights):
            if index % directions == 0:
                below, outputs = x, []
            attributes = [getattr(self, name) for name in names]
            weights = attributes if self.bias else [*attributes[:2], None, None, *attributes[2:]]
            first = [None if each is None else each[index] for each in states]
            y, *last = ops.recurrent(
                _MODES[self.mode],
                below,
                first[0],
                first[1] if len(first) > 1 else None,
                weights,
                sizes=sizes,
                reverse=index % directions == 1,
            )
            outputs.append(y)
            lasts.append(tuple(last))
            if len(outputs) == directions:
                x = y if directions == 1 else cat(outputs, -1)
                if self.dropout and self.training and index < len(self._all_weights) - 1:
                    x = drop(x, self.dropout)
        if len(lasts) == 1:
            return x, [each.unsqueeze(0) for each in lasts[0]]
        return x, [stack(each) for each in zip(*lasts, strict=True)]

    def _run_packed(
        self, packed: PackedSequence, states: Sequence[Tensor | None]
    ) -> tuple[PackedSequence, list[Any]]:
        data, sizes, order, inverse = packed
        self._check_input(data, 2)
        states = [_permuted(each, order) for each in states]
        self._check_states(states, None)
        y, lasts = self._run_layers(data, states, sizes)
        return PackedSequence(y, sizes, order, inverse), [_permuted(e, inverse) for e in lasts]

    def _run(
        self, input: Tensor | PackedSequence, states: Sequence[Tensor | None]
    ) -> tuple[Any, list[Any]]:
        """The output and the last states, of any kind of input."""
        if isinstance(input, PackedSequence):
            return self._run_packed(input, states)
        name = "LSTM" if self.mode == "LSTM" else "GRU" if self.mode == "GRU" else "RNN"
        if input.ndim not in (2, 3):
            raise ValueError(f"{name}: Expected input to be 2D or 3D, got {input.ndim}D instead")
        batched = input.ndim == 3
        for each in states:
            if each is not None and each.ndim != input.ndim:
                kind = "batched 3-D" if batched else "unbatched 2-D"
                raise RuntimeError(
                    f"For {kind} input, hx should also be {input.ndim}-D but got {each.ndim}-D "
                    "tensor"
                )
        if not batched:
            x = input.unsqueeze(1)
            states = [None if each is None else each.unsqueeze(1) for each in states]
        else:
            x = input.transpose(0, 1) if self.batch_first else input
        self._check_input(x, 3)
        self._check_states(states, x.shape[1])
        y, lasts = self._run_layers(x, states, None)
        if not batched:
            return y.squeeze(1), [each.squeeze(1) for each in lasts]
        return y.transpose(0, 1) if self.batch_first else y, lasts


def _refuse_projection(proj_size: int | None) -> None:
    if proj_size is not None:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")


class RNN(RNNBase):
    """h_t = tanh(x_t W_ihᵀ + b_ih + h_{t-1} W_hhᵀ + b_hh), or with `nonlinearity` "relu" max(·, 0).

    Shapes and options: `RNNBase`. Called with the input and, optionally, the first states; returns
    the output and the last states.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        proj_size: int | None = None,
    ) -> None:
        _refuse_projection(proj_size)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        super().__init__(
            f"RNN_{nonlinearity.upper()}",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
        )
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        y, lasts = self._run(input, (hx,))
        return y, lasts[0]


class LSTM(RNNBase):
    """Gates i, f, o = σ(·) and g = tanh(·) of x_t W_ihᵀ + b_ih + h_{t-1} W_hhᵀ + b_hh;
    c_t = f c_{t-1} + i g,  h_t = o tanh(c_t), with `proj_size` (o tanh(c_t)) W_hrᵀ.

    Shapes and options: `RNNBase`. Called with the input and, optionally, a pair of the first h
    (state size) and c (hidden_size); returns the output and a pair of the last h and c.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )

    def forward(
        self, input: Any, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        if hx is not None and len(hx) != 2:
            raise IndexError(f"LSTM: hx should be a pair (h, c), got {len(hx)} of them")
        y, lasts = self._run(input, (None, None) if hx is None else tuple(hx))
        return y, (lasts[0], lasts[1])


class GRU(RNNBase):
    """h_t = (1 - z) n + z h_{t-1} with r, z = σ(a + b), n = tanh(a_n + r b_n),
    a = x_t W_ihᵀ + b_ih and b = h_{t-1} W_hhᵀ + b_hh.

    Shapes and options: `RNNBase`. Called with the input and, optionally, the first states; returns
    the output and the last states.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        proj_size: int | None = None,
    ) -> None:
        _refuse_projection(proj_size)
        super().__init__(
            "GRU",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
        )

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        y, lasts = self._run(input, (hx,))
        return y, lasts[0]


# ---- single steps ----


class RNNCellBase(Module):
    """What the cells share: one step of one layer, (batch, input_size) or (input_size), with states
    (batch, hidden_size) or (hidden_size), zeros where they are not given. Parameters as in
    `RNNBase`, without ``_lk`` in their names."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        units = num_chunks * hidden_size
        options = {"device": device, "dtype": dtype}
        self.weight_ih = Parameter(empty((units, input_size), **options))
        self.weight_hh = Parameter(empty((units, hidden_size), **options))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(units, **options)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        _reset(self, self.hidden_size)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            text += f", nonlinearity={self.nonlinearity}"
        return text

    def _step(self, mode: int, input: Tensor, states: Sequence[Tensor | None]) -> list[Tensor]:
        """The next states."""
        name = type(self).__name__
        if input.ndim not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.ndim}D instead")
        for place, each in enumerate(states):
            if each is not None and each.ndim not in (1, 2):
                which = f"hx[{place}]" if len(states) > 1 else "hidden"
                raise ValueError(
                    f"{name}: Expected {which} to be 1D or 2D, got {each.ndim}D instead"
                )
        batched = input.ndim == 2
        if not batched:
            input = input.unsqueeze(0)
            states = [None if each is None else each.unsqueeze(0) for each in states]
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, None)
        h0, c0 = states if len(states) > 1 else (states[0], None)
        lasts = list(ops.recurrent(mode, input, h0, c0, weights)[1:])
        return lasts if batched else [each.squeeze(0) for each in lasts]


class RNNCell(RNNCellBase):
    """One step of `RNN`: h' = tanh(x W_ihᵀ + b_ih + h W_hhᵀ + b_hh), or relu."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        mode = _MODES.get(f"RNN_{self.nonlinearity.upper()}")
        if mode is None:
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return self._step(mode, input, (hx,))[0]


class LSTMCell(RNNCellBase):
    """One step of `LSTM`; takes a pair (h, c) and returns the next one."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        if isinstance(hx, Tensor):
            raise TypeError("LSTMCell: hx should be a pair (h, c) of tensors, got one tensor")
        h, c = self._step(ops.LSTM, input, (None, None) if hx is None else tuple(hx))
        return h, c


class GRUCell(RNNCellBase):
    """One step of `GRU`."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step(ops.GRU, input, (hx,))[0]
