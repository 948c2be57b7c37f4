"""Module: registration, traversal, state dictionaries, hooks, copies; and the layers' own rules."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import weakref
from collections import OrderedDict

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn import init


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 3)
        self.scale = nn.Parameter(mg.ones(3))
        self.register_parameter("shift", None)
        self.register_buffer("seen", mg.zeros(1))
        self.register_buffer("scratch", mg.zeros(2), persistent=False)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(self.linear(x) * self.scale)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Block()
        self.body = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
        self.tied = self.first.linear

    def forward(self, x):
        return self.body(self.first(x))


# ---- registration ----


def test_assignment_registers():
    block = Block()
    assert list(block._parameters) == ["scale", "shift"]
    assert list(block._buffers) == ["seen", "scratch"]
    assert list(block._modules) == ["linear", "act"]
    assert block._parameters["scale"] is block.scale and block.shift is None
    block.note = "plain"
    assert "note" not in block._parameters and block.note == "plain"


def test_values_change_kind_as_in_torch():
    block = Block()
    block.seen = mg.ones(1)
    assert block._buffers["seen"].tolist() == [1]
    block.linear = None
    assert block._modules["linear"] is None and "linear.weight" not in block.state_dict()
    block.linear = nn.Identity()
    assert isinstance(block._modules["linear"], nn.Identity)
    block.scale = None
    assert block._parameters["scale"] is None
    block.scale = nn.Parameter(mg.zeros(3))
    assert "scale" in dict(block.named_parameters())
    block.note = 1
    block.note = nn.Parameter(mg.zeros(1))
    assert "note" in block._parameters
    block.scratch = nn.Parameter(mg.zeros(1))
    assert "scratch" in block._parameters and "scratch" not in block._buffers
    assert "scratch" in block.state_dict()
    block.act = nn.Parameter(mg.zeros(1))
    assert "act" not in block._modules and "act" in block._parameters
    block.fresh = nn.Buffer(mg.zeros(1), persistent=False)
    assert "fresh" in block._buffers and "fresh" not in block.state_dict()


def test_deleting_unregisters():
    block = Block()
    for name in ("scale", "seen", "scratch", "linear", "training"):
        delattr(block, name)
        assert not hasattr(block, name)
    assert list(block._parameters) == ["shift"]
    assert list(block._buffers) == [] and list(block._modules) == ["act"]
    with pytest.raises(AttributeError):
        del block.scale


def test_wrong_assignments_raise():
    block = Block()
    for name, value, text in (
        ("scale", mg.ones(3), "as parameter 'scale' .*Parameter or None expected"),
        ("scale", nn.ReLU(), "as parameter 'scale'"),
        ("linear", 3, "cannot assign 'int' as child module 'linear'"),
        ("seen", 3, "cannot assign 'int' as buffer 'seen'"),
    ):
        with pytest.raises(TypeError, match=text):
            setattr(block, name, value)

    class Forgetful(nn.Module):
        def __init__(self, value):
            self.value = value

    for value, text in (
        (nn.Parameter(mg.ones(1)), "cannot assign parameters before Module"),
        (nn.ReLU(), "cannot assign module before Module"),
    ):
        with pytest.raises(AttributeError, match=text):
            Forgetful(value)
    with pytest.raises(AttributeError, match="'Block' object has no attribute 'nothing'"):
        block.nothing  # noqa: B018


@pytest.mark.parametrize("kind", ["parameter", "buffer", "module"])
def test_wrong_registrations_raise(kind):
    block = Block()
    register = getattr(block, f"register_{kind}")
    for name, error, text in (
        ("a.b", KeyError, 'contain "."'),
        ("", KeyError, 'be empty string ""'),
        ("forward", KeyError, "attribute 'forward' already exists"),
        (3, TypeError, f"{kind} name should be a string. Got int"),
    ):
        with pytest.raises(error, match=text.replace(".", r"\.")):
            register(name, None)
    with pytest.raises(TypeError, match="int"):
        register("new", 3)
    if kind == "parameter":
        with pytest.raises(ValueError, match="Cannot assign non-leaf Tensor"):
            leaf = nn.Parameter(mg.ones(1))
            leaf._node = (leaf * 2)._node
            register("new", leaf)


def test_registry_views_write_through():
    block = Block()
    block._parameters["extra"] = nn.Parameter(mg.ones(1))
    assert block.extra.tolist() == [1]
    del block._parameters["extra"]
    assert not hasattr(block, "extra")
    block._modules = OrderedDict(only=nn.ReLU())
    assert list(block._modules) == ["only"] and not hasattr(block, "linear")
    assert "scale" in block._parameters and "nothing" not in block._parameters
    with pytest.raises(KeyError):
        block._parameters["seen"]


def test_a_property_may_share_a_module():
    class Lazy(nn.Module):
        @property
        def double(self):
            return self.weight * 2

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(mg.ones(1))

    assert Lazy().double.tolist() == [2]


def test_getattr_of_a_subclass_may_fall_back():
    class Wrapper(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def __getattr__(self, name):
            try:
                return super().__getattr__(name)
            except AttributeError:
                return getattr(self.inner, name)

    assert Wrapper(nn.Linear(2, 3)).out_features == 3


# ---- traversal ----


def test_traversal_names_and_order():
    net = Net()
    names = ["first.scale", "first.linear.weight", "first.linear.bias"]
    names += ["body.0.weight", "body.0.bias"]
    assert [name for name, _ in net.named_parameters()] == names
    assert next(net.named_parameters(prefix="p"))[0] == "p.first.scale"
    tied = [*names, "tied.weight", "tied.bias"]
    assert [name for name, _ in net.named_parameters(remove_duplicate=False)] == tied
    assert list(net.named_parameters(recurse=False)) == []
    assert [name for name, _ in net.named_buffers()] == ["first.seen", "first.scratch"]
    modules = ["", "first", "first.linear", "first.act", "body", "body.0", "body.1"]
    assert [name for name, _ in net.named_modules()] == modules
    assert [name for name, _ in net.named_children()] == ["first", "body", "tied"]
    assert len(list(net.modules())) == len(modules) and len(list(net.children())) == 3
    assert len(list(net.parameters())) == 5 and len(list(net.buffers())) == 2


def test_lookup_by_path():
    net = Net()
    assert net.get_submodule("") is net and net.get_submodule("body.1") is net.body[1]
    assert net.get_parameter("first.linear.weight") is net.first.linear.weight
    assert net.get_buffer("first.seen") is net.first.seen
    for call, text in (
        (lambda: net.get_submodule("first.none"), "Block has no attribute `none`"),
        (lambda: net.get_submodule("first.scale"), "`scale` is not an nn.Module"),
        (lambda: net.get_parameter("first.seen"), "`seen` is not an nn.Parameter"),
        (lambda: net.get_parameter("first.none"), "Block has no attribute `none`"),
        (lambda: net.get_buffer("first.scale"), "`scale` is not a buffer"),
        (lambda: net.set_submodule("body.9", nn.ReLU(), strict=True), "no attribute `9`"),
    ):
        with pytest.raises(AttributeError, match=text):
            call()
    net.set_submodule("body.1", nn.ReLU())
    assert isinstance(net.body[1], nn.ReLU)


def test_modes_gradients_and_apply():
    net = Net()
    assert net.eval() is net and not any(module.training for module in net.modules())
    assert net.train() is net and all(module.training for module in net.modules())
    with pytest.raises(ValueError, match="training mode is expected to be boolean"):
        net.train(1)
    net(mg.ones(4, 2)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert all(p.grad.tolist() == p.detach().mul(0).tolist() for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    visited = []
    assert net.apply(lambda module: visited.append(type(module).__name__)) is net
    assert visited == ["Linear", "ReLU", "Block", "Linear", "Tanh", "Sequential", "Linear", "Net"]


def test_to_changes_floating_values_in_place():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    weight = net[0].weight
    net(mg.randn(3, 2)).sum().backward()
    for call in (
        lambda: net.double(),
        lambda: net.float(),
        lambda: net.to(mg.float64),
        lambda: net.to("cpu", mg.float32),
        lambda: net.to(mg.zeros(1, dtype=mg.float64)),
        lambda: net.to(dtype=mg.float32, non_blocking=True),
        lambda: net.cpu(),
        lambda: net[0].type(mg.float64) and net.float(),
    ):
        assert call() is net
    net.double()
    assert net[0].weight is weight and weight.dtype is mg.float64 and weight.requires_grad
    assert weight.grad.dtype is mg.float64
    assert net[1].running_mean.dtype is mg.float64
    assert net[1].num_batches_tracked.dtype is mg.int64
    assert net(mg.randn(3, 2, dtype=mg.float64)).dtype is mg.float64
    with pytest.raises(TypeError, match="only accepts floating point"):
        net.to(mg.int64)
    with pytest.raises(TypeError, match="unexpected keyword"):
        net.to(kind=mg.float32)
    with pytest.raises(RuntimeError):
        net.to("cuda")


# ---- state dictionaries ----


def test_state_dict_shares_memory_and_has_no_gradient():
    net = Net()
    state = net.state_dict()
    assert type(state) is OrderedDict
    assert list(state) == [
        "first.scale", "first.seen", "first.linear.weight", "first.linear.bias",
        "body.0.weight", "body.0.bias", "tied.weight", "tied.bias",
    ]  # fmt: skip
    assert not any(value.requires_grad for value in state.values())
    state["first.scale"].fill_(3)
    assert net.first.scale.tolist() == [3, 3, 3]
    assert net.state_dict(keep_vars=True)["first.scale"] is net.first.scale
    assert next(iter(net.state_dict(prefix="p."))) == "p.first.scale"
    assert state._metadata["first"] == {"version": 1}


def test_load_state_dict():
    first, second = Net(), Net()
    result = second.load_state_dict(first.state_dict())
    assert repr(result) == "<All keys matched successfully>"
    assert result.missing_keys == [] and result.unexpected_keys == []
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert a.tolist() == b.tolist() and a.data_ptr() != b.data_ptr()
    arrays = {name: value.numpy() + 1 for name, value in first.state_dict().items()}
    second.load_state_dict(arrays)
    assert mg.allclose(second.body[0].bias, first.body[0].bias + 1)


def test_load_state_dict_names_all_that_is_wrong():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    state = net.state_dict()
    del state["0.bias"]
    state["extra"] = state["1.more"] = mg.ones(1)
    state["1.weight"] = mg.ones(2, 2)
    state["1.bias"] = "text"
    with pytest.raises(RuntimeError) as error:
        net.load_state_dict(state)
    text = str(error.value)
    assert text.startswith("Error(s) in loading state_dict for Sequential:\n\t")
    assert 'Missing key(s) in state_dict: "0.bias". ' in text
    assert 'Unexpected key(s) in state_dict: "extra", "1.more". ' in text
    assert (
        "size mismatch for 1.weight: copying a param with shape minigrad.Size([2, 2]) from "
        "checkpoint, the shape in current model is minigrad.Size([1, 3])." in text
    )
    assert 'While copying the parameter named "1.bias", expected' in text
    del state["1.weight"], state["1.bias"]
    result = net.load_state_dict(state, strict=False)
    assert result.missing_keys == ["0.bias", "1.weight", "1.bias"]
    assert result.unexpected_keys == ["extra", "1.more"]
    with pytest.raises(TypeError, match="Expected state_dict to be dict-like"):
        net.load_state_dict([])


def test_load_state_dict_assign():
    net = nn.Linear(2, 2)
    net.weight.requires_grad_(False)
    state = {"weight": mg.ones(2, 2, dtype=mg.float64), "bias": nn.Parameter(mg.ones(2))}
    net.load_state_dict(state, assign=True)
    assert net.weight.dtype is mg.float64 and not net.weight.requires_grad
    assert net.weight.data_ptr() == state["weight"].data_ptr()
    assert net.bias is state["bias"] and isinstance(net.weight, nn.Parameter)


def test_old_scalars_and_old_batch_norms_load():
    class Scalar(nn.Module):
        def __init__(self):
            super().__init__()
            self.value = nn.Parameter(mg.tensor(0.0))

    scalar = Scalar()
    scalar.load_state_dict({"value": mg.ones(1)})
    assert scalar.value.item() == 1
    norm = nn.BatchNorm1d(2)
    state = {name: v for name, v in norm.state_dict().items() if name != "num_batches_tracked"}
    norm.load_state_dict(state)
    state = norm.state_dict()
    del state["num_batches_tracked"]
    with pytest.raises(RuntimeError, match=r'Missing key.*"num_batches_tracked"'):
        norm.load_state_dict(state)


def test_extra_state():
    class Counter(nn.Module):
        count = 0

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    net = nn.Sequential(Counter())
    net[0].count = 5
    state = net.state_dict()
    assert state == {"0._extra_state": {"count": 5}}
    other = nn.Sequential(Counter())
    other.load_state_dict(state)
    assert other[0].count == 5
    assert other.load_state_dict({}, strict=False).missing_keys == ["0._extra_state"]


def test_state_dict_hooks():
    net = nn.Sequential(nn.Linear(1, 1))
    calls = []
    net[0].register_state_dict_pre_hook(lambda m, prefix, keep: calls.append(prefix))
    net.register_state_dict_post_hook(lambda m, state, prefix, meta: state.update(more=1))
    net.register_load_state_dict_pre_hook(lambda m, state, *rest: state.pop("more"))
    net.register_load_state_dict_post_hook(lambda m, keys: keys.missing_keys.clear())
    state = net.state_dict()
    assert calls == ["0."] and state["more"] == 1
    del state["0.bias"]
    assert net.load_state_dict(state).missing_keys == []
    net.register_state_dict_post_hook(lambda m, state, prefix, meta: state)
    with pytest.raises(RuntimeError, match="must return None"):
        net.state_dict()


# ---- hooks of calls ----


def test_forward_hooks():
    layer = nn.Identity()
    calls = []

    def double(module, args):
        calls.append("pre")
        return args[0] * 2

    def plus(module, args, output):
        calls.append("post")
        return output + 1

    handles = [layer.register_forward_pre_hook(double), layer.register_forward_hook(plus)]
    assert layer(mg.ones(1)).item() == 3
    layer.register_forward_hook(lambda m, a, o: calls.append("first"), prepend=True)
    calls.clear()
    layer(mg.ones(1))
    assert calls == ["pre", "first", "post"]
    for handle in handles:
        handle.remove()
    assert layer(mg.ones(1)).item() == 1
    with layer.register_forward_hook(plus):
        assert layer(mg.ones(1)).item() == 2
    assert layer(mg.ones(1)).item() == 1


def test_hooks_removed_give_the_short_way_back():
    layer = nn.Identity()
    layer.register_forward_hook(lambda *_: None).remove()
    layer(mg.ones(1))
    assert "_hooked" not in layer.__dict__


def test_hooks_with_keyword_arguments():
    class Scale(nn.Module):
        def forward(self, x, *, by=1):
            return x * by

    layer = Scale()
    assert layer(mg.ones(1), by=3).item() == 3
    layer.register_forward_pre_hook(lambda m, a, k: (a, {"by": k["by"] + 1}), with_kwargs=True)
    layer.register_forward_hook(lambda m, a, k, o: o + k["by"], with_kwargs=True)
    assert layer(mg.ones(1), by=3).item() == 8
    layer.register_forward_pre_hook(lambda m, a, k: 3, with_kwargs=True)
    with pytest.raises(RuntimeError, match="forward pre-hook must return None or a tuple"):
        layer(mg.ones(1), by=3)


def test_hooks_called_always():
    class Fails(nn.Module):
        def forward(self, x):
            raise KeyError("x")

    layer = Fails()
    calls = []
    layer.register_forward_hook(lambda m, a, o: calls.append("never"))
    layer.register_forward_hook(lambda m, a, o: calls.append(o), always_call=True)
    with pytest.raises(KeyError):
        layer(mg.ones(1))
    assert calls == [None]
    layer.register_forward_hook(lambda m, a, o: 1 / 0, always_call=True)
    with pytest.warns(UserWarning, match="always_call"), pytest.raises(KeyError):
        layer(mg.ones(1))


def test_full_backward_hooks():
    layer = nn.Linear(2, 3)
    seen = []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go)))
    layer.register_full_backward_pre_hook(lambda m, go: (go[0] * 2,))
    x = mg.randn(4, 2, requires_grad=True)
    layer(x).sum().backward()
    ((grad_input,), (grad_output,)) = seen[0]
    assert grad_output.tolist() == mg.full((4, 3), 2.0).tolist()
    assert mg.allclose(grad_input, mg.full((4, 3), 2.0) @ layer.weight.detach())
    assert x.grad.tolist() == grad_input.tolist()
    assert mg.allclose(layer.bias.grad, mg.full((3,), 8.0))
    layer.register_full_backward_hook(lambda m, gi, go: (gi[0] * 0,))
    x.grad = None
    layer(x).sum().backward()
    assert x.grad.tolist() == mg.zeros(4, 2).tolist()


def test_full_backward_hook_without_gradient_of_the_input():
    layer = nn.Linear(2, 3)
    seen = []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go[0].tolist())))
    layer(mg.ones(1, 2)).sum().backward()
    assert seen == [((None,), [[1, 1, 1]])]
    with mg.no_grad():
        layer(mg.ones(1, 2))
    assert len(seen) == 1


# ---- copies, printing, lifetime ----


@pytest.mark.parametrize("how", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_are_whole_and_independent(how):
    net = Net()
    net(mg.ones(1, 2)).sum().backward()
    copied = how(net)
    assert repr(copied) == repr(net) and copied.tied is copied.first.linear
    x = mg.randn(3, 2)
    assert copied(x).tolist() == net(x).tolist()
    for a, b in zip(net.parameters(), copied.parameters(), strict=True):
        assert type(b) is nn.Parameter and b.requires_grad
        assert a.data_ptr() != b.data_ptr()
    copied.first.scale.data.fill_(0)
    assert net.first.scale.tolist() == [1, 1, 1]
    copied.extra = nn.Parameter(mg.ones(1))
    assert "extra" not in dict(net.named_parameters())
    assert list(copied.first._buffers) == ["seen", "scratch"]


def test_a_network_is_freed_without_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        net = Net()
        loss = net(mg.ones(1, 2)).sum()
        loss.backward()
        watched = [weakref.ref(net), weakref.ref(net.first.linear.weight)]
        del net, loss
        assert [ref() for ref in watched] == [None, None]
    finally:
        gc.enable()


def test_repr():
    assert repr(Net()) == (
        "Net(\n"
        "  (first): Block(\n"
        "    (linear): Linear(in_features=2, out_features=3, bias=True)\n"
        "    (act): ReLU()\n"
        "  )\n"
        "  (body): Sequential(\n"
        "    (0): Linear(in_features=3, out_features=3, bias=True)\n"
        "    (1): Tanh()\n"
        "  )\n"
        "  (tied): Linear(in_features=2, out_features=3, bias=True)\n"
        ")"
    )

    class Extra(nn.Module):
        def extra_repr(self):
            return "one\ntwo"

    assert repr(Extra()) == "Extra(\n  one\n  two\n)"
    assert repr(nn.Module()) == "Module()" and repr(nn.Sequential()) == "Sequential()"
    assert repr(nn.Parameter(mg.zeros(2))) == (
        "Parameter containing:\ntensor([0., 0.], requires_grad=True)"
    )
    assert "0" not in dir(nn.Sequential(nn.ReLU()))


def test_parameter():
    data = mg.ones(2)
    parameter = nn.Parameter(data)
    assert parameter.requires_grad and parameter.is_leaf and not data.requires_grad
    data.fill_(5)
    assert parameter.tolist() == [5, 5]
    with mg.no_grad():
        assert nn.Parameter(data).requires_grad
    assert not nn.Parameter(data, requires_grad=False).requires_grad
    assert not isinstance(data, nn.Parameter) and isinstance(parameter, mg.Tensor)
    assert type(parameter * 2) is mg.Tensor and type(parameter.detach()) is mg.Tensor
    with pytest.raises(TypeError, match="Parameter data must be a Tensor"):
        nn.Parameter([1.0])
    with pytest.raises(RuntimeError, match="floating point"):
        nn.Parameter(mg.ones(1, dtype=mg.int64))
    copied = copy.deepcopy(nn.Buffer(data, persistent=False))
    assert type(copied) is nn.Buffer and not copied.persistent


def test_forward_is_required():
    with pytest.raises(NotImplementedError, match=r'Module .* is missing the required "forward"'):
        nn.Module()(1)


# ---- Sequential ----


def test_sequential_is_a_list():
    layers = [nn.Linear(1, 1), nn.ReLU(), nn.Tanh()]
    net = nn.Sequential(*layers)
    assert len(net) == 3 and list(net) == layers and net[-1] is layers[2]
    assert list(net[1:]) == layers[1:] and isinstance(net[:1], nn.Sequential)
    net.append(nn.Sigmoid())
    net.insert(1, nn.Identity())
    assert [type(m).__name__ for m in net] == ["Linear", "Identity", "ReLU", "Tanh", "Sigmoid"]
    assert list(net._modules) == ["0", "1", "2", "3", "4"]
    del net[1]
    assert list(net._modules) == ["0", "1", "2", "3"] and net[1] is layers[1]
    del net[2:]
    assert list(net) == layers[:2]
    net.extend([nn.Tanh()])
    assert isinstance(net.pop(-1), nn.Tanh) and len(net) == 2
    net[0] = layers[2]
    assert net[0] is layers[2]
    assert len(net + net) == 4 and len(net * 3) == 6
    net += nn.Sequential(nn.ReLU())
    assert len(net) == 3
    net *= 2
    assert len(net) == 6
    for call, error in (
        (lambda: net[9], IndexError),
        (lambda: net.insert(99, nn.ReLU()), IndexError),
        (lambda: net.insert(0, 1), AssertionError),
        (lambda: net + 1, ValueError),
        (lambda: net * 0, ValueError),
        (lambda: net * "a", TypeError),
        (lambda: nn.Sequential(1), TypeError),
    ):
        with pytest.raises(error):
            call()


def test_sequential_with_names():
    net = nn.Sequential(OrderedDict(a=nn.Linear(1, 2), b=nn.ReLU()))
    assert net.a is net[0] and list(net.state_dict()) == ["a.weight", "a.bias"]
    assert list(net[:1]._modules) == ["a"]
    assert net(mg.ones(1)).shape == (2,)


# ---- layers ----

LAYERS = [
    (nn.Linear(2, 3, bias=False), "Linear(in_features=2, out_features=3, bias=False)"),
    (nn.Identity(1, a=2), "Identity()"),
    (nn.Conv2d(1, 2, 3, padding="same", bias=False),
     "Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1), padding=same, bias=False)"),
    (nn.Conv2d(2, 4, (3, 2), 2, 1, (1, 2), 2), "Conv2d(2, 4, kernel_size=(3, 2), stride=(2, 2), "
     "padding=(1, 1), dilation=(1, 2), groups=2)"),
    (nn.MaxPool2d(2), "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"),
    (nn.AvgPool2d((2, 3)), "AvgPool2d(kernel_size=(2, 3), stride=(2, 3), padding=0)"),
    (nn.Flatten(), "Flatten(start_dim=1, end_dim=-1)"),
    (nn.Unflatten(1, (2, 2)), "Unflatten(dim=1, unflattened_size=(2, 2))"),
    (nn.ReLU(True), "ReLU(inplace=True)"),
    (nn.Softmax(1), "Softmax(dim=1)"),
    (nn.LogSoftmax(-1), "LogSoftmax(dim=-1)"),
    (nn.Dropout(0.3, True), "Dropout(p=0.3, inplace=True)"),
    (nn.BatchNorm1d(3), "BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, "
     "track_running_stats=True)"),
    (nn.CrossEntropyLoss(), "CrossEntropyLoss()"),
    (nn.MSELoss(), "MSELoss()"),
    (nn.NLLLoss(), "NLLLoss()"),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "text"), LAYERS, ids=[text for _, text in LAYERS])
def test_layer_repr(layer, text):
    assert repr(layer) == text


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: nn.Conv2d(3, 4, 2, groups=2), ValueError, "in_channels must be divisible"),
        (lambda: nn.Conv2d(4, 3, 2, groups=2), ValueError, "out_channels must be divisible"),
        (lambda: nn.Conv2d(4, 3, 2, groups=0), ValueError, "groups must be a positive integer"),
        (lambda: nn.Conv2d(1, 1, 2, padding="full"), ValueError, "Invalid padding string"),
        (lambda: nn.Conv2d(1, 1, 2, 2, "same"), ValueError, "not supported for strided"),
        (lambda: nn.Conv2d(1, 1, 2, padding_mode="a"), ValueError, "padding_mode must be one of"),
        (lambda: nn.ConvTranspose2d(1, 1, 2, padding_mode="reflect"), ValueError, "Only"),
        (lambda: nn.Conv2d(1, 1, (2, 2, 2)), ValueError, "kernel_size"),
        (lambda: nn.Dropout(1.5), ValueError, "dropout probability has to be between 0 and 1"),
        (lambda: nn.Unflatten(1, 2), TypeError, "unflattened_size must be a tuple of ints"),
        (lambda: nn.Unflatten(1, (2, "a")), TypeError, "found element of type str at pos 1"),
        (lambda: nn.BatchNorm1d(2)(mg.ones(2)), ValueError, r"expected 2D or 3D input \(got 1D"),
        (lambda: nn.BatchNorm2d(2)(mg.ones(2, 2)), ValueError, r"expected 4D input \(got 2D"),
        (lambda: nn.BatchNorm1d(2)(mg.ones(1, 2)), ValueError, "more than 1 value per channel"),
    ],
)
def test_layer_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_default_initialisation_has_torchs_bounds():
    for layer, fan_in in ((nn.Linear(300, 200), 300), (nn.Conv2d(8, 64, (3, 5), groups=2), 60)):
        bound = 1 / math.sqrt(fan_in)
        for value in (layer.weight, layer.bias):
            values = value.detach().numpy()
            assert np.abs(values).max() <= bound
            assert np.abs(values).max() > 0.9 * bound
            assert abs(values.std() - bound / math.sqrt(3)) < 0.15 * bound
    with pytest.warns(UserWarning, match="zero-element"):
        assert nn.Linear(0, 3).bias.tolist() == [0, 0, 0]


def test_layers_obey_the_seed():
    def make():
        mg.manual_seed(5)
        return nn.Linear(4, 4).weight.tolist()

    assert make() == make()


def test_forward_of_shapes_and_pools():
    x = mg.arange(16).float().reshape(1, 1, 4, 4)
    assert nn.MaxPool2d(2)(x).tolist() == [[[[5, 7], [13, 15]]]]
    values, indices = nn.MaxPool2d(2, return_indices=True)(x)
    assert indices.tolist() == [[[[5, 7], [13, 15]]]] and values.shape == (1, 1, 2, 2)
    assert nn.AvgPool2d(2)(x).tolist() == [[[[2.5, 4.5], [10.5, 12.5]]]]
    assert nn.Flatten()(x).shape == (1, 16) and nn.Flatten(0)(x).shape == (16,)
    assert nn.Unflatten(3, (2, -1))(x).shape == (1, 1, 4, 2, 2)
    assert nn.Conv2d(1, 3, 3, padding="same")(x).shape == (1, 3, 4, 4)
    assert nn.Conv2d(1, 3, 2, padding="same")(x).shape == (1, 3, 4, 4)
    assert nn.Conv2d(1, 3, 3, padding="valid")(x[0]).shape == (3, 2, 2)


def test_dropout():
    layer = nn.Dropout(0.25)
    x = mg.ones(100, 100)
    y = layer(x)
    assert set(np.unique(y.numpy()).tolist()) <= {0.0, np.float32(1 / 0.75)}
    assert abs(y.mean().item() - 1) < 0.05
    assert layer.eval()(x).tolist() == x.tolist()
    assert nn.Dropout(1.0)(x).sum().item() == 0 and nn.Dropout(0.0)(x).tolist() == x.tolist()
    z = mg.ones(100)
    assert nn.Dropout(0.5, inplace=True)(z) is z and 0 in z.tolist()


def test_vanilla_dropout():
    """Training: x · mask; evaluation: x · (1 - p). The mask of a seed is that of the usual form."""
    layer, x = nn.Dropout(0.25, inverted=False), mg.ones(1000)
    mg.manual_seed(3)
    plain = layer(x)
    mg.manual_seed(3)
    usual = nn.Dropout(0.25)(x)
    assert set(plain.tolist()) == {0.0, 1.0}
    np.testing.assert_allclose(plain.numpy() / 0.75, usual.numpy(), rtol=1e-6)
    assert (layer.eval()(x) == 0.75).all()
    assert repr(layer) == "Dropout(p=0.25, inplace=False, inverted=False)"
    z = mg.ones(4)
    assert nn.Dropout(0.5, True, inverted=False).eval()(z) is z and z.tolist() == [0.5] * 4


@pytest.mark.parametrize(
    "layer,shape",
    [
        (nn.Dropout1d(0.4), (50, 40, 3)),
        (nn.Dropout1d(0.4), (900, 3)),
        (nn.Dropout2d(0.4, inplace=True), (50, 40, 2, 3)),
        (nn.Dropout3d(0.4), (50, 40, 2, 1, 3)),
    ],
)
def test_dropout_of_channels(layer, shape):
    mg.manual_seed(0)
    x = mg.ones(shape)
    y = layer(x).reshape(-1, 3)
    assert (y == y[:, :1]).all()  # a channel is dropped whole
    assert set(y.reshape(-1).tolist()) == {0.0, mg.tensor(1 / 0.6).item()}
    assert abs((y == 0).float().mean().item() - 0.4) < 0.06
    if layer.inplace:
        assert (x.reshape(-1, 3) == y).all()


@pytest.mark.parametrize("layer", [nn.AlphaDropout(0.3), nn.FeatureAlphaDropout(0.3)])
def test_alpha_dropout_keeps_mean_and_variance(layer):
    mg.manual_seed(0)
    y = layer(mg.randn(400, 300))
    assert abs(y.mean().item()) < 0.02 and abs(y.std().item() - 1) < 0.02
    assert layer.eval()(y) is y


def test_batch_norm_statistics():
    x = mg.randn(64, 3, dtype=mg.float64) * 2 + 1
    for momentum in (0.1, None):
        norm = nn.BatchNorm1d(3, momentum=momentum, dtype=mg.float64)
        y = norm(x)
        assert mg.allclose(y.mean(0), mg.zeros(3, dtype=mg.float64), atol=1e-9)
        assert mg.allclose(y.var(0, correction=0), mg.ones(3, dtype=mg.float64), atol=1e-4)
        norm(2 * x)
        assert norm.num_batches_tracked.item() == 2
        mean = x.mean(0)
        expected = 0.09 * mean + 0.2 * mean if momentum else (mean + 2 * mean) / 2
        assert mg.allclose(norm.running_mean, expected)
        count = norm.num_batches_tracked.item()
        norm.eval()(x)
        assert norm.num_batches_tracked.item() == count
    untracked = nn.BatchNorm1d(3, track_running_stats=False, dtype=mg.float64)
    assert untracked.running_mean is None and list(untracked.state_dict()) == ["weight", "bias"]
    assert mg.allclose(untracked.eval()(x), untracked.train()(x))
    plain = nn.BatchNorm1d(3, affine=False)
    assert plain.weight is None and list(plain.parameters()) == []
    assert nn.BatchNorm1d(3, bias=False).bias is None


def test_losses_have_weights_as_buffers():
    loss = nn.CrossEntropyLoss(weight=mg.tensor([1.0, 2.0]), ignore_index=-1, reduction="sum")
    assert list(loss.state_dict()) == ["weight"]
    logits = mg.tensor([[0.0, 1.0], [2.0, 0.0], [1.0, 1.0]])
    target = mg.tensor([1, 0, -1])
    nll = nn.NLLLoss(weight=mg.tensor([1.0, 2.0]), ignore_index=-1, reduction="sum")
    assert mg.allclose(loss(logits, target), nll(nn.LogSoftmax(1)(logits), target))
    assert loss.double().weight.dtype is mg.float64
    assert nn.MSELoss(reduction="none")(mg.ones(2), mg.zeros(2)).tolist() == [1, 1]
    with pytest.warns(UserWarning, match="reduction='sum'"):
        assert nn.MSELoss(size_average=False).reduction == "sum"


# ---- init ----


def test_init_values():
    w = mg.empty(50, 40)
    for call, low, high, std in (
        (lambda: init.uniform_(w, -1, 3), -1, 3, 4 / math.sqrt(12)),
        (lambda: init.normal_(w, 0, 2), -math.inf, math.inf, 2),
        (lambda: init.xavier_uniform_(w, 2), -2 * math.sqrt(6 / 90), 2 * math.sqrt(6 / 90),
         2 * math.sqrt(2 / 90)),
        (lambda: init.xavier_normal_(w), -math.inf, math.inf, math.sqrt(2 / 90)),
        (lambda: init.kaiming_uniform_(w, mode="fan_out", nonlinearity="relu"),
         -math.sqrt(6 / 50), math.sqrt(6 / 50), math.sqrt(2 / 50)),
        (lambda: init.kaiming_normal_(w, a=1), -math.inf, math.inf, math.sqrt(1 / 40)),
        (lambda: init.trunc_normal_(w, std=1, a=-0.5, b=2), -0.5, 2, None),
        (lambda: init.trunc_normal_(w, std=1, a=2, b=4), 2, 4, None),
    ):  # fmt: skip
        assert call() is w
        values = w.numpy()
        assert values.min() >= low and values.max() <= high
        if std is not None:
            assert abs(values.std() - std) < 0.08 * std
    assert init.constant_(w, 3).unique().tolist() == [3] if hasattr(w, "unique") else True
    assert init.ones_(w).sum().item() == 2000 and init.zeros_(w).sum().item() == 0
    assert init.eye_(w).numpy().tolist() == np.eye(50, 40).tolist()


def test_init_takes_a_generator_and_no_gradient():
    for function in (init.uniform_, init.normal_, init.xavier_uniform_, init.xavier_normal_,
                     init.kaiming_uniform_, init.kaiming_normal_, init.trunc_normal_):  # fmt: skip
        drawn = []
        for _ in range(2):
            weight = mg.empty(3, 4, requires_grad=True)
            function(weight, generator=mg.Generator().manual_seed(7))
            assert weight.is_leaf and weight.requires_grad
            drawn.append(weight.tolist())
        assert drawn[0] == drawn[1]


def test_init_gains_and_errors():
    assert init.calculate_gain("tanh") == 5 / 3 and init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("leaky_relu", 1) == 1 and init.calculate_gain("conv2d") == 1
    assert init._calculate_fan_in_and_fan_out(mg.empty(4, 3, 2, 5)) == (30, 40)
    for call, text in (
        (lambda: init.calculate_gain("none"), "Unsupported nonlinearity none"),
        (lambda: init.calculate_gain("leaky_relu", True), "not a valid number"),
        (lambda: init.xavier_uniform_(mg.empty(3)), "fewer than 2 dimensions"),
        (lambda: init.kaiming_uniform_(mg.empty(3, 3), mode="fan"), "Mode fan not supported"),
        (lambda: init.eye_(mg.empty(3)), "Only tensors with 2 dimensions"),
    ):
        with pytest.raises(ValueError, match=text):
            call()
    with pytest.warns(UserWarning, match="zero-element"):
        init.kaiming_normal_(mg.empty(0, 3))


def test_rrelu_draws_its_slopes():
    mg.manual_seed(0)
    x = mg.full((4000,), -2.0)
    slopes = nn.RReLU(0.1, 0.5)(x) / x
    assert slopes.min().item() >= 0.1 and slopes.max().item() <= 0.5 + 1e-6
    assert abs(slopes.mean().item() - 0.3) < 0.01
    assert (nn.RReLU(0.1, 0.5)(-x) == -x).all()
    assert abs(nn.RReLU(0.1, 0.5).eval()(x)[0].item() + 0.6) < 1e-6


def test_gumbel_softmax():
    """The place of the largest is distributed as softmax; hard samples are one-hot with the
    gradient of the soft ones."""
    mg.manual_seed(0)
    logits = mg.tensor([0.0, 1.0, -1.0, 2.0])
    hard = nn.functional.gumbel_softmax(logits.expand(20000, 4), hard=True)
    assert set(hard.reshape(-1).tolist()) <= {0.0, 1.0} and (hard.sum(1) == 1).all()
    np.testing.assert_allclose(hard.mean(0).numpy(), logits.softmax(0).numpy(), atol=0.015)
    x = mg.randn(3, 4).requires_grad_()
    results = []
    for flag in (False, True):
        mg.manual_seed(1)
        y = nn.functional.gumbel_softmax(x, tau=0.7, hard=flag)
        assert np.allclose(y.detach().sum(1).numpy(), 1, atol=1e-6)
        results.append(mg.autograd.grad((y * mg.arange(4.0)).sum(), x)[0].numpy())
    np.testing.assert_allclose(*results, rtol=1e-6)


# ---- lists and dictionaries of parameters ----


def test_parameter_list():
    first, second = nn.Parameter(mg.ones(2)), mg.zeros(3, 4)
    parameters = nn.ParameterList([first, second, "text"])
    assert len(parameters) == 3 and parameters[0] is first and parameters[-1] == "text"
    assert isinstance(parameters[1], nn.Parameter)
    assert list(parameters.state_dict()) == ["0", "1"]
    assert [tuple(p.shape) for p in parameters.parameters()] == [(2,), (3, 4)]
    parameters += [mg.ones(1)]
    parameters[0] = mg.ones(5)
    assert tuple(parameters[0].shape) == (5,) and len(parameters[1:3]) == 2
    assert repr(parameters[:2]) == (
        "ParameterList(\n"
        "    (0): Parameter containing: [minigrad.float32 of size 5]\n"
        "    (1): Parameter containing: [minigrad.float32 of size 3x4]\n)"
    )
    with pytest.raises(IndexError):
        parameters[4]
    with pytest.raises(TypeError):
        parameters.extend(3)
    with pytest.raises(RuntimeError):
        parameters(1)


def test_parameter_dict():
    parameters = nn.ParameterDict({"b": mg.ones(2), "a": mg.zeros(1)})
    assert list(parameters) == ["a", "b"]  # sorted, as a plain dict is in torch
    parameters["c"] = 3
    assert list(parameters.state_dict()) == ["a", "b"] and parameters["c"] == 3
    assert parameters.get("d", 4) == 4 and "d" not in parameters
    assert parameters.setdefault("d", mg.ones(1)) is parameters["d"]
    assert isinstance(parameters["d"], nn.Parameter)
    assert parameters.pop("c") == 3 and parameters.popitem()[0] == "d"
    joined = parameters | nn.ParameterDict({"z": mg.ones(4)})
    assert list(joined) == ["a", "b", "z"] and len(parameters) == 2
    assert joined["a"] is parameters["a"]
    assert repr(parameters) == (
        "ParameterDict(\n"
        "    (a): Parameter containing: [minigrad.FloatTensor of size 1]\n"
        "    (b): Parameter containing: [minigrad.FloatTensor of size 2]\n)"
    )
    for bad, kind in ((3, TypeError), ([3], TypeError), ([(1, 2, 3)], ValueError)):
        with pytest.raises(kind):
            parameters.update(bad)
    with pytest.raises(KeyError):
        parameters["missing"]
    parameters.clear()
    assert not len(parameters) and not list(parameters.parameters())


# ---- initializers ----


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (4, 2, 3), (64, 64), (1, 9)])
def test_orthogonal(shape):
    mg.manual_seed(0)
    weight = nn.init.orthogonal_(mg.empty(shape, dtype=mg.float64), gain=2.0).numpy()
    flat = weight.reshape(shape[0], -1) / 2
    gram = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-12)


def test_orthogonal_is_uniform():
    """Each entry of a random orthogonal 2x2 matrix is the cosine of a uniform angle: mean 0, mean
    of the squares 1/2, of the fourth powers 3/8; rotations and reflections are equally many."""
    mg.manual_seed(1)
    drawn = np.stack([nn.init.orthogonal_(mg.empty(2, 2)).numpy() for _ in range(600)])
    assert (abs(drawn.mean(0)) < 0.1).all()
    assert (abs((drawn**2).mean(0) - 0.5) < 0.06).all()
    assert (abs((drawn**4).mean(0) - 0.375) < 0.06).all()
    assert 240 < (np.linalg.det(drawn) > 0).sum() < 360


def test_sparse_init():
    mg.manual_seed(0)
    weight = nn.init.sparse_(mg.empty(50, 40), 0.3, std=2.0).numpy()
    assert ((weight == 0).sum(0) == 15).all()
    assert abs(weight[weight != 0].std() - 2) < 0.2


def test_dirac_passes_channels_on():
    x = mg.randn(2, 4, 5, 6)
    for groups in (1, 2):
        weight = nn.init.dirac_(mg.empty(4, 4 // groups, 3, 3), groups)
        y = nn.functional.conv2d(x, weight, padding=1, groups=groups)
        np.testing.assert_array_equal(y.numpy(), x.numpy())


@pytest.mark.parametrize(
    "call",
    [
        lambda: nn.init.orthogonal_(mg.empty(3)),
        lambda: nn.init.sparse_(mg.empty(3), 0.5),
        lambda: nn.init.dirac_(mg.empty(3, 3)),
        lambda: nn.init.dirac_(mg.empty(3, 3, 3), 2),
    ],
)
def test_initializers_refuse_other_shapes(call):
    with pytest.raises(ValueError):
        call()


def test_embeddings_made_of_tables():
    table = mg.arange(12.0).reshape(4, 3)
    frozen = nn.Embedding.from_pretrained(table)
    assert not frozen.weight.requires_grad and frozen(mg.tensor([2])).tolist() == [[6.0, 7.0, 8.0]]
    bag = nn.EmbeddingBag.from_pretrained(table, freeze=False, mode="max")
    assert bag.weight.requires_grad and bag(mg.tensor([[0, 3]])).tolist() == [[9.0, 10.0, 11.0]]
    padded = nn.Embedding(4, 3, padding_idx=-1)
    assert padded.padding_idx == 3 and padded.weight[3].tolist() == [0.0] * 3
