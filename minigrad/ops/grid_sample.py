"""Images read at the places of a grid: a kernel for planes, and the composition for everything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from ..autograd.engine import Fused
from ..dtypes import int64
from ..kernels import Array, check, lib, own, several
from ..tensor import Tensor, wrap
from .creation import arange
from .elementwise import where

PADDINGS = ("zeros", "border", "reflection")  # in the order of grid_sample.c


class GridSample(Fused):
    """y[p] = Σ w_k(g_p) x_k over the four pixels around the place g_p (or the nearest one).

    dx_k = Σ_p w_k dy[p];  dg_p = dy[p] Σ w_k'(g_p) x_k
    """

    __slots__ = ("mode", "padding", "aligned")

    def __init__(self, mode: str, padding: str, aligned: bool) -> None:
        self.mode, self.padding, self.aligned = mode, padding, aligned

    def _options(self) -> tuple[int, int, int]:
        return self.mode == "nearest", PADDINGS.index(self.padding), self.aligned

    def forward(self, input: Array, grid: Array) -> Array:
        return own(lib.mg_grid_sample(input, grid, *self._options()))

    def composition(self, input: Tensor, grid: Tensor) -> Tensor:  # type: ignore[override]
        return sampled(input, grid, self.mode, self.padding, self.aligned)

    def fused_backward(self, grad: Tensor) -> Sequence[Tensor | None]:
        input, grid = (each._array for each in self.inputs)
        outputs = several(2)
        check(lib.mg_grid_sample_backward(grad._array, input, grid, *self._options(), outputs))
        return [wrap(own(each)) for each in outputs]


def sampled(input: Tensor, grid: Tensor, mode: str, padding_mode: str, aligned: bool) -> Tensor:
    """``functional.grid_sample`` in plain operations: in all modes, planes and volumes."""
    sizes = input.shape[2:]
    places = [  # of each dimension, in pixels
        _pixels(grid[..., len(sizes) - 1 - d].reshape(-1), size, aligned)
        for d, size in enumerate(sizes)
    ]
    if mode != "bicubic":  # bicubic applies the padding to each of its pixels
        places = [
            _padded(place, size, padding_mode, aligned)
            for place, size in zip(places, sizes, strict=True)
        ]
    channels = input.shape[1]
    if prod(grid.shape[:-1]) * channels == 0:
        empty = input.new_zeros(input.shape[0], channels, *grid.shape[1:-1])
        return empty + (input.sum() + grid.sum())
    order = [0, *range(2, input.ndim), 1]
    pixels = input.permute(*order).reshape(-1, channels)  # a row for each
    images = arange(input.shape[0]).reshape(-1, 1)
    images = images.expand(input.shape[0], prod(grid.shape[1:-1])).reshape(-1)
    total = None
    for corner, weight in _neighbours(places, mode):
        inside, row = None, images
        for index, size in zip(corner, sizes, strict=True):
            if mode == "bicubic":
                index = _padded(index, size, padding_mode, aligned).round()
            valid = (index >= 0) & (index <= size - 1)
            inside = valid if inside is None else inside & valid
            row = row * size + where(valid, index, 0.0).to(int64)
        assert inside is not None
        value = pixels[row]
        part = value if weight is None else value * weight.unsqueeze(1)
        part = where(inside.unsqueeze(1), part, 0.0)
        total = part if total is None else total + part
    assert total is not None
    if mode == "nearest" and grid.requires_grad:
        total = total + (grid.sum() - grid.sum().detach()) * 0  # a gradient of zeros, as in torch
    result = total.reshape(input.shape[0], *grid.shape[1:-1], channels)
    return result.permute(0, input.ndim - 1, *range(1, input.ndim - 1))


def _pixels(place: Tensor, size: int, aligned: bool) -> Tensor:
    """From -1 to 1 to the pixels' own count."""
    return (place + 1) * ((size - 1) / 2) if aligned else ((place + 1) * size - 1) / 2


def _padded(place: Tensor, size: int, padding_mode: str, aligned: bool) -> Tensor:
    """A place beyond the image brought back into it."""
    if padding_mode == "zeros":
        return place
    if padding_mode == "reflection":
        low, span = (0.0, size - 1.0) if aligned else (-0.5, float(size))
        if span == 0:
            return place * 0
        away = (place - low).abs()
        turns = (away / span).floor().detach()
        rest = away - turns * span
        place = where(turns % 2 == 0, rest + low, span - rest + low)
    # The derivative is 0 on the border itself, too.
    between = (place > 0) & (place < size - 1)
    return where(between, place, place.detach().clamp(0, size - 1))


def _neighbours(
    places: Sequence[Tensor], mode: str
) -> Iterator[tuple[list[Tensor], Tensor | None]]:
    """The pixels around each place, an index for each dimension, and their weights."""
    if mode == "nearest":
        yield [place.detach().round() for place in places], None
        return
    floors = [place.detach().floor() for place in places]
    parts = [place - floor for place, floor in zip(places, floors, strict=True)]
    steps = range(2) if mode == "bilinear" else range(-1, 3)
    choices: list[list[tuple[Tensor, Tensor]]] = [
        [(floor + step, _weight(part, step, mode)) for step in steps]
        for floor, part in zip(floors, parts, strict=True)
    ]

    def combined(d: int) -> Iterator[tuple[list[Tensor], Tensor | None]]:
        if d == len(choices):
            yield [], None
            return
        for index, weight in choices[d]:
            for others, product in combined(d + 1):
                yield [index, *others], weight if product is None else weight * product

    yield from combined(0)


def _weight(part: Tensor, step: int, mode: str) -> Tensor:
    """Of the pixel ``step`` after the one below the place, which lies ``part`` behind that one."""
    if mode == "bilinear":
        return part if step else 1 - part
    a = -0.75
    away = part - step if step < 1 else step - part  # from 0 to 2
    if step in (0, 1):
        return ((a + 2) * away - (a + 3)) * away * away + 1
    return ((a * away - 5 * a) * away + 8 * a) * away - 4 * a
