"""`Module`, the base class of all layers and networks: torch.nn.Module's interface.

A call without hooks costs one attribute test on top of ``forward``; parameters are read as plain
instance attributes. Finding what is in a module is in members.py, hooks in hooks.py, the state
dictionary in state.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..autograd import no_grad
from ..dtypes import dtype, float32, float64
from ..tensor import Tensor
from .hooks import CALL_HOOK_TABLES, HOOK_TABLES, HookTable, call_with_hooks
from .members import BUFFER, MODULE, PARAMETER, changes
from .parameter import Buffer, Parameter
from .state import ModuleState

__all__ = ["Module"]

T = TypeVar("T", bound="Module")


def type_name(value: Any) -> str:
    """The type of a value for messages: ``int``, ``minigrad.nn.linear.Linear``."""
    cls = value if isinstance(value, type) else type(value)
    return (
        cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    )


class Module(ModuleState):
    """Base class of layers: holds parameters, buffers and submodules, and runs `forward`.

    Assigning a `Parameter`, `Buffer` or `Module` as an attribute registers it. A subclass calls
    ``super().__init__()`` first and defines ``forward``.
    """

    training: bool

    def __init__(self) -> None:
        attributes = self.__dict__
        attributes["training"] = True
        attributes["_members"] = {}
        attributes["_non_persistent_buffers_set"] = set()
        for name in HOOK_TABLES:
            attributes[name] = HookTable()

    # ---- running ----

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Defines the computation of each call; every subclass overrides it."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooked or kwargs:
            return self._call_with(args, kwargs)
        return self.forward(*args)

    def _call_with(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._hooked:
            if any(self.__dict__[table] for table in CALL_HOOK_TABLES):
                return call_with_hooks(self, args, kwargs)
            del self.__dict__["_hooked"]  # all of them are removed: back to the short way
        return self.forward(*args, **kwargs)

    # ---- attributes ----

    def __setattr__(self, name: str, value: Any) -> None:
        changes[0] += 1
        members = self.__dict__.get("_members")
        kind = None if members is None else members.get(name)
        if isinstance(value, Parameter):
            if members is None:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            if kind != PARAMETER:
                self.__dict__.pop(name, None)
                members.pop(name, None)
                self._non_persistent_buffers_set.discard(name)
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            if kind == PARAMETER:
                raise TypeError(_cannot_assign(value, "parameter", name, "minigrad.nn.Parameter"))
            if members is None:
                raise AttributeError("cannot assign module before Module.__init__() call")
            self._modules[name] = value
        elif isinstance(value, Buffer):
            if kind in (PARAMETER, MODULE):
                raise TypeError(_cannot_assign(value, kind, name))
            if kind is None:
                self.__dict__.pop(name, None)
            self.register_buffer(name, value, value.persistent)
        elif kind is None:
            object.__setattr__(self, name, value)
        elif value is None or (kind == BUFFER and isinstance(value, Tensor)):
            self.__dict__[name] = value
        else:
            raise TypeError(_cannot_assign(value, kind, name))

    if TYPE_CHECKING:  # parameters, buffers and submodules have names that only the user knows

        def __getattr__(self, name: str) -> Any: ...

    def __delattr__(self, name: str) -> None:
        changes[0] += 1
        kind = self.__dict__.get("_members", {}).pop(name, None)
        if kind == BUFFER:
            self._non_persistent_buffers_set.discard(name)
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted(name for name in super().__dir__() if not name[:1].isdigit())

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles hold. Tensors that were computed (by pruning, say, before each
        call) go without their graph, which belongs to this module."""
        return {
            name: value.detach() if isinstance(value, Tensor) and not value.is_leaf else value
            for name, value in self.__dict__.items()
        }

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        changes[0] += 1
        self.__dict__.update(attributes)

    # ---- registering ----

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Adds a parameter, which is then `self.name`; None holds the name without a value."""
        self._check_name(name, PARAMETER)
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(
                    f"cannot assign '{type_name(param)}' object to parameter '{name}' "
                    "(minigrad.nn.Parameter or None required)"
                )
            if param.grad_fn is not None:
                raise ValueError(
                    f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must "
                    f"be created explicitly. To express '{name}' as a function of another Tensor, "
                    "compute the value in the forward() method."
                )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Adds a tensor that is state but no parameter; not `persistent`: not in the state_dict."""
        self._check_name(name, BUFFER)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type_name(tensor)}' object to buffer '{name}' "
                "(minigrad.Tensor or None required)"
            )
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Adds a submodule, which is then `self.name`."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type_name(module)} is not a Module subclass")
        self._check_name(name, MODULE)
        self._modules[name] = module

    register_module = add_module

    def _check_name(self, name: str, kind: str) -> None:
        if "_members" not in self.__dict__:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type_name(name)}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain "."')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if self.__dict__["_members"].get(name) != kind and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")

    # ---- changing all of them ----

    def apply(self: T, fn: Callable[[Module], None]) -> T:
        """Calls `fn` on every submodule, children first, and on this module."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self: T, mode: bool = True) -> T:
        """Sets training mode here and below, which Dropout and BatchNorm obey."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self: T) -> T:
        """Sets evaluation mode: ``train(False)``."""
        return self.train(False)

    def requires_grad_(self: T, requires_grad: bool = True) -> T:
        """Switches gradients of all parameters on or off, to freeze a part of a network."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients of all parameters, or with `set_to_none` False, fills them with 0."""
        for parameter in self.parameters():
            clear_grad(parameter, set_to_none)

    def to(self: T, *args: Any, **kwargs: Any) -> T:
        """Changes floating point parameters and buffers in place to a dtype.

        ``to(device)``, ``to(dtype)``, ``to(device, dtype)``, ``to(tensor)`` with `non_blocking` and
        `memory_format` as torch has them; the device can only be the CPU.
        """
        wanted, device, other = _parse_to(args, kwargs)
        if other is not None:
            wanted = other.dtype
        if wanted is not None and not wanted.is_floating_point:
            raise TypeError(
                "nn.Module.to only accepts floating point or complex dtypes, but got desired "
                f"dtype={wanted}"
            )

        def convert(tensor: Tensor) -> Tensor:
            if device is not None:
                tensor = tensor.to(device)
            return tensor.to(wanted) if wanted and tensor.is_floating_point() else tensor

        return self._apply(convert)

    def float(self: T) -> T:
        """Floating point parameters and buffers become float32."""
        return self.to(float32)

    def double(self: T) -> T:
        """Floating point parameters and buffers become float64."""
        return self.to(float64)

    def type(self: T, dst_type: dtype) -> T:
        """All parameters and buffers become `dst_type`."""
        return self._apply(lambda tensor: tensor.to(dst_type))

    def cpu(self: T) -> T:
        """Does nothing: the CPU is where everything is."""
        return self

    def _apply(self: T, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> T:
        if recurse:
            for module in self.children():
                module._apply(fn)
        for parameter in self._parameters.values():
            if parameter is None:
                continue
            with no_grad():
                gradient = parameter.grad
                changed = fn(parameter.detach())
                if gradient is not None:
                    parameter.grad = None  # its dtype and the parameter's have to agree
                parameter.data = changed
                if gradient is not None:
                    parameter.grad = fn(gradient.detach())
        buffers = self._buffers
        for name, buffer in buffers.items():
            if buffer is not None:
                buffers[name] = fn(buffer)
        return self

    # ---- printing ----

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What stands between the parentheses of the module's repr."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [
            f"({name}): " + repr(module).replace("\n", "\n  ")
            for name, module in self._modules.items()
        ]
        if not children and len(lines) <= 1:
            return f"{self._get_name()}({extra})"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines + children) + "\n)"


def clear_grad(parameter: Tensor, set_to_none: bool) -> None:
    """Drops the gradient of one tensor, or with `set_to_none` False, fills it with 0."""
    gradient = parameter.grad
    if gradient is None:
        return
    if set_to_none:
        parameter.grad = None
        return
    if gradient.grad_fn is not None:
        gradient.detach_()
    else:
        gradient.requires_grad_(False)
    gradient.zero_()


def _cannot_assign(value: Any, kind: str, name: str, wanted: str | None = None) -> str:
    kinds = {
        PARAMETER: ("parameter", "minigrad.nn.Parameter or None expected"),
        MODULE: ("child module", "minigrad.nn.Module or None expected"),
        BUFFER: ("buffer", "minigrad.nn.Buffer, minigrad.Tensor or None expected"),
    }
    noun, expected = kinds[kind]
    return f"cannot assign '{type_name(value)}' as {noun} '{name}' ({expected})"


def _parse_to(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any, Tensor | None]:
    """The dtype, device and tensor among the arguments of `Module.to`."""
    wanted = kwargs.get("dtype")
    device = kwargs.get("device")
    other = kwargs.get("tensor")
    unknown = set(kwargs) - {"dtype", "device", "tensor", "non_blocking", "memory_format"}
    if unknown:
        raise TypeError(f"to() got an unexpected keyword argument '{sorted(unknown)[0]}'")
    for arg in args:
        if isinstance(arg, dtype):
            wanted = arg
        elif isinstance(arg, Tensor):
            other = arg
        elif arg is None or isinstance(arg, bool):  # a device that is not given; non_blocking
            continue
        else:
            device = arg
    return wanted, device, other
