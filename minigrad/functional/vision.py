"""Sampling at given places: grids of affine maps, and images read on a grid."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from ..ops.creation import arange, ones
from ..ops.elementwise import check_tensor
from ..ops.grid_sample import GridSample, sampled
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
    if input.ndim == 4 and mode != "bicubic":
        return GridSample(mode, padding_mode, aligned).apply(input, grid)
    return sampled(input, grid, mode, padding_mode, aligned)


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
