"""`Module`, the base class of all layers and networks: torch.nn.Module's interface.

A call without hooks costs one attribute test on top of ``forward``; parameters are read as plain
instance attributes (see members.py). Hooks are in hooks.py, the state dictionary in state.py.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ..autograd import no_grad
from ..dtypes import dtype, float32, float64
from ..tensor import Tensor
from . import state
from .hooks import ForwardHook, HookTable, RemovableHandle, call_with_hooks
from .members import BUFFER, MODULE, PARAMETER, Members
from .parameter import Buffer, Parameter

T = TypeVar("T", bound="Module")

_CALL_HOOK_TABLES = (
    "_backward_hooks",
    "_backward_pre_hooks",
    "_forward_hooks",
    "_forward_pre_hooks",
)
_HOOK_TABLES = (
    *_CALL_HOOK_TABLES,
    "_load_state_dict_post_hooks",
    "_load_state_dict_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
)


def type_name(value: Any) -> str:
    """The type of a value for messages: ``int``, ``minigrad.nn.linear.Linear``."""
    cls = value if isinstance(value, type) else type(value)
    return (
        cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    )


class Module:
    """Base class of layers: holds parameters, buffers and submodules, and runs `forward`.

    Assigning a `Parameter`, `Buffer` or `Module` as an attribute registers it. A subclass calls
    ``super().__init__()`` first and defines ``forward``.
    """

    _version: int = 1
    # True from the first hook on; tested by every call, so it is a class attribute until then.
    _hooked: bool = False
    training: bool
    _members: dict[str, str]
    _backward_hooks: HookTable
    _backward_pre_hooks: HookTable
    _forward_hooks: HookTable
    _forward_pre_hooks: HookTable
    _load_state_dict_post_hooks: HookTable
    _load_state_dict_pre_hooks: HookTable
    _state_dict_hooks: HookTable
    _state_dict_pre_hooks: HookTable
    _non_persistent_buffers_set: set[str]

    def __init__(self) -> None:
        attributes = self.__dict__
        attributes["training"] = True
        attributes["_members"] = {}
        attributes["_non_persistent_buffers_set"] = set()
        for name in _HOOK_TABLES:
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
            if any(self.__dict__[table] for table in _CALL_HOOK_TABLES):
                return call_with_hooks(self, args, kwargs)
            del self.__dict__["_hooked"]  # all of them are removed: back to the short way
        return self.forward(*args, **kwargs)

    # ---- attributes ----

    @property
    def _parameters(self) -> Members:
        return self._kind(PARAMETER)

    @_parameters.setter
    def _parameters(self, values: Mapping[str, Any]) -> None:
        self._replace_kind(PARAMETER, values)

    @property
    def _buffers(self) -> Members:
        return self._kind(BUFFER)

    @_buffers.setter
    def _buffers(self, values: Mapping[str, Any]) -> None:
        self._replace_kind(BUFFER, values)

    @property
    def _modules(self) -> Members:
        return self._kind(MODULE)

    @_modules.setter
    def _modules(self, values: Mapping[str, Any]) -> None:
        self._replace_kind(MODULE, values)

    def _kind(self, kind: str) -> Members:
        if "_members" not in self.__dict__:
            raise AttributeError(
                f"{type(self).__name__} has no {kind}s before Module.__init__() is called"
            )
        return Members(self.__dict__, kind)

    def _replace_kind(self, kind: str, values: Mapping[str, Any]) -> None:
        members = self._kind(kind)
        new = dict(values.items())
        members.clear()
        members.update(new)

    def __setattr__(self, name: str, value: Any) -> None:
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
        kind = self.__dict__.get("_members", {}).pop(name, None)
        if kind == BUFFER:
            self._non_persistent_buffers_set.discard(name)
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted(name for name in super().__dir__() if not name[:1].isdigit())

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def __setstate__(self, attributes: dict[str, Any]) -> None:
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

    # ---- finding ----

    def get_submodule(self, target: str) -> Module:
        """The submodule at a dotted path such as "encoder.0"; AttributeError if there is none."""
        module: Any = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Puts a module at a dotted path; with `strict`, only in place of an existing one."""
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), Module):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path; AttributeError where there is none."""
        return self._get_member(target, PARAMETER, "an nn.Parameter")

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path; AttributeError where there is none."""
        return self._get_member(target, BUFFER, "a buffer")

    def _get_member(self, target: str, kind: str, wanted: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
        if module._members.get(name) != kind:
            raise AttributeError(f"`{name}` is not {wanted}")
        return getattr(module, name)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once; without `recurse` only this module's own."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their dotted names."""
        return self._named_members(PARAMETER, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers, each once; without `recurse` only this module's own."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """All buffers with their dotted names."""
        return self._named_members(BUFFER, prefix, recurse, remove_duplicate)

    def _named_members(
        self, kind: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules: Iterable[tuple[str, Module]] = [(prefix, self)]
        if recurse:
            modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        for module_prefix, module in modules:
            for name, value in module._kind(kind).items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield f"{module_prefix}.{name}" if module_prefix else name, value

    def children(self) -> Iterator[Module]:
        """The immediate submodules, each once."""
        for _, module in self.named_children():
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The immediate submodules with their names, each once."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below it, each once unless `remove_duplicate` is False."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it with their dotted names."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, path, remove_duplicate)

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

    # ---- state ----

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> Any:
        """Parameters and persistent buffers by dotted name; they share memory with the module."""
        if args:  # torch's old positional form: destination, prefix, keep_vars
            given = dict(zip(("destination", "prefix", "keep_vars"), args, strict=False))
            destination = given.get("destination", destination)
            prefix = given.get("prefix", prefix)
            keep_vars = given.get("keep_vars", keep_vars)
        if destination is None:
            destination = OrderedDict()  # with the version of each module's layout:
            destination._metadata = OrderedDict()
        return state.save_module(self, destination, prefix, keep_vars)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> state.IncompatibleKeys:
        """Copies values by dotted name into this module; values may be tensors or NumPy arrays.

        With `assign` the given tensors take the place of the module's. Raises RuntimeError with all
        keys that are missing, unexpected (unless `strict` is False) or of another shape.
        """
        return state.load_module(self, state_dict, strict, assign)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        state.save_own(self, destination, prefix, keep_vars)

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        state.load_own(
            self,
            state_dict,
            prefix,
            local_metadata,
            strict,
            missing_keys,
            unexpected_keys,
            error_msgs,
        )

    def get_extra_state(self) -> Any:
        """Override, with `set_extra_state`, to put more than tensors into the state_dict."""
        raise RuntimeError("get_extra_state is called only where a subclass overrides it")

    def set_extra_state(self, state: Any) -> None:
        """Override to take back what `get_extra_state` gave."""
        raise RuntimeError("set_extra_state is called only where a subclass overrides it")

    # ---- hooks ----

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """``hook(module, args[, kwargs]) -> None or changed arguments``, before each forward."""
        self._hooked = True
        return self._forward_pre_hooks.add(ForwardHook(hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """``hook(module, args[, kwargs], output) -> None or changed output``, after each forward.

        With `always_call` it runs even where forward raised.
        """
        self._hooked = True
        return self._forward_hooks.add(ForwardHook(hook, with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """``hook(module, grad_output) -> None or changed grad_output``, before each backward."""
        self._hooked = True
        return self._backward_pre_hooks.add(hook, prepend)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """``hook(module, grad_input, grad_output) -> None or changed grad_input``, in backward."""
        self._hooked = True
        return self._backward_hooks.add(hook, prepend)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(module, prefix, keep_vars) -> None``, before this module's state is taken."""
        return self._state_dict_pre_hooks.add(hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(module, state_dict, prefix, local_metadata) -> None`` may change it in place."""
        return self._state_dict_hooks.add(hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
        error_msgs) -> None``, before this module's state is loaded."""
        return self._load_state_dict_pre_hooks.add(hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(module, incompatible_keys) -> None`` may change the lists of keys in place."""
        return self._load_state_dict_post_hooks.add(hook)

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
