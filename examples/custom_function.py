"""An operation of one's own, with NumPy inside.

What one learns: how to give autograd an operation that it does not know. `forward` may compute with
anything (NumPy here) and keeps what `backward` needs; `backward` turns the gradient of the result
into the gradient of the input. gradcheck compares it with differences; then a network trains with
it.

The operation is the activation x * tanh(softplus(x)) (Misra 2019, "Mish").
With s = log(1 + exp(x)) and t = tanh(s):  y = x t,  dy/dx = t + x (1 - t**2) / (1 + exp(-x)).
"""

import sys

import numpy

import minigrad
from minigrad import nn, optim
from minigrad.autograd import Function, gradcheck
from minigrad.autograd.function import once_differentiable
from minigrad.vision.datasets import Digits


class Mish(Function):
    @staticmethod
    def forward(ctx, x):
        values = x.detach().numpy()
        t = numpy.tanh(numpy.logaddexp(0.0, values))
        ctx.derivative = t + values * (1 - t * t) / (1 + numpy.exp(-values))
        return minigrad.from_numpy(values * t)

    @staticmethod
    @once_differentiable  # NumPy leaves no graph: the gradient cannot be differentiated again
    def backward(ctx, grad_output):
        return grad_output * minigrad.from_numpy(ctx.derivative)


class MishLayer(nn.Module):
    def forward(self, x):
        return Mish.apply(x)


def main() -> int:
    minigrad.manual_seed(0)
    x = minigrad.randn(5, 7, dtype=minigrad.float64, requires_grad=True)
    print("gradcheck:", gradcheck(Mish.apply, (x,)))

    train, test = Digits(train=True), Digits(train=False)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), MishLayer(), nn.Linear(64, 10))
    optimizer = optim.Adam(net.parameters(), lr=0.005)
    for epoch in range(1, (2 if "--quick" in sys.argv else 10) + 1):
        for batch in minigrad.randperm(len(train)).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(train.data[batch]), train.targets[batch]).backward()
            optimizer.step()
        with minigrad.no_grad():
            right = (net(test.data).argmax(dim=1) == test.targets).sum().item()
        print(f"epoch {epoch:2d}: test {right / len(test):.2%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
