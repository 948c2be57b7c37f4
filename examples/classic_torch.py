"""The classic torch program, line for line: only the import differs.

What one learns: a program written for torch (a subclass of nn.Module, batches from a DataLoader,
CrossEntropyLoss, Adam, zero_grad / backward / step, the state_dict saved and loaded) runs on
minigrad as it stands. With `import torch` in place of the first import it is a torch program again:
the digits come in as NumPy arrays, which both libraries take.
"""

import sys
import tempfile
from pathlib import Path

import minigrad as torch
from minigrad.vision.datasets import Digits


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = torch.nn.Linear(64, 100)
        self.relu = torch.nn.ReLU()
        self.output = torch.nn.Linear(100, 10)

    def forward(self, x):
        return self.output(self.relu(self.hidden(x)))


def dataset(train):
    digits = Digits(train=train)
    images = torch.from_numpy(digits.data.numpy()).flatten(1)
    return torch.utils.data.TensorDataset(images, torch.from_numpy(digits.targets.numpy()))


def accuracy(net, loader):
    net.eval()
    correct = total = 0
    with torch.no_grad():
        for images, labels in loader:
            predicted = torch.max(net(images), 1).indices
            correct += (predicted == labels).sum().item()
            total += labels.size(0)
    return correct / total


torch.manual_seed(0)
train_loader = torch.utils.data.DataLoader(dataset(train=True), batch_size=32, shuffle=True)
test_loader = torch.utils.data.DataLoader(dataset(train=False), batch_size=128)

net = Net()
criterion = torch.nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(net.parameters(), lr=0.003)

epochs = 3 if "--quick" in sys.argv else 20
for epoch in range(1, epochs + 1):
    net.train()
    running_loss = 0.0
    for images, labels in train_loader:
        optimizer.zero_grad()
        loss = criterion(net(images), labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item() * labels.size(0)
    running_loss /= len(train_loader.dataset)
    print(f"epoch {epoch:2d}: loss {running_loss:.4f}, test {accuracy(net, test_loader):.2%}")

probabilities = torch.nn.Softmax(dim=1)(net(next(iter(test_loader))[0][:1]))
print("probabilities of the first test image:", probabilities)

with tempfile.TemporaryDirectory() as directory:
    path = Path(directory) / "net.pt"
    torch.save(net.state_dict(), path)
    restored = Net()
    restored.load_state_dict(torch.load(path))

assert accuracy(restored, test_loader) == accuracy(net, test_loader)
print("the network loaded from the file classifies as before")
