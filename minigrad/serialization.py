"""`save` and `load`: tensors, and dictionaries and lists of them, as safetensors files.

A file is a plain safetensors file: eight bytes with the length of a JSON header, the header, the
data. Tensors of a state dictionary stand under their own names, so that any reader of safetensors
finds them. What safetensors cannot say (nesting, tuples, integer keys, numbers, what is shared)
stands as JSON in the header's ``__metadata__`` under "minigrad", and a checksum over all of it
under "minigrad.checksum". Nothing is ever unpickled.
"""

from __future__ import annotations

import io
import json
import math
import os
import stat
import sys
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from . import array as arrays
from . import dtypes
from .array import Size
from .tensor import Tensor, wrap

_STRUCTURE = "minigrad"
_CHECKSUM = "minigrad.checksum"
_METADATA = "__metadata__"
_HEADER_LIMIT = 100_000_000  # that of safetensors itself

_NAMES = {
    dtypes.bool_: "BOOL",
    dtypes.uint8: "U8",
    dtypes.int32: "I32",
    dtypes.int64: "I64",
    dtypes.float32: "F32",
    dtypes.float64: "F64",
}
# How each dtype of the format is read: its bytes, and the dtype that holds all its values.
_READ = {name: (kind.numpy.newbyteorder("<"), kind) for kind, name in _NAMES.items()}
_READ |= {
    "I8": (np.dtype("i1"), dtypes.int32),
    "I16": (np.dtype("<i2"), dtypes.int32),
    "U16": (np.dtype("<u2"), dtypes.int32),
    "U32": (np.dtype("<u4"), dtypes.int64),
    "F16": (np.dtype("<f2"), dtypes.float32),
    "BF16": (np.dtype("<u2"), dtypes.float32),  # the upper half of a float32
}


class _Entry(NamedTuple):
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def save(obj: Any, f: str | os.PathLike[str] | BinaryIO) -> None:
    """Writes an object to a file.

    `obj` is made of tensors, NumPy arrays and numbers, dictionaries, lists, tuples, sets, None,
    numbers, strings, bytes and dtypes; anything else raises TypeError. Tensors that are the same
    view of the same memory are that again after loading; other sharing between views is not kept.
    `f` is a path or a binary file. Writing to a path is atomic: a crash at any moment leaves the
    old file or the new one.
    """
    writer = _Writer()
    structure = writer.encode(obj, ())
    chunks = writer.chunks(json.dumps(structure, separators=(",", ":")))
    if isinstance(f, (str, os.PathLike)):
        _write_atomically(os.path.realpath(os.fspath(f)), chunks)
    elif hasattr(f, "write"):
        for chunk in chunks:
            f.write(chunk)
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
            return _read(file, os.fstat(file.fileno()).st_size, f"{os.fspath(f)!r}")
    if not hasattr(f, "read"):
        raise TypeError(f"load: expected a path or a binary file, but got {type(f).__name__}")
    content = f.read()
    return _read(io.BytesIO(content), len(content), "the file")


# ---- writing ----


class _Writer:
    """Turns an object into a JSON structure and a list of named arrays."""

    def __init__(self) -> None:
        self.values: dict[str, np.ndarray] = {}
        self._kinds: dict[str, str] = {}
        self._names: dict[tuple[Any, ...], str] = {}
        self._open: set[int] = set()  # containers that are being encoded, to notice a cycle
        self._kept: list[Any] = []
        self._flat = False

    def encode(self, value: Any, path: tuple[Any, ...]) -> Any:
        """The JSON for a value: plain JSON values stand for themselves, [..] for lists, and an
        object with one key, its kind, for everything else."""
        kind = type(value)
        if value is None or kind in (bool, int, float, str):
            return value
        if isinstance(value, Tensor):
            return self._encode_tensor(value, path)
        if kind is np.ndarray or isinstance(value, np.generic):
            if value.dtype not in dtypes.BY_NUMPY:
                raise TypeError(
                    f"save: {_at(path)} is a NumPy {kind.__name__} of dtype {value.dtype}, which "
                    "has no counterpart in minigrad; convert it first"
                )
            name = self._name(path)
            self._put(name, np.asarray(value), dtypes.BY_NUMPY[value.dtype])
            return {"ndarray" if kind is np.ndarray else "numpy": name}
        if kind is bytes:
            return {"bytes": value.hex()}
        if kind is complex:
            return {"complex": [value.real, value.imag]}
        if kind is dtypes.dtype:
            return {"dtype": value.name}
        if kind not in _CONTAINERS:
            raise TypeError(
                f"save: {_at(path)} is of type {kind.__module__}.{kind.__qualname__}, which "
                "cannot be saved. Save its data instead: tensors, dicts, lists, tuples, numbers "
                "and strings (of a module or an optimizer, its state_dict())"
            )
        if id(value) in self._open:
            raise ValueError(f"save: {_at(path)} contains itself")
        self._open.add(id(value))
        encoded = self._encode_container(value, kind, path)
        self._open.remove(id(value))
        return encoded

    def _encode_container(self, value: Any, kind: type, path: tuple[Any, ...]) -> Any:
        if kind not in (dict, OrderedDict):
            items = [self.encode(item, (*path, index)) for index, item in enumerate(value)]
            return items if kind is list else {_CONTAINERS[kind]: items}
        if not path:
            self._flat = all(type(k) is str and isinstance(v, Tensor) for k, v in value.items())
        encoded = {
            _CONTAINERS[kind]: [
                [self.encode(key, (*path, "key")), self.encode(item, (*path, key))]
                for key, item in value.items()
            ]
        }
        metadata = getattr(value, "_metadata", None)  # the versions in a module's state_dict
        if metadata is not None:
            encoded["metadata"] = self.encode(metadata, (*path, "_metadata"))
        return encoded

    def _encode_tensor(self, tensor: Tensor, path: tuple[Any, ...]) -> Any:
        array = tensor._array
        view = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        known = self._names.get(view) if tensor.numel() else None
        encoded: dict[str, Any]
        if known is not None and not self._flat:
            encoded = {"tensor": known}
        else:
            name = self._name(path)
            self._put(name, arrays.to_numpy(array), tensor.dtype)
            encoded = {"tensor": name}
            if known is None:
                self._names[view] = name
            else:  # in a state dictionary every name has its values, for other readers
                encoded["same"] = known
        self._kept.append(array)
        if tensor.requires_grad:
            encoded["requires_grad"] = True
        if isinstance(tensor, _parameter_class()):
            encoded["parameter"] = True
        return encoded

    def _name(self, path: tuple[Any, ...]) -> str:
        name = ".".join(map(str, path)) or "tensor"
        name = name.encode("utf-8", "replace").decode()
        while name in self.values or name == _METADATA:
            name += "_"
        return name

    def _put(self, name: str, values: np.ndarray, kind: dtypes.dtype) -> None:
        self.values[name] = values
        self._kinds[name] = _NAMES[kind]

    def chunks(self, structure: str) -> Iterable[Any]:
        """The bytes of the file, piece by piece."""
        # The widest first, so that every tensor is aligned to its elements.
        order = sorted(self.values, key=lambda name: -self.values[name].itemsize)
        entries: dict[str, _Entry] = {}
        position = 0
        for name in order:
            values = self.values[name]
            end = position + values.nbytes
            entries[name] = _Entry(self._kinds[name], values.shape, position, end)
            position = end
        checksum = _header_checksum(entries, {_STRUCTURE: structure})
        data = [_to_bytes(self.values[name]) for name in order]
        for chunk in data:
            checksum = zlib.crc32(chunk, checksum)
        header: dict[str, Any] = {
            _METADATA: {_STRUCTURE: structure, _CHECKSUM: f"crc32:{checksum:08x}"}
        }
        for name in self.values:
            dtype, shape, begin, end = entries[name]
            header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        if len(text) > _HEADER_LIMIT:
            raise ValueError(
                f"save: the header would take {len(text)} bytes, but safetensors allows "
                f"{_HEADER_LIMIT}; put long lists of numbers into tensors"
            )
        return [len(text).to_bytes(8, "little"), text, *data]


_CONTAINERS: dict[type, str] = {
    dict: "dict",
    OrderedDict: "OrderedDict",
    list: "list",
    tuple: "tuple",
    set: "set",
    frozenset: "frozenset",
    Size: "Size",
}


def _parameter_class() -> Any:
    from .nn import Parameter

    return Parameter


def _at(path: tuple[Any, ...]) -> str:
    return "the object" + "".join(f"[{key!r}]" for key in path)


def _to_bytes(values: np.ndarray) -> Any:
    flat = np.ascontiguousarray(values).reshape(-1)
    if sys.byteorder == "big":
        flat = flat.byteswap()
    return flat.view(np.uint8).data


def _header_checksum(entries: dict[str, _Entry], metadata: dict[str, str]) -> int:
    listed = [[name, *entry] for name, entry in sorted(entries.items())]
    return zlib.crc32(json.dumps([listed, sorted(metadata.items())]).encode())


def _write_atomically(path: str, chunks: Iterable[Any]) -> None:
    """Writes a file beside `path` and puts it in its place when it is complete on disk."""
    directory, base = os.path.split(path)
    mode = None
    with suppress(FileNotFoundError):
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(f"save: {path!r} is a directory")
        if not stat.S_ISREG(status.st_mode):  # a pipe or a device: nothing to replace
            with open(path, "wb") as file:
                file.writelines(chunks)
            return
        if not os.access(path, os.W_OK):
            raise PermissionError(f"save: {path!r} is read-only")
        mode = stat.S_IMODE(status.st_mode)
    temporary = os.path.join(directory, f".{base[:100]}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o666)  # less what the umask takes away
    try:
        with open(descriptor, "wb") as file:
            if mode is not None and hasattr(os, "fchmod"):
                os.fchmod(descriptor, mode)
            file.writelines(chunks)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    with suppress(OSError):  # not every system can open a directory
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# ---- reading ----


def _read(file: BinaryIO, size: int, title: str) -> Any:
    entries, metadata = _read_header(file, size, title)
    own = _STRUCTURE in metadata or _CHECKSUM in metadata
    checksum = _header_checksum(
        entries, {key: value for key, value in metadata.items() if key == _STRUCTURE}
    )
    tensors: dict[str, Tensor] = {}
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        array = arrays.empty(entry.shape, _READ[entry.dtype][1])
        raw = _buffer(array, entry)
        if file.readinto(raw.data) != raw.size:  # type: ignore[attr-defined]
            raise _damaged(title, f"it ends within tensor {name!r}")
        if own:
            checksum = zlib.crc32(raw.data, checksum)
        if not _convert(raw, array, entry):
            raise _damaged(title, f"bool tensor {name!r} has values other than 0 and 1")
        tensors[name] = wrap(array)
    if not own:
        return {name: tensors[name] for name in entries}
    if metadata.get(_CHECKSUM) != f"crc32:{checksum:08x}":
        raise _damaged(title, "the checksum does not match its contents")
    try:
        return _Decoder(tensors).decode(json.loads(metadata[_STRUCTURE]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(title, f"its structure cannot be read ({error!r})") from None


def _read_header(file: BinaryIO, size: int, title: str) -> tuple[dict[str, _Entry], dict[str, str]]:
    start = file.read(9)
    length = int.from_bytes(start[:8], "little")
    if len(start) < 9 or start[8:] != b"{" or length > min(size - 8, _HEADER_LIMIT):
        raise _foreign(start, file, size, title)
    text = start[8:] + file.read(length - 1)
    try:
        header = json.loads(text.decode(), object_pairs_hook=_unique)
        metadata = header.pop(_METADATA, {})
        entries = {name: _entry(fields) for name, fields in header.items()}
        if not all(type(item) is str for pair in metadata.items() for item in pair):
            raise ValueError("metadata other than strings")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(title, f"its header cannot be read ({error})") from None
    position = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.dtype not in _READ:
            raise RuntimeError(
                f"load: tensor {name!r} of {title} has dtype {entry.dtype}, which minigrad does "
                f"not have; it reads {', '.join(_READ)}"
            )
        wanted = math.prod(entry.shape) * _READ[entry.dtype][0].itemsize
        if entry.begin != position or entry.end - entry.begin != wanted:
            raise _damaged(title, f"the place of tensor {name!r} does not fit")
        position = entry.end
    if 8 + length + position != size:
        raise _damaged(title, f"it should have {8 + length + position} bytes, but has {size}")
    return entries, metadata


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _entry(fields: dict[str, Any]) -> _Entry:
    begin, end = fields["data_offsets"]
    numbers = (*fields["shape"], begin, end)
    if any(type(number) is not int or number < 0 for number in numbers) or end < begin:
        raise ValueError("a shape or offset is no natural number")
    if len(fields) != 3:
        raise ValueError("a tensor has unknown fields")
    return _Entry(str(fields["dtype"]), tuple(fields["shape"]), begin, end)


def _buffer(array: Any, entry: _Entry) -> np.ndarray:
    """The bytes to read a tensor into: its own memory, where it needs no conversion."""
    if array.size and entry.dtype in _NAMES.values() and sys.byteorder == "little":
        return arrays.to_numpy(array).reshape(-1).view(np.uint8)
    return np.empty(entry.end - entry.begin, np.uint8)


def _convert(raw: np.ndarray, array: Any, entry: _Entry) -> bool:
    """Brings the bytes into the array, if they are not there yet; False where they cannot be."""
    if entry.dtype == "BOOL" and raw.size and raw.max() > 1:
        return False
    target = arrays.to_numpy(array) if array.size else None
    if target is None or np.shares_memory(raw, target):
        return True
    if entry.dtype == "BF16":
        values = (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        values = raw.view(_READ[entry.dtype][0])
    target[...] = values.reshape(entry.shape)
    return True


class _Decoder:
    """Makes the object again from the structure and the tensors."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self._tensors = tensors

    def decode(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        kind = next(iter(value))
        if kind == "tensor":
            return self._tensor(value)
        if kind in ("dict", "OrderedDict"):
            return self._mapping(kind, value)
        return _DECODERS[kind](self, value[kind])

    def _tensor(self, fields: dict[str, Any]) -> Tensor:
        found = self._tensors[fields.get("same", fields["tensor"])].detach()
        requires_grad = fields.get("requires_grad", False)
        if fields.get("parameter"):
            return _parameter_class()(found, requires_grad)
        return found.requires_grad_() if requires_grad else found

    def _mapping(self, kind: str, fields: dict[str, Any]) -> Any:
        result: Any = OrderedDict() if kind == "OrderedDict" else {}
        for key, item in fields[kind]:
            result[self.decode(key)] = self.decode(item)
        if "metadata" in fields:
            result._metadata = self.decode(fields["metadata"])
        return result


_DECODERS: dict[str, Callable[[_Decoder, Any], Any]] = {
    "tuple": lambda decoder, items: tuple(decoder.decode(items)),
    "set": lambda decoder, items: set(decoder.decode(items)),
    "frozenset": lambda decoder, items: frozenset(decoder.decode(items)),
    "Size": lambda decoder, items: Size(decoder.decode(items)),
    "bytes": lambda _, text: bytes.fromhex(text),
    "complex": lambda _, parts: complex(*parts),
    "dtype": lambda _, name: next(kind for kind in _NAMES if kind.name == name),
    "ndarray": lambda decoder, name: np.array(decoder._tensors[name].numpy()),
    "numpy": lambda decoder, name: decoder._tensors[name].numpy()[()],
}


# ---- errors ----


def _damaged(title: str, what: str) -> RuntimeError:
    return RuntimeError(
        f"load: {title} is damaged: {what}. Take another copy of it, or an earlier one"
    )


def _foreign(start: bytes, file: BinaryIO, size: int, title: str) -> RuntimeError:
    """What a file that is no safetensors file seems to be, and what to do about it."""
    way_out = (
        "minigrad never unpickles, since a pickle can run any code. Where it was made, write the "
        "tensors with safetensors.torch.save_file(state_dict, path) or safetensors.numpy.save_file "
        "and load that file"
    )
    if start[:2] == b"PK":
        file.seek(0)
        torch_made = b"data.pkl" in file.read(4096)
        what = (
            "a pickle in a zip archive, as torch.save writes it" if torch_made else "a zip archive"
        )
        return RuntimeError(f"load: {title} is {what}. {way_out}")
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return RuntimeError(f"load: {title} is a pickle. {way_out}")
    for magic, what in (
        (b"\x93NUMPY", "a NumPy file: read it with numpy.load and minigrad.from_numpy"),
        (b"\x89HDF", "an HDF5 file"),
        (b"\x1f\x8b", "compressed with gzip: uncompress it first"),
    ):
        if start.startswith(magic):
            return RuntimeError(f"load: {title} is no safetensors file but {what}")
    if size < 9:
        return _damaged(title, f"it has only {size} bytes")
    return RuntimeError(f"load: {title} is no safetensors file, or its beginning is damaged")
