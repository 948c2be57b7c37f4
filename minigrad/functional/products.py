"""Linear and bilinear maps."""

from __future__ import annotations

from ..ops.elementwise import check_tensor
from ..ops.matmul import linear
from ..tensor import Tensor

__all__ = ["bilinear", "linear"]


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y[..., o] = Σ x1[..., i] weight[o, i, j] x2[..., j] + bias[o]."""
    check_tensor(input1, "bilinear", "input1")
    check_tensor(input2, "bilinear", "input2")
    check_tensor(weight, "bilinear", "weight")
    if weight.ndim != 3:
        raise RuntimeError(f"bilinear(): weight must be 3-D, got shape {list(weight.shape)}")
    if input1.ndim != input2.ndim or input1.shape[:-1] != input2.shape[:-1]:
        raise RuntimeError(
            f"bilinear(): input batch dimensions do not match: got {list(input1.shape)} and "
            f"{list(input2.shape)}"
        )
    outputs, first, second = weight.shape
    for place, (x, size) in enumerate(((input1, first), (input2, second)), 1):
        if x.shape[-1] != size:
            raise RuntimeError(
                f"bilinear(): input{place} size does not match weight size: got {x.shape[-1]} but "
                f"expected {size}"
            )
    if bias is not None and bias.shape != (outputs,):
        raise RuntimeError(
            f"bilinear(): bias size does not match weight size: got {list(bias.shape)} but "
            f"expected [{outputs}]"
        )
    # (N, i) @ (i, o j), then the product with x2 over j for each o.
    rows = input1.reshape(-1, first)
    inner = rows @ weight.permute(1, 0, 2).reshape(first, outputs * second)
    terms = inner.reshape(-1, outputs, second) * input2.reshape(-1, 1, second)
    result = terms.sum(2).reshape([*input1.shape[:-1], outputs])
    return result if bias is None else result + bias
