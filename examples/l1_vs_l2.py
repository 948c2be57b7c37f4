"""L1 against L2: what each leaves of the weights of a network for the digits.

What one learns: L2 shrinks each weight in proportion, so that all get smaller and none becomes
zero; L1 shrinks by a constant amount, so that the network concentrates on few connections. The
subgradient of L1 steps over zero and never stays there; its proximal form, the soft threshold,
gives exact zeros, and the pixels at the rim, which are always empty, lose all their connections.
The picture goes to runs/l1_vs_l2.png.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from tqdm import tqdm

import minigrad
from minigrad import nn, optim
from minigrad.nn.utils import prune
from minigrad.regularizers import L1, L2
from minigrad.vision.datasets import Digits

EPOCHS = 3 if "--quick" in sys.argv else 60
BATCH_SIZE = 32

train, test = Digits(train=True), Digits(train=False)
# The gradient of a penalty goes through momentum, which makes ten of it in time; a proximal step
# does not, so that its strength is ten times larger here.
regularizers: dict[str, tuple[Callable[[], L1 | L2] | None, str]] = {
    "none": (None, ""),
    "L2": (lambda: L2(2e-3), "penalty"),
    "L1": (lambda: L1(5e-4), "penalty"),
    "L1 proximal": (lambda: L1(5e-3), "proximal"),
}


def fit(name: str) -> nn.Sequential:
    """A network trained with one of the regularizers, always from the same start."""
    minigrad.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    make, form = regularizers[name]
    regularizer = make() if make else None
    if regularizer and form == "proximal":
        regularizer.attach(optimizer, net, form="proximal")
    for _ in tqdm(range(EPOCHS), desc=name, disable=None):
        for batch in minigrad.randperm(len(train)).split(BATCH_SIZE):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(train.data[batch]), train.targets[batch])
            if regularizer and form == "penalty":
                loss = loss + regularizer(net)
            loss.backward()
            optimizer.step()
    return net


nets = {name: fit(name) for name in regularizers}
matplotlib.use("Agg")
figure, axes = plt.subplots(2, len(nets), figsize=(13, 5.5))
for column, (name, net) in enumerate(nets.items()):
    with minigrad.no_grad():
        accuracy = (net(test.data).argmax(dim=1) == test.targets).float().mean().item()
    weights = minigrad.cat([net[1].weight.detach().flatten(), net[3].weight.detach().flatten()])
    zeros = prune.sparsity(net)
    small = (weights.abs() < 1e-2).float().mean().item()
    exact = int((weights == 0).sum().item())
    print(
        f"{name:12} test {accuracy:.2%}; weights: {exact} of {weights.numel()} exactly zero, "
        f"{small:.1%} below 0.01, mean size {weights.abs().mean().item():.4f}"
    )
    axes[0, column].hist(weights.numpy(), bins=81, range=(-0.6, 0.6), log=True)
    axes[0, column].set(title=f"{name}: {exact / weights.numel():.0%} zeros", xlabel="weight")
    used = net[1].weight.detach().abs().sum(dim=0).reshape(8, 8)
    axes[1, column].imshow(used.numpy(), cmap="magma")
    axes[1, column].set(title="Σ |weights| of each pixel", xticks=[], yticks=[])
print(zeros)
figure.tight_layout()
path = Path("runs/l1_vs_l2.png")
path.parent.mkdir(exist_ok=True)
figure.savefig(path, dpi=120)
print(f"wrote {path}")
