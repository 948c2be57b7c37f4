"""`VisionDataset`: what the image data sets have in common."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy

from ...dtypes import get_default_dtype
from ...tensor import Tensor
from ...utils.data import Dataset


class VisionDataset(Dataset[Any]):
    """Images with labels. A sample is ``(transform(image), target_transform(label))``.

    ``tensors()`` gives all of them at once, without the transforms.
    """

    root: Path | None
    transform: Callable[[Any], Any] | None
    target_transform: Callable[[Any], Any] | None

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
    ) -> None:
        self.root = None if root is None else Path(root).expanduser()
        self.transform = transform
        self.target_transform = target_transform

    def _transformed(self, image: Any, label: Any) -> tuple[Any, Any]:
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            label = self.target_transform(label)
        return image, label

    def extra_repr(self) -> str:
        """Further lines of the repr()."""
        return ""

    def __repr__(self) -> str:
        lines = [f"Number of datapoints: {len(self)}"]  # type: ignore[arg-type]
        if self.root is not None:
            lines.append(f"Root location: {self.root}")
        lines += self.extra_repr().splitlines()
        given = [("Transform: ", self.transform), ("Target transform: ", self.target_transform)]
        if any(transform is not None for _, transform in given):
            lines.append("StandardTransform")
        text = "\n    ".join([f"Dataset {type(self).__name__}", *lines])
        for title, transform in given:
            if transform is not None:
                # As torchvision prints it: at the margin, further lines under the first.
                text += "\n" + title + repr(transform).replace("\n", "\n" + " " * len(title))
        return text


class ArrayDataset(VisionDataset):
    """A data set whose images lie in one array of bytes, ``data``.

    A sample's image is a PIL image, as in torchvision. Where the transform is ToTensor, alone or
    before others that treat a batch image by image, no PIL image is made: a DataLoader cuts each
    batch out of ``data`` and transforms it at once, and Pillow is not needed.
    """

    data: Any
    targets: Any
    classes: Sequence[str]
    train: bool

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The number of each class."""
        return {name: number for number, name in enumerate(self.classes)}

    def _pixels(self) -> Tensor:
        """``data`` as uint8 (N, C, H, W), on the same memory."""
        raise NotImplementedError

    def _labels(self) -> Tensor:
        """``targets`` as int64 (N)."""
        raise NotImplementedError

    def tensors(self) -> tuple[Tensor, Tensor]:
        """All images, of the default dtype with values from 0 to 1, (N, C, H, W), and all labels,
        int64 (N), without the transforms: for ``TensorDataset(*dataset.tensors())`` or a loop of
        one's own. The images take four times the memory of ``data``."""
        return _scaled(self._pixels()), self._labels()

    def whole_batches(
        self,
    ) -> tuple[tuple[Tensor, ...], Callable[[list[Tensor]], list[Tensor]]] | None:
        """For the DataLoader: the tensors whose rows are the samples before their transforms, and
        the function that transforms a batch of them. None where samples go through it one by one.
        """
        rest = None if self.target_transform is not None else after_to_tensor(self.transform)
        if rest is None:
            return None
        return (self._pixels(), self._labels()), lambda batch: [_apply(rest, batch[0]), batch[1]]

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        label = int(self.targets[index])
        rest = after_to_tensor(self.transform)
        if rest is None:
            return self._transformed(pil_image(numpy.asarray(self.data[index])), label)
        image = _apply(rest, self._pixels()[index])
        return image, label if self.target_transform is None else self.target_transform(label)

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"


def _scaled(pixels: Tensor) -> Tensor:
    return pixels.to(get_default_dtype()) / 255


def _apply(transforms: Sequence[Callable[[Any], Any]], pixels: Tensor) -> Any:
    image = _scaled(pixels)
    for transform in transforms:
        image = transform(image)
    return image


# Transforms without random numbers that treat each image of a batch as they treat it alone.
_BATCHED = ("CenterCrop", "ConvertImageDtype", "Grayscale", "Normalize", "Pad", "Resize")


def after_to_tensor(transform: Any) -> list[Callable[[Any], Any]] | None:
    """What follows ToTensor in a transform, if that is known to treat the images of a batch one by
    one; else None."""
    known: Any = sys.modules.get("minigrad.vision.transforms")
    if known is None:  # then nobody has made a transform of it
        return None
    steps = list(transform.transforms) if type(transform) is known.Compose else [transform]
    if not steps or type(steps[0]) is not known.ToTensor:
        return None
    plain = tuple(getattr(known, name) for name in _BATCHED)
    rest = steps[1:]
    if all(type(step) in plain or getattr(step, "per_sample", False) is True for step in rest):
        return rest
    return None


def pil_image(values: numpy.ndarray) -> Any:
    """An array (H, W) or (H, W, 3) of bytes as a PIL image."""
    return pillow_image_module().fromarray(values)


def pillow_image_module() -> Any:
    """Pillow's module of images; ImportError that says what to install."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "images of this dataset are PIL images: pip install 'minigrad[vision]' (or pillow). "
            "Without it use transform=ToTensor(), or .tensors() for all images at once"
        ) from error
    return Image
