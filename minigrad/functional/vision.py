"""Sampling at given places: grids of affine maps, and images read on a grid."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from math import prod

from ..dtypes import int64
from ..ops.creation import arange, ones
from ..ops.elementwise import check_tensor, where
from ..ops.shape import cat
from ..tensor import Tensor

__all__ = ["affine_grid", "grid_sample"]


def _default_alignment(align_corners: bool | None, op: str) -> bool:
    if align_corners is None:
        warnings.warn(f"{op}: align_corners is False where it is not given", stacklevel=3)
    return bool(align_corners)


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """Where an affine map takes each pixel of an output of ``size``: theta (N, 2, 3) and size
    (N, C, H, W) give (N, H, W, 2), theta (N, 3, 4) and (N, C, D, H, W) give (N, D, H, W, 3).

    Places (x, y[, z]) go from -1 to 1, the centres of the outermost pixels with ``align_corners``,
    else their outer edges. https://pytorch.org/docs/stable/generated/torch.nn.functional.affine_grid
    """
    check_tensor(theta, "affine_grid", "theta")
    aligned = _default_alignment(align_corners, "affine_grid")
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    dims = len(size) - 2
    if dims not in (2, 3):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, "
            f"respectively. Got size {list(size)}."
        )
    if theta.shape[1:] != (dims, dims + 1):
        raise ValueError(
            f"Expected a batch of {dims}D affine matrices of shape Nx{dims}x{dims + 1} for size "
            f"{list(size)}. Got {list(theta.shape)}."
        )
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {list(size)}")
    spatial = list(size[2:])
    columns = []
    for d in reversed(range(dims)):  # x is the last dimension
        count = spatial[d]
        steps = arange(count, dtype=theta.dtype)
        span = max(count - 1, 1) if aligned else count
        line = (steps * 2 - (count - 1)) / span
        columns.append(
            line.reshape([-1 if each == d else 1 for each in range(dims)]).expand(spatial)
        )
    base = cat([each.reshape(-1, 1) for each in columns], 1)
    base = cat([base, ones(base.shape[0], 1, dtype=theta.dtype)], 1)
    return (base @ theta.transpose(1, 2)).reshape(size[0], *spatial, dims)


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """The input (N, C, H, W) at the places of a grid (N, OH, OW, 2): (N, C, OH, OW); also in three
    dimensions, (N, C, D, H, W) at (N, OD, OH, OW, 3).

    Places (x, y[, z]) are those of ``affine_grid``. mode: "bilinear" (of eight neighbours in three
    dimensions), "nearest", "bicubic" (two dimensions; Keys' kernel with a = -0.75). padding_mode
    says what lies outside: "zeros", "border" (the nearest pixel), "reflection". Differentiable in
    both, any number of times. https://pytorch.org/docs/stable/generated/torch.nn.functional.grid_sample
    """
    check_tensor(input, "grid_sample")
    check_tensor(grid, "grid_sample", "grid")
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(
            "nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', "
            f"but got: '{mode}'"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or "
            f"'reflection', but got: '{padding_mode}'"
        )
    aligned = _default_alignment(align_corners, "grid_sample")
    _check_grid(input, grid, mode)
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


def _check_grid(input: Tensor, grid: Tensor, mode: str) -> None:
    dims = input.ndim - 2
    if dims not in (2, 3) or grid.ndim != input.ndim:
        raise RuntimeError(
            "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but "
            f"got input with sizes {list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if input.shape[0] != grid.shape[0] or grid.shape[-1] != dims:
        raise RuntimeError(
            "grid_sampler(): expected grid to have the batch size of the input and size "
            f"{dims} in its last dimension, but got input with sizes {list(input.shape)} and grid "
            f"with sizes {list(grid.shape)}"
        )
    if input.dtype is not grid.dtype or not input.is_floating_point():
        raise RuntimeError(
            "grid_sampler(): expected input and grid to have the same floating-point dtype, but "
            f"input has {input.dtype} and grid has {grid.dtype}"
        )
    if min(input.shape[2:]) <= 0:
        raise RuntimeError(
            "grid_sampler(): expected input to have non-empty spatial dimensions, but input has "
            f"sizes {list(input.shape)}"
        )
    if mode == "bicubic" and dims == 3:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")


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
