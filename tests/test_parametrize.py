"""Parametrizations beyond the layer table: registration, removal, caching, DropConnect."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.autograd import gradcheck, gradgradcheck
from minigrad.func import functional_call
from minigrad.kernels import record
from minigrad.nn.utils import orthogonal as maps
from minigrad.nn.utils import parametrizations, parametrize


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).T

    def right_inverse(self, a):
        return a.triu()


class Counted(nn.Module):
    count = 0

    def forward(self, x):
        Counted.count += 1
        return x * 2


def test_the_property_follows_the_original_and_takes_values():
    layer = nn.Linear(4, 4)
    before = layer.weight
    assert parametrize.register_parametrization(layer, "weight", Symmetric()) is layer
    assert layer.parametrizations.weight.original is before
    assert type(layer).__name__ == "ParametrizedLinear" and isinstance(layer, nn.Linear)
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    assert mg.equal(layer.weight, layer.weight.T)
    value = mg.randn(4, 4)
    value = value + value.T
    layer.weight = value
    assert mg.allclose(layer.weight, value)
    layer(mg.ones(2, 4)).sum().backward()
    assert before.grad.tolist() == before.grad.triu().tolist()


@pytest.mark.parametrize("leave", [True, False])
def test_removal_keeps_the_object_that_the_optimizer_has(leave):
    layer = nn.Linear(3, 3)
    before = layer.weight
    value = before.detach().clone()
    parametrize.register_parametrization(layer, "weight", Symmetric())
    wanted = layer.weight.detach() if leave else value.triu()
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=leave)
    assert layer.weight is before and type(layer) is nn.Linear
    assert not parametrize.is_parametrized(layer)
    assert layer.weight.detach().tolist() == wanted.tolist()
    assert list(layer.state_dict()) == ["bias", "weight"]


def test_copies_are_independent():
    layer = parametrizations.weight_norm(nn.Linear(3, 3))
    twin = copy.deepcopy(layer)
    parametrize.remove_parametrizations(twin, "weight")
    assert parametrize.is_parametrized(layer, "weight")
    assert mg.allclose(layer.weight, twin.weight)


def test_cached_computes_once():
    layer = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Counted(), unsafe=True)
    Counted.count = 0
    with parametrize.cached(), parametrize.cached():
        assert layer.weight is layer.weight
    assert Counted.count == 1
    assert layer.weight is not layer.weight


def test_parametrizations_stack_and_transfer():
    layer = parametrize.register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
    parametrize.register_parametrization(layer, "weight", Counted())
    assert mg.allclose(layer.weight, 2 * Symmetric()(layer.parametrizations.weight.original))
    other = nn.Linear(3, 3)
    parametrize.transfer_parametrizations_and_params(layer, other)
    assert mg.equal(other.weight, layer.weight)
    assert other.parametrizations.weight.original is layer.parametrizations.weight.original


# ---- the maps ----


@pytest.mark.parametrize("size", [1, 2, 5, 17])
def test_matrix_exp_and_cayley(size):
    import math

    generator = np.random.default_rng(size)
    a = generator.standard_normal((size, size)) * 3
    skew = a - a.T
    # The eigenvalues of a skew-symmetric matrix are imaginary: exp by its eigenvectors.
    values, vectors = np.linalg.eig(skew)
    wanted = (vectors @ np.diag(np.exp(values)) @ np.linalg.inv(vectors)).real
    np.testing.assert_allclose(maps.matrix_exp(mg.tensor(skew)).numpy(), wanted, atol=1e-11)
    half, eye = skew / 2, np.eye(size)
    wanted = np.linalg.solve(eye - half, eye + half)
    np.testing.assert_allclose(maps.cayley(mg.tensor(skew)).numpy(), wanted, atol=1e-11)
    assert math.isclose(np.linalg.det(wanted), 1.0)


@pytest.mark.parametrize("orthogonal_map", maps.MAPS)
@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5), (2, 4, 3)], ids=str)
def test_orthogonal(orthogonal_map, shape):
    holder = nn.Module()
    holder.register_parameter("weight", nn.Parameter(mg.randn(shape, dtype=mg.float64)))
    start = maps.orthonormal(holder.weight.detach() if shape[-2] >= shape[-1]
                             else holder.weight.detach().mT)  # fmt: skip
    parametrizations.orthogonal(holder, "weight", orthogonal_map)
    first = holder.weight.detach()
    wanted = start if shape[-2] >= shape[-1] else start.mT
    assert mg.allclose(first, wanted, atol=1e-12)
    original = holder.parametrizations.weight.original
    optimizer = optim.SGD([original], lr=0.1)
    target = mg.randn(shape, dtype=mg.float64)
    for _ in range(3):
        optimizer.zero_grad()
        (holder.weight * target).sum().backward()
        optimizer.step()
    q = holder.weight.detach()
    q = q if shape[-2] >= shape[-1] else q.mT
    identity = mg.eye(q.shape[-1], dtype=mg.float64)
    assert mg.allclose(q.mT @ q, identity.expand(*q.shape[:-2], -1, -1), atol=1e-12)
    assert not mg.allclose(holder.weight, first)
    chain = holder.parametrizations.weight
    assert gradcheck(chain[0], (original,))
    holder.weight = first  # goes back through right_inverse
    assert mg.allclose(holder.weight, first, atol=1e-12)


def test_solve_has_second_derivatives():
    m = (mg.eye(3, dtype=mg.float64) + mg.randn(3, 3, dtype=mg.float64) * 0.1).requires_grad_()
    b = mg.randn(3, 2, dtype=mg.float64).requires_grad_()
    assert gradcheck(maps.Solve.apply, (m, b)) and gradgradcheck(maps.Solve.apply, (m, b))


def test_weight_norm_loads_the_older_state():
    with pytest.warns(FutureWarning):
        old = nn.utils.weight_norm(nn.Linear(3, 2))
    new = parametrizations.weight_norm(nn.Linear(3, 2))
    new.load_state_dict(old.state_dict())
    x = mg.randn(4, 3)
    assert mg.allclose(new(x), old(x))
    nn.utils.remove_weight_norm(old)
    assert mg.allclose(new(x), old(x)) and list(old.state_dict()) == ["bias", "weight"]


def test_spectral_norm_has_norm_one_and_replays():
    layer = parametrizations.spectral_norm(nn.Linear(6, 5), n_power_iterations=4)
    for _ in range(60):
        layer.weight  # noqa: B018  (each access iterates)
    assert np.linalg.svd(layer.weight.detach().numpy())[1][0] == pytest.approx(1, abs=1e-5)
    eager = copy.deepcopy(layer)
    x = mg.randn(2, 6)
    with record() as plan:
        result = layer(x)
    plan.replay()
    eager(x)
    assert mg.equal(result, eager(x))
    assert mg.equal(layer.parametrizations.weight[0]._u, eager.parametrizations.weight[0]._u)


# ---- DropConnect ----


def test_drop_connect_masks_weights_in_training_only():
    layer = parametrizations.drop_connect(nn.Linear(40, 50), p=0.25)
    weight = layer.parametrizations.weight.original.detach()
    seen = layer.weight.detach()
    kept = seen != 0
    assert mg.allclose(seen[kept], weight[kept] / 0.75)
    assert 0.2 < 1 - kept.to(mg.float32).mean().item() < 0.3
    assert not mg.equal(layer.weight, seen)  # another mask each time
    total = sum(layer.weight.detach() for _ in range(400)) / 400
    assert (total - weight).abs().max().item() < 0.05  # the mean is the weight
    layer.eval()
    assert mg.equal(layer.weight, weight)
    x = mg.randn(3, 40)
    assert mg.allclose(layer(x), nn.functional.linear(x, weight, layer.bias))
    layer.train()(x).sum().backward()
    gradient = layer.parametrizations.weight.original.grad
    assert 0.2 < (gradient == 0).to(mg.float32).mean().item() < 0.3


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_drop_connect_at_its_ends(p):
    layer = parametrizations.drop_connect(nn.Linear(3, 2, bias=False), p=p)
    wanted = layer.parametrizations.weight.original * (1 - p)
    assert mg.equal(layer.weight, wanted)
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            parametrizations.drop_connect(nn.Linear(3, 2), p=wrong)


def test_drop_connect_replays_with_new_masks():
    mg.manual_seed(3)
    layer = parametrizations.drop_connect(nn.Linear(30, 20))
    x = mg.randn(2, 30)
    state = mg.get_rng_state()
    eager = [layer(x).tolist() for _ in range(3)]
    mg.set_rng_state(state)
    with record() as plan:
        result = layer(x)
    found = [result.tolist()]
    for _ in range(2):
        plan.replay()
        found.append(result.tolist())
    assert found == eager and found[0] != found[1]


# ---- functional_call ----


def test_functional_call():
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    new = {name: value.detach().clone() for name, value in net.named_parameters()}
    new["0.weight"] = mg.zeros(3, 3).requires_grad_()
    before = net[0].weight
    x = mg.randn(4, 3)
    functional_call(net, new, x).sum().backward()
    assert new["0.weight"].grad is not None and net[0].weight is before and before.grad is None
    with pytest.raises(RuntimeError, match="Missing key"):
        functional_call(net, {"0.weight": new["0.weight"]}, (x,), strict=True)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        functional_call(net, {"nothing": mg.zeros(1)}, (x,), strict=True)
    with pytest.raises(ValueError, match="more than one"):
        functional_call(net, [new, new], x)
    for wrong in (3, [3]):
        with pytest.raises(ValueError, match="functional_call"):
            functional_call(net, wrong, x)


def test_functional_call_with_tied_and_parametrized_tensors():
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    net[1].weight = net[0].weight
    x = mg.ones(1, 2)
    zero = {"0.weight": mg.zeros(2, 2)}
    assert functional_call(net, zero, x).tolist() == [[0, 0]]
    one = {"0.weight": mg.eye(2)}
    tied, loose = (functional_call(net, one, x, tie_weights=tie) for tie in (True, False))
    assert tied.tolist() == [[1, 1]] and mg.allclose(loose, net[1](x))
    with pytest.raises(ValueError, match="tie_weights"):
        functional_call(net, {"0.weight": mg.zeros(2, 2), "1.weight": mg.ones(2, 2)}, x)
    layer = parametrize.register_parametrization(nn.Linear(2, 2, bias=False), "weight", Counted())
    assert functional_call(layer, {"weight": mg.eye(2)}, x).tolist() == [[1, 1]]
    key = "parametrizations.weight.original"
    assert functional_call(layer, {key: mg.eye(2)}, x).tolist() == [[2, 2]]


def test_functional_call_hands_back_what_the_module_replaces():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", mg.zeros(()))

        def forward(self, x):
            self.count = self.count + 1
            return x + self.count

    module, state = Counter(), {"count": mg.tensor(5.0)}
    assert functional_call(module, state, mg.zeros(())).item() == 6
    assert module.count.item() == 0 and state["count"].item() == 6
    with pytest.warns(FutureWarning):
        nn.utils.stateless.functional_call(module, state, mg.zeros(()))


# ---- vectors, fusion, skip_init ----


def test_vectors():
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    vector = nn.utils.parameters_to_vector(net.parameters())
    assert vector.shape == (6 + 2 + 2 + 1,) and vector.grad_fn is not None
    nn.utils.vector_to_parameters(mg.arange(11).float(), net.parameters())
    assert net[1].weight.tolist() == [[8, 9]]
    with pytest.raises(TypeError):
        nn.utils.vector_to_parameters([1.0], net.parameters())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_fusion(bias, affine):
    conv, linear = nn.Conv2d(2, 4, 3, bias=bias), nn.Linear(5, 4, bias=bias)
    norms = nn.BatchNorm2d(4, affine=affine), nn.BatchNorm1d(4, affine=affine)
    x, y = mg.randn(6, 2, 5, 5), mg.randn(6, 5)
    for layer, norm, operand, fuse in (
        (conv, norms[0], x, nn.utils.fuse_conv_bn_eval),
        (linear, norms[1], y, nn.utils.fuse_linear_bn_eval),
    ):
        for _ in range(3):
            norm(layer(operand))
        with pytest.raises(AssertionError, match="evaluation"):
            fuse(layer, norm)
        fused = fuse(layer.eval(), norm.eval())
        assert mg.allclose(fused(operand), norm(layer(operand)), atol=1e-5)


def test_skip_init():
    mg.manual_seed(0)
    state = mg.get_rng_state()
    layer = nn.utils.skip_init(nn.Linear, 5, out_features=3)
    assert mg.equal(mg.get_rng_state(), state) and type(layer) is nn.Linear
    assert layer.weight.shape == (3, 5) and layer.weight.requires_grad
    for wrong in (int, nn.ReLU):
        with pytest.raises(RuntimeError, match="skip_init"):
            nn.utils.skip_init(wrong)
