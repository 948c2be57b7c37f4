"""`Optimizer`: parameter groups, state, and their exchange as dictionaries, as in torch.optim."""

from __future__ import annotations

import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from functools import wraps
from itertools import chain
from typing import Any

import numpy as np

from ..autograd import enable_grad
from ..tensor import RemovableHandle, Tensor
from .group import Layout, ParameterGroup

__all__ = ["Optimizer"]


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()  # as a default: every group has to give this hyperparameter

_HOOKS = (
    "_optimizer_step_pre_hooks",
    "_optimizer_step_post_hooks",
    "_optimizer_state_dict_pre_hooks",
    "_optimizer_state_dict_post_hooks",
    "_optimizer_load_state_dict_pre_hooks",
    "_optimizer_load_state_dict_post_hooks",
)


class Optimizer:
    """Base class of optimizers; a subclass defines `step`.

    `params` is an iterable of tensors, of (name, tensor) pairs, or of dictionaries with ``params``
    and hyperparameters of their own, one for each group. `defaults` holds the hyperparameters of
    groups that do not give them. `state` maps a parameter to a dictionary of what is remembered of
    it.
    """

    # Where each hyperparameter stands in the memory that kernels read; see group.py.
    _layout = Layout()
    _step_hooked = False
    _opt_called: bool | None = None  # whether a step was made, where a schedule asked to know
    _optimizer_step_pre_hooks: OrderedDict[int, Callable[..., Any]]
    _optimizer_step_post_hooks: OrderedDict[int, Callable[..., Any]]
    _optimizer_state_dict_pre_hooks: OrderedDict[int, Callable[..., Any]]
    _optimizer_state_dict_post_hooks: OrderedDict[int, Callable[..., Any]]
    _optimizer_load_state_dict_pre_hooks: OrderedDict[int, Callable[..., Any]]
    _optimizer_load_state_dict_post_hooks: OrderedDict[int, Callable[..., Any]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _with_hooks(cls.__dict__["step"])  # type: ignore[method-assign]

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got {type(params).__name__}"
            )
        self.defaults = defaults
        self._make_hooks()
        self.state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[Any] = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def _make_hooks(self) -> None:
        for name in _HOOKS:
            self.__dict__.setdefault(name, OrderedDict())

    def __getstate__(self) -> dict[str, Any]:
        return {
            "defaults": self.defaults,
            "state": self.state,
            "param_groups": self.param_groups,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._make_hooks()
        self._adopt_groups()

    def _adopt_groups(self) -> None:
        """Makes groups of the plain dictionaries that stand among the parameter groups."""
        for index, group in enumerate(self.param_groups):
            if type(group) is not ParameterGroup:
                self.param_groups[index] = ParameterGroup(group, self._layout)

    def __repr__(self) -> str:
        text = f"{type(self).__name__} ("
        for index, group in enumerate(self.param_groups):
            text += f"\nParameter Group {index}\n"
            text += "".join(f"    {k}: {group[k]}\n" for k in sorted(group) if k != "params")
        return text + ")"

    # ---- groups ----

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group: a dictionary of ``params`` and what differs from the defaults."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the "
                "ordering of tensors in sets will change between runs. Please use a list instead."
            )
        param_group["params"] = [params] if isinstance(params, Tensor) else list(params)
        _take_names(param_group)
        for param in param_group["params"]:
            self._check_parameter(param)
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(
                    "parameter group didn't specify a value of required optimization parameter "
                    f"{name}"
                )
            param_group.setdefault(name, default)
        own = {id(param) for param in param_group["params"]}
        if len(own) != len(param_group["params"]):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; each of them is "
                "updated as often as it is listed",
                stacklevel=3,
            )
        for group in self.param_groups:
            if ("param_names" in param_group) != ("param_names" in group):
                kind = "with names" if "param_names" in param_group else "without names"
                raise ValueError(
                    "all optimizer param groups should be with/without names. cannot add param "
                    f"group {kind} to the optimizer"
                )
            if not own.isdisjoint(id(param) for param in group["params"]):
                raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(ParameterGroup(param_group, self._layout))

    def _check_parameter(self, param: Any) -> None:
        if not isinstance(param, Tensor):
            raise TypeError(
                "optimizer can only optimize Tensors, but one of the params is "
                f"{type(param).__name__}"
            )
        if not param.is_leaf and not getattr(param, "retains_grad", False):
            raise ValueError("can't optimize a non-leaf Tensor")

    # ---- steps ----

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates the parameters from their gradients; returns what the closure returns, if given.

        The closure computes the loss anew: it calls zero_grad and backward and returns the loss.
        """
        raise NotImplementedError

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients of all parameters, or with `set_to_none` False, fills them with 0."""
        for group in self.param_groups:
            for param in group["params"]:
                if set_to_none:
                    param._grad = None
                elif param.grad is not None:
                    if param.grad.grad_fn is not None:
                        param.grad.detach_()
                    else:
                        param.grad.requires_grad_(False)
                    param.grad.zero_()

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(optimizer, args, kwargs) -> None or (args, kwargs)``, before each step."""
        self._step_hooked = True
        return _add(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(optimizer, args, kwargs) -> None``, after each step."""
        self._step_hooked = True
        return _add(self._optimizer_step_post_hooks, hook)

    # ---- state as a dictionary ----

    def state_dict(self) -> dict[str, Any]:
        """The state by the number of each parameter, and the groups with these numbers: torch's
        layout.

        The tensors in it are the optimizer's own; copy them to keep them.
        """
        for pre_hook in self._optimizer_state_dict_pre_hooks.values():
            pre_hook(self)
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            packed = {key: value for key, value in group.items() if key != "params"}
            for param in group["params"]:
                numbers.setdefault(id(param), len(numbers))
            packed["params"] = [numbers[id(param)] for param in group["params"]]
            groups.append(packed)
        state = {
            numbers[id(key)] if isinstance(key, Tensor) else key: value
            for key, value in self.state.items()
        }
        result: dict[str, Any] = {"state": state, "param_groups": groups}
        for post_hook in self._optimizer_state_dict_post_hooks.values():
            changed = post_hook(self, result)
            result = result if changed is None else changed
        return result

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes the state and the hyperparameters from what `state_dict` gave.

        Values are copied, in the dtype of the parameter, into the memory that is there already
        where it fits. The groups have to have as many parameters as here, in the same order.
        """
        given: Any = dict(state_dict)
        for pre_hook in self._optimizer_load_state_dict_pre_hooks.values():
            changed = pre_hook(self, given)
            given = given if changed is None else changed
        self._adopt_groups()
        saved_groups = given["param_groups"]
        if len(self.param_groups) != len(saved_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        pairs = list(zip(self.param_groups, saved_groups, strict=True))
        if any(len(mine["params"]) != len(saved["params"]) for mine, saved in pairs):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of "
                "optimizer's group"
            )
        by_number = dict(
            zip(
                chain.from_iterable(saved["params"] for saved in saved_groups),
                chain.from_iterable(mine["params"] for mine in self.param_groups),
                strict=True,
            )
        )
        state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        for key, value in given["state"].items():
            if key in by_number:
                param = by_number[key]
                known = self.state.get(param, {})
                state[param] = {
                    name: self._loaded(name, item, param, known.get(name))
                    for name, item in value.items()
                }
            else:
                state[key] = deepcopy(value)
        for mine, saved in pairs:
            mine.update({key: deepcopy(item) for key, item in saved.items() if key != "params"})
        self.__setstate__({"state": state, "param_groups": self.param_groups})
        for post_hook in self._optimizer_load_state_dict_post_hooks.values():
            post_hook(self)

    def _loaded(self, name: str, value: Any, param: Tensor, known: Any) -> Any:
        """A value of the state of one parameter, ready for use here."""
        if not isinstance(value, Tensor):
            if isinstance(value, (list, tuple)):
                return type(value)(self._loaded(name, item, param, None) for item in value)
            if not hasattr(value, "__array__"):
                return deepcopy(value)
            value = Tensor(np.asarray(value.detach() if hasattr(value, "detach") else value))
        value = value.detach()
        if name != "step" and param.is_floating_point() and value.dtype != param.dtype:
            value = value.to(param.dtype)
        if isinstance(known, Tensor) and known.shape == value.shape and known.dtype == value.dtype:
            if known._array is not value._array:
                known.copy_(value)
            return known
        return value.clone()

    def register_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """``hook(optimizer) -> None``, before the state is taken."""
        return _add(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """``hook(optimizer, state_dict) -> None or another state_dict``."""
        return _add(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """``hook(optimizer, state_dict) -> None or another state_dict``, before it is loaded."""
        return _add(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """``hook(optimizer) -> None``, after a state was loaded."""
        return _add(self._optimizer_load_state_dict_post_hooks, hook, prepend)


def _take_names(param_group: dict[str, Any]) -> None:
    """Splits (name, tensor) pairs into ``params`` and ``param_names``."""
    pairs = [param for param in param_group["params"] if isinstance(param, tuple)]
    if not pairs:
        return
    if len(pairs) != len(param_group["params"]):
        raise ValueError(
            "all optimizer params should be with/without names. Some param names are missing"
        )
    param_group["params"] = [param for _, param in pairs]
    param_group["param_names"] = [name for name, _ in pairs]


def _add(
    hooks: OrderedDict[int, Callable[..., Any]], hook: Callable[..., Any], prepend: bool = False
) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


def _with_hooks(function: Callable[..., Any]) -> Callable[..., Any]:
    """A step that runs the hooks where there are any."""

    @wraps(function)
    def step(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if not self._step_hooked:
            return function(self, *args, **kwargs)
        self._step_hooked = False  # a step that calls super().step() runs them once
        try:
            return _step_with_hooks(function, self, (self, *args), kwargs)
        finally:
            hooks = self._optimizer_step_pre_hooks or self._optimizer_step_post_hooks
            self._step_hooked = bool(hooks)

    return step


def _step_with_hooks(
    function: Callable[..., Any], optimizer: Optimizer, args: Any, kwargs: Any
) -> Any:
    for pre_hook in list(optimizer._optimizer_step_pre_hooks.values()):
        changed = pre_hook(optimizer, args, kwargs)
        if changed is not None:
            if not isinstance(changed, tuple) or len(changed) != 2:
                raise RuntimeError(
                    f"{function} must return None or a tuple of (new_args, new_kwargs), but got "
                    f"{changed}."
                )
            args, kwargs = changed
    result = function(*args, **kwargs)
    for post_hook in list(optimizer._optimizer_step_post_hooks.values()):
        post_hook(optimizer, args, kwargs)
    return result


def run_closure(closure: Callable[[], Any] | None) -> Any:
    """The loss that a closure computes with gradients on; None without a closure."""
    if closure is None:
        return None
    with enable_grad():
        return closure()


def check_hints(foreach: bool | None, fused: bool | None, differentiable: bool) -> None:
    """torch's hints on how to step; here, every step is one launch a group all the same."""
    if differentiable:
        if fused:
            raise RuntimeError("`fused` does not support `differentiable`")
        raise NotImplementedError(
            "differentiable=True is not implemented: a step is not recorded by autograd. Write the "
            "update in Tensor operations to differentiate through it"
        )
    if fused and foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")


def check_numbers(numbers: Iterable[tuple[str, Any]]) -> None:
    """Raises ValueError for a number below 0, and for NaN; the text says what it is."""
    for title, value in numbers:
        if not value >= 0.0:
            raise ValueError(f"Invalid {title}: {value}")


def check_rate(lr: Any) -> None:
    """Raises ValueError for a learning rate below 0, and for a tensor of several elements."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    check_numbers([("learning rate", lr)])


def check_betas(betas: Iterable[Any]) -> None:
    """Raises ValueError for a decay rate outside of [0, 1)."""
    for index, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {index}: {beta}")
