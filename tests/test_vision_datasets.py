"""minigrad.vision.datasets, on small archives in each format and, where it is installed, on the
whole of FashionMNIST."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import io
import os
import sys
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
from image_files import (
    CIFAR10_CLASSES,
    cifar10_files,
    cifar100_files,
    cifar_batch,
    idx_bytes,
    mnist_arrays,
    python2_pickle,
    tar_bytes,
    write_files,
    write_mnist,
)

import minigrad as mg
from minigrad.utils.data import DataLoader, Subset, TensorDataset
from minigrad.vision import transforms
from minigrad.vision.datasets import (
    CIFAR10,
    CIFAR100,
    MNIST,
    DatasetFolder,
    Digits,
    FashionMNIST,
    ImageFolder,
    cifar,
    download,
    mnist,
)

DEBIAN = FashionMNIST.system_folders[0]


@pytest.fixture
def alone(monkeypatch):
    """As on a system without Debian's package."""
    monkeypatch.setattr(FashionMNIST, "system_folders", ())


# ---- MNIST ----


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("place", ["", "FashionMNIST", "FashionMNIST/raw"])
def test_idx_files_in_a_folder(tmp_path, alone, place, compressed):
    write_mnist(tmp_path / place, compressed)
    train, test = FashionMNIST(tmp_path), FashionMNIST(str(tmp_path), train=False)
    images, labels = mnist_arrays(6, 0)
    assert len(train) == 6 and len(test) == 3
    np.testing.assert_array_equal(train.data.numpy(), images)
    assert train.data.dtype is mg.uint8 and train.targets.tolist() == labels.tolist()
    assert train.targets.dtype is mg.int64 and train.class_to_idx["Sandal"] == 5
    assert repr(train) == (
        f"Dataset FashionMNIST\n    Number of datapoints: 6\n    Root location: {tmp_path}\n"
        "    Split: Train"
    )


def test_mnist_is_another_data_set(tmp_path):
    write_mnist(tmp_path / "MNIST" / "raw")
    assert MNIST(tmp_path).classes[3] == "3 - three" and len(MNIST(tmp_path)) == 6
    with pytest.raises(
        RuntimeError, match=r"Dataset not found\. You can use download=True .*MNIST"
    ):
        MNIST(tmp_path / "elsewhere")


def test_images_are_pil_images(tmp_path, alone):
    image_module = pytest.importorskip("PIL.Image")
    write_mnist(tmp_path)
    dataset = FashionMNIST(tmp_path, target_transform=lambda label: -label)
    image, label = dataset[2]
    assert isinstance(image, image_module.Image) and image.mode == "L" and label == -2
    np.testing.assert_array_equal(np.asarray(image), dataset.data[2].numpy())
    tensor, label = FashionMNIST(tmp_path, transform=transforms.PILToTensor())[2]
    assert tensor.tolist() == dataset.data[2].unsqueeze(0).tolist() and label == 2


CHAINS = {
    "ToTensor": transforms.ToTensor(),
    "Normalize": transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.3], [0.2])]),
    "Resize": transforms.Compose(
        [transforms.ToTensor(), transforms.Resize(16), transforms.CenterCrop(12),
         transforms.Pad(1), transforms.ConvertImageDtype(mg.float64)]
    ),
}  # fmt: skip


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("workers", [0, 1])
def test_batches_are_transformed_at_once(tmp_path, alone, chain, workers, monkeypatch):
    write_mnist(tmp_path, count=20)
    write_files(tmp_path / CIFAR10.base_folder, cifar10_files())
    if chain is not CHAINS["Normalize"]:  # of one channel
        made = [FashionMNIST(tmp_path, transform=chain), CIFAR10(tmp_path, transform=chain)]
    else:
        made = [FashionMNIST(tmp_path, transform=chain)]
    for dataset in made:
        for whole in (dataset, Subset(dataset, [5, 2, 4])):
            # A transform that is not known goes image by image, through Pillow.
            slow = type(dataset)(tmp_path, transform=lambda image: chain(image))
            slow = Subset(slow, [5, 2, 4]) if isinstance(whole, Subset) else slow
            pairs = zip(DataLoader(whole, 4, num_workers=workers), DataLoader(slow, 4), strict=True)
            for (images, labels), (other_images, other_labels) in pairs:
                assert images.dtype is other_images.dtype and labels.dtype is other_labels.dtype
                np.testing.assert_array_equal(images.numpy(), other_images.numpy())
                assert labels.tolist() == other_labels.tolist()
        image, label = dataset[3]
        other, other_label = type(dataset)(tmp_path, transform=lambda image: chain(image))[3]
        np.testing.assert_array_equal(image.numpy(), other.numpy())
        assert label == other_label and type(label) is int


def test_without_pillow(tmp_path, alone, monkeypatch):
    write_mnist(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pip install 'minigrad\[vision\]'.*ToTensor"):
        FashionMNIST(tmp_path)[0]
    dataset = FashionMNIST(tmp_path, transform=transforms.ToTensor())
    assert (
        dataset[0][0].shape == (1, 28, 28) and next(iter(DataLoader(dataset, 4)))[0].shape[0] == 4
    )
    with pytest.raises(ImportError, match="minigrad"):
        ImageFolder(make_image_folder(tmp_path / "images"))[0]


def test_which_transforms_take_a_batch(tmp_path, alone):
    write_mnist(tmp_path)
    to_tensor, flip = transforms.ToTensor(), transforms.RandomHorizontalFlip
    for transform, at_once in (
        (None, False),
        (to_tensor, True),
        (transforms.Compose([to_tensor, flip(per_sample=True)]), True),
        (transforms.Compose([to_tensor, flip()]), False),  # one draw for the whole batch
        (transforms.Compose([flip(), to_tensor]), False),
        (transforms.Compose([]), False),
        (lambda image: to_tensor(image), False),
    ):
        found = FashionMNIST(tmp_path, transform=transform).whole_batches()
        assert (found is not None) is at_once, transform
    dataset = FashionMNIST(tmp_path, transform=to_tensor, target_transform=float)
    assert dataset.whole_batches() is None and dataset[1][1] == 1.0


def test_tensors(tmp_path, alone):
    write_mnist(tmp_path)
    write_files(tmp_path / CIFAR10.base_folder, cifar10_files())
    for dataset in (FashionMNIST(tmp_path), CIFAR10(tmp_path), Digits()):
        images, labels = dataset.tensors()
        assert images.dtype is mg.float32 and labels.dtype is mg.int64 and images.ndim == 4
        assert len(TensorDataset(images, labels)) == len(dataset)
    images, labels = CIFAR10(tmp_path).tensors()
    pixels = CIFAR10(tmp_path).data
    np.testing.assert_array_equal(images.numpy(), (pixels.transpose(0, 3, 1, 2) / np.float32(255)))


def test_fewer_samples_by_assignment(tmp_path, alone):
    write_mnist(tmp_path)
    write_files(tmp_path / CIFAR10.base_folder, cifar10_files())
    for kind in (FashionMNIST, CIFAR10):
        dataset = kind(tmp_path, transform=transforms.ToTensor())
        expected = dataset[4]
        dataset.data, dataset.targets = dataset.data[4:], dataset.targets[4:]
        images, labels = next(iter(DataLoader(dataset, 1)))
        np.testing.assert_array_equal(images[0].numpy(), expected[0].numpy())
        assert labels.tolist() == [expected[1]] and len(dataset) < 10


def idx(values, code=8):
    return idx_bytes(np.asarray(values, np.uint8), code)


GOOD_IMAGES = idx(np.zeros((2, 28, 28)))
DAMAGED = [
    (b"", None, "not an IDX file: it starts with b''"),
    (b"\x89PNG\r\n", None, "not an IDX file"),
    (GOOD_IMAGES[:10], None, "header of 3 dimensions is incomplete"),
    (b"\0\0\x08\0", None, "header of 0 dimensions"),
    (b"\0\0\x07\x01" + bytes(8), None, "not an IDX file"),
    (GOOD_IMAGES[:-1], None, r"\(2, 28, 28\) needs 1568 bytes of data, but there are only 1567"),
    (GOOD_IMAGES + b"x", None, "needs 1568 bytes of data, but there are more"),
    (b"\0\0\x08\x03" + b"\xff" * 12, None, "promises shape .* too many"),
    (gzip.compress(GOOD_IMAGES)[:-12], None, "the compressed file is cut or damaged"),
    (gzip.compress(GOOD_IMAGES)[:-6] + b"\0\0" + gzip.compress(GOOD_IMAGES)[-4:], None, "damaged"),
    (gzip.compress(GOOD_IMAGES)[:10] + b"\xff" * 20, None, "cut or damaged"),
    (gzip.compress(GOOD_IMAGES + bytes(1 << 26)), None, "there are more"),
    (idx(np.zeros((2, 14, 28))), None, r"expected bytes of shape \(N, 28, 28\).*\(2, 14, 28\)"),
    (idx(np.zeros((2, 28))), None, r"expected bytes of shape \(N, 28, 28\)"),
    (GOOD_IMAGES, idx([1, 2, 3]), r"expected bytes of shape \(2,\), a label for each image"),
    (GOOD_IMAGES, idx([1, 10]), "label 10, but there are 10 classes"),
    (GOOD_IMAGES, GOOD_IMAGES, "a label for each image"),
]  # fmt: skip


@pytest.mark.parametrize(("images", "labels", "message"), DAMAGED, ids=range(len(DAMAGED)))
def test_damaged_idx_files(tmp_path, alone, images, labels, message):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(images)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx([0, 1]) if labels is None else labels)
    with pytest.raises(ValueError, match=message) as caught:
        FashionMNIST(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_idx_types(tmp_path):
    path = tmp_path / "values"
    for code, kind in mnist._TYPES.items():
        values = np.arange(6).reshape(2, 3).astype(kind)
        path.write_bytes(idx_bytes(values, code))
        found = mnist.read_idx(path)
        np.testing.assert_array_equal(found, values)
        assert found.dtype == np.dtype(kind).newbyteorder("=")


# ---- CIFAR ----


@pytest.mark.parametrize("kind", [CIFAR10, CIFAR100])
@pytest.mark.parametrize("form", ["folder", "the folder itself", "archive", "plain archive"])
def test_cifar(tmp_path, kind, form):
    files = cifar10_files() if kind is CIFAR10 else cifar100_files()
    root = tmp_path
    if form == "folder":
        write_files(tmp_path / kind.base_folder, files)
    elif form == "the folder itself":
        root = tmp_path / kind.base_folder
        write_files(root, files)
    else:
        content = tar_bytes(files, kind.base_folder, compressed=form == "archive")
        (tmp_path / kind.filename).write_bytes(content)
    before = sorted(os.listdir(root))
    train, test = kind(root), kind(root, train=False)
    assert sorted(os.listdir(root)) == before  # nothing is unpacked
    assert train.data.shape == (len(train), 32, 32, 3) and train.data.dtype == np.uint8
    if kind is CIFAR10:
        assert train.targets == [1, 8, 2, 7, 3, 6, 4, 5, 5, 4] and test.targets == [0, 3, 9]
        assert train.classes == CIFAR10_CLASSES and train.class_to_idx["bird"] == 2
        expected = cifar_batch([2, 7], 2)["data"][1]
        image = train.data[3]
    else:
        assert train.targets == [99, 0, 50] and test.targets == [7] and len(train.classes) == 100
        expected, image = cifar_batch([7], 2)["data"][0], test.data[0]
    np.testing.assert_array_equal(image.transpose(2, 0, 1).ravel(), expected)
    pytest.importorskip("PIL")
    picture, _ = train[0]
    assert picture.mode == "RGB" and picture.size == (32, 32)
    np.testing.assert_array_equal(np.asarray(picture), train.data[0])
    assert repr(train).startswith(
        f"Dataset {kind.__name__}\n    Number of datapoints: {len(train)}"
    )


def broken(name, content):
    return cifar10_files() | {name: content}


def batch(**entries):
    return python2_pickle(cifar_batch([1, 2], 0) | entries)


CIFAR_DAMAGE = [
    (broken("data_batch_2", b"junk"), "data_batch_2: the pickle is damaged"),
    (broken("data_batch_2", batch(labels=[1])), "'labels' should be 2 numbers"),
    (broken("data_batch_2", batch(labels=[1, 10])), "label 10 is none of 10 classes"),
    (broken("data_batch_2", batch(labels=["a", "b"])), "label 'a' is none"),
    (broken("data_batch_2", batch(data="pixels")), r"'data' should be bytes \(N, 3072\).*is str"),
    (broken("data_batch_2", batch(data=np.zeros((2, 5), np.uint8))), r"is uint8 \(2, 5\)"),
    (broken("batches.meta", python2_pickle({"label_names": [1]})), "should be the names"),
    (broken("batches.meta", python2_pickle({})), "should be the names of the classes"),
]


@pytest.mark.parametrize(("files", "message"), CIFAR_DAMAGE, ids=range(len(CIFAR_DAMAGE)))
@pytest.mark.parametrize("archived", [True, False])
def test_damaged_cifar_files(tmp_path, files, message, archived):
    if archived:
        (tmp_path / CIFAR10.filename).write_bytes(tar_bytes(files, CIFAR10.base_folder))
    else:
        write_files(tmp_path / CIFAR10.base_folder, files)
    with pytest.raises(ValueError, match=message) as caught:
        CIFAR10(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_cifar_not_found_or_incomplete(tmp_path):
    with pytest.raises(RuntimeError, match="Dataset not found or corrupted"):
        CIFAR10(tmp_path)
    files = cifar10_files()
    del files["data_batch_5"]
    write_files(tmp_path / CIFAR10.base_folder, files)
    with pytest.raises(RuntimeError, match="with all its files"):
        CIFAR10(tmp_path)
    (tmp_path / CIFAR10.filename).write_bytes(tar_bytes(files, CIFAR10.base_folder))
    with pytest.raises(ValueError, match="the archive has no cifar-10-batches-py/data_batch_5"):
        CIFAR10(tmp_path)


def test_cut_and_hostile_archives(tmp_path, monkeypatch):
    path = tmp_path / CIFAR10.filename
    whole = tar_bytes(cifar10_files(), CIFAR10.base_folder)
    for content in (whole[: len(whole) // 2], whole[:30], b"", b"junk" * 1000, gzip.compress(b"x")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="archive") as caught:
            CIFAR10(tmp_path)
        assert str(path) in str(caught.value)

    def archive_of(*members):
        target = io.BytesIO()
        with tarfile.open(fileobj=target, mode="w:gz") as archive:
            for member, content in members:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        path.write_bytes(target.getvalue())

    link = tarfile.TarInfo(f"{CIFAR10.base_folder}/data_batch_1")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    outside = tarfile.TarInfo("../../outside")
    absolute = tarfile.TarInfo(str(tmp_path / "absolute"))
    archive_of((link, b""), (outside, b"x"), (absolute, b"x"))
    with pytest.raises(ValueError, match="the archive has no"):
        CIFAR10(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [path.name]

    large = tarfile.TarInfo(f"{CIFAR10.base_folder}/data_batch_1")
    monkeypatch.setattr(cifar, "MAXIMUM_FILE_BYTES", 1000)
    archive_of((large, bytes(1001)))
    with pytest.raises(ValueError, match="has 1001 bytes: too many"):
        CIFAR10(tmp_path)
    monkeypatch.setattr(cifar, "MAXIMUM_ARCHIVE_BYTES", 100_000)
    archive_of((tarfile.TarInfo("bomb"), bytes(10_000_000)))
    with pytest.raises(ValueError, match="unpacks to more than 100000 bytes"):
        CIFAR10(tmp_path)


# ---- downloads ----


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the files of a dictionary; faults by the folder that is asked for."""

    def do_GET(self):
        _, fault, name = self.path.rsplit("/", 2)
        self.server.asked.append(self.path)
        content = self.server.files.get(name)
        if content is None or fault == "missing":
            self.send_error(404)
            return
        if fault == "wrong":
            content = content[:-1] + b"?"
        self.send_response(200)
        if fault != "unknown-length":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if fault == "cut" else content)

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def serving(files):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.asked = files, []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def md5(content):
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def mnist_server(tmp_path, alone, monkeypatch):
    source = tmp_path / "source"
    write_mnist(source)
    files = {path.name: path.read_bytes() for path in source.iterdir()}
    resources = tuple((name, md5(content)) for name, content in files.items())
    monkeypatch.setattr(FashionMNIST, "resources", resources)
    with serving(files) as (server, url):
        monkeypatch.setattr(FashionMNIST, "mirrors", (url + "ok/",))
        yield server, url


def test_download_of_mnist(tmp_path, mnist_server, monkeypatch):
    server, url = mnist_server
    root = tmp_path / "root"
    assert len(FashionMNIST(root, download=True)) == 6
    raw = root / "FashionMNIST" / "raw"
    assert sorted(os.listdir(raw)) == sorted(server.files) and len(server.asked) == 4
    assert len(FashionMNIST(root, train=False, download=True)) == 3 and len(server.asked) == 4
    # What is there and right stays; what is missing or wrong is fetched, from the first mirror
    # that gives it.
    names = sorted(server.files)
    (raw / names[0]).unlink()
    (raw / names[1]).write_bytes(b"damaged")
    faults = ("missing", "wrong", "cut", "unknown-length")
    monkeypatch.setattr(FashionMNIST, "mirrors", tuple(f"{url}{fault}/" for fault in faults))
    server.asked.clear()
    FashionMNIST(root).download()
    assert len(server.asked) == 8 and {path.split("/")[2] for path in server.asked} == set(
        names[:2]
    )
    assert sorted(os.listdir(raw)) == names and len(FashionMNIST(root)) == 6


@pytest.mark.parametrize(
    ("mirror", "message"),
    [
        ("missing/", "HTTP Error 404"),
        ("wrong/", "the MD5 is .* instead of"),
        ("cut/", "the connection ended after|IncompleteRead"),
        ("closed", "refused"),
        ("file", "only http and https"),
    ],
)
def test_failed_downloads_leave_nothing(tmp_path, mnist_server, monkeypatch, mirror, message):
    _, url = mnist_server
    where = {"closed": "http://127.0.0.1:9/", "file": f"file://{tmp_path}/source/"}
    monkeypatch.setattr(FashionMNIST, "mirrors", (where.get(mirror, url + mirror),))
    root = tmp_path / "root"
    with pytest.raises(RuntimeError, match="(?s)could not download .*" + message):
        FashionMNIST(root, download=True)
    assert os.listdir(root / "FashionMNIST" / "raw") == []
    monkeypatch.setattr(FashionMNIST, "mirrors", (url + "ok/",))
    assert len(FashionMNIST(root, download=True)) == 6


def test_a_download_without_end(tmp_path, mnist_server, monkeypatch):
    monkeypatch.setattr(download, "MAXIMUM_BYTES", 100)
    with pytest.raises(RuntimeError, match="more than 100 bytes"):
        FashionMNIST(tmp_path / "root", download=True)


@pytest.mark.parametrize("progress", [True, False])
def test_download_of_cifar(tmp_path, monkeypatch, progress):
    if not progress:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    content = tar_bytes(cifar10_files(), CIFAR10.base_folder)
    with serving({CIFAR10.filename: content}) as (server, url):
        monkeypatch.setattr(CIFAR10, "urls", tuple(f"{url}{each}/{CIFAR10.filename}"
                                                   for each in ("missing", "ok")))  # fmt: skip
        monkeypatch.setattr(CIFAR10, "tgz_md5", md5(content))
        dataset = CIFAR10(tmp_path / "root", download=True)
        assert len(dataset) == 10 and len(server.asked) == 2
        assert len(CIFAR10(tmp_path / "root", train=False, download=True)) == 3
        assert len(server.asked) == 2
    folder = tmp_path / "root" / CIFAR10.base_folder
    assert sorted(os.listdir(folder)) == sorted(cifar10_files())


# ---- folders of images ----


def make_image_folder(root):
    """Three images of two classes, and files that are none. Needs no Pillow: PGM is plain."""
    for name, gray in (("b/1.pgm", 10), ("b/deep/2.PGM", 20), ("a/3.pgm", 30)):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"P5 4 2 255\n" + bytes([gray]) * 8)
    (root / "a" / "notes.txt").write_text("no image")
    (root / "file.pgm").write_text("in no class")
    return root


def test_image_folder(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    dataset = ImageFolder(str(make_image_folder(tmp_path)))
    assert dataset.classes == ["a", "b"] and dataset.class_to_idx == {"a": 0, "b": 1}
    assert dataset.targets == [0, 1, 1] and dataset.imgs is dataset.samples and len(dataset) == 3
    image, label = dataset[1]
    assert isinstance(image, image_module.Image) and image.mode == "RGB" and label == 1
    assert image.size == (4, 2) and image.getpixel((0, 0)) == (10, 10, 10)
    assert repr(dataset) == (
        f"Dataset ImageFolder\n    Number of datapoints: 3\n    Root location: {tmp_path}"
    )
    dataset = ImageFolder(tmp_path, transforms.ToTensor(), target_transform=str)
    images, labels = next(iter(DataLoader(dataset, 3, num_workers=1)))
    assert images.shape == (3, 3, 2, 4) and labels == ("0", "1", "1")
    assert repr(dataset).endswith(
        "StandardTransform\nTransform: ToTensor()\nTarget transform: <class 'str'>"
    )
    texts = DatasetFolder(tmp_path / ".", lambda path: Path(path).read_text(), (".txt",),
                          allow_empty=True)  # fmt: skip
    assert [text for text, _ in texts] == ["no image"]
    chosen = ImageFolder(tmp_path, is_valid_file=lambda path: path.endswith("m"))
    assert len(chosen) == 2


def test_image_folder_errors(tmp_path):
    root = make_image_folder(tmp_path / "images")
    with pytest.raises(FileNotFoundError, match="Couldn't find any class folder"):
        ImageFolder(root / "a")
    (root / "empty").mkdir()
    with pytest.raises(
        FileNotFoundError, match=r"classes empty\. Supported extensions are: \.jpg,"
    ):
        ImageFolder(root)
    assert len(ImageFolder(root, allow_empty=True)) == 3
    with pytest.raises(ValueError, match="Both extensions and is_valid_file"):
        DatasetFolder(root, open)
    with pytest.raises(FileNotFoundError):
        ImageFolder(tmp_path / "nowhere")


# ---- the real FashionMNIST ----


@pytest.mark.skipif(not os.path.isdir(DEBIAN), reason="needs Debian's dataset-fashion-mnist")
def test_the_real_fashion_mnist(tmp_path):
    train = FashionMNIST(tmp_path, transform=transforms.ToTensor())
    test = FashionMNIST(DEBIAN, train=False)
    assert len(train) == 60_000 and len(test) == 10_000
    assert np.bincount(train.targets.numpy()).tolist() == [6_000] * 10
    assert np.bincount(test.targets.numpy()).tolist() == [1_000] * 10
    # The published files, whatever compressed them.
    digest = hashlib.sha256(train.data.numpy().tobytes() + test.data.numpy().tobytes()).hexdigest()
    assert digest == "0fbbfcb392782b3b702472ead3688778e1509e8cf40f5c24d9d3303618b193ab"
    assert train.classes[train.targets[0].item()] == "Ankle boot"
    seen = 0
    for images, labels in DataLoader(train, 1_000, shuffle=True):
        assert images.shape == (1_000, 1, 28, 28) and labels.shape == (1_000,)
        seen += images.double().sum().item()
    assert abs(seen / (60_000 * 784) - 0.2860) < 1e-4  # the mean that everybody normalizes with
