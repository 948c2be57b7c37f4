"""Layers of several networks at once: what `Ensemble` is made of.

A stacked layer holds the parameters of K layers of one kind, each with a first dimension K, and
computes for all of them in one operation: batched matrix products for Linear, a convolution with K
times the groups for convolutions. Activations come in three layouts, and each layer takes the one
that suits it and says which one it leaves:

- SHARED (N, ...): the same for all networks, as the input mostly is;
- STACKED (K, N, ...);
- CHANNELS (N, K · C, ...): the networks' channels one behind the other, for convolutions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

from ..autograd import no_grad
from ..ops.matmul import LinearBatch, MatMul
from ..ops.shape import stack
from ..tensor import Tensor
from .containers import ModuleList, Sequential
from .hooks import CALL_HOOK_TABLES
from .members import MODULE
from .module import Module
from .parameter import Parameter

__all__: list[str] = []

SHARED, STACKED, CHANNELS = "shared", "stacked", "channels"

Converters = dict[type, Callable[[list[Module]], Module]]


def to_stacked(x: Tensor, layout: str, count: int) -> Tensor:
    """(K, N, ...), a view where it can be one."""
    if layout == STACKED:
        return x
    if layout == SHARED:
        return x.unsqueeze(0).expand(count, *x.shape)
    return x.reshape(x.shape[0], count, -1, *x.shape[2:]).transpose(0, 1)


def to_channels(x: Tensor, layout: str, count: int) -> Tensor:
    """(N, K · C, ...)."""
    if layout == CHANNELS:
        return x
    x = to_stacked(x, layout, count).transpose(0, 1)
    return x.reshape(x.shape[0], -1, *x.shape[3:])


class Stacked(Module):
    """Base of stacked layers: `run` takes an activation with its layout and gives both back.

    A stacked layer of one's own defines `run`, and `__init__` from the list of members; it has the
    members' parameters under the same names (`stack_members` makes them). Called like an ordinary
    layer it takes and gives (K, N, ...).
    """

    count: int
    rank: int | None = None  # of an ordinary input with its batch, where the layer knows it

    def __init__(self, members: Sequence[Module]) -> None:
        super().__init__()
        self.count = len(members)

    def stack_members(self, members: Sequence[Module]) -> None:
        """Registers the members' parameters and buffers with a first dimension K."""
        first = members[0]
        for name, value in first._parameters.items():
            made: Parameter | None = None
            if value is not None:
                joined = stack([getattr(each, name).detach() for each in members])
                made = Parameter(joined, value.requires_grad)
            self.register_parameter(name, made)
        for name, value in first._buffers.items():
            persistent = name not in first._non_persistent_buffers_set
            buffers = [getattr(each, name) for each in members]
            self.register_buffer(name, None if value is None else stack(buffers), persistent)

    def run(self, x: Tensor, layout: str) -> tuple[Tensor, str]:
        """The outputs of all members, and their layout."""
        raise NotImplementedError

    def forward(self, input: Tensor) -> Tensor:
        return to_stacked(*self.run(input, STACKED), self.count)

    @no_grad()
    def copy_member(self, index: int, module: Module, *, into: bool) -> None:
        """Copies member `index` out into an ordinary layer, or with `into`, from it."""
        for name in self._members:
            copy_slice(getattr(self, name), index, getattr(module, name), into)


def copy_slice(own: Tensor | None, index: int, other: Tensor | None, into: bool) -> None:
    """Copies a slice of a stack out, with its dtype and `requires_grad`, or `into` it."""
    if own is None or other is None:
        return
    if into:
        own[index].copy_(other)
    else:
        other.data = own[index].detach().clone()
        other.requires_grad = own.requires_grad


def shell_of(layer: Module) -> Any:
    """An object of the layer's class without its tensors: its `forward` reads those that are put
    into its ``__dict__`` before each call."""
    shell: Any = object.__new__(type(layer))
    shell.__dict__.update(Module().__dict__)
    for name, value in layer.__dict__.items():
        if name not in shell.__dict__ and name not in layer._members:
            shell.__dict__[name] = deepcopy(value)
    return shell


class _Shelled(Stacked):
    """A layer that computes through its own class, with other sizes and reshaped parameters."""

    def __init__(self, members: Sequence[Module]) -> None:
        super().__init__(members)
        self.stack_members(members)
        self.__dict__["shell"] = shell_of(members[0])  # not a module of this one

    def call_shell(self, x: Tensor) -> Tensor:
        shell = self.__dict__["shell"]
        attributes = shell.__dict__
        attributes["training"] = self.training
        for name in self._members:
            value = getattr(self, name)
            attributes[name] = None if value is None else self.flat(name, value)
        try:
            return shell.forward(x)
        finally:
            for name in self._members:  # they would keep the graph alive
                attributes[name] = None

    def flat(self, name: str, value: Tensor) -> Tensor:
        """(K, C, ...) as (K · C, ...), on the same memory."""
        return value.reshape(-1, *value.shape[2:])

    def extra_repr(self) -> str:
        return f"{self.count} x {self.__dict__['shell']._get_name()}"


class StackedLinear(Stacked):
    """Yₖ = Xₖ Wₖᵀ + bₖ in one batched product."""

    rank = 2
    weight: Tensor
    bias: Tensor | None

    def __init__(self, members: Sequence[Module]) -> None:
        super().__init__(members)
        self.stack_members(members)

    def run(self, x: Tensor, layout: str) -> tuple[Tensor, str]:
        if layout == CHANNELS:
            x, layout = to_stacked(x, layout, self.count), STACKED
        lead = 0 if layout == SHARED else 1
        middle: Any = None
        if x.dim() != lead + 2:  # (..., in) as rows
            middle = x.shape[lead:-1]
            x = x.reshape(*x.shape[:lead], -1, x.shape[-1])
        if self.bias is None:
            y = MatMul(False, True).apply(x, self.weight)
        else:
            y = LinearBatch().apply(x, self.weight, self.bias)
        return (y if middle is None else y.reshape(self.count, *middle, -1)), STACKED

    def extra_repr(self) -> str:
        count, outputs, inputs = self.weight.shape
        return (
            f"{count} x Linear(in_features={inputs}, out_features={outputs}, "
            f"bias={self.bias is not None})"
        )


class StackedConv(_Shelled):
    """Convolutions: one with K times the groups, or for a shared input, with K times the output
    channels."""

    def __init__(self, members: Sequence[Any]) -> None:
        super().__init__(members)
        self.groups = members[0].groups
        self.rank = members[0].dims + 2

    def run(self, x: Tensor, layout: str) -> tuple[Tensor, str]:
        shared = layout == SHARED and self.groups == 1
        self.__dict__["shell"].groups = 1 if shared else self.groups * self.count
        return self.call_shell(x if shared else to_channels(x, layout, self.count)), CHANNELS


class StackedBatchNorm(_Shelled):
    """Batch normalisation of K · C channels."""

    num_batches_tracked: Tensor | None

    def run(self, x: Tensor, layout: str) -> tuple[Tensor, str]:
        return self.call_shell(to_channels(x, layout, self.count)), CHANNELS

    def stack_members(self, members: Sequence[Any]) -> None:
        super().stack_members(members)
        counted = members[0].num_batches_tracked
        if counted is not None:
            # All members see as many batches: one count, which the kernel advances.
            if any(each.num_batches_tracked.item() != counted.item() for each in members):
                raise ValueError("Ensemble: the members' BatchNorms have seen unlike many batches")
            self.num_batches_tracked = counted.clone()

    def flat(self, name: str, value: Tensor) -> Tensor:
        return value if name == "num_batches_tracked" else super().flat(name, value)

    @no_grad()
    def copy_member(self, index: int, module: Any, *, into: bool) -> None:
        count = self.num_batches_tracked
        if count is not None:
            a, b = (count, module.num_batches_tracked)
            (a if into else b).copy_(b if into else a)
        for name in ("weight", "bias", "running_mean", "running_var"):
            copy_slice(getattr(self, name), index, getattr(module, name), into)


class StackedGroupNorm(_Shelled):
    """Group normalisation with K times the groups."""

    def __init__(self, members: Sequence[Any]) -> None:
        super().__init__(members)
        shell = self.__dict__["shell"]
        shell.num_groups *= self.count
        shell.num_channels *= self.count

    def run(self, x: Tensor, layout: str) -> tuple[Tensor, str]:
        return self.call_shell(to_channels(x, layout, self.count)), CHANNELS


class StackedLayerNorm(_Shelled):
    """Layer normalisation without weight and bias, and then each member's."""

    def run(self, x: Tensor, layout: str) -> tuple[Tensor, str]:
        x = to_stacked(x, layout, self.count)
        y = self.call_shell(x)
        view = [self.count] + [1] * (x.dim() - 1 - len(self.__dict__["shell"].normalized_shape))
        for name in ("weight", "bias"):
            value = self._parameters.get(name)
            if value is not None:
                value = value.reshape(*view, *value.shape[1:])
                y = y * value if name == "weight" else y + value
        return y, STACKED

    def flat(self, name: str, value: Tensor) -> Any:
        return None


class _Same(Stacked):
    """A layer without parameters, one for all members."""

    def __init__(self, members: Sequence[Module]) -> None:
        super().__init__(members)
        self.layer = deepcopy(members[0])

    def copy_member(self, index: int, module: Module, *, into: bool) -> None:
        pass


class Anywhere(_Same):
    """Computes each element from itself: any layout will do."""

    def run(self, x: Tensor, layout: str) -> tuple[Tensor, str]:
        return self.layer(x), layout


class RandomAnywhere(_Same):
    """Draws a random number for each element: not one for all members."""

    def run(self, x: Tensor, layout: str) -> tuple[Tensor, str]:
        if layout == SHARED and self.training:
            x, layout = to_stacked(x, layout, self.count), STACKED
        return self.layer(x), layout


class PerChannel(_Same):
    """Computes each channel from itself: pooling, padding."""

    def run(self, x: Tensor, layout: str) -> tuple[Tensor, str]:
        if layout == STACKED:
            x, layout = to_channels(x, layout, self.count), CHANNELS
        return self.layer(x), layout


class RandomPerChannel(_Same):
    """Draws a random number for each channel: not one for all members."""

    def run(self, x: Tensor, layout: str) -> tuple[Tensor, str]:
        return self.layer(to_channels(x, layout, self.count)), CHANNELS


class AlongDim(_Same):
    """Softmax and its relatives: the dimension is counted without that of the members."""

    def run(self, x: Tensor, layout: str) -> tuple[Tensor, str]:
        if layout == SHARED:
            return self.layer(x), layout
        x = to_stacked(x, layout, self.count)
        layer: Any = self.layer
        dim = layer.dim
        if dim is None:  # torch's old rule
            dim = 0 if x.dim() - 1 in (0, 1, 3) else 1
        function = x.log_softmax if "Log" in type(layer).__name__ else x.softmax
        y = function(dim if dim < 0 else dim + 1)
        return y, STACKED


class StackedFlatten(_Same):
    """Flattens each member's activation."""

    def run(self, x: Tensor, layout: str) -> tuple[Tensor, str]:
        layer: Any = self.layer
        if layout == SHARED:
            return layer(x), layout
        x = to_stacked(x, layout, self.count)
        if (layer.start_dim, layer.end_dim) == (1, -1) and layout == CHANNELS:
            x = x.transpose(0, 1)  # as it lies in memory: nothing is copied
            return x.reshape(*x.shape[:2], -1).transpose(0, 1), STACKED
        start, end = (d if d < 0 else d + 1 for d in (layer.start_dim, layer.end_dim))
        return x.flatten(start, end), STACKED


class StackedSequential(Stacked):
    """Stacked layers one after the other, under the members' names."""

    def __init__(self, members: Sequence[Module], layers: dict[str, Stacked]) -> None:
        super().__init__(members)
        for name, layer in layers.items():
            self.add_module(name, layer)

    def run(self, x: Tensor, layout: str) -> tuple[Tensor, str]:
        attributes = self.__dict__
        for name, kind in attributes["_members"].items():
            if kind == MODULE:
                x, layout = attributes[name].run(x, layout)
        return x, layout

    def copy_member(self, index: int, module: Module, *, into: bool) -> None:
        for name, layer in self._modules.items():
            layer.copy_member(index, module._modules[name], into=into)


class Separately(Stacked):
    """The way out for layers that cannot be stacked: each member runs by itself, one after the
    other."""

    def __init__(self, members: Sequence[Module]) -> None:
        super().__init__(members)
        self.members = ModuleList(deepcopy(each) for each in members)

    def run(self, x: Tensor, layout: str) -> tuple[Tensor, str]:
        if layout != SHARED:
            x = to_stacked(x, layout, self.count)
        results = [
            member(x if layout == SHARED else x[index]) for index, member in enumerate(self.members)
        ]
        return stack(results), STACKED

    def copy_member(self, index: int, module: Module, *, into: bool) -> None:
        own = self.members[index]
        if into:
            own.load_state_dict(module.state_dict())
            return
        named = (own.named_parameters(), own.named_buffers())
        for finders, others in zip(named, (module.parameters(), module.buffers()), strict=True):
            for (_, value), other in zip(finders, others, strict=True):
                other.data = value.detach().clone()
                other.requires_grad = value.requires_grad


ELEMENTWISE = {
    *("CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "Identity"),
    *("LeakyReLU", "LogSigmoid", "Mish", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus"),
    *("Softshrink", "Softsign", "Tanh", "Tanhshrink", "Threshold"),
}

# By name of the class, so that a layer needs no mention here before it exists.
_BY_NAME: dict[str, Callable[[list[Any]], Stacked]] = {
    **dict.fromkeys(ELEMENTWISE, Anywhere),
    **dict.fromkeys(("AlphaDropout", "Dropout"), RandomAnywhere),
    **dict.fromkeys(("Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout"),
                    RandomPerChannel),
    **dict.fromkeys(("LogSoftmax", "Softmax"), AlongDim),
    **dict.fromkeys(("Conv1d", "Conv2d", "Conv3d"), StackedConv),
    **dict.fromkeys(("BatchNorm1d", "BatchNorm2d", "BatchNorm3d"), StackedBatchNorm),
    "Flatten": StackedFlatten,
    "GroupNorm": StackedGroupNorm,
    "LayerNorm": StackedLayerNorm,
    "Linear": StackedLinear,
}  # fmt: skip
_PER_CHANNEL = ("MaxPool", "AvgPool", "LPPool", "Pad")  # or what ends in that, and 1d to 3d


def stacked(members: list[Module], converters: Converters, path: str = "") -> Stacked:
    """The stacked layer of several layers of one kind and the same options."""
    first = members[0]
    kind = type(first)
    if "parametrizations" in first._modules:
        raise NotImplementedError(
            f"Ensemble: {kind.__name__}{f' ({path})' if path else ''} is parametrized, which a "
            "stacked layer is not; remove it first (parametrize.remove_parametrizations)"
        )
    for index, each in enumerate(members):
        if type(each) is not kind or each.extra_repr() != first.extra_repr():
            raise ValueError(
                f"Ensemble: the members differ in {path or 'their kind'}: {first} in the first, "
                f"{each} in number {index}; one architecture is needed"
            )
    if any(any(each.__dict__[table] for table in CALL_HOOK_TABLES) for each in members):
        raise NotImplementedError(
            f"Ensemble: {kind.__name__}{f' ({path})' if path else ''} has hooks, which a stacked "
            "layer does not run; remove them first (nn.utils.prune.remove, remove_weight_norm)"
        )
    converter = converters.get(kind) or getattr(kind, "stacked", None)
    if converter is None and kind is Sequential:
        return StackedSequential(members, stacked_children(members, converters, path))
    if converter is None:
        converter = _built_in(first)
    if converter is None:
        raise NotImplementedError(
            f"Ensemble: no rule to compute {kind.__name__}{f' ({path})' if path else ''} for "
            "several networks at once. Ways out: make the network a Sequential of known layers; "
            f"pass converters={{{kind.__name__}: Ensemble.separately}}, which runs this layer one "
            f"network after the other; or give {kind.__name__} a static method stacked(members) "
            "that returns an nn.stacked.Stacked"
        )
    made = converter(members)
    if not isinstance(made, Stacked):
        raise TypeError(
            f"Ensemble: the converter of {kind.__name__} returned a {type(made).__name__}, not an "
            "nn.stacked.Stacked"
        )
    return made


def _built_in(layer: Any) -> Callable[[list[Any]], Stacked] | None:
    kind = type(layer)
    if not kind.__module__.startswith(f"{__package__}."):
        return None  # a layer of somebody else's, whatever its name
    if getattr(layer, "return_indices", False):
        return None
    if kind.__name__[:-2].endswith(_PER_CHANNEL) and kind.__name__[-2:] in ("1d", "2d", "3d"):
        return PerChannel
    return _BY_NAME.get(kind.__name__)


def stacked_children(
    members: list[Module], converters: Converters, path: str = ""
) -> dict[str, Stacked]:
    """The children of several modules, name by name, as stacked layers."""
    names = list(members[0]._modules)
    if any(list(each._modules) != names for each in members):
        raise ValueError(f"Ensemble: the members differ in the layers of {path or 'the network'}")
    return {
        name: stacked(
            [each._modules[name] for each in members], converters, f"{path}.{name}".lstrip(".")
        )
        for name in names
    }
