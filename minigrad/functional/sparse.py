"""Class indices as vectors."""

from __future__ import annotations

from ..dtypes import int64
from ..tensor import Tensor, wrap

__all__ = ["one_hot"]


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Class indices as vectors with a 1 at the class."""
    if tensor.dtype is not int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if num_classes == -1:
        num_classes = int(tensor.max().item()) + 1
    result = wrap(tensor._array).new_zeros(*tensor.shape, num_classes)
    return result.scatter_(-1, tensor.unsqueeze(-1), value=1)
