"""The digits that the package carries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy

from ...dtypes import int64
from ...ops.creation import tensor
from ...tensor import Tensor
from .vision import VisionDataset


class Digits(VisionDataset):
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
        super().__init__(None, transform, target_transform)
        with numpy.load(Path(__file__).parents[1] / "digits.npz", allow_pickle=False) as archive:
            chosen = archive["test"] != bool(train)
            images, labels = archive["images"][chosen], archive["labels"][chosen]
        self.train = bool(train)
        self.data = tensor(images).unsqueeze(1) / 16
        self.targets = tensor(labels, dtype=int64)

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The number of each class."""
        return {name: number for number, name in enumerate(self.classes)}

    def tensors(self) -> tuple[Tensor, Tensor]:
        """``data`` and ``targets``, without the transforms."""
        return self.data, self.targets

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
        return self._transformed(image, label)

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"
