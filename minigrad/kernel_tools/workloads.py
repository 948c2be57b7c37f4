"""What `minigrad kernels bench` times: a table of calls, each with the same call of its peers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..kernels import NULL, find_optimizer, lib
from .arrays import many, results
from .checks import Draw, of
from .families.elementwise import BINARY, UNARY
from .families.fused import ROWS, Row

Peers = dict[str, Callable[..., Any]]
SIZES = {"4Ki": 1 << 12, "64Ki": 1 << 16, "1Mi": 1 << 20, "8Mi": 1 << 23}


@dataclass(frozen=True)
class Workload:
    """One call. `numpy` of the peers takes the ndarrays; `torch` takes torch and its tensors."""

    name: str  # of the kernel: softmax, unary.exp
    label: str  # its size
    operands: Callable[[Draw], list[np.ndarray]]  # drawn when it is its turn
    run: Callable[..., Any]  # of handles, as in a trial
    peers: Peers = field(default_factory=dict)


def drawn(*given: Any) -> Callable[[Draw], list[np.ndarray]]:
    """Operands: of each its shape, with bounds or not, or the function of a draw that makes it."""

    def make(draw: Draw) -> list[np.ndarray]:
        return [each(draw) if callable(each) else draw.values(*each) for each in given]

    return make


def _unit(*shape: int) -> tuple[Any, ...]:
    return shape, -1, 1


def _integers(count: int, below: int) -> Callable[[Draw], np.ndarray]:
    return lambda draw: draw.rng.integers(0, below, count)


# ---- elementwise ----

_NO_NUMPY = {"erf", "erfc", "tanh_backward", "sigmoid_backward", "relu_backward"}
_ATEN: Peers = {
    "relu_backward": lambda t, g, y: t.ops.aten.threshold_backward(g, y, 0),
    "tanh_backward": lambda t, g, y: t.ops.aten.tanh_backward(g, y),
    "sigmoid_backward": lambda t, g, y: t.ops.aten.sigmoid_backward(g, y),
}
_FUSED: Peers = {
    "leaky_relu": lambda t, x: t.nn.functional.leaky_relu(x, 0.2),
    "elu": lambda t, x: t.nn.functional.elu(x),
    "hardtanh": lambda t, x: t.nn.functional.hardtanh(x),
    "hardsigmoid": lambda t, x: t.nn.functional.hardsigmoid(x),
    "hardswish": lambda t, x: t.nn.functional.hardswish(x),
    "hardshrink": lambda t, x: t.nn.functional.hardshrink(x, 0.6),
    "softshrink": lambda t, x: t.nn.functional.softshrink(x, 0.6),
    "threshold": lambda t, x: t.nn.functional.threshold(x, 0.3, -2.0),
    "softplus": lambda t, x: t.nn.functional.softplus(x),
    "logsigmoid": lambda t, x: t.nn.functional.logsigmoid(x),
    "silu": lambda t, x: t.nn.functional.silu(x),
    "silu_backward": lambda t, g, x: t.ops.aten.silu_backward(g, x),
    "gelu": lambda t, x: t.nn.functional.gelu(x),
    "gelu_backward": lambda t, g, x: t.ops.aten.gelu_backward(g, x),
    "gelu_tanh": lambda t, x: t.nn.functional.gelu(x, approximate="tanh"),
    "gelu_tanh_backward": lambda t, g, x: t.ops.aten.gelu_backward(g, x, approximate="tanh"),
    "mish": lambda t, x: t.nn.functional.mish(x),
    "mish_backward": lambda t, g, x: t.ops.aten.mish_backward(g, x),
    "softsign": lambda t, x: t.nn.functional.softsign(x),
    "mse_loss": lambda t, x, y: t.nn.functional.mse_loss(x, y, reduction="none"),
    "l1_loss": lambda t, x, y: t.nn.functional.l1_loss(x, y, reduction="none"),
    "huber_loss": lambda t, x, y: t.nn.functional.huber_loss(x, y, reduction="none", delta=0.7),
}


def _simple(dtype: str) -> Iterator[Workload]:
    for label, size in SIZES.items():
        for table, kind, entry, find, count in (
            (UNARY, "unary", lib.mg_unary, lib.mg_find_unary, 1),
            (BINARY, "binary", lib.mg_binary, lib.mg_find_binary, 2),
        ):
            for name, (function, bounds, _) in table.items():
                if name.startswith("bitwise"):
                    continue
                operands = drawn(*[(size, *bounds)] * count)
                peers: Peers = {} if name in _NO_NUMPY else {"numpy": function}
                peers["torch"] = _ATEN.get(name) or _named(name)
                run = of(entry, NULL, before=(find(name.encode()),))
                yield Workload(f"{kind}.{name}", label, operands, run, peers)
        for name, row in ROWS.items():
            op = lib.mg_find_fused(name.encode())
            numbers = (*row.numbers, 0, 0, 0)[:3]
            run = of(_padded(lib.mg_fused, op, numbers))
            peers = {"torch": _FUSED[name]} if name in _FUSED else {}
            yield Workload(f"fused.{name}", label, _row(row, size), run, peers)


def _row(row: Row, size: int) -> Callable[[Draw], list[np.ndarray]]:
    return lambda draw: row.draw(draw, (size,))


def _named(name: str) -> Callable[..., Any]:
    return lambda t, *operands: getattr(t, name)(*operands)


def _padded(entry: Any, op: int, numbers: Sequence[float]) -> Callable[..., Any]:
    return lambda *given: entry(op, *[*given, NULL, NULL][:3], NULL, *numbers)


def _moving(dtype: str) -> Iterator[Workload]:
    """Copies, joins and indices."""
    for label, size in SIZES.items():
        side = int(size**0.5)
        x = ((side, side),)
        turned = of(lambda a: lib.mg_reshape(lib.mg_transpose(a, 0, 1), 1, [a.size]))
        peers: Peers = {
            "numpy": lambda x: np.ascontiguousarray(x.T),
            "torch": lambda t, x: x.T.contiguous(),
        }
        yield Workload("copy", f"{label} transposed", drawn(x), turned, peers)
        peers = {"numpy": lambda x, i: x[i], "torch": lambda t, x, i: x[i]}
        run = of(lambda a, i: lib.mg_index(a, 2, many(i, None)))
        yield Workload("index", f"{label} rows", drawn(x, _integers(side, side)), run, peers)
        condition = lambda draw, size=size: draw.rng.random(size) < 0.5  # noqa: E731
        peers = {"numpy": np.where, "torch": lambda t, c, a, b: t.where(c, a, b)}
        yield Workload("where", label, drawn(condition, (size,), (size,)), of(lib.mg_where), peers)


# ---- reductions and rows ----


def _reductions(dtype: str) -> Iterator[Workload]:
    for label, size in SIZES.items():
        x = ((size // 256, 256), 0.9, 1.1)
        for name in ("sum", "mean", "max", "prod", "argmax"):
            op = lib.mg_find_reduction(name.encode())
            for where, dim, mask in (("rows", 1, 2), ("columns", 0, 1), ("all", None, 3)):
                if name == "argmax" and dim is None:
                    continue
                fold = "amax" if name == "max" else name
                peers: Peers = {
                    "numpy": lambda x, f=name, d=dim: getattr(np, f)(x, axis=d),
                    "torch": lambda t, x, f=fold, d=dim: (
                        getattr(t, f)(x) if d is None else getattr(t, f)(x, dim=d)
                    ),
                }
                run = of(lib.mg_reduce, mask, 0, before=(op,))
                yield Workload(f"reduce.{name}", f"{label} {where}", drawn(x), run, peers)
        for dim, where in ((1, "rows"), (0, "columns")):
            run = of(lib.mg_softmax, dim, 0)
            peers = {"torch": lambda t, x, d=dim: t.softmax(x, d)}
            yield Workload("softmax", f"{label} {where}", drawn(x), run, peers)
        run = of(lib.mg_softmax_backward, 1, 0)
        peers = {
            "torch": lambda t, g, y: t.ops.aten._softmax_backward_data(g, y, 1, getattr(t, dtype))
        }
        yield Workload("softmax_backward", f"{label} rows", drawn(x, x), run, peers)

        def loss(x, target):
            return results(3, lambda o: lib.mg_cross_entropy(x, target, NULL, -100, 0.0, 1, o))

        peers = {"torch": lambda t, x, y: t.nn.functional.cross_entropy(x, y)}
        yield Workload("cross_entropy", label, drawn(x, _integers(size // 256, 256)), loss, peers)


def _normalization(dtype: str) -> Iterator[Workload]:
    for label, size in SIZES.items():
        x, weights = ((size // 256, 256),), [((256,),)] * 2

        def layer(x, weight, bias):
            return results(3, lambda o: lib.mg_group_norm(x, weight, bias, [1, 256, 1, 1], 1e-5, o))

        peers: Peers = {"torch": lambda t, x, w, b: t.nn.functional.layer_norm(x, (256,), w, b)}
        yield Workload("group_norm", f"{label} rows", drawn(x, *weights), layer, peers)

        def batch(x, weight, bias):
            operands = x, weight, bias, NULL, NULL, NULL, 1, 0.1, 1e-5
            return results(3, lambda o: lib.mg_batch_norm(*operands, o))

        peers = {"torch": lambda t, x, w, b: t.nn.functional.batch_norm(x, None, None, w, b, True)}
        side = 4 if size < 1 << 16 else 16
        images = ((size // (16 * side * side), 16, side, side),)
        channels = [((16,),)] * 2
        yield Workload("batch_norm", f"{label} images", drawn(images, *channels), batch, peers)
        yield Workload("batch_norm", f"{label} rows", drawn(x, *weights), batch, peers)
    for batch_, heads, length, width in ((8, 4, 32, 16), (4, 8, 128, 64), (1, 8, 512, 64)):
        operands = drawn(*[((batch_ * heads, length, width),)] * 3)
        scale = width**-0.5

        def attend(q, k, v, scale=scale):
            given = many(q, k, v, None, None)
            return results(2, lambda o: lib.mg_attention(given, scale, 0, o))

        peers = {
            "torch": lambda t, q, k, v: t.nn.functional.scaled_dot_product_attention(
                q[None], k[None], v[None]
            )
        }
        yield Workload("attention", f"{batch_}x{heads}x{length}x{width}", operands, attend, peers)


# ---- products ----

PRODUCTS = (
    *((1, 64, 64), (32, 64, 64), (64, 128, 64), (128, 256, 512), (128, 512, 784)),
    *((784, 512, 128), (128, 512, 3072), (256, 256, 256), (512, 512, 512)),
    *((1024, 1024, 1024), (2048, 2048, 2048)),
)


def _products(dtype: str) -> Iterator[Workload]:
    """(m, n, k)"""
    for m, n, k in PRODUCTS:
        for left, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
            operands = drawn(
                _unit(k, m) if left else _unit(m, k), _unit(n, k) if right else _unit(k, n)
            )
            run = of(lib.mg_matmul, NULL, left, right)
            peers: Peers = {
                "numpy": lambda a, b, i=left, j=right: (a.T if i else a) @ (b.T if j else b),
                "torch": lambda t, a, b, i=left, j=right: (a.T if i else a) @ (b.T if j else b),
            }
            case = "NT"[left] + "NT"[right]
            yield Workload("matmul", f"{m}x{n}x{k} {case}", operands, run, peers)
    operands = drawn(_unit(8, 64, 64), _unit(8, 64, 16))
    peers = {"numpy": np.matmul, "torch": lambda t, a, b: a @ b}
    yield Workload("matmul", "8x(64x16x64)", operands, of(lib.mg_matmul, NULL, 0, 0), peers)


# name, input, weight, padding, groups
CONVOLUTIONS = (
    ("LeNet 1", (64, 1, 28, 28), (6, 1, 5, 5), 2, 1),
    ("LeNet 2", (64, 6, 14, 14), (16, 6, 5, 5), 0, 1),
    ("convnet 1", (64, 3, 32, 32), (32, 3, 3, 3), 1, 1),
    ("convnet 2", (64, 32, 16, 16), (64, 32, 3, 3), 1, 1),
    ("depthwise", (32, 32, 32, 32), (32, 1, 3, 3), 1, 32),
    ("1x1", (32, 64, 16, 16), (64, 64, 1, 1), 0, 1),
)


def _convolutions(dtype: str) -> Iterator[Workload]:
    for label, shape, kernel, pad, groups in CONVOLUTIONS:
        geometry = [1, 1, pad, pad, 1, 1, groups]
        x, w = _unit(*shape), _unit(*kernel)
        size = [n + 2 * pad - k + 1 for n, k in zip(shape[2:], kernel[2:], strict=True)]
        g = _unit(shape[0], kernel[0], *size)
        options = {"padding": pad, "groups": groups}
        peers: Peers = {"torch": lambda t, x, w, o=options: t.nn.functional.conv2d(x, w, **o)}
        run = of(lib.mg_convolution, NULL, geometry)
        yield Workload("convolution", label, drawn(x, w), run, peers)
        peers = {"torch": lambda t, g, w, s=shape, o=options: t.nn.grad.conv2d_input(s, w, g, **o)}
        run = of(lib.mg_convolution_input, NULL, list(shape[2:]), geometry)
        yield Workload("convolution_input", label, drawn(g, w), run, peers)
        peers = {
            "torch": lambda t, x, g, s=kernel, o=options: t.nn.grad.conv2d_weight(x, s, g, **o)
        }
        run = of(lib.mg_convolution_weight, list(kernel[2:]), geometry)
        yield Workload("convolution_weight", label, drawn(x, g), run, peers)
    for shape in ((64, 6, 28, 28), (64, 32, 32, 32)):
        x = (shape,)
        geometry = [2, 2, 2, 2, 0, 0, 1, 1, 0, 1, 0]
        label = "x".join(map(str, shape))

        def largest(x, geometry=geometry):
            return results(2, lambda o: lib.mg_max_pool2d(x, geometry, o))

        peers = {"torch": lambda t, x: t.nn.functional.max_pool2d(x, 2, return_indices=True)}
        yield Workload("max_pool2d", label, drawn(x), largest, peers)
        peers = {"torch": lambda t, x: t.nn.functional.avg_pool2d(x, 2)}
        yield Workload("avg_pool2d", label, drawn(x), of(lib.mg_avg_pool2d, geometry), peers)


# ---- updates and random numbers ----


def _steps(dtype: str) -> Iterator[Workload]:
    for label, count in (("64Ki", 1 << 16), ("1Mi", 1 << 20)):
        for name, own, states, counters in (
            ("sgd", [], 0, 0),
            ("sgd_momentum", [0.9, 0, 0], 1, 1),
            ("adam", [0.9, 0.999, 1e-8, 1], 2, 1),
        ):
            row = [find_optimizer(name), 1e-3, 0, 0, 0, *own]
            numbers = np.array(row + [0] * (12 - len(row)), np.float64)
            form = find_optimizer(name)
            operands = drawn(
                *[((count,), 0.1, 1)] * (2 + states),
                *[lambda draw: np.zeros((), np.float32)] * counters,
                lambda draw, numbers=numbers: numbers,
            )

            def step(*handles, form=form, states=states):
                p, g, *rest, numbers = handles
                s, c = many(*rest[:states]), many(*rest[states:])
                if lib.mg_optimize(form, 1, many(p), many(g), s, c, numbers):
                    raise RuntimeError("mg_optimize")

            yield Workload(f"optimizer_step.{name}", label, operands, step)


def _random(dtype: str) -> Iterator[Workload]:
    for label, size in SIZES.items():
        operands = drawn(((size,),), lambda draw: np.array([1, 0]))
        for name, first, second in (("uniform", 0.0, 1.0), ("normal", 0.0, 1.0)):
            entry = getattr(lib, f"mg_random_{name}")
            peers: Peers = {"torch": lambda t, x, s, n=name: getattr(x, n + "_")()}

            def fill(x, state, entry=entry, first=first, second=second):
                if entry(x, state, first, second):
                    raise RuntimeError("random")

            yield Workload(f"random_{name}", label, operands, fill, peers)

        def drop(x, state):
            return results(2, lambda o: lib.mg_dropout(x, state, 0.5, 2.0, o))

        peers = {"torch": lambda t, x, s: t.nn.functional.dropout(x, 0.5)}
        yield Workload("dropout", label, operands, drop, peers)


FAMILIES = (
    *(_simple, _moving, _reductions, _normalization, _products, _convolutions, _steps, _random),
)


def workloads(dtype: str) -> Iterator[Workload]:
    """Every workload, its operands not drawn yet."""
    for family in FAMILIES:
        yield from family(dtype)
