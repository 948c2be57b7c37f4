"""Data sets in the manner of torchvision.datasets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy

from ..dtypes import int64
from ..ops.creation import tensor
from ..tensor import Tensor
from ..utils.data import Dataset


class Digits(Dataset):
    """Handwritten digits that come with the package: 1,438 images for training, 359 for the test.

    E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine
    Learning Repository, https://doi.org/10.24432/C50P49 (CC BY 4.0). The split is fixed; every
    class gives a fifth of its images to the test (see make_digits.py).

    An item is a pair of a float32 tensor (1, 8, 8) with values from 0 (paper) to 1 (ink) and the
    label, an int from 0 to 9. `transform` is applied to the image and `target_transform` to the
    label.

    ``data`` is all images, float32 (N, 1, 8, 8), and ``targets`` all labels, int64 (N). Without
    transforms, a DataLoader cuts its batches straight out of them.
    """

    classes = tuple(str(digit) for digit in range(10))

    def __init__(
        self,
        train: bool = True,
        transform: Callable[[Tensor], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> None:
        with numpy.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as archive:
            chosen = archive["test"] != bool(train)
            images, labels = archive["images"][chosen], archive["labels"][chosen]
        self.train = bool(train)
        self.transform = transform
        self.target_transform = target_transform
        self.data = tensor(images).unsqueeze(1) / 16
        self.targets = tensor(labels, dtype=int64)

    def whole_tensors(self) -> tuple[Tensor, Tensor] | None:
        """``data`` and ``targets`` where they are the samples as they are, that is without
        transforms."""
        if self.transform is not None or self.target_transform is not None:
            return None
        return self.data, self.targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image, label = self.data[index], int(self.targets[index].item())
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            label = self.target_transform(label)
        return image, label

    def __repr__(self) -> str:
        lines = [
            f"Number of datapoints: {len(self)}",
            f"Split: {'Train' if self.train else 'Test'}",
        ]
        for name in ("transform", "target_transform"):
            if getattr(self, name) is not None:
                lines.append(f"{name}: {getattr(self, name)!r}")
        return "\n    ".join(["Dataset Digits", *lines])
