"""The two networks that the command trains, and their default settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from .. import nn
from ..tensor import Tensor


class MLP(nn.Module):
    """64 - 256 - 128 - 10, ReLU and dropout after each hidden layer."""

    defaults: ClassVar = {"epochs": 40, "adam": 4e-3, "adamw": 4e-3, "sgd": 5e-2}

    def __init__(self) -> None:
        super().__init__()
        self.hidden1 = nn.Linear(64, 256)
        self.hidden2 = nn.Linear(256, 128)
        self.output = nn.Linear(128, 10)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(0.2)

    def forward(self, images: Tensor) -> Tensor:
        """images (N, 1, 8, 8) -> logits (N, 10)"""
        x = images.flatten(1)
        x = self.dropout(self.relu(self.hidden1(x)))
        x = self.dropout(self.relu(self.hidden2(x)))
        return self.output(x)


class CNN(nn.Module):
    """Two 3 x 3 convolutions, normalised, a 2 x 2 pool, a linear layer: channels 1, 16, 32."""

    defaults: ClassVar = {"epochs": 20, "adam": 2e-3, "adamw": 2e-3, "sgd": 5e-2}

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, kernel_size=3, padding=1)
        self.norm1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, kernel_size=3, padding=1)
        self.norm2 = nn.BatchNorm2d(32)
        self.pool = nn.MaxPool2d(2)
        self.output = nn.Linear(32 * 4 * 4, 10)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(0.1)

    def forward(self, images: Tensor) -> Tensor:
        """images (N, 1, 8, 8) -> logits (N, 10)"""
        x = self.relu(self.norm1(self.conv1(images)))
        x = self.pool(self.relu(self.norm2(self.conv2(x))))
        return self.output(self.dropout(x.flatten(1)))


MODELS: dict[str, type[MLP] | type[CNN]] = {"mlp": MLP, "cnn": CNN}


def kind_of(weights: Mapping[str, Tensor]) -> str | None:
    """Which of the models has these weights, by their names and shapes; None if neither."""
    shapes = {name: tuple(value.shape) for name, value in weights.items()}
    for kind, model in MODELS.items():
        if shapes == {name: tuple(value.shape) for name, value in model().state_dict().items()}:
            return kind
    return None
