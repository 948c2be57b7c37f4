"""minigrad: a reverse-mode autograd engine with torch's interface, for small networks on a CPU.

``import minigrad as torch`` runs a torch program within the supported part of the interface. The
graph and every derivative are Python to read (start with ``minigrad.autograd.engine``); all
arithmetic runs in C.
"""

import math as _math
import typing as _typing

from . import autograd
from ._version import __version__
from .array import Size
from .autograd import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .dtypes import bool_ as bool
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
from .kernels import get_num_threads, set_num_threads
from .ops.methods import FUNCTIONS as _FUNCTIONS
from .tensor import Tensor

globals().update(_FUNCTIONS)

float = float32
double = float64
int = int32
long = int64

e, inf, nan, pi = _math.e, _math.inf, _math.nan, _math.pi
newaxis = None

from . import functional  # noqa: E402  (it uses the names above)
from .functional import log_softmax, softmax  # noqa: E402
from .serialization import load, save  # noqa: E402

if _typing.TYPE_CHECKING:
    from . import datasets, func, nn, optim, regularizers, training, utils
    from . import vision as vision
    from .compiler import compile


def __getattr__(name: str) -> _typing.Any:
    """Parts that a program may never use are imported when first asked for."""
    if name in ("datasets", "func", "nn", "optim", "regularizers", "training", "utils", "vision"):
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    if name == "compile":
        from .compiler import compile

        return compile
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
    "compile",
    "datasets",
    "double",
    "dtype",
    "e",
    "enable_grad",
    "finfo",
    "float",
    "float32",
    "float64",
    "func",
    "functional",
    "get_default_dtype",
    "get_num_threads",
    "iinfo",
    "inf",
    "int",
    "int32",
    "int64",
    "is_grad_enabled",
    "load",
    "log_softmax",
    "long",
    "nan",
    "newaxis",
    "nn",
    "no_grad",
    "optim",
    "pi",
    "regularizers",
    "save",
    "set_default_dtype",
    "set_grad_enabled",
    "set_num_threads",
    "softmax",
    "training",
    "uint8",
    "utils",
    "vision",
    *_FUNCTIONS,
]
