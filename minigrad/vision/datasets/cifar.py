"""CIFAR-10 and CIFAR-100: the official archives of Python pickles."""

from __future__ import annotations

import gzip
import os
import pickle
import tarfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

import numpy

from ...files import replace_file
from ...ops.creation import from_numpy, tensor
from ...tensor import Tensor
from . import unpickle
from .download import download as download_file
from .vision import ArrayDataset

SIDE, CHANNELS = 32, 3
# The largest file of the archives has 155 MB, the whole of one 186 MB.
MAXIMUM_FILE_BYTES = 1 << 28
MAXIMUM_ARCHIVE_BYTES = 1 << 29


class CIFAR10(ArrayDataset):
    """Small photographs of 10 classes: 50,000 images of 32 × 32 in colour for training, 10,000 for
    the test.

    A. Krizhevsky (2009), Learning Multiple Layers of Features from Tiny Images,
    https://www.cs.toronto.edu/~kriz/cifar.html.

    `root` holds the folder ``cifar-10-batches-py`` (or is it), or the archive
    ``cifar-10-python.tar.gz``, which is then read as it is. `download` fetches the archive and
    unpacks the folder. The files are pickles; they are read by a machine that can only build data.

    ``data`` is a NumPy array of bytes (N, 32, 32, 3), ``targets`` a list of ints, as torchvision's.
    RuntimeError where no files are found, ValueError where they are damaged.
    """

    base_folder = "cifar-10-batches-py"
    filename = "cifar-10-python.tar.gz"
    urls: tuple[str, ...] = (
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        "https://cave.cs.toronto.edu/kriz/cifar-10-python.tar.gz",
    )
    tgz_md5 = "c58f30108f718f92721af3b95e74349a"
    train_files: tuple[str, ...] = (
        "data_batch_1",
        "data_batch_2",
        "data_batch_3",
        "data_batch_4",
        "data_batch_5",
    )
    test_files: tuple[str, ...] = ("test_batch",)
    meta_file = "batches.meta"
    labels_key, classes_key = "labels", "label_names"

    root: Path

    def __init__(
        self,
        root: str | os.PathLike[str] = "data",
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform, target_transform)
        self.train = bool(train)
        if download and self._find_folder() is None:
            self.download()
        contents = self._read([*self._files(), self.meta_file])
        self.classes = _classes(*contents[self.meta_file], self.classes_key)
        parts = [self._images_and_labels(*contents[name]) for name in self._files()]
        images = numpy.concatenate([pixels for pixels, _ in parts])
        self.data = images.transpose(0, 2, 3, 1)  # as torchvision has it: (N, H, W, C)
        self.targets = [label for _, labels in parts for label in labels]

    def _files(self) -> tuple[str, ...]:
        return self.train_files if self.train else self.test_files

    def _find_folder(self) -> Path | None:
        needed = (*self.train_files, *self.test_files, self.meta_file)
        for folder in (self.root / self.base_folder, self.root):
            if all((folder / name).is_file() for name in needed):
                return folder
        return None

    def _read(self, names: list[str]) -> dict[str, tuple[str, bytes]]:
        """For each file where it is, to tell it in errors, and its content."""
        folder = self._find_folder()
        if folder is not None:
            return {name: (str(folder / name), _read_file(folder / name)) for name in names}
        archive = self.root / self.filename
        if not archive.is_file():
            raise RuntimeError(
                "Dataset not found or corrupted. You can use download=True to download it: "
                f"{self.root} has neither the folder {self.base_folder} with all its files nor the "
                f"archive {self.filename}"
            )
        found = read_archive(archive, {f"{self.base_folder}/{name}": name for name in names})
        missing = [name for name in names if name not in found]
        if missing:
            raise ValueError(f"{archive}: the archive has no {self.base_folder}/{missing[0]}")
        return {name: (f"{archive}:{name}", content) for name, content in found.items()}

    def _images_and_labels(self, source: str, content: bytes) -> tuple[numpy.ndarray, list[int]]:
        entries = _unpickled(source, content)
        pixels, labels = entries.get("data"), entries.get(self.labels_key)
        width = CHANNELS * SIDE * SIDE
        if (
            not isinstance(pixels, numpy.ndarray)
            or pixels.dtype != numpy.uint8
            or pixels.ndim != 2
            or pixels.shape[1] != width
        ):
            found = (
                f"{pixels.dtype} {pixels.shape}"
                if isinstance(pixels, numpy.ndarray)
                else type(pixels).__name__
            )
            raise ValueError(f"{source}: 'data' should be bytes (N, {width}), but is {found}")
        if not isinstance(labels, list) or len(labels) != len(pixels):
            raise ValueError(f"{source}: {self.labels_key!r} should be {len(pixels)} numbers")
        for label in labels:
            if type(label) is not int or not 0 <= label < len(self.classes):
                raise ValueError(
                    f"{source}: label {label!r} is none of {len(self.classes)} classes"
                )
        return pixels.reshape(-1, CHANNELS, SIDE, SIDE), labels

    def download(self) -> None:
        """Fetches the archive, checks it, and unpacks the files that are known."""
        archive = self.root / self.filename
        download_file(self.urls, archive, self.tgz_md5)
        names = (*self.train_files, *self.test_files, self.meta_file)
        found = read_archive(archive, {f"{self.base_folder}/{name}": name for name in names})
        folder = self.root / self.base_folder
        folder.mkdir(exist_ok=True)
        for name, content in found.items():
            replace_file(folder / name, content)

    def _pixels(self) -> Tensor:
        # On the memory of `data`, also where somebody has put another array there.
        return from_numpy(numpy.asarray(self.data).transpose(0, 3, 1, 2))

    def _labels(self) -> Tensor:
        return tensor(numpy.asarray(self.targets, numpy.int64))


class CIFAR100(CIFAR10):
    """Small photographs of 100 classes: 50,000 images of 32 × 32 in colour for training, 10,000 for
    the test. As CIFAR10, with ``cifar-100-python`` as folder and ``cifar-100-python.tar.gz`` as
    archive. The labels are the fine ones."""

    base_folder = "cifar-100-python"
    filename = "cifar-100-python.tar.gz"
    urls = (
        "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        "https://cave.cs.toronto.edu/kriz/cifar-100-python.tar.gz",
    )
    tgz_md5 = "eb9058c3a382ffc7106e4002c42a8d85"
    train_files = ("train",)
    test_files = ("test",)
    meta_file = "meta"
    labels_key, classes_key = "fine_labels", "fine_label_names"


def _unpickled(source: str, content: bytes) -> dict[str, Any]:
    try:
        return unpickle.load(content)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{source}: {error}") from error


def _classes(source: str, content: bytes, key: str) -> list[str]:
    names = _unpickled(source, content).get(key)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{source}: {key!r} should be the names of the classes")
    return names


def _read_file(path: Path) -> bytes:
    with open(path, "rb") as file:
        content = file.read(MAXIMUM_FILE_BYTES + 1)
    if len(content) > MAXIMUM_FILE_BYTES:
        raise ValueError(f"{path}: more than {MAXIMUM_FILE_BYTES} bytes")
    return content


class _Limited:
    """A file that refuses to give more than a number of bytes."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile, limit: int) -> None:
        self._file = file
        self._left = limit

    def read(self, size: int) -> bytes:
        content = self._file.read(min(size, self._left + 1))
        self._left -= len(content)
        if self._left < 0:
            raise ValueError(f"it unpacks to more than {MAXIMUM_ARCHIVE_BYTES} bytes")
        return content


def read_archive(path: Path, wanted: dict[str, str]) -> dict[str, bytes]:
    """The contents of some members of a tar archive, plain or compressed (.gz), under new names.

    Nothing is written to disk, so no name in the archive can lead anywhere. Links and other special
    members are not followed. ValueError where the archive is damaged or unpacks to more than these
    archives do.
    """
    found: dict[str, bytes] = {}
    try:
        with open(path, "rb") as probe:
            compressed = probe.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if compressed else open(path, "rb") as file:
            stream: Any = _Limited(file, MAXIMUM_ARCHIVE_BYTES)
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                for name, content in _members(archive, wanted):
                    found[name] = content
                    if len(found) == len(wanted):
                        break
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise ValueError(f"{path}: the archive is cut or damaged ({error})") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return found


def _members(archive: tarfile.TarFile, wanted: dict[str, str]) -> Iterable[tuple[str, bytes]]:
    for member in archive:
        name = wanted.get(member.name.removeprefix("./"))
        if name is None or member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            continue
        if member.size > MAXIMUM_FILE_BYTES:
            raise ValueError(f"{member.name} has {member.size} bytes: too many")
        file = archive.extractfile(member)
        if file is not None:
            yield name, file.read()
