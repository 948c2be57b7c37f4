"""The cases of steps.py and compiled.py, and the process that runs them: `python cases.py LIBRARY
THREADS`. A library is minigrad, torch, numpy, jax, "minigrad compiled" or "torch compiled".

minigrad and torch share the code of a case, as they share the API; NumPy's is written by hand, and
JAX's is jax_steps.py. The process reads commands, one line of JSON each, and answers each with the
time of the first call and the times of a block, or with an error.
"""

from __future__ import annotations

import importlib
import itertools
import json
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import loops
import numpy
from networks import NETWORKS, Network, adam, training_step

# Steps that are not counted, after each new network: at least so many, and more of short ones, as a
# plan tries its first replays (1 and 6, of short ones 1 and 72) on one thread and on all.
WARM_UP, MOST_WARM_UP = 9, 80
LONG_WARM_UP = 0.02  # seconds


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


# The cases of compiled.py, and the time of the best peer over minigrad's that is wanted at least.
COMPILED = {name: 5.0 if network.goal == 2.0 else 2.0 for name, network in NETWORKS.items()}
COMPILED |= dict.fromkeys([*loops.INFERENCE, loops.DQN, loops.PINN], 2.0)
# Libraries that take long to compile a step, which is then kept for all blocks of a process.
SLOW_TO_COMPILE = ("jax", "torch compiled")


def supports(library: str, name: str) -> bool:
    """Whether the library has that case."""
    if library == "numpy":  # by hand: the MLPs
        case = loops.INFERENCE[name][0] if name in loops.INFERENCE else name
        return case in NETWORKS and bool(NETWORKS[case].sizes)
    return library != "torch compiled" or name != loops.PINN  # it refuses second derivatives


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


def numpy_inference(name: str, seed: int) -> Callable[[], Any]:
    """The forward pass of an MLP in NumPy."""
    case, batch = loops.INFERENCE[name]
    network, generator = NETWORKS[case], numpy.random.default_rng(seed)
    layers = [
        (generator.uniform(-1, 1, (i, o)).astype(numpy.float32) * i**-0.5, numpy.zeros(o, "f"))
        for i, o in itertools.pairwise(network.sizes)
    ]
    inputs = network.data(generator)[0][:batch]

    def forward() -> numpy.ndarray:
        x = inputs
        for weight, bias in layers[:-1]:
            x = x @ weight
            x += bias
            numpy.maximum(x, 0, out=x)
        weight, bias = layers[-1]
        return x @ weight + bias

    return forward


class Step(NamedTuple):
    """What is to be timed, how often it runs between two looks at the clock, and what waits until
    all is done, for a library that returns earlier."""

    run: Callable[[], Any]
    repeats: int = 1
    wait: Callable[[], Any] | None = None


def make_step(library: str, lib: Any, name: str, seed: int) -> Step:
    """The step of a case in a library; `lib` is its module."""
    compiled = library.endswith(" compiled")
    if library == "jax":
        run, wait = importlib.import_module("jax_steps").step_of(name, seed)
        return Step(run, 4, wait)
    if library == "numpy":
        if name in loops.INFERENCE:
            return Step(numpy_inference(name, seed))
        return Step(numpy_step(NETWORKS[name], seed))
    if name in NETWORKS:
        return Step(training_step(lib, NETWORKS[name], seed, compiled))
    if name in loops.INFERENCE:
        return Step(loops.inference(lib, name, seed, compiled))
    if name in (loops.DQN, loops.PINN):
        return Step((loops.dqn if name == loops.DQN else loops.pinn)(lib, seed, compiled))
    kind, operation = name.split(": ")
    return Step(operation_step(lib, operation, kind == BACKWARD), 50)


def block(step: Step, seconds: float) -> dict[str, Any]:
    """The time of the first call, and times of the step until `seconds` are over."""
    clock = time.perf_counter
    wait = step.wait or (lambda: None)
    run, indices = step.run, range(step.repeats)
    begin = clock()
    run()
    wait()
    first = clock() - begin
    warm = clock() + LONG_WARM_UP
    count = 1
    while count < WARM_UP or (count < MOST_WARM_UP and clock() < warm):
        run()
        count += 1
    wait()
    times: list[float] = []
    end = clock() + seconds
    while not times or clock() < end:
        begin = clock()
        for _ in indices:
            run()
        wait()
        times.append((clock() - begin) / step.repeats)
    return {"first": first, "times": times}


def facts_of(library: str, lib: Any, threads: int) -> dict[str, Any]:
    """What the library is, after it was told how many threads to use."""
    if library not in ("numpy", "jax"):
        lib.set_num_threads(threads)
    facts = {"version": lib.__version__}
    if lib.__name__ == "minigrad":
        facts["instruction set"] = importlib.import_module("minigrad.kernels").isa()
    return facts


def main() -> None:
    """Answers commands until standard input ends."""
    library, threads = sys.argv[1], int(sys.argv[2])
    lib = importlib.import_module(library.split()[0])
    print(json.dumps(facts_of(library, lib, threads)), flush=True)
    kept: dict[str, Step] = {}
    for turn, line in enumerate(sys.stdin):
        command = json.loads(line)
        name = command["case"]
        try:
            step = kept.get(name) or make_step(library, lib, name, turn)
            if library in SLOW_TO_COMPILE:
                kept[name] = step
            answer = block(step, command["seconds"])
        except Exception as error:  # a library that cannot do it must not end the run
            answer = {"error": f"{type(error).__name__}: {str(error).splitlines()[:1]}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
