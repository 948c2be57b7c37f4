"""Starting values of weights. Each function fills a tensor in place, without gradient, and returns
it.

`generator` is the source of random numbers, minigrad's default generator where it is None.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from ..autograd import no_grad
from ..ops.creation import empty_like, eye
from ..ops.elementwise import where
from ..ops.random import randperm
from ..tensor import Tensor

_GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0,
    "conv_transpose3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5.0 / 3,
    "relu": math.sqrt(2.0),
    "selu": 3.0 / 4,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through a nonlinearity; `param`: leaky_relu's slope."""
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    return _GAINS[nonlinearity]


def calculate_fans(tensor: Tensor) -> tuple[int, int]:
    """The number of inputs of one output and of outputs of one input.

    Of a weight (out, in, inner...): fan_in = in · inner, fan_out = out · inner.
    """
    if tensor.dim() < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions"
        )
    inner = math.prod(tensor.shape[2:])
    return tensor.shape[1] * inner, tensor.shape[0] * inner


_calculate_fan_in_and_fan_out = calculate_fans  # the name in torch, which programs import


def _chosen_fan(tensor: Tensor, mode: str) -> int:
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    return calculate_fans(tensor)[mode == "fan_out"]


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform in [a, b)."""
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Normal with that mean and standard deviation."""
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
) -> Tensor:
    """Normal, values outside of [a, b] drawn again."""
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
            "The distribution of values may be incorrect.",
            stacklevel=2,
        )
    scale = std * math.sqrt(2.0)
    inside = (math.erf((b - mean) / scale) - math.erf((a - mean) / scale)) / 2
    peak = (max(a, min(mean, b)) - mean) / std  # of the density within [a, b]

    def draw() -> tuple[Tensor, Tensor]:
        """Candidates, and which of them to reject."""
        candidates = empty_like(tensor)
        if inside > 0.3:
            candidates.normal_(mean, std, generator=generator)
            return candidates, (candidates < a) | (candidates > b)
        # Few normal values would fall into [a, b]: accept uniform ones with probability
        # density / highest density there.
        candidates.uniform_(a, b, generator=generator)
        distance = (candidates - mean) / std
        accepted = ((peak * peak - distance * distance) * 0.5).exp()
        return candidates, empty_like(tensor).uniform_(0, 1, generator=generator) >= accepted

    with no_grad():
        result, rejected = draw()
        while rejected.any():
            again, rejected_again = draw()
            result = where(rejected, again, result)
            rejected = rejected & rejected_again
        return tensor.copy_(result)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """The same value everywhere."""
    with no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    with no_grad():
        return tensor.zero_()


def eye_(tensor: Tensor) -> Tensor:
    """1 on the diagonal of a matrix, 0 elsewhere."""
    if tensor.dim() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    with no_grad():
        tensor.zero_()
        for index in range(min(tensor.shape)):
            tensor[index, index] = 1
    return tensor


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform in ±gain·√(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    bound = gain * math.sqrt(6.0 / sum(calculate_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Normal with std gain·√(2 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    std = gain * math.sqrt(2.0 / sum(calculate_fans(tensor)))
    return normal_(tensor, 0.0, std, generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Uniform in ±gain·√(3 / fan) (He et al., 2015); `a` is leaky_relu's slope."""
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3.0 / _chosen_fan(tensor, mode))
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Normal with std gain / √fan (He et al., 2015); `a` is leaky_relu's slope."""
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    std = calculate_gain(nonlinearity, a) / math.sqrt(_chosen_fan(tensor, mode))
    return normal_(tensor, 0.0, std, generator)


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """The kernel of a convolution (O, I, ...) that passes its first channels on: 1 in the middle of
    the kernel of output d and input d of each group, 0 elsewhere."""
    if tensor.dim() not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    outputs, inputs = tensor.shape[:2]
    if outputs % groups != 0:
        raise ValueError("dim 0 must be divisible by groups")
    size = outputs // groups
    middle = [width // 2 for width in tensor.shape[2:]]
    with no_grad():
        tensor.zero_()
        for group in range(groups):
            for channel in range(min(size, inputs)):
                place = [group * size + channel, channel, *middle]
                tensor[tuple(place)] = 1
    return tensor


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    """gain times a matrix with orthonormal rows or columns, whichever are fewer, uniformly
    distributed among these (Saxe et al., 2013); dimensions after the first count as one.

    It is the orthogonal factor of the polar decomposition of a matrix of normal numbers, which
    has that distribution since their density depends on no direction; Newton and Schulz's
    iteration X (3 - XᵀX) / 2 finds it in products of matrices alone.
    """
    if tensor.dim() < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0:
        return tensor
    rows = tensor.shape[0]
    with no_grad():
        drawn = tensor.new_empty(rows, tensor.numel() // rows).normal_(generator=generator)
        wide = rows < drawn.shape[1]
        factor = _polar_factor((drawn.t() if wide else drawn).double())
        result = (factor.t() if wide else factor) * gain
        return tensor.copy_(result.reshape(tensor.shape))


def _polar_factor(matrix: Tensor) -> Tensor:
    """Q of M = Q H, Q with orthonormal columns, H symmetric; M has at least as many rows."""
    one = eye(matrix.shape[1], dtype=matrix.dtype)
    # √ of the largest absolute row sum of MᵀM: no singular value is larger.
    x = matrix / (matrix.t() @ matrix).abs().sum(1).max().sqrt()
    for _ in range(100):  # singular values grow by 1.5 each time, then converge quadratically
        gram = x.t() @ x
        if (gram - one).abs().max().item() < 1e-14 * matrix.shape[0] + 1e-13:
            break
        x = x @ (one * 1.5 - gram * 0.5)
    return x


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """A matrix of normal numbers of which each column has the fraction `sparsity` set to 0, at
    random places (Martens, 2010)."""
    if tensor.dim() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    with no_grad():
        tensor.normal_(0, std, generator=generator)
        for column in range(columns):
            tensor[randperm(rows, generator=generator)[:zeros], column] = 0
    return tensor
