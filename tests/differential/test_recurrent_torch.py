"""Recurrent layers beyond the layer table, and packed sequences, side by side with torch."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import minigrad as mg

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
LIBRARIES = (mg, torch)


def utils(m):
    return m.nn.utils.rnn


def zeros(m, *shape, dtype="float32"):
    return m.zeros(*shape, dtype=getattr(m, dtype))


def packed(m, *shapes, **options):
    return utils(m).pack_sequence([m.zeros(*shape) for shape in shapes], **options)


def with_sizes(m, rows, sizes):
    return utils(m).PackedSequence(m.zeros(rows, 2), m.tensor(sizes))


ERRORS = {
    "gru projection": lambda m: m.nn.GRU(2, 3, proj_size=1),
    "rnn projection": lambda m: m.nn.RNN(2, 3, proj_size=0),
    "unknown option": lambda m: m.nn.LSTM(2, 3, size=1),
    "nonlinearity": lambda m: m.nn.RNN(2, 3, nonlinearity="sine"),
    "dropout above 1": lambda m: m.nn.GRU(2, 3, 2, dropout=2),
    "dropout bool": lambda m: m.nn.GRU(2, 3, 2, dropout=True),
    "dropout text": lambda m: m.nn.GRU(2, 3, 2, dropout="a"),
    "bias": lambda m: m.nn.GRU(2, 3, 2, 1),
    "batch_first": lambda m: m.nn.GRU(2, 3, 2, True, 1),
    "input_size float": lambda m: m.nn.GRU(2.0, 3),
    "hidden_size float": lambda m: m.nn.GRU(2, 3.0),
    "input_size 0": lambda m: m.nn.GRU(0, 3),
    "hidden_size 0": lambda m: m.nn.GRU(2, 0),
    "num_layers 0": lambda m: m.nn.GRU(2, 3, 0),
    "num_layers text": lambda m: m.nn.GRU(2, 3, "1"),
    "proj_size negative": lambda m: m.nn.LSTM(2, 3, proj_size=-1),
    "proj_size large": lambda m: m.nn.LSTM(2, 3, proj_size=3),
    "mode": lambda m: m.nn.RNNBase("TREE", 2, 3),
    "base": lambda m: m.nn.RNNBase("GRU", 2, 3)(zeros(m, 1, 1, 2)),
    "1-d": lambda m: m.nn.GRU(2, 3)(zeros(m, 2)),
    "4-d": lambda m: m.nn.LSTM(2, 3)(zeros(m, 1, 1, 1, 2)),
    "features": lambda m: m.nn.GRU(2, 3)(zeros(m, 1, 1, 4)),
    "float64": lambda m: m.nn.GRU(2, 3)(zeros(m, 1, 1, 2, dtype="float64")),
    "int64": lambda m: m.nn.GRU(2, 3)(zeros(m, 1, 1, 2, dtype="int64")),
    "no steps": lambda m: m.nn.GRU(2, 3)(zeros(m, 0, 1, 2)),
    "hx 2-d": lambda m: m.nn.GRU(2, 3)(zeros(m, 1, 1, 2), zeros(m, 1, 3)),
    "hx 3-d": lambda m: m.nn.GRU(2, 3)(zeros(m, 1, 2), zeros(m, 1, 1, 3)),
    "hx layers": lambda m: m.nn.GRU(2, 3)(zeros(m, 1, 1, 2), zeros(m, 2, 1, 3)),
    "hx batch": lambda m: m.nn.GRU(2, 3)(zeros(m, 1, 1, 2), zeros(m, 1, 2, 3)),
    "hx dtype": lambda m: m.nn.GRU(2, 3)(zeros(m, 1, 1, 2), zeros(m, 1, 1, 3, dtype="float64")),
    "hx one tensor": lambda m: m.nn.LSTM(2, 3)(zeros(m, 1, 1, 2), zeros(m, 1, 1, 3)),
    "hx one of two": lambda m: m.nn.LSTM(2, 3)(zeros(m, 1, 1, 2), (zeros(m, 1, 1, 3),)),
    "cx size": lambda m: m.nn.LSTM(2, 3)(zeros(m, 1, 1, 2), (zeros(m, 1, 1, 3), zeros(m, 1, 1, 4))),
    "cx 2-d": lambda m: m.nn.LSTM(2, 3)(zeros(m, 1, 1, 2), (zeros(m, 1, 1, 3), zeros(m, 1, 3))),
    "packed features": lambda m: m.nn.GRU(2, 3)(packed(m, (2, 4))),
    "packed 3-d": lambda m: m.nn.GRU(2, 3)(packed(m, (2, 1, 2))),
    "packed hx batch": lambda m: m.nn.GRU(2, 3)(packed(m, (2, 2)), zeros(m, 1, 2, 3)),
    "packed sizes rise": lambda m: m.nn.GRU(2, 3)(with_sizes(m, 3, [1, 2])),
    "cell 3-d": lambda m: m.nn.GRUCell(2, 3)(zeros(m, 1, 1, 2)),
    "cell hx 3-d": lambda m: m.nn.GRUCell(2, 3)(zeros(m, 1, 2), zeros(m, 1, 1, 3)),
    "cell features": lambda m: m.nn.GRUCell(2, 3)(zeros(m, 1, 4)),
    "cell hx size": lambda m: m.nn.GRUCell(2, 3)(zeros(m, 1, 2), zeros(m, 1, 4)),
    "cell hx batch": lambda m: m.nn.GRUCell(2, 3)(zeros(m, 1, 2), zeros(m, 2, 3)),
    "cell hx one tensor": lambda m: m.nn.LSTMCell(2, 3)(zeros(m, 1, 2), zeros(m, 1, 3)),
    "cell cx 3-d": lambda m: m.nn.LSTMCell(2, 3)(
        zeros(m, 1, 2), (zeros(m, 1, 3), zeros(m, 1, 1, 3))
    ),
    "cell nonlinearity": lambda m: m.nn.RNNCell(2, 3, nonlinearity="sine")(zeros(m, 1, 2)),
    "cell float64": lambda m: m.nn.RNNCell(2, 3)(zeros(m, 1, 2, dtype="float64")),
    "too few lengths": lambda m: utils(m).pack_padded_sequence(zeros(m, 3, 2, 4), [3]),
    "unsorted": lambda m: utils(m).pack_padded_sequence(zeros(m, 3, 2, 4), [2, 3]),
    "length 0": lambda m: utils(m).pack_padded_sequence(zeros(m, 3, 2, 4), [2, 0]),
    "pack 1-d": lambda m: utils(m).pack_padded_sequence(zeros(m, 3), [1]),
    "lengths 2-d": lambda m: utils(m).pack_padded_sequence(zeros(m, 3, 2), m.tensor([[3, 2]])),
    "lengths a number": lambda m: utils(m).pack_padded_sequence(zeros(m, 3, 2), 5),
    "empty batch": lambda m: utils(m).pack_padded_sequence(zeros(m, 3, 0, 4), []),
    "total_length": lambda m: utils(m).pad_packed_sequence(packed(m, (3, 2)), total_length=2),
    "pad a number": lambda m: utils(m).pad_sequence(5),
    "pad nothing": lambda m: utils(m).pad_sequence([]),
    "pad 0-d": lambda m: utils(m).pad_sequence([m.zeros(())]),
    "padding side": lambda m: utils(m).pad_sequence([zeros(m, 3)], padding_side="middle"),
    "pad other shapes": lambda m: utils(m).pad_sequence([zeros(m, 3, 2), zeros(m, 2, 3)]),
    "pack unsorted": lambda m: packed(m, (2,), (3,)),
    "no sizes": lambda m: utils(m).PackedSequence(zeros(m, 2)),
    "unpad": lambda m: utils(m).unpad_sequence(zeros(m, 3, 2), m.tensor([1])),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_torchs(name):
    kinds = []
    for library in LIBRARIES:
        with pytest.raises(Exception) as caught:
            ERRORS[name](library)
        kinds.append(caught.type)
    assert issubclass(kinds[0], kinds[1])


def test_what_torch_reads_beyond_is_an_error():
    with pytest.raises(RuntimeError, match="exceeds the 3 steps"):
        utils(mg).pack_padded_sequence(zeros(mg, 3, 2, 4), [5, 2])
    with pytest.raises(RuntimeError, match="add up to 2"):
        mg.nn.GRU(2, 3)(with_sizes(mg, 3, [1, 1]))


def test_dropout_of_one_layer_warns():
    for library in LIBRARIES:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            library.nn.LSTM(2, 3, dropout=0.5)
        assert [each.category for each in caught] == [UserWarning]
        assert "num_layers greater than 1" in str(caught[0].message)


@pytest.mark.parametrize("shape", [(4, 0, 2), (1, 0, 2)])
@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_no_sequences(name, shape):
    results = []
    for library in LIBRARIES:
        layer = getattr(library.nn, name)(2, 3)
        x = library.zeros(*shape).requires_grad_()
        y, last = layer(x)
        y.sum().backward()
        h = last[0] if name == "LSTM" else last
        grads = [x.grad, *(each.grad for each in layer.parameters())]
        results.append([(tuple(e.shape), e.detach().numpy().tolist()) for e in (y, h, *grads)])
    assert results[0] == results[1]


def test_a_cell_without_features():
    shapes = []
    for library in LIBRARIES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cell = library.nn.GRUCell(0, 3)
        h = cell(library.zeros(2, 0))
        h.sum().backward()
        shapes.append((tuple(h.shape), tuple(cell.weight_ih.grad.shape)))
    assert shapes[0] == shapes[1]


# ---- packing and padding ----


def sequences(m, rest=(2,), lengths=(2, 4, 1, 4), dtype="float32"):
    rng = np.random.default_rng(3)
    values = [rng.integers(-9, 9, (n, *rest)) for n in lengths]
    return [m.tensor(each.astype(dtype)) for each in values]


def plain(result):
    """Everything in a result as nested lists, with dtypes."""
    if isinstance(result, (tuple, list)):
        return [plain(each) for each in result]
    if result is None:
        return None
    return [str(result.dtype).split(".")[1], result.tolist()]


def _sorted_pack(m, **options):
    return utils(m).pack_sequence(sequences(m, lengths=(4, 3, 3, 1)), **options)


def _pack(m, rest=(2,), dtype="float32", **options):
    return utils(m).pack_sequence(sequences(m, rest, dtype=dtype), enforce_sorted=False, **options)


PACKING = {
    "sorted": _sorted_pack,
    "sorted here": _pack,
    "of numbers": lambda m: _pack(m, (), "int64"),
    "of matrices": lambda m: _pack(m, (2, 3), "float64"),
    "batch first": lambda m: utils(m).pack_padded_sequence(
        utils(m).pad_sequence(sequences(m), True), m.tensor([2, 4, 1, 4]), True, False
    ),
    "lengths float": lambda m: utils(m).pack_padded_sequence(
        zeros(m, 3, 2, 4), m.tensor([2.5, 1.0])
    ),
    "longer padding": lambda m: utils(m).pack_padded_sequence(m.arange(12).reshape(6, 2), [3, 2]),
    "pad": lambda m: utils(m).pad_packed_sequence(_pack(m)),
    "pad sorted": lambda m: utils(m).pad_packed_sequence(_sorted_pack(m), padding_value=-1.0),
    "pad batch first": lambda m: utils(m).pad_packed_sequence(_pack(m), True, 2.5, 7),
    "pad numbers": lambda m: utils(m).pad_packed_sequence(_pack(m, (), "int64"), False, 3),
    "pad_sequence": lambda m: utils(m).pad_sequence(sequences(m)),
    "pad_sequence left": lambda m: utils(m).pad_sequence(
        sequences(m), True, 1.0, padding_side="left"
    ),
    "pad_sequence of a tensor": lambda m: utils(m).pad_sequence(m.arange(6).reshape(2, 3)),
    "pad_sequence empty": lambda m: utils(m).pad_sequence([zeros(m, 0, 2), zeros(m, 3, 2)]),
    "unpad": lambda m: utils(m).unpad_sequence(
        utils(m).pad_sequence(sequences(m)), m.tensor([2, 4, 1, 4])
    ),
    "unpad batch first": lambda m: utils(m).unpad_sequence(
        utils(m).pad_sequence(sequences(m), True), m.tensor([2, 4, 1, 4]), True
    ),
    "unpack": lambda m: utils(m).unpack_sequence(_pack(m)),
    "invert": lambda m: utils(m).invert_permutation(m.tensor([2, 0, 3, 1])),
    "invert None": lambda m: utils(m).invert_permutation(None),
    "double": lambda m: _pack(m).double(),
    "long": lambda m: _pack(m).long(),
    "to": lambda m: _pack(m).to(m.float64),
    "a pair": lambda m: utils(m).PackedSequence((m.zeros(3), m.tensor([2, 1]))),
    "inverse made": lambda m: (
        utils(m).PackedSequence(m.zeros(3), m.tensor([2, 1]), m.tensor([1, 0])).unsorted_indices
    ),
}


@pytest.mark.parametrize("name", PACKING)
def test_packing(name):
    ours, theirs = (plain(PACKING[name](library)) for library in LIBRARIES)
    assert ours == theirs


def test_packed_sequence_is_a_tuple_and_knows_its_place():
    packed = _pack(mg)
    assert isinstance(packed, tuple)
    assert packed._fields == _pack(torch)._fields
    assert packed.to(mg.float32) is packed
    assert packed.cpu() is packed
    assert not packed.is_cuda
    assert not packed.is_pinned()


@pytest.mark.parametrize("batch_first", [False, True])
def test_gradients_pass_through_packing(batch_first):
    grads = []
    for library in LIBRARIES:
        given = [each.requires_grad_() for each in sequences(library)]
        padded = utils(library).pad_sequence(given, batch_first, 1.0)
        packed = utils(library).pack_padded_sequence(padded, [2, 4, 1, 4], batch_first, False)
        result, _ = utils(library).pad_packed_sequence(packed, batch_first, 2.0)
        (result * result * 3).sum().backward()
        grads.append([each.grad.tolist() for each in given])
    assert grads[0] == grads[1]


# ---- initialisation and attributes ----


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell"])
def test_parameters_start_uniform(name):
    mg.manual_seed(0)
    layer = getattr(mg.nn, name)(30, 64)
    for parameter in layer.parameters():
        values = parameter.detach().numpy() * 8
        assert -1 <= values.min() < -0.9
        assert 0.9 < values.max() <= 1
        if values.size > 1000:
            assert abs(values.std() - 3**-0.5) < 0.02


def test_all_weights():
    layer = mg.nn.LSTM(2, 3, 2, bidirectional=True, proj_size=1)
    theirs = torch.nn.LSTM(2, 3, 2, bidirectional=True, proj_size=1)
    found, wanted = layer.all_weights, theirs.all_weights
    assert [[tuple(w.shape) for w in row] for row in found] == [
        [tuple(w.shape) for w in row] for row in wanted
    ]
    assert found[1][0] is layer.weight_ih_l0_reverse
    assert layer.flatten_parameters() is None


def test_dropout_between_layers():
    mg.manual_seed(0)
    layer = mg.nn.GRU(3, 64, 2, dropout=0.5)
    x = mg.ones(4, 8, 3)
    assert (layer(x)[0] - layer(x)[0]).abs().max().item() > 0.01  # other elements each time
    layer.eval()
    assert (layer(x)[0] - layer(x)[0]).abs().max().item() == 0
