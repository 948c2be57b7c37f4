"""The part of `Module` that gives and takes its state: `state_dict` and `load_state_dict`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..autograd import no_grad
from ..tensor import Tensor
from .hooks import ModuleHooks
from .members import ModuleTree
from .parameter import Parameter

EXTRA_STATE = "_extra_state"


class IncompatibleKeys(NamedTuple):
    """Keys that `load_state_dict` found missing or did not expect."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"_IncompatibleKeys(missing_keys={self.missing_keys!r}, "
            f"unexpected_keys={self.unexpected_keys!r})"
        )

    def __str__(self) -> str:
        return repr(self)


class ModuleState(ModuleTree, ModuleHooks):
    """A module's state: its parameters and persistent buffers, and what a subclass adds to them."""

    _version: int = 1  # of the layout of the state; a loading hook sees the one that was saved

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
        local_metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local_metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, child in self._modules.items():
            if child is not None:
                child.state_dict(
                    destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
                )
        for hook in self._state_dict_hooks.values():
            if hook(self, destination, prefix, local_metadata) is not None:
                raise RuntimeError("state_dict post-hook must return None")
        return destination

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copies values by dotted name into this module; values may be tensors or NumPy arrays.

        With `assign` the given tensors take the place of the module's. Raises RuntimeError with all
        keys that are missing, unexpected (unless `strict` is False) or of another shape.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        given: Any = OrderedDict(state_dict)  # a copy, for hooks to change
        if hasattr(state_dict, "_metadata"):
            given._metadata = state_dict._metadata
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []
        _load_tree(self, given, "", given, assign, (missing, unexpected, errors))
        if strict:
            for title, keys in (("Unexpected", unexpected), ("Missing", missing)):
                if keys:
                    listed = ", ".join(f'"{key}"' for key in keys)
                    errors.insert(0, f"{title} key(s) in state_dict: {listed}. ")
        if errors:
            listed = "\n\t".join(errors)
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{listed}"
            )
        return IncompatibleKeys(missing, unexpected)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Writes the state of this module, not its children's."""
        for name, value in _own_state(self).items():
            destination[prefix + name] = value if keep_vars else value.detach()
        if _overrides(self, "get_extra_state"):
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

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
        """Loads this module without its children; what does not fit is added to the three lists."""
        for hook in self._load_state_dict_pre_hooks.values():
            lists = (missing_keys, unexpected_keys, error_msgs)
            hook(self, state_dict, prefix, local_metadata, strict, *lists)
        own = _own_state(self)
        assign = local_metadata.get("assign_to_params_buffers", False)
        for name, target in own.items():
            key = prefix + name
            if key in state_dict:
                error = _load_value(self, name, key, target, state_dict[key], assign)
                if error:
                    error_msgs.append(error)
            elif strict:
                missing_keys.append(key)
        extra_key = prefix + EXTRA_STATE
        if _overrides(self, "set_extra_state"):
            if extra_key in state_dict:
                self.set_extra_state(state_dict[extra_key])
            elif strict:
                missing_keys.append(extra_key)
        elif strict and extra_key in state_dict:
            unexpected_keys.append(extra_key)
        if strict:
            children = self._modules
            for key in state_dict:
                if key.startswith(prefix) and key != extra_key:
                    head, dot, _ = key[len(prefix) :].partition(".")
                    if (head not in children) if dot else (head not in own):
                        unexpected_keys.append(key)

    def get_extra_state(self) -> Any:
        """Override, with `set_extra_state`, to put more than tensors into the state_dict."""
        raise RuntimeError("get_extra_state is called only where a subclass overrides it")

    def set_extra_state(self, state: Any) -> None:
        """Override to take back what `get_extra_state` gave."""
        raise RuntimeError("set_extra_state is called only where a subclass overrides it")


def _load_tree(
    module: Any, local: Any, prefix: str, given: Any, assign: bool, found: tuple[Any, Any, Any]
) -> None:
    """Loads a module and those below it from `local`, the part of `given` whose keys begin with
    `prefix`. `found` are the lists of missing keys, unexpected keys and errors."""
    metadata = getattr(given, "_metadata", None)
    local_metadata = dict(metadata.get(prefix[:-1], {})) if metadata is not None else {}
    if assign:
        local_metadata["assign_to_params_buffers"] = True
    module._load_from_state_dict(local, prefix, local_metadata, True, *found)
    for name, child in module._modules.items():
        if child is not None:
            child_prefix = f"{prefix}{name}."
            chosen = {key: value for key, value in local.items() if key.startswith(child_prefix)}
            _load_tree(child, chosen, child_prefix, given, assign, found)
    for hook in module._load_state_dict_post_hooks.values():
        if hook(module, IncompatibleKeys(*found[:2])) is not None:
            raise AssertionError(
                "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to "
                "return new values, if incompatible_keys need to be modified, it should be done "
                "inplace."
            )


def _own_state(module: ModuleState) -> dict[str, Tensor]:
    state = {name: value for name, value in module._parameters.items() if value is not None}
    for name, value in module._buffers.items():
        if value is not None and name not in module._non_persistent_buffers_set:
            state[name] = value
    return state


def _overrides(module: ModuleState, method: str) -> bool:
    return getattr(type(module), method) is not getattr(ModuleState, method)


def _load_value(
    module: Any, name: str, key: str, target: Tensor, value: Any, assign: bool
) -> str | None:
    """Loads one tensor; returns the message of what is wrong, if anything."""
    if not isinstance(value, Tensor):
        if not hasattr(value, "__array__"):
            return (
                f'While copying the parameter named "{key}", expected minigrad.Tensor or '
                f"Tensor-like object from checkpoint but received {type(value)}"
            )
        value = Tensor(np.asarray(value.detach() if hasattr(value, "detach") else value))
    if target.dim() == 0 and value.dim() == 1 and value.shape[0] == 1:
        value = value[0]
    if value.shape != target.shape:
        return (
            f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint, "
            f"the shape in current model is {target.shape}."
        )
    try:
        with no_grad():
            if not assign:
                target.copy_(value)
            elif not isinstance(target, Parameter):
                setattr(module, name, value)
            elif isinstance(value, Parameter):
                setattr(module, name, value.requires_grad_(target.requires_grad))
            else:
                setattr(module, name, Parameter(value, requires_grad=target.requires_grad))
    except Exception as error:
        return (
            f'While copying the parameter named "{key}", whose dimensions in the model are '
            f"{target.size()} and whose dimensions in the checkpoint are {value.size()}, an "
            f"exception occurred : {error.args}."
        )
    return None
