"""Convolution layers."""

from __future__ import annotations

from typing import Any

from ..functional import conv2d
from ..ops.creation import empty
from ..tensor import Tensor
from .linear import reset_affine
from .module import Module
from .parameter import Parameter

__all__ = ["Conv2d"]

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def pair(value: Any, name: str) -> tuple[int, int]:
    """An integer twice, or a sequence of two integers as a tuple."""
    if isinstance(value, int):
        return value, value
    values = tuple(value)
    if len(values) != 2:
        raise ValueError(f"{name} should be an integer or two integers, but got {value}")
    return values


class Conv2d(Module):
    """Cross-correlation: (N, C_in, H, W) or (C_in, H, W) to (N, C_out, H_out, W_out).

    `weight` (C_out, C_in / groups, kernel height, kernel width) and `bias` (C_out) start uniform in
    ±1/√fan_in with fan_in = C_in / groups · kernel height · kernel width. `padding` is a number of
    zeros on each side, "valid" (none) or "same" (as many as keep H and W, for stride 1).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = pair(kernel_size, "kernel_size")
        self.stride = pair(stride, "stride")
        self.padding = padding if isinstance(padding, str) else pair(padding, "padding")
        self.dilation = pair(dilation, "dilation")
        self.groups = groups
        self.padding_mode = padding_mode
        self._check()
        shape = (out_channels, in_channels // groups, *self.kernel_size)
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
        if self.padding_mode != "zeros":
            raise NotImplementedError(
                f"Conv2d: padding_mode='{self.padding_mode}' is not implemented, only 'zeros'; "
                "pad the input before the layer instead"
            )

    def reset_parameters(self) -> None:
        """Draws weight and bias anew."""
        reset_affine(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return conv2d(
            input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        if self.padding != (0, 0):
            text += f", padding={self.padding}"
        if self.dilation != (1, 1):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        return text
