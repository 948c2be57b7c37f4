"""The cases of steps.py, and the process that runs them: `python cases.py LIBRARY THREADS`.

minigrad and torch share the code of a case, as they share the API; NumPy's is written by hand.
The process reads commands, one line of JSON each, and answers each with the times of a block.
"""

from __future__ import annotations

import importlib
import itertools
import json
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy

WARM_UP = 5  # steps that are not counted, after each new network


class Network(NamedTuple):
    """A training step: layer sizes (None: LeNet on 28 x 28), batch size, optimizer."""

    sizes: tuple[int, ...] | None
    batch: int
    optimizer: str


NETWORKS = {
    "MLP 64-64-64-8, batch 32, Adam": Network((64, 64, 64, 8), 32, "adam"),
    "MLP 64-128-10, batch 64, SGD momentum": Network((64, 128, 10), 64, "sgd"),
    "MLP 784-512-256-10, batch 128, Adam": Network((784, 512, 256, 10), 128, "adam"),
    "LeNet 28x28, batch 64, Adam": Network(None, 64, "adam"),
}


class Sequences(NamedTuple):
    """A training step of a recurrent layer and a classifier of its last state."""

    layer: str
    steps: int
    batch: int
    features: int
    hidden: int


SEQUENCES = {
    "GRU 32-64, 32 steps, batch 32, Adam": Sequences("GRU", 32, 32, 32, 64),
    "LSTM 128-128, 32 steps, batch 64, Adam": Sequences("LSTM", 32, 64, 128, 128),
}

OPERATIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "add": lambda lib, a, b: a + b,
    "mul": lambda lib, a, b: a * b,
    "div": lambda lib, a, b: a / b,
    "matmul": lambda lib, a, b: a @ b,
    "relu": lambda lib, a, b: lib.relu(a),
    "exp": lambda lib, a, b: a.exp(),
    "tanh": lambda lib, a, b: a.tanh(),
    "sum": lambda lib, a, b: a.sum(),
    "softmax": lambda lib, a, b: lib.nn.functional.softmax(a, 1),
    "transpose": lambda lib, a, b: a.t(),
}

FORWARD, BACKWARD = "8x8 forward", "8x8 forward + backward"
NAMES = [
    *NETWORKS,
    *SEQUENCES,
    *(f"{FORWARD}: {operation}" for operation in OPERATIONS),
    *(f"{BACKWARD}: {operation}" for operation in OPERATIONS),
]
# torch's time over minigrad's that is wanted at least.
GOALS = dict(zip(NETWORKS, (2.0, 2.0, 1.0, 1.0), strict=True))
GOALS |= dict.fromkeys(SEQUENCES, 1.0)
GOALS |= {FORWARD: 1 / 0.6, BACKWARD: 1 / 0.6}


def supports(library: str, name: str) -> bool:
    """Whether the library has that case: NumPy by hand has the MLPs."""
    return library != "numpy" or (name in NETWORKS and NETWORKS[name].sizes is not None)


def data(network: Network, seed: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """A batch of random inputs and labels."""
    generator = numpy.random.default_rng(seed)
    sample = (1, 28, 28) if network.sizes is None else network.sizes[:1]
    classes = 10 if network.sizes is None else network.sizes[-1]
    inputs = generator.standard_normal((network.batch, *sample), dtype=numpy.float32)
    return inputs, generator.integers(0, classes, network.batch)


# ---- minigrad and torch ----


def layers(nn: Any, sizes: tuple[int, ...] | None) -> list[Any]:
    """The layers of a network."""
    if sizes is not None:
        result = []
        for index, size in enumerate(sizes[1:]):
            result += [nn.Linear(sizes[index], size), nn.ReLU()]
        return result[:-1]
    return [
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        *layers(nn, (400, 120, 84, 10)),
    ]


def network_step(lib: Any, network: Network, seed: int) -> Callable[[], None]:
    """One training step with a fresh network."""
    lib.manual_seed(seed)
    net = lib.nn.Sequential(*layers(lib.nn, network.sizes))
    criterion = lib.nn.CrossEntropyLoss()
    if network.optimizer == "adam":
        optimizer = lib.optim.Adam(net.parameters(), lr=1e-3)
    else:
        optimizer = lib.optim.SGD(net.parameters(), lr=1e-2, momentum=0.9)
    inputs, labels = (lib.from_numpy(array) for array in data(network, seed))

    def step() -> None:
        optimizer.zero_grad()
        criterion(net(inputs), labels).backward()
        optimizer.step()

    return step


def sequence_step(lib: Any, case: Sequences, seed: int) -> Callable[[], None]:
    """One training step with a fresh recurrent layer."""
    lib.manual_seed(seed)
    layer = getattr(lib.nn, case.layer)(case.features, case.hidden)
    output = lib.nn.Linear(case.hidden, 10)
    criterion = lib.nn.CrossEntropyLoss()
    optimizer = lib.optim.Adam([*layer.parameters(), *output.parameters()], lr=1e-3)
    inputs = lib.randn(case.steps, case.batch, case.features)
    labels = lib.randint(0, 10, (case.batch,))

    def step() -> None:
        optimizer.zero_grad()
        states, _ = layer(inputs)
        criterion(output(states[-1]), labels).backward()
        optimizer.step()

    return step


def operation_step(lib: Any, name: str, backward: bool) -> Callable[[], None]:
    """A single operation on 8 x 8 operands that need gradients; with its backward pass if asked."""
    operation = OPERATIONS[name]
    lib.manual_seed(0)
    a = lib.randn(8, 8, requires_grad=True)
    b = lib.randn(8, 8, requires_grad=True)
    gradient = lib.ones(operation(lib, a, b).shape)

    def forward_only() -> None:
        operation(lib, a, b)

    def both() -> None:
        a.grad = b.grad = None
        operation(lib, a, b).backward(gradient)

    return both if backward else forward_only


# ---- NumPy by hand ----


def numpy_step(network: Network, seed: int) -> Callable[[], Any]:
    """The training step of an MLP as one writes it in NumPy for speed.

    All parameters are views of one vector, and so are the gradients: the optimizer is a dozen
    operations in place, however many layers there are.
    """
    sizes = network.sizes
    assert sizes is not None
    generator = numpy.random.default_rng(seed)
    shapes = [s for i, o in itertools.pairwise(sizes) for s in ((i, o), (o,))]
    counts = [int(numpy.prod(shape)) for shape in shapes]
    ends = numpy.cumsum(counts).tolist()

    def views(vector: numpy.ndarray) -> list[numpy.ndarray]:
        parts = zip(shapes, counts, ends, strict=True)
        return [vector[end - count : end].reshape(shape) for shape, count, end in parts]

    theta, gradient, work = (numpy.zeros(ends[-1], numpy.float32) for _ in range(3))
    parameters, gradients = views(theta), views(gradient)
    for weight in parameters[::2]:
        bound = weight.shape[0] ** -0.5
        weight[...] = generator.uniform(-bound, bound, weight.shape)
    inputs, labels = data(network, seed)
    rows = numpy.arange(network.batch)
    update = _numpy_adam if network.optimizer == "adam" else _numpy_sgd
    optimize = update(theta, gradient, work)

    def step() -> numpy.float32:
        activations = [inputs]
        for index in range(0, len(parameters), 2):
            z = activations[-1] @ parameters[index]
            z += parameters[index + 1]
            if index + 2 < len(parameters):
                numpy.maximum(z, 0, out=z)
            activations.append(z)
        delta = activations.pop()  # logits; from here on: softmax, then the gradient of the loss
        delta -= delta.max(axis=1, keepdims=True)
        numpy.exp(delta, out=delta)
        delta /= delta.sum(axis=1, keepdims=True)
        loss = -numpy.log(delta[rows, labels]).mean(dtype=numpy.float32)
        delta[rows, labels] -= 1
        delta /= network.batch
        for index in range(len(parameters) - 2, -1, -2):
            activation = activations.pop()
            numpy.matmul(activation.T, delta, out=gradients[index])
            delta.sum(axis=0, out=gradients[index + 1])
            if index:
                delta = delta @ parameters[index].T
                delta *= activation > 0
        optimize()
        return loss

    return step


def _numpy_adam(theta: Any, gradient: Any, work: Any) -> Callable[[], None]:
    m, v = numpy.zeros_like(theta), numpy.zeros_like(theta)
    steps = 0

    def optimize() -> None:
        nonlocal steps
        steps += 1
        numpy.multiply(m, numpy.float32(0.9), out=m)
        numpy.multiply(gradient, numpy.float32(0.1), out=work)
        numpy.add(m, work, out=m)
        numpy.multiply(v, numpy.float32(0.999), out=v)
        numpy.multiply(gradient, gradient, out=work)
        numpy.multiply(work, numpy.float32(0.001), out=work)
        numpy.add(v, work, out=v)
        numpy.sqrt(v, out=work)
        numpy.multiply(work, numpy.float32((1 - 0.999**steps) ** -0.5), out=work)
        numpy.add(work, numpy.float32(1e-8), out=work)
        numpy.divide(m, work, out=work)
        numpy.multiply(work, numpy.float32(1e-3 / (1 - 0.9**steps)), out=work)
        numpy.subtract(theta, work, out=theta)

    return optimize


def _numpy_sgd(theta: Any, gradient: Any, work: Any) -> Callable[[], None]:
    velocity = numpy.zeros_like(theta)

    def optimize() -> None:
        numpy.multiply(velocity, numpy.float32(0.9), out=velocity)
        numpy.add(velocity, gradient, out=velocity)
        numpy.multiply(velocity, numpy.float32(1e-2), out=work)
        numpy.subtract(theta, work, out=theta)

    return optimize


# ---- the process ----


def make_step(library: str, lib: Any, name: str, seed: int) -> tuple[Callable[[], Any], int]:
    """What is to be timed, and how often it runs between two looks at the clock."""
    if name in NETWORKS:
        if library == "numpy":
            return numpy_step(NETWORKS[name], seed), 1
        return network_step(lib, NETWORKS[name], seed), 1
    if name in SEQUENCES:
        return sequence_step(lib, SEQUENCES[name], seed), 1
    kind, operation = name.split(": ")
    return operation_step(lib, operation, kind == BACKWARD), 50


def block(step: Callable[[], Any], repeats: int, seconds: float) -> list[float]:
    """Times of the step, until `seconds` are over."""
    for _ in range(WARM_UP):
        step()
    clock = time.perf_counter
    times: list[float] = []
    end = clock() + seconds
    indices = range(repeats)
    while not times or clock() < end:
        begin = clock()
        for _ in indices:
            step()
        times.append((clock() - begin) / repeats)
    return times


def main() -> None:
    """Answers commands until standard input ends."""
    library, threads = sys.argv[1], int(sys.argv[2])
    lib = importlib.import_module(library)
    facts = {"version": lib.__version__}
    if library != "numpy":
        lib.set_num_threads(threads)
    if library == "minigrad":
        facts["instruction set"] = importlib.import_module("minigrad.kernels").isa()
    print(json.dumps(facts), flush=True)
    for turn, line in enumerate(sys.stdin):
        command = json.loads(line)
        step, repeats = make_step(library, lib, command["case"], turn)
        print(json.dumps(block(step, repeats, command["seconds"])), flush=True)


if __name__ == "__main__":
    main()
