"""Bad calls of convolution, pooling, padding and resampling: the exceptions are torch's."""

from __future__ import annotations

import pytest

import minigrad as mg

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::UserWarning:torch")]


def f(name, *shapes, **options):
    """A call of a function of nn.functional on ones of these shapes."""
    return lambda m: getattr(m.nn.functional, name)(*[m.ones(*s) for s in shapes], **options)


def layer(make, *shape, **options):
    """A call of a layer, or with no shape its construction."""
    return lambda m: make(m.nn)(m.ones(*shape), **options) if shape else make(m.nn)


BAD = {
    "conv1d dims": f("conv1d", (2, 3, 4, 5), (1, 3, 2)),
    "conv1d weight": f("conv1d", (2, 3, 4), (3, 2)),
    "conv1d channels": f("conv1d", (2, 3, 4), (1, 2, 2)),
    "conv1d kernel": f("conv1d", (2, 3, 4), (1, 3, 5)),
    "conv1d stride": f("conv1d", (2, 3, 4), (1, 3, 2), stride=0),
    "conv1d padding": f("conv1d", (2, 3, 4), (1, 3, 2), padding=-1),
    "conv1d padding list": f("conv1d", (2, 3, 4), (1, 3, 2), padding=(1, 2)),
    "conv1d padding text": f("conv1d", (2, 3, 4), (1, 3, 2), padding="full"),
    "conv1d bias": f("conv1d", (2, 3, 4), (2, 3, 2), (3,)),
    "conv3d groups": f("conv3d", (1, 4, 3, 3, 3), (3, 2, 2, 2, 2), groups=2),
    "conv3d no groups": f("conv3d", (1, 4, 3, 3, 3), (3, 2, 2, 2, 2), groups=0),
    "conv3d dims": f("conv3d", (4, 3, 3), (3, 2, 2, 2, 2)),
    "conv3d dilation": f("conv3d", (1, 1, 3, 3, 3), (1, 1, 2, 2, 2), dilation=0),
    "conv3d dtype": lambda m: m.nn.functional.conv3d(
        m.ones(1, 1, 3, 3, 3), m.ones(1, 1, 2, 2, 2, dtype=m.float64)
    ),
    "conv_transpose1d channels": f("conv_transpose1d", (1, 2, 3), (3, 2, 2)),
    "conv_transpose2d output_padding": f(
        "conv_transpose2d", (1, 2, 3, 3), (2, 1, 2, 2), stride=2, output_padding=2
    ),
    "conv_transpose2d too small": f("conv_transpose2d", (1, 2, 1, 1), (2, 1, 2, 2), padding=2),
    "conv_transpose2d bias": f("conv_transpose2d", (1, 2, 3, 3), (2, 1, 2, 2), (2,)),
    "conv_transpose3d dims": f("conv_transpose3d", (2, 3, 3), (2, 1, 2, 2, 2)),
    "Conv1d groups": layer(lambda n: n.Conv1d(3, 4, 2, groups=2)),
    "Conv3d padding": layer(lambda n: n.Conv3d(3, 4, 2, padding="full")),
    "Conv3d same stride": layer(lambda n: n.Conv3d(3, 4, 2, 2, padding="same")),
    "Conv1d padding_mode": layer(lambda n: n.Conv1d(3, 4, 2, padding_mode="mirror")),
    "ConvTranspose1d mode": layer(lambda n: n.ConvTranspose1d(3, 4, 2, padding_mode="circular")),
    "ConvTranspose1d size": layer(lambda n: n.ConvTranspose1d(1, 1, 2), 1, 1, 3, output_size=[9]),
    "ConvTranspose1d sizes": layer(
        lambda n: n.ConvTranspose1d(1, 1, 2), 1, 1, 3, output_size=[4, 4]
    ),
    "pad odd": f("pad", (2, 3), pad=(1,)),
    "pad too many": f("pad", (2, 3), pad=(1, 1, 1, 1, 1, 1)),
    "pad negative size": f("pad", (2, 3), pad=(-2, -2)),
    "pad mode": f("pad", (2, 3), pad=(1, 1), mode="mirror"),
    "pad value": f("pad", (2, 3, 4), pad=(1, 1), mode="reflect", value=1.0),
    "pad reflect too wide": f("pad", (2, 3, 4), pad=(4, 1), mode="reflect"),
    "pad reflect dims": f("pad", (3,), pad=(1, 1), mode="reflect"),
    "pad reflect of four": f("pad", (2, 3, 4, 5), pad=(1, 1), mode="reflect"),
    "pad reflect empty": f("pad", (2, 3, 0), pad=(0, 0), mode="reflect"),
    "pad reflect cut": f("pad", (2, 3, 4), pad=(-2, -2), mode="reflect"),
    "pad replicate empty": f("pad", (2, 3, 0), pad=(1, 0), mode="replicate"),
    "pad replicate cut": f("pad", (2, 3, 4), pad=(-2, -2), mode="replicate"),
    "pad circular too wide": f("pad", (2, 3, 4), pad=(5, 1), mode="circular"),
    "CircularPad1d dims": layer(lambda n: n.CircularPad1d(1), 2, 3, 4, 5),
    "CircularPad3d dims": layer(lambda n: n.CircularPad3d(1), 2, 3, 4),
    "ReflectionPad2d dims": layer(lambda n: n.ReflectionPad2d(1), 3, 4),
    "interpolate nothing": f("interpolate", (1, 1, 4)),
    "interpolate both": f("interpolate", (1, 1, 4), size=3, scale_factor=2),
    "interpolate corners": f("interpolate", (1, 1, 4), size=3, align_corners=True),
    "interpolate sizes": f("interpolate", (1, 1, 4), size=(3, 4)),
    "interpolate float size": f("interpolate", (1, 1, 4), size=(2.5,)),
    "interpolate factors": f("interpolate", (1, 1, 4), scale_factor=(3.0, 4.0)),
    "interpolate recomputed": f("interpolate", (1, 1, 4), size=3, recompute_scale_factor=True),
    "interpolate dims": f("interpolate", (1, 4), size=3),
    "interpolate mode": f("interpolate", (1, 1, 4), size=3, mode="quintic"),
    "interpolate bilinear 3D": f("interpolate", (1, 1, 4), size=3, mode="bilinear"),
    "interpolate linear 4D": f("interpolate", (1, 1, 4, 4), size=3, mode="linear"),
    "interpolate trilinear 4D": f("interpolate", (1, 1, 4, 4), size=3, mode="trilinear"),
    "interpolate bicubic 5D": f("interpolate", (1, 1, 4, 4, 4), size=3, mode="bicubic"),
    "interpolate to nothing": f("interpolate", (1, 1, 4), size=0),
    "interpolate of nothing": f("interpolate", (1, 1, 0), size=3),
    "interpolate antialias": f("interpolate", (1, 1, 4), size=3, mode="linear", antialias=True),
    "interpolate lanczos": f("interpolate", (1, 1, 4, 4), size=3, mode="lanczos"),
    "interpolate integers": lambda m: m.nn.functional.interpolate(
        m.ones(1, 1, 4, dtype=m.int64), 3, mode="linear"
    ),
    "adaptive dims": f("adaptive_avg_pool2d", (3, 4), output_size=2),
    "adaptive sizes": f("adaptive_avg_pool2d", (1, 3, 4), output_size=(2, 2, 2)),
    "adaptive negative": f("adaptive_avg_pool2d", (1, 3, 4), output_size=(2, -2)),
    "adaptive empty": f("adaptive_avg_pool2d", (1, 0, 4), output_size=2),
    "max_pool1d dims": f("max_pool1d", (2, 3, 4, 5), kernel_size=2),
    "max_pool1d too small": f("max_pool1d", (2, 3, 4), kernel_size=5),
    "max_pool1d padding": f("max_pool1d", (2, 3, 4), kernel_size=2, padding=2),
    "max_pool1d stride": f("max_pool1d", (2, 3, 4), kernel_size=2, stride=0),
    "max_pool3d dims": f("max_pool3d", (3, 4, 5), kernel_size=2),
    "max_pool3d too small": f("max_pool3d", (1, 2, 3, 4), kernel_size=5),
    "max_pool3d padding": f("max_pool3d", (1, 4, 4, 4), kernel_size=2, padding=2),
    "max_pool3d dilation": f("max_pool3d", (1, 4, 4, 4), kernel_size=2, dilation=0),
    "max_pool3d kernel": f("max_pool3d", (1, 4, 4, 4), kernel_size=(2, 2)),
    "max_pool3d empty": f("max_pool3d", (1, 4, 0, 4), kernel_size=1),
    "avg_pool1d padding": f("avg_pool1d", (2, 3, 4), kernel_size=2, padding=2),
    "avg_pool3d divisor": f("avg_pool3d", (1, 4, 4, 4), kernel_size=2, divisor_override=0),
    "avg_pool3d dims": f("avg_pool3d", (4, 4, 4), kernel_size=2),
    "avg_pool3d negative": f("avg_pool3d", (1, 4, 4, 4), kernel_size=2, padding=-1),
    "adaptive_max dims": f("adaptive_max_pool3d", (3, 4, 4), output_size=2),
    "adaptive_max sizes": f("adaptive_max_pool1d", (1, 3, 4), output_size=(2, 2)),
    "adaptive_max empty": f("adaptive_max_pool2d", (1, 0, 4), output_size=2),
    "fractional nothing": f("fractional_max_pool2d", (1, 4, 4), kernel_size=2),
    "fractional too large": f("fractional_max_pool2d", (1, 4, 4), kernel_size=2, output_size=4),
    "fractional samples": lambda m: m.nn.functional.fractional_max_pool2d(
        m.ones(1, 4, 4), 2, 2, _random_samples=m.ones(1, 2, 2)
    ),
    "FractionalMaxPool2d nothing": layer(lambda n: n.FractionalMaxPool2d(2)),
    "FractionalMaxPool2d both": layer(lambda n: n.FractionalMaxPool2d(2, 2, 0.5)),
    "FractionalMaxPool3d ratio": layer(lambda n: n.FractionalMaxPool3d(2, output_ratio=1.5)),
    "FractionalMaxPool3d kernel": layer(lambda n: n.FractionalMaxPool3d(0, 2)),
    "max_unpool shapes": lambda m: m.nn.functional.max_unpool2d(
        m.ones(1, 2, 2), m.zeros(1, 2, 3, dtype=m.int64), 2
    ),
    "max_unpool dtype": f("max_unpool2d", (1, 2, 2), (1, 2, 2), kernel_size=2),
    "max_unpool index": lambda m: m.nn.functional.max_unpool2d(
        m.ones(1, 2, 2), m.full((1, 2, 2), 16), 2
    ),
    "max_unpool size": lambda m: m.nn.functional.max_unpool2d(
        m.ones(1, 2, 2), m.zeros(1, 2, 2, dtype=m.int64), 2, output_size=[9, 4]
    ),
    "max_unpool sizes": lambda m: m.nn.functional.max_unpool2d(
        m.ones(1, 2, 2), m.zeros(1, 2, 2, dtype=m.int64), 2, output_size=[4]
    ),
    "max_unpool3d dims": lambda m: m.nn.functional.max_unpool3d(
        m.ones(2, 2, 2), m.zeros(2, 2, 2, dtype=m.int64), 2
    ),
    "unfold dims": f("unfold", (4, 5), kernel_size=2),
    "unfold too large": f("unfold", (1, 1, 4, 5), kernel_size=6),
    "unfold stride": f("unfold", (1, 1, 4, 5), kernel_size=2, stride=0),
    "unfold empty": f("unfold", (1, 1, 0, 5), kernel_size=2),
    "fold dims": f("fold", (4,), output_size=3, kernel_size=2),
    "fold channels": f("fold", (1, 5, 4), output_size=3, kernel_size=2),
    "fold positions": f("fold", (1, 4, 5), output_size=3, kernel_size=2),
    "fold kernel": f("fold", (1, 4, 4), output_size=3, kernel_size=0),
    "pixel_shuffle dims": f("pixel_shuffle", (4, 2), upscale_factor=2),
    "pixel_shuffle channels": f("pixel_shuffle", (3, 2, 2), upscale_factor=2),
    "pixel_shuffle factor": f("pixel_shuffle", (4, 2, 2), upscale_factor=0),
    "pixel_unshuffle size": f("pixel_unshuffle", (1, 3, 2), downscale_factor=2),
    "pixel_unshuffle factor": f("pixel_unshuffle", (1, 3, 2), downscale_factor=-1),
    "channel_shuffle dims": f("channel_shuffle", (4, 2), groups=2),
    "channel_shuffle groups": f("channel_shuffle", (1, 3, 2), groups=2),
    "channel_shuffle none": f("channel_shuffle", (1, 3, 2), groups=0),
    "pad no tensor": lambda m: m.nn.functional.pad([1.0], (1, 1)),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(name):
    with pytest.raises(Exception) as wanted:
        BAD[name](torch)
    with pytest.raises(wanted.type) as found:
        BAD[name](mg)
    assert str(found.value), "an error says what is wrong"
