"""Rows: convolution and pooling."""

from __future__ import annotations

import importlib

import numpy as np
from layer_table import Layer


def _sized(size):
    """A call with an output size."""
    return lambda module, input: module(input, output_size=size)


CONVOLUTIONS = [
    Layer(lambda m: m.Conv1d(3, 4, 3), ((2, 3, 8),)),
    Layer(lambda m: m.Conv1d(3, 4, 3), ((3, 8),)),
    Layer(lambda m: m.Conv1d(4, 6, 3, 2, 1, 2, 2, bias=False), ((2, 4, 11),)),
    Layer(lambda m: m.Conv1d(2, 3, 4, padding="same"), ((20, 2, 9),)),
    Layer(lambda m: m.Conv3d(2, 4, 3), ((2, 2, 4, 5, 4),)),
    Layer(lambda m: m.Conv3d(2, 4, (1, 2, 3), (2, 1, 1), 1), ((2, 4, 5, 4),)),
    Layer(
        lambda m: m.Conv3d(4, 2, (2, 3, 1), 1, (1, 2, 0), (2, 2, 1), 2, bias=False),
        ((2, 4, 4, 5, 4),),
    ),
    Layer(lambda m: m.Conv3d(2, 2, 2, padding="same"), ((1, 2, 3, 4, 3),)),
    Layer(lambda m: m.ConvTranspose1d(3, 4, 3), ((2, 3, 8),)),
    Layer(lambda m: m.ConvTranspose1d(4, 2, 3, 2, 1, 1, 2, False), ((4, 5),)),
    Layer(lambda m: m.ConvTranspose1d(2, 2, 3, 3), ((2, 2, 4),), call=_sized([14])),
    Layer(lambda m: m.ConvTranspose2d(3, 4, 3), ((2, 3, 4, 5),)),
    Layer(lambda m: m.ConvTranspose2d(3, 4, 4, 2, 1), ((20, 3, 4, 4),)),
    Layer(
        lambda m: m.ConvTranspose2d(4, 2, (3, 2), (2, 3), (1, 0), (1, 2), 2, True, (2, 1)),
        ((2, 4, 3, 4),),
    ),
    Layer(lambda m: m.ConvTranspose2d(2, 2, 3, 2), ((2, 2, 3, 3),), call=_sized([2, 2, 8, 7])),
    Layer(lambda m: m.ConvTranspose3d(2, 3, 2), ((2, 2, 3, 3, 2),)),
    Layer(lambda m: m.ConvTranspose3d(2, 2, 3, 2, 1, 1, 2), ((2, 3, 2, 3),)),
]

PADDINGS = [
    Layer(lambda m: m.ConstantPad1d(2, 3.5), ((2, 3, 4),)),
    Layer(lambda m: m.ConstantPad2d((1, 0, 2, -1), 0.5), ((2, 3, 4, 5),)),
    Layer(lambda m: m.ConstantPad3d(1, -1), ((2, 2, 3, 2),)),
    Layer(lambda m: m.ZeroPad1d((1, 2)), ((3, 4),)),
    Layer(lambda m: m.ZeroPad2d(1), ((2, 3, 4, 5),)),
    Layer(lambda m: m.ZeroPad3d((1, 0, 0, 2, 1, 1)), ((1, 2, 2, 3, 2),)),
    Layer(lambda m: m.ReflectionPad1d(2), ((2, 3, 4),)),
    Layer(lambda m: m.ReflectionPad2d((1, 2, 0, 3)), ((3, 4, 5),)),
    Layer(lambda m: m.ReflectionPad3d(1), ((2, 2, 3, 2, 3),)),
    Layer(lambda m: m.ReplicationPad1d((3, 1)), ((2, 3, 4),)),
    Layer(lambda m: m.ReplicationPad2d(2), ((2, 3, 4, 5),)),
    Layer(lambda m: m.ReplicationPad3d((1, 0, 0, 2, 1, 1)), ((2, 2, 3, 2),)),
    Layer(lambda m: m.CircularPad1d(2), ((3, 4),)),
    Layer(lambda m: m.CircularPad2d((1, 2, 0, 3)), ((2, 3, 4, 5),)),
    Layer(lambda m: m.CircularPad3d(1), ((2, 2, 3, 2, 3),)),
    Layer(lambda m: m.Conv1d(2, 3, 3, padding=2, padding_mode="reflect"), ((2, 2, 5),)),
    Layer(lambda m: m.Conv2d(2, 3, 3, 2, 1, padding_mode="circular"), ((2, 2, 5, 4),)),
    Layer(lambda m: m.Conv2d(2, 3, (2, 4), 1, "same", padding_mode="replicate"), ((2, 5, 4),)),
    Layer(lambda m: m.Conv2d(2, 2, 2, 1, "valid", padding_mode="reflect"), ((1, 2, 3, 4),)),
    Layer(lambda m: m.Conv3d(1, 2, 2, padding=1, padding_mode="replicate"), ((2, 1, 2, 3, 2),)),
]

RESIZING = [
    Layer(lambda m: m.Upsample(scale_factor=2), ((2, 2, 3, 4),)),
    Layer(lambda m: m.Upsample(size=5), ((2, 2, 3),)),
    Layer(lambda m: m.Upsample((3, 2, 5), mode="trilinear"), ((2, 2, 2, 3, 3),)),
    Layer(lambda m: m.Upsample(scale_factor=(1.5, 2.0), mode="bicubic"), ((2, 2, 4, 3),)),
    Layer(lambda m: m.Upsample((5, 4), mode="bilinear", align_corners=True), ((2, 2, 3, 7),)),
    Layer(
        lambda m: m.Upsample(scale_factor=1.7, mode="linear", recompute_scale_factor=True),
        ((2, 2, 4),),
    ),
    Layer(lambda m: m.UpsamplingNearest2d(scale_factor=3), ((2, 2, 2, 3),)),
    Layer(lambda m: m.UpsamplingNearest2d((3, 4)), ((2, 2, 5, 3),)),
    Layer(lambda m: m.UpsamplingBilinear2d(scale_factor=2), ((2, 2, 2, 3),)),
]


def _library(name):
    """minigrad or torch, from the name of one of its modules."""
    return importlib.import_module(name.split(".")[0])


def _samples(nn, *shape):
    """What a fractional pool draws otherwise."""
    values = np.random.default_rng(5).random(shape).astype(np.float32)
    return _library(nn.__name__).tensor(values)


def _there_and_back(pool):
    """A pool with its indices, and the unpooling: the call makes the pool from the same library."""

    def call(module, input):
        nn = _library(type(module).__module__).nn
        return module(*pool(nn)(input), output_size=list(input.shape))

    return call


POOLS = [
    Layer(lambda m: m.MaxPool1d(2), ((2, 3, 7),)),
    Layer(lambda m: m.MaxPool1d(3, 2, 1, 2, True, True), ((3, 8),)),
    Layer(lambda m: m.MaxPool3d(2), ((2, 3, 4, 5, 4),)),
    Layer(lambda m: m.MaxPool3d((2, 3, 2), (1, 2, 2), 1, 1, True, True), ((2, 4, 5, 4),)),
    Layer(lambda m: m.AvgPool1d(2), ((2, 3, 7),)),
    Layer(lambda m: m.AvgPool1d(3, 2, 1, True, False), ((3, 8),)),
    Layer(lambda m: m.AvgPool3d(2), ((2, 3, 4, 5, 4),)),
    Layer(lambda m: m.AvgPool3d((2, 3, 2), (1, 2, 2), 1, True, False, 5), ((2, 4, 5, 4),)),
    Layer(lambda m: m.LPPool1d(2, 3), ((2, 3, 7),)),
    Layer(lambda m: m.LPPool2d(2, 3, stride=2), ((2, 3, 7, 8),)),
    Layer(lambda m: m.LPPool3d(2, (2, 3, 2), ceil_mode=True), ((2, 4, 5, 4),)),
    Layer(lambda m: m.AdaptiveAvgPool1d(3), ((2, 3, 7),)),
    Layer(lambda m: m.AdaptiveAvgPool2d(1), ((2, 3, 7, 5),)),
    Layer(lambda m: m.AdaptiveAvgPool2d((None, 3)), ((3, 4, 7),)),
    Layer(lambda m: m.AdaptiveAvgPool3d((2, 1, 3)), ((2, 3, 4, 5, 4),)),
    Layer(lambda m: m.AdaptiveMaxPool1d(3), ((2, 3, 7),)),
    Layer(lambda m: m.AdaptiveMaxPool2d((3, 2), return_indices=True), ((2, 3, 7, 5),)),
    Layer(lambda m: m.AdaptiveMaxPool2d(2), ((2, 4, 6),)),
    Layer(lambda m: m.AdaptiveMaxPool3d((2, 1, 3)), ((2, 3, 4, 5, 4),)),
    Layer(
        lambda m: m.FractionalMaxPool2d(2, output_size=3, _random_samples=_samples(m, 2, 3, 2)),
        ((2, 3, 7, 6),),
    ),
    Layer(
        lambda m: m.FractionalMaxPool3d(2, output_ratio=0.6, _random_samples=_samples(m, 1, 2, 3)),
        ((2, 5, 5, 6),),
    ),
    Layer(
        lambda m: m.MaxUnpool1d(2),
        ((2, 3, 7),),
        call=_there_and_back(lambda m: m.MaxPool1d(2, return_indices=True)),
    ),
    Layer(
        lambda m: m.MaxUnpool2d(2, 2),
        ((2, 3, 6, 5),),
        call=_there_and_back(lambda m: m.MaxPool2d(2, return_indices=True)),
    ),
    Layer(
        lambda m: m.MaxUnpool3d((1, 2, 2), padding=0),
        ((2, 3, 4, 4),),
        call=lambda module, input: _there_and_back(
            lambda m: m.MaxPool3d((1, 2, 2), return_indices=True)
        )(module, input[None])[0],
    ),
]

FOLDING = [
    Layer(lambda m: m.Unfold(2), ((2, 3, 4, 5),)),
    Layer(lambda m: m.Unfold((3, 2), 2, 1, (1, 2)), ((2, 5, 6),)),
    Layer(lambda m: m.Fold((4, 5), 2), ((2, 8, 12),)),
    Layer(lambda m: m.Fold(5, (3, 2), padding=1, stride=2), ((12, 9),)),
    Layer(lambda m: m.PixelShuffle(2), ((2, 8, 2, 3),)),
    Layer(lambda m: m.PixelUnshuffle(2), ((3, 4, 6),)),
]

LAYERS = [
    *CONVOLUTIONS,
    *FOLDING,
    *POOLS,
    *RESIZING,
    *PADDINGS,
    Layer(lambda m: m.Conv2d(3, 4, 3), ((2, 3, 8, 7),)),
    Layer(lambda m: m.Conv2d(3, 4, 3), ((3, 8, 7),)),
    Layer(lambda m: m.Conv2d(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), 2, bias=False), ((2, 4, 8, 7),)),
    Layer(lambda m: m.Conv2d(3, 4, (3, 2), padding="same"), ((2, 3, 8, 7),)),
    Layer(lambda m: m.Conv2d(3, 4, 3, 2, padding="valid"), ((2, 3, 8, 7),)),
    Layer(lambda m: m.MaxPool2d(2), ((2, 3, 8, 7),)),
    Layer(lambda m: m.MaxPool2d(3, 2, 1, ceil_mode=True), ((3, 8, 7),)),
    Layer(lambda m: m.MaxPool2d((2, 3), dilation=2), ((2, 3, 8, 8),)),
    Layer(lambda m: m.MaxPool2d(3, 2, 1, ceil_mode=True, return_indices=True), ((2, 3, 9, 8),)),
    Layer(lambda m: m.AvgPool2d(2), ((2, 3, 8, 7),)),
    Layer(lambda m: m.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), ((2, 3, 8, 7),)),
    Layer(lambda m: m.AvgPool2d((2, 3), divisor_override=5), ((3, 8, 7),)),
]
