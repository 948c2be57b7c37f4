"""Reading the pickles of the CIFAR archives without the danger of pickles.

A pickle is a program for a small machine. Here the machine knows only the instructions that build
dictionaries, lists, tuples, strings and numbers, and an array of bytes as NumPy pickles it. The
names of NumPy in the pickle stand for functions of this file: no code is found by name, so none can
be called, and no object's attributes can be set.
"""

from __future__ import annotations

import io
import pickle
from typing import Any, ClassVar

import numpy

# What the strings of a pickle may be copied to, in all: the archive's largest file holds 154 MB.
MAXIMUM_BYTES = 1 << 28


def load(content: bytes) -> dict[str, Any]:
    """The dictionary in a pickle: its values are str, int, arrays of integers, or lists of str and
    int. Byte strings of Python 2, and bytes, become str (latin-1). pickle.UnpicklingError for
    anything else.
    """
    try:
        value = _Machine(content).load()
        if type(value) is not dict:
            raise pickle.UnpicklingError(f"a dictionary was expected, not {type(value).__name__}")
        return {_plain(key): _entry(item) for key, item in value.items()}
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # what a damaged file makes of the machine
        raise pickle.UnpicklingError(
            f"the pickle is damaged or not of the known kind: {type(error).__name__}: {error}"
        ) from error


def _entry(value: Any) -> Any:
    if type(value) is list:
        return [_plain(item) for item in value]
    if isinstance(value, _Array) and value.values is not None:
        return value.values
    return _plain(value)


def _plain(value: Any) -> Any:
    if type(value) is bytes:
        return value.decode("latin1")
    if type(value) not in (str, int):
        raise pickle.UnpicklingError(f"a value of type {type(value).__name__.lstrip('_')}")
    return value


class _Array:
    """An array in the making: _reconstruct(ndarray, (0,), b"b"), then its state."""

    __slots__ = ("machine", "values")

    def __init__(self, machine: _Machine) -> None:
        self.machine = machine
        self.values: numpy.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, content = state
        if not isinstance(dtype, _DType) or type(shape) is not tuple:
            raise pickle.UnpicklingError("an array without a dtype or a shape")
        if type(content) is str:
            content = self.machine.encode(content, "latin1")
        if type(content) is not bytes:
            raise pickle.UnpicklingError("an array whose content is not bytes")
        if not all(type(size) is int and size >= 0 for size in shape):
            raise pickle.UnpicklingError(f"an array of shape {shape}")
        order: Any = "F" if is_fortran else "C"
        self.values = numpy.frombuffer(content, dtype.kind).reshape(shape, order=order)


class _DType:
    """numpy.dtype(code, ...), then its state, which tells the order of the bytes."""

    __slots__ = ("kind",)

    def __init__(self, code: Any, *options: Any) -> None:
        if type(code) is not str or code not in _INTEGERS:
            raise pickle.UnpicklingError(f"an array of {code!r}: only integers are known")
        self.kind = numpy.dtype(code)

    def __setstate__(self, state: Any) -> None:
        if state[1] not in ("|", "<", ">", "="):
            raise pickle.UnpicklingError(f"a dtype with the order {state[1]!r}")
        if state[1] in "<>":
            self.kind = self.kind.newbyteorder(state[1])


def _no_bytes() -> bytes:
    """How Python 3 writes b"" for Python 2."""
    return b""


_INTEGERS = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8")


class _Name:
    """Stands for a name that a pickle may mention; what the pickle can do with it is calling it."""

    __slots__ = ("call",)
    call: Any

    def __init__(self, call: Any) -> None:
        object.__setattr__(self, "call", call)

    def __call__(self, *arguments: Any) -> Any:
        return self.call(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError("a pickle must not change what a name means")

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a pickle must not change what a name means")


# What is not here: instances of classes, extension codes,
# persistent identifiers, buffers out of band.
# fmt: off
_INSTRUCTIONS = (
    pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.POP, pickle.POP_MARK, pickle.DUP,
    pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE,
    pickle.INT, pickle.LONG, pickle.LONG1, pickle.LONG4, pickle.BININT, pickle.BININT1,
    pickle.BININT2, pickle.FLOAT, pickle.BINFLOAT,
    pickle.STRING, pickle.BINSTRING, pickle.SHORT_BINSTRING, pickle.UNICODE, pickle.BINUNICODE,
    pickle.SHORT_BINUNICODE, pickle.BINUNICODE8,
    pickle.BINBYTES, pickle.SHORT_BINBYTES, pickle.BINBYTES8,
    pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3,
    pickle.EMPTY_LIST, pickle.LIST, pickle.APPEND, pickle.APPENDS,
    pickle.EMPTY_DICT, pickle.DICT, pickle.SETITEM, pickle.SETITEMS,
    pickle.PUT, pickle.BINPUT, pickle.LONG_BINPUT, pickle.MEMOIZE, pickle.GET, pickle.BINGET,
    pickle.LONG_BINGET,
    pickle.GLOBAL, pickle.STACK_GLOBAL, pickle.REDUCE, pickle.BUILD,
)
# fmt: on

_PythonUnpickler: Any = pickle._Unpickler


class _Machine(_PythonUnpickler):
    """Python's unpickler written in Python: its instructions are a table that can be cut down, and
    its memo is a dictionary, which a large number in a pickle cannot blow up."""

    dispatch: ClassVar[dict[int, Any]] = {
        code[0]: _PythonUnpickler.dispatch[code[0]] for code in _INSTRUCTIONS
    }

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self._copied = 0
        self._known: dict[tuple[str, str], Any] = {
            ("numpy.core.multiarray", "_reconstruct"): self._reconstruct,
            ("numpy._core.multiarray", "_reconstruct"): self._reconstruct,
            ("numpy", "ndarray"): self._ndarray,
            ("numpy", "dtype"): _DType,
            ("_codecs", "encode"): self.encode,
            ("__builtin__", "bytes"): _no_bytes,
        }

    def find_class(self, module: str, name: str) -> _Name:
        if (module, name) not in self._known:
            raise pickle.UnpicklingError(
                f"the pickle names {module}.{name}, which CIFAR's files do not: it is not loaded"
            )
        return _Name(self._known[module, name])

    def _reconstruct(self, kind: Any, shape: Any, code: Any) -> _Array:
        return _Array(self)

    def _ndarray(self, *arguments: Any) -> Any:
        raise pickle.UnpicklingError("numpy.ndarray may be named, but not called")

    def encode(self, text: Any, encoding: Any) -> bytes:
        """How Python 3 writes bytes into pickles that Python 2 can read. A short pickle can ask for
        the same long text again and again."""
        if encoding != "latin1" or type(text) is not str:
            raise pickle.UnpicklingError(f"a text in the encoding {encoding!r}")
        self._copied += len(text)
        if self._copied > MAXIMUM_BYTES:
            raise pickle.UnpicklingError(f"the pickle unfolds to more than {MAXIMUM_BYTES} bytes")
        return text.encode("latin1")
