"""Weight normalisation by a hook (Salimans and Kingma, 2016), as torch.nn.utils.weight_norm.

`parametrizations.weight_norm` is the newer form of the same; this one recomputes the weight before
each forward pass.
"""

from __future__ import annotations

import warnings
from typing import Any, TypeVar

from ...tensor import Tensor
from ..module import Module
from ..parameter import Parameter

__all__ = ["WeightNorm", "remove_weight_norm", "weight_norm"]

T = TypeVar("T", bound=Module)


def norm_except_dim(weight: Tensor, dim: int) -> Tensor:
    """The Euclidean norm over all dimensions but `dim`, kept as 1; with dim -1, over all, 0-d."""
    if dim == -1:
        return weight.norm()
    others = [d for d in range(weight.dim()) if d != dim % max(weight.dim(), 1)]
    return weight.norm(2, others, keepdim=True) if others else weight.abs()


def normalized_weight(direction: Tensor, magnitude: Tensor, dim: int) -> Tensor:
    """w = g · v / ‖v‖, the norm over all dimensions but `dim`."""
    return direction * (magnitude / norm_except_dim(direction, dim))


class WeightNorm:
    """The forward pre-hook: weight = weight_g · weight_v / ‖weight_v‖."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name = name
        self.dim = -1 if dim is None else dim

    def compute_weight(self, module: Module) -> Tensor:
        """The weight from magnitude and direction."""
        magnitude = getattr(module, self.name + "_g")
        return normalized_weight(getattr(module, self.name + "_v"), magnitude, self.dim)

    @staticmethod
    def apply(module: Module, name: str, dim: int | None) -> WeightNorm:
        """Splits the parameter in two and registers the hook."""
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook.function, WeightNorm) and hook.function.name == name:
                raise RuntimeError(f"weight_norm: {name!r} has one already")
        hook = WeightNorm(name, dim)
        weight = getattr(module, name)
        magnitude = norm_except_dim(weight.detach(), hook.dim)
        del module._parameters[name]
        module.register_parameter(name + "_g", Parameter(magnitude))
        module.register_parameter(name + "_v", Parameter(weight.detach()))
        setattr(module, name, hook.compute_weight(module))
        module.register_forward_pre_hook(hook)
        return hook

    def remove(self, module: Module) -> None:
        """Makes the weight one parameter again."""
        weight = self.compute_weight(module)
        delattr(module, self.name)
        del module._parameters[self.name + "_g"]
        del module._parameters[self.name + "_v"]
        setattr(module, self.name, Parameter(weight.detach()))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module: T, name: str = "weight", dim: int | None = 0) -> T:
    """Splits a parameter in ``NAME_g``, its magnitude for each index of `dim` (None: one for the
    whole), and ``NAME_v``, its direction; see `parametrizations.weight_norm`."""
    warnings.warn(
        "nn.utils.weight_norm is deprecated; use nn.utils.parametrizations.weight_norm",
        FutureWarning,
        stacklevel=2,
    )
    WeightNorm.apply(module, name, dim)
    return module


def remove_weight_norm(module: T, name: str = "weight") -> T:
    """Undoes `weight_norm`; the weight keeps its value."""
    for identifier, hook in list(module._forward_pre_hooks.items()):
        if isinstance(hook.function, WeightNorm) and hook.function.name == name:
            hook.function.remove(module)
            del module._forward_pre_hooks[identifier]
            return module
    raise ValueError(f"remove_weight_norm: {name!r} of {module} has no weight_norm")
