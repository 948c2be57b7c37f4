"""Plain NumPy versions of the larger operations, written from their formulas: loops, float64."""

from __future__ import annotations

import numpy as np


def conv2d(x, weight, bias=None, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    """x (N, C, H, W), weight (O, C / groups, KH, KW) -> (N, O, H', W')."""
    x = np.pad(x, [(0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2])
    outputs, channels, kh, kw = weight.shape
    height = (x.shape[2] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    width = (x.shape[3] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((x.shape[0], outputs, height, width))
    for o in range(outputs):
        first = o // (outputs // groups) * channels
        for i in range(kh):
            for j in range(kw):
                top, left = i * dilation[0], j * dilation[1]
                rows = slice(top, top + (height - 1) * stride[0] + 1, stride[0])
                columns = slice(left, left + (width - 1) * stride[1] + 1, stride[1])
                patch = x[:, first : first + channels, rows, columns]
                y[:, o] += np.einsum("nchw,c->nhw", patch, weight[o, :, i, j])
    return y if bias is None else y + bias[:, None, None]


def pool_size(size, kernel, stride, padding, dilation, ceil_mode):
    """The output size of a pool; the last window starts inside the input or its left padding."""
    reach = size + 2 * padding - dilation * (kernel - 1) - 1
    count = -(-reach // stride) + 1 if ceil_mode else reach // stride + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1
    return count


def _windows(x, kernel, stride, padding, dilation, ceil_mode):
    """(output sizes, position in it, the input's indices, padded area) of each window."""
    sizes = [
        pool_size(x.shape[2 + d], kernel[d], stride[d], padding[d], dilation[d], ceil_mode)
        for d in (0, 1)
    ]
    for position in np.ndindex(*sizes):
        inside, area = [], 1
        for d in (0, 1):
            start = position[d] * stride[d] - padding[d]
            size = x.shape[2 + d]
            taken = [start + k * dilation[d] for k in range(kernel[d])]
            inside.append([t for t in taken if 0 <= t < size])
            area *= min(start + kernel[d], size + padding[d]) - start
        yield sizes, position, inside, area


def max_pool2d(x, kernel, stride, padding=(0, 0), dilation=(1, 1), ceil_mode=False):
    """Values and the index of each within its plane: (N, C, H', W') twice."""
    values = indices = None
    for sizes, (i, j), (rows, columns), _ in _windows(
        x, kernel, stride, padding, dilation, ceil_mode
    ):
        if values is None:
            values = np.zeros((*x.shape[:2], *sizes))
            indices = np.zeros(values.shape, np.int64)
        count = len(rows) * len(columns)
        window = x[:, :, rows][:, :, :, columns].reshape(*x.shape[:2], count)
        best = window.argmax(-1)
        values[:, :, i, j] = window.max(-1)
        flat = (np.array(rows)[:, None] * x.shape[3] + np.array(columns)).reshape(-1)
        indices[:, :, i, j] = flat[best]
    return values, indices


def avg_pool2d(
    x, kernel, stride, padding=(0, 0), ceil_mode=False, count_include_pad=True, divisor=None
):
    """Means of windows: (N, C, H', W')."""
    y = None
    for sizes, (i, j), (rows, columns), area in _windows(
        x, kernel, stride, padding, (1, 1), ceil_mode
    ):
        if y is None:
            y = np.zeros((*x.shape[:2], *sizes))
        count = area if count_include_pad else len(rows) * len(columns)
        y[:, :, i, j] = x[:, :, rows][:, :, :, columns].sum((2, 3)) / (divisor or count)
    return y


def log_softmax(x, dim):
    shifted = x - x.max(dim, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(dim, keepdims=True))


def nll_loss(log_probabilities, target, weight=None, ignore_index=-100, reduction="mean"):
    """Input (N, C, ...) or (C), target (N, ...) or ()."""
    dim = 1 if log_probabilities.ndim > 1 else 0
    classes = log_probabilities.shape[dim]
    weight = np.ones(classes) if weight is None else weight
    safe = np.where(target == ignore_index, 0, target)
    picked = np.take_along_axis(log_probabilities, np.expand_dims(safe, dim), dim).squeeze(dim)
    weights = np.where(target == ignore_index, 0.0, weight[safe])
    losses = np.where(weights == 0, 0.0, -weights * picked)
    if reduction == "none":
        return losses
    return losses.sum() / weights.sum() if reduction == "mean" else losses.sum()


def cross_entropy(x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    """(1 - s) nll + s/C sum_c -w_c log p_c, over the same total weight."""
    dim = 1 if x.ndim > 1 else 0
    classes = x.shape[dim]
    log_probabilities = log_softmax(x, dim)
    hard = nll_loss(log_probabilities, target, weight, ignore_index, "none")
    weight = np.ones(classes) if weight is None else weight
    shape = [1] * x.ndim
    shape[dim] = classes
    smooth = -(log_probabilities * weight.reshape(shape)).sum(dim) / classes
    smooth = np.where(target == ignore_index, 0.0, smooth)
    losses = (1 - label_smoothing) * hard + label_smoothing * smooth
    if reduction == "none":
        return losses
    safe = np.where(target == ignore_index, 0, target)
    total = np.where(target == ignore_index, 0.0, weight[safe]).sum()
    return losses.sum() / total if reduction == "mean" else losses.sum()


def batch_norm(x, mean, variance, weight=None, bias=None, eps=1e-5):
    """(x - mean) / sqrt(variance + eps) * weight + bias, channel by channel; x (N, C, ...)."""
    shape = [1, -1] + [1] * (x.ndim - 2)
    y = (x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + eps)
    if weight is not None:
        y = y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


def batch_statistics(x):
    """Mean and biased variance of each channel of x (N, C, ...)."""
    axes = (0, *range(2, x.ndim))
    return x.mean(axes), x.var(axes)
