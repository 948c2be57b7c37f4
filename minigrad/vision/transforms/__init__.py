"""Transforms of images, with torchvision's names, arguments and results.

https://pytorch.org/vision/stable/transforms.html

An image is a PIL image (with Pillow, the extra ``vision``) or a tensor: (C, H, W), or a batch
(N, C, H, W), uint8 from 0 to 255 or float from 0 to 1. Random draws come from the default
generator, so ``minigrad.manual_seed`` reproduces them. On a batch torchvision's transforms draw
once, for all images; ``per_sample=True`` draws for each, still in one launch.
"""

from . import affine, color, containers, conversion, crops, functional, noise
from ._image import InterpolationMode
from .affine import *  # noqa: F403
from .color import *  # noqa: F403
from .containers import *  # noqa: F403
from .conversion import *  # noqa: F403
from .crops import *  # noqa: F403
from .noise import *  # noqa: F403

__all__ = ["InterpolationMode", "functional"]
for _module in (affine, color, containers, conversion, crops, noise):
    __all__ += _module.__all__
