"""Optimizers, with torch.optim's names.

Each module lists its public names in its ``__all__``.
"""

from typing import Any as _Any

from . import lr_scheduler
from .adadelta import *
from .adafactor import *
from .adagrad import *
from .adam import *
from .adamax import *
from .asgd import *
from .lamb import *
from .lbfgs import *
from .lion import *
from .muon import *
from .nadam import *
from .optimizer import *
from .radam import *
from .rmsprop import *
from .rprop import *
from .sgd import *
from .sparse_adam import *


def __getattr__(name: str) -> _Any:
    """``swa_utils`` needs ``nn`` and is imported when first asked for."""
    if name == "swa_utils":
        import importlib

        return importlib.import_module(f"{__name__}.swa_utils")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["lr_scheduler", "swa_utils"]
__all__ += [name for name, value in globals().items() if isinstance(value, type) and name[0] != "_"]
