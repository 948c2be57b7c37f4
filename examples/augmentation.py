"""Data augmentation: what each transform does to an image, and what it is worth on few images.

What one learns: transforms make new training images from those there are, drawn anew in every step;
`per_sample=True` draws for each image of a batch, so a batch in memory is augmented in a few
launches. Only what the test images vary in helps: small shifts add two points on digits, where
mirror images take four away; clothes, centred and upright, gain from none of these. The pictures go
to runs/augmentation.png. Where FashionMNIST's files are found, the full setting trains on it, too.
"""

import sys
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from tqdm import tqdm

import minigrad
from minigrad import nn, optim
from minigrad.vision import transforms as T
from minigrad.vision.datasets import Digits, FashionMNIST

QUICK = "--quick" in sys.argv
BATCH_SIZE, RATE = 64, 2e-3
BILINEAR = T.InterpolationMode.BILINEAR

# ---- what each transform does: digits in colours, enlarged to 32 x 32 ----

GALLERY = {
    "Pad(4)": T.Pad(4, fill=0.5),
    "CenterCrop(24)": T.CenterCrop(24),
    "Resize(12)": T.Resize(12),
    "RandomCrop(32, padding=8)": T.RandomCrop(32, padding=8, per_sample=True),
    "RandomResizedCrop(32)": T.RandomResizedCrop(32, scale=(0.3, 1.0), per_sample=True),
    "RandomHorizontalFlip()": T.RandomHorizontalFlip(per_sample=True),
    "RandomVerticalFlip()": T.RandomVerticalFlip(per_sample=True),
    "RandomRotation(30)": T.RandomRotation(30, BILINEAR, per_sample=True),
    "RandomAffine, translate": T.RandomAffine(0, translate=(0.2, 0.2), per_sample=True),
    "RandomAffine, all": T.RandomAffine(
        15, (0.1, 0.1), (0.7, 1.2), shear=20, interpolation=BILINEAR, per_sample=True
    ),
    "ColorJitter(brightness=0.7)": T.ColorJitter(brightness=0.7, per_sample=True),
    "ColorJitter(contrast=0.7)": T.ColorJitter(contrast=0.7, per_sample=True),
    "ColorJitter(saturation=0.9)": T.ColorJitter(saturation=0.9, per_sample=True),
    "ColorJitter(hue=0.5)": T.ColorJitter(hue=0.5, per_sample=True),
    "Grayscale(3)": T.Grayscale(3),
    "RandomGrayscale(0.5)": T.RandomGrayscale(0.5, per_sample=True),
    "RandomInvert()": T.RandomInvert(per_sample=True),
    "RandomErasing(1.0)": T.RandomErasing(1.0, value=0.5, per_sample=True),
    "GaussianBlur(9, (0.5, 4.0))": T.GaussianBlur(9, (0.5, 4.0), per_sample=True),
    "GaussianNoise(sigma=0.2)": T.GaussianNoise(sigma=0.2),
}


def gallery() -> dict[str, minigrad.Tensor]:
    """Eight images, and what each transform makes of them."""
    tints = minigrad.rand(8, 3, 1, 1) * 0.7 + 0.3
    images = T.Resize(32)(Digits().data[10:18]) * tints + (1 - tints) * 0.25
    return {"the images": images} | {name: change(images) for name, change in GALLERY.items()}


# ---- what it is worth: a convolutional network, trained on few images ----

AUGMENTATIONS = {
    "none": None,
    "noise": T.GaussianNoise(sigma=0.1),
    "shifts": T.RandomAffine(0, translate=(0.125, 0.125), per_sample=True),
    "rotations": T.RandomRotation(15, BILINEAR, per_sample=True),
    "mirror images": T.RandomHorizontalFlip(per_sample=True),
    "erasing": T.RandomErasing(0.5, (0.05, 0.2), per_sample=True),
}


def few_images(targets: minigrad.Tensor, of_each: int) -> minigrad.Tensor:
    """Indices of the same number of images of each class, drawn at random."""
    order = minigrad.randperm(len(targets))
    labels = targets[order]
    return minigrad.cat([order[labels == label][:of_each] for label in range(10)])


def network(size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * (size // 4) ** 2, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def accuracy_after(augment, training, test, of_each: int, steps: int, seed: int) -> float:
    """Test accuracy of a network trained with that augmentation; the seed draws the images that it
    is trained on, and its weights."""
    minigrad.manual_seed(seed)
    chosen = few_images(training[1], of_each)
    data, targets = training[0][chosen], training[1][chosen]
    normalize = T.Normalize.fit(data)
    net = network(data.shape[-1])
    optimizer = optim.AdamW(net.parameters(), lr=RATE)
    for _ in range(steps):
        batch = minigrad.randint(0, len(targets), (BATCH_SIZE,))
        images = data[batch]
        if augment is not None:
            images = augment(images)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(normalize(images)), targets[batch]).backward()
        optimizer.step()
    with minigrad.no_grad():
        scores = net(normalize(test[0]))
    return (scores.argmax(dim=1) == test[1]).float().mean().item()


def compare(title: str, training, test, of_each: int, steps: int, seeds: int):
    """Prints and returns the accuracies with each augmentation."""
    results = {}
    for name, augment in tqdm(AUGMENTATIONS.items(), title, disable=None):
        accuracies = [
            accuracy_after(augment, training, test, of_each, steps, seed) for seed in range(seeds)
        ]
        results[name] = minigrad.tensor(accuracies)
    print(f"{title}, {10 * of_each} training images, {seeds} seeds; test accuracy:")
    for name, accuracies in results.items():
        gains = accuracies - results["none"]  # with the same images and first weights
        print(
            f"{name:<16}{accuracies.mean().item():>8.2%}   {100 * gains.mean().item():+5.2f} "
            f"points, better in {(gains > 0).sum().item()} of {seeds}"
        )
    return results


minigrad.manual_seed(0)
rows = gallery()
digits = [Digits(train=True), Digits(train=False)]
parts = [(each.data, each.targets) for each in digits]
comparisons = {"digits": compare("digits", *parts, 10, 40 if QUICK else 600, 2 if QUICK else 8)}
if not QUICK:
    try:
        clothes = [FashionMNIST(train=True), FashionMNIST(train=False)]
        parts = [
            (T.ConvertImageDtype(minigrad.float32)(each.data.unsqueeze(1)), each.targets)
            for each in clothes
        ]
        comparisons["clothes"] = compare("clothes", *parts, 50, 800, 4)
    except RuntimeError as missing:
        print(f"without FashionMNIST: {missing}")

matplotlib.use("Agg")
figure = plt.figure(figsize=(13, 10), layout="constrained")
pictures, boxes = figure.subfigures(2, 1, height_ratios=[2, 1])
for place, (name, images) in zip(pictures.subplots(7, 3).flat, rows.items(), strict=True):
    strip = minigrad.cat([T.Pad(1, fill=1.0)(image) for image in images], dim=-1)
    place.imshow(strip.permute(1, 2, 0).clamp(0, 1).numpy())
    place.set_title(name, fontsize=8)
    place.axis("off")
axes = boxes.subplots(1, len(comparisons), squeeze=False)[0]
for axis, (title, results) in zip(axes, comparisons.items(), strict=True):
    axis.boxplot([each.numpy() for each in results.values()])
    axis.set_xticklabels(results)
    axis.set_title(title)
    axis.set_ylabel("test accuracy")
path = Path("runs/augmentation.png")
path.parent.mkdir(exist_ok=True)
figure.savefig(path, dpi=100)
print(f"wrote {path}")
