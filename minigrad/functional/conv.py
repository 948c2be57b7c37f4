"""Convolution and transposed convolution over one, two or three dimensions."""

from __future__ import annotations

from ..ops.conv import Convolution, ConvolutionInput
from ..ops.elementwise import check_tensor
from ..tensor import Tensor
from .padding import pad
from .sizes import Sizes, sizes_of

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
]


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """The cross-correlation of (N, C, L) or (C, L) with kernels (O, C / groups, KL)."""
    return _convolution(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """The cross-correlation of (N, C, H, W) or (C, H, W) with kernels (O, C / groups, KH, KW)."""
    return _convolution(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """The cross-correlation of (N, C, D, H, W) or (C, D, H, W) with kernels (O, C / groups, KD, KH,
    KW)."""
    return _convolution(3, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """The transpose of ``conv1d``: (N, C, L) or (C, L) with kernels (C, O / groups, KL)."""
    return _transposed(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """The transpose of ``conv2d``: (N, C, H, W) or (C, H, W) with kernels (C, O / groups, KH, KW).
    Each size becomes (size - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1.
    """
    return _transposed(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """The transpose of ``conv3d``: (N, C, D, H, W) or (C, D, H, W) with kernels (C, O / groups, KD,
    KH, KW)."""
    return _transposed(3, input, weight, bias, stride, padding, output_padding, groups, dilation)


def _check(op: str, dims: int, input: Tensor, weight: Tensor) -> None:
    check_tensor(input, op)
    check_tensor(weight, op, "weight")
    if weight.ndim != dims + 2:
        raise RuntimeError(f"{op}: expected a {dims + 2}D weight, got shape {list(weight.shape)}")
    if input.ndim not in (dims + 1, dims + 2):
        raise RuntimeError(
            f"Expected {dims + 1}D (unbatched) or {dims + 2}D (batched) input to {op}, but got "
            f"input of size: {list(input.shape)}"
        )


def _convolution(
    dims: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Sizes | str,
    dilation: Sizes,
    groups: int,
) -> Tensor:
    _check(f"conv{dims}d", dims, input, weight)
    strides, dilations = sizes_of(stride, dims, "stride"), sizes_of(dilation, dims, "dilation")
    unbatched = input.ndim == dims + 1
    if unbatched:
        input = input.unsqueeze(0)
    if isinstance(padding, str):
        input, paddings = _named_padding(input, weight, padding, strides, dilations)
    else:
        paddings = sizes_of(padding, dims, "padding")
    operation = Convolution((*strides, *paddings, *dilations, groups))
    result = (
        operation.apply(input, weight) if bias is None else operation.apply(input, weight, bias)
    )
    return result.squeeze(0) if unbatched else result


def _named_padding(
    input: Tensor,
    weight: Tensor,
    padding: str,
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> tuple[Tensor, tuple[int, ...]]:
    """'valid' is none; 'same' keeps the sizes, the odd element going behind."""
    if padding == "valid":
        return input, (0,) * len(strides)
    if padding != "same":
        raise RuntimeError(f"Invalid padding string {padding!r}, should be one of 'valid', 'same'")
    if any(step != 1 for step in strides):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    totals = [d * (size - 1) for d, size in zip(dilations, weight.shape[2:], strict=True)]
    return _longer(input, [total % 2 for total in totals]), tuple(total // 2 for total in totals)


def _longer(input: Tensor, extra: list[int]) -> Tensor:
    """With zeros behind the last element of each of the last dimensions."""
    if not any(extra):
        return input
    return pad(input, [each for more in reversed(extra) for each in (0, more)])


def _transposed(
    dims: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    groups: int,
    dilation: Sizes,
) -> Tensor:
    op = f"conv_transpose{dims}d"
    _check(op, dims, input, weight)
    strides, dilations = sizes_of(stride, dims, "stride"), sizes_of(dilation, dims, "dilation")
    paddings = sizes_of(padding, dims, "padding")
    extra = sizes_of(output_padding, dims, "output_padding")
    for more, step, spread in zip(extra, strides, dilations, strict=True):
        if more < 0 or more >= max(step, spread):
            raise RuntimeError(
                f"{op}: output padding must be non-negative and smaller than either stride or "
                f"dilation, but got output_padding {extra}, stride {strides}, dilation {dilations}"
            )
    unbatched = input.ndim == dims + 1
    if unbatched:
        input = input.unsqueeze(0)
    if groups < 1 or input.shape[1] != weight.shape[0]:
        raise RuntimeError(
            f"{op}: Given transposed=1, groups={groups}, weight of size {list(weight.shape)}, "
            f"expected input {list(input.shape)} to have {weight.shape[0]} channels, but got "
            f"{input.shape[1]} channels instead"
        )
    size = [
        (n - 1) * s - 2 * p + d * (k - 1) + more + 1
        for n, s, p, d, k, more in zip(
            input.shape[2:], strides, paddings, dilations, weight.shape[2:], extra, strict=True
        )
    ]
    if min(size) < 1:
        raise RuntimeError(
            f"{op}: Given input size per channel: {list(input.shape[2:])}. Calculated output size "
            f"per channel: {size}. Output size is too small"
        )
    # An output padding of a stride or more would be the output of further elements: zeros.
    input = _longer(input, [more // step for more, step in zip(extra, strides, strict=True)])
    operation = ConvolutionInput((*strides, *paddings, *dilations, groups), size)
    result = (
        operation.apply(input, weight) if bias is None else operation.apply(input, weight, bias)
    )
    return result.squeeze(0) if unbatched else result
