"""minigrad: a reverse-mode autograd engine with torch's interface, for small networks on a CPU.

``import minigrad as torch`` runs a torch program within the supported part of the interface. The graph and
every derivative are Python to read (start with ``minigrad.autograd.engine``); all arithmetic runs in C.
"""

from __future__ import annotations

from typing import Any

from . import autograd
from ._version import __version__
from .array import Size
from .autograd import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .dtypes import (
    dtype,
    finfo,
    float32,
    float64,
    get_default_dtype,
    iinfo,
    int32,
    int64,
    set_default_dtype,
    uint8,
)
from .dtypes import bool_ as bool
from .kernels import get_num_threads, set_num_threads
from .ops.methods import FUNCTIONS
from .tensor import Tensor

globals().update(FUNCTIONS)

float = float32
double = float64
int = int32
long = int64

from . import functional, nn, optim, utils  # noqa: E402  (they use the names above)
from .functional import log_softmax, softmax  # noqa: E402
from .serialization import load, save  # noqa: E402


def __getattr__(name: str) -> Any:
    """Parts that a program may never use are imported when first asked for."""
    if name in ("vision",):
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    if name == "set_printoptions":
        from .printing import set_printoptions

        return set_printoptions
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Size",
    "Tensor",
    "__version__",
    "autograd",
    "bool",
    "double",
    "dtype",
    "enable_grad",
    "finfo",
    "float",
    "float32",
    "float64",
    "functional",
    "get_default_dtype",
    "get_num_threads",
    "iinfo",
    "int",
    "int32",
    "int64",
    "is_grad_enabled",
    "load",
    "log_softmax",
    "long",
    "nn",
    "no_grad",
    "optim",
    "save",
    "set_default_dtype",
    "set_grad_enabled",
    "set_num_threads",
    "softmax",
    "uint8",
    "utils",
    *FUNCTIONS,
]
