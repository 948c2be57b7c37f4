"""Several networks: trained at once (`Ensemble`), averaged (`Averaging`), or snapshots of one
training (`SnapshotEnsemble`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any

from ..functional import one_hot
from ..ops.shape import stack
from ..tensor import Tensor
from .containers import ModuleList
from .loss import Loss
from .module import Module
from .stacked import SHARED, STACKED, Converters, Separately, Stacked, stacked, to_stacked

__all__ = ["Averaging", "Ensemble", "SnapshotEnsemble"]

DECISIONS = ("probabilities", "logits", "votes")

# Losses that are a mean or sum of independent terms, one for each element of the batch.
_ADDITIVE = {
    *("BCELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "HuberLoss", "L1Loss", "MSELoss"),
    *("NLLLoss", "SmoothL1Loss"),
}


def decide(outputs: Tensor, how: str) -> Tensor:
    """One decision (N, C) from the outputs (K, N, C) of K networks: the mean of their softmax
    ("probabilities"), of the outputs themselves ("logits"), or of their one-hot choices
    ("votes")."""
    if how not in DECISIONS:
        raise ValueError(f"how must be one of {DECISIONS}, got {how!r}")
    if how == "probabilities":
        outputs = outputs.softmax(-1)
    elif how == "votes":
        outputs = one_hot(outputs.argmax(-1), outputs.shape[-1]).to(outputs.dtype)
    return outputs.mean(0)


class Ensemble(Module):
    """K networks of one architecture that are trained at once, as batched matrix products.

    `make` is called `count` times and returns a network each time, with starting values of its
    own. The parameters become stacks (K, ...) under the same names, below ``net.``. Called with
    (N, ...), all networks get that batch; with (K, N, ...), each its own; the result is
    (K, N, ...). Which of the two it is follows from the number of dimensions where the first layer
    is a Linear or a convolution on plain images; `each` says it otherwise.

    Sequential networks of Linear, convolutions, BatchNorm, LayerNorm, GroupNorm, pooling, padding,
    dropout, Flatten, softmax and elementwise activations are known. For other layers `converters`
    maps a type to a function of the list of members that returns a `stacked.Stacked`;
    ``Ensemble.separately`` is one that runs them one after the other.

    An optimizer whose step treats each element by itself (SGD, Adam and their relatives) does for
    the stack what K optimizers do, if the loss is the sum of the networks' losses: see `loss`. One
    that looks at whole tensors (LAMB, Muon, LBFGS, clipping by a norm) does not.
    """

    separately = Separately

    def __init__(
        self,
        make: Callable[[], Module],
        count: int,
        *,
        converters: Converters | None = None,
    ) -> None:
        if count < 1:
            raise ValueError(f"Ensemble: count must be at least 1, got {count}")
        super().__init__()
        self._build([make() for _ in range(count)], converters)

    @classmethod
    def from_members(
        cls, members: Iterable[Module], *, converters: Converters | None = None
    ) -> Ensemble:
        """The ensemble of networks that are there already, with copies of their parameters."""
        given = list(members)
        if not given:
            raise ValueError("Ensemble: at least one member is needed")
        ensemble = cls.__new__(cls)
        Module.__init__(ensemble)
        ensemble._build(given, converters)
        return ensemble

    def _build(self, members: list[Module], converters: Converters | None) -> None:
        for member in members:
            if not isinstance(member, Module):
                raise TypeError(f"Ensemble: a member is a {type(member).__name__}, not a Module")
        if len({id(member) for member in members}) < len(members):
            raise ValueError("Ensemble: the same module twice; each member has to be a new network")
        named = dict(members[0].named_parameters(remove_duplicate=False))
        tied = {name for name, _ in members[0].named_parameters()} ^ set(named)
        if tied:
            raise NotImplementedError(
                f"Ensemble: {sorted(tied)} are tied to other parameters, which stacks cannot be; "
                "build the network without tied parameters"
            )
        self.count = len(members)
        self.net: Stacked = stacked(members, converters or {})
        self.__dict__["_template"] = deepcopy(members[0])  # not a module of this one
        self._decisive = _first_rank(self.net)

    def forward(self, input: Tensor, each: bool | None = None) -> Tensor:
        if each is None:
            each = self._decisive is not None and input.dim() == self._decisive + 1
        if each and input.shape[0] != self.count:
            raise ValueError(
                f"Ensemble: an input of shape {list(input.shape)} for {self.count} networks; each "
                f"its own batch would be ({self.count}, N, ...)"
            )
        return to_stacked(*self.net.run(input, STACKED if each else SHARED), self.count)

    def loss(
        self, output: Tensor, target: Tensor, criterion: Callable[..., Tensor], each: bool = False
    ) -> Tensor:
        """The sum over the networks of ``criterion(output[k], target)``, with target[k] for `each`.

        The usual losses are computed for all networks at once, other criteria in a loop.
        """
        reduction = getattr(criterion, "reduction", None)
        known = isinstance(criterion, Loss) and type(criterion).__name__ in _ADDITIVE
        if known and reduction in ("mean", "sum") and not each:
            targets = target.expand(self.count, *target.shape).reshape(-1, *target.shape[1:])
            value = criterion(output.reshape(-1, *output.shape[2:]), targets)
            return value * float(self.count) if reduction == "mean" else value
        total = criterion(output[0], target[0] if each else target)
        for k in range(1, self.count):
            total = total + criterion(output[k], target[k] if each else target)
        return total

    def predict(self, input: Tensor, how: str = "probabilities") -> Tensor:
        """One decision (N, C): the mean of the networks' probabilities, logits or votes."""
        return decide(self(input), how)

    def member(self, index: int) -> Any:
        """Network `index` as an ordinary module, with copies of its parameters."""
        module = deepcopy(self.__dict__["_template"])
        self.net.copy_member(self._checked(index), module, into=False)
        return module.train(self.training)

    def members(self) -> list[Any]:
        """All networks as ordinary modules."""
        return [self.member(index) for index in range(self.count)]

    def load_member(self, index: int, module: Module) -> None:
        """Takes the parameters and buffers of an ordinary module for network `index`."""
        taken = self.member(index)  # with the dtypes that are here
        taken.load_state_dict(module.state_dict())  # says what does not fit
        self.net.copy_member(self._checked(index), taken, into=True)

    def _checked(self, index: int) -> int:
        if not -self.count <= index < self.count:
            raise IndexError(f"Ensemble: no network {index} among {self.count}")
        return index % self.count

    def __len__(self) -> int:
        return self.count


def _first_rank(net: Stacked) -> int | None:
    """The dimensions of a batch, where the first layer says it."""
    while type(net).__name__ == "StackedSequential":
        children = list(net.children())
        if not children:
            return None
        net = children[0]  # type: ignore[assignment]
    return net.rank


class Averaging(Module):
    """Averages the decisions of networks that may differ in everything but their outputs.

    (N, ...) to (N, C): the mean of their probabilities (softmax over the last dimension), logits
    or votes.
    """

    def __init__(self, modules: Iterable[Module], how: str = "probabilities") -> None:
        super().__init__()
        self.members = ModuleList(modules)
        if not len(self.members):
            raise ValueError("Averaging: at least one module is needed")
        if how not in DECISIONS:
            raise ValueError(f"how must be one of {DECISIONS}, got {how!r}")
        self.how = how

    def forward(self, input: Tensor) -> Tensor:
        return decide(stack([member(input) for member in self.members]), self.how)

    def extra_repr(self) -> str:
        return f"how={self.how!r}"


class SnapshotEnsemble:
    """Train once, get M networks (Huang et al., 2017): the learning rate falls by a cosine to
    nearly 0, the network is copied at that minimum, and the rate starts again from the top.

    α(t) = α₀/2 (cos(π mod(t - 1, L) / L) + 1), L = `cycle_length` steps, t counted from 1. Call
    `step` after each optimizer step. ``snapshots`` holds the copies, in evaluation mode;
    `averaging` makes one module of the last ones.
    """

    def __init__(
        self, model: Module, optimizer: Any, cycle_length: int, *, max_lr: float | None = None
    ) -> None:
        if cycle_length < 1:
            raise ValueError(f"SnapshotEnsemble: cycle_length must be at least 1: {cycle_length}")
        self.model = model
        self.optimizer = optimizer
        self.cycle_length = cycle_length
        self.max_lrs = [
            float(group["lr"]) if max_lr is None else max_lr for group in optimizer.param_groups
        ]
        self.snapshots: list[Module] = []
        self.steps = 0
        self._set()

    def _set(self) -> None:
        place = self.steps % self.cycle_length / self.cycle_length
        for group, highest in zip(self.optimizer.param_groups, self.max_lrs, strict=True):
            value = highest / 2 * (math.cos(math.pi * place) + 1)
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(value)
            else:
                group["lr"] = value

    def step(self) -> bool:
        """Counts a step and sets the next learning rate; at the end of a cycle, copies the network
        and returns True."""
        self.steps += 1
        ended = self.steps % self.cycle_length == 0
        if ended:
            self.snapshots.append(deepcopy(self.model).eval())
        self._set()
        return ended

    def averaging(self, last: int | None = None, how: str = "probabilities") -> Averaging:
        """The average of the last snapshots, of all without `last`."""
        chosen: Sequence[Module] = self.snapshots if last is None else self.snapshots[-last:]
        if not chosen:
            raise ValueError("SnapshotEnsemble: no cycle has ended yet, so there is no snapshot")
        return Averaging(chosen, how).eval()

    def state_dict(self) -> dict[str, Any]:
        """The count of steps, the rates and the snapshots' states."""
        return {
            "steps": self.steps,
            "max_lrs": list(self.max_lrs),
            "snapshots": [each.state_dict() for each in self.snapshots],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from what `state_dict` gave."""
        self.steps = state_dict["steps"]
        self.max_lrs = list(state_dict["max_lrs"])
        self.snapshots = []
        for state in state_dict["snapshots"]:
            snapshot = deepcopy(self.model)
            snapshot.load_state_dict(state)
            self.snapshots.append(snapshot.eval())
        self._set()
