"""The gradient of a whole network, checked by central differences.

What one learns: what a derivative is (how much the loss changes when one number changes), how to
compute it without any calculus, dL/dw ~ (L(w + h) - L(w - h)) / 2h, and that backward() gives the
same for all parameters at once, with and without a penalty on the weights:

    L = mean cross-entropy + regularization * sum of the squared weights (biases are not penalised)

In float64 the relative error |a - n| / (|a| + |n|) of each parameter, in the Euclidean norm, stays
below 1e-6. The differences need two passes for every single number; backward needs one for all of
them.
"""

import itertools
import sys

import minigrad
from minigrad import nn
from minigrad.vision.datasets import Digits

STEP = 1e-5
TOLERANCE = 1e-6
HIDDEN = (6,) if "--quick" in sys.argv else (12, 8)


def make_network() -> nn.Sequential:
    sizes = [64, *HIDDEN, 10]
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).double()


def objective(net, images, labels, regularization):
    loss = nn.functional.cross_entropy(net(images), labels)
    for parameter in net.parameters():
        if parameter.dim() > 1:
            loss = loss + regularization * (parameter**2).sum()
    return loss


def numeric_gradient(net, parameter, images, labels, regularization):
    gradient = minigrad.zeros_like(parameter)
    values, slopes = parameter.detach().view(-1), gradient.view(-1)  # views: they share the memory
    with minigrad.no_grad():
        for index in range(values.numel()):
            value = values[index].item()
            values[index] = value + STEP
            above = objective(net, images, labels, regularization).item()
            values[index] = value - STEP
            below = objective(net, images, labels, regularization).item()
            values[index] = value
            slopes[index] = (above - below) / (2 * STEP)
    return gradient


def main() -> int:
    minigrad.manual_seed(0)
    digits = Digits()
    images, labels = digits.data[:16].double(), digits.targets[:16]
    worst = 0.0
    for regularization in (0.0, 0.7):
        net = make_network()
        objective(net, images, labels, regularization).backward()
        print(f"regularization {regularization}")
        for name, parameter in net.named_parameters():
            numeric = numeric_gradient(net, parameter, images, labels, regularization)
            difference = (parameter.grad - numeric).norm().item()
            scale = parameter.grad.norm().item() + numeric.norm().item()
            error = difference / max(scale, 1e-12)
            worst = max(worst, error)
            print(f"  {name:<10} {parameter.numel():>5} numbers   relative error {error:.1e}")
    verdict = "passed" if worst <= TOLERANCE else "FAILED"
    print(f"{verdict}: the largest relative error is {worst:.1e}, allowed is {TOLERANCE:.0e}")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
