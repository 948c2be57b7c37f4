"""A multi-layer perceptron on the digits, with a loop of one's own.

What one learns: the five lines that every training loop has, without a DataLoader: the data are
tensors, a batch is a row index, and a shuffled epoch is a random permutation cut into pieces.
"""

import itertools
import sys

import minigrad
from minigrad import nn, optim
from minigrad.vision.datasets import Digits

EPOCHS = 3 if "--quick" in sys.argv else 30
BATCH_SIZE = 32

minigrad.manual_seed(0)
train, test = Digits(train=True), Digits(train=False)

# (L - 1) x {Linear - ReLU}, then Linear; the softmax is part of the loss.
sizes = [64, 128, 64, 10]
layers: list[nn.Module] = [nn.Flatten()]
for inputs, outputs in itertools.pairwise(sizes):
    layers += [nn.Linear(inputs, outputs), nn.ReLU()]
net = nn.Sequential(*layers[:-1])
print(net)

optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)

for epoch in range(1, EPOCHS + 1):
    total = 0.0
    for batch in minigrad.randperm(len(train)).split(BATCH_SIZE):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(train.data[batch]), train.targets[batch])
        loss.backward()
        optimizer.step()
        total += loss.item() * len(batch)
    with minigrad.no_grad():
        right = (net(test.data).argmax(dim=1) == test.targets).sum().item()
    print(f"epoch {epoch:2d}: loss {total / len(train):.4f}, test {right / len(test):.2%}")
