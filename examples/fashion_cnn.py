"""A convolutional network on FashionMNIST: 60,000 photographs of clothes, 28 × 28.

What one learns: where the images come from (a folder, Debian's package dataset-fashion-mnist, or a
download), transforms that a DataLoader applies to whole batches, an augmentation that draws for
each image, and the one-cycle schedule.

    python examples/fashion_cnn.py               the whole of it: 92% of the test images, in some
                                                 two minutes on one core
    python examples/fashion_cnn.py --download    fetches the images if they are not there
    python examples/fashion_cnn.py --quick       a part of them; the digits where there are none
"""

import argparse
import sys
import time

import minigrad
from minigrad import nn, optim
from minigrad.utils.data import DataLoader, Subset
from minigrad.vision import transforms
from minigrad.vision.datasets import Digits, FashionMNIST

BATCH_SIZE, LEARNING_RATE = 128, 0.01

parser = argparse.ArgumentParser(description="A convolutional network on FashionMNIST.")
parser.add_argument("--root", default="data", help="folder of the images")
parser.add_argument("--download", action="store_true", help="fetch the images if needed")
parser.add_argument("--quick", action="store_true", help="a short run, also without the images")
options = parser.parse_args()

EPOCHS = 1 if options.quick else 5
minigrad.manual_seed(0)

# Mean and deviation of the training images. Clothes have no left and right.
normalize = transforms.Normalize([0.2860], [0.3530])
augment = transforms.RandomHorizontalFlip(per_sample=True)
plain = transforms.Compose([transforms.ToTensor(), normalize])
varied = transforms.Compose([transforms.ToTensor(), augment, normalize])
try:
    train = FashionMNIST(options.root, transform=varied, download=options.download)
    test = FashionMNIST(options.root, train=False, transform=plain)
except RuntimeError as error:
    if not options.quick:
        sys.exit(f"{error}\n(fashion_cnn.py --download fetches them)")
    print("FashionMNIST is not there; the digits instead")
    train, test = Digits(train=True), Digits(train=False)
if options.quick:
    train, test = Subset(train, range(1280)), Subset(test, range(len(test))[:1000])

train_loader = DataLoader(train, BATCH_SIZE, shuffle=True, drop_last=True)
test_loader = DataLoader(test, 1000)


def convolution(inputs: int, outputs: int) -> nn.Sequential:
    """(N, inputs, H, W) -> (N, outputs, H / 2, W / 2)"""
    return nn.Sequential(
        # No bias: the normalisation that follows would take it away again.
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )


side = train[0][0].shape[-1] // 4  # after two halvings
net = nn.Sequential(
    convolution(1, 32),
    convolution(32, 64),
    nn.Flatten(),
    nn.Dropout(0.25),
    nn.Linear(64 * side * side, 128),
    nn.ReLU(),
    nn.Linear(128, 10),
)
print(f"{len(train)} images, {sum(parameter.numel() for parameter in net.parameters())} parameters")

criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
optimizer = optim.AdamW(net.parameters(), lr=LEARNING_RATE)
schedule = optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, EPOCHS * len(train_loader))

began = time.perf_counter()
for epoch in range(1, EPOCHS + 1):
    net.train()
    total = 0.0
    for images, labels in train_loader:
        optimizer.zero_grad()
        loss = criterion(net(images), labels)
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.item()
    net.eval()
    with minigrad.no_grad():
        right = sum((net(x).argmax(dim=1) == y).sum().item() for x, y in test_loader)
    print(
        f"epoch {epoch}: loss {total / len(train_loader):.4f}, test {right / len(test):.2%}, "
        f"{time.perf_counter() - began:.0f} s"
    )
