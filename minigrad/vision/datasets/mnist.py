"""MNIST and FashionMNIST: IDX files, http://yann.lecun.com/exdb/mnist/"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy

from ...ops.creation import from_numpy
from ...tensor import Tensor
from .download import download as download_file
from .vision import ArrayDataset

# The third byte of the magic number: the type of the values, stored with the highest byte first.
_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
MAXIMUM_IDX_BYTES = 1 << 30  # what the header promises is not believed beyond this


def read_idx(path: str | os.PathLike[str]) -> numpy.ndarray:
    """The array in an IDX file, plain or compressed (.gz).

    ValueError, with the file and what is wrong, where it is no IDX file or is damaged: a wrong
    magic number, too few or too many bytes, a cut or broken compression.
    """
    path = Path(path)
    try:
        with open(path, "rb") as probe:
            compressed = probe.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if compressed else open(path, "rb") as file:
            return _read_idx(file)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: the compressed file is cut or damaged ({error})") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _read_idx(file: IO[bytes] | gzip.GzipFile) -> numpy.ndarray:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES:
        raise ValueError(f"not an IDX file: it starts with {magic!r}")
    dtype, dimensions = numpy.dtype(_TYPES[magic[2]]), magic[3]
    sizes = file.read(4 * dimensions)
    if len(sizes) < 4 * dimensions or dimensions == 0:
        raise ValueError(f"the IDX header of {dimensions} dimensions is incomplete")
    shape = tuple(int(size) for size in numpy.frombuffer(sizes, ">u4"))
    expected = math.prod(shape) * dtype.itemsize
    if expected > MAXIMUM_IDX_BYTES:
        raise ValueError(f"the header promises shape {shape}, which is {expected} bytes: too many")
    # One byte more than needed is asked for: whatever follows is not read, nor unpacked.
    content = bytearray()
    while len(content) <= expected:
        chunk = file.read(min(1 << 20, expected + 1 - len(content)))
        if not chunk:
            break
        content += chunk
    if len(content) != expected:
        found = f"only {len(content)}" if len(content) < expected else "more"
        raise ValueError(f"shape {shape} needs {expected} bytes of data, but there are {found}")
    values = numpy.frombuffer(content, dtype).reshape(shape)
    return values.astype(dtype.newbyteorder("="), copy=False)


class MNIST(ArrayDataset):
    """Handwritten digits: 60,000 images of 28 × 28 for training, 10,000 for the test.

    Y. LeCun, C. Cortes, C. Burges, http://yann.lecun.com/exdb/mnist/.

    `root` is a folder with the four IDX files, compressed or not: in the folder itself, in
    ``<root>/MNIST`` or, where torchvision and `download` put them, in ``<root>/MNIST/raw``.

    ``data`` is uint8 (N, 28, 28), ``targets`` int64 (N), as in torchvision. RuntimeError where the
    files are not found, ValueError where they are damaged.
    """

    mirrors = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    )
    resources: tuple[tuple[str, str], ...] = (
        ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    )
    classes = (
        "0 - zero",
        "1 - one",
        "2 - two",
        "3 - three",
        "4 - four",
        "5 - five",
        "6 - six",
        "7 - seven",
        "8 - eight",
        "9 - nine",
    )
    system_folders: tuple[str, ...] = ()  # where a package of the system puts the files

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
        if download and self._find() is None:
            self.download()
        found = self._find()
        if found is None:
            places = ", ".join(map(str, self._folders()))
            raise RuntimeError(
                "Dataset not found. You can use download=True to download it: "
                f"{type(self).__name__} needs the files {', '.join(self._files())}, with or "
                f"without .gz, in one of: {places}"
            )
        self.data, self.targets = _load(*found, len(self.classes))

    @property
    def raw_folder(self) -> Path:
        """Where `download` puts the files."""
        return self.root / type(self).__name__ / "raw"

    def _folders(self) -> list[Path]:
        own = [self.raw_folder, self.raw_folder.parent, self.root]
        return own + [Path(each) for each in self.system_folders]

    def _files(self) -> tuple[str, str]:
        part = "train" if self.train else "t10k"
        return f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"

    def _find(self) -> tuple[Path, Path] | None:
        """The images' file and the labels' file, out of the first folder that has both."""
        for folder in self._folders():
            found = [
                path
                for name in self._files()
                for path in (folder / name, folder / f"{name}.gz")
                if path.is_file()
            ]
            # Plain goes before compressed, where there are both.
            chosen = {path.name.removesuffix(".gz"): path for path in reversed(found)}
            if len(chosen) == 2:
                images, labels = (chosen[name] for name in self._files())
                return images, labels
        return None

    def download(self) -> None:
        """Fetches the files that are not there yet into ``raw_folder``."""
        for name, md5 in self.resources:
            urls = [mirror + name for mirror in self.mirrors]
            download_file(urls, self.raw_folder / name, md5)

    def _pixels(self) -> Tensor:
        return self.data.unsqueeze(1)

    def _labels(self) -> Tensor:
        return self.targets


def _load(images_path: Path, labels_path: Path, classes: int) -> tuple[Tensor, Tensor]:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.dtype != numpy.uint8 or images.ndim != 3 or images.shape[1:] != (28, 28):
        raise ValueError(
            f"{images_path}: expected bytes of shape (N, 28, 28), but the file holds "
            f"{images.dtype} {images.shape}"
        )
    if labels.dtype != numpy.uint8 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{labels_path}: expected bytes of shape ({len(images)},), a label for each image, but "
            f"the file holds {labels.dtype} {labels.shape}"
        )
    if labels.size and labels.max() >= classes:
        raise ValueError(f"{labels_path}: label {labels.max()}, but there are {classes} classes")
    return from_numpy(images), from_numpy(labels.astype(numpy.int64))


class FashionMNIST(MNIST):
    """Photographs of clothes: 60,000 images of 28 × 28 for training, 10,000 for the test.

    H. Xiao, K. Rasul, R. Vollgraf (2017), Fashion-MNIST, arXiv:1708.07747 (MIT licence).

    As MNIST, with ``FashionMNIST`` in place of ``MNIST`` in the folders. Where `root` has no files,
    those of Debian's package ``dataset-fashion-mnist`` are taken, if it is installed.
    """

    mirrors = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)  # type: ignore[assignment]
    resources = (
        ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    )
    classes = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
    system_folders = ("/usr/share/datasets/fashion-mnist",)
