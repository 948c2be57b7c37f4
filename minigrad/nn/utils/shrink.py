"""Taking out the units that structured pruning has zeroed, so that a network gets faster."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from ...autograd import no_grad
from ...ops.creation import zeros
from ...tensor import Tensor
from ..batchnorm import BatchNorm1d, BatchNorm2d
from ..containers import Sequential
from ..conv import Conv2d
from ..flatten import Flatten
from ..linear import Linear
from ..module import Module
from ..parameter import Parameter
from ..pooling import MaxPool2d
from ..stacked import ELEMENTWISE
from .sparsity import effective_weights

__all__ = ["shrink"]

DROPOUTS = {"Dropout", "Dropout1d", "Dropout2d", "Dropout3d"}


def shrink(net: Sequential) -> Sequential:
    """A smaller Sequential that computes the same in evaluation mode, without the units (outputs of
    a Linear, channels of a Conv2d) that do nothing.

    A unit does nothing where all its weights are zero, so that its output is constant: the
    constant (its bias, through the layers between) moves into the bias of the next Linear or
    Conv2d. Or where no weight of the next layer reads it. Between the two layers may stand
    elementwise activations, Dropout, BatchNorm, MaxPool2d and Flatten; a unit in front of anything
    else stays, as do the units of the last layer, grouped convolutions, and a unit whose constant
    is not 0 in front of a convolution with padding, which would see it end at the border.
    `net` itself is not changed; pruned parameters become ordinary ones in the result, so train
    further with care: nothing holds the remaining zeros.
    """
    if not isinstance(net, Sequential):
        raise TypeError(
            f"shrink: expected a Sequential, got {type(net).__name__}; shrink the Sequentials in "
            "it one by one"
        )
    names = list(net._modules)
    layers = [_plain(layer) for layer in net]
    with no_grad():
        for first in range(len(layers)):
            if _is_weighted(layers[first]):
                second = _consumer(layers, first)
                if second is not None:
                    _shrink_between(layers, first, second)
    result = Sequential()
    for name, layer in zip(names, layers, strict=True):
        result.add_module(name, layer)
    return result.train(net.training)


def _is_weighted(layer: Module) -> bool:
    return type(layer) is Linear or (type(layer) is Conv2d and layer.groups == 1)


def _plain(layer: Module) -> Module:
    """A copy with ordinary parameters in place of pruned ones."""
    if not any(name.endswith("_orig") for name in layer._parameters):
        return deepcopy(layer)
    if type(layer) not in (Linear, Conv2d):
        raise TypeError(f"shrink: a pruned {type(layer).__name__} is not supported")
    values = dict(effective_weights(layer))
    copied = object.__new__(type(layer))
    copied.__dict__.update(Module().__dict__)
    for name, value in layer.__dict__.items():
        if name not in copied.__dict__ and name not in layer._members and name not in values:
            copied.__dict__[name] = deepcopy(value)
    copied.training = layer.training
    for name in ("weight", "bias"):
        value = values.get(name)
        parameter = None if value is None else Parameter(value.clone())
        copied.register_parameter(name, parameter)
    return copied


def _consumer(layers: list[Module], first: int) -> int | None:
    """The next layer with weights, if only layers that keep units apart stand between."""
    producer: Any = layers[first]
    flat = type(producer) is Linear
    units = producer.weight.shape[0]
    for index in range(first + 1, len(layers)):
        layer: Any = layers[index]
        if _is_weighted(layer):
            if type(layer) is Conv2d:
                return None if flat else index
            # Behind a Linear on more than two dimensions, a Flatten mixes units and positions.
            fits = layer.in_features % units == 0
            fits = fits and (type(producer) is Conv2d or layer.in_features == units)
            return index if flat and fits else None
        if isinstance(layer, Flatten):
            if not flat and (layer.start_dim, layer.end_dim) != (1, -1):
                return None
            flat = True
        elif not _keeps_units(layer, flat, units):
            return None
    return None


def _keeps_units(layer: Module, flat: bool, units: int) -> bool:
    name = type(layer).__name__
    if name in ELEMENTWISE or name in DROPOUTS:
        return True
    if isinstance(layer, (BatchNorm1d, BatchNorm2d)):
        fits = layer.running_mean is not None and layer.num_features == units
        return fits and isinstance(layer, BatchNorm1d) == flat
    return type(layer) is MaxPool2d and not flat and not layer.return_indices


def _shrink_between(layers: list[Module], first: int, second: int) -> None:
    producer: Any = layers[first]
    consumer: Any = layers[second]
    count = producer.weight.shape[0]
    constants = _constants(layers[first + 1 : second], producer)
    read = consumer.weight.reshape(consumer.weight.shape[0], count, -1)  # (out, unit, inner)
    idle = (producer.weight.reshape(count, -1) == 0).all(1)
    if type(consumer) is Conv2d and consumer.padding not in ((0, 0), "valid"):
        idle = idle & (constants == 0)
    unread = (read == 0).all(2).all(0)
    gone = (idle | unread).tolist()
    kept = [unit for unit in range(count) if not gone[unit]] or [0]  # a layer has at least one
    if len(kept) == count:
        return
    lost = [unit for unit in range(count) if unit not in set(kept)]
    # What is unread adds nothing; what is idle adds its constant times the weights that read it.
    shift = (read[:, lost].sum(2) * constants[lost]).sum(1)
    if consumer.bias is not None:
        consumer.bias.add_(shift)
    elif bool((shift != 0).any()):
        consumer.bias = Parameter(shift)
    wide = read[:, kept].reshape(-1, len(kept) * read.shape[2])
    if type(consumer) is Linear:
        consumer.weight = Parameter(wide)
        consumer.in_features = wide.shape[1]
    else:
        consumer.weight = Parameter(consumer.weight[:, kept].clone())
        consumer.in_channels = len(kept)
    for layer in [producer, *layers[first + 1 : second]]:
        _keep(layer, kept)


def _constants(between: list[Module], producer: Any) -> Tensor:
    """What each unit gives where its weights are zero: its bias, through the layers between."""
    count = producer.weight.shape[0]
    value = zeros(count, dtype=producer.weight.dtype) if producer.bias is None else producer.bias
    value = value.detach().reshape(1, count)
    for layer in between:
        name = type(layer).__name__
        if isinstance(layer, BatchNorm2d):
            mode = layer.training
            value = layer.eval()(value.reshape(1, count, 1, 1)).reshape(1, count)
            layer.train(mode)
        elif name in ELEMENTWISE or isinstance(layer, BatchNorm1d):
            mode = layer.training
            value = deepcopy(layer).eval()(value.clone())
            layer.train(mode)
    return value.reshape(count)


def _keep(layer: Any, kept: list[int]) -> None:
    """Cuts the parameters and buffers of one value for each unit."""
    if type(layer) in (Linear, Conv2d):
        layer.weight = Parameter(layer.weight[kept].clone())
        if layer.bias is not None:
            layer.bias = Parameter(layer.bias[kept].clone())
        setattr(layer, "out_features" if type(layer) is Linear else "out_channels", len(kept))
    elif isinstance(layer, (BatchNorm1d, BatchNorm2d)):
        for name in ("weight", "bias"):
            value = getattr(layer, name)
            if value is not None:
                setattr(layer, name, Parameter(value[kept].clone()))
        for name in ("running_mean", "running_var"):
            setattr(layer, name, getattr(layer, name)[kept].clone())
        layer.num_features = len(kept)
