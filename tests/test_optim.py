"""Optimizers against their formulas in NumPy; changes between steps, hooks, errors."""

from __future__ import annotations

import inspect
import itertools
from collections import OrderedDict

import numpy as np
import pytest
from optim_table import CASES, make_parameters, muon_reference, one, set_gradients

import minigrad as mg
from minigrad import nn, optim
from minigrad.kernels import record


@pytest.mark.parametrize(("kind", "reference", "options", "extra"), CASES)
@pytest.mark.parametrize("dtype", [mg.float32, mg.float64], ids=str)
def test_steps_follow_the_formula(kind, reference, options, extra, dtype):
    parameters = make_parameters(dtype)
    values = [p.detach().numpy().astype(np.float64) for p in parameters]
    memories = [{} for _ in parameters]
    optimizer = kind(parameters, **options)
    for step in range(12):
        set_gradients(parameters)
        parameters[2].grad[1] = 0  # a row that a batch does not reach
        if step == 1:
            parameters[0].grad = None  # is skipped, and its own step count stands still
        for i, parameter in enumerate(parameters):
            if parameter.grad is not None:
                gradient = parameter.grad.numpy().astype(np.float64)
                values[i] = reference(values[i], gradient, memories[i], **options, **extra)
        optimizer.step()
        tolerance = 1e-12 if dtype is mg.float64 else 2e-5
        for parameter, value in zip(parameters, values, strict=True):
            np.testing.assert_allclose(parameter.detach().numpy(), value, tolerance, tolerance)


def test_strided_parameters_and_gradients():
    for kind, reference in {kind: reference for kind, reference, _, _ in CASES}.items():
        base = mg.tensor(np.random.standard_normal((4, 6)))
        parameter = base.t()[::2].requires_grad_()
        value = parameter.detach().numpy().copy()
        gradient = mg.tensor(np.random.standard_normal((4, 3))).t()
        parameter.grad = gradient
        kind([parameter], lr=0.1).step()
        extra = {
            optim.AdamW: {"weight_decay": 0.01, "decoupled": True},
            optim.Adafactor: {"dtype_eps": 2.0**-52},
        }.get(kind, {})
        expected = reference(value, gradient.numpy(), {}, lr=0.1, **extra)
        np.testing.assert_allclose(parameter.detach().numpy(), expected, 1e-12)


def test_each_group_has_its_own_numbers_and_dtypes_may_mix():
    a, b = make_parameters(shapes=[(3,), (2,)])
    c = nn.Parameter(mg.ones(4))
    optimizer = optim.SGD([{"params": [a, c]}, {"params": b, "lr": 1.0}], lr=0.1)
    set_gradients([a, b, c])
    expected = [p.detach().clone() - lr * p.grad for p, lr in ((a, 0.1), (b, 1.0), (c, 0.1))]
    optimizer.step()
    for parameter, value in zip((a, b, c), expected, strict=True):
        assert mg.allclose(parameter, value)


def test_a_parameter_listed_twice_is_updated_twice():
    (p,) = make_parameters(shapes=[(3,)])
    with pytest.warns(UserWarning, match="duplicate"):
        optimizer = optim.SGD([p, p], lr=0.1)
    p.grad = mg.ones(3, dtype=mg.float64)
    expected = p.detach().numpy() - 0.2
    optimizer.step()
    np.testing.assert_allclose(p.detach().numpy(), expected)


# ---- what changes between steps ----


@pytest.mark.parametrize("write", ["item", "update", "ior", "plain"])
def test_a_new_learning_rate_counts_at_once(write):
    p, optimizer = one(lr=0.1)
    optimizer.step()
    group = optimizer.param_groups[0]
    if write == "item":
        group["lr"] = 1.0
    elif write == "update":
        group.update(lr=1.0)
    elif write == "ior":
        group |= {"lr": 1.0}
    else:
        optimizer.param_groups[0] = dict(group, lr=1.0)
    optimizer.step()
    assert p.tolist() == pytest.approx([-1.1, -1.1])


def test_a_tensor_as_learning_rate():
    lr = mg.tensor(0.1)
    p, optimizer = one(lr=lr)
    optimizer.step()
    lr.fill_(1.0)
    optimizer.step()
    assert p.tolist() == pytest.approx([-1.1, -1.1])
    assert optimizer.param_groups[0]["lr"] is lr


def test_momentum_and_amsgrad_can_be_switched_on():
    p, optimizer = one(lr=0.1)
    optimizer.step()
    assert not optimizer.state
    optimizer.param_groups[0]["momentum"] = 0.5
    optimizer.step()
    optimizer.step()
    assert p.tolist() == pytest.approx([-0.1 - 0.1 - 0.15] * 2)
    p, optimizer = one(optim.Adam)
    optimizer.step()
    optimizer.param_groups[0]["amsgrad"] = True
    optimizer.step()
    assert set(optimizer.state[p]) == {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}


def test_state_may_be_replaced():
    p, optimizer = one(optim.Adam, lr=0.1)
    for reset in (
        lambda: optimizer.state.clear(),
        lambda: optimizer.state.pop(p),
        lambda: optimizer.state.__setitem__(p, {}),
        lambda: setattr(optimizer, "state", type(optimizer.state)(dict)),
    ):
        optimizer.step()
        optimizer.step()
        assert optimizer.state[p]["step"].item() == 2
        reset()
    optimizer.step()
    for value in (5, 5.0, mg.tensor(5), mg.tensor([5.0], dtype=mg.float64)):
        optimizer.state[p]["step"] = value
        optimizer.step()
        assert optimizer.state[p]["step"].item() == 6


def test_parameters_may_be_replaced_or_added():
    p, optimizer = one(lr=0.1, momentum=0.9)
    optimizer.step()
    p.data = mg.full((2,), 5.0, dtype=mg.float64)
    optimizer.step()
    assert p.tolist() == pytest.approx([5 - 0.19] * 2)
    q = nn.Parameter(mg.zeros(2))
    q.grad = mg.ones(2)
    optimizer.param_groups[0]["params"].append(q)
    optimizer.step()
    assert q.tolist() == pytest.approx([-0.1, -0.1])
    r = nn.Parameter(mg.zeros(2))
    optimizer.add_param_group({"params": [r], "lr": 1.0})
    optimizer.step()
    assert r not in optimizer.state
    r.grad = mg.ones(2)
    optimizer.step()
    assert r.tolist() == [-1, -1]


def test_an_in_place_step_is_noticed_by_autograd():
    p, optimizer = one(lr=0.1)
    loss = (p * p).sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match=r"SGD\.step"):
        loss.backward()


def test_zero_grad():
    p, optimizer = one()
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.tolist() == [0, 0]
    optimizer.zero_grad()
    assert p.grad is None
    optimizer.zero_grad(set_to_none=False)
    before = p.tolist()
    optimizer.step()
    assert p.tolist() == before


def test_closure_runs_with_gradients_and_gives_the_loss():
    p, optimizer = one(lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = ((p - 1) ** 2).sum()
        loss.backward()
        return loss

    with mg.no_grad():
        assert optimizer.step(closure).item() == 2
    assert p.tolist() == pytest.approx([0.2, 0.2])


# ---- hooks, printing, errors ----


def test_hooks_run_in_order():
    _, optimizer = one(lr=0.1)
    calls = []
    handle = optimizer.register_step_pre_hook(lambda o, a, k: calls.append(("pre", o, a[0])))
    optimizer.register_step_post_hook(lambda o, a, k: calls.append(("post", o, a[0])))
    optimizer.step()
    assert calls == [("pre", optimizer, optimizer), ("post", optimizer, optimizer)]
    handle.remove()
    optimizer.step()
    assert len(calls) == 3
    optimizer.register_step_pre_hook(lambda o, a, k: 3)
    with pytest.raises(RuntimeError, match="must return None or a tuple"):
        optimizer.step()


def test_hooks_of_state_dicts():
    _, optimizer = one()
    calls = []
    optimizer.register_state_dict_pre_hook(lambda o: calls.append("pre"))
    optimizer.register_state_dict_post_hook(lambda o, s: {**s, "more": 1})
    optimizer.register_load_state_dict_pre_hook(lambda o, s: calls.append(s.pop("more")))
    optimizer.register_load_state_dict_post_hook(lambda o: calls.append("loaded"))
    state = optimizer.state_dict()
    assert state["more"] == 1
    optimizer.load_state_dict(state)
    assert calls == ["pre", 1, "loaded"] and state["more"] == 1


def test_an_optimizer_of_ones_own():
    class Sign(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        @mg.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.sub_(p.grad.sign(), alpha=group["lr"])

    p, _ = one()
    optimizer = Sign([p], 0.5)
    calls = []
    optimizer.register_step_post_hook(lambda *_: calls.append(1))
    optimizer.step()
    assert p.tolist() == [-0.5, -0.5] and calls == [1]


def test_repr():
    _, optimizer = one(lr=0.1, momentum=0.9)
    assert repr(optimizer) == (
        "SGD (\nParameter Group 0\n    dampening: 0\n    differentiable: False\n"
        "    foreach: None\n    fused: None\n    lr: 0.1\n    maximize: False\n    momentum: 0.9\n"
        "    nesterov: False\n    weight_decay: 0\n)"
    )


P = [mg.zeros(1, requires_grad=True)]
BAD = [
    (lambda: optim.SGD([]), ValueError, "optimizer got an empty parameter list"),
    (lambda: optim.SGD(P[0]), TypeError, "should be an iterable of Tensors or dicts"),
    (lambda: optim.SGD([1]), TypeError, "can only optimize Tensors, but one of the params is int"),
    (lambda: optim.SGD([P[0] * 2]), ValueError, "can't optimize a non-leaf Tensor"),
    (lambda: optim.SGD([{"params": set(P)}]), TypeError, "ordered collections"),
    (lambda: optim.SGD([{"params": P}, {"params": P}]), ValueError, "in more than one"),
    (lambda: optim.SGD(P, lr=-1), ValueError, "Invalid learning rate: -1"),
    (lambda: optim.SGD(P, lr=mg.ones(2)), ValueError, "Tensor lr must be 1-element"),
    (lambda: optim.SGD(P, momentum=-1), ValueError, "Invalid momentum value: -1"),
    (lambda: optim.SGD(P, weight_decay=-1), ValueError, "Invalid weight_decay value: -1"),
    (lambda: optim.SGD(P, nesterov=True), ValueError, "Nesterov momentum requires a momentum"),
    (lambda: optim.SGD(P, foreach=True, fused=True), RuntimeError, "cannot be `True` together"),
    (lambda: optim.SGD(P, differentiable=True), NotImplementedError, "differentiable=True"),
    (lambda: optim.Adam(P, lr=-1), ValueError, "Invalid learning rate: -1"),
    (lambda: optim.Adam(P, eps=-1), ValueError, "Invalid epsilon value: -1"),
    (lambda: optim.Adam(P, betas=(1.0, 0.9)), ValueError, "Invalid beta parameter at index 0: 1.0"),
    (lambda: optim.Adam(P, betas=(0.9, 1.0)), ValueError, "Invalid beta parameter at index 1: 1.0"),
    (lambda: optim.Adam(P, betas=(0, 0.9)), ValueError, "betas must be either both floats"),
    (lambda: optim.Adam(P, weight_decay=-1), ValueError, "Invalid weight_decay value: -1"),
    (lambda: optim.Adam(P, fused=True, differentiable=True), RuntimeError, "does not support"),
    (lambda: optim.Adam(P, betas=(mg.ones(2), mg.ones(2) / 2)), (ValueError, RuntimeError), "."),
    (lambda: optim.SparseAdam(P, lr=0.0), ValueError, "Invalid learning rate: 0.0"),
    (lambda: optim.Lion(P, betas=(0.5, 1.5)), ValueError, "Invalid beta parameter at index 1: 1.5"),
    (lambda: optim.Lion(P, weight_decay=-1), ValueError, "Invalid weight_decay value: -1"),
    (lambda: optim.LAMB(P, eps=-1), ValueError, "Invalid epsilon value: -1"),
    (lambda: optim.LAMB(P, lr=-1), ValueError, "Invalid learning rate: -1"),
    (lambda: optim.Lion(P, differentiable=True), NotImplementedError, "differentiable=True"),
    (lambda: optim.SGD(P).add_param_group([]), TypeError, "param_group must be a dict"),
    (lambda: optim.Optimizer(P, {}).step(), NotImplementedError, "^$"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "text"), BAD)
def test_errors(call, error, text):
    with pytest.raises(error, match=text.replace("(", r"\(")):
        call()


def test_gradient_of_another_dtype_names_the_parameter():
    p, optimizer = one()
    p.data = p.detach().float()
    with pytest.raises(RuntimeError, match="gradient of parameter 0 must be like the parameter"):
        optimizer.step()


@pytest.mark.parametrize("kind", [optim.AdamW, optim.LAMB, optim.SparseAdam, optim.Adafactor])
def test_the_same_bits_for_any_number_of_threads(kind):
    def run(threads):
        mg.set_num_threads(threads)
        mg.manual_seed(3)
        parameters = [nn.Parameter(mg.randn(100_003)), nn.Parameter(mg.randn(2, 201, 303))]
        optimizer = kind(parameters, lr=0.1)
        for _ in range(3):
            for p in parameters:
                p.grad = mg.randn(p.shape)
            optimizer.step()
        return [p.detach().numpy().tobytes() for p in parameters]

    first, *others = (run(threads) for threads in (1, 2, 3, 4))
    assert all(other == first for other in others)


def test_many_parameters():
    parameters = make_parameters(shapes=list(itertools.repeat((3,), 400)))
    set_gradients(parameters)
    expected = [p.detach().numpy() - 0.1 * p.grad.numpy() for p in parameters]
    optim.SGD(parameters, lr=0.1).step()
    for parameter, value in zip(parameters, expected, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), value)


def test_ordered_dict_of_modules_trains():
    net = nn.Sequential(OrderedDict(a=nn.Linear(2, 8), b=nn.Tanh(), c=nn.Linear(8, 1)))
    optimizer = optim.Adam(net.parameters(), lr=0.05)
    x = mg.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    y = mg.tensor([[0.0], [1], [1], [0]])
    for _ in range(300):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(x), y)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.01


# ---- those that are no single launch ----


def test_lbfgs_finds_the_least_of_a_valley():
    for dtype in (mg.float32, mg.float64):
        p = nn.Parameter(mg.tensor([-1.2, 1.0], dtype=dtype))
        unused = nn.Parameter(mg.ones(2, 2, dtype=dtype))
        optimizer = optim.LBFGS([p, unused], line_search_fn="strong_wolfe", max_iter=100)

        def closure(p=p, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2
            loss.backward()
            return loss

        with mg.no_grad():
            assert optimizer.step(closure).item() == pytest.approx(24.2)
        assert p.tolist() == pytest.approx([1, 1], abs=2e-3 if dtype is mg.float32 else 1e-4)
        assert unused.tolist() == [[1, 1], [1, 1]]
        with record(), pytest.raises(RuntimeError):
            optimizer.step(closure)


def test_lbfgs_on_what_is_not_finite_ends():
    for slope in (float("nan"), float("inf"), -float("inf")):
        p = nn.Parameter(mg.ones(2))
        optimizer = optim.LBFGS([p], line_search_fn="strong_wolfe")

        def closure(p=p, slope=slope):
            p.grad = mg.full((2,), slope)
            return (p * slope).sum()

        for _ in range(2):
            optimizer.step(closure)


@pytest.mark.parametrize("nesterov", [True, False])
def test_muon(nesterov):
    parameters = make_parameters(shapes=[(3, 5), (6, 4), (1, 1), (0, 3)])
    values = [p.detach().numpy().copy() for p in parameters]
    memories = [{} for _ in parameters]
    optimizer = optim.Muon(parameters, lr=0.1, nesterov=nesterov)
    for _ in range(4):
        set_gradients(parameters)
        for i, parameter in enumerate(parameters):
            if parameter.numel():
                values[i] = muon_reference(
                    values[i], parameter.grad.numpy(), memories[i], 0.1, nesterov=nesterov
                )
        optimizer.step()
    for parameter, value in zip(parameters, values, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), value, 1e-9)
    with pytest.raises(ValueError, match="Muon only supports 2D parameters"):
        optim.Muon([mg.zeros(2)])


@pytest.mark.parametrize("hint", ["foreach", "fused", "capturable"])
@pytest.mark.parametrize("kind", sorted({kind for kind, *_ in CASES}, key=lambda k: k.__name__))
def test_hints_change_nothing(kind, hint):
    if hint not in inspect.signature(kind.__init__).parameters:
        return
    paths = []
    for options in ({}, {hint: True}):
        p, optimizer = one(kind, **options)
        for _ in range(3):
            optimizer.step()
        paths.append(p.tolist())
        assert optimizer.param_groups[0][hint] is options.get(hint, optimizer.defaults[hint])
    assert paths[0] == paths[1]
