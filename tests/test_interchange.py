"""Memory shared with NumPy, in both directions."""

from __future__ import annotations

import gc
import sys
import warnings
import weakref

import numpy as np
import pytest

import minigrad as mg

DTYPES = ("bool", "uint8", "int32", "int64", "float32", "float64")


def address(values: np.ndarray) -> int:
    return values.__array_interface__["data"][0]


# ---- from NumPy ----


@pytest.mark.parametrize("dtype", DTYPES)
def test_from_numpy_shares_memory(dtype):
    values = np.zeros((2, 3), dtype)
    tensor = mg.from_numpy(values)
    assert tensor.dtype == getattr(mg, dtype) and tensor.shape == (2, 3)
    assert tensor.data_ptr() == address(values)
    values[1, 2] = 1
    assert tensor[1, 2].item() == 1
    tensor[0, 0] = 1
    assert values[0, 0] == 1


def test_from_numpy_keeps_strides():
    values = np.arange(24.0).reshape(2, 3, 4)
    for view in (values.T, values[:, ::2], values[1], values[..., 1:3], values[0, 0, 0:0]):
        tensor = mg.from_numpy(view)
        np.testing.assert_array_equal(tensor.numpy(), view)
        if view.size:
            assert tensor.data_ptr() == address(view)
            assert tensor.stride() == tuple(s // 8 for s in view.strides)


def test_from_numpy_keeps_the_ndarray_alive():
    values = np.arange(1000.0)
    reference = weakref.ref(values)
    tensor = mg.from_numpy(values)
    view = tensor[10:20]
    del values, tensor
    gc.collect()
    assert reference() is not None
    np.testing.assert_array_equal(view.numpy(), np.arange(10.0, 20.0))
    del view
    gc.collect()
    assert reference() is None


def test_the_graph_keeps_an_ndarray_alive():
    values = np.full(100, 2.0)
    reference = weakref.ref(values)
    x = mg.ones(100, dtype=mg.float64, requires_grad=True)
    y = (x * mg.from_numpy(values)).sum()
    del values
    gc.collect()
    assert reference() is not None
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.full(100, 2.0))
    del y
    gc.collect()
    assert reference() is None


def test_negative_strides_raise():
    with pytest.raises(ValueError, match="negative"):
        mg.from_numpy(np.arange(3.0)[::-1])
    np.testing.assert_array_equal(mg.tensor(np.arange(3.0)[::-1]).numpy(), [2, 1, 0])


def test_other_byte_orders():
    swapped = np.arange(3.0).astype(">f8")
    with pytest.raises((TypeError, ValueError)):
        mg.from_numpy(swapped)


@pytest.mark.parametrize("dtype", ["float16", "complex64", "uint16", "int8", "U3", "O", "M8[s]"])
def test_other_dtypes_raise(dtype):
    with pytest.raises(TypeError):
        mg.from_numpy(np.zeros(2, dtype))


def test_read_only_memory_is_not_written():
    values = np.arange(3.0)
    values.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch warns here
        tensor = mg.from_numpy(values)
    np.testing.assert_array_equal(tensor.numpy(), values)
    with mg.no_grad():
        tensor.add_(1)
    np.testing.assert_array_equal(values, [0, 1, 2])


def test_unaligned_memory():
    raw = np.zeros(33, np.uint8)
    values = raw[1:].view(np.float64)
    values[:] = [1, 2, 3, 4]
    np.testing.assert_array_equal((mg.tensor(values) * 2).numpy(), [2, 4, 6, 8])
    fields = np.zeros(3, np.dtype([("a", "u1"), ("b", "f8")]))
    fields["b"] = [1, 2, 3]
    np.testing.assert_array_equal((mg.tensor(fields["b"]) + 1).numpy(), [2, 3, 4])


def test_broadcast_memory():
    values = np.broadcast_to(np.arange(3.0), (4, 3))
    np.testing.assert_array_equal((mg.tensor(values) + 1).numpy(), values + 1)


def test_tensor_copies_and_as_tensor_shares():
    values = np.arange(3.0)
    copied, shared = mg.tensor(values), mg.as_tensor(values)
    values[0] = 9
    assert copied[0].item() == 0 and shared[0].item() == 9
    assert mg.as_tensor(shared) is shared
    assert mg.as_tensor(values, dtype=mg.float32).dtype == mg.float32


def test_zero_dimensions_and_empty():
    scalar = np.array(2.5)
    tensor = mg.from_numpy(scalar)
    assert tensor.shape == () and tensor.item() == 2.5
    scalar[()] = 3.5
    assert tensor.item() == 3.5
    assert mg.from_numpy(np.zeros((0, 2))).numpy().shape == (0, 2)


# ---- to NumPy ----


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_shares_memory(dtype):
    tensor = mg.zeros(2, 3, dtype=getattr(mg, dtype))
    values = tensor.numpy()
    assert values.dtype == dtype and values.flags.writeable
    assert address(values) == tensor.data_ptr()
    values[1, 1] = 1
    assert tensor[1, 1].item() == 1
    tensor.fill_(1)
    assert values.all()


def test_numpy_keeps_strides():
    tensor = mg.arange(24).reshape(2, 3, 4)
    for view in (
        tensor.permute(2, 0, 1),
        tensor[:, ::2],
        tensor[1, 1:],
        tensor[:, :1].expand(2, 5, 4),
    ):
        values = view.numpy()
        assert values.strides == tuple(8 * s for s in view.stride())
        assert address(values) == view.data_ptr()


def test_an_ndarray_keeps_the_memory_alive():
    values = mg.full((1000,), 7.0).numpy()
    part = values[10:20]
    del values
    gc.collect()
    others = [mg.full((1000,), float(i)) for i in range(50)]  # would take freed memory
    np.testing.assert_array_equal(part, np.full(10, 7.0))
    del others


def test_a_round_trip_shares_memory():
    tensor = mg.zeros(4)
    again = mg.from_numpy(tensor.numpy())
    again[0] = 5
    assert tensor[0].item() == 5
    assert again.data_ptr() == tensor.data_ptr()


def test_memory_of_views_is_released_once():
    before = mg.kernels.memory_statistics()["live"]
    tensor = mg.zeros(1000, 1000)
    arrays = [tensor[i].numpy() for i in range(0, 1000, 10)]
    del tensor
    assert mg.kernels.memory_statistics()["live"] >= before + 4_000_000
    del arrays
    gc.collect()
    assert mg.kernels.memory_statistics()["live"] <= before + 4096


def test_numpy_of_a_tensor_in_a_graph():
    x = mg.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="detach"):
        x.numpy()
    with pytest.raises(RuntimeError, match="detach"):
        np.asarray(x * 2)
    assert (x * 2).numpy(force=True).tolist() == [2, 2]
    with mg.no_grad():
        assert x.numpy().tolist() == np.asarray(x).tolist() == [1, 1]
        with pytest.raises(BufferError, match="detach"):
            np.from_dlpack(x)
    assert address(x.detach().numpy()) == x.data_ptr()


def test_array_protocol():
    tensor = mg.arange(3)
    assert np.asarray(tensor).dtype == np.int64
    assert address(np.asarray(tensor)) == tensor.data_ptr()
    assert np.asarray(tensor, dtype=np.float32).dtype == np.float32
    copied = np.array(tensor)
    copied[0] = 9
    assert tensor[0].item() == 0
    np.testing.assert_array_equal(np.sqrt(mg.tensor([4.0, 9.0])), [2, 3])


def test_dlpack():
    tensor = mg.arange(6.0).reshape(2, 3)
    values = np.from_dlpack(tensor)
    assert address(values) == tensor.data_ptr()
    np.testing.assert_array_equal(values, tensor.numpy())


def test_no_reference_leaks():
    values = np.zeros(100)
    before = sys.getrefcount(values)
    for _ in range(100):
        tensor = mg.from_numpy(values)
        tensor.numpy()
        (tensor + 1).numpy()
    del tensor
    gc.collect()
    assert sys.getrefcount(values) == before
