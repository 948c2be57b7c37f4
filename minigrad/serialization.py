"""`save` and `load`: tensors, and dictionaries and lists of them, as safetensors files.

The safetensors library writes and reads the files. The tensors of a state dictionary stand under
their own names, so that any reader of safetensors finds them. What the format cannot say (nesting,
tuples, integer keys, numbers, what is shared) stands as JSON in the file's metadata, after a
checksum of everything. Nothing is ever unpickled.
"""

from __future__ import annotations

import os
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from . import array as arrays
from . import dtypes
from .array import Size
from .files import replace_file
from .tensor import Tensor, wrap

# safetensors, json and others are imported where they are used, so that minigrad is there sooner.

# The key of our text in the metadata, and its beginning, which shows what it is even if the key is
# damaged. There is but one text because the library writes several in random order.
_KEY = "minigrad"
_MARK = "minigrad crc32:"
_METADATA = "__metadata__"  # the name that the format keeps for itself

# The format's dtypes as they are stored, and the dtypes that hold all their values.
_DTYPES = {
    "BOOL": (np.dtype("?"), dtypes.bool_),
    "U8": (np.dtype("u1"), dtypes.uint8),
    "I32": (np.dtype("<i4"), dtypes.int32),
    "I64": (np.dtype("<i8"), dtypes.int64),
    "F32": (np.dtype("<f4"), dtypes.float32),
    "F64": (np.dtype("<f8"), dtypes.float64),
    "I8": (np.dtype("i1"), dtypes.int32),
    "I16": (np.dtype("<i2"), dtypes.int32),
    "U16": (np.dtype("<u2"), dtypes.int32),
    "U32": (np.dtype("<u4"), dtypes.int64),
    "F16": (np.dtype("<f2"), dtypes.float32),
    "BF16": (np.dtype("<u2"), dtypes.float32),  # the upper half of a float32
}


def save(obj: Any, f: str | os.PathLike[str] | BinaryIO) -> None:
    """Writes an object to a file.

    `obj` is made of tensors, NumPy arrays and numbers, dictionaries, lists, tuples, sets, None,
    numbers, strings, bytes and dtypes; anything else raises TypeError. Tensors that are the same
    view of the same memory are that again after loading; other sharing between views is not kept.
    `f` is a path or a binary file. Writing to a path is atomic: a crash at any moment leaves the
    old file or the new one.
    """
    import json

    import safetensors.numpy

    encoder = _Encoder()
    structure = json.dumps(encoder.encode(obj, ()), separators=(",", ":"))
    metadata = {_KEY: _signed(structure, encoder.values)}
    try:
        content = safetensors.numpy.save(encoder.values, metadata)
    except safetensors.SafetensorError as error:
        raise ValueError(f"save: {error}. Put long lists of numbers into tensors") from None
    if isinstance(f, (str, os.PathLike)):
        replace_file(f, content)
    elif hasattr(f, "write"):
        f.write(content)
    else:
        raise TypeError(f"save: expected a path or a binary file, but got {type(f).__name__}")


def load(
    f: str | os.PathLike[str] | BinaryIO,
    map_location: Any = None,
    *,
    weights_only: bool | None = True,
    mmap: bool | None = None,
) -> Any:
    """Reads what `save` wrote, or the tensors of any safetensors file as a dictionary.

    A file that was cut or damaged raises RuntimeError, and so does a pickle: it is never executed.
    Dtypes that minigrad lacks widen to one that holds all their values. `map_location` can only be
    the CPU; `weights_only` and `mmap` are there for torch's sake: there is nothing else in a file
    than data.
    """
    if map_location is not None and not str(map_location).startswith("cpu"):
        raise ValueError(f"load: map_location can only be 'cpu', but got {map_location!r}")
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as file:
            return _read(file.read(), repr(os.fspath(f)))
    content = f.read() if hasattr(f, "read") else None
    if not isinstance(content, (bytes, bytearray)):
        raise TypeError(f"load: expected a path or a binary file, but got {type(f).__name__}")
    return _read(bytes(content), "the file")


def _signed(structure: str, values: dict[str, np.ndarray]) -> str:
    """The structure after a checksum of it and of all names, dtypes, shapes and elements."""
    import zlib

    checksum = zlib.crc32(structure.encode())
    for name in sorted(values):
        array = values[name]
        title = f"{name} {array.dtype.str} {array.shape}"
        checksum = zlib.crc32(array.data, zlib.crc32(title.encode(), checksum))
    return f"{_MARK}{checksum:08x} {structure}"


# ---- an object as a structure and named arrays ----

_CONTAINERS: dict[str, type] = {
    each.__name__: each for each in (dict, OrderedDict, list, tuple, set, frozenset, Size)
}
# Other values, by their types: the JSON for one, and one of its JSON.
_VALUES: dict[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    bytes: (bytes.hex, bytes.fromhex),
    complex: (lambda value: [value.real, value.imag], lambda parts: complex(*parts)),
    Counter: (  # of MultiStepLR's milestones
        lambda value: [[key, count] for key, count in value.items()],
        lambda pairs: Counter(dict(pairs)),
    ),
    dtypes.dtype: (
        lambda value: value.name,
        {each.name: each for each in dtypes.BY_CODE}.__getitem__,
    ),
}


def _parameter_class() -> Any:
    from .nn import Parameter

    return Parameter


class _Encoder:
    """Turns an object into a structure for JSON and named arrays, which `values` holds."""

    def __init__(self) -> None:
        self.values: dict[str, np.ndarray] = {}
        self._names: dict[tuple[Any, ...], str] = {}  # of the views that are saved already
        self._open: set[int] = set()  # containers that are being encoded, to notice a cycle
        self._flat = False  # a state dictionary: nothing but names and tensors

    def encode(self, value: Any, path: tuple[Any, ...]) -> Any:
        """Plain JSON values stand for themselves, [..] for lists, and an object with a key that
        names its kind for everything else."""
        kind = type(value)
        if value is None or kind in (bool, int, float, str):
            return value
        if isinstance(value, Tensor):
            return self._encode_tensor(value, path)
        where = "the object" + "".join(f"[{key!r}]" for key in path)
        if kind is np.ndarray or isinstance(value, np.generic):
            if value.dtype not in dtypes.BY_NUMPY:
                raise TypeError(
                    f"save: {where} is a NumPy {kind.__name__} of dtype {value.dtype}, which has "
                    "no counterpart in minigrad; convert it first"
                )
            return {"ndarray" if kind is np.ndarray else "numpy": self._put(value, path)}
        if kind in _VALUES:
            return {kind.__name__: _VALUES[kind][0](value)}
        if kind not in _CONTAINERS.values():
            raise TypeError(
                f"save: {where} is of type {kind.__module__}.{kind.__qualname__}, which cannot be "
                "saved. Save its data instead: tensors, dicts, lists, tuples, numbers and strings "
                "(of a module or an optimizer, its state_dict())"
            )
        if id(value) in self._open:
            raise ValueError(f"save: {where} contains itself")
        self._open.add(id(value))
        encoded = self._encode_container(value, kind, path)
        self._open.remove(id(value))
        return encoded

    def _encode_container(self, value: Any, kind: type, path: tuple[Any, ...]) -> Any:
        if kind not in (dict, OrderedDict):
            items = [self.encode(item, (*path, index)) for index, item in enumerate(value)]
            return items if kind is list else {kind.__name__: items}
        if not path:
            self._flat = all(type(k) is str and isinstance(v, Tensor) for k, v in value.items())
        encoded = {
            kind.__name__: [
                [self.encode(key, (*path, "key")), self.encode(item, (*path, key))]
                for key, item in value.items()
            ]
        }
        metadata = getattr(value, "_metadata", None)  # the versions in a module's state_dict
        if metadata is not None:
            encoded["metadata"] = self.encode(metadata, (*path, "_metadata"))
        return encoded

    def _encode_tensor(self, tensor: Tensor, path: tuple[Any, ...]) -> Any:
        view = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        known = self._names.get(view) if tensor.numel() else None
        encoded: dict[str, Any]
        if known is not None and not self._flat:
            encoded = {"tensor": known}
        else:
            encoded = {"tensor": self._put(arrays.to_numpy(tensor._array), path)}
            if known is None:
                self._names[view] = encoded["tensor"]
            else:  # in a state dictionary every name has its values, for other readers
                encoded["same"] = known
        if tensor.requires_grad:
            encoded["requires_grad"] = True
        if isinstance(tensor, _parameter_class()):
            encoded["parameter"] = True
        return encoded

    def _put(self, value: np.ndarray | np.generic, path: tuple[Any, ...]) -> str:
        """Keeps an array, with the format's order of elements and bytes; returns its name."""
        name = ".".join(map(str, path)) or "tensor"
        name = name.encode("utf-8", "replace").decode()
        while name in self.values or name == _METADATA:
            name += "_"
        self.values[name] = np.asarray(value, value.dtype.newbyteorder("<"), order="C")
        return name


def _decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The object of a structure and the tensors."""
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    kind, content = next(iter(value.items()))
    if kind == "tensor":
        found = tensors[value.get("same") or content].detach()
        requires_grad = value.get("requires_grad", False)
        if value.get("parameter"):
            return _parameter_class()(found, requires_grad)
        return found.requires_grad_() if requires_grad else found
    if kind in ("ndarray", "numpy"):
        array = tensors[content].numpy().copy()
        return array if kind == "ndarray" else array[()]
    if kind not in _CONTAINERS:
        return next(parts[1] for each, parts in _VALUES.items() if each.__name__ == kind)(content)
    result = _CONTAINERS[kind](_decode(content, tensors))
    if "metadata" in value:
        result._metadata = _decode(value["metadata"], tensors)
    return result


# ---- reading ----


def _read(content: bytes, title: str) -> Any:
    import json

    import safetensors

    try:
        entries = safetensors.deserialize(content)
        metadata = _metadata(content)
    except (safetensors.SafetensorError, ValueError) as error:
        raise _refusal(content, title, error) from None
    values: dict[str, np.ndarray] = {}
    tensors: dict[str, Tensor] = {}
    for name, entry in sorted(entries, key=lambda item: item[0]):
        if entry["dtype"] not in _DTYPES:
            raise RuntimeError(
                f"load: tensor {name!r} of {title} has dtype {entry['dtype']}, which minigrad does "
                f"not have; it reads {', '.join(_DTYPES)}"
            )
        stored, kind = _DTYPES[entry["dtype"]]
        values[name] = array = np.frombuffer(entry["data"], stored).reshape(entry["shape"])
        if stored.kind == "b" and array.size and array.view(np.uint8).max() > 1:
            raise _damaged(title, f"bool tensor {name!r} has values other than 0 and 1")
        if entry["dtype"] == "BF16":
            array = (array.astype(np.uint32) << 16).view(np.float32)
        tensors[name] = wrap(arrays.copy_numpy(array, kind))
    if _KEY not in metadata and not any(text.startswith(_MARK) for text in metadata.values()):
        return tensors  # another program's file
    text = metadata.get(_KEY, "")
    structure = text[text.find(" ", len(_MARK)) + 1 :]
    if text != _signed(structure, values):
        raise _damaged(title, "the checksum does not match its contents")
    try:
        return _decode(json.loads(structure), tensors)
    except (LookupError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise _damaged(title, f"its structure cannot be read ({error!r})") from None


def _metadata(content: bytes) -> dict[str, str]:
    """The metadata in a header that the library has accepted. The library itself returns them for
    files with a path only (`safe_open`), and takes the last of two entries with one name."""
    import json

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a name stands twice in the header")
        return dict(pairs)

    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length], object_pairs_hook=unique).get(_METADATA) or {}


def _damaged(title: str, what: str) -> RuntimeError:
    return RuntimeError(
        f"load: {title} is damaged: {what}. Take another copy of it, or an earlier one"
    )


def _refusal(content: bytes, title: str, error: Exception) -> RuntimeError:
    """What a file that the library refuses seems to be, and what to do about it."""
    pickled = content.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"))
    if pickled or content.startswith(b"PK"):
        what = "a pickle" if pickled else "a zip archive"
        if b"data.pkl" in content[:4096]:
            what = "a pickle in a zip archive, as torch.save writes it"
        return RuntimeError(
            f"load: {title} is {what}. minigrad never unpickles, since a pickle can run any code. "
            "Where it was made, write the tensors with safetensors.torch.save_file(state_dict, "
            "path) or safetensors.numpy.save_file and load that file"
        )
    if content.startswith(b"\x93NUMPY"):
        return RuntimeError(
            f"load: {title} is no safetensors file but a NumPy file: read it with numpy.load and "
            "minigrad.from_numpy"
        )
    if len(content) > 8 and content[8:9] != b"{":
        return RuntimeError(f"load: {title} is no safetensors file, or its beginning is damaged")
    reason = str(error).removeprefix("Error while deserializing: ")
    return _damaged(title, f"its {len(content)} bytes are not what they should have been: {reason}")
