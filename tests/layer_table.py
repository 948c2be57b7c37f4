"""The layer table: one row per layer and choice of options.

    Layer(lambda m: m.Linear(6, 4), Real((5, 6)))

`m` is ``minigrad.nn``, or ``torch.nn`` in the differential tests. test_layers.py checks gradients,
files, copies and replay of every row; differential/test_layers_torch.py compares its text, keys,
values, gradients and buffers with torch. The rows stand in tests/layers, one file a family; a
number of tensors of one layer is one `Layer` with several operands.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from op_table import Operand, Real, draw


def plainly(module: Any, *inputs: Any) -> Any:
    """The usual call."""
    return module(*inputs)


@dataclass(frozen=True)
class Layer:
    """One layer.

    make: ``make(nn)`` returns the module.
    inputs: its operands; bare tuples are shapes of `Real` ones.
    call: ``call(module, *tensors)`` where the layer is not just called with the operands. It
        returns a tensor or nested tuples and lists with tensors in them.
    tolerance: of values and of the gradients of inputs, relative to the largest value, in float32;
        gradients of parameters are sums over the batch and get five times of it.
    random: whether it draws random numbers in training, so that only evaluation is compared.
    smooth: whether derivatives are compared with differences.
    replay: whether it can be recorded in a plan; not where shapes depend on values.
    """

    make: Callable[[Any], Any]
    inputs: tuple[Any, ...]
    call: Callable[..., Any] = plainly
    tolerance: float = 2e-5
    random: bool = False
    smooth: bool = True
    replay: bool = True
    name: str = field(default="", compare=False)

    def values(self, dtype: str = "float32", again: int = 0) -> list[np.ndarray]:
        """The operands as ndarrays, the same in every run."""
        seed = zlib.crc32(self.name.encode()) + 7919 * again
        return [draw(operand, seed + place, dtype) for place, operand in enumerate(self.operands())]

    def operands(self) -> list[Operand]:
        """The operands, bare shapes made `Real`."""
        return [Real(each) if isinstance(each, tuple) else each for each in self.inputs]

    def tensors(self, module: Any, dtype: str = "float32", again: int = 0) -> list[Any]:
        """The operands as tensors of ``minigrad`` or ``torch``, with `requires_grad` as said."""
        made = []
        for operand, values in zip(self.operands(), self.values(dtype, again), strict=True):
            tensor = module.tensor(values)
            if isinstance(operand, Real) and operand.gradient:
                tensor.requires_grad_()
            made.append(tensor)
        return made

    def __repr__(self) -> str:
        return self.name


def tensors_in(result: Any) -> list[Any]:
    """The tensors of a result, however nested."""
    if isinstance(result, (tuple, list)):
        return [tensor for each in result for tensor in tensors_in(each)]
    return [result] if hasattr(result, "requires_grad") else []


def all_layers(nn: Any) -> list[Layer]:
    """Every row of tests/layers, named by the layer's text."""
    rows: list[Layer] = []
    for path in sorted(Path(__file__, "../layers").resolve().glob("*.py")):
        rows += importlib.import_module(f"layers.{path.stem}").LAYERS
    named, seen = [], set()
    for row in rows:
        text = " ".join(repr(row.make(nn)).split())
        shapes = ",".join("x".join(map(str, each.shape)) for each in row.operands())
        name = f"{text[:60]} {shapes}"
        while name in seen:
            name += "'"
        seen.add(name)
        named.append(Layer(**{**row.__dict__, "name": name}))
    return named
