"""Pooling layers that give a certain size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from .. import functional
from ..tensor import Tensor
from .conv import sizes_of
from .module import Module

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
]


class _AdaptiveAvgPool(Module):
    _function: ClassVar[Callable[..., Tensor]]

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return type(self)._function(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The means of as many windows of (N, C, L) or (C, L) as `output_size` says."""

    _function = staticmethod(functional.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The means of as many windows of (N, C, H, W) or (C, H, W) as `output_size` says, a number or
    two; None keeps a size. `AdaptiveAvgPool2d(1)` is the mean of each plane."""

    _function = staticmethod(functional.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """The means of as many windows of (N, C, D, H, W) or (C, D, H, W) as `output_size` says, a
    number or three; None keeps a size."""

    _function = staticmethod(functional.adaptive_avg_pool3d)


class _AdaptiveMaxPool(Module):
    _function: ClassVar[Callable[..., Any]]

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        return type(self)._function(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The largest elements of as many windows of (N, C, L) or (C, L) as `output_size` says, and
    with `return_indices` their positions."""

    _function = staticmethod(functional.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The largest elements of as many windows of (N, C, H, W) or (C, H, W) as `output_size` says, a
    number or two (None keeps a size), and with `return_indices` their positions in the plane."""

    _function = staticmethod(functional.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The largest elements of as many windows of (N, C, D, H, W) or (C, D, H, W) as `output_size`
    says, a number or three (None keeps a size), and with `return_indices` their positions in the
    volume."""

    _function = staticmethod(functional.adaptive_max_pool3d)


class _FractionalMaxPool(Module):
    dims: ClassVar[int]
    _function: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        name, dims = type(self).__name__, self.dims
        self.kernel_size = sizes_of(kernel_size, dims, "kernel_size")
        if dims == 3 and min(self.kernel_size) <= 0:
            raise ValueError(f"kernel_size must be greater than 0, but got {kernel_size}")
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        if output_size is None and output_ratio is None:
            raise ValueError(
                f"{name} requires specifying either an output size, or a pooling ratio"
            )
        if output_size is not None and output_ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        self.output_size = None
        if output_size is not None:
            self.output_size = sizes_of(output_size, dims, "output_size")
        self.output_ratio: tuple[float, ...] | None = None
        if output_ratio is not None:
            given = [output_ratio] * dims if isinstance(output_ratio, float) else output_ratio
            self.output_ratio = sizes_of(given, dims, "output_ratio")
            if not all(0 < ratio < 1 for ratio in self.output_ratio):
                raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")

    def forward(self, input: Tensor) -> Any:
        return type(self)._function(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            _random_samples=self._random_samples,
        )


class FractionalMaxPool2d(_FractionalMaxPool):
    """The largest elements of windows of (N, C, H, W) or (C, H, W) at places drawn at random: as
    many as `output_size`, or the size times `output_ratio`.

    Graham, "Fractional max-pooling" (2015).
    """

    dims = 2
    _function = staticmethod(functional.fractional_max_pool2d)


class FractionalMaxPool3d(_FractionalMaxPool):
    """The largest elements of windows of (N, C, D, H, W) or (C, D, H, W) at places drawn at random;
    see `FractionalMaxPool2d`."""

    dims = 3
    _function = staticmethod(functional.fractional_max_pool3d)
