"""Parameters that are functions of other parameters, as in torch.nn.utils.parametrize.

``register_parametrization(layer, "weight", f)`` moves the parameter to
``layer.parametrizations.weight.original`` and makes ``layer.weight`` a property whose value is
``f(original)``. The layer's code stays as it is; gradients and the optimizer reach the original.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from typing import Any

from ...autograd import no_grad
from ...tensor import Tensor
from ..containers import ModuleDict, ModuleList
from ..module import Module
from ..parameter import Parameter

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]


class _Cache:
    """Values by module and name: computed once within `cached`, or given by `replaced`."""

    def __init__(self) -> None:
        self.depth = 0
        self.computed: dict[tuple[int, str], Tensor] = {}
        self.given: dict[tuple[int, str], Tensor] = {}


_cache = _Cache()


@contextmanager
def cached() -> Iterator[None]:
    """Within it, each parametrized tensor is computed when first used and then kept."""
    _cache.depth += 1
    try:
        yield
    finally:
        _cache.depth -= 1
        if not _cache.depth:
            _cache.computed.clear()


@contextmanager
def replaced(module: Module, name: str, value: Tensor) -> Iterator[None]:
    """Within it, a parametrized tensor has this value and its parametrization does not run."""
    key = (id(module), name)
    before = _cache.given.get(key)
    _cache.given[key] = value
    try:
        yield
    finally:
        if before is None:
            del _cache.given[key]
        else:
            _cache.given[key] = before


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, in order, and the tensor that the first one reads.

    That is ``original``, or ``original0``, ``original1``, ... where the first parametrization has a
    `right_inverse` that returns several. `register_parametrization` makes these lists.
    """

    def __init__(
        self, modules: Sequence[Module], original: Tensor | Parameter, unsafe: bool = False
    ) -> None:
        if len(modules) == 0:
            raise ValueError("ParametrizationList needs at least one module")
        super().__init__(modules)
        self.unsafe = unsafe
        wanted = (original.dtype, original.shape)
        with no_grad():
            new: Any = original
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    # Without an inverse, the value that is there stands in for the original.
                    with suppress(NotImplementedError):
                        new = module.right_inverse(new)
        if not isinstance(new, (Tensor, Sequence)):
            raise ValueError(
                "'right_inverse' must return a Tensor or a sequence of Tensors, got "
                f"{type(new).__name__}"
            )
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if isinstance(new, Tensor) else len(new)
        if isinstance(new, Tensor):
            self._take_one(original, new)
        else:
            self._take_several(original, new)
        if not unsafe:
            _check_kept(self(), *wanted, "the original tensor")

    def _take_one(self, original: Tensor, new: Tensor) -> None:
        if original.dtype != new.dtype:
            raise ValueError(
                "'right_inverse' may not change the dtype when it returns one tensor: the tensor "
                f"has {original.dtype}, the result {new.dtype}"
            )
        _set(original, new)
        _register(self, "original", original)

    def _take_several(self, original: Tensor, new: Sequence[Any]) -> None:
        for index, each in enumerate(new):
            if not isinstance(each, Tensor):
                raise ValueError(
                    "'right_inverse' must return a Tensor or a sequence of Tensors, but element "
                    f"{index} is a {type(each).__name__}"
                )
            if isinstance(original, Parameter):
                each = Parameter(each.detach(), original.requires_grad)
            each.requires_grad_(original.requires_grad)
            _register(self, f"original{index}", each)

    def _originals(self) -> list[Tensor]:
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{index}") for index in range(self.ntensors)]

    def right_inverse(self, value: Any) -> None:
        """Sets the originals to what the parametrizations map to `value`; all of them have to
        have a `right_inverse`."""
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"parametrization {type(module).__name__} does not implement "
                        "right_inverse, so no value can be assigned"
                    )
                value = module.right_inverse(value)
            if self.is_tensor:
                value = [value]
            if not isinstance(value, Sequence):
                raise ValueError(
                    f"'right_inverse' must return {self.ntensors} tensors, got "
                    f"{type(value).__name__}"
                )
            if len(value) != self.ntensors:
                raise ValueError(
                    f"'right_inverse' must return {self.ntensors} tensors, got {len(value)}"
                )
            for index, (original, new) in enumerate(zip(self._originals(), value, strict=True)):
                if not isinstance(new, Tensor):
                    raise ValueError(
                        f"'right_inverse' must return tensors, but element {index} is a "
                        f"{type(new).__name__}"
                    )
                if new.dtype != original.dtype:
                    raise ValueError(
                        f"'right_inverse' returned dtype {new.dtype} where the original tensor "
                        f"(number {index}) has {original.dtype}"
                    )
                _set(original, new)

    def forward(self) -> Tensor:
        first, *others = self
        value = first(*self._originals())
        for module in others:
            value = module(value)
        return value


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Makes a parameter or buffer of `module` the value of `parametrization`, and returns `module`.

    The tensor itself becomes ``module.parametrizations.NAME.original``; further parametrizations
    of the same tensor take the result of those before. If `parametrization` has a method
    ``right_inverse``, it gives the original (or several: ``original0``, ...) that belongs to the
    present value, and makes ``module.NAME = value`` possible. With `unsafe`, nothing is run to
    check that shape and dtype stay.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            _check_next(module, tensor_name, parametrization)
        chain = module.parametrizations[tensor_name]
        chain.append(parametrization)
        chain.unsafe = chain.unsafe or unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        original = getattr(module, tensor_name)
        if original is None:
            raise ValueError(f"parametrize: {tensor_name!r} of {type(module).__name__} is None")
        chain = ParametrizationList([parametrization], original, unsafe=unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            module.__class__ = _own_class(type(module))
            module.parametrizations = ModuleDict()
        setattr(type(module), tensor_name, _property(tensor_name))
        module.parametrizations[tensor_name] = chain
    else:
        raise ValueError(
            f"Module '{module}' has no parameter, buffer or parametrized tensor of the name "
            f"'{tensor_name}'"
        )
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether that tensor of the module is parametrized; without a name, whether any is."""
    found = getattr(module, "parametrizations", None)
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Makes the tensor an ordinary one again, and returns `module`.

    It keeps its parametrized value, or with `leave_parametrized` False, that of the original,
    which there has to be one of. Where there is one original, it is the same object as before the
    registration, so an optimizer goes on with it.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} has no parametrization on {tensor_name}")
    chain = module.parametrizations[tensor_name]
    if chain.is_tensor:
        original = chain.original
        if leave_parametrized:
            with no_grad():
                _set(original, getattr(module, tensor_name))
    elif leave_parametrized:
        value = getattr(module, tensor_name)
        original = Parameter(value.detach()) if value.requires_grad else value
    else:
        raise ValueError(
            f"remove_parametrizations: {tensor_name!r} is made of {chain.ntensors} tensors, so "
            "there is no unparametrized value to leave (leave_parametrized=False)"
        )
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, original)
    if not is_parametrized(module):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class of the module as it was before any parametrization."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Registers the parametrizations of one module, of one tensor or of all, on another one too,
    with the same originals, and returns `to_module`."""
    if not is_parametrized(from_module):
        return to_module
    names = list(from_module.parametrizations) if tensor_name is None else [tensor_name]
    for name in names:
        source = from_module.parametrizations[name]
        if not hasattr(to_module, name):
            value = getattr(from_module, name).detach()
            setattr(to_module, name, Parameter(value.clone()))
        for parametrization in source:
            register_parametrization(to_module, name, parametrization)
        target = to_module.parametrizations[name]
        for key in [key for key in source._members if key.startswith("original")]:
            setattr(target, key, getattr(source, key))
    return to_module


# ---- how it is done ----


def _register(module: Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _set(target: Tensor, source: Tensor) -> None:
    """Gives a tensor the memory of another one; it stays the same object for the optimizer."""
    if target is not source:
        target.data = source.detach()


def _check_kept(value: Any, dtype: Any, shape: Any, what: str) -> None:
    if not isinstance(value, Tensor):
        raise ValueError(f"A parametrization must return a tensor, got {type(value).__name__}")
    for title, ours, given in (("dtype", dtype, value.dtype), ("shape", shape, value.shape)):
        if ours != given:
            raise ValueError(
                f"A parametrization may not change the {title} of the tensor unless it is "
                f"registered with unsafe=True: {what} has {ours}, the result {given}"
            )


def _check_next(module: Module, name: str, parametrization: Module) -> None:
    """Checks one that is put on top of others, and its right_inverse."""
    present = getattr(module, name)
    value = parametrization(present)
    _check_kept(value, present.dtype, present.shape, f"module.{name}")
    if hasattr(parametrization, "right_inverse"):
        try:
            inverse = parametrization.right_inverse(value)
        except NotImplementedError:
            return
        _check_kept(inverse, present.dtype, present.shape, f"module.{name} (right_inverse)")


def _property(name: str) -> property:
    def get(self: Any) -> Tensor:
        if _cache.given or _cache.depth:
            key = (id(self), name)
            if key in _cache.given:
                return _cache.given[key]
            if _cache.depth:
                if key not in _cache.computed:
                    _cache.computed[key] = self.parametrizations[name]()
                return _cache.computed[key]
        return self.parametrizations[name]()

    def assign(self: Any, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(get, assign)


def _own_class(base: type) -> type:
    """A class for one module, on which its parametrized tensors are properties."""

    def copy(self: Any, memo: dict[int, Any]) -> Any:
        # The copy gets a class of its own, or removing a parametrization of one of them would
        # take the property away from the other.
        kind = _own_class(type(self).__bases__[0])
        for name in self.parametrizations:
            setattr(kind, name, _property(name))
        replica: Any = object.__new__(kind)
        memo[id(self)] = replica
        replica.__dict__.update(deepcopy(self.__dict__, memo))
        return replica

    def state(self: Any) -> Any:
        raise RuntimeError(
            "A parametrized module cannot be pickled; save its state_dict() and load it into a "
            "module with the same parametrizations"
        )

    body = {"__getstate__": state, "__deepcopy__": copy, "__module__": base.__module__}
    return type(f"Parametrized{base.__name__}", (base,), body)
