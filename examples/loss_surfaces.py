"""How each optimizer moves on a saddle, in a ravine, over a plateau and past a cliff.

What one learns: plain gradient descent zigzags in a ravine (a high condition number) and stands
still where the slope is small; momentum rolls on; the adaptive ones divide by the size of the
gradient, so that a steep and a flat direction are walked alike; and on a cliff the gradient is so
large that one step throws the parameters far away, or, with Adagrad, that all later steps are
short, unless the gradient is clipped.

It prints where each one ended, and writes a picture of the paths on each surface to runs/.
"""

import itertools
import math
import sys
from pathlib import Path

import minigrad
from minigrad import nn, optim

QUICK = "--quick" in sys.argv
Point = tuple[float, float]


def saddle(x, y):
    """Down to both sides of the line y = 0, on which a descent that keeps to it ends."""
    return 0.5 * x * x - 0.5 * y * y + 0.02 * y**4


def ravine(x, y):
    """Condition number 100: a hundred times steeper across than along."""
    return 0.5 * (x * x + 100 * y * y)


def plateau(x, y):
    """Flat, but for a hole at the origin."""
    return 1 - (-0.5 * (x * x + y * y)).exp()


def cliff(x, y):
    """A bowl with a wall, nearly upright, to its left: the walk begins on the wall."""
    return 0.1 * (x - 0.5) ** 2 + 0.1 * y * y + 20 * (-40 * (x + 0.2)).sigmoid()


# name: (loss, start, steps, width of the picture, a minimum)
SURFACES = {
    "saddle": (saddle, (-2.0, 0.001), 120, 5.0, (0.0, 12.5**0.5)),
    "ravine": (ravine, (-8.0, 0.8), 120, 9.0, (0.0, 0.0)),
    "plateau": (plateau, (3.0, 2.0), 400, 4.0, (0.0, 0.0)),
    "cliff": (cliff, (-0.18, 1.0), 120, 3.0, (0.5, 0.0)),
}
# name: (optimizer, options); the same options on every surface.
OPTIMIZERS = {
    "SGD": (optim.SGD, {"lr": 0.012}),
    "momentum": (optim.SGD, {"lr": 0.012, "momentum": 0.9}),
    "Nesterov": (optim.SGD, {"lr": 0.012, "momentum": 0.9, "nesterov": True}),
    "Adagrad": (optim.Adagrad, {"lr": 0.5}),
    "RMSprop": (optim.RMSprop, {"lr": 0.05, "alpha": 0.9}),
    "Adadelta": (optim.Adadelta, {"lr": 5.0}),
    "Adam": (optim.Adam, {"lr": 0.1}),
    "Adam, no correction": (optim.Adam, {"lr": 0.1, "bias_correction": False}),
    "NAdam": (optim.NAdam, {"lr": 0.1}),
    "Rprop": (optim.Rprop, {"lr": 0.05}),
    "Lion": (optim.Lion, {"lr": 0.05}),
}


def walk(loss, start: Point, steps: int, kind, options, max_norm: float | None) -> list[Point]:
    """The places of an optimizer, from the start on; with a bound the gradient is clipped."""
    place = nn.Parameter(minigrad.tensor(start, dtype=minigrad.float64))
    optimizer = kind([place], **options)
    path = [start]
    for _ in range(steps):
        optimizer.zero_grad()
        loss(place[0], place[1]).backward()
        if max_norm is not None:
            nn.utils.clip_grad_norm_([place], max_norm)
        optimizer.step()
        x, y = place.tolist()
        path.append((x, y))
    return path


def value(loss, place: Point) -> float:
    return loss(*minigrad.tensor(place, dtype=minigrad.float64)).item()


def draw(name: str, loss, width: float, paths: dict[str, list[Point]]) -> None:
    try:
        import matplotlib
    except ImportError:
        print("no pictures: install matplotlib")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    count = 60 if QUICK else 200
    ticks = minigrad.linspace(-width, width, count, dtype=minigrad.float64)
    x, y = ticks.expand(count, count), ticks[:, None].expand(count, count)
    height = loss(x, y).numpy()
    figure, axes = pyplot.subplots(figsize=(8, 7), layout="constrained")
    axes.contour(ticks.numpy(), ticks.numpy(), height, levels=30, cmap="Greys", linewidths=0.6)
    colors = pyplot.get_cmap("tab20")
    for index, (label, path) in enumerate(paths.items()):
        axes.plot(*zip(*path, strict=True), ".-", color=colors(index), ms=3, lw=1, label=label)
    axes.plot(*next(iter(paths.values()))[0], "k*", ms=12)
    axes.set(xlim=(-width, width), ylim=(-width, width), title=name)
    axes.legend(fontsize="small", loc="upper left")
    file = Path("runs") / f"loss_surface_{name.replace(', ', '_')}.png"
    file.parent.mkdir(exist_ok=True)
    figure.savefig(file, dpi=70 if QUICK else 130)
    pyplot.close(figure)
    print(f"wrote {file}")


def show(name: str, loss, steps: int, goal: Point, paths: dict[str, list[Point]]) -> None:
    print(f"\n{name}: {steps} steps from {next(iter(paths.values()))[0]}")
    print(f"{'':20} {'x':>12} {'y':>12} {'loss':>12} {'longest step':>13} {'from goal':>10}")
    for label, path in paths.items():
        longest = max(math.dist(a, b) for a, b in itertools.pairwise(path))
        x, y = path[-1]
        away = math.dist((abs(x), abs(y)), goal) if name == "saddle" else math.dist((x, y), goal)
        print(
            f"{label:20} {x:12.4g} {y:12.4g} {value(loss, path[-1]):12.4g} {longest:13.3g} "
            f"{away:10.3g}"
        )


for name, (loss, start, steps, width, goal) in SURFACES.items():
    steps = steps // 4 if QUICK else steps
    bounds = [("", None), (", clipped", 1.0)] if name == "cliff" else [("", None)]
    for suffix, max_norm in bounds:
        paths = {
            label: walk(loss, start, steps, kind, options, max_norm)
            for label, (kind, options) in OPTIMIZERS.items()
        }
        show(name + suffix, loss, steps, goal, paths)
        draw(name + suffix, loss, width, paths)
