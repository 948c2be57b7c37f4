"""Ensembles: eight networks trained at once, snapshots of one, and how much better they decide.

What one learns: the average of several networks' probabilities makes fewer mistakes than one
network; `nn.Ensemble` trains them in far less time than one after the other; a cyclic learning rate
gives several networks for the price of one. The picture goes to runs/ensemble.png.
"""

import sys
import time
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt

import minigrad
from minigrad import nn, optim
from minigrad.vision.datasets import Digits

QUICK = "--quick" in sys.argv
EPOCHS, CYCLES, COUNT, BATCH_SIZE = (4, 2, 4, 32) if QUICK else (40, 4, 8, 32)

minigrad.set_num_threads(1)  # networks this small gain nothing from more
minigrad.manual_seed(0)
images, test = Digits(train=True), Digits(train=False)
chosen = minigrad.randperm(len(images))[:400]  # few, so that there is something to gain
data, targets = images.data[chosen], images.targets[chosen]
criterion = nn.CrossEntropyLoss()


def make() -> nn.Sequential:
    """One network."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(),
                         nn.Linear(64, 10))  # fmt: skip


def accuracy(probabilities: minigrad.Tensor) -> float:
    """The share of right decisions on the test images."""
    return (probabilities.argmax(dim=-1) == test.targets).float().mean().item()


def batches():
    """An epoch's batches in a new order."""
    for batch in minigrad.randperm(len(data)).split(BATCH_SIZE):
        yield data[batch], targets[batch]


start = time.perf_counter()
ensemble = nn.Ensemble(make, COUNT)
optimizer = optim.SGD(ensemble.parameters(), lr=0.1, momentum=0.9)
for _ in range(EPOCHS):
    for x, y in batches():
        optimizer.zero_grad()
        ensemble.loss(ensemble(x, each=False), y, criterion).backward()
        optimizer.step()
together = time.perf_counter() - start

start = time.perf_counter()
for _ in range(COUNT):
    net = make()
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(EPOCHS):
        for x, y in batches():
            optimizer.zero_grad()
            criterion(net(x), y).backward()
            optimizer.step()
separately = time.perf_counter() - start

net = make()
optimizer = optim.SGD(net.parameters(), lr=0.2, momentum=0.9)
per_epoch = -(-len(data) // BATCH_SIZE)
snapshots = nn.SnapshotEnsemble(net, optimizer, cycle_length=max(EPOCHS // CYCLES, 1) * per_epoch)
rates = []
for _ in range(EPOCHS):
    for x, y in batches():
        optimizer.zero_grad()
        criterion(net(x), y).backward()
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        snapshots.step()

with minigrad.no_grad():
    outputs = ensemble(test.data, each=False).softmax(dim=-1)
    singles = [accuracy(output) for output in outputs]
    averaged = [accuracy(outputs[: k + 1].mean(0)) for k in range(COUNT)]
    voted = accuracy(ensemble.predict(test.data, "votes"))
    caught = [accuracy(each(test.data)) for each in snapshots.snapshots]
    snapshot = accuracy(snapshots.averaging()(test.data))

print(f"one network: {sum(singles) / COUNT:.2%} in the mean ({min(singles):.2%} to "
      f"{max(singles):.2%})")  # fmt: skip
print(f"{COUNT} networks: {averaged[-1]:.2%} averaged, {voted:.2%} by votes")
print(
    f"{len(caught)} snapshots of one training: {snapshot:.2%} averaged, the last alone "
    f"{caught[-1]:.2%}"
)
print(
    f"time of {COUNT} networks: {together:.2f} s at once, {separately:.2f} s one after the other, "
    f"{separately / together:.1f} times as long"
)

matplotlib.use("Agg")
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
left.plot(range(1, COUNT + 1), averaged, "o-", label="average of the first K")
left.plot([1] * COUNT, singles, "k.", alpha=0.4, label="single networks")
left.axhline(snapshot, color="tab:green", linestyle="--", label="snapshots averaged")
left.set(xlabel="K networks", ylabel="test accuracy")
left.legend()
right.plot(rates)
right.set(xlabel="step", ylabel="learning rate of the snapshot training")
figure.tight_layout()
path = Path("runs/ensemble.png")
path.parent.mkdir(exist_ok=True)
figure.savefig(path, dpi=120)
print(f"wrote {path}")
