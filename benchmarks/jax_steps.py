"""The steps of networks.py and loops.py in plain JAX: functions over dictionaries and lists of
arrays, compiled by jit; optimizers by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import loops
import numpy
from jax import lax, nn
from jax import numpy as jnp
from networks import NETWORKS, adamw, momentum, momentum_l2

Forward = Callable[[Any, Any, Any], Any]  # parameters, inputs, random key: logits (and statistics)


# ---- parameters ----


def uniform(generator: numpy.random.Generator, fan_in: int, *shape: int) -> Any:
    bound = fan_in**-0.5
    return jnp.asarray(generator.uniform(-bound, bound, shape).astype(numpy.float32))


def linear(generator: Any, inputs: int, outputs: int) -> dict[str, Any]:
    return {
        "w": uniform(generator, inputs, inputs, outputs),
        "b": uniform(generator, inputs, outputs),
    }


def mlp(generator: Any, *sizes: int) -> list[Any]:
    return [linear(generator, i, o) for i, o in itertools.pairwise(sizes)]


def dense(layer: Any, x: Any) -> Any:
    return x @ layer["w"] + layer["b"]


def perceptron(layers: Any, x: Any, activation: Any = nn.relu) -> Any:
    for layer in layers[:-1]:
        x = activation(dense(layer, x))
    return dense(layers[-1], x)


def normalization(features: int) -> dict[str, Any]:
    return {"w": jnp.ones(features), "b": jnp.zeros(features)}


def statistics(features: int) -> dict[str, Any]:
    return {"mean": jnp.zeros(features), "var": jnp.ones(features)}


# ---- layers ----


def batch_norm(layer: Any, running: Any, x: Any) -> Any:
    """The result, and the running statistics after this batch."""
    axes = (0, *range(2, x.ndim))
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean, var = x.mean(axes), x.var(axes)
    count = x.size // x.shape[1]
    after = {
        "mean": 0.9 * running["mean"] + 0.1 * mean,
        "var": 0.9 * running["var"] + 0.1 * var * (count / (count - 1)),
    }
    scale = layer["w"] * lax.rsqrt(var + 1e-5)
    return (x - mean.reshape(shape)) * scale.reshape(shape) + layer["b"].reshape(shape), after


def layer_norm(layer: Any, x: Any) -> Any:
    mean = x.mean(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(x.var(-1, keepdims=True) + 1e-5) * layer["w"] + layer["b"]


def convolution(x: Any, weight: Any, padding: int) -> Any:
    return lax.conv_general_dilated(x, weight, (1, 1), [(padding, padding)] * 2)


def max_pool(x: Any) -> Any:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")


# ---- networks: parameters, statistics, forward ----


def plain(sizes: tuple[int, ...]) -> Any:
    def make(generator: Any) -> tuple[Any, Any]:
        return mlp(generator, *sizes), None

    return make, lambda p, s, x, key: (perceptron(p, x), s)


def _regularized_make(generator: Any) -> tuple[Any, Any]:
    layers = mlp(generator, 784, 256, 128, 10)
    return {"dense": layers, "norm": [normalization(256), normalization(128)]}, [
        statistics(256),
        statistics(128),
    ]


def _regularized(p: Any, s: Any, x: Any, key: Any) -> Any:
    after = []
    for index in range(2):
        x, running = batch_norm(p["norm"][index], s[index], dense(p["dense"][index], x))
        after.append(running)
        key, own = jax.random.split(key)
        x = nn.relu(x) * jax.random.bernoulli(own, 0.5, x.shape) * 2.0
    return dense(p["dense"][2], x), after


def _lenet_make(generator: Any) -> tuple[Any, Any]:
    return {
        "w1": uniform(generator, 25, 6, 1, 5, 5),
        "b1": uniform(generator, 25, 6),
        "w2": uniform(generator, 150, 16, 6, 5, 5),
        "b2": uniform(generator, 150, 16),
        "dense": mlp(generator, 400, 120, 84, 10),
    }, None


def _lenet(p: Any, s: Any, x: Any, key: Any) -> Any:
    x = max_pool(nn.relu(convolution(x, p["w1"], 2) + p["b1"].reshape(1, -1, 1, 1)))
    x = max_pool(nn.relu(convolution(x, p["w2"], 0) + p["b2"].reshape(1, -1, 1, 1)))
    return perceptron(p["dense"], x.reshape(x.shape[0], -1)), s


_CHANNELS = (3, 32, 64, 64)


def _convnet_make(generator: Any) -> tuple[Any, Any]:
    pairs = list(itertools.pairwise(_CHANNELS))
    return {
        "w": [uniform(generator, 9 * i, o, i, 3, 3) for i, o in pairs],
        "norm": [normalization(o) for _, o in pairs],
        "dense": linear(generator, 1024, 10),
    }, [statistics(o) for _, o in pairs]


def _convnet(p: Any, s: Any, x: Any, key: Any) -> Any:
    after = []
    for weight, norm, running in zip(p["w"], p["norm"], s, strict=True):
        x, changed = batch_norm(norm, running, convolution(x, weight, 1))
        after.append(changed)
        x = max_pool(nn.relu(x))
    return dense(p["dense"], x.reshape(x.shape[0], -1)), after


def _gru_make(generator: Any) -> tuple[Any, Any]:
    return {
        "w_ih": uniform(generator, 64, 32, 192),
        "b_ih": uniform(generator, 64, 192),
        "w_hh": uniform(generator, 64, 64, 192),
        "b_hh": uniform(generator, 64, 192),
        "dense": linear(generator, 64, 10),
    }, None


def _gru(p: Any, s: Any, x: Any, key: Any) -> Any:
    sums = jnp.swapaxes(x @ p["w_ih"] + p["b_ih"], 0, 1)  # of all steps at once

    def one(h: Any, from_x: Any) -> tuple[Any, None]:
        from_h = h @ p["w_hh"] + p["b_hh"]
        r, z = jnp.split(nn.sigmoid(from_x[:, :128] + from_h[:, :128]), 2, axis=1)
        n = jnp.tanh(from_x[:, 128:] + r * from_h[:, 128:])
        return (1 - z) * n + z * h, None

    h, _ = lax.scan(one, jnp.zeros((x.shape[0], 64)), sums)
    return dense(p["dense"], h), s


def _gpt_make(generator: Any) -> tuple[Any, Any]:
    def block() -> dict[str, Any]:
        return {
            "norm_1": normalization(64),
            "norm_2": normalization(64),
            "qkv": linear(generator, 64, 192),
            "project": linear(generator, 64, 64),
            "mlp": mlp(generator, 64, 256, 64),
        }

    token = generator.standard_normal((65, 64)).astype(numpy.float32)
    return {
        "token": jnp.asarray(token),
        "position": jnp.zeros((64, 64)),
        "blocks": [block(), block()],
        "norm": normalization(64),
        "head": uniform(generator, 64, 64, 65),
    }, None


def _attention(block: Any, x: Any) -> Any:
    batch, steps, width = x.shape
    parts = jnp.split(dense(block["qkv"], x), 3, axis=2)
    q, k, v = (part.reshape(batch, steps, 4, 16).swapaxes(1, 2) for part in parts)
    scores = jnp.where(jnp.tril(jnp.ones((steps, steps), bool)), q @ k.swapaxes(2, 3) / 4, -jnp.inf)
    y = (nn.softmax(scores) @ v).swapaxes(1, 2).reshape(batch, steps, width)
    return dense(block["project"], y)


def _gpt(p: Any, s: Any, x: Any, key: Any) -> Any:
    hidden = p["token"][x] + p["position"]
    for block in p["blocks"]:
        hidden = hidden + _attention(block, layer_norm(block["norm_1"], hidden))
        inner = nn.gelu(dense(block["mlp"][0], layer_norm(block["norm_2"], hidden)), False)
        hidden = hidden + dense(block["mlp"][1], inner)
    return (layer_norm(p["norm"], hidden) @ p["head"]).reshape(-1, 65), s


_BY_NAME = {
    "MLP 784-256-128-10, BatchNorm, Dropout": (_regularized_make, _regularized),
    "MLP 3072": plain((3072, 512, 256, 10)),
    "LeNet": (_lenet_make, _lenet),
    "convnet": (_convnet_make, _convnet),
    "GRU": (_gru_make, _gru),
    "GPT": (_gpt_make, _gpt),
}


def model_of(name: str) -> Any:
    """What makes the parameters of a case, and its forward pass."""
    if NETWORKS[name].sizes:
        return plain(NETWORKS[name].sizes)
    return next(model for start, model in _BY_NAME.items() if name.startswith(start))


# ---- optimizers: parameters, gradients and state to parameters and state ----


def adam_step(p: Any, g: Any, state: Any, lr: float = 1e-3, decay: float = 0.0) -> Any:
    m, v, t = state
    t = t + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
    rate, root = lr / (1 - 0.9**t), jnp.sqrt(1 - 0.999**t)

    def update(p: Any, m: Any, v: Any) -> Any:
        return p * (1 - lr * decay) - rate * m / (jnp.sqrt(v) / root + 1e-8)

    return jax.tree.map(update, p, m, v), (m, v, t)


def sgd_step(p: Any, g: Any, state: Any, decay: float = 0.0) -> Any:
    state = jax.tree.map(lambda v, g, p: 0.9 * v + (g + decay * p), state, g, p)
    return jax.tree.map(lambda p, v: p - 1e-2 * v, p, state), state


def optimizer_of(name: str, parameters: Any) -> tuple[Any, Any]:
    """The step of the optimizer of that case, and its first state."""
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    kind = NETWORKS[name].optimizer
    if kind is momentum:
        return sgd_step, zeros
    if kind is momentum_l2:
        return (lambda p, g, s: sgd_step(p, g, s, 1e-3)), zeros
    decay = 1e-2 if kind is adamw else 0.0
    fresh = (zeros, jax.tree.map(jnp.zeros_like, parameters), jnp.zeros(()))
    return (lambda p, g, s: adam_step(p, g, s, decay=decay)), fresh


# ---- steps ----


def training(name: str, seed: int) -> Callable[[], Any]:
    """A training step of networks.py."""
    generator = numpy.random.default_rng(seed)
    make, forward = model_of(name)
    parameters, running = make(generator)
    optimize, state = optimizer_of(name, parameters)
    x, y = (jnp.asarray(each) for each in NETWORKS[name].data(generator))

    def loss_of(p: Any, s: Any, x: Any, y: Any, key: Any) -> Any:
        logits, after = forward(p, s, x, key)
        return -jnp.take_along_axis(nn.log_softmax(logits), y[:, None], 1).mean(), after

    def step(p: Any, state: Any, s: Any, key: Any, x: Any, y: Any) -> Any:
        key, own = jax.random.split(key)
        (loss, after), g = jax.value_and_grad(loss_of, has_aux=True)(p, s, x, y, own)
        p, state = optimize(p, g, state)
        return p, state, after, key, loss

    return _repeated(step, [parameters, state, running, jax.random.key(seed)], (x, y))


def _repeated(step: Any, carried: list[Any], data: tuple[Any, ...]) -> Callable[[], Any]:
    """Calls that take what the one before returned. The memory of it is given up for reuse."""
    compiled = jax.jit(step, donate_argnums=tuple(range(len(carried))))

    def call() -> Any:
        *carried[:], loss = compiled(*carried, *data)
        return loss

    return call


def inference(name: str, seed: int) -> Callable[[], Any]:
    """A forward pass of loops.py."""
    case, batch = loops.INFERENCE[name]
    generator = numpy.random.default_rng(seed)
    make, forward = model_of(case)
    parameters, running = make(generator)
    x = jnp.asarray(NETWORKS[case].data(generator)[0][:batch])
    compiled = jax.jit(lambda p, x: forward(p, running, x, None)[0])
    return lambda: compiled(parameters, x)


def dqn(seed: int) -> Callable[[], Any]:
    """The loop of loops.dqn."""
    generator = numpy.random.default_rng(seed)
    net = mlp(generator, *loops.DQN_SIZES)
    target = jax.tree.map(jnp.copy, net)
    zeros = jax.tree.map(jnp.zeros_like, net)
    carried = [net, (zeros, jax.tree.map(jnp.zeros_like, net), jnp.zeros(()))]
    carried += [jnp.zeros((loops.CAPACITY, 11)), jax.random.key(seed)]
    environment, count = loops.Pole(seed), 0
    act = jax.jit(lambda p, x: perceptron(p, x).argmax(1))

    def loss_of(p: Any, chosen: Any, wanted: Any) -> Any:
        actions = chosen[:, 8:9].astype(jnp.int32)
        values = jnp.take_along_axis(perceptron(p, chosen[:, :4]), actions, 1)[:, 0]
        return jnp.square(values - wanted).mean()

    def learn(p: Any, s: Any, memory: Any, key: Any, target: Any, row: Any, at: Any, n: Any) -> Any:
        memory = memory.at[at].set(row)
        key, own = jax.random.split(key)
        indices = (jax.random.uniform(own, (loops.BATCH,)) * n).astype(jnp.int32)
        chosen = memory[indices]
        best = perceptron(target, chosen[:, 4:8]).max(1)
        wanted = chosen[:, 9] + loops.DISCOUNT * chosen[:, 10] * best
        loss, g = jax.value_and_grad(loss_of)(p, chosen, wanted)
        p, s = adam_step(p, g, s, 2.5e-4)
        return p, s, memory, key, loss

    compiled = jax.jit(learn, donate_argnums=(0, 1, 2, 3))
    rows = numpy.empty((1, 11), numpy.float32)

    def step() -> Any:
        nonlocal count, target
        before = environment.state
        if generator.random() < loops.EPSILON:
            action = int(generator.integers(2))
        else:
            action = int(act(carried[0], before.reshape(1, 4))[0])
        after, reward, fell = environment.step(action)
        rows[0] = (*before, *after, action, reward, 1 - fell)
        at, n = numpy.array([count % loops.CAPACITY]), numpy.float32(min(count + 1, loops.CAPACITY))
        *carried[:], loss = compiled(*carried, target, rows.copy(), at, n)
        count += 1
        if fell:
            environment.reset()
        if count % loops.SYNC == 0:
            target = jax.tree.map(jnp.copy, carried[0])
        return loss

    return step


def pinn(seed: int) -> Callable[[], Any]:
    """The step of loops.pinn."""
    generator = numpy.random.default_rng(seed)
    data = tuple(jnp.asarray(each) for each in loops.points(generator))
    net = mlp(generator, *loops.PINN_SIZES)
    zeros = jax.tree.map(jnp.zeros_like, net)
    state = (zeros, jax.tree.map(jnp.zeros_like, net), jnp.zeros(()))

    def total(p: Any, x: Any) -> Any:
        return perceptron(p, x, jnp.tanh).sum()

    def loss_of(p: Any, inside: Any, border: Any, known: Any) -> Any:
        slope_of = jax.grad(total, 1)
        bend, slope = jax.grad(
            lambda x: (lambda s: (s[:, 0].sum(), s))(slope_of(p, x)), has_aux=True
        )(inside)
        residual = slope[:, 1] - loops.CONDUCTIVITY * bend[:, 0]
        on_border = perceptron(p, border, jnp.tanh) - known
        return jnp.square(residual).mean() + jnp.square(on_border).mean()

    def step(p: Any, state: Any, *data: Any) -> Any:
        loss, g = jax.value_and_grad(loss_of)(p, *data)
        p, state = adam_step(p, g, state)
        return p, state, loss

    return _repeated(step, [net, state], data)


def step_of(name: str, seed: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The step of a case, and a function that waits until all steps so far are done."""
    if name in loops.INFERENCE:
        call = inference(name, seed)
    elif name == loops.DQN:
        call = dqn(seed)
    elif name == loops.PINN:
        call = pinn(seed)
    else:
        call = training(name, seed)
    last: list[Any] = [None]

    def step() -> Any:
        last[0] = call()
        return last[0]

    return step, lambda: jax.block_until_ready(last[0])
