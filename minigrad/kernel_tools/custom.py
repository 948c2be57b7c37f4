"""Kernels of one's own: a C function from a string or a file, called with tensors.

    source = '''
    void swish(int64_t count, float *out, const float *x) {
        for (int64_t i = 0; i < count; i++) out[i] = x[i] / (1 + expf(-x[i]));
    }'''
    kernel = minigrad.kernels.compile(source, "void swish(int64_t, float *out, const float *x);")
    kernel.swish(x.numel(), out, x)

What is compiled is optimized for this processor and kept in a cache, so that it is compiled once.
`examples/custom_kernel.py` tests one against a reference, times it, and gives it a derivative.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cffi
import numpy as np

from .. import kernels
from ..compiler.limits import Limits
from ..kernels import fail, ffi, lib
from ..tensor import Tensor, wrap
from .arrays import DTYPES, SIZES, array
from .bench import Cost, Measurement, medians, peer_modules
from .checks import Case, Draw, Outcome, Trial, outcome_of, wide

FLAGS = ("-O3", "-march=native", "-fno-math-errno")
_SHAPES = tuple([(size,) for size in SIZES])
_PRELUDE = "#include <math.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <string.h>\n"
_POINTERS = {
    "bool": ("_Bool", "uint8_t", "unsigned char"),
    "uint8": ("uint8_t", "unsigned char"),
    "int32": ("int32_t", "int"),
    "int64": ("int64_t", "long", "long long"),
    "float32": ("float",),
    "float64": ("double",),
}


class CompileError(RuntimeError):
    """The C compiler refused the source; the message holds what it said."""


def compile(
    source: str | os.PathLike[str],
    declaration: str,
    *,
    flags: Sequence[str] = FLAGS,
    cache: str | os.PathLike[str] | None = None,
) -> Compiled:
    """Compiles C functions and returns an object that has them as attributes.

    Args:
        source: the text, or the path of a ``.c`` file. ``math.h``, ``stdint.h``, ``stddef.h`` and
            ``string.h`` are included already.
        declaration: of the functions to call, as in C. A pointer takes a tensor of that type, or
            None for NULL; without ``const`` the function writes there.
        flags: of the compiler, which is that of the environment variable ``CC``, else ``cc``.
        cache: where the compiled library is kept; by default ``minigrad/kernels`` in the user's
            cache (``XDG_CACHE_HOME``).

    Raises:
        CompileError: the compiler is missing, or refused the source or the declaration.
        ValueError: cffi does not understand the declaration.
    """
    path = Path(source) if _is_path(source) else None
    text = path.read_text(encoding="utf-8") if path else str(source)
    interface = cffi.FFI()
    try:
        interface.cdef(declaration)
    except (cffi.CDefError, cffi.FFIError) as error:
        raise ValueError(f"kernels.compile: cffi cannot read the declaration: {error}") from None
    # The declaration stands before the source, so that the compiler compares the two.
    name = (str(path) if path else "source").replace("\\", "/").replace('"', "'")
    whole = f'{_PRELUDE}{declaration}\n#line 1 "{name}"\n{text}\n'
    library = _built(whole, tuple(flags), _cache(cache))
    return Compiled(interface, interface.dlopen(str(library)), declaration, library)


def _is_path(source: str | os.PathLike[str]) -> bool:
    return isinstance(source, os.PathLike) or ("\n" not in source and source.endswith(".c"))


def _cache(given: str | os.PathLike[str] | None) -> Path:
    if given is not None:
        folder = Path(given)
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(home, "minigrad", "kernels")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.access(folder, os.W_OK) and folder.stat().st_uid == os.getuid():
            return folder
    except OSError:
        pass  # no home to write to: this process compiles for itself
    return Path(tempfile.mkdtemp(prefix="minigrad-kernels-"))


def _built(text: str, flags: tuple[str, ...], folder: Path) -> Path:
    """The library of a source, compiled unless it is in the folder."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    processor = ffi.string(lib.mg_processor()).decode()
    key = hashlib.sha256(repr((text, flags, compiler, processor)).encode()).hexdigest()[:24]
    library = folder / f"{key}.so"
    if library.exists():
        return library
    with tempfile.TemporaryDirectory(dir=folder) as work:
        file, made = Path(work, "kernel.c"), Path(work, "kernel.so")
        file.write_text(text, encoding="utf-8")
        command = [*compiler, *flags, "-fPIC", "-shared", "-o", str(made), str(file), "-lm"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise CompileError(
                f"kernels.compile: the compiler {compiler[0]!r} does not run ({error.strerror}); "
                "install one, or name one in the environment variable CC"
            ) from None
        if done.returncode:
            raise CompileError(f"kernels.compile: {compiler[0]} says\n{done.stderr.strip()}")
        os.replace(made, library)  # at once, so that another process sees all of it or nothing
    return library


class Compiled:
    """The functions of a compiled source, as attributes."""

    def __init__(self, interface: Any, library: Any, declaration: str, path: Path) -> None:
        self.path = path
        plain = re.sub(r"/\*.*?\*/|//[^\n]*", "", declaration, flags=re.DOTALL)
        self.functions = {
            name: Function(interface, getattr(library, name), name, arguments)
            for name, arguments in re.findall(r"(\w+)\s*\(([^()]*)\)\s*;", plain)
        }
        self._library = library  # stays loaded

    def __getattr__(self, name: str) -> Function:
        try:
            return self.__dict__["functions"][name]
        except KeyError:
            raise AttributeError(f"the declaration has no function {name!r}") from None

    def __repr__(self) -> str:
        return f"Compiled({', '.join(self.functions)})"


class Function:
    """A compiled function. Tensors are passed as pointers to their elements: contiguous, and of the
    pointer's type. Those that it writes count as changed in place."""

    def __init__(self, interface: Any, function: Any, name: str, arguments: str) -> None:
        self._cast, self._null = interface.cast, interface.NULL
        self._function, self.__name__ = function, name
        self._types = interface.typeof(function).args
        self._constant = ["const" in each for each in arguments.split(",")]
        self._writer = ffi.new("char[]", name.encode())  # named in autograd's errors

    def __call__(self, *arguments: Any) -> Any:
        """Calls it; returns what it returns."""
        if len(arguments) != len(self._types):
            raise TypeError(
                f"{self.__name__}() takes {len(self._types)} arguments, but got {len(arguments)}"
            )
        passed, written = [], []
        for place, (value, kind) in enumerate(zip(arguments, self._types, strict=True)):
            if kind.kind == "pointer":
                passed.append(self._pointer(place, value, kind))
                if isinstance(value, Tensor) and not self._constant[place]:
                    written.append(value)
            else:
                passed.append(value)
        result = self._function(*passed)
        for tensor in written:
            lib.mg_touch(tensor._array, self._writer)
        return result

    def _pointer(self, place: int, value: Any, kind: Any) -> Any:
        if value is None:
            return self._null
        where = f"{self.__name__}(): argument {place + 1}"
        if not isinstance(value, Tensor):
            raise TypeError(f"{where} must be a Tensor or None, but got {type(value).__name__}")
        handle = value._array
        dtype = DTYPES[handle.dtype]
        if kind.item.cname not in (*_POINTERS[dtype], "void"):
            raise TypeError(f"{where} is a {kind.cname}, but got a tensor of {dtype}")
        if not handle.flags & lib.MG_CONTIGUOUS:
            raise ValueError(f"{where}: the tensor is not contiguous; call .contiguous() first")
        data = lib.mg_host_data(handle)
        if not data and handle.size:
            fail()
        return self._cast(kind, int(ffi.cast("uintptr_t", data)))


# ---- tested and timed like ours ----


def test(
    name: str,
    run: Callable[..., Tensor],
    reference: Callable[..., Any],
    operands: int = 1,
    *,
    dtypes: Sequence[str] = ("float32",),
    shapes: Sequence[tuple[int, ...]] = _SHAPES,
    bounds: tuple[float, float] = (-4.0, 4.0),
    scale: Any = None,
    limit: float = 4.0,
) -> list[Outcome]:
    """Compares ``run(*tensors)`` with ``reference(*ndarrays)`` in float64.

    For every dtype and shape, at aligned and at unaligned addresses. The error is counted in units
    in the last place, of `scale` where the result is smaller; more than `limit` is a failure.
    """

    def trials(draw: Draw):
        for shape in shapes:
            made = [draw.values(shape, *bounds) for _ in range(operands)]
            call = lambda *handles: run(*map(wrap, handles))._array  # noqa: E731
            wanted = reference(*map(wide, made))
            yield Trial(str(shape), call, made, wanted, scale, ("contiguous", "shifted"))

    case = Case(name, trials, limit)
    return [outcome_of(case, dtype, kernels.isa()) for dtype in dtypes]


def bench(
    name: str,
    run: Callable[..., Tensor],
    shapes: Sequence[tuple[int, ...]],
    *,
    dtype: str = "float32",
    bounds: tuple[float, float] = (-4.0, 4.0),
    flops: float = 0,
    numpy: Callable[..., Any] | None = None,
    torch: Callable[..., Any] | None = None,
    seconds: float = 0.1,
    limits: Limits | None = None,
) -> Measurement:
    """Times ``run(*tensors)`` on operands of these shapes, in turns with ``numpy(*ndarrays)`` and
    ``torch(torch, *tensors)``. Its least time is that of reading the operands and writing the
    result, or of so many floating point operations."""
    draw = Draw(dtype)
    made = [draw.values(shape, *bounds) for shape in shapes]
    tensors = [wrap(array(each)) for each in made]
    calls: dict[str, Callable[[], Any]] = {"minigrad": lambda: run(*tensors)}
    if numpy is not None:
        calls["numpy"] = lambda: numpy(*made)
    if torch is not None:
        module = peer_modules(["torch"])["torch"]
        theirs = [module.from_numpy(np.array(each)) for each in made]
        calls["torch"] = lambda: torch(module, *theirs)
    size = sum(each.nbytes for each in made) + run(*tensors).nbytes
    cost = Cost(int(flops), size, DTYPES.index(dtype))
    label = " ".join("x".join(map(str, shape)) for shape in shapes)
    return Measurement(
        *(name, label, dtype, kernels.get_num_threads(), kernels.isa()),
        *(cost.flops, cost.bytes, (limits or Limits()).seconds(cost), medians(calls, seconds)),
    )


__all__ = ["CompileError", "Compiled", "Function", "bench", "compile", "test"]
