"""Hooks of a module: functions that run before or after its forward and backward pass.

A module without hooks never comes here: `Module.__call__` goes straight to ``forward``.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from ..autograd import Function, is_grad_enabled
from ..tensor import RemovableHandle, Tensor
from .members import changes

CALL_HOOK_TABLES = (
    "_backward_hooks",
    "_backward_pre_hooks",
    "_forward_hooks",
    "_forward_pre_hooks",
)
HOOK_TABLES = (
    *CALL_HOOK_TABLES,
    "_load_state_dict_post_hooks",
    "_load_state_dict_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
)


class HookTable(OrderedDict[int, Any]):
    """Hooks by identifier, in the order in which they run."""

    def pop(self, key: int, *default: Any) -> Any:
        changes[0] += 1
        return super().pop(key, *default)

    def add(self, hook: Any, prepend: bool = False) -> RemovableHandle:
        """Registers a hook after, or with `prepend` before, all others."""
        handle = RemovableHandle(self)
        self[handle.id] = hook
        if prepend:
            self.move_to_end(handle.id, last=False)
        return handle


class ForwardHook(NamedTuple):
    """A forward (pre-)hook with its options."""

    function: Callable[..., Any]
    with_kwargs: bool = False
    always_call: bool = False


def call_with_hooks(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`module.forward(*args, **kwargs)` with all hooks around it."""
    called: set[int] = set()
    result = None
    try:
        args, kwargs = _run_forward_pre_hooks(module, args, kwargs)
        backward = None
        if module._backward_hooks or module._backward_pre_hooks:
            backward = _BackwardHooks(module)
            args = backward.watch_inputs(args)
        result = module.forward(*args, **kwargs)
        for identifier, hook in list(module._forward_hooks.items()):
            called.add(identifier)
            result = _run_forward_hook(module, hook, args, kwargs, result)
        return backward.watch_outputs(result) if backward is not None else result
    except Exception:
        for identifier, hook in list(module._forward_hooks.items()):
            if not hook.always_call or identifier in called:
                continue
            try:
                result = _run_forward_hook(module, hook, args, kwargs, result)
            except Exception as error:
                warnings.warn(
                    "module forward hook with ``always_call=True`` raised an exception that was "
                    f"silenced as another error was raised in forward: {error}",
                    stacklevel=3,
                )
        raise


def _run_forward_pre_hooks(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    for hook in list(module._forward_pre_hooks.values()):
        if hook.with_kwargs:
            result = hook.function(module, args, kwargs)
            if result is not None:
                if not isinstance(result, tuple) or len(result) != 2:
                    raise RuntimeError(
                        "forward pre-hook must return None or a tuple of (new_args, new_kwargs), "
                        f"but got {result}."
                    )
                args, kwargs = result
        else:
            result = hook.function(module, args)
            if result is not None:
                args = result if isinstance(result, tuple) else (result,)
    return args, kwargs


def _run_forward_hook(
    module: Any, hook: ForwardHook, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
) -> Any:
    if hook.with_kwargs:
        changed = hook.function(module, args, kwargs, result)
    else:
        changed = hook.function(module, args, result)
    return result if changed is None else changed


class _Boundary(Function):
    """Identity over some tensors whose backward hands all their gradients to a callback at once."""

    @staticmethod
    def forward(ctx: Any, callback: Callable[..., Any], *tensors: Tensor) -> Any:
        ctx.callback = callback
        ctx.set_materialize_grads(False)
        return tensors  # each becomes a new tensor of this node

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return (None, *ctx.callback(grads))


class _BackwardHooks:
    """One call's full backward hooks: collects grad_output, then runs the hooks on grad_input.

    The gradients arrive at two identities, one around the outputs and one around the inputs.
    """

    def __init__(self, module: Any) -> None:
        self.module = module
        self.hooks = list(module._backward_hooks.values())
        self.pre_hooks = list(module._backward_pre_hooks.values())
        self.grad_output: tuple[Any, ...] | None = None
        self.input_count = 0
        self.input_positions: list[int] = []
        self.output_count = 0
        self.output_positions: list[int] = []
        self.inputs_watched = False

    def watch_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, the tensors among them behind an identity."""
        self.input_count = len(args)
        self.input_positions = [i for i, arg in enumerate(args) if isinstance(arg, Tensor)]
        tensors = [args[i] for i in self.input_positions]
        if not is_grad_enabled() or not any(tensor.requires_grad for tensor in tensors):
            return args
        self.inputs_watched = True
        return _replace(args, self.input_positions, _Boundary.apply(self._on_inputs, *tensors))

    def watch_outputs(self, result: Any) -> Any:
        """The result, the tensors in it behind an identity."""
        outputs = result if isinstance(result, tuple) else (result,)
        if not isinstance(result, (Tensor, tuple)):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of "
                f"Tensors but received {type(result)}",
                stacklevel=4,
            )
            return result
        self.output_count = len(outputs)
        self.output_positions = [i for i, out in enumerate(outputs) if isinstance(out, Tensor)]
        tensors = [outputs[i] for i in self.output_positions]
        if not is_grad_enabled() or not any(tensor.requires_grad for tensor in tensors):
            return result
        wrapped = _Boundary.apply(self._on_outputs, *tensors)
        outputs = _replace(outputs, self.output_positions, wrapped)
        return outputs if isinstance(result, tuple) else outputs[0]

    def _on_outputs(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        grad_output = _spread(grads, self.output_positions, self.output_count)
        for hook in self.pre_hooks:
            changed = hook(self.module, grad_output)
            if changed is not None:
                grad_output = changed if isinstance(changed, tuple) else (changed,)
                if len(grad_output) != self.output_count:
                    raise RuntimeError(
                        "Backward pre hook returned an invalid number of grad_output, got "
                        f"{len(grad_output)}, but expected {self.output_count}"
                    )
        self.grad_output = grad_output
        if not self.inputs_watched:
            empty = (None,) * self.input_count
            for hook in self.hooks:
                changed = hook(self.module, empty, grad_output)
                if changed is not None and any(grad is not None for grad in changed):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always "
                        "return None or None for all gradients."
                    )
            self.grad_output = None
        return tuple(grad_output[i] for i in self.output_positions)

    def _on_inputs(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        if self.grad_output is None:
            raise RuntimeError(
                f"Module backward hook for grad_input of {type(self.module).__name__} is called "
                "before the grad_output one. This happens because the gradient in your nn.Module "
                "flows to the Module's input without passing through the Module's output."
            )
        grad_input = _spread(grads, self.input_positions, self.input_count)
        for hook in self.hooks:
            changed = hook(self.module, grad_input, self.grad_output)
            if changed is not None:
                grad_input = changed if isinstance(changed, tuple) else (changed,)
                if len(grad_input) != self.input_count:
                    raise RuntimeError(
                        "Backward hook returned an invalid number of grad_input, got "
                        f"{len(grad_input)}, but expected {self.input_count}"
                    )
        self.grad_output = None
        return tuple(grad_input[i] for i in self.input_positions)


def _replace(values: tuple[Any, ...], positions: list[int], new: Any) -> tuple[Any, ...]:
    changed = list(values)
    for position, value in zip(positions, new if isinstance(new, tuple) else (new,), strict=True):
        changed[position] = value
    return tuple(changed)


def _spread(values: tuple[Any, ...], positions: list[int], count: int) -> tuple[Any, ...]:
    """`values` at their positions among `count`, None elsewhere."""
    return _replace((None,) * count, positions, values)


class ModuleHooks:
    """The part of `Module` that registers hooks."""

    # True from the first hook on; tested by every call, so it is a class attribute until then.
    _hooked: bool = False
    _backward_hooks: HookTable
    _backward_pre_hooks: HookTable
    _forward_hooks: HookTable
    _forward_pre_hooks: HookTable
    _load_state_dict_post_hooks: HookTable
    _load_state_dict_pre_hooks: HookTable
    _state_dict_hooks: HookTable
    _state_dict_pre_hooks: HookTable

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
