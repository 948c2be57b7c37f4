"""Prune and retrain: train, set the small weights to zero, train on with the masks held.

What one learns: most weights of a network can go; what their loss costs, a few epochs with the rest
win back. Zeros by themselves make nothing faster, since dense products multiply by them like by any
number. Pruning whole units does, once `prune.shrink` takes them out. The picture goes to
runs/prune_and_retrain.png.
"""

import sys
from copy import deepcopy
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt

import minigrad
from minigrad import nn, optim
from minigrad.nn.utils import prune
from minigrad.vision.datasets import Digits

QUICK = "--quick" in sys.argv
EPOCHS, RETRAIN, AMOUNTS, BATCH_SIZE = (
    (3, 1, (0.5, 0.9), 32) if QUICK else (30, 10, (0.5, 0.7, 0.8, 0.9, 0.95, 0.98), 32)
)

minigrad.set_num_threads(1)
minigrad.manual_seed(0)
train, test = Digits(train=True), Digits(train=False)


def fit(net: nn.Module, epochs: int, lr: float) -> None:
    """Trains a network, whether it is pruned or not."""
    optimizer = optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    for _ in range(epochs):
        for batch in minigrad.randperm(len(train)).split(BATCH_SIZE):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(train.data[batch]), train.targets[batch])
            loss.backward()
            optimizer.step()


def accuracy(net: nn.Module) -> float:
    """The share of right decisions on the test images."""
    with minigrad.no_grad():
        return (net(test.data).argmax(dim=1) == test.targets).float().mean().item()


dense = nn.Sequential(
    nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
)
fit(dense, EPOCHS, 0.05)
print(f"dense: test {accuracy(dense):.2%}, {prune.sparsity(dense).total:,} parameters")


def pruned(amount: float, structured: bool) -> nn.Sequential:
    """A copy without that share of its weights, or of the units of its hidden layers."""
    net = deepcopy(dense)
    if structured:
        for layer in (net[1], net[3]):
            prune.ln_structured(layer, "weight", amount, n=2, dim=0)
            prune.custom_from_mask(layer, "bias", (layer.weight_mask.sum(1) > 0).float())
    else:
        layers = [(net[index], "weight") for index in (1, 3, 5)]
        prune.global_unstructured(layers, prune.L1Unstructured, amount=amount)
    return net


matplotlib.use("Agg")
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharey=True)
for axis, structured in zip(axes, (False, True), strict=True):
    kind = "units" if structured else "weights"
    before, after = [], []
    for amount in AMOUNTS:
        net = pruned(amount, structured)
        before.append(accuracy(net))
        fit(net, RETRAIN, 0.02)
        after.append(accuracy(net))
        zeros = prune.sparsity(net).fraction  # the masks have held
        smaller = prune.shrink(net)
        speed = prune.compare_speed(dense, smaller, test.data)
        print(
            f"{amount:4.0%} of the {kind}: test {before[-1]:.2%} pruned, {after[-1]:.2%} "
            f"retrained; {zeros:.1%} zeros, {prune.sparsity(smaller).total:,} parameters after "
            f"shrinking; {speed}"
        )
    axis.plot(AMOUNTS, before, "o--", label="pruned")
    axis.plot(AMOUNTS, after, "o-", label="retrained")
    axis.axhline(accuracy(dense), color="gray", linewidth=1, label="dense")
    axis.set(xlabel=f"share of the {kind} that is pruned", title=f"single {kind}" if not structured
             else "whole units")  # fmt: skip
axes[0].set(ylabel="test accuracy")
axes[0].legend()
figure.tight_layout()
path = Path("runs/prune_and_retrain.png")
path.parent.mkdir(exist_ok=True)
figure.savefig(path, dpi=120)
print(f"wrote {path}")
