"""Early stopping: the validation loss says when a network begins to learn its images by heart.

What one learns: a network with more weights than it needs, few images and some wrong labels goes on
lowering its training loss long after its validation loss has turned; `EarlyStopping` stops there
and puts the best weights back. The picture goes to runs/early_stopping.png.
"""

import sys
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from tqdm import tqdm

import minigrad
from minigrad import nn, optim
from minigrad.training import EarlyStopping
from minigrad.vision.datasets import Digits

EPOCHS = 60 if "--quick" in sys.argv else 300
PATIENCE, BATCH_SIZE, WRONG_LABELS = 20, 25, 0.15

minigrad.manual_seed(0)
images, test = Digits(train=True), Digits(train=False)
order = minigrad.randperm(len(images))
chosen, held_out = order[:300], order[300:700]
data, targets = images.data[chosen], images.targets[chosen]
wrong = minigrad.rand(len(chosen)) < WRONG_LABELS
targets = minigrad.where(wrong, minigrad.randint(0, 10, (len(chosen),)), targets)
validation, validation_targets = images.data[held_out], images.targets[held_out]

net = nn.Sequential(
    nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
)
optimizer = optim.Adam(net.parameters(), lr=3e-4)
loss_of = nn.functional.cross_entropy


@minigrad.no_grad()
def evaluate(data: minigrad.Tensor, targets: minigrad.Tensor) -> tuple[float, float]:
    """Loss and accuracy."""
    scores = net(data)
    accuracy = (scores.argmax(dim=1) == targets).float().mean().item()
    return loss_of(scores, targets).item(), accuracy


stopping = EarlyStopping(net, patience=PATIENCE)
training_curve, validation_curve = [], []
stopped_after = None
for epoch in tqdm(range(1, EPOCHS + 1), disable=None):
    for batch in minigrad.randperm(len(chosen)).split(BATCH_SIZE):
        optimizer.zero_grad()
        loss_of(net(data[batch]), targets[batch]).backward()
        optimizer.step()
    training_curve.append(evaluate(data, targets)[0])
    validation_loss, _ = evaluate(validation, validation_targets)
    validation_curve.append(validation_loss)
    # A program would end its loop here. This one goes on to show what would have come.
    if stopped_after is None:
        present = {name: value.clone() for name, value in net.state_dict().items()}
        if stopping.step(validation_loss):
            stopped_after = epoch
            stopped_test = evaluate(test.data, test.targets)  # of the best weights
            net.load_state_dict(present)

final_test = evaluate(test.data, test.targets)
if stopped_after is None:
    stopping.restore()
    stopped_after, stopped_test = EPOCHS, evaluate(test.data, test.targets)
print(f"{len(chosen)} training images, {wrong.sum().item()} of them with a label drawn at random")
print(f"stopped after epoch {stopped_after}, best epoch {stopping.best_epoch}")
print(f"{'':<28}{'test loss':>10}{'accuracy':>10}{'epochs':>8}")
print(f"{'early stopping':<28}{stopped_test[0]:>10.3f}{stopped_test[1]:>10.2%}{stopped_after:>8}")
print(f"{'to the end':<28}{final_test[0]:>10.3f}{final_test[1]:>10.2%}{EPOCHS:>8}")

matplotlib.use("Agg")
figure, axis = plt.subplots(figsize=(8, 5), layout="constrained")
axis.plot(training_curve, label="training loss")
axis.plot(validation_curve, label="validation loss")
axis.axvline(stopping.best_epoch - 1, color="gray", linestyle=":", label="best epoch")
axis.axvline(stopped_after - 1, color="gray", linestyle="--", label="stopped")
axis.set_xlabel("epoch")
axis.set_ylabel("cross-entropy")
axis.legend()
path = Path("runs/early_stopping.png")
path.parent.mkdir(exist_ok=True)
figure.savefig(path, dpi=100)
print(f"wrote {path}")
