"""Three layers on CIFAR-10, with six optimizers side by side.

What one learns: what momentum, Nesterov's form of it, AdaGrad, RMSProp and Adam make of the same
network, the same batches and the same start, and that the training loss and the test accuracy tell
different stories. The curves go to runs/cifar10_three_layer.png.

    python examples/cifar10_three_layer.py               with data/cifar-10-python.tar.gz
    python examples/cifar10_three_layer.py --download    fetches it first (170 MB)
    python examples/cifar10_three_layer.py --stand-in    with FashionMNIST, or the digits
    python examples/cifar10_three_layer.py --quick       a short run, where needed with a stand-in
"""

import argparse
import sys
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from tqdm import tqdm

import minigrad
from minigrad import nn, optim
from minigrad.datasets import Standardization
from minigrad.utils.data import DataLoader, TensorDataset
from minigrad.vision.datasets import CIFAR10, Digits, FashionMNIST

parser = argparse.ArgumentParser(description="Six optimizers on a three-layer network.")
parser.add_argument("--root", default="data", help="folder of the images")
parser.add_argument("--download", action="store_true", help="fetch CIFAR-10 if needed")
parser.add_argument("--stand-in", action="store_true", help="FashionMNIST or the digits instead")
parser.add_argument("--quick", action="store_true", help="a short run on a part of the images")
parser.add_argument("--epochs", type=int, help="15, or 3 with --quick")
options = parser.parse_args()

EPOCHS = options.epochs or (3 if options.quick else 15)
BATCH_SIZE, HIDDEN, WEIGHT_DECAY = 128, (256, 128), 1e-4

# Usual learning rates, not tuned to these images.
OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, weight_decay=WEIGHT_DECAY),
    "momentum": lambda p: optim.SGD(p, lr=0.03, momentum=0.9, weight_decay=WEIGHT_DECAY),
    "Nesterov": lambda p: optim.SGD(
        p, lr=0.03, momentum=0.9, nesterov=True, weight_decay=WEIGHT_DECAY
    ),
    "AdaGrad": lambda p: optim.Adagrad(p, lr=0.01, weight_decay=WEIGHT_DECAY),
    "RMSProp": lambda p: optim.RMSprop(p, lr=0.0003, weight_decay=WEIGHT_DECAY),
    "Adam": lambda p: optim.Adam(p, lr=0.0003, weight_decay=WEIGHT_DECAY),
}


def load_images() -> tuple[str, TensorDataset, TensorDataset]:
    """A name, the training images and the test images: CIFAR-10, or what stands in for it. Each
    pixel has mean 0 and deviation 1 over the training images."""
    sources = [] if options.stand_in else [CIFAR10]
    sources += [FashionMNIST, Digits] if options.stand_in or options.quick else []
    for source in sources:
        try:
            if source is Digits:
                parts = [Digits(train=train) for train in (True, False)]
            else:
                fetch = options.download and source is CIFAR10
                parts = [
                    source(options.root, train=train, download=fetch) for train in (True, False)
                ]
            break
        except RuntimeError as error:
            print(f"{source.__name__}: {error}\n")
    else:
        sys.exit("no images; --download fetches CIFAR-10, --stand-in takes others")
    (train_images, train_labels), (test_images, test_labels) = [part.tensors() for part in parts]
    if options.quick:
        train_images, train_labels = train_images[:2000], train_labels[:2000]
        test_images, test_labels = test_images[:1000], test_labels[:1000]
    scale = Standardization.fit(train_images)
    return (
        source.__name__,
        TensorDataset(scale(train_images), train_labels),
        TensorDataset(scale(test_images), test_labels),
    )


def new_network(inputs: int) -> nn.Module:
    """2 x {Linear - ReLU}, then Linear: the same weights every time."""
    minigrad.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(inputs, HIDDEN[0]),
        nn.ReLU(),
        nn.Linear(HIDDEN[0], HIDDEN[1]),
        nn.ReLU(),
        nn.Linear(HIDDEN[1], 10),
    )


def accuracy(net: nn.Module, data: TensorDataset) -> float:
    """The share of the images that the network names right."""
    with minigrad.no_grad():
        right = sum((net(x).argmax(dim=1) == y).sum().item() for x, y in DataLoader(data, 1000))
    return right / len(data)


def train_with(name: str, train: TensorDataset, test: TensorDataset) -> list[tuple[float, float]]:
    """(mean loss, test accuracy) of each epoch."""
    net = new_network(train.tensors[0][0].numel())
    optimizer = OPTIMIZERS[name](net.parameters())
    criterion = nn.CrossEntropyLoss()
    shuffled = minigrad.Generator().manual_seed(1)  # the same batches for every optimizer
    loader = DataLoader(train, BATCH_SIZE, shuffle=True, generator=shuffled)
    curve = []
    for _ in tqdm(range(EPOCHS), desc=name, leave=False):
        total = 0.0
        for images, labels in loader:
            optimizer.zero_grad()
            loss = criterion(net(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
        curve.append((total / len(loader), accuracy(net, test)))
    return curve


def plot(curves: dict[str, list[tuple[float, float]]], title: str, path: Path) -> None:
    """The training losses on the left, the test accuracies on the right."""
    matplotlib.use("Agg")
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    epochs = range(1, EPOCHS + 1)
    for name, curve in curves.items():
        left.plot(epochs, [loss for loss, _ in curve], label=name)
        right.plot(epochs, [score for _, score in curve], label=name)
    left.set(xlabel="epoch", ylabel="training loss", yscale="log")
    right.set(xlabel="epoch", ylabel="test accuracy")
    right.legend()
    figure.suptitle(title)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


source, train, test = load_images()
inputs = train.tensors[0][0].numel()
print(f"{source}: {len(train)} images, network {inputs}-{HIDDEN[0]}-{HIDDEN[1]}-10")
curves = {name: train_with(name, train, test) for name in OPTIMIZERS}
for name, curve in curves.items():
    best = max(score for _, score in curve)
    print(f"{name:9s} loss {curve[-1][0]:.4f}, test {curve[-1][1]:.2%}, best {best:.2%}")
path = Path("runs/cifar10_three_layer.png")
plot(curves, f"Three layers on {source}", path)
print(f"wrote {path}")
