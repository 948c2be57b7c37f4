"""Where the weights start: zeros, too small, too large, Xavier, Kaiming.

What one learns: from zeros, or any constant, all units of a layer get the same gradient and learn
the same feature, so that a wide layer is worth one unit. Weights that are too small make signals
and gradients vanish on their way through 20 layers, weights that are too large make them explode or
saturate. Xavier's and Kaiming's variances are those that a layer hands on: the deviation of the
activations and of the gradients stays the same from the first layer to the last, and the network
learns.

It prints the deviations, whether units differ, and the accuracy on the digits after training;
the picture of the deviations goes to runs/initialization.png.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from tqdm import tqdm

import minigrad
from minigrad import Tensor, nn, optim
from minigrad.nn import init
from minigrad.vision.datasets import Digits

QUICK = "--quick" in sys.argv
EPOCHS = 2 if QUICK else 25
LAYERS, WIDTH, BATCH_SIZE = 20, 128, 64

# name: (how a weight starts, the activation of the layers)
STARTS: dict[str, tuple[Callable[[Tensor], Tensor], type[nn.Module]]] = {
    "zeros": (init.zeros_, nn.Tanh),
    "constant 0.05": (partial(init.constant_, val=0.05), nn.Tanh),
    "Gaussian, std 0.01": (partial(init.normal_, std=0.01), nn.Tanh),
    "Gaussian, std 1": (partial(init.normal_, std=1.0), nn.Tanh),
    "Xavier normal, tanh": (init.xavier_normal_, nn.Tanh),
    "Xavier uniform, tanh": (init.xavier_uniform_, nn.Tanh),
    "Xavier normal, ReLU": (init.xavier_normal_, nn.ReLU),
    "Kaiming normal, ReLU": (partial(init.kaiming_normal_, nonlinearity="relu"), nn.ReLU),
    "Kaiming uniform, ReLU": (partial(init.kaiming_uniform_, nonlinearity="relu"), nn.ReLU),
    "orthogonal, tanh": (init.orthogonal_, nn.Tanh),
}

train, test = Digits(train=True), Digits(train=False)
mean, std = train.data.mean(), train.data.std()
inputs, targets = (train.data.flatten(1) - mean) / std, train.targets
test_inputs = (test.data.flatten(1) - mean) / std


def network(name: str, layers: int) -> nn.Sequential:
    """``layers`` hidden layers, their weights and the last one's as named, all biases 0."""
    start, activation = STARTS[name]
    minigrad.manual_seed(0)
    parts: list[nn.Module] = []
    for index in range(layers):
        parts += [nn.Linear(64 if index == 0 else WIDTH, WIDTH), activation()]
    net = nn.Sequential(*parts, nn.Linear(WIDTH, 10))
    for parameter in net.parameters():
        if parameter.ndim > 1:
            start(parameter)
        else:
            init.zeros_(parameter)
    return net


def deviations(net: nn.Sequential) -> tuple[list[float], list[float]]:
    """The standard deviation of each hidden layer's activations, and of the loss's gradients with
    respect to them."""
    outputs, x = [], inputs[:512]
    for layer in net:
        x = layer(x)
        if not isinstance(layer, nn.Linear):
            outputs.append(x)
    gradients = minigrad.autograd.grad(nn.functional.cross_entropy(x, targets[:512]), outputs)
    return [y.std().item() for y in outputs], [g.std().item() for g in gradients]


def fit(net: nn.Sequential, label: str) -> float:
    """Trains it and returns the accuracy on the test digits."""
    optimizer = optim.SGD(net.parameters(), lr=0.005, momentum=0.9)
    for _ in tqdm(range(EPOCHS), desc=label, disable=None):
        for batch in minigrad.randperm(len(train)).split(BATCH_SIZE):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(inputs[batch]), targets[batch]).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
    with minigrad.no_grad():
        return (net(test_inputs).argmax(1) == test.targets).float().mean().item()


def different_units(net: nn.Sequential) -> int:
    """How many of the first layer's units have weights of their own."""
    return len({tuple(row) for row in net[0].weight.tolist()})


print(f"one hidden layer of {WIDTH} units, after training:")
for name in ("zeros", "constant 0.05", "Xavier normal, tanh"):
    shallow = network(name, 1)
    accuracy = fit(shallow, name)
    print(f"  {name:22} {different_units(shallow):4} different units, test {accuracy:.2%}")

print(f"\n{LAYERS} hidden layers; standard deviation of activations and gradients at the start:")
matplotlib.use("Agg")
figure, axes = plt.subplots(1, 2, figsize=(12, 4.5), sharex=True)
for name in STARTS:
    net = network(name, LAYERS)
    forward, backward = deviations(net)
    accuracy = fit(net, name)
    print(
        f"  {name:22} activations {forward[0]:9.2e} -> {forward[-1]:9.2e}, gradients "
        f"{backward[-1]:9.2e} -> {backward[0]:9.2e}, trained: test {accuracy:.2%}"
    )
    for axis, values in zip(axes, (forward, backward), strict=True):
        axis.plot(range(1, LAYERS + 1), [max(v, 1e-30) for v in values], ".-", label=name)
for axis, title in zip(axes, ("activations", "gradients of the loss"), strict=True):
    axis.set(title=f"standard deviation of the {title}", xlabel="layer", yscale="log")
    axis.grid(alpha=0.3)
axes[1].legend(fontsize="small")
figure.tight_layout()
path = Path("runs/initialization.png")
path.parent.mkdir(exist_ok=True)
figure.savefig(path, dpi=80 if QUICK else 130)
print(f"wrote {path}")
