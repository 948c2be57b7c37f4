"""save and load: exact round trips, plain safetensors, damage, pickles, and kills at any moment."""

from __future__ import annotations

import io
import math
import os
import pickle
import signal
import stat
import subprocess
import sys
import time
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
import safetensors.numpy

import minigrad as mg
from minigrad import nn, optim

DTYPES = (mg.bool, mg.uint8, mg.int32, mg.int64, mg.float32, mg.float64)


def round_trip(value):
    file = io.BytesIO()
    mg.save(value, file)
    file.seek(0)
    return mg.load(file)


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, mg.Tensor):
        assert a.dtype is b.dtype and a.shape == b.shape and a.requires_grad == b.requires_grad
        assert a.detach().numpy().tobytes() == b.detach().numpy().tobytes()
    elif isinstance(a, np.ndarray | np.generic):
        assert a.dtype == b.dtype and np.array_equal(a, b)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for (key_a, item_a), (key_b, item_b) in zip(a.items(), b.items(), strict=True):
            assert type(key_a) is type(key_b)
            assert_same(item_a, item_b)
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for item_a, item_b in zip(a, b, strict=True):
            assert_same(item_a, item_b)
    elif isinstance(a, float) and math.isnan(a):
        assert math.isnan(b)
    else:
        assert a == b


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0, 2), (2, 3, 5)], ids=str)
def test_every_dtype_and_shape(dtype, shape):
    values = (np.random.standard_normal(shape) * 3).astype(dtype.numpy)
    assert_same(round_trip(mg.tensor(values)), mg.tensor(values))


def test_special_values_and_layouts():
    special = mg.tensor([math.nan, math.inf, -math.inf, -0.0, 5e-324], dtype=mg.float64)
    assert_same(round_trip(special), special)
    matrix = mg.arange(12).reshape(3, 4)
    for view in (matrix.t(), matrix[:, 1], matrix[::2], mg.ones(1).expand(4)):
        assert round_trip(view).tolist() == view.tolist()


CHECKPOINT_VALUES = [
    None,
    True,
    3,
    -(10**40),
    0.1,
    math.nan,
    -math.inf,
    1 + 2j,
    "text with é, \x00 and \ud800",
    b"\x00\xff",
    [],
    (),
    {},
    [1, (2, [3, (4,)])],
    {1: "int", "1": "str", True and 2.5: "float", None: 0, (1, "a"): 1},
    {1, 2, 3},
    frozenset([1]),
    OrderedDict(b=1, a=2),
    mg.float64,
    mg.Size([2, 3]),
    np.arange(3, dtype=np.int32),
    np.float64(0.1),
    np.bool_(True),
]


@pytest.mark.parametrize("value", CHECKPOINT_VALUES, ids=repr)
def test_every_kind_of_value(value):
    assert_same(round_trip(value), value)
    assert_same(round_trip({"nested": [value]}), {"nested": [value]})


def test_checkpoint(tmp_path):
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    optimizer = optim.Adam(net.parameters(), lr=0.01, amsgrad=True)
    for _ in range(3):
        optimizer.zero_grad()
        net(mg.randn(8, 3)).square().mean().backward()
        optimizer.step()
    checkpoint = {
        "model": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "history": [{"loss": 0.5}, {"loss": 0.25}],
    }
    path = tmp_path / "checkpoint.safetensors"
    mg.save(checkpoint, path)
    loaded = mg.load(path)
    assert_same(loaded, checkpoint)
    assert loaded["model"]._metadata == checkpoint["model"]._metadata

    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    other_optimizer = optim.Adam(other.parameters())
    other.load_state_dict(loaded["model"])
    other_optimizer.load_state_dict(loaded["optimizer"])
    batch = mg.randn(8, 3)
    for model, step in ((net, optimizer), (other, other_optimizer)):
        step.zero_grad()
        model(batch).square().mean().backward()
        step.step()
    assert_same(other.state_dict(), net.state_dict())
    assert_same(other_optimizer.state_dict(), optimizer.state_dict())


def test_what_is_shared_is_shared_again():
    tied = mg.randn(2, 2)
    loaded = round_trip({"a": {"x": tied}, "b": [tied, tied.detach(), tied.clone()]})
    first, second, third = loaded["b"]
    loaded["a"]["x"].fill_(7)
    assert first.tolist() == second.tolist() == [[7, 7], [7, 7]]
    assert third.tolist() == tied.tolist()


def test_shared_tensors_of_a_state_dict_have_both_names(tmp_path):
    weight = mg.randn(2, 2)
    path = tmp_path / "tied.safetensors"
    mg.save(OrderedDict(encoder=weight, decoder=weight.detach()), path)
    plain = safetensors.numpy.load_file(path)
    assert set(plain) == {"encoder", "decoder"}
    loaded = mg.load(path)
    loaded["encoder"].zero_()
    assert loaded["decoder"].tolist() == [[0, 0], [0, 0]]


def test_parameters_and_requires_grad():
    parameter = round_trip(nn.Parameter(mg.ones(2)))
    assert type(parameter) is nn.Parameter and parameter.requires_grad
    assert not round_trip(nn.Parameter(mg.ones(2), requires_grad=False)).requires_grad
    assert round_trip(mg.ones(2, requires_grad=True)).requires_grad


def test_plain_safetensors_both_ways(tmp_path):
    net = nn.Sequential(OrderedDict(first=nn.Linear(3, 2), norm=nn.BatchNorm1d(2)))
    path = tmp_path / "net.safetensors"
    mg.save(net.state_dict(), path)
    plain = safetensors.numpy.load_file(path)
    assert set(plain) == set(net.state_dict())
    for name, value in net.state_dict().items():
        assert np.array_equal(plain[name], value.numpy())

    theirs = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "half": np.ones(2, np.float16)}
    theirs["small"] = np.array([-1, 2], np.int16)
    safetensors.numpy.save_file(theirs, path, metadata={"format": "np"})
    loaded = mg.load(path)
    assert type(loaded) is dict and set(loaded) == set(theirs)
    assert loaded["w"].tolist() == theirs["w"].tolist()
    assert loaded["half"].dtype is mg.float32 and loaded["half"].tolist() == [1, 1]
    assert loaded["small"].dtype is mg.int32 and loaded["small"].tolist() == [-1, 2]


def test_bfloat16_widens():
    values = np.array([1.5, -2, math.inf, 0], np.float32)
    halves = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    header = b'{"b":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]}}'
    loaded = mg.load(io.BytesIO(len(header).to_bytes(8, "little") + header + halves))
    assert loaded["b"].dtype is mg.float32
    assert loaded["b"].tolist() == values.reshape(2, 2).tolist()


def test_one_object_one_file():
    first, second = io.BytesIO(), io.BytesIO()
    for file in (first, second):
        mg.save({"model": {"w": mg.ones(2), "b": mg.zeros(1)}, "epoch": 3}, file)
    assert first.getvalue() == second.getvalue()


def test_data_is_aligned_and_header_padded(tmp_path):
    path = tmp_path / "mixed.safetensors"
    mg.save({"a": mg.ones(3, dtype=mg.bool), "b": mg.ones(3), "c": mg.ones(1).double()}, path)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    assert length % 8 == 0
    with safetensors.safe_open(path, "numpy") as file:
        assert set(file.keys()) == {"a", "b", "c"}


class Custom:
    pass


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (Custom(), "the object is"),
        ({"a": [Custom()]}, r"the object\['a'\]\[0\]"),
        ({"a": defaultdict(int)}, r"the object\['a'\]"),
        (nn.Linear(1, 1), "state_dict"),
        (np.array(["text"]), "NumPy"),
        (lambda: 0, "cannot be saved"),
    ],
)
def test_what_cannot_be_saved(value, where, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(TypeError, match=where):
        mg.save(value, path)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_cycles_raise():
    cycle: list = []
    cycle.append({"again": cycle})
    with pytest.raises(ValueError, match="contains itself"):
        mg.save(cycle, io.BytesIO())


# ---- damage ----


def small_file() -> bytes:
    file = io.BytesIO()
    state = OrderedDict(weight=mg.arange(4).float(), flag=mg.tensor([True, False]))
    mg.save({"model": state, "epoch": 3}, file)
    return file.getvalue()


def test_every_flipped_byte_raises():
    content = small_file()
    for position in range(len(content)):
        for flip in (0x01, 0x20, 0x80):
            damaged = bytearray(content)
            damaged[position] ^= flip
            try:
                loaded = mg.load(io.BytesIO(bytes(damaged)))
            except RuntimeError:
                continue
            # The padding of the header says nothing: whatever else it holds is read all the same.
            assert content[position : position + 1] == b" "
            assert loaded["model"]["weight"].tolist() == [0, 1, 2, 3]


def test_every_truncation_raises(tmp_path):
    content = small_file()
    for length in range(len(content)):
        with pytest.raises(RuntimeError, match="load: "):
            mg.load(io.BytesIO(content[:length]))
    path = tmp_path / "long"
    path.write_bytes(content + b"more")
    with pytest.raises(RuntimeError, match="should have"):
        mg.load(path)


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"{",
        b'{"a":1}',
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}',
        b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
        b'{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"U64","shape":[0],"data_offsets":[0,0]}}',
        b'{"a":{"dtype":"BOOL","shape":[4],"data_offsets":[0,4]}}',
        b'{"__metadata__":{"minigrad":"[]"}}',
        b'{"__metadata__":{"a":1}}',
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
        b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        b'{"a":' * 5000,
    ],
)
def test_malformed_headers_raise(header):
    with pytest.raises(RuntimeError):
        mg.load(io.BytesIO(len(header).to_bytes(8, "little") + header + b"abcd"))


def test_pickles_are_never_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        path = tmp_path / "bomb.pt"
        path.write_bytes(pickle.dumps(Bomb(), protocol))
        with pytest.raises(RuntimeError, match=r"is a pickle.*save_file"):
            mg.load(path)
    assert not (tmp_path / "exploded").exists()


def test_other_files_are_named(tmp_path):
    for content, text in ((b"", "0 bytes"), (b"hello, world", "no safetensors file")):
        with pytest.raises(RuntimeError, match=text):
            mg.load(io.BytesIO(content))
    np.save(tmp_path / "a.npy", np.ones(2))
    with pytest.raises(RuntimeError, match=r"numpy\.load"):
        mg.load(tmp_path / "a.npy")
    np.savez(tmp_path / "a.npz", np.ones(2))
    with pytest.raises(RuntimeError, match="zip archive"):
        mg.load(tmp_path / "a.npz")
    with pytest.raises(FileNotFoundError):
        mg.load(tmp_path / "missing")
    with pytest.raises(ValueError, match="map_location"):
        mg.load(tmp_path / "a.npy", map_location="cuda")


# ---- files ----


def test_file_mode_follows_umask_and_the_replaced_file(tmp_path):
    previous = os.umask(0o027)
    try:
        path = tmp_path / "new"
        mg.save([1], path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o600)
        mg.save([2], path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(previous)
    assert mg.load(path) == [2] and list(tmp_path.iterdir()) == [path]


def test_saving_through_a_link_keeps_the_link(tmp_path):
    target = tmp_path / "target"
    target.write_bytes(b"old")
    link = tmp_path / "link"
    link.symlink_to(target)
    mg.save("new", link)
    assert link.is_symlink() and mg.load(target) == "new"


def test_saving_to_a_pipe():
    read, write = os.pipe()
    with open(read, "rb") as reader:
        with open(write, "wb"):
            mg.save([1], f"/dev/fd/{write}")
        assert mg.load(reader) == [1]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to read-only files")
def test_a_read_only_file_stays(tmp_path):
    path = tmp_path / "file"
    mg.save("old", path)
    path.chmod(0o400)
    with pytest.raises(PermissionError):
        mg.save("new", path)
    assert mg.load(path) == "old"


def test_only_binary_files_are_read():
    with pytest.raises(TypeError, match="binary file"):
        mg.load(io.StringIO("text"))
    with pytest.raises(TypeError, match="binary file"):
        mg.load(3)


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    mg.save("old", path)

    def full(*_):
        raise OSError(28, "No space left on device")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
            patch.setattr(os, name, full)
            mg.save("new", path)
        assert mg.load(path) == "old" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError):
        mg.save("new", tmp_path / "no" / "such" / "directory")
    with pytest.raises(IsADirectoryError):
        mg.save("new", tmp_path)
    with pytest.raises(TypeError, match="path or a binary file"):
        mg.save("new", 3)


KILLED = """
import sys
import minigrad as mg
path = sys.argv[1]
number = 0
print("ready", flush=True)
while True:
    number += 1
    mg.save({"number": number, "values": mg.full((200_000,), float(number))}, path)
"""


@pytest.mark.slow
def test_a_kill_leaves_the_old_file_or_the_new_one(tmp_path):
    path = tmp_path / "checkpoint"
    mg.save({"number": 0, "values": mg.zeros(200_000)}, path)
    for attempt in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, cwd=os.getcwd()
        )
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        time.sleep(0.003 + 0.0047 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        loaded = mg.load(path)
        assert loaded["values"].shape == (200_000,)
        assert bool((loaded["values"] == loaded["number"]).all())
