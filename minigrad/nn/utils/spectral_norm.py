"""Spectral normalisation by a hook (Miyato et al., 2018), as torch.nn.utils.spectral_norm.

`parametrizations.spectral_norm` is the newer form of the same.
"""

from __future__ import annotations

from typing import Any, TypeVar

from ...autograd import no_grad
from ...tensor import Tensor
from ..module import Module
from ..parameter import Parameter

__all__ = ["SpectralNorm", "remove_spectral_norm", "spectral_norm"]

T = TypeVar("T", bound=Module)


def unit(vector: Tensor, eps: float) -> Tensor:
    """v / max(‖v‖, eps)."""
    return vector / vector.norm().clamp(min=eps)


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """The weight as a matrix: dimension `dim` by all others."""
    if dim != 0:
        weight = weight.movedim(dim, 0)
    return weight.reshape(weight.shape[0], -1)


def output_dim(module: Module, dim: int | None) -> int:
    """The dimension of the outputs in a layer's weight."""
    if dim is not None:
        return dim
    return 1 if type(module).__name__.removeprefix("Parametrized").startswith("ConvTrans") else 0


def random_unit(weight: Tensor, size: int, eps: float) -> Tensor:
    """A random vector of norm 1."""
    return unit(weight.detach().new_empty(size).normal_(), eps)


class SpectralNorm:
    """The forward pre-hook: weight = weight_orig / σ, with σ = uᵀ W v from power iterations."""

    def __init__(
        self,
        name: str = "weight",
        n_power_iterations: int = 1,
        dim: int = 0,
        eps: float = 1e-12,
    ) -> None:
        if n_power_iterations <= 0:
            raise ValueError(
                f"spectral_norm: n_power_iterations must be positive, got {n_power_iterations}"
            )
        self.name = name
        self.n_power_iterations = n_power_iterations
        self.dim = dim
        self.eps = eps

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Tensor:
        """The weight over its largest singular value; the buffers u and v follow it in place."""
        weight = getattr(module, self.name + "_orig")
        u, v = getattr(module, self.name + "_u"), getattr(module, self.name + "_v")
        matrix = as_matrix(weight, self.dim)
        if do_power_iteration:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v.copy_(unit(matrix.t().mv(u), self.eps))
                    u.copy_(unit(matrix.mv(v), self.eps))
        # Copies: the next forward pass changes the buffers, and this one's backward needs them.
        sigma = u.clone().dot(matrix.mv(v.clone()))
        return weight / sigma

    @staticmethod
    def apply(
        module: Module, name: str, n_power_iterations: int, dim: int, eps: float
    ) -> SpectralNorm:
        """Moves the parameter, adds the buffers and registers the hook."""
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook.function, SpectralNorm) and hook.function.name == name:
                raise RuntimeError(f"spectral_norm: {name!r} has one already")
        hook = SpectralNorm(name, n_power_iterations, dim, eps)
        weight = module._parameters[name]
        if weight is None:
            raise ValueError(f"spectral_norm: the parameter {name!r} is None")
        rows, columns = as_matrix(weight.detach(), dim).shape
        u, v = random_unit(weight, rows, eps), random_unit(weight, columns, eps)
        delattr(module, name)
        module.register_parameter(name + "_orig", weight)
        setattr(module, name, weight.detach())  # no parameter, but code may look at it
        module.register_buffer(name + "_u", u)
        module.register_buffer(name + "_v", v)
        module.register_forward_pre_hook(hook)
        module.register_state_dict_post_hook(_SaveVersion(name))
        return hook

    def remove(self, module: Module) -> None:
        """Makes the weight an ordinary parameter again."""
        with no_grad():
            weight = self.compute_weight(module, do_power_iteration=False)
        for suffix in ("", "_u", "_v", "_orig"):
            delattr(module, self.name + suffix)
        module.register_parameter(self.name, Parameter(weight.detach()))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module, module.training))


class _SaveVersion:
    """Notes the layout of the state, as torch does, so that torch loads it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, module: Any, state_dict: Any, prefix: str, local_metadata: Any) -> None:
        local_metadata.setdefault("spectral_norm", {})[self.name + ".version"] = 1


def spectral_norm(
    module: T,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> T:
    """Divides a weight by its largest singular value before each forward pass; see
    `parametrizations.spectral_norm`. The parameter becomes ``NAME_orig``; ``NAME_u`` and
    ``NAME_v`` are buffers."""
    SpectralNorm.apply(module, name, n_power_iterations, output_dim(module, dim), eps)
    return module


def remove_spectral_norm(module: T, name: str = "weight") -> T:
    """Undoes `spectral_norm`; the weight keeps its value."""
    for identifier, hook in list(module._forward_pre_hooks.items()):
        if isinstance(hook.function, SpectralNorm) and hook.function.name == name:
            hook.function.remove(module)
            del module._forward_pre_hooks[identifier]
            break
    else:
        raise ValueError(f"remove_spectral_norm: {name!r} of {module} has no spectral_norm")
    for identifier, hook in list(module._state_dict_hooks.items()):
        if isinstance(hook, _SaveVersion) and hook.name == name:
            del module._state_dict_hooks[identifier]
    return module
