"""Optimizers, with torch.optim's names.

Each module lists its public names in its ``__all__``.
"""

from .adam import *
from .optimizer import *
from .sgd import *

__all__ = [name for name, value in globals().items() if isinstance(value, type)]
