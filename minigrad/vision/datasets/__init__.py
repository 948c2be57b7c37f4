"""Image data sets, with torchvision.datasets' names and arguments.

Digits comes with the package. The others are read from files: out of a folder, out of the official
archive lying there, or out of a download that ``download=True`` asks for.
"""

from .cifar import CIFAR10, CIFAR100
from .digits import Digits
from .folder import DatasetFolder, ImageFolder
from .mnist import MNIST, FashionMNIST
from .vision import VisionDataset

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "MNIST",
    "DatasetFolder",
    "Digits",
    "FashionMNIST",
    "ImageFolder",
    "VisionDataset",
]
