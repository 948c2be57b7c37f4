"""Small data sets in the formats of the large ones."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np

# ---- IDX ----


def idx_bytes(values: np.ndarray, code: int = 8) -> bytes:
    head = bytes([0, 0, code, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return head + values.tobytes()


def mnist_arrays(count: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    return images, (np.arange(count) % 10).astype(np.uint8)


def write_mnist(folder: Path, compressed: bool = True, count: int = 6) -> None:
    """The four files; the test part has half as many images."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, size, seed in (("train", count, 0), ("t10k", count // 2, 1)):
        images, labels = mnist_arrays(size, seed)
        for name, values in (("images-idx3", images), ("labels-idx1", labels)):
            content = idx_bytes(values)
            path = folder / f"{part}-{name}-ubyte"
            if compressed:
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(content, mtime=0))
            else:
                path.write_bytes(content)


# ---- CIFAR ----


def python2_pickle(entries: dict[str, object]) -> bytes:
    """As Python 2 and its NumPy wrote the official files (protocol 2, byte strings)."""

    def text(value: str) -> bytes:
        content = value.encode("latin1")
        if len(content) < 256:
            return b"U" + bytes([len(content)]) + content
        return b"T" + struct.pack("<i", len(content)) + content

    def item(value: object) -> bytes:
        if isinstance(value, str):
            return text(value)
        if isinstance(value, int):
            return b"K" + bytes([value]) if 0 <= value < 256 else b"J" + struct.pack("<i", value)
        if isinstance(value, list):
            return b"](" + b"".join(item(each) for each in value) + b"e"
        assert isinstance(value, np.ndarray) and value.dtype == np.uint8
        reconstruct = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        dtype += b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        shape = b"".join(b"J" + struct.pack("<i", size) for size in value.shape) + b"\x86"
        return reconstruct + b"(K\x01" + shape + dtype + b"\x89" + text(
            value.tobytes().decode("latin1")
        ) + b"tb"  # fmt: skip

    body = b"".join(text(key) + item(value) for key, value in entries.items())
    return b"\x80\x02}(" + body + b"u."


def cifar_batch(labels: list[int], seed: int, key: str = "labels") -> dict[str, object]:
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 3072), dtype=np.uint8)
    names = [f"image {number}.png" for number in range(len(labels))]
    return {"batch_label": "a batch", key: labels, "data": pixels, "filenames": names}


CIFAR10_CLASSES = ["airplane", "automobile", "bird", "cat", "deer",
                   "dog", "frog", "horse", "ship", "truck"]  # fmt: skip


def cifar10_files(dump=python2_pickle) -> dict[str, bytes]:
    files = {
        f"data_batch_{number}": dump(cifar_batch([number, 9 - number], number))
        for number in range(1, 6)
    }
    files["test_batch"] = dump(cifar_batch([0, 3, 9], 6))
    files["batches.meta"] = dump({"num_cases_per_batch": 2, "label_names": CIFAR10_CLASSES,
                                  "num_vis": 3072})  # fmt: skip
    return files


def cifar100_files(dump=python2_pickle) -> dict[str, bytes]:
    names = [f"class {number}" for number in range(100)]
    return {
        "train": dump(cifar_batch([99, 0, 50], 1, "fine_labels") | {"coarse_labels": [1, 2, 3]}),
        "test": dump(cifar_batch([7], 2, "fine_labels") | {"coarse_labels": [1]}),
        "meta": dump({"fine_label_names": names, "coarse_label_names": names[:20]}),
    }


def python3_pickle(protocol: int):
    return lambda entries: pickle.dumps(entries, protocol=protocol)


def tar_bytes(files: dict[str, bytes], folder: str, compressed: bool = True) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz" if compressed else "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
