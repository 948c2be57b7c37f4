"""Dropout in its forms: none, inverted, vanilla, and DropConnect, on few digits.

What one learns: inverted dropout scales in training, vanilla dropout in evaluation; both train the
same network up to the learning rate. DropConnect drops single weights. A network that is too large
for its data knows the training images by heart soon with any of them, but noise on the way makes it
better on others: a point or two with 200 images, and it takes longer to get there. The picture goes
to runs/dropout_variants.png.
"""

import sys
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from tqdm import tqdm

import minigrad
from minigrad import nn, optim
from minigrad.nn.utils.parametrizations import drop_connect
from minigrad.vision.datasets import Digits

QUICK = "--quick" in sys.argv
EPOCHS, SEEDS, BATCH_SIZE, P = (3, 1, 20, 0.3) if QUICK else (150, 3, 20, 0.3)

minigrad.set_num_threads(1)
images, test = Digits(train=True), Digits(train=False)
VARIANTS = ("none", "inverted", "vanilla", "DropConnect")


def make(variant: str) -> nn.Sequential:
    """The same network with one of the variants behind its hidden layers."""
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in ((64, 256), (256, 256)):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        if variant in ("inverted", "vanilla"):
            layers.append(nn.Dropout(P, inverted=variant == "inverted"))
    net = nn.Sequential(*layers, nn.Linear(256, 10))
    if variant == "DropConnect":
        drop_connect(net[3], "weight", P)
        drop_connect(net[-1], "weight", P)
    return net


def accuracy(net: nn.Module, data: minigrad.Tensor, targets: minigrad.Tensor) -> float:
    """The share of right decisions."""
    with minigrad.no_grad():
        return (net.eval()(data).argmax(dim=1) == targets).float().mean().item()


def fit(variant: str, seed: int) -> tuple[list[float], list[float]]:
    """Accuracy on training and test images after each epoch."""
    minigrad.manual_seed(seed)
    chosen = minigrad.randperm(len(images))[:200]
    data, targets = images.data[chosen], images.targets[chosen]
    net = make(variant)
    optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    training, tested = [], []
    for _ in tqdm(range(EPOCHS), desc=f"{variant}, seed {seed}", disable=None):
        net.train()
        for batch in minigrad.randperm(len(data)).split(BATCH_SIZE):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(data[batch]), targets[batch]).backward()
            optimizer.step()
        training.append(accuracy(net, data, targets))
        tested.append(accuracy(net, test.data, test.targets))
    return training, tested


matplotlib.use("Agg")
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharex=True)
for variant in VARIANTS:
    curves = [fit(variant, seed) for seed in range(SEEDS)]
    means = [[sum(each) / SEEDS for each in zip(*kind, strict=True)]
             for kind in zip(*curves, strict=True)]  # fmt: skip
    last = [tested[-1] for _, tested in curves]
    print(
        f"{variant:12} training {means[0][-1]:.2%}, test {means[1][-1]:.2%} in the mean of {SEEDS} "
        f"({min(last):.2%} to {max(last):.2%})"
    )
    for axis, curve in zip(axes, means, strict=True):
        axis.plot(range(1, EPOCHS + 1), curve, label=variant)
axes[0].set(xlabel="epoch", ylabel="accuracy on the training images", ylim=(0.85, 1.005))
axes[1].set(xlabel="epoch", ylabel="accuracy on the test images", ylim=(0.8, 0.98))
axes[1].legend()
figure.tight_layout()
path = Path("runs/dropout_variants.png")
path.parent.mkdir(exist_ok=True)
figure.savefig(path, dpi=120)
print(f"wrote {path}")
