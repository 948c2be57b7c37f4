"""Transforms made of others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ...nn.module import Module
from ...ops.elementwise import where
from ...ops.random import randperm
from ...tensor import Tensor
from ._image import as_batch, chance, chances, like, uniform

__all__ = ["Compose", "Lambda", "RandomApply", "RandomChoice", "RandomOrder"]


class Transform(Module):
    """A transform of images. With ``per_sample`` each image of a batch (N, C, H, W) gets a draw of
    its own; torchvision draws once for the batch."""

    per_sample = False

    def draws_each(self, image: Any) -> bool:
        """Whether to draw for each image of this one (a batch)."""
        return self.per_sample and isinstance(image, Tensor) and image.ndim >= 4

    def text(self, *parts: str) -> str:
        """The repr: the class with these arguments."""
        given = [*parts, "per_sample=True"] if self.per_sample else parts
        return f"{type(self).__name__}({', '.join(given)})"


def selected(drawn: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Of each image of a batch the one or the other, by an int64 vector of draws."""
    if yes.shape != no.shape:
        raise ValueError(
            f"per_sample needs transforms that keep the shape: got {list(yes.shape)} from "
            f"{list(no.shape)}"
        )
    batch = as_batch(no)
    mask = (drawn != 0).reshape(-1, 1, 1, 1)
    return like(where(mask, as_batch(yes), batch), no)


def _lines(transforms: Iterable[Any]) -> str:
    return "".join(f"\n    {each}" for each in transforms)


class Compose:
    """One transform after the other."""

    def __init__(self, transforms: Sequence[Callable]) -> None:
        self.transforms = transforms

    def __call__(self, img: Any) -> Any:
        for transform in self.transforms:
            img = transform(img)
        return img

    def __repr__(self) -> str:
        return f"{type(self).__name__}({_lines(self.transforms)}\n)"


class Lambda:
    """Any function as a transform."""

    def __init__(self, lambd: Callable) -> None:
        if not callable(lambd):
            raise TypeError(f"Argument lambd should be callable, got {type(lambd).__name__!r}")
        self.lambd = lambd

    def __call__(self, img: Any) -> Any:
        return self.lambd(img)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class RandomApply(Transform):
    """All of the transforms with probability p, else none."""

    def __init__(
        self, transforms: Sequence[Callable], p: float = 0.5, *, per_sample: bool = False
    ) -> None:
        super().__init__()
        self.transforms = transforms
        self.p = p
        self.per_sample = per_sample

    def forward(self, img: Any) -> Any:
        result = img
        if self.draws_each(img):
            drawn = chances(as_batch(img).shape[0], self.p)
            for transform in self.transforms:
                result = transform(result)
            return selected(drawn, result, img)
        if chance(self.p):
            for transform in self.transforms:
                result = transform(result)
        return result

    def __repr__(self) -> str:
        return f"{type(self).__name__}(\n    p={self.p}{_lines(self.transforms)}\n)"


class _OfSeveral:
    def __init__(self, transforms: Sequence[Callable]) -> None:
        if not isinstance(transforms, Sequence):
            raise TypeError("Argument transforms should be a sequence")
        self.transforms = transforms

    def __repr__(self) -> str:
        return f"{type(self).__name__}({_lines(self.transforms)}\n)"


class RandomOrder(_OfSeveral):
    """All of the transforms in random order."""

    def __call__(self, img: Any) -> Any:
        for index in randperm(len(self.transforms)).tolist():
            img = self.transforms[index](img)
        return img


class RandomChoice(_OfSeveral):
    """One of the transforms, drawn with the weights p (without: all the same)."""

    def __init__(self, transforms: Sequence[Callable], p: Sequence[float] | None = None) -> None:
        super().__init__(transforms)
        if p is not None and not isinstance(p, Sequence):
            raise TypeError("Argument p should be a sequence")
        if p is not None and len(p) != len(transforms):
            raise ValueError(f"{len(p)} weights for {len(transforms)} transforms")
        self.p = p

    def __call__(self, img: Any) -> Any:
        weights = [1.0] * len(self.transforms) if self.p is None else list(self.p)
        place = uniform(0.0, sum(weights))
        for transform, weight in zip(self.transforms, weights, strict=True):
            place -= weight
            if place < 0:
                return transform(img)
        return self.transforms[-1](img)

    def __repr__(self) -> str:
        return f"{super().__repr__()}(p={self.p})"
