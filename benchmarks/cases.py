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
from typing import Any

import numpy
from networks import NETWORKS, Network, adam, training_step

WARM_UP = 5  # steps that are not counted, after each new network


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
    *(f"{FORWARD}: {operation}" for operation in OPERATIONS),
    *(f"{BACKWARD}: {operation}" for operation in OPERATIONS),
]
# torch's time over minigrad's that is wanted at least.
GOALS = {name: network.goal for name, network in NETWORKS.items()}
GOALS |= {FORWARD: 1 / 0.6, BACKWARD: 1 / 0.6}


def supports(library: str, name: str) -> bool:
    """Whether the library has that case: NumPy by hand has the MLPs."""
    return library != "numpy" or (name in NETWORKS and bool(NETWORKS[name].sizes))


# ---- minigrad and torch ----


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
    inputs, labels = network.data(generator)
    rows = numpy.arange(len(labels))
    update = _numpy_adam if network.optimizer is adam else _numpy_sgd
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
        delta /= len(labels)
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
        return training_step(lib, NETWORKS[name], seed), 1
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
