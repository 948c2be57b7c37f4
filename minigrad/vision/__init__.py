"""Image data: the digits that the package carries."""

from . import datasets

__all__ = ["datasets"]
