"""Muon."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..autograd import no_grad
from ..ops.matmul import addmm
from ..tensor import Tensor, wrap
from .fused import full_like
from .group import Layout, ParameterGroup
from .optimizer import Optimizer, run_closure

__all__ = ["Muon"]

# Jordan's coefficients, whose slope at 0 is as large as it can be.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(Optimizer):
    """Muon (Jordan et al., "Muon: An optimizer for hidden layers", 2024); torch.optim.Muon.

    For matrices alone; give biases, embeddings and the like to another optimizer.
    b ← momentum · b + (1 - momentum) · g;  u = b, or (1 - momentum) · g + momentum · b with
    `nesterov`;  X = u / ‖u‖, then `ns_steps` times X ← a · X + (b · A + c · A²) · X with
    A = X · Xᵀ, which brings all singular values near 1 (Newton and Schulz);
    p ← (1 - lr · weight_decay) · p - lr · s · X, where s is √max(1, rows / columns), or with
    adjust_lr_fn "match_rms_adamw" 0.2 · √max(rows, columns).
    torch iterates in bfloat16, which is not there here: the parameter's dtype is used.
    """

    _layout = Layout(("momentum",))

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = _COEFFICIENTS,
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not lr >= 0.0:
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        if not momentum >= 0.0:
            raise ValueError(f"momentum should be >= 0 but is: {momentum}")
        if not weight_decay >= 0.0:
            raise ValueError(f"weight decay should be >= 0 but is: {weight_decay}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)

    def _check_parameter(self, param: Any) -> None:
        super()._check_parameter(param)
        if param.dim() != 2:
            raise ValueError(
                f"Muon only supports 2D parameters whereas we found a parameter with size: "
                f"{param.shape}"
            )

    @no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates the parameters that have a gradient; returns what the closure returns, if given.

        The closure computes the loss anew: it calls zero_grad and backward and returns the loss.
        """
        loss = run_closure(closure)
        self._adopt_groups()
        for group in self.param_groups:
            if group["ns_steps"] >= 100:
                raise ValueError("Muon: ns_steps must be less than 100")
            if len(group["ns_coefficients"]) != 3:
                raise ValueError("Muon: ns_coefficients must be three numbers")
            group.copy_tensors()
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(group, parameter, parameter.grad)
        return loss

    def _update(self, group: ParameterGroup, parameter: Tensor, gradient: Tensor) -> None:
        # 0-d tensors on the group's memory, so that a replayed plan sees their changes.
        rate, decay, momentum = (
            wrap(group.number(name)) for name in ("lr", "weight_decay", "momentum")
        )
        state = self.state[parameter]
        if state.get("momentum_buffer") is None:
            state["momentum_buffer"] = full_like(gradient)
        buffer = state["momentum_buffer"]
        buffer.add_((gradient - buffer) * (1 - momentum))
        update = gradient + (buffer - gradient) * momentum if group["nesterov"] else buffer
        update = orthogonalized(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
        rows, columns = parameter.shape
        scale = math.sqrt(max(1, rows / columns)) if columns else 1.0
        if group["adjust_lr_fn"] == "match_rms_adamw":
            scale = 0.2 * math.sqrt(max(rows, columns))
        parameter.mul_(1 - rate * decay).sub_(update * (rate * scale))


def orthogonalized(
    matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """A matrix with the singular vectors of the given one, and singular values near 1."""
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]  # the smaller of X Xᵀ and Xᵀ X is used
    x = matrix.t() if tall else matrix
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.t()
        x = addmm(x, addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.t() if tall else x
