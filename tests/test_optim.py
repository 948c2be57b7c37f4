"""Optimizers against their formulas in NumPy; groups, state dictionaries, hooks, errors, plans."""

from __future__ import annotations

import copy
import inspect
import itertools
import pickle
from collections import OrderedDict

import numpy as np
import pytest
from optim_table import CASES, muon_reference

import minigrad as mg
from minigrad import nn, optim
from minigrad.kernels import record

SHAPES = [(3,), (), (4, 5), (0,), (1, 1, 2), (17,)]


def make_parameters(dtype=mg.float64, shapes=SHAPES):
    return [nn.Parameter(mg.tensor(np.random.standard_normal(s), dtype=dtype)) for s in shapes]


def set_gradients(parameters):
    for parameter in parameters:
        values = np.random.standard_normal(tuple(parameter.shape))
        parameter.grad = mg.tensor(values, dtype=parameter.dtype)


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


def one(kind=optim.SGD, **options):
    p = nn.Parameter(mg.zeros(2, dtype=mg.float64))
    p.grad = mg.ones(2, dtype=mg.float64)
    return p, kind([p], **options)


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


# ---- plans ----


@pytest.mark.parametrize(
    ("kind", "options"),
    [(kind, {k: v for k, v in options.items() if k != "lr"}) for kind, _, options, _ in CASES],
)
@pytest.mark.parametrize("first", ["eager", "recorded"])
def test_a_replayed_step_sees_new_hyperparameters(kind, options, first):
    def train(replay):
        mg.manual_seed(1)
        p = nn.Parameter(mg.randn(5))
        optimizer = kind([p], lr=0.1, **options)

        def step():
            optimizer.zero_grad()
            (p * p).sum().backward()
            optimizer.step()

        if first == "eager":
            step()
        with record() as plan:
            step()
        for index in range(6):
            optimizer.param_groups[0]["lr"] = 0.1 / (index + 2)
            if replay:
                plan.replay()
            else:
                step()
        return p.tolist(), dict(optimizer.state[p])

    eager, eager_state = train(False)
    replayed, replayed_state = train(True)
    assert eager == replayed
    for name, value in eager_state.items():
        assert value.tolist() == replayed_state[name].tolist(), name


@pytest.mark.parametrize("momentum", [0.1, None])
def test_a_replayed_network_is_the_eager_one(momentum):
    def train(replay):
        mg.manual_seed(1)
        net = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, momentum=momentum), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Dropout(0.3), nn.Linear(36, 8), nn.Tanh(), nn.BatchNorm1d(8),
            nn.Linear(8, 3),
        )  # fmt: skip
        optimizer = optim.AdamW(net.parameters(), lr=0.01)
        criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
        x, y = mg.randn(6, 1, 8, 8), mg.tensor([0, 1, 2, 0, 1, 2])

        def step():
            optimizer.zero_grad()
            loss = criterion(net(x), y)
            loss.backward()
            optimizer.step()
            return loss

        step()
        with record() as plan:
            loss = step()
        for _ in range(4):
            x.normal_()  # the batch is memory: it changes without a new plan
            if replay:
                plan.replay()
            else:
                loss = step()
        return loss.item(), net.state_dict()

    loss, state = train(False)
    replayed_loss, replayed = train(True)
    assert loss == replayed_loss
    for name, value in state.items():
        assert value.tolist() == replayed[name].tolist(), name


def test_a_plan_refuses_another_form_of_its_step():
    for kind, switch in ((optim.SGD, "momentum"), (optim.Adam, "amsgrad"),
                         (optim.RMSprop, "centered")):  # fmt: skip
        p, optimizer = one(kind, lr=0.1)
        with record() as plan:
            optimizer.step()
        optimizer.param_groups[0][switch] = 0.5
        before = p.tolist()
        with pytest.raises(RuntimeError, match=f"{kind.__name__}.step: .* record it again"):
            plan.replay()
        assert p.tolist() == before
        optimizer.step()  # anew, with more to remember
        with pytest.raises(RuntimeError, match="record it again"):
            plan.replay()


def test_a_plan_survives_load_state_dict():
    p, optimizer = one(optim.Adam, lr=0.1)
    optimizer.step()
    saved = copy.deepcopy(optimizer.state_dict())
    with record() as plan:
        optimizer.step()
    optimizer.load_state_dict(saved)
    plan.replay()
    assert optimizer.state[p]["step"].item() == 2


# ---- dictionaries, copies ----


def test_state_dict_has_torchs_layout():
    parameters = make_parameters(shapes=[(2,), (3,)])
    optimizer = optim.Adam([{"params": parameters[:1]}, {"params": parameters[1:], "lr": 1.0}])
    parameters[1].grad = mg.ones(3, dtype=mg.float64)
    optimizer.step()
    state = optimizer.state_dict()
    assert list(state) == ["state", "param_groups"] and list(state["state"]) == [1]
    assert list(state["state"][1]) == ["step", "exp_avg", "exp_avg_sq"]
    assert state["state"][1]["step"].dtype is mg.float32 and state["state"][1]["step"].shape == ()
    assert [group["params"] for group in state["param_groups"]] == [[0], [1]]
    assert type(state["param_groups"][0]) is dict
    assert list(state["param_groups"][0]) == [
        "lr", "betas", "eps", "weight_decay", "amsgrad", "maximize", "foreach", "capturable",
        "differentiable", "fused", "decoupled_weight_decay", "params",
    ]  # fmt: skip
    momentum = optim.SGD(parameters[1:], momentum=0.9)
    momentum.step()
    assert list(momentum.state_dict()["state"][0]) == ["momentum_buffer"]
    assert list(momentum.state_dict()["param_groups"][0]) == [
        "lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize", "foreach",
        "differentiable", "fused", "params",
    ]  # fmt: skip


@pytest.mark.parametrize(("kind", "_", "options", "__"), CASES)
def test_training_continues_from_a_state_dict(kind, _, options, __):
    first = make_parameters()
    optimizer = kind(first, **options)
    gradients = [[mg.randn(s, dtype=mg.float64) for s in SHAPES] for _ in range(4)]

    def run(parameters, chosen, steps):
        for row in steps:
            for parameter, gradient in zip(parameters, row, strict=True):
                parameter.grad = gradient
            chosen.step()

    run(first, optimizer, gradients[:2])
    second = [nn.Parameter(p.detach().clone()) for p in first]
    other = kind(second, lr=123.0)
    other.load_state_dict(optimizer.state_dict())
    run(first, optimizer, gradients[2:])
    run(second, other, gradients[2:])
    for a, b in zip(first, second, strict=True):
        assert a.tolist() == b.tolist()
    assert other.param_groups[0]["lr"] == options["lr"]
    for entry, loaded in zip(optimizer.state.values(), other.state.values(), strict=True):
        assert all(entry[name].data_ptr() != loaded[name].data_ptr() for name in entry
                   if entry[name].numel())  # fmt: skip


def test_state_is_loaded_in_the_parameters_dtype():
    (p,) = make_parameters(shapes=[(2,)])
    p.grad = mg.ones(2, dtype=mg.float64)
    optimizer = optim.Adam([p])
    optimizer.step()
    q = nn.Parameter(p.detach().float())
    q.grad = mg.ones(2)
    other = optim.Adam([q])
    other.load_state_dict(optimizer.state_dict())
    other.step()
    assert other.state[q]["exp_avg"].dtype is mg.float32


def test_load_state_dict_refuses_other_groups():
    a, b = make_parameters(shapes=[(2,), (3,)])
    one_group = optim.SGD([a, b])
    with pytest.raises(ValueError, match="different number of parameter groups"):
        one_group.load_state_dict(optim.SGD([{"params": a}, {"params": b}]).state_dict())
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        one_group.load_state_dict(optim.SGD([a]).state_dict())


def test_groups_copy_as_plain_dictionaries():
    p, optimizer = one(lr=0.1)
    group = optimizer.param_groups[0]
    for copied in (copy.copy(group), group.copy(), copy.deepcopy(group),
                   pickle.loads(pickle.dumps(group))):  # fmt: skip
        assert type(copied) is dict and copied["lr"] == 0.1
        copied["lr"] = 5.0
    assert group["lr"] == 0.1
    optimizer.step()
    assert p.tolist() == pytest.approx([-0.1, -0.1])


@pytest.mark.parametrize("how", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_optimizers_copy_with_their_parameters(how):
    p, optimizer = one(optim.Adam, lr=0.1)
    optimizer.step()
    q, copied = how((p, optimizer))
    assert copied.param_groups[0]["params"][0] is q
    for parameter, each in ((p, optimizer), (q, copied)):
        parameter.grad = mg.ones(2, dtype=mg.float64)
        each.step()
    assert q.tolist() == p.tolist()
    copied.param_groups[0]["lr"] = 7.0
    copied.step()
    assert q.tolist() != p.tolist() and optimizer.param_groups[0]["lr"] == 0.1


def test_named_parameters():
    net = nn.Linear(2, 2)
    optimizer = optim.SGD(net.named_parameters(), lr=0.1)
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]
    with pytest.raises(ValueError, match="with/without names"):
        optimizer.add_param_group({"params": [nn.Parameter(mg.ones(1))]})
    with pytest.raises(ValueError, match="Some param names are missing"):
        optim.SGD([("a", net.weight), net.bias])


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


def test_a_replayed_muon_sees_new_hyperparameters():
    def train(replay):
        mg.manual_seed(1)
        p = nn.Parameter(mg.randn(4, 3))
        optimizer = optim.Muon([p], lr=mg.tensor(0.1))

        def step():
            optimizer.zero_grad()
            (p * p).sum().backward()
            optimizer.step()

        with record() as plan:
            step()
        for index in range(4):
            optimizer.param_groups[0]["lr"].fill_(0.1 / (index + 2))
            optimizer.param_groups[0]["momentum"] = 0.5
            plan.replay() if replay else step()
        return p.tolist()

    assert train(True) == train(False)


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
