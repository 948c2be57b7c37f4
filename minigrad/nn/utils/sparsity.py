"""How many zeros a network has, and what they gain."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from ...autograd import no_grad
from ...tensor import Tensor
from ..module import Module

__all__ = ["LayerSparsity", "Sparsity", "Speed", "compare_speed", "effective_weights", "sparsity"]


class LayerSparsity(NamedTuple):
    """The zeros of one parameter, as the forward pass sees it."""

    name: str
    shape: tuple[int, ...]
    zeros: int
    total: int

    @property
    def fraction(self) -> float:
        return self.zeros / self.total if self.total else 0.0


class Sparsity(NamedTuple):
    """The zeros of each parameter, and together; as text, a table."""

    layers: list[LayerSparsity]

    @property
    def zeros(self) -> int:
        return sum(layer.zeros for layer in self.layers)

    @property
    def total(self) -> int:
        return sum(layer.total for layer in self.layers)

    @property
    def fraction(self) -> float:
        return self.zeros / self.total if self.total else 0.0

    def __str__(self) -> str:
        rows = [*self.layers, LayerSparsity("all", (), self.zeros, self.total)]
        width = max(len(row.name) for row in rows)
        return "\n".join(
            f"{row.name:<{width}}  {row.zeros:>9,} of {row.total:>9,}  {row.fraction:7.2%}"
            for row in rows
        )


def effective_weights(module: Module) -> Iterator[tuple[str, Tensor]]:
    """The parameters as forward sees them: of a pruned one the original times its mask, under its
    plain name, and of a parametrized one its value."""
    for path, each in module.named_modules():
        prefix = f"{path}." if path else ""
        if path.rpartition(".")[2] == "parametrizations" or ".parametrizations." in f".{path}.":
            continue
        for name in each.__dict__.get("parametrizations", ()):
            yield prefix + name, getattr(each, name).detach()
        for name, parameter in each._parameters.items():
            if parameter is None:
                continue
            plain = name.removesuffix("_orig")
            mask = each._buffers.get(plain + "_mask") if plain != name else None
            if mask is None:
                yield prefix + name, parameter.detach()
            else:
                yield prefix + plain, parameter.detach() * mask.to(parameter.dtype)


def sparsity(module: Module) -> Sparsity:
    """Counts the zeros in all parameters of a module, pruned or not."""
    layers = []
    with no_grad():
        for name, value in effective_weights(module):
            zeros = int((value == 0).sum().item())
            layers.append(LayerSparsity(name, tuple(value.shape), zeros, value.numel()))
    return Sparsity(layers)


class Speed(NamedTuple):
    """Median times of a forward pass in seconds, and their quotient."""

    dense: float
    pruned: float

    @property
    def speedup(self) -> float:
        return self.dense / self.pruned

    def __str__(self) -> str:
        return (
            f"dense {self.dense * 1e6:.1f} µs, pruned {self.pruned * 1e6:.1f} µs, "
            f"{self.speedup:.2f} times as fast"
        )


def compare_speed(dense: Module, pruned: Module, *inputs: Any, repeats: int = 50) -> Speed:
    """Measures a forward pass of two modules in evaluation mode, taking turns.

    Zeros alone gain nothing: the kernels are dense and multiply by them like by any number, and
    the mask of a parameter that is still pruned costs a product each time (`prune.remove` saves
    that). What gains is less to compute: see `prune.shrink`.
    """
    if repeats < 1:
        raise ValueError(f"compare_speed: repeats must be at least 1, got {repeats}")
    modes = [(module, module.training) for each in (dense, pruned) for module in each.modules()]
    times: tuple[list[float], list[float]] = ([], [])
    try:
        for module in (dense.eval(), pruned.eval()):
            with no_grad():
                module(*inputs)  # warms the pool of memory
        for _ in range(repeats):
            for module, found in zip((dense, pruned), times, strict=True):
                with no_grad():
                    start = time.perf_counter()
                    module(*inputs)
                    found.append(time.perf_counter() - start)
    finally:
        for module, mode in modes:
            module.training = mode
    return Speed(statistics.median(times[0]), statistics.median(times[1]))
