"""Padding: margins of a constant, or of the image reflected, replicated or repeated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from ..ops.elementwise import check_tensor
from ..ops.resample import Axis, Matrices, Resample
from ..tensor import Tensor

__all__ = ["pad"]

KERNEL_AXES = 3  # that one launch pads


@lru_cache(256)
def _constant(size: int, before: int, after: int) -> Axis:
    return Axis.map(size, [i if 0 <= i < size else -1 for i in range(-before, size + after)])


@lru_cache(256)
def _reflect(size: int, before: int, after: int) -> Axis:
    last = size - 1
    return Axis.map(size, [last - abs(last - abs(i)) for i in range(-before, size + after)])


@lru_cache(256)
def _replicate(size: int, before: int, after: int) -> Axis:
    return Axis.map(size, [min(max(i, 0), size - 1) for i in range(-before, size + after)])


@lru_cache(256)
def _circular(size: int, before: int, after: int) -> Axis:
    return Axis.map(size, [i % size for i in range(-before, size + after)])


_MODES: dict[str, Callable[[int, int, int], Axis]] = {
    "reflect": _reflect,
    "replicate": _replicate,
    "circular": _circular,
}


def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Margins around the last dimensions. ``pad`` is (before, after) of the last dimension, then of
    the one in front of it, and so on; negative numbers cut off.

    mode: "constant" (of ``value``, 0 unless given; any number of dimensions), "reflect" (mirrored
    at the first and last element, which are not repeated), "replicate" (the first and the last
    element), "circular" (the other end). The last three pad the last dimension of a 2-D or 3-D
    input, the last two of a 3-D or 4-D one or the last three of a 4-D or 5-D one.

    https://pytorch.org/docs/stable/generated/torch.nn.functional.pad.html
    """
    check_tensor(input, "pad")
    margins = tuple([int(each) for each in pad])
    shape = input.shape
    if mode != "constant":
        if value and mode in _MODES:
            raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
        return Resample(_matrices(shape, margins, mode)).apply(input)
    if not margins:
        return input.clone()
    fill = 0.0 if value is None else float(value)
    if len(margins) <= 2 * KERNEL_AXES:
        return Resample(_matrices(shape, margins, mode), fill).apply(input)
    inner = _pad_constant(input, margins[: 2 * KERNEL_AXES], fill)
    for place in range(KERNEL_AXES, len(_pairs(shape, margins))):
        pair = margins[2 * place : 2 * place + 2]
        if pair != (0, 0):
            rows = inner.flatten(input.ndim - place)
            inner = _pad_constant(rows, (0, 0, *pair), fill).unflatten(
                -1, inner.shape[input.ndim - place :]
            )
    return inner


def _pad_constant(input: Tensor, margins: Sequence[int], value: float) -> Tensor:
    """``pad`` with a constant around at most three dimensions."""
    return Resample(_matrices(input.shape, tuple(margins), "constant"), value).apply(input)


def _pairs(shape: Sequence[int], margins: Sequence[int]) -> list[tuple[int, int]]:
    """(before, after) of the padded dimensions, in their order."""
    if len(margins) % 2:
        raise RuntimeError(f"Padding length must be divisible by 2, got pad={list(margins)}")
    dims = len(margins) // 2
    if dims > len(shape):
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got "
            f"padding length {len(margins)} and input of dimension {len(shape)}"
        )
    return [(margins[2 * i], margins[2 * i + 1]) for i in reversed(range(dims))]


@lru_cache(256)
def _matrices(shape: Sequence[int], margins: tuple[int, ...], mode: str) -> Matrices:
    pairs = _pairs(shape, margins)
    own = shape[len(shape) - len(pairs) :]
    sizes = [n + before + after for n, (before, after) in zip(own, pairs, strict=True)]
    if mode != "constant":
        _check(shape, mode, own, pairs, sizes)
    elif min(sizes) < 0:
        raise RuntimeError(
            f"pad: the input size {list(shape)}, plus negative padding {list(margins)}, resulted "
            f"in the negative output size {sizes}"
        )
    axis = _constant if mode == "constant" else _MODES[mode]
    return Matrices([axis(n, *pair) for n, pair in zip(own, pairs, strict=True)])


def _check(
    shape: Sequence[int],
    mode: str,
    own: Sequence[int],
    pairs: list[tuple[int, int]],
    sizes: list[int],
) -> None:
    """torch's errors of the modes that look at the image."""
    if mode not in _MODES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    dims = len(pairs)
    if not 1 <= dims <= KERNEL_AXES or len(shape) - dims not in (1, 2):
        raise NotImplementedError(
            "Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now: pad has "
            f"{2 * dims} numbers for an input of {len(shape)} dimensions"
        )
    if 0 in shape[-dims - (mode != "circular") :]:
        raise RuntimeError(
            f"pad: expected an input with optional batch size 0, but got {list(shape)}"
        )
    for n, (before, after) in zip(own, pairs, strict=True):
        if mode == "reflect" and max(before, after) >= n:
            raise RuntimeError(
                "Padding size should be less than the corresponding input dimension, but got: "
                f"padding ({before}, {after}) for a dimension of {n} of input {list(shape)}"
            )
        if mode == "circular" and max(before, after) > n:
            raise RuntimeError(
                "Padding value causes wrapping around more than once: padding "
                f"({before}, {after}) for a dimension of {n}"
            )
    if min(sizes) < 1 - (mode == "circular"):
        raise RuntimeError(
            f"pad: input of size {list(shape)} is too small for the padding; the output would have "
            f"{sizes}"
        )
