"""Image data: the digits that the package carries, and transforms of images."""

from . import datasets, transforms

__all__ = ["datasets", "transforms"]
