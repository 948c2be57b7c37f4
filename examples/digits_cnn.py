"""A convolutional network with batch normalisation on the digits.

What one learns: the shapes that flow through convolutions and pools, that a network with BatchNorm
or Dropout has two modes, train() and eval(), and a learning rate that falls from step to step.
"""

import math
import sys

import minigrad
from minigrad import nn, optim
from minigrad.utils.data import DataLoader
from minigrad.vision.datasets import Digits

EPOCHS = 2 if "--quick" in sys.argv else 15
RATE = 0.003

minigrad.manual_seed(0)
train, test = Digits(train=True), Digits(train=False)
loader = DataLoader(train, batch_size=32, shuffle=True)

net = nn.Sequential(
    nn.Conv2d(1, 16, kernel_size=3, padding=1),  # (N, 1, 8, 8) -> (N, 16, 8, 8)
    nn.BatchNorm2d(16),
    nn.ReLU(),
    nn.MaxPool2d(2),  # -> (N, 16, 4, 4)
    nn.Conv2d(16, 32, kernel_size=3, padding=1),  # -> (N, 32, 4, 4)
    nn.BatchNorm2d(32),
    nn.ReLU(),
    nn.MaxPool2d(2),  # -> (N, 32, 2, 2)
    nn.Flatten(),  # -> (N, 128)
    nn.Dropout(0.2),
    nn.Linear(128, 10),
)
print(f"{sum(parameter.numel() for parameter in net.parameters())} parameters")

criterion = nn.CrossEntropyLoss()
optimizer = optim.AdamW(net.parameters(), lr=RATE)
steps = EPOCHS * len(loader)
step = 0

for epoch in range(1, EPOCHS + 1):
    net.train()
    total = 0.0
    for images, labels in loader:
        optimizer.param_groups[0]["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimizer.zero_grad()
        loss = criterion(net(images), labels)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
        step += 1
    net.eval()
    with minigrad.no_grad():
        right = (net(test.data).argmax(dim=1) == test.targets).sum().item()
    print(f"epoch {epoch:2d}: loss {total / len(train):.4f}, test {right / len(test):.2%}")
