"""Random numbers: Philox 4x32-10, a generator whose whole state is a seed and a counter in memory.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import array as arrays
from ..autograd.engine import Operation, already_freed
from ..dtypes import dtype as DType
from ..dtypes import int64
from ..kernels import Array, check, lib, own, several
from ..tensor import Tensor, wrap
from .creation import empty_array, finished
from .shape import as_shape


class Generator:
    """A stream of random numbers. Each use advances the counter in memory, so a replayed plan
    continues the same stream as eager code."""

    def __init__(self, device: Any = "cpu") -> None:
        self._state = arrays.empty([2], int64)  # seed, counter
        self.manual_seed(67280421310721)  # torch's default seed

    def _values(self) -> np.ndarray:
        return arrays.to_numpy(self._state)

    def manual_seed(self, seed: int) -> Generator:
        """Starts the stream of that seed."""
        if not isinstance(seed, int):
            raise TypeError(f"manual_seed expected an int, but got {type(seed).__name__}")
        if not -(1 << 63) <= seed < 1 << 64:
            raise RuntimeError("Overflow when unpacking long long: a seed has 64 bits")
        self._values()[:] = [seed if seed < 1 << 63 else seed - (1 << 64), 0]
        return self

    def seed(self) -> int:
        """Starts a stream from entropy of the system, and returns its seed."""
        seed = int.from_bytes(os.urandom(7), "little")
        self.manual_seed(seed)
        return seed

    def initial_seed(self) -> int:
        """The seed that the stream was started with."""
        return int(self._values()[0])

    def get_state(self) -> Tensor:
        """Seed and counter as a tensor, for ``set_state``."""
        return wrap(arrays.copy_numpy(self._values(), int64))

    def set_state(self, state: Tensor) -> None:
        """Continues from a state that ``get_state`` returned."""
        if state.shape != (2,) or state.dtype is not int64:
            raise RuntimeError("RNG state is wrong size: expected the int64 tensor of get_state()")
        self._values()[:] = state.numpy()

    @property
    def device(self) -> str:
        return "cpu"

    def __reduce__(self) -> Any:
        return _generator_from, (self._values().copy(),)


def _generator_from(values: np.ndarray) -> Generator:
    generator = Generator()
    generator._values()[:] = values
    return generator


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Seeds the default generator."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seeds the default generator from entropy of the system."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the default generator."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Sets the state of the default generator."""
    default_generator.set_state(new_state)


def _state(generator: Generator | None) -> Array:
    return (default_generator if generator is None else generator)._state


class RandomFill(Operation):
    """In place: x = random numbers;  dx = 0"""

    __slots__ = ("entry", "arguments")

    def __init__(self, entry: Callable, *arguments: Any) -> None:
        self.entry, self.arguments = entry, arguments

    def forward(self, x: Array, out: Array | None = None) -> Array:
        check(self.entry(x, *self.arguments))
        return x

    def grad_x(self, grad: Tensor) -> Tensor:
        return grad.new_zeros(grad.shape)


class Dropout(Operation):
    """y = x m, m = scale with probability keep, else 0, drawn in the same pass;  dx = dy m"""

    __slots__ = ("state", "keep_probability", "scale", "mask")

    def __init__(self, keep: float, scale: float, generator: Generator | None = None) -> None:
        self.state, self.keep_probability, self.scale = _state(generator), keep, scale
        self.mask: Array | None = None

    def forward(self, x: Array) -> Array:
        outputs = several(2)
        check(lib.mg_dropout(x, self.state, self.keep_probability, self.scale, outputs))
        self.mask = own(outputs[1])
        return own(outputs[0])

    def grad_x(self, grad: Tensor) -> Tensor:
        if self.mask is None:
            already_freed()
        return grad * wrap(self.mask)

    def release(self) -> None:
        self.mask = None


# ---- in place ----


def uniform_(
    self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fills with numbers uniform in [from, to)."""
    if from_ > to:
        raise RuntimeError(
            f"uniform_ expects to return a [from, to) range, but found from={from_} > to={to}"
        )
    return RandomFill(lib.mg_random_uniform, _state(generator), from_, to).apply_in_place(self)


def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fills with numbers of the normal distribution."""
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    return RandomFill(lib.mg_random_normal, _state(generator), mean, std).apply_in_place(self)


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fills with 1 with probability p (a number, or a tensor of probabilities), else 0."""
    if isinstance(p, Tensor):
        draws = rand(self.shape, generator=generator)
        return self.copy_((draws < p).to(self.dtype))
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
    return RandomFill(lib.mg_random_bernoulli, _state(generator), p).apply_in_place(self)


# The integers below these are exact in each dtype.
_LIMITS = {"bool": 2, "uint8": 1 << 8, "int32": (1 << 31) - 1, "int64": (1 << 63) - 1}
_LIMITS |= {"float32": 1 << 24, "float64": 1 << 53}


def random_(
    self: Tensor, from_: int = 0, to: int | None = None, *, generator: Generator | None = None
) -> Tensor:
    """Fills with integers uniform in [from, to)."""
    if to is None:
        from_, to = 0, from_ or _LIMITS[self.dtype.name]
    return RandomFill(lib.mg_random_integers, _state(generator), from_, to).apply_in_place(self)


# ---- new tensors ----


def rand(
    *size: Any,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers uniform in [0, 1)."""
    array = empty_array(as_shape(size), dtype, device)
    check(lib.mg_random_uniform(array, _state(generator), 0.0, 1.0))
    return finished(array, requires_grad)


def randn(
    *size: Any,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers of the standard normal distribution."""
    array = empty_array(as_shape(size), dtype, device)
    check(lib.mg_random_normal(array, _state(generator), 0.0, 1.0))
    return finished(array, requires_grad)


def randint(
    *bounds_and_size: Any,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
    low: int | None = None,
    high: int | None = None,
    size: Any = None,
) -> Tensor:
    """``randint(high, size)`` or ``randint(low, high, size)``: integers uniform in [low, high)."""
    given = list(bounds_and_size)
    size = given.pop() if size is None else size
    high = given.pop() if high is None else high
    low = (given.pop() if given else 0) if low is None else low
    if low >= high:
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    array = empty_array(as_shape([size]), dtype or int64, device)
    check(lib.mg_random_integers(array, _state(generator), low, high))
    return finished(array, requires_grad)


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The integers from 0 to n - 1 in random order."""
    array = empty_array([n], int64, device)
    check(lib.mg_random_permutation(array, _state(generator)))
    result = finished(array, False)
    return result if dtype is None or dtype is int64 else result.to(dtype)


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal numbers of the given mean and deviation: tensors, or numbers (then with ``size``)."""
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        if size is None:
            raise TypeError("normal(): give size when mean and std are numbers")
        array = empty_array(as_shape([size]), dtype, None)
        check(lib.mg_random_normal(array, _state(generator), mean, std))
        return finished(array, requires_grad)
    shape = (mean * std).shape if isinstance(mean, Tensor) else std.shape
    return randn(shape, generator=generator) * std + mean


def bernoulli(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that the input gives, else 0."""
    draws = rand(input.shape, generator=generator, dtype=input.dtype)
    return (draws < input.detach()).to(input.dtype)


def rand_like(input: Tensor, *, dtype: DType | None = None, requires_grad: bool = False) -> Tensor:
    """``rand`` with the shape and dtype of another tensor."""
    return rand(input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad)


def randn_like(input: Tensor, *, dtype: DType | None = None, requires_grad: bool = False) -> Tensor:
    """``randn`` with the shape and dtype of another tensor."""
    return randn(input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad)
