"""Regularizers: what keeps weights small, sparse, bounded or orthogonal.

Each can be given in up to three forms:

- as a penalty, which autograd differentiates: ``loss = criterion(...) + L1(1e-4)(model)``;
- in the optimizer: ``L2(1e-4).attach(optimizer, model)`` runs around every step, decoupled from
  the gradient, or with ``form="gradient"`` added to it;
- proximal: ``L1(1e-4).attach(optimizer, model, form="proximal")`` reaches exact zeros.

Which parameters: all weights of two and more dimensions outside of normalisation layers, or those
chosen by ``modules=nn.Linear`` and ``names="fc*.weight"``. Regularizers add up: ``L1(a) + L2(b)``.
A page on each of them is docs/regularization.md.
"""

from .base import Attached, Regularizer, Total
from .groups import GroupLasso, MaxNorm
from .noise import GradientNoise
from .norms import L1, L2, ElasticNet, Orthogonality, PNorm

__all__ = [
    "L1",
    "L2",
    "Attached",
    "ElasticNet",
    "GradientNoise",
    "GroupLasso",
    "MaxNorm",
    "Orthogonality",
    "PNorm",
    "Regularizer",
    "Total",
]
