"""Functions on modules, as in torch.func: `functional_call`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .nn.module import Module
from .nn.utils.stateless import call
from .tensor import Tensor

__all__ = ["functional_call"]


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: dict[str, Tensor] | Sequence[dict[str, Tensor]],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Calls a module with other parameters and buffers, by their dotted names, and leaves it as it
    was.

    `args` is the argument or a tuple of them. Names that stand for one tensor in the module are
    all replaced when one of them is given, unless `tie_weights` is False. With `strict`, all names
    have to be given. A buffer that the module replaces during the call is replaced in the
    dictionary. A parametrized tensor given by its plain name is used as it is; give
    ``parametrizations.NAME.original`` to go through the parametrization.
    """
    if isinstance(parameter_and_buffer_dicts, dict):
        values = parameter_and_buffer_dicts
    elif isinstance(parameter_and_buffer_dicts, Sequence):
        values = {}
        for each in parameter_and_buffer_dicts:
            if not isinstance(each, dict):
                raise ValueError(
                    f"functional_call: expected dictionaries, got a {type(each).__name__}"
                )
            repeated = sorted(set(each) & set(values))
            if repeated:
                raise ValueError(f"functional_call: {repeated} are in more than one dictionary")
            values.update(each)
    else:
        raise ValueError(
            "functional_call: expected a dictionary of tensors or a sequence of them, got "
            f"{type(parameter_and_buffer_dicts).__name__}"
        )
    return call(module, values, args, kwargs, tie_weights, strict)
