"""Random training programs for test_compile_fuzz.py: everything follows from a seed.

`Program(seed)` makes a network, an optimizer and a step; `run(compiled, count)` calls the step with
events between the calls, and gives all that can be seen after each call. Two runs of a seed do the
same things, so what they see has to be the same.
"""

from __future__ import annotations

import copy
import gc
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.autograd import Function
from minigrad.nn import functional as F

CLASSES = 3


# ---- parts of networks: (N, D) to (N, D) or (N, other D) ----


class Cube(Function):
    """A custom function of tensor operations."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x * x * 0.1

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grad * x * x * 0.3


class Part(nn.Module):
    """A function of (module, x) as a module, with tensors as attributes."""

    def __init__(self, function: Any, **members: Any) -> None:
        super().__init__()
        self.function = function
        for name, value in members.items():
            if isinstance(value, mg.Tensor) and not isinstance(value, nn.Parameter):
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)

    def forward(self, x: Any) -> Any:
        return self.function(self, x)


class Last(nn.Module):
    """The last state of a recurrent layer over x seen as a sequence."""

    def __init__(self, layer: Any, steps: int) -> None:
        super().__init__()
        self.layer, self.steps = layer, steps

    def forward(self, x: Any) -> Any:
        return self.layer(x.reshape(len(x), self.steps, -1))[0][:, -1]


class Residual(nn.Module):
    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Any) -> Any:
        return x + self.inner(x)


def average_follows(self: Any, x: Any) -> Any:
    """A buffer updated by hand."""
    if self.training:
        with mg.no_grad():
            self.mean.mul_(0.9).add_(x.detach().mean(0), alpha=0.1)
    return x - self.mean


def counts(self: Any, x: Any) -> Any:
    self.count += 1
    return x * (1 + 1 / self.count)


def scaled_without_gradient(self: Any, x: Any) -> Any:
    with mg.no_grad():
        scale = x.abs().max() + 1
    return x / scale


def written_in_place(self: Any, x: Any) -> Any:
    y = x.clone()
    y[:, : y.shape[1] // 2] *= 2
    y[0] = 0.5
    y.t()[1].add_(1)
    return y.relu_()


def attends(self: Any, x: Any) -> Any:
    return F.softmax(x @ x.t() / x.shape[1] ** 0.5, dim=-1) @ x


def permuted(self: Any, x: Any) -> Any:
    _, largest = x.detach().max(dim=0)
    return x + x.gather(0, largest.unsqueeze(0).expand(2, -1)).mean(0)


def chosen(self: Any, x: Any) -> Any:
    return mg.where(x > 0, x, x * self.slope)


def constants(self: Any, x: Any) -> Any:
    ramp = mg.arange(x.shape[1]) / x.shape[1]
    table = mg.tensor([0.5, 1.5])
    table += 0.25
    return x * ramp + table[0] - mg.full((1,), 2.0) * table[1]


def noisy(self: Any, x: Any) -> Any:
    return x + 0.1 * mg.randn_like(x) + mg.rand(x.shape[1]) * 0.1


def embedded(self: Any, x: Any) -> Any:
    return x + self.table(x.detach().argmax(dim=1))


def views(self: Any, x: Any) -> Any:
    left, right = x.chunk(2, dim=1)
    return mg.cat([right.flip(1), left.t().contiguous().t()], dim=1)


def folded(self: Any, x: Any) -> Any:
    return x.unsqueeze(2).expand(-1, -1, 3).mean(2) + mg.stack([x, x * 2]).sum(0)


def zeroed_halves(self: Any, x: Any) -> Any:
    out = mg.zeros_like(x)
    out[::2] = x[::2] * 2
    out[1::2] += x[1::2]
    return out


FUNCTIONS = [
    *(average_follows, counts, scaled_without_gradient, written_in_place, attends, permuted),
    *(chosen, constants, noisy, embedded, views, folded, zeroed_halves),
    lambda self, x: Cube.apply(x),
    lambda self, x: x.detach() * 0.5 + x,
    lambda self, x: x * self.gate.sigmoid(),
]

ACTIVATIONS = [nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.LeakyReLU, nn.ELU, nn.Softplus,
               nn.Hardtanh, lambda: nn.Softmax(1), lambda: nn.ReLU(inplace=True)]  # fmt: skip


class Maker:
    """Draws a network."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.linears: list[Any] = []

    def pick(self, values: Any) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def width(self) -> int:
        return int(self.pick([4, 8, 12, 16]))  # all even, and divisible by 4

    def network(self, size: int) -> Any:
        layers = []
        for _ in range(int(self.rng.integers(1, 6))):
            layer, size = self.layer(size)
            layers.append(layer)
        return nn.Sequential(*layers, nn.Linear(size, CLASSES))

    def layer(self, size: int, depth: int = 0) -> tuple[Any, int]:
        kind = self.pick(["linear", "linear", "activation", "activation", "norm", "dropout",
                          "residual", "tied", "function", "function", "function", "conv",
                          "recurrent", "parametrized"])  # fmt: skip
        if kind in ("residual", "conv", "recurrent") and depth:
            kind = "linear"
        return getattr(self, kind)(size)

    def linear(self, size: int) -> Any:
        layer = nn.Linear(size, self.width(), bias=bool(self.rng.integers(3)))
        self.linears.append(layer)
        return layer, layer.out_features

    def activation(self, size: int) -> Any:
        return self.pick(ACTIVATIONS)(), size

    def norm(self, size: int) -> Any:
        make = self.pick(
            [nn.BatchNorm1d, nn.LayerNorm, lambda n: nn.GroupNorm(2, n), nn.RMSNorm,
             lambda n: nn.BatchNorm1d(n, momentum=None)]
        )  # fmt: skip
        return make(size), size

    def dropout(self, size: int) -> Any:
        return self.pick([nn.Dropout, nn.AlphaDropout])(float(self.pick([0.0, 0.2, 0.5]))), size

    def residual(self, size: int) -> Any:
        layers, now = [], size
        for _ in range(int(self.rng.integers(1, 3))):
            layer, now = self.layer(now, 1)
            layers.append(layer)
        if now != size:
            layers.append(nn.Linear(now, size))
        return Residual(nn.Sequential(*layers)), size

    def tied(self, size: int) -> Any:
        fitting = [each for each in self.linears if each.in_features == size]
        if fitting:
            return (chosen := self.pick(fitting)), chosen.out_features
        fitting = [each for each in self.linears if each.out_features == size]
        if fitting:
            chosen = self.pick(fitting)
            return Part(lambda self, x: x @ self.other.weight, other=chosen), chosen.in_features
        return self.linear(size)

    def function(self, size: int) -> Any:
        members = {
            "mean": mg.zeros(size), "count": mg.zeros(()), "slope": nn.Parameter(mg.full((), 0.3)),
            "gate": nn.Parameter(mg.randn(size)), "table": nn.Embedding(size, size),
        }  # fmt: skip
        function = self.pick(FUNCTIONS)
        names = function.__code__.co_names
        return Part(function, **{k: v for k, v in members.items() if k in names}), size

    def conv(self, size: int) -> Any:
        channels = int(self.pick([2, 3]))
        pooled = self.pick([nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d((2, size // 4))])
        norm = [nn.BatchNorm2d(channels)] if self.rng.integers(2) else []
        layers = [
            nn.Unflatten(1, (1, 4, size // 4) if pooled.__class__ is nn.AdaptiveAvgPool2d
                         else (1, 2, size // 2)),
            nn.Conv2d(1, channels, 3, padding=1), *norm, nn.ReLU(), pooled, nn.Flatten(),
        ]  # fmt: skip
        flat = channels * (2 * (size // 4) if pooled.__class__ is nn.AdaptiveAvgPool2d
                           else size // 4)  # fmt: skip
        width = self.width()
        return nn.Sequential(*layers, nn.Linear(flat, width)), width

    def recurrent(self, size: int) -> Any:
        make = self.pick([nn.GRU, nn.LSTM, nn.RNN])
        return Last(make(size // 4, 8, batch_first=True), 4), 8

    def parametrized(self, size: int) -> Any:
        layer, width = nn.Linear(size, size), size
        wrap = self.pick([nn.utils.parametrizations.weight_norm,
                          nn.utils.parametrizations.spectral_norm])  # fmt: skip
        return wrap(layer), width


# ---- programs ----


def one_hot(scores: Any, y: Any) -> Any:
    return F.one_hot(y, CLASSES).to(scores.dtype)


LOSSES = {
    "cross_entropy": F.cross_entropy,
    "margin": F.multi_margin_loss,
    "mse": lambda scores, y: F.mse_loss(scores, one_hot(scores, y)),
    "smooth": lambda scores, y: F.smooth_l1_loss(scores, one_hot(scores, y)),
    "own": lambda scores, y: (
        ((scores - one_hot(scores, y)).abs() + 0.1).log().mean() + scores.std()
    ),
}

OPTIMIZERS = [
    lambda p: optim.SGD(p, lr=0.05),
    lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    lambda p: optim.SGD(p, lr=0.05, momentum=0.5, weight_decay=0.01),
    lambda p: optim.Adam(p, lr=0.01),
    lambda p: optim.Adam(p, lr=0.01, amsgrad=True),
    lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.1),
    lambda p: optim.RMSprop(p, lr=0.01, momentum=0.5),
    lambda p: optim.Adagrad(p, lr=0.05),
    lambda p: optim.NAdam(p, lr=0.01),
    lambda p: optim.Adadelta(p, lr=0.5),
    lambda p: optim.Lion(p, lr=0.001),
    lambda p: optim.Rprop(p, lr=0.01),
]


class Program:
    """A network, optimizers, a step, and what happens between steps."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = np.random.default_rng(seed)
        mg.manual_seed(seed)
        self.maker = Maker(rng)
        self.size = self.maker.width()
        self.model = self.maker.network(self.size)
        self.pick = pick = self.maker.pick
        self.parameters = list(self.model.parameters())
        if rng.integers(4) == 0 and len(self.parameters) > 2:
            middle = len(self.parameters) // 2
            groups = self.parameters[:middle], self.parameters[middle:]
            self.optimizers = [pick(OPTIMIZERS)(group) for group in groups]
        else:
            self.optimizers = [pick(OPTIMIZERS)(self.parameters)]
        self.loss = pick(list(LOSSES))
        self.penalty = pick([None, None, None, "l2", "gradient", "input"])
        self.clip = pick([None, None, "norm", "value"])
        self.zero = pick(["before", "before", "after", "keep memory", "outside", "never"])
        self.pieces = int(pick([1, 1, 1, 2]))
        self.steps_inside = bool(rng.integers(4))
        self.returns = pick(["loss", "pair", "dictionary", "nothing"])
        self.hook = pick([None] * 5 + ["tensor", "module"])
        self.average = copy.deepcopy(self.model) if rng.integers(4) == 0 else None
        if self.hook == "tensor" and self.parameters[0].requires_grad:
            self.parameters[0].register_hook(lambda grad: grad * 0.5)
        elif self.hook == "module":
            self.model[0].register_forward_hook(lambda module, args, output: output * 0.9)
        self.outside = rng.integers(4) == 0  # the backward pass of the result
        if self.outside:
            self.steps_inside, self.zero = False, pick(["outside", "outside", "never"])
        self.saved: list[Any] = []
        self.step = self.make_step()

    def make_step(self) -> Any:
        """The step; it reaches nothing of the program that changes for other reasons."""
        model, optimizers, parameters = self.model, self.optimizers, self.parameters
        outside = self.outside
        average, pieces, penalty, clip = self.average, self.pieces, self.penalty, self.clip
        zero, steps_inside, returns = self.zero, self.steps_inside, self.returns
        loss_of = LOSSES[self.loss]

        def backward(x: Any, y: Any) -> Any:
            if penalty == "input":
                x = x.detach().clone().requires_grad_()
            scores = model(x)
            loss = loss_of(scores, y)
            leaves = [p for p in parameters if p.requires_grad]
            if penalty == "l2":
                loss = loss + 0.01 * sum((p * p).sum() for p in leaves)
            elif penalty in ("input", "gradient") and (penalty == "input" or leaves):
                leaf = x if penalty == "input" else leaves[0]
                (slope,) = mg.autograd.grad(loss, leaf, create_graph=True, allow_unused=True)
                loss = loss if slope is None else loss + 0.1 * slope.square().sum()
            if outside:
                return loss, scores if len(leaves) % 2 else scores.detach()
            if loss.requires_grad:
                loss.backward()
            return loss.detach(), scores.detach()

        def step(x: Any, y: Any, weight: float = 1.0) -> Any:
            if zero in ("before", "keep memory"):
                for optimizer in optimizers:
                    optimizer.zero_grad(set_to_none=zero == "before")
            losses = []
            for a, b in zip(x.chunk(pieces), y.chunk(pieces), strict=True):
                loss, scores = backward(a * weight, b)
                losses.append(loss)
            norm = None
            if clip == "norm":
                norm = nn.utils.clip_grad_norm_(parameters, 0.5)
            elif clip == "value":
                nn.utils.clip_grad_value_(parameters, 0.05)
            if steps_inside:
                for optimizer in optimizers:
                    optimizer.step()
            if zero == "after":
                for optimizer in optimizers:
                    optimizer.zero_grad()
            if average is not None:
                with mg.no_grad():
                    for mine, theirs in zip(average.parameters(), parameters, strict=True):
                        mine.mul_(0.9).add_(theirs, alpha=0.1)
            if returns == "nothing":
                return None
            if returns == "loss":
                return losses[-1]
            if returns == "pair":
                return sum(losses), scores
            return {"losses": losses, "norm": norm, "scores": [scores.t(), "text", x]}

        return step

    # ---- what happens between steps ----

    def event(self, kind: str, batch: Any) -> None:
        getattr(self, "on_" + kind)(batch)

    def on_rate(self, batch: Any) -> None:
        for group in self.pick(self.optimizers).param_groups:
            group["lr"] = group["lr"] * 0.7

    def on_momentum(self, batch: Any) -> None:
        for group in self.pick(self.optimizers).param_groups:
            if "momentum" in group and not group.get("nesterov"):
                group["momentum"] = 0.0 if group["momentum"] else 0.9
            elif "betas" in group:
                group["betas"] = (0.8, 0.99)

    def on_decay(self, batch: Any) -> None:
        for group in self.pick(self.optimizers).param_groups:
            if "weight_decay" in group:
                group["weight_decay"] = float(self.pick([0.0, 0.02]))

    def on_mode(self, batch: Any) -> None:
        self.model.train(not self.model.training)

    def on_mode_of_one(self, batch: Any) -> None:
        layer = self.pick(list(self.model.children()))
        layer.train(not layer.training)

    def on_save(self, batch: Any) -> None:
        self.saved = [
            {name: value.clone() for name, value in self.model.state_dict().items()},
            [copy.deepcopy(optimizer.state_dict()) for optimizer in self.optimizers],
        ]

    def on_load(self, batch: Any) -> None:
        if self.saved:
            self.model.load_state_dict(self.saved[0])

    def on_load_optimizer(self, batch: Any) -> None:
        if self.saved:
            for optimizer, state in zip(self.optimizers, self.saved[1], strict=True):
                optimizer.load_state_dict(copy.deepcopy(state))

    def on_eager(self, batch: Any) -> None:
        self.step(*batch)

    def on_evaluate(self, batch: Any) -> None:
        with mg.no_grad():
            self.seen.append(self.model(batch[0]).numpy().copy())

    def on_backward(self, batch: Any) -> None:
        LOSSES[self.loss](self.model(batch[0]), batch[1]).backward()

    def on_freeze(self, batch: Any) -> None:
        self.pick(self.parameters).requires_grad_(False)

    def on_unfreeze(self, batch: Any) -> None:
        for parameter in self.parameters:
            parameter.requires_grad_()

    def on_data(self, batch: Any) -> None:
        parameter = self.pick(self.parameters)
        parameter.data = parameter.data * 0.9

    def on_write(self, batch: Any) -> None:
        with mg.no_grad():
            self.pick(self.parameters).mul_(0.9)

    def on_replace(self, batch: Any) -> None:
        """A new parameter, which no optimizer knows."""
        found = [each for each in self.model.modules() if type(each) is nn.Linear
                 and not nn.utils.parametrize.is_parametrized(each)]  # fmt: skip
        layer = self.pick(found)
        layer.weight = nn.Parameter(layer.weight.detach() * 0.5)

    def on_no_grad(self, batch: Any) -> None:
        self.pick(self.parameters).grad = None

    def on_new_grad(self, batch: Any) -> None:
        parameter = self.pick(self.parameters)
        parameter.grad = mg.full_like(parameter.detach(), 0.01)

    def on_write_grad(self, batch: Any) -> None:
        grad = self.pick(self.parameters).grad
        if grad is not None:
            grad.mul_(0.5)

    def on_zero(self, batch: Any) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=bool(self.rng.integers(2)))

    def on_step(self, batch: Any) -> None:
        for optimizer in self.optimizers:
            optimizer.step()

    def on_seed(self, batch: Any) -> None:
        mg.manual_seed(int(self.rng.integers(1000)))

    def on_state(self, batch: Any) -> None:
        state = mg.get_rng_state()
        mg.rand(3)
        if self.rng.integers(2):
            mg.set_rng_state(state)

    def on_collect(self, batch: Any) -> None:
        gc.collect()

    def on_append(self, batch: Any) -> None:
        if len(self.model) < 8:
            self.model.insert(0, nn.Tanh())

    def on_probability(self, batch: Any) -> None:
        for layer in self.model.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = float(self.pick([0.0, 0.3]))

    def on_copy(self, batch: Any) -> None:
        copy.deepcopy(self.model)(batch[0])

    def on_double(self, batch: Any) -> None:
        """All parameters of the other dtype for some steps."""
        first = next(self.model.parameters())
        self.model.to(mg.float32 if first.dtype == mg.float64 else mg.float64)
        if self.average is not None:
            self.average.to(first.dtype)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
            optimizer.state.clear()

    # ---- runs ----

    def run(self, compiled: bool, count: int) -> list[Any]:
        """What is seen after each of so many calls."""
        step = mg.compile(self.step) if compiled else self.step
        self.compiled_step = step
        kinds = [name[3:] for name in dir(self) if name.startswith("on_")]
        sizes = [6] if self.rng.integers(2) else [6, 6, 6, 4, 8]
        chance = float(self.pick([0.0, 0.1, 0.3]))
        allowed = [self.pick(kinds) for _ in range(4)]
        history: list[Any] = []
        kept: list[tuple[Any, np.ndarray]] = []
        for _ in range(count):
            self.seen: list[Any] = []
            x, y = batch = self.batch(int(self.pick(sizes)))
            if self.rng.random() < chance:
                kind = self.pick(allowed)
                self.seen.append(kind)
                try:
                    self.event(kind, batch)
                except Exception as error:
                    self.seen.append(type(error).__name__)
            weight = () if self.rng.random() < 0.95 else (0.5,)
            if compiled:
                for recording in step.recordings:
                    if not recording.busy():
                        recording.plan.poison()
            try:
                result = step(x, y, *weight)
                self.go_back(result)
            except Exception as error:
                self.seen.append(f"{type(error).__name__}: {error}"[:200])
                result = None
            if not self.steps_inside:
                for optimizer in self.optimizers:
                    optimizer.step()
            if self.zero == "outside":
                for optimizer in self.optimizers:
                    optimizer.zero_grad()
            self.look(result)
            kept += [(t, t.detach().numpy().copy()) for t in tensors_in(result) if t is not x]
            history.append(self.seen)
        # Results are values of their own, which no later call writes to.
        history.append([np.array_equal(t.detach().numpy(), v, equal_nan=True) for t, v in kept])
        return history

    def go_back(self, result: Any) -> None:
        """The backward pass outside of the step, through some of its results."""
        found = [t for t in tensors_in(result) if t.requires_grad]
        if not found or self.rng.integers(8) == 0:
            return
        chosen = [found[0]] if self.rng.integers(3) else found
        sum((each * each).sum() if each.dim() else each for each in chosen).backward()

    def batch(self, size: int) -> Any:
        x = mg.tensor(self.rng.standard_normal((size, self.size)).astype(np.float32))
        y = mg.tensor(self.rng.integers(0, CLASSES, size))
        return x.to(next(self.model.parameters()).dtype), y

    def look(self, result: Any) -> None:
        """Notes results, parameters, buffers, gradients, what optimizers remember, random state."""
        models = [self.model] if self.average is None else [self.model, self.average]
        values = [*tensors_in(result), *(v for m in models for v in m.state_dict().values())]
        self.seen += [value.detach().numpy().copy() for value in values]
        for parameter in self.parameters:
            grad = parameter.grad
            self.seen.append(None if grad is None else grad.numpy().copy())
        for optimizer in self.optimizers:
            for entry in optimizer.state.values():
                self.seen += [
                    v.numpy().copy() if isinstance(v, mg.Tensor) else v for v in entry.values()
                ]
        self.seen.append(mg.get_rng_state().numpy().copy())


def tensors_in(result: Any) -> list[Any]:
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, (tuple, list)):
        return [tensor for each in result for tensor in tensors_in(each)]
    return [result] if isinstance(result, mg.Tensor) else []


def difference(first: Any, second: Any) -> str | None:
    """Where two histories differ, in words."""
    if len(first) != len(second):
        return f"{len(first)} and {len(second)} entries"
    for index, (a, b) in enumerate(zip(first, second, strict=True)):
        if len(a) != len(b):
            return f"call {index}: {len(a)} and {len(b)} values, {a[:2]} {b[:2]}"
        for place, (x, y) in enumerate(zip(a, b, strict=True)):
            if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
                same = x.dtype == y.dtype and np.array_equal(x, y, equal_nan=x.dtype.kind == "f")
            else:
                same = type(x) is type(y) and x == y
            if not same:
                return f"call {index}, value {place} of {len(a)}: {x} and {y}"
    return None


def compare(seed: int, count: int = 50) -> tuple[str | None, Program]:
    """Runs the program of a seed eagerly and compiled: what differs, and the compiled one."""
    with np.errstate(all="ignore"):
        eager = Program(seed).run(False, count)
        program = Program(seed)
        return difference(eager, program.run(True, count)), program
