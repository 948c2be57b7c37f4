"""nn.utils side by side with torch: keys, values, text, errors."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import minigrad as mg

torch = pytest.importorskip("torch")
pytest.importorskip("torch.nn.utils.prune")  # torch imports it only on demand
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::FutureWarning")]
LIBRARIES = (mg, torch)


def copied(ours, theirs):
    """Puts torch's values into our module."""
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})


def same(a, b, tolerance=2e-5):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), tolerance, tolerance)


OLD = {
    "weight_norm": lambda m: m.nn.utils.weight_norm(m.nn.Linear(5, 3)),
    "weight_norm whole": lambda m: m.nn.utils.weight_norm(m.nn.Linear(5, 3), dim=None),
    "weight_norm conv": lambda m: m.nn.utils.weight_norm(m.nn.Conv2d(5, 3, 2), dim=1),
    "spectral_norm": lambda m: m.nn.utils.spectral_norm(m.nn.Linear(5, 3)),
    "spectral_norm conv": lambda m: m.nn.utils.spectral_norm(m.nn.Conv2d(5, 3, 2), "weight", 3),
    "new spectral_norm": lambda m: m.nn.utils.parametrizations.spectral_norm(m.nn.Linear(5, 3)),
    "new spectral_norm dim": lambda m: m.nn.utils.parametrizations.spectral_norm(
        m.nn.Conv2d(5, 3, 2), dim=1, n_power_iterations=2
    ),
    "new spectral_norm bias": lambda m: m.nn.utils.parametrizations.spectral_norm(
        m.nn.Linear(5, 3), "bias"
    ),
}


@pytest.mark.parametrize("name", OLD)
def test_normalised_weights_in_training(name):
    """Three forward and backward passes, and in evaluation: values, gradients, buffers, text."""
    ours, theirs = (OLD[name](m) for m in LIBRARIES)
    copied(ours, theirs)
    assert repr(ours) == repr(theirs)
    shape = (4, 5) if "Linear" in repr(ours) else (2, 5, 4, 4)
    for step in range(4):
        if step == 3:
            ours.eval(), theirs.eval()
        values = np.random.standard_normal(shape).astype(np.float32)
        ours.zero_grad(), theirs.zero_grad()
        a, b = ours(mg.tensor(values)), theirs(torch.tensor(values))
        same(a, b)
        (a * a).sum().backward()
        (b * b).sum().backward()
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            same(p.grad, q.grad, 1e-4)
        for p, q in zip(ours.buffers(), theirs.buffers(), strict=True):
            same(p, q)
    if not name.startswith("new"):
        kind = name.split()[0]
        for m, module in zip(LIBRARIES, (ours, theirs), strict=True):
            getattr(m.nn.utils, f"remove_{kind}")(module)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        same(ours.weight, theirs.weight)


PRUNED = {
    "l1": lambda m, p, net: p.l1_unstructured(net, "weight", 0.3),
    "l1 count": lambda m, p, net: p.l1_unstructured(net, "weight", 7),
    "none": lambda m, p, net: p.l1_unstructured(net, "weight", 0),
    "all": lambda m, p, net: p.l1_unstructured(net, "weight", 1.0),
    "identity": lambda m, p, net: p.identity(net, "bias"),
    "ln rows": lambda m, p, net: p.ln_structured(net, "weight", 2, n=2, dim=0),
    "ln columns": lambda m, p, net: p.ln_structured(net, "weight", 0.5, n=1, dim=-1),
    "ln inf": lambda m, p, net: p.ln_structured(net, "weight", 0.5, n=float("inf"), dim=1),
    "mask": lambda m, p, net: p.custom_from_mask(net, "bias", m.tensor([1, 0, 1, 0])),
    "scores": lambda m, p, net: p.l1_unstructured(
        net, "weight", 5, importance_scores=m.arange(24).reshape(4, 6).float()
    ),
    "twice": lambda m, p, net: p.l1_unstructured(
        p.ln_structured(net, "weight", 1, n=2, dim=0), "weight", 0.5
    ),
    "structured after l1": lambda m, p, net: p.ln_structured(
        p.l1_unstructured(net, "weight", 0.5), "weight", 0.5, n=2, dim=0
    ),
    "global": lambda m, p, net: p.global_unstructured(
        [(net, "weight"), (net, "bias")], p.L1Unstructured, amount=0.4
    ),
}


@pytest.mark.parametrize("name", PRUNED)
def test_pruning(name):
    ours, theirs = (m.nn.Linear(6, 4) for m in LIBRARIES)
    copied(ours, theirs)
    for m, net in zip(LIBRARIES, (ours, theirs), strict=True):
        PRUNED[name](m, m.nn.utils.prune, net)
        assert m.nn.utils.prune.is_pruned(net)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for key, value in ours.state_dict().items():
        same(value, theirs.state_dict()[key])
    x = np.random.standard_normal((3, 6)).astype(np.float32)
    a, b = ours(mg.tensor(x)), theirs(torch.tensor(x))
    same(a, b)
    a.sum().backward()
    b.sum().backward()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        same(p.grad, q.grad)
    key = "bias" if name in ("identity", "mask") else "weight"
    for m, net in zip(LIBRARIES, (ours, theirs), strict=True):
        m.nn.utils.prune.remove(net, key)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    same(getattr(ours, key), getattr(theirs, key))


@pytest.mark.parametrize("name", ["random_unstructured", "random_structured"])
@pytest.mark.parametrize("amount", [0, 3, 0.5, 1.0])
def test_random_pruning_takes_as_many(name, amount):
    counts = []
    for m in LIBRARIES:
        net = m.nn.Linear(6, 8)
        arguments = (amount, 0) if "structured" in name and "un" not in name else (amount,)
        getattr(m.nn.utils.prune, name)(net, "weight", *arguments)
        counts.append(int((net.weight_mask == 0).sum()))
    assert counts[0] == counts[1]


class Returns:
    """A parametrization that returns what it is told."""

    @staticmethod
    def make(m, forward, inverse=None):
        methods = {"forward": lambda self, *x: forward(m, *x)}
        if inverse is not None:
            methods["right_inverse"] = lambda self, x: inverse(m, x)
        return type("Made", (m.nn.Module,), methods)()


def registered(m, forward, inverse=None, layer=None, name="weight", **options):
    layer = m.nn.Linear(4, 3) if layer is None else layer
    made = Returns.make(m, forward, inverse)
    return m.nn.utils.parametrize.register_parametrization(layer, name, made, **options)


ERRORS = {
    "no such tensor": lambda m: registered(m, lambda m, x: x, name="nothing"),
    "shape": lambda m: registered(m, lambda m, x: x[0]),
    "dtype": lambda m: registered(m, lambda m, x: x.double()),
    "no tensor": lambda m: registered(m, lambda m, x: 3),
    "inverse of no tensor": lambda m: registered(m, lambda m, x: x, lambda m, x: 3),
    "inverse of wrong elements": lambda m: registered(m, lambda m, x, y: x, lambda m, x: (x, 3)),
    "inverse of another dtype": lambda m: registered(m, lambda m, x: x, lambda m, x: x.double()),
    "second of another shape": lambda m: registered(
        m, lambda m, x: x[0], layer=registered(m, lambda m, x: x)
    ),
    "second's inverse": lambda m: registered(
        m, lambda m, x: x, lambda m, x: x[0], layer=registered(m, lambda m, x: x)
    ),
    "no inverse to assign": lambda m: setattr(
        registered(m, lambda m, x: x), "weight", m.zeros(3, 4)
    ),
    "empty list": lambda m: m.nn.utils.parametrize.ParametrizationList([], m.zeros(2)),
    "remove nothing": lambda m: m.nn.utils.parametrize.remove_parametrizations(
        m.nn.Linear(2, 2), "weight"
    ),
    "remove to several": lambda m: m.nn.utils.parametrize.remove_parametrizations(
        m.nn.utils.parametrizations.weight_norm(m.nn.Linear(2, 2)), "weight", False
    ),
    "orthogonal vector": lambda m: m.nn.utils.parametrizations.orthogonal(
        m.nn.Linear(2, 2), "bias"
    ),
    "orthogonal map": lambda m: m.nn.utils.parametrizations.orthogonal(
        m.nn.Linear(2, 2), orthogonal_map="qr"
    ),
    "orthogonal nothing": lambda m: m.nn.utils.parametrizations.orthogonal(m.nn.ReLU()),
    "orthogonal assigned": lambda m: setattr(
        m.nn.utils.parametrizations.orthogonal(m.nn.Linear(2, 2), use_trivialization=False),
        "weight", m.zeros(2, 2),
    ),
    "spectral nothing": lambda m: m.nn.utils.parametrizations.spectral_norm(m.nn.ReLU()),
    "spectral dim": lambda m: m.nn.utils.parametrizations.spectral_norm(m.nn.Linear(2, 2), dim=2),
    "spectral iterations": lambda m: m.nn.utils.parametrizations.spectral_norm(
        m.nn.Linear(2, 2), n_power_iterations=0
    ),
    "spectral twice": lambda m: m.nn.utils.spectral_norm(
        m.nn.utils.spectral_norm(m.nn.Linear(2, 2))
    ),
    "weight_norm twice": lambda m: m.nn.utils.weight_norm(
        m.nn.utils.weight_norm(m.nn.Linear(2, 2))
    ),
    "no weight_norm": lambda m: m.nn.utils.remove_weight_norm(m.nn.Linear(2, 2)),
    "no spectral_norm": lambda m: m.nn.utils.remove_spectral_norm(m.nn.Linear(2, 2)),
    "amount": lambda m: m.nn.utils.prune.L1Unstructured(1.5),
    "negative amount": lambda m: m.nn.utils.prune.L1Unstructured(-1),
    "amount of no number": lambda m: m.nn.utils.prune.L1Unstructured("a"),
    "amount too large": lambda m: m.nn.utils.prune.l1_unstructured(m.nn.Linear(2, 2), "weight", 5),
    "structured vector": lambda m: m.nn.utils.prune.random_structured(
        m.nn.Linear(2, 2), "bias", 1, 0
    ),
    "structured dim": lambda m: m.nn.utils.prune.ln_structured(
        m.nn.Linear(2, 2), "weight", 1, 2, 2
    ),
    "mask of another shape": lambda m: m.nn.utils.prune.custom_from_mask(
        m.nn.Linear(2, 2), "weight", m.zeros(3)
    ),
    "scores of another shape": lambda m: m.nn.utils.prune.l1_unstructured(
        m.nn.Linear(2, 2), "weight", 1, m.zeros(3)
    ),
    "pruning removed twice": lambda m: m.nn.utils.prune.remove(m.nn.Linear(2, 2), "weight"),
    "global structured": lambda m: m.nn.utils.prune.global_unstructured(
        [(m.nn.Linear(2, 2), "weight")], m.nn.utils.prune.LnStructured, amount=1, n=2
    ),
    "global of no list": lambda m: m.nn.utils.prune.global_unstructured(
        3, m.nn.utils.prune.L1Unstructured, amount=1
    ),
    "container": lambda m: m.nn.utils.prune.PruningContainer(m.nn.utils.prune.Identity(), 3)
    if m is mg
    else _torch_container(),
    "vector of no tensor": lambda m: m.nn.utils.vector_to_parameters([1.0], [m.zeros(1)]),
    "fused in training": lambda m: m.nn.utils.fuse_conv_bn_eval(
        m.nn.Conv2d(1, 1, 1), m.nn.BatchNorm2d(1)
    ),
    "fused without statistics": lambda m: m.nn.utils.fuse_conv_bn_eval(
        m.nn.Conv2d(1, 1, 1).eval(), m.nn.BatchNorm2d(1, track_running_stats=False).eval()
    ),
    "fused sizes": lambda m: m.nn.utils.fuse_linear_bn_eval(
        m.nn.Linear(2, 3).eval(), m.nn.BatchNorm1d(2).eval()
    ),
    "skip_init of no module": lambda m: m.nn.utils.skip_init(int),
    "skip_init without device": lambda m: m.nn.utils.skip_init(m.nn.ReLU),
    "list index": lambda m: m.nn.ModuleList([m.nn.ReLU()])[1],
    "list of no modules": lambda m: m.nn.ModuleList([3]),
    "list of no iterable": lambda m: m.nn.ModuleList().extend(3),
    "list called": lambda m: m.nn.ModuleList()(3),
    "dict key": lambda m: m.nn.ModuleDict()["a"],
    "dict key taken": lambda m: m.nn.ModuleDict({"forward": m.nn.ReLU()}),
    "dict of no pairs": lambda m: m.nn.ModuleDict([3]),
    "dict of triples": lambda m: m.nn.ModuleDict([("a", m.nn.ReLU(), 3)]),
    "dict of no iterable": lambda m: m.nn.ModuleDict().update(3),
}  # fmt: skip


def _torch_container():
    container = torch.nn.utils.prune.PruningContainer()
    container.add_pruning_method(3)


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    kinds = []
    for m in LIBRARIES:
        with warnings.catch_warnings(), pytest.raises(Exception) as caught:
            warnings.simplefilter("ignore")
            ERRORS[name](m)
        kinds.append(caught.type)
    assert kinds[0] is kinds[1], caught.value


def test_functional_call():
    for m in LIBRARIES:
        net = m.nn.Linear(2, 2)
        call = m.func.functional_call
        assert call(net, {"weight": m.zeros(2, 2), "bias": m.ones(2)}, m.ones(1, 2)).tolist() == [
            [1, 1]
        ]
        assert call(net, {"nothing": m.zeros(1)}, (m.ones(1, 2),)).shape == (1, 2)
        assert not hasattr(net, "nothing")


def test_containers():
    texts = []
    for m in LIBRARIES:
        nn = m.nn
        modules = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2), nn.ReLU()])
        modules.insert(1, nn.Tanh())
        modules += [nn.Sequential(nn.ReLU())]
        modules[0] = nn.Sigmoid()
        del modules[3]
        named = nn.ModuleDict([("a", nn.Linear(1, 1)), ["b", modules]])
        named.update({"c": nn.ModuleList()})
        named.pop("a")
        texts.append((repr(named), list(named.keys()), list(named.state_dict()), len(modules[1:]),
                      repr(modules.__add__([nn.ReLU()])), "b" in named, len(named)))  # fmt: skip
    assert texts[0] == texts[1]


@pytest.mark.parametrize("order", [2, 1, 0, -1, 3.5, float("inf"), "inf", float("-inf")])
@pytest.mark.parametrize("bound", [0.5, 1e6, 0.0])
def test_clipping_by_norm(order, bound):
    values = [np.random.standard_normal(s).astype(np.float32) for s in ((3, 4), (), (70,))]
    values.append(np.zeros(2, np.float32) if order in (0, 2) else values[0])
    found = []
    for m in LIBRARIES:
        parameters = [m.zeros(v.shape, requires_grad=True) for v in values]
        for parameter, value in zip(parameters, values, strict=True):
            parameter.grad = m.tensor(value)
        norm = m.nn.utils.clip_grad_norm_(parameters, bound, order)
        again = m.nn.utils.get_total_norm([p.grad for p in parameters], order)
        m.nn.utils.clip_grads_with_norm_(parameters, 0.25, again)
        m.nn.utils.clip_grad_value_(parameters, 0.1)
        found.append([norm, again, *(p.grad for p in parameters)])
    for a, b in zip(*found, strict=True):
        same(a, b)


BAD_CLIPPING = [
    lambda m, u, p: u.clip_grad_norm_([p], "a"),
    lambda m, u, p: u.clip_grad_norm_([p], 1.0, "a"),
    lambda m, u, p: u.clip_grad_norm_(3, 1.0),
    lambda m, u, p: u.clip_grad_norm_([3], 1.0),
    lambda m, u, p: u.clip_grad_value_([p], "a"),
    lambda m, u, p: u.clip_grad_value_(3, 1.0),
    lambda m, u, p: u.get_total_norm([m.ones(0)], float("inf")),
    lambda m, u, p: u.get_total_norm([m.ones(2).long()]),
    lambda m, u, p: u.get_total_norm([m.tensor(float("nan"))], 2, True),
    lambda m, u, p: u.get_total_norm([m.tensor(float("inf"))], 1, True),
    lambda m, u, p: u.clip_grads_with_norm_([p], 1.0, 3.0),
]


@pytest.mark.parametrize("number", range(len(BAD_CLIPPING)))
def test_clipping_errors(number):
    found = []
    for m in LIBRARIES:
        p = m.ones(2, requires_grad=True)
        p.grad = m.ones(2)
        with pytest.raises(Exception) as raised:
            BAD_CLIPPING[number](m, m.nn.utils, p)
        found.append(raised.type)
    assert found[0] is found[1]
