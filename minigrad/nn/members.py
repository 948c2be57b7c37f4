"""Where a module keeps its parameters, buffers and submodules, and how they are found.

Their values are ordinary instance attributes, so that ``self.weight`` in a ``forward`` costs one
dictionary lookup; a registry of ``name -> kind`` in ``module.__dict__["_members"]`` says which
attributes they are, in order of registration. `Members` shows one kind as the mapping that torch
calls ``module._parameters``, ``module._buffers`` and ``module._modules``. `ModuleTree` is the part
of `Module` that finds what is in a module and in the modules below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..tensor import Tensor
    from .module import Module
    from .parameter import Parameter

# How often an attribute of any module was set or deleted: what was derived from modules can be kept
# as long as this number stays.
changes = [0]

PARAMETER = "parameter"
BUFFER = "buffer"
MODULE = "module"


class Members(MutableMapping[str, Any]):
    """A live view of the attributes of one kind; writing to it registers, deleting unregisters."""

    __slots__ = ("_attributes", "_kind")

    def __init__(self, attributes: dict[str, Any], kind: str) -> None:
        self._attributes = attributes
        self._kind = kind

    def __getitem__(self, name: str) -> Any:
        if self._attributes["_members"].get(name) != self._kind:
            raise KeyError(name)
        return self._attributes[name]

    def __setitem__(self, name: str, value: Any) -> None:
        changes[0] += 1
        attributes = self._attributes
        members = attributes["_members"]
        if members.get(name) != self._kind:
            members.pop(name, None)  # a name that changes its kind moves to the end
            attributes["_non_persistent_buffers_set"].discard(name)
            members[name] = self._kind
        attributes[name] = value

    def __delitem__(self, name: str) -> None:
        if self._attributes["_members"].get(name) != self._kind:
            raise KeyError(name)
        changes[0] += 1
        del self._attributes["_members"][name]
        del self._attributes[name]

    def __contains__(self, name: object) -> bool:
        return self._attributes["_members"].get(name) == self._kind

    def __iter__(self) -> Iterator[str]:
        return iter([n for n, kind in self._attributes["_members"].items() if kind == self._kind])

    def __len__(self) -> int:
        return sum(kind == self._kind for kind in self._attributes["_members"].values())

    def __repr__(self) -> str:
        return repr(dict(self))

    def copy(self) -> dict[str, Any]:
        """The names and values as a plain dictionary."""
        return dict(self)


class ModuleTree:
    """The members of a module, its own and those of all modules below it."""

    _members: dict[str, str]
    _non_persistent_buffers_set: set[str]

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

    def get_submodule(self, target: str) -> Module:
        """The submodule at a dotted path such as "encoder.0"; AttributeError if there is none."""
        module: Any = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, ModuleTree):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Puts a module at a dotted path; with `strict`, only in place of an existing one."""
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, ModuleTree):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), ModuleTree):
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
        modules: Iterable[tuple[str, Any]] = [(prefix, self)]
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
        own: Any = self  # a Module
        if own in memo:
            return
        if remove_duplicate:
            memo.add(own)
        yield prefix, own
        for name, module in self._modules.items():
            if module is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, path, remove_duplicate)
