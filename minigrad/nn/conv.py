"""Convolution layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from .. import functional
from ..ops.creation import empty
from ..tensor import Tensor
from .linear import reset_affine
from .module import Module
from .parameter import Parameter

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
]

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")

Sizes = int | Sequence[int]


def sizes_of(value: Any, count: int, name: str) -> tuple[int, ...]:
    """An integer for each dimension, or a sequence of as many as a tuple."""
    if isinstance(value, int):
        return (value,) * count
    values = tuple(value)
    if len(values) != count:
        raise ValueError(f"{name} should be an integer or {count} integers, but got {value}")
    return values


class _Convolution(Module):
    """What plain and transposed convolutions of any number of dimensions have in common."""

    dims: ClassVar[int]
    transposed: ClassVar[bool] = False

    def _set_up(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes,
        padding: str | Sizes,
        output_padding: Sizes,
        groups: int,
        bias: bool,
        dilation: Sizes,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = sizes_of(kernel_size, self.dims, "kernel_size")
        self.stride = sizes_of(stride, self.dims, "stride")
        self.padding = (
            padding if isinstance(padding, str) else sizes_of(padding, self.dims, "padding")
        )
        self.dilation = sizes_of(dilation, self.dims, "dilation")
        self.output_padding = sizes_of(output_padding, self.dims, "output_padding")
        self.groups = groups
        self.padding_mode = padding_mode
        self._check()
        first, second = in_channels, out_channels // groups
        if not self.transposed:
            first, second = out_channels, in_channels // groups
        shape = (first, second, *self.kernel_size)
        self.weight = Parameter(empty(shape, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _check(self) -> None:
        if self.groups <= 0:
            raise ValueError("groups must be a positive integer")
        if self.in_channels % self.groups != 0:
            raise ValueError("in_channels must be divisible by groups")
        if self.out_channels % self.groups != 0:
            raise ValueError("out_channels must be divisible by groups")
        if isinstance(self.padding, str):
            if self.padding not in ("same", "valid"):
                raise ValueError(
                    f"Invalid padding string {self.padding!r}, should be one of ['valid', 'same']"
                )
            if self.padding == "same" and any(step != 1 for step in self.stride):
                raise ValueError("padding='same' is not supported for strided convolutions")
        if self.padding_mode not in PADDING_MODES:
            raise ValueError(
                f"padding_mode must be one of {list(PADDING_MODES)}, but got padding_mode="
                f"'{self.padding_mode}'"
            )

    def reset_parameters(self) -> None:
        """Draws weight and bias anew."""
        reset_affine(self.weight, self.bias)

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        none = (0,) * self.dims
        if self.padding != none:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self.dims:
            text += f", dilation={self.dilation}"
        if self.output_padding != none:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Plain(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: str | Sizes = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self._set_up(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            0,
            groups,
            bias,
            dilation,
            padding_mode,
            device,
            dtype,
        )

    _function: ClassVar[Callable[..., Tensor]]

    def _margins(self) -> list[int]:
        """What is padded, as `functional.pad` takes it: the last dimension first."""
        margins: list[int] = []
        for d in reversed(range(self.dims)):
            if not isinstance(self.padding, str):
                margins += [self.padding[d]] * 2
            elif self.padding == "valid":
                margins += [0, 0]
            else:
                total = self.dilation[d] * (self.kernel_size[d] - 1)
                margins += [total // 2, total - total // 2]
        return margins

    def forward(self, input: Tensor) -> Tensor:
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input = functional.pad(input, self._margins(), mode=self.padding_mode)
            padding = 0
        return type(self)._function(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )


class Conv1d(_Plain):
    """Cross-correlation: (N, C_in, L) or (C_in, L) to (N, C_out, L_out).

    `weight` (C_out, C_in / groups, kernel) and `bias` (C_out) start uniform in ±1/√fan_in with
    fan_in = C_in / groups · kernel. `padding` is a number of elements on each side, "valid" (none)
    or "same" (as many as keep L, for stride 1); `padding_mode` says what stands there: "zeros",
    "reflect", "replicate" or "circular".
    """

    dims = 1
    _function = staticmethod(functional.conv1d)


class Conv2d(_Plain):
    """Cross-correlation: (N, C_in, H, W) or (C_in, H, W) to (N, C_out, H_out, W_out).

    `weight` (C_out, C_in / groups, kernel height, kernel width) and `bias` (C_out) start uniform in
    ±1/√fan_in with fan_in = C_in / groups · kernel height · kernel width. `padding` is a number of
    elements on each side, "valid" (none) or "same" (as many as keep H and W, for stride 1);
    `padding_mode` says what stands there: "zeros", "reflect", "replicate" or "circular".
    """

    dims = 2
    _function = staticmethod(functional.conv2d)


class Conv3d(_Plain):
    """Cross-correlation: (N, C_in, D, H, W) or (C_in, D, H, W) to (N, C_out, D_out, H_out, W_out).

    `weight` (C_out, C_in / groups, kernel depth, height, width) and `bias` (C_out) start uniform in
    ±1/√fan_in with fan_in = C_in / groups · kernel size. Padding as of `Conv2d`.
    """

    dims = 3
    _function = staticmethod(functional.conv3d)


class _Transposed(_Convolution):
    transposed = True
    _function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        super().__init__()
        self._set_up(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            output_padding,
            groups,
            bias,
            dilation,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        extra = self.output_padding
        if output_size is not None:
            extra = self._padding_to(input, list(output_size))
        return type(self)._function(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            extra,
            self.groups,
            self.dilation,
        )

    def _padding_to(self, input: Tensor, output_size: list[int]) -> tuple[int, ...]:
        """The output padding with which an input gives an output of that size."""
        leading = 2 if input.ndim == self.dims + 2 else 1
        if len(output_size) == leading + self.dims:
            output_size = output_size[leading:]
        if len(output_size) != self.dims:
            raise ValueError(
                f"ConvTranspose{self.dims}D: for {input.ndim}D input, output_size must have "
                f"{self.dims} or {leading + self.dims} elements (got {len(output_size)})"
            )
        assert not isinstance(self.padding, str)
        least = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(
                input.shape[leading:],
                self.stride,
                self.padding,
                self.dilation,
                self.kernel_size,
                strict=True,
            )
        ]
        extra = tuple(size - low for size, low in zip(output_size, least, strict=True))
        if any(not 0 <= more < step for more, step in zip(extra, self.stride, strict=True)):
            most = [low + step - 1 for low, step in zip(least, self.stride, strict=True)]
            raise ValueError(
                f"requested an output size of {output_size}, but valid sizes range from {least} to "
                f"{most} (for an input of {list(input.shape[leading:])})"
            )
        return extra


class ConvTranspose1d(_Transposed):
    """The transpose of a convolution: (N, C_in, L) or (C_in, L) to (N, C_out, L_out) with
    L_out = (L - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1.

    `weight` (C_in, C_out / groups, kernel) and `bias` (C_out) start uniform in ±1/√fan_in with
    fan_in = C_out / groups · kernel. `forward` takes an `output_size` instead of `output_padding`.
    """

    dims = 1
    _function = staticmethod(functional.conv_transpose1d)


class ConvTranspose2d(_Transposed):
    """The transpose of a convolution: (N, C_in, H, W) or (C_in, H, W) to (N, C_out, H_out, W_out),
    the sizes as of `ConvTranspose1d`.

    `weight` (C_in, C_out / groups, kernel height, kernel width) and `bias` (C_out) start uniform in
    ±1/√fan_in with fan_in = C_out / groups · kernel height · kernel width. `forward` takes an
    `output_size` instead of `output_padding`.
    """

    dims = 2
    _function = staticmethod(functional.conv_transpose2d)


class ConvTranspose3d(_Transposed):
    """The transpose of a convolution: (N, C_in, D, H, W) or (C_in, D, H, W) to (N, C_out, D_out,
    H_out, W_out), the sizes as of `ConvTranspose1d`.

    `weight` (C_in, C_out / groups, kernel depth, height, width) and `bias` (C_out) start uniform in
    ±1/√fan_in with fan_in = C_out / groups · kernel size. `forward` takes an `output_size` instead
    of `output_padding`.
    """

    dims = 3
    _function = staticmethod(functional.conv_transpose3d)
