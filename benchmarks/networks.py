"""The training steps of steps.py: networks, their data and optimizers.

minigrad and torch share the code, as they share the API: `lib` is either of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy

Arrays = tuple[numpy.ndarray, numpy.ndarray]


class Network(NamedTuple):
    """A training step: the module, its batch of inputs and labels, the optimizer, and torch's time
    over minigrad's that is wanted at least. `sizes`: of an MLP that NumPy by hand does as well."""

    build: Callable[[Any], Any]
    data: Callable[[numpy.random.Generator], Arrays]
    optimizer: Callable[[Any, Any], Any]
    goal: float
    sizes: tuple[int, ...] = ()


# ---- optimizers ----


def adam(lib: Any, parameters: Any) -> Any:
    return lib.optim.Adam(parameters, lr=1e-3)


def adamw(lib: Any, parameters: Any) -> Any:
    return lib.optim.AdamW(parameters, lr=1e-3)


def momentum(lib: Any, parameters: Any) -> Any:
    return lib.optim.SGD(parameters, lr=1e-2, momentum=0.9)


def momentum_l2(lib: Any, parameters: Any) -> Any:
    return lib.optim.SGD(parameters, lr=1e-2, momentum=0.9, weight_decay=1e-3)


# ---- data ----


def images(batch: int, *sample: int, classes: int = 10) -> Callable[..., Arrays]:
    """Random samples of a shape, and labels."""

    def make(generator: numpy.random.Generator) -> Arrays:
        inputs = generator.standard_normal((batch, *sample), dtype=numpy.float32)
        return inputs, generator.integers(0, classes, batch)

    return make


def tokens(batch: int, length: int, vocabulary: int) -> Callable[..., Arrays]:
    """Random sequences, and the token that follows each."""

    def make(generator: numpy.random.Generator) -> Arrays:
        text = generator.integers(0, vocabulary, (batch, length + 1))
        return text[:, :-1].copy(), text[:, 1:].reshape(-1).copy()

    return make


# ---- networks ----


def perceptron(nn: Any, *sizes: int, hidden: Callable[[Any, int], list[Any]] | None = None) -> Any:
    """The layers of an MLP; `hidden` makes what follows each layer but the last, a ReLU if it is
    not given."""
    layers: list[Any] = []
    for index, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        layers.append(nn.Linear(inputs, outputs))
        if index + 2 < len(sizes):
            layers += [nn.ReLU()] if hidden is None else hidden(nn, outputs)
    return layers


def mlp(batch: int, optimizer: Any, goal: float, *sizes: int) -> Network:
    """A plain MLP."""
    return Network(
        lambda lib: lib.nn.Sequential(*perceptron(lib.nn, *sizes)),
        images(batch, sizes[0], classes=sizes[-1]),
        optimizer,
        goal,
        sizes,
    )


def regularized(lib: Any) -> Any:
    """An MLP with batch normalization and dropout."""

    def hidden(nn: Any, size: int) -> list[Any]:
        return [nn.BatchNorm1d(size), nn.ReLU(), nn.Dropout(0.5)]

    return lib.nn.Sequential(*perceptron(lib.nn, 784, 256, 128, 10, hidden=hidden))


def lenet(lib: Any) -> Any:
    """LeNet-5 with ReLU and max pooling."""
    nn = lib.nn
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), *perceptron(nn, 400, 120, 84, 10)),
    )


def convnet(lib: Any) -> Any:
    """Three convolutions with batch normalization, for images of 32 x 32."""
    nn = lib.nn

    def block(inputs: int, outputs: int) -> list[Any]:
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]

    layers = [*block(3, 32), *block(32, 64), *block(64, 64)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(1024, 10))


def recurrent(lib: Any) -> Any:
    """A GRU, and a classification of its last output."""
    nn = lib.nn

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(32, 64, batch_first=True)
            self.head = nn.Linear(64, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.gru(x)[0][:, -1])

    return Recurrent()


def gpt(lib: Any) -> Any:
    """Two transformer blocks over 64 characters (the layout of GPT-2: norms first, GELU)."""
    nn = lib.nn
    functional = nn.functional
    vocabulary, length, width, heads = 65, 64, 64, 4

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.mlp = nn.Sequential(
                nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
            )

        def forward(self, x: Any) -> Any:
            batch, steps, _ = x.shape
            q, k, v = (
                part.view(batch, steps, heads, width // heads).transpose(1, 2)
                for part in self.qkv(self.norm_1(x)).split(width, dim=2)
            )
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.project(y.transpose(1, 2).reshape(batch, steps, width))
            return x + self.mlp(self.norm_2(x))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Embedding(vocabulary, width)
            self.position = nn.Parameter(lib.zeros(length, width))
            self.blocks = nn.Sequential(Block(), Block())
            self.norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, vocabulary, bias=False)

        def forward(self, x: Any) -> Any:
            hidden = self.blocks(self.token(x) + self.position)
            return self.head(self.norm(hidden)).view(-1, vocabulary)

    return GPT()


NETWORKS = {
    "MLP 64-64-64-8, batch 32, Adam": mlp(32, adam, 2.0, 64, 64, 64, 8),
    "MLP 64-128-10, batch 64, SGD momentum": mlp(64, momentum, 2.0, 64, 128, 10),
    "MLP 784-512-256-10, batch 128, Adam": mlp(128, adam, 1.0, 784, 512, 256, 10),
    "MLP 784-256-128-10, BatchNorm, Dropout, batch 128, Adam": Network(
        regularized, images(128, 784), adam, 1.0
    ),
    "MLP 3072-512-256-10, L2, batch 128, SGD momentum": Network(
        lambda lib: lib.nn.Sequential(*perceptron(lib.nn, 3072, 512, 256, 10)),
        images(128, 3072),
        momentum_l2,
        1.0,
    ),
    "LeNet 28x28, batch 64, Adam": Network(lenet, images(64, 1, 28, 28), adam, 1.0),
    "convnet 32x32, BatchNorm, batch 64, SGD momentum": Network(
        convnet, images(64, 3, 32, 32), momentum, 1.0
    ),
    "GRU 32-64, 32 steps, batch 32, Adam": Network(recurrent, images(32, 32, 32), adam, 1.0),
    "GPT 2 layers, width 64, 64 steps, batch 16, AdamW": Network(
        gpt, tokens(16, 64, 65), adamw, 1.0
    ),
}


def training_step(
    lib: Any, network: Network, seed: int, compiled: bool = False
) -> Callable[[], Any]:
    """One training step with a fresh network; `compiled` by the library's own `compile`."""
    lib.manual_seed(seed)
    net = network.build(lib)
    criterion = lib.nn.CrossEntropyLoss()
    optimizer = network.optimizer(lib, net.parameters())
    arrays = network.data(numpy.random.default_rng(seed))
    inputs, labels = (lib.from_numpy(array) for array in arrays)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    step = lib.compile(step) if compiled else step
    return lambda: step(inputs, labels)
