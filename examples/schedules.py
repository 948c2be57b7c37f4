"""Learning rate schedules: their curves, and what they do to a short training.

What one learns: a schedule is stepped after the optimizer, `preview` shows its curve before any
training, and the same network with the same number of steps ends at other accuracies. The picture
goes to runs/schedules.png.
"""

import statistics
import sys
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from tqdm import tqdm

import minigrad
from minigrad import nn, optim
from minigrad.optim import lr_scheduler as schedules
from minigrad.vision.datasets import Digits

QUICK = "--quick" in sys.argv
EPOCHS, SEEDS = (3, 1) if QUICK else (12, 5)
BATCH_SIZE, LEARNING_RATE = 32, 0.2

train, test = Digits(train=True), Digits(train=False)
STEPS = EPOCHS * -(-len(train) // BATCH_SIZE)


def warm_up_then_cosine(optimizer: optim.Optimizer) -> schedules.LRScheduler:
    """Two at once: the warm-up multiplies what the cosine leaves."""
    parts = [
        schedules.WarmupLR(optimizer, STEPS // 10),
        schedules.CosineAnnealingLR(optimizer, STEPS),
    ]
    return schedules.ChainedScheduler(parts)


# Each is stepped once a batch, so times are in steps.
SCHEDULES = {
    "constant": lambda o: schedules.ConstantLR(o, 1.0),
    "step": lambda o: schedules.StepLR(o, STEPS // 4, 0.5),
    "multi-step": lambda o: schedules.MultiStepLR(o, [STEPS // 2, STEPS * 3 // 4], 0.1),
    "exponential": lambda o: schedules.ExponentialLR(o, 0.01 ** (1 / STEPS)),
    "linear": lambda o: schedules.LinearDecayLR(o, STEPS),
    "polynomial": lambda o: schedules.PolynomialLR(o, STEPS, 2.0),
    "inverse square root": schedules.InverseSquareRootLR,
    "cosine": lambda o: schedules.CosineAnnealingLR(o, STEPS),
    "warm-up, cosine": warm_up_then_cosine,
    "cosine, restarts": lambda o: schedules.CosineAnnealingWarmRestarts(o, STEPS // 3 + 1),
    "cyclic": lambda o: schedules.CyclicLR(o, LEARNING_RATE / 10, LEARNING_RATE, STEPS // 6),
    "one cycle": lambda o: schedules.OneCycleLR(o, LEARNING_RATE, STEPS),
}


def new_network() -> tuple[nn.Module, optim.Optimizer]:
    """A network and its optimizer, drawn from the seed."""
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )
    return net, optim.SGD(net.parameters(), lr=LEARNING_RATE, momentum=0.9)


def accuracy_with(make, seed: int) -> float:
    """Test accuracy after a training with a schedule."""
    minigrad.manual_seed(seed)
    net, optimizer = new_network()
    schedule = make(optimizer)
    for _ in range(EPOCHS):
        for batch in minigrad.randperm(len(train)).split(BATCH_SIZE):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(train.data[batch]), train.targets[batch])
            loss.backward()
            optimizer.step()
            schedule.step()
    with minigrad.no_grad():
        return (net(test.data).argmax(dim=1) == test.targets).float().mean().item()


matplotlib.use("Agg")
figure, axes = plt.subplots(3, 4, figsize=(14, 8), sharex=True, layout="constrained")
print(f"{'schedule':<22}{'test accuracy: mean':>20}{'lowest':>10}{'highest':>10}")
for axis, (name, make) in zip(axes.flat, tqdm(SCHEDULES.items(), disable=None), strict=True):
    curve = make(new_network()[1]).preview(STEPS)
    scores = [accuracy_with(make, seed) for seed in range(SEEDS)]
    axis.plot(curve)
    axis.set_ylim(bottom=0)
    axis.set_title(f"{name}: {statistics.mean(scores):.2%}")
    tqdm.write(
        f"{name:<22}{statistics.mean(scores):>20.2%}{min(scores):>10.2%}{max(scores):>10.2%}"
    )
for axis in axes[-1]:
    axis.set_xlabel("step")
for axis in axes[:, 0]:
    axis.set_ylabel("learning rate")
figure.suptitle(
    f"Learning rate by step, and test accuracy of an MLP on digits after {EPOCHS} epochs "
    f"(mean of {SEEDS})"
)
path = Path("runs/schedules.png")
path.parent.mkdir(exist_ok=True)
figure.savefig(path, dpi=100)
print(f"wrote {path}")
