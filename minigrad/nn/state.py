"""`Module.state_dict` and `Module.load_state_dict`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..autograd import no_grad
from ..tensor import Tensor
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


def save_module(module: Any, destination: Any, prefix: str, keep_vars: bool) -> Any:
    """Writes the state of a module and its descendants into `destination`."""
    local_metadata = {"version": module._version}
    if hasattr(destination, "_metadata"):
        destination._metadata[prefix[:-1]] = local_metadata
    for hook in module._state_dict_pre_hooks.values():
        hook(module, prefix, keep_vars)
    module._save_to_state_dict(destination, prefix, keep_vars)
    for name, child in module._modules.items():
        if child is not None:
            child.state_dict(
                destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
            )
    for hook in module._state_dict_hooks.values():
        if hook(module, destination, prefix, local_metadata) is not None:
            raise RuntimeError("state_dict post-hook must return None")
    return destination


def load_module(module: Any, given: Mapping[str, Any], strict: bool, assign: bool) -> Any:
    """Copies (or with `assign`, puts) a state into a module and its descendants."""
    if not isinstance(given, Mapping):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(given)}.")
    metadata = getattr(given, "_metadata", None)
    state_dict: Any = OrderedDict(given)
    if metadata is not None:
        state_dict._metadata = metadata
    missing: list[str] = []
    unexpected: list[str] = []
    errors: list[str] = []

    def load(target: Any, local: Mapping[str, Any], prefix: str) -> None:
        local_metadata = dict(metadata.get(prefix[:-1], {})) if metadata is not None else {}
        if assign:
            local_metadata["assign_to_params_buffers"] = True
        target._load_from_state_dict(
            local, prefix, local_metadata, True, missing, unexpected, errors
        )
        for name, child in target._modules.items():
            if child is not None:
                child_prefix = f"{prefix}{name}."
                chosen = {k: v for k, v in local.items() if k.startswith(child_prefix)}
                load(child, chosen, child_prefix)
        for hook in target._load_state_dict_post_hooks.values():
            if hook(target, IncompatibleKeys(missing, unexpected)) is not None:
                raise AssertionError(
                    "Hooks registered with ``register_load_state_dict_post_hook`` are not expected "
                    "to return new values, if incompatible_keys need to be modified, it should be "
                    "done inplace."
                )

    load(module, state_dict, "")
    if strict:
        for title, keys in (("Unexpected", unexpected), ("Missing", missing)):
            if keys:
                listed = ", ".join(f'"{key}"' for key in keys)
                errors.insert(0, f"{title} key(s) in state_dict: {listed}. ")
    if errors:
        listed = "\n\t".join(errors)
        raise RuntimeError(
            f"Error(s) in loading state_dict for {type(module).__name__}:\n\t{listed}"
        )
    return IncompatibleKeys(missing, unexpected)


def save_own(module: Any, destination: Any, prefix: str, keep_vars: bool) -> None:
    """Writes the parameters, persistent buffers and extra state of one module, not its children."""
    for name, value in _own_state(module).items():
        destination[prefix + name] = value if keep_vars else value.detach()
    if _overrides(module, "get_extra_state"):
        destination[prefix + EXTRA_STATE] = module.get_extra_state()


def load_own(
    module: Any,
    state_dict: Any,
    prefix: str,
    local_metadata: dict[str, Any],
    strict: bool,
    missing: list[str],
    unexpected: list[str],
    errors: list[str],
) -> None:
    """Loads one module without its children; what does not fit is added to the three lists."""
    for hook in module._load_state_dict_pre_hooks.values():
        hook(module, state_dict, prefix, local_metadata, strict, missing, unexpected, errors)
    own = _own_state(module)
    assign = local_metadata.get("assign_to_params_buffers", False)
    for name, target in own.items():
        key = prefix + name
        if key in state_dict:
            error = _load_value(module, name, key, target, state_dict[key], assign)
            if error:
                errors.append(error)
        elif strict:
            missing.append(key)
    extra_key = prefix + EXTRA_STATE
    if _overrides(module, "set_extra_state"):
        if extra_key in state_dict:
            module.set_extra_state(state_dict[extra_key])
        elif strict:
            missing.append(extra_key)
    elif strict and extra_key in state_dict:
        unexpected.append(extra_key)
    if strict:
        children = module._modules
        for key in state_dict:
            if key.startswith(prefix) and key != extra_key:
                head, dot, _ = key[len(prefix) :].partition(".")
                if (head not in children) if dot else (head not in own):
                    unexpected.append(key)


def _own_state(module: Any) -> dict[str, Tensor]:
    state = {name: value for name, value in module._parameters.items() if value is not None}
    for name, value in module._buffers.items():
        if value is not None and name not in module._non_persistent_buffers_set:
            state[name] = value
    return state


def _overrides(module: Any, method: str) -> bool:
    from .module import Module

    return getattr(type(module), method) is not getattr(Module, method)


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
