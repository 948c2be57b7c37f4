"""Pruning: weights that are held at zero by a mask, as in torch.nn.utils.prune.

A pruned parameter ``NAME`` becomes the parameter ``NAME_orig``, which goes on being trained, and
the buffer ``NAME_mask`` of zeros and ones; a forward pre-hook makes ``NAME`` their product before
each forward pass. `remove` makes the zeros permanent.

Beyond torch: `sparsity` counts the zeros, `compare_speed` measures what they gain, and `shrink`
takes the units that structured pruning has zeroed out of a Sequential; see sparsity.py.
"""

from __future__ import annotations

import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

from ...autograd import no_grad
from ...ops.creation import ones_like, tensor
from ...ops.random import randperm
from ...tensor import Tensor
from ..module import Module
from .convert_parameters import parameters_to_vector
from .shrink import shrink
from .sparsity import compare_speed, sparsity

__all__ = [
    "BasePruningMethod",
    "CustomFromMask",
    "Identity",
    "L1Unstructured",
    "LnStructured",
    "PruningContainer",
    "RandomStructured",
    "RandomUnstructured",
    "compare_speed",
    "custom_from_mask",
    "global_unstructured",
    "identity",
    "is_pruned",
    "l1_unstructured",
    "ln_structured",
    "random_structured",
    "random_unstructured",
    "remove",
    "shrink",
    "sparsity",
]


class BasePruningMethod(ABC):
    """Base of pruning methods, which are the forward pre-hooks too; a subclass has `compute_mask`.

    ``PRUNING_TYPE`` says what of a tensor that was pruned before is looked at: "unstructured" the
    entries that are left, "structured" the channels that are left (a subclass has ``dim``),
    "global" all of it.
    """

    PRUNING_TYPE: str
    _tensor_name: str | None = None

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self._name(module), self.apply_mask(module))

    def _name(self, module: Module) -> str:
        if self._tensor_name is None:
            raise AssertionError(f"Module {module} has not been pruned by this method")
        return self._tensor_name

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask of a tensor of importance scores, zeros of `default_mask` included."""

    def apply_mask(self, module: Module) -> Tensor:
        """The pruned tensor: the original times the mask."""
        name = self._name(module)
        original = getattr(module, name + "_orig")
        mask = getattr(module, name + "_mask")
        return mask.to(original.dtype) * original

    @classmethod
    def apply(
        cls,
        module: Module,
        name: str,
        *args: Any,
        importance_scores: Tensor | None = None,
        **kwargs: Any,
    ) -> BasePruningMethod:
        """Prunes a parameter of the module and registers the hook, which is returned.

        `importance_scores` decides in place of the parameter's own values. Pruning again keeps
        what is zero already.
        """
        old = _take_hook(module, name)
        method: BasePruningMethod = cls(*args, **kwargs)
        method._tensor_name = name
        if old is not None:
            container = old if isinstance(old, PruningContainer) else PruningContainer(old)
            container.add_pruning_method(method)
            method = container
        original = getattr(module, name)
        scores = original if importance_scores is None else importance_scores
        _check_scores(scores, original)
        if old is None:
            module.register_parameter(name + "_orig", original)
            del module._parameters[name]
            default_mask = ones_like(original).detach()
        else:
            default_mask = getattr(module, name + "_mask").detach().clone()
        try:
            with no_grad():
                mask = method.compute_mask(scores.detach(), default_mask)
            module.register_buffer(name + "_mask", mask)
            setattr(module, name, method.apply_mask(module))
        except Exception:
            if old is None:  # as it was
                del module._parameters[name + "_orig"]
                module.register_parameter(name, original)
            else:
                if old is method:
                    old._pruning_methods = old._pruning_methods[:-1]  # type: ignore[attr-defined]
                module.register_forward_pre_hook(old)
            raise
        module.register_forward_pre_hook(method)
        return method

    def prune(
        self,
        t: Tensor,
        default_mask: Tensor | None = None,
        importance_scores: Tensor | None = None,
    ) -> Tensor:
        """A pruned version of a tensor that belongs to no module."""
        scores = t if importance_scores is None else importance_scores
        _check_scores(scores, t)
        mask = ones_like(t).detach() if default_mask is None else default_mask
        return t * self.compute_mask(scores, default_mask=mask)

    def remove(self, module: Module) -> None:
        """Makes the parameter an ordinary one again, with the zeros in it."""
        name = self._name(module)
        weight = self.apply_mask(module)
        if hasattr(module, name):
            delattr(module, name)
        original = module._parameters[name + "_orig"]
        original.data = weight.detach()
        del module._parameters[name + "_orig"]
        del module._buffers[name + "_mask"]
        setattr(module, name, original)


def _check_scores(scores: Tensor, t: Tensor) -> None:
    if scores.shape != t.shape:
        raise AssertionError(
            f"prune: the importance scores have shape {list(scores.shape)}, the tensor "
            f"{list(t.shape)}; they have to be the same"
        )


def _hooks(module: Module, name: str | None = None) -> Iterator[tuple[int, BasePruningMethod]]:
    """The pruning hooks of a module, of one parameter or of all."""
    for identifier, hook in list(module._forward_pre_hooks.items()):
        method = hook.function
        if isinstance(method, BasePruningMethod) and name in (None, method._tensor_name):
            yield identifier, method


def _take_hook(module: Module, name: str) -> BasePruningMethod | None:
    found = list(_hooks(module, name))
    if len(found) > 1:
        raise AssertionError(
            f"prune: {name!r} of {module} has several pruning hooks; use one PruningContainer"
        )
    for identifier, method in found:
        del module._forward_pre_hooks[identifier]
        return method
    return None


class PruningContainer(BasePruningMethod):
    """The pruning methods that were applied to one parameter, in order; the last one decides on
    what those before have left."""

    def __init__(self, *args: BasePruningMethod) -> None:
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        if len(args) == 1:
            self._tensor_name = args[0]._tensor_name
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod | None) -> None:
        """Adds a method for the same parameter."""
        if method is not None:
            if not isinstance(method, BasePruningMethod):
                raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
            if self._tensor_name != method._tensor_name:
                raise ValueError(
                    f"this PruningContainer is for the parameter {self._tensor_name!r}, the method "
                    f"for {method._tensor_name!r}"
                )
            self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[BasePruningMethod]:
        return iter(self._pruning_methods)

    def __getitem__(self, idx: int) -> BasePruningMethod:
        return self._pruning_methods[idx]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        method = self._pruning_methods[-1]
        mask = default_mask.to(t.dtype).clone()
        chosen = _left(method, default_mask)
        part = method.compute_mask(t[chosen], default_mask=default_mask[chosen])
        mask[chosen] = part.to(mask.dtype)
        return mask


def _left(method: BasePruningMethod, mask: Tensor) -> Any:
    """The index of what a further method looks at."""
    kind = method.PRUNING_TYPE
    if kind == "unstructured":
        return mask == 1
    if kind == "global":
        return (slice(None),) * mask.dim()
    if kind != "structured":
        raise ValueError(f"Unrecognized PRUNING_TYPE {kind}")
    if not hasattr(method, "dim"):
        raise AttributeError('a method of PRUNING_TYPE "structured" needs the attribute `dim`')
    count = mask.dim()
    dim = method.dim + count if method.dim < 0 else method.dim
    if dim < 0:
        raise IndexError(f"dim {method.dim} is out of range for a tensor of {count} dimensions")
    index: list[Any] = [slice(None)] * count
    index[dim] = mask.sum(dim=[d for d in range(count) if d != dim]) != 0
    return tuple(index)


# ---- the methods ----


class Identity(BasePruningMethod):
    """Prunes nothing, but makes the parameter a pruned one, with a mask of ones."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask

    @classmethod
    def apply(cls, module: Module, name: str) -> BasePruningMethod:  # type: ignore[override]
        return super().apply(module, name)


class _ByAmount(BasePruningMethod):
    """A method with an `amount`: a number of units, or a fraction of them between 0 and 1."""

    amount: Any

    def __init__(self, amount: Any) -> None:
        if not isinstance(amount, numbers.Real):
            raise TypeError(f"prune: amount must be an int or a float, got {amount!r}")
        most = math.inf if isinstance(amount, numbers.Integral) else 1.0
        if not 0.0 <= float(amount) <= most:
            raise ValueError(
                f"prune: amount must be a fraction in [0, 1] or a non-negative int, got {amount}"
            )
        self.amount = amount

    def _count(self, size: int) -> int:
        """How many of `size` units to prune."""
        if not isinstance(self.amount, numbers.Integral):
            return round(self.amount * size)
        count = int(self.amount)
        if count > size:
            raise ValueError(f"prune: amount={count} is more than the {size} that there are")
        return count


class RandomUnstructured(_ByAmount):
    """Prunes entries at random."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        chosen = randperm(t.numel())[: self._count(t.numel())]
        return _without(default_mask, chosen)

    @classmethod
    def apply(cls, module: Module, name: str, amount: float) -> Any:  # type: ignore[override]
        return super().apply(module, name, amount=amount)


class L1Unstructured(_ByAmount):
    """Prunes the entries of the smallest absolute values."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        count = self._count(t.numel())
        return _without(default_mask, _smallest(t.abs().reshape(-1), count))

    @classmethod
    def apply(  # type: ignore[override]
        cls, module: Module, name: str, amount: float, importance_scores: Tensor | None = None
    ) -> Any:
        return super().apply(module, name, amount=amount, importance_scores=importance_scores)


class _Structured(_ByAmount):
    """Prunes whole channels: the slices along `dim`."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, dim: int = -1) -> None:
        super().__init__(amount)
        self.dim = dim

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        if t.dim() <= 1:
            raise ValueError(
                "structured pruning needs a tensor of at least two dimensions, got shape "
                f"{list(t.shape)}"
            )
        if not -t.dim() <= self.dim < t.dim():
            raise IndexError(f"dim {self.dim} is out of range for shape {list(t.shape)}")
        count = self._count(t.shape[self.dim])
        if count == 0:
            return default_mask
        index: list[Any] = [slice(None)] * t.dim()
        index[self.dim] = self._channels(t, count)
        mask = default_mask.to(t.dtype).clone()
        mask[tuple(index)] = 0
        return mask

    def _channels(self, t: Tensor, count: int) -> Tensor:
        raise NotImplementedError


class RandomStructured(_Structured):
    """Prunes channels at random."""

    def _channels(self, t: Tensor, count: int) -> Tensor:
        return randperm(t.shape[self.dim])[:count]

    @classmethod
    def apply(  # type: ignore[override]
        cls, module: Module, name: str, amount: float, dim: int = -1
    ) -> Any:
        return super().apply(module, name, amount=amount, dim=dim)


class LnStructured(_Structured):
    """Prunes the channels of the smallest Lₙ norms; `n` as the `p` of `norm`."""

    def __init__(self, amount: float, n: Any, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = n

    def _channels(self, t: Tensor, count: int) -> Tensor:
        others = [d for d in range(t.dim()) if d != self.dim % t.dim()]
        return _smallest(t.norm(self.n, others), count)

    @classmethod
    def apply(  # type: ignore[override]
        cls,
        module: Module,
        name: str,
        amount: float,
        n: Any,
        dim: int,
        importance_scores: Tensor | None = None,
    ) -> Any:
        return super().apply(
            module, name, amount=amount, n=n, dim=dim, importance_scores=importance_scores
        )


class CustomFromMask(BasePruningMethod):
    """Prunes by a mask that is given."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        if default_mask.shape != self.mask.shape:
            raise AssertionError(
                f"prune: the mask has shape {list(self.mask.shape)}, the tensor "
                f"{list(default_mask.shape)}; they have to be the same"
            )
        return default_mask * self.mask.to(default_mask.dtype)

    @classmethod
    def apply(cls, module: Module, name: str, mask: Tensor) -> Any:  # type: ignore[override]
        return super().apply(module, name, mask=mask)


def _smallest(scores: Tensor, count: int) -> Tensor:
    """The indices of the smallest values of a vector; NaN counts as the largest."""
    values = [(value != value, value) for value in scores.tolist()]
    return tensor(sorted(range(len(values)), key=values.__getitem__)[:count]).long()


def _without(mask: Tensor, indices: Tensor) -> Tensor:
    flat = mask.reshape(-1).clone()
    if len(indices):
        flat[indices] = 0
    return flat.reshape(mask.shape)


# ---- functions ----


def identity(module: Module, name: str) -> Module:
    """Makes a parameter a pruned one without pruning any of it."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: float) -> Module:
    """Prunes entries of a parameter at random; `amount` is their number, or as a float a fraction
    of those that are not pruned yet."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(
    module: Module, name: str, amount: float, importance_scores: Tensor | None = None
) -> Module:
    """Prunes the entries of a parameter of the smallest absolute values (or scores)."""
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: float, dim: int) -> Module:
    """Prunes channels, the slices along `dim`, at random."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Module,
    name: str,
    amount: float,
    n: Any,
    dim: int,
    importance_scores: Tensor | None = None,
) -> Module:
    """Prunes the channels along `dim` of the smallest Lₙ norms."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Prunes a parameter by a mask of zeros and ones."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    pruning_method: Any,
    importance_scores: dict[tuple[Module, str], Tensor] | None = None,
    **kwargs: Any,
) -> None:
    """Prunes several parameters together, as if they were one: `amount` is of all of them.

    `pruning_method` is a class such as `L1Unstructured`, with `kwargs` as its arguments.
    """
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured: parameters must be an iterable of (module, name)")
    scores = {} if importance_scores is None else importance_scores
    if not isinstance(scores, dict):
        raise TypeError(
            "global_unstructured: importance_scores must be a dictionary of (module, name) to "
            f"tensor, got {type(scores).__name__}"
        )
    places = list(parameters)
    values = [getattr(module, name).detach() for module, name in places]
    masks = [
        getattr(module, name + "_mask", None) for module, name in places
    ]  # of those that are pruned already
    method = pruning_method(**kwargs)
    method._tensor_name = "all"
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            "global_unstructured takes a method of PRUNING_TYPE 'unstructured', but "
            f"{pruning_method.__name__} is of type {method.PRUNING_TYPE!r}"
        )
    container = PruningContainer(method)
    with no_grad():
        together = parameters_to_vector(
            [scores.get(p, value) for p, value in zip(places, values, strict=True)]
        )
        present = parameters_to_vector(
            [ones_like(v) if m is None else m for v, m in zip(values, masks, strict=True)]
        )
        final = container.compute_mask(together, present)
    start = 0
    for (module, name), value in zip(places, values, strict=True):
        part = final[start : start + value.numel()].reshape(value.shape)
        custom_from_mask(module, name, mask=part)
        start += value.numel()


def remove(module: Module, name: str) -> Module:
    """Makes a pruned parameter an ordinary one again; its zeros stay, but nothing holds them."""
    for identifier, method in _hooks(module, name):
        method.remove(module)
        del module._forward_pre_hooks[identifier]
        return module
    raise ValueError(f"prune.remove: the parameter {name!r} of {module} is not pruned")


def is_pruned(module: Module) -> bool:
    """Whether any parameter of the module or of those below it is pruned."""
    return any(any(True for _ in _hooks(each)) for each in module.modules())
