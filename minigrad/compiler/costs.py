"""What a launch costs at least: bytes that it has to move, and floating point operations.

Elementwise kernels, and all that are not named here, count one operation for each element of their
largest array.
"""

from __future__ import annotations

from math import prod
from typing import Any

from ..array import shape_of, strides_of
from ..kernels import lib

_item_size = lib.mg_item_size

# Kernels that read what they write.
_UPDATES = {"optimizer_step", "adafactor", "index_put", "plane_scatter", "clip_norm", "clip_value"}
# Operations for each element, of kernels that have more than one.
_PER_ELEMENT = {
    "softmax": 4,  # maximum, difference, exponential and sum, quotient
    "softmax_backward": 4,
    "cross_entropy": 4,
    "cross_entropy_backward": 3,
    "batch_norm": 7,  # mean 1, variance 3, normalization 3
    "batch_norm_backward": 8,
    "group_norm": 7,
    "group_norm_backward": 8,
    "dropout": 1,
    "total_norm": 2,
}
_OPTIMIZERS = {"sgd": 2, "sgd_momentum": 4, "adam": 12, "adam_amsgrad": 13}  # of each element
_NO_ARITHMETIC = {
    "Python",
    "copy",
    "join",
    "index",
    "plane_gather",
    "arange",
    "max_pool2d",
    "window_max",
}


def memory_of(array: Any) -> int:
    """Bytes of the elements that an array shows, each once however often it is repeated."""
    pairs = zip(shape_of(array), strides_of(array), strict=True)
    return prod([n for n, step in pairs if step]) * _item_size(array.dtype)


def bytes_of(kernel: str, results: list[Any], operands: list[Any]) -> int:
    """Bytes read and written."""
    written = sum([memory_of(each) for each in results if each is not None])
    read = sum([memory_of(each) for each in operands if each is not None])
    return read + written * (2 if kernel in _UPDATES else 1)


def flops_of(
    kernel: str, operation: str, integers: list[int], results: list[Any], operands: list[Any]
) -> int:
    """Floating point operations; a multiply-add counts two."""
    count = _COUNTS.get(kernel)
    if count is not None:
        return count(integers, results, operands)
    if kernel in _NO_ARITHMETIC:
        return 0
    present = [each for each in (*results, *operands) if each is not None]
    if kernel == "optimizer_step":
        parameters = results[: integers[0]]
        each = _OPTIMIZERS.get(operation, 8)
        return each * sum([array.size for array in parameters if array is not None])
    largest = max([each.size for each in present], default=0)
    return _PER_ELEMENT.get(kernel, 1) * largest


def _matmul(integers: list[int], results: list[Any], operands: list[Any]) -> int:
    left = shape_of(operands[0])
    inner = left[-2] if integers[0] and len(left) > 1 else left[-1]
    bias = results[0].size if len(operands) > 2 and operands[2] is not None else 0
    return 2 * results[0].size * inner + bias


def _convolution(integers: list[int], results: list[Any], operands: list[Any]) -> int:
    """The geometry is in the record: see mg_conv in csrc/conv.h."""
    batch, channels, _, _, _, out_channels, kd, kh, kw, depth, height, width = integers[:12]
    groups = integers[21] or 1
    products = batch * out_channels * depth * height * width * (channels // groups) * kd * kh * kw
    return 2 * products


def _recurrent(integers: list[int], results: list[Any], operands: list[Any]) -> int:
    """Each row is multiplied with all weights; for the places see csrc/recurrent_steps.h."""
    weights = [operands[place] for place in (4, 5, 8)]
    rows = prod(shape_of(operands[0])[:-1])
    return 2 * rows * sum([each.size for each in weights if each is not None])


def _recurrent_backward(integers: list[int], results: list[Any], operands: list[Any]) -> int:
    return 2 * _recurrent(integers, results, operands)


def _attention(integers: list[int], results: list[Any], operands: list[Any]) -> int:
    """Two products; the causal mask leaves about half of the scores."""
    return _scores(integers, operands[0], operands[1]) * (
        shape_of(operands[0])[-1] + shape_of(operands[2])[-1]
    )


def _attention_backward(integers: list[int], results: list[Any], operands: list[Any]) -> int:
    """Five products: scores again, the gradients of weights, value, query and key."""
    query, key, value = operands[2:5]
    widths = 3 * shape_of(query)[-1] + 2 * shape_of(value)[-1]
    return _scores(integers, query, key) * widths


def _scores(integers: list[int], query: Any, key: Any) -> int:
    """Operations for one feature of a product over all scores."""
    scores = prod(shape_of(query)[:-1]) * shape_of(key)[-2]
    return scores if integers[0] else 2 * scores


_COUNTS = {
    "attention": _attention,
    "attention_backward": _attention_backward,
    "matmul": _matmul,
    "convolution": _convolution,
    "convolution_input": _convolution,
    "convolution_weight": _convolution,
    "recurrent": _recurrent,
    "recurrent_backward": _recurrent_backward,
}
