"""The unpickler of CIFAR's files builds their data and nothing else."""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
from image_files import cifar_batch, python2_pickle, python3_pickle

from minigrad.vision.datasets import unpickle

WRITERS = {"python 2": python2_pickle} | {
    f"protocol {number}": python3_pickle(number) for number in range(5)
}


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_what_the_files_hold(writer):
    batch = cifar_batch([3, 1, 9], 0)
    found = unpickle.load(writer(batch))
    np.testing.assert_array_equal(found.pop("data"), batch.pop("data"))
    assert found == batch


def test_arrays_and_keys():
    for values in (
        np.arange(6, dtype=np.int64).reshape(2, 3),
        np.arange(6, dtype=">u2"),
        np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3)),
        np.zeros((0, 4), np.uint8),
    ):
        found = unpickle.load(pickle.dumps({b"data": values, "n": -(2**40)}, protocol=2))
        np.testing.assert_array_equal(found["data"], values)
        assert found["data"].dtype == values.dtype and found["n"] == -(2**40)


class Runs:
    """Its pickle calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Plain:
    pass


RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
NDARRAY = b"cnumpy\nndarray\n"
# An array, up to its state, and a dtype, complete.
ARRAY = RECONSTRUCT + b"(" + NDARRAY + b"(I0\ntVb\ntR"
DTYPE = b"cnumpy\ndtype\n(Vu1\nI0\nI1\ntR"


def entry(code: bytes) -> bytes:
    """A dictionary whose only value is made by these instructions."""
    return b"\x80\x02}Va\n" + code + b"s."


def repeated(text: bytes, times: int) -> bytes:
    """A list of as many copies of one long text, by _codecs.encode."""
    long = b"X" + struct.pack("<I", len(text)) + text + b"q\x01"
    once = b"c_codecs\nencode\n(h\x01Vlatin1\ntR"
    return long + b"0](" + once * times + b"e"


def doubled(times: int) -> bytes:
    """A list that holds the one before it twice, and so on: 2 ** times ends."""
    return b"]q\x00" + b"".join(
        b"](h" + bytes([number]) + b"h" + bytes([number]) + b"eq" + bytes([number + 1])
        for number in range(times)
    )


MALICIOUS = {
    "a command": pickle.dumps({"a": Runs(os.system, "touch was-here")}),
    "a command, protocol 0": pickle.dumps({"a": Runs(os.system, "true")}, protocol=0),
    "eval": pickle.dumps({"a": Runs(eval, "1")}, protocol=2),
    "getattr": entry(b"c__builtin__\ngetattr\n" + NDARRAY + b"Vtofile\n\x86R"),
    "an instance": pickle.dumps({"a": Plain()}, protocol=2),
    "an old instance": entry(b"(i__main__\nPlain\n"),
    "an object": entry(b"(c__main__\nPlain\no"),
    "a name with a dot": entry(b"\x8c\x05numpy\x8c\x0fndarray.tofile\x93"),
    "numpy.load": entry(b"cnumpy\nload\n(Vx\ntR"),
    "scipy": entry(b"cnumpy.testing._private.utils\nrunstring\n(Vx\n}tR"),
    "a module by the new name": entry(b"cnumpy._core.multiarray\nscalar\n(tR"),
    "a persistent name": entry(b"Pname\n"),
    "an extension": entry(b"\x82\x01"),
    "a buffer from outside": entry(b"\x97"),
    "calling ndarray": entry(NDARRAY + b"(I9\ntR"),
    "a name as value": entry(NDARRAY),
    "setting a name's attributes": entry(NDARRAY + b"}Vcall\nI1\nsb"),
    "setting a function's attributes": entry(RECONSTRUCT + b"N}V__code__\nI1\ns\x86b"),
    "setting a list's attributes": entry(b"]}V__class__\nI1\nsb"),
    "an array of objects": pickle.dumps({"a": np.array([None, {}])}, protocol=2),
    "an array of floats": pickle.dumps({"a": np.ones(3)}, protocol=2),
    "a structured array": pickle.dumps({"a": np.zeros(2, "i4,i4")}, protocol=2),
    "an array without content": entry(ARRAY),
    "more shape than content": entry(
        ARRAY + b"(I1\n(I1000000\nI1000000\nt" + DTYPE + b"I00\nVx\ntb"
    ),
    "a negative shape": entry(ARRAY + b"(I1\n(I-1\nt" + DTYPE + b"I00\nVxy\ntb"),
    "a shape of texts": entry(ARRAY + b"(I1\n(Vx\nt" + DTYPE + b"I00\nVxy\ntb"),
    "an array with a false dtype": entry(ARRAY + b"(I1\n(I1\ntVu1\nI00\nVx\ntb"),
    "another encoding": entry(b"c_codecs\nencode\n(Vx\nVrot13\ntR"),
    "a tuple": pickle.dumps({"a": (1, 2)}, protocol=2),
    "nested": pickle.dumps({"a": [[1]]}, protocol=2),
    "a float": pickle.dumps({"a": 1.5}, protocol=2),
    "a list": pickle.dumps([1, 2]),
    "a cycle": entry(b"]q\x00h\x00a"),
    "doubling": entry(doubled(60)),
    "many copies": entry(repeated(b"x" * 1_000_000, 2_000)),
    "a large number in the memo": entry(b"I1\nr\xf0\xff\xff\xff"),
    "a promise of many bytes": entry(b"B\xff\xff\xff\x7fx"),
    "a promise of more bytes": entry(b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7fx"),
    "a large frame": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f].",
    "deep": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "an unknown protocol": b"\x80\x09}.",
    "nothing": b"",
    "text": b"hello",
    "zeros": bytes(100),
    "no end": pickle.dumps({"a": 1})[:-1],
}


@pytest.mark.parametrize("content", MALICIOUS.values(), ids=MALICIOUS)
def test_nothing_else_is_loaded(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises(pickle.UnpicklingError):
            found = unpickle.load(content)
            if isinstance(found.get("a"), int):  # a number in the memo harms nobody
                raise pickle.UnpicklingError
        assert tracemalloc.get_traced_memory()[1] < 2 * unpickle.MAXIMUM_BYTES
    finally:
        tracemalloc.stop()
    assert not os.listdir(tmp_path)


def test_a_pickle_that_is_cut_or_changed_raises_only_its_own_error():
    whole = python2_pickle(cifar_batch([1, 2], 0) | {"data": np.arange(12, dtype=np.uint8)[None]})
    for end in range(len(whole)):
        with pytest.raises(pickle.UnpicklingError):
            unpickle.load(whole[:end])
    random = np.random.default_rng(0)
    for _ in range(3_000):
        changed = bytearray(whole)
        for place in random.integers(0, len(whole), 3):
            changed[place] = random.integers(0, 256)
        with contextlib.suppress(pickle.UnpicklingError):
            unpickle.load(bytes(changed))


def test_names_mean_the_same_after_an_attack():
    for content in MALICIOUS.values():
        with pytest.raises(pickle.UnpicklingError):
            if "a" in unpickle.load(content):
                raise pickle.UnpicklingError
    found = unpickle.load(python2_pickle(cifar_batch([5], 0)))
    assert found["labels"] == [5] and found["data"].shape == (1, 3072)
