"""Padding: margins of a constant, or of the image reflected, replicated or repeated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from ..ops.elementwise import check_tensor
from ..ops.resample import Axis, Resample
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
    margins = [int(each) for each in pad]
    if len(margins) % 2:
        raise RuntimeError(f"Padding length must be divisible by 2, got pad={margins}")
    dims = len(margins) // 2
    if dims > input.ndim:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got "
            f"padding length {len(margins)} and input of dimension {input.ndim}"
        )
    shape = input.shape[input.ndim - dims :]
    pairs = [(margins[2 * i], margins[2 * i + 1]) for i in reversed(range(dims))]
    sizes = [n + before + after for n, (before, after) in zip(shape, pairs, strict=True)]
    if mode == "constant":
        if any(size < 0 for size in sizes):
            raise RuntimeError(
                f"pad: the input size {list(input.shape)}, plus negative padding {margins}, "
                f"resulted in the negative output size {sizes}"
            )
        return _pad_constant(input, shape, pairs, 0.0 if value is None else float(value))
    _check(input, mode, value, shape, pairs, sizes)
    axis = _MODES[mode]
    return Resample([axis(n, *pair) for n, pair in zip(shape, pairs, strict=True)]).apply(input)


def _pad_constant(
    input: Tensor, shape: Sequence[int], pairs: list[tuple[int, int]], value: float
) -> Tensor:
    if not pairs:
        return input.clone()
    axes = [_constant(n, *pair) for n, pair in zip(shape, pairs, strict=True)]
    result = Resample(axes[-KERNEL_AXES:], value).apply(input)
    for i in reversed(range(len(axes) - KERNEL_AXES)):
        if pairs[i] == (0, 0):
            continue
        place = input.ndim - len(axes) + i
        inner = result.shape[place + 1 :]
        rows = result.flatten(place + 1)
        whole = _constant(rows.shape[-1], 0, 0)
        rows = Resample([axes[i], whole], value).apply(rows)
        result = rows.unflatten(-1, inner)
    return result


def _check(
    input: Tensor,
    mode: str,
    value: float | None,
    shape: Sequence[int],
    pairs: list[tuple[int, int]],
    sizes: list[int],
) -> None:
    """torch's errors of the modes that look at the image."""
    if mode not in _MODES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if value:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    dims = len(pairs)
    if not 1 <= dims <= KERNEL_AXES or input.ndim - dims not in (1, 2):
        raise NotImplementedError(
            "Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now: pad has "
            f"{2 * dims} numbers for an input of {input.ndim} dimensions"
        )
    if 0 in input.shape[-dims - (mode != "circular") :]:
        raise RuntimeError(
            f"pad: expected an input with optional batch size 0, but got {list(input.shape)}"
        )
    for n, (before, after) in zip(shape, pairs, strict=True):
        if mode == "reflect" and max(before, after) >= n:
            raise RuntimeError(
                "Padding size should be less than the corresponding input dimension, but got: "
                f"padding ({before}, {after}) for a dimension of {n} of input {list(input.shape)}"
            )
        if mode == "circular" and max(before, after) > n:
            raise RuntimeError(
                "Padding value causes wrapping around more than once: padding "
                f"({before}, {after}) for a dimension of {n}"
            )
    if min(sizes) < 1 - (mode == "circular"):
        raise RuntimeError(
            f"pad: input of size {list(input.shape)} is too small for the padding; the output "
            f"would have {sizes}"
        )
