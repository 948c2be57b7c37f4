"""What a plan says of itself: its launches with their costs and lines, and their times."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.compiler.limits import Limits


def line_of(marker: str) -> int:
    with open(__file__) as file:
        return next(n for n, text in enumerate(file, 1) if text.rstrip().endswith(f"# {marker}"))


def trained():
    mg.manual_seed(2)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))
    optimizer = optim.Adam(model.parameters())

    @mg.compile
    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)  # the forward pass
        loss.backward()  # the backward pass
        optimizer.step()  # the update
        return loss.detach()

    x, y = mg.randn(8, 6), mg.tensor(np.arange(8) % 3)
    for _ in range(3):
        step(x, y)
    return model, optimizer, step, x, y


def named(plan, name):
    return [each for each in plan.launches() if each.name == name]


def test_every_launch_has_the_line_that_asked_for_it():
    plan = trained()[2].plan
    expected = {line_of(f"the {name}") for name in ("forward pass", "backward pass", "update")}
    lines = [each.source for each in plan.launches()]
    assert all(each is not None and each.file == __file__ for each in lines)
    assert {each.line for each in lines} == expected
    (update,) = named(plan, "optimizer_step adam")
    assert update.source.line == line_of("the update") and update.source.function == "step"


def test_the_table_names_kernels_shapes_and_the_instruction_set():
    plan = trained()[2].plan
    text = str(plan)
    assert text.splitlines()[0] in repr(plan) and mg.kernels.isa() in text.splitlines()[0]
    for word in ("matmul", "optimizer_step adam", "8x6, 16x6", "test_compile_plan.py:"):
        assert word in text
    assert len(text.splitlines()) == 2 + len(plan)
    assert f"{len(plan)} launches" in text.splitlines()[0] and plan.backward_plans() == []
    held, _ = plan.bytes()
    assert held > 0 and "memory of its own" in text


COSTS = {
    "matmul": (lambda a, b: a @ b, (4, 6), (6, 5), 2 * 4 * 5 * 6, 4 * (24 + 30 + 20)),
    "matmul of a transpose": (lambda a, b: a.t() @ b, (6, 4), (6, 5), 240, 4 * (24 + 30 + 20)),
    "matmul batched": (lambda a, b: a @ b, (3, 4, 6), (3, 6, 5), 720, 4 * 3 * (24 + 30 + 20)),
    "add broadcast": (lambda a, b: a + b, (4, 6), (6,), 24, 4 * (24 + 6 + 24)),
    "sum": (lambda a, b: a.sum(), (4, 6), (1,), 24, 4 * (24 + 1)),
    "conv2d": (
        lambda a, b: nn.functional.conv2d(a, b, padding=1),
        *((2, 3, 5, 5), (4, 3, 3, 3), 2 * 2 * 4 * 25 * 27, 4 * (150 + 108 + 200)),
    ),
}


@pytest.mark.parametrize("name", COSTS)
def test_costs_are_counted(name):
    function, first, second, flops, size = COSTS[name]
    compiled = mg.compile(function)
    compiled(mg.randn(*first), mg.randn(*second))
    (launch,) = compiled.plan.launches()
    assert (launch.flops, launch.bytes) == (flops, size)


def test_attention_counts_its_products():
    q, k, v = (mg.randn(2, 4, n, 8, requires_grad=True) for n in (5, 6, 6))
    attention = nn.functional.scaled_dot_product_attention
    compiled = mg.compile(lambda: mg.autograd.grad(attention(q, k, v).sum(), (q, k, v)))
    compiled()
    (forward,) = named(compiled.plan, "attention")
    (backward,) = named(compiled.plan, "attention_backward")
    scores = 2 * 4 * 5 * 6
    assert forward.flops == 2 * scores * (8 + 8) and backward.flops == 2 * scores * 5 * 8


def test_a_recurrent_layer_counts_both_products():
    layer = nn.GRU(3, 5)
    compiled = mg.compile(lambda x: layer(x)[0])
    with mg.no_grad():
        compiled(mg.randn(7, 2, 3))
    (launch,) = named(compiled.plan, "recurrent gru")
    assert launch.flops == 2 * 7 * 2 * (15 * 3 + 15 * 5)


def test_a_profile_leaves_the_state_as_it_was():
    model, _, step, x, y = trained()
    other, _, again, _, _ = trained()
    profile = step.plan.profile(repeats=3)
    assert len(profile.seconds) == len(step.plan) and profile.total > 0
    assert all(taken > 0 for taken in profile.seconds)
    text = str(profile)
    assert sum(count for count, _ in profile.by_kernel().values()) == len(step.plan)
    assert "GFLOP/s" in text and "% of limit" in text and "optimizer_step adam" in text
    # The next steps, with their dropout masks, are those of a function that was not profiled.
    for first, second in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(first.detach().numpy(), second.detach().numpy())
    state = mg.get_rng_state()
    expected = [again(x, y).item() for _ in range(4)]
    mg.set_rng_state(state)
    assert [step(x, y).item() for _ in range(4)] == expected


def test_a_backward_pass_outside_of_the_function_has_a_plan():
    layer = nn.Linear(4, 3)
    compiled = mg.compile(lambda x: layer(x).square().sum())
    for _ in range(3):
        compiled(mg.ones(2, 4)).backward()  # outside
    (backward,) = compiled.plan.backward_plans()
    assert {each.source.line for each in backward.launches()} == {line_of("outside")}
    text = str(compiled.plan)
    assert "backward plan of" in text and len(text.splitlines()) > len(compiled.plan) + 4
    assert backward.profile(repeats=2).total > 0


def test_python_segments_are_named():
    class Cubed(mg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return mg.from_numpy(x.numpy() ** 3)

        @staticmethod
        def backward(ctx, grad_output):
            return grad_output

    compiled = mg.compile(lambda x: Cubed.apply(x) + 1)
    compiled(mg.full((3,), 2.0))
    names = [each.name for each in compiled.plan.launches()]
    assert any(name.startswith("Python ") and name.endswith("Cubed.forward") for name in names)
    assert "1 Python segment" in str(compiled.plan)
    assert compiled.plan.profile(repeats=1).total > 0
    assert compiled(mg.full((3,), 3.0)).tolist() == [28, 28, 28]


@pytest.mark.parametrize("isa", mg.kernels.available_isas())
def test_limits_of_an_instruction_set(isa):
    mg.kernels.set_isa(isa)
    try:
        limits = Limits(seconds=0.02)
        assert min(limits.flops.values()) > 1e7
    finally:
        mg.kernels.set_isa(None)


def test_bad_arguments_and_limits():
    with pytest.raises(ValueError, match="repeats"):
        trained()[2].plan.profile(repeats=0)
    limits = Limits(seconds=0.02)
    assert min(limits.flops.values()) > 1e7 and min(limits.bytes) > 1e7
    assert limits.bytes == sorted(limits.bytes, reverse=True)


def test_a_profiler_at_work_is_left_alone():
    seen = []

    def profiler(frame, event, argument):
        seen.append(event)

    sys.setprofile(profiler)
    try:
        compiled = mg.compile(lambda x: x * 2)
        compiled(mg.ones(3))
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
    assert seen and compiled.plan.launches()[0].source is None
    compiled = mg.compile(lambda x: x * 2)
    compiled(mg.ones(3))
    assert sys.getprofile() is None and compiled.plan.launches()[0].source is not None
