"""Module: registration, traversal, state dictionaries, hooks, copies."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections import OrderedDict

import pytest

import minigrad as mg
from minigrad import nn


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
