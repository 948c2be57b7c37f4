"""Making a module without drawing its starting values."""

from __future__ import annotations

import inspect
from typing import Any

from ..module import Module

__all__ = ["skip_init"]


def skip_init(module_cls: type, *args: Any, **kwargs: Any) -> Any:
    """An instance of `module_cls` whose ``reset_parameters`` was not run, so that its parameters
    hold whatever was in their memory, for those who fill them themselves.

    The class has to take a `device` argument, as torch demands. Modules that it makes inside draw
    their starting values all the same.
    """
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"skip_init: expected a subclass of Module, got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError(f"skip_init: {module_cls.__name__} takes no argument 'device'")

    def nothing(self: Any) -> None:
        pass

    resets = ("reset_parameters", "_reset_parameters")
    body: dict[str, Any] = {name: nothing for name in resets if hasattr(module_cls, name)}
    module = type(module_cls.__name__, (module_cls,), body)(*args, **kwargs)
    module.__class__ = module_cls
    return module
