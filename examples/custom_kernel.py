"""A kernel of one's own, in C: compiled, tested, timed, and given a derivative.

What one learns: `minigrad.kernels.compile` turns C functions into functions of tensors. The tools
that test and time the kernels of the library do it for these, too: `test` counts the error in units
in the last place against NumPy in float64, `bench` compares with NumPy and with what the memory of
this machine allows. In an `autograd.Function` the kernel gets its derivative; gradcheck compares it
with differences, and a network trains with it. The activation here is x times the sigmoid of
1.702 x, the quick form of GELU (Hendrycks and Gimpel, "Gaussian error linear units", 2016).
"""

import sys

import numpy as np

import minigrad
from minigrad import nn, optim
from minigrad.autograd import Function
from minigrad.kernel_tools import custom
from minigrad.vision.datasets import Digits

QUICK = "--quick" in sys.argv

# ---- the functions in C ----

SOURCE = """
/* e^x = 2^n 2^f with |f| <= 1/2, and 2^f by its Taylor polynomial. A loop that calls expf computes
   one element at a time; of this the compiler makes vectors. */
static inline float power(float x) {
    x = x < -87 ? -87 : x;
    x = x > 87 ? 87 : x;
    float t = x * 1.44269504f, n = rintf(t), f = t - n;
    float p = 1.52527338e-5f;
    p = p * f + 1.54035304e-4f;
    p = p * f + 1.33335581e-3f;
    p = p * f + 9.61812911e-3f;
    p = p * f + 5.55041087e-2f;
    p = p * f + 2.40226507e-1f;
    p = p * f + 6.93147181e-1f;
    union { int32_t bits; float value; } scale = {((int32_t)n + 127) << 23};
    return (p * f + 1) * scale.value;
}

/* Each type once: T is the element, exponential the function of its width. */
#define BOTH(T, exponential, forward, backward)                                                   \\
    void forward(int64_t count, T *restrict out, const T *restrict x) {                           \\
        for (int64_t i = 0; i < count; i++) out[i] = x[i] / (1 + exponential((T)-1.702 * x[i]));  \\
    }                                                                                             \\
    void backward(int64_t count, T *restrict out, const T *restrict grad, const T *restrict x) {  \\
        for (int64_t i = 0; i < count; i++) {                                                     \\
            T s = 1 / (1 + exponential((T)-1.702 * x[i]));                                        \\
            out[i] = grad[i] * s * (1 + (T)1.702 * x[i] * (1 - s));                               \\
        }                                                                                         \\
    }
BOTH(float, power, quick_gelu, quick_gelu_backward)
BOTH(double, exp, quick_gelu_wide, quick_gelu_wide_backward)
"""
DECLARATION = """
void quick_gelu(int64_t, float *out, const float *x);
void quick_gelu_backward(int64_t, float *out, const float *grad, const float *x);
void quick_gelu_wide(int64_t, double *out, const double *x);
void quick_gelu_wide_backward(int64_t, double *out, const double *grad, const double *x);
"""
kernel = minigrad.kernels.compile(SOURCE, DECLARATION)


class QuickGELU(Function):
    """The kernel as an operation with a derivative. float64 is for gradcheck."""

    @staticmethod
    def forward(ctx, x):
        x = x.contiguous()
        ctx.save_for_backward(x)
        out = minigrad.empty_like(x)
        wide = x.dtype == minigrad.float64
        (kernel.quick_gelu_wide if wide else kernel.quick_gelu)(x.numel(), out, x)
        return out

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        out, grad = minigrad.empty_like(x), grad.contiguous()
        wide = x.dtype == minigrad.float64
        function = kernel.quick_gelu_wide_backward if wide else kernel.quick_gelu_backward
        function(x.numel(), out, grad, x)
        return out


# ---- tested against NumPy in float64, at all sizes and alignments ----


def reference(x):
    return x / (1 + np.exp(-1.702 * x))


# The exponent, up to 6.8 here, is rounded before it is raised: that makes some ulp.
outcomes = custom.test(
    "quick_gelu", QuickGELU.apply, reference, dtypes=("float32", "float64"), limit=16
)
for outcome in outcomes:
    print(
        f"{outcome.name} {outcome.dtype}: {outcome.error:.2f} ulp at most, "
        f"{outcome.trials} trials, {'passed' if outcome.passed else 'FAILED'}"
    )
assert all(outcome.passed for outcome in outcomes)

x = minigrad.randn(5, 7, dtype=minigrad.float64, requires_grad=True)
assert minigrad.autograd.gradcheck(QuickGELU.apply, (x,))
print("gradcheck passed")

# ---- timed beside NumPy and the memory ----

measured = custom.bench(
    "quick_gelu", QuickGELU.apply, [(1 << 16,)], numpy=reference, seconds=0.02 if QUICK else 0.5
)
print(
    f"64 Ki elements: {measured.own * 1e6:.0f} us, {100 * measured.share:.0f}% of the limit, "
    f"NumPy takes {measured.ratio('numpy'):.1f} times as long"
)

# ---- and used in a network ----


class Activation(nn.Module):
    def forward(self, x):
        return QuickGELU.apply(x)


minigrad.manual_seed(0)
train, test = Digits(train=True), Digits(train=False)
images, labels = train.data.reshape(len(train), 64), train.targets
model = nn.Sequential(nn.Linear(64, 64), Activation(), nn.Linear(64, 10))
optimizer = optim.Adam(model.parameters(), 1e-2)


@minigrad.compile
def step(images, labels):
    """A compiled step calls the kernel where it stands."""
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    return loss


for _ in range(20 if QUICK else 200):
    loss = step(images, labels)
with minigrad.no_grad():
    hits = model(test.data.reshape(len(test), 64)).argmax(1) == test.targets
print(
    f"digits: loss {loss.item():.3f}, {100 * hits.sum().item() / len(test):.1f}% of the test images"
)
