"""Augmentation of a batch 128 x 3 x 32 x 32 in memory, a draw for each image: minigrad's per_sample
transforms beside torch. torchvision draws once for a batch, so with torch it is a loop over images
(torch functions as torchvision calls them), and the results are stacked.

    OMP_NUM_THREADS=1 python benchmarks/augmentation.py
"""

import math
import time

import torch
import torch.nn.functional as TF

import minigrad as mg
from minigrad.vision import transforms as T

BATCH = 128


def crop_and_flip(image):
    padded = TF.pad(image, [4, 4, 4, 4])
    top, left = torch.randint(0, 9, (1,)).item(), torch.randint(0, 9, (1,)).item()
    cut = padded[..., top : top + 32, left : left + 32]
    return cut.flip(-1) if torch.rand(1).item() < 0.5 else cut


def rotation(image):
    angle = math.radians(torch.empty(1).uniform_(-15, 15).item())
    theta = torch.tensor(
        [[math.cos(angle), math.sin(angle), 0.0], [-math.sin(angle), math.cos(angle), 0.0]]
    )
    grid = TF.affine_grid(theta[None], [1, 3, 32, 32], align_corners=False)
    return TF.grid_sample(image[None], grid, mode="bilinear", align_corners=False)[0]


def resized_crop(image):
    for _ in range(10):
        area = 1024 * torch.empty(1).uniform_(0.08, 1).item()
        ratio = math.exp(torch.empty(1).uniform_(math.log(3 / 4), math.log(4 / 3)).item())
        width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < width <= 32 and 0 < height <= 32:
            break
    else:
        width = height = 32
    top = torch.randint(0, 33 - height, (1,)).item()
    left = torch.randint(0, 33 - width, (1,)).item()
    cut = image[None, :, top : top + height, left : left + width]
    return TF.interpolate(cut, (32, 32), mode="bilinear", antialias=True)[0]


def jitter(image):
    def luma(x):
        return (0.2989 * x[0] + 0.587 * x[1] + 0.114 * x[2])[None]

    def blend(x, other, factor):
        return (factor * x + (1 - factor) * other).clamp(0, 1)

    for index in torch.randperm(3).tolist():
        factor = torch.empty(1).uniform_(0.6, 1.4).item()
        other = (
            torch.zeros_like(image)
            if index == 0
            else luma(image).mean()
            if index == 1
            else luma(image)
        )
        image = blend(image, other, factor)
    return image


CASES = {
    "RandomCrop(32, padding=4) and flip": (
        crop_and_flip,
        T.Compose(
            [
                T.RandomCrop(32, padding=4, per_sample=True),
                T.RandomHorizontalFlip(per_sample=True),
            ]
        ),
    ),
    "RandomRotation(15), bilinear": (
        rotation,
        T.RandomRotation(15, T.InterpolationMode.BILINEAR, per_sample=True),
    ),
    "RandomResizedCrop(32)": (resized_crop, T.RandomResizedCrop(32, per_sample=True)),
    "ColorJitter(0.4, 0.4, 0.4)": (jitter, T.ColorJitter(0.4, 0.4, 0.4, per_sample=True)),
}


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main():
    ours = mg.rand(BATCH, 3, 32, 32)
    theirs = torch.from_numpy(ours.numpy().copy())
    print(f"{'batch 128 x 3 x 32 x 32, float32':36s} {'torch':>9s} {'minigrad':>9s}  ratio")
    for name, (single, transform) in CASES.items():

        def loop(single=single):
            return torch.stack([single(image) for image in theirs])

        def batch(transform=transform):
            return transform(ours)

        times = [(seconds(loop), seconds(batch)) for _ in range(20)]
        first, second = (sorted(each)[len(times) // 2] for each in zip(*times, strict=True))
        print(f"{name:36s} {first * 1e3:6.2f} ms {second * 1e3:6.2f} ms {first / second:5.1f}x")


if __name__ == "__main__":
    main()
