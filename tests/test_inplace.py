"""In-place changes: what is noticed, what is refused, and how they are differentiated."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import gradcheck, gradgradcheck


def leaf(*values):
    return mg.tensor(list(values), dtype=mg.float64, requires_grad=True)


def check(tensor, wanted):
    np.testing.assert_allclose(tensor.detach().numpy(), wanted, rtol=1e-12)


# ---- in-place changes ----


def test_an_in_place_change_of_a_saved_value_raises_and_names_the_op():
    x = leaf(1.0, 2.0)
    y = x.exp()
    z = y * 2
    y.add_(1)
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation.*add") as error:
        (z + y).sum().backward()
    assert "Exp" in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.mul_(2),
        lambda t: t.zero_(),
        lambda t: t.copy_(mg.zeros(2, dtype=mg.float64)),
        lambda t: t.__setitem__(0, 5.0),
        lambda t: t[1:].fill_(3.0),
        lambda t: t.view(2, 1).mul_(3),
        lambda t: t.detach().mul_(2),
        lambda t: t.relu_(),
    ],
    ids=["mul_", "zero_", "copy_", "setitem", "fill_ of a view", "view", "detached", "relu_"],
)
def test_every_way_to_change_a_saved_value_is_noticed(change):
    x = leaf(1.0, 2.0)
    value = mg.tensor([3.0, 4.0], dtype=mg.float64)
    y = x * value
    with mg.no_grad():
        change(value)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_change_before_the_value_is_saved_is_fine():
    x = leaf(1.0, 2.0)
    y = x.clone()
    y.add_(1)
    (y * y).sum().backward()
    check(x.grad, [4.0, 6.0])


def test_a_change_that_backward_does_not_need_is_fine():
    x = leaf(1.0, 2.0)
    y = x * 3
    y.add_(1).mul_(2)  # neither saves y
    y.sum().backward()
    check(x.grad, [6.0, 6.0])


def test_in_place_operations_are_differentiated():
    x = leaf(1.0, 2.0)
    y = x.clone()
    y *= x
    y += 3
    y[0] = 5.0
    y.sum().backward()
    check(x.grad, [0.0, 4.0])


def test_a_leaf_that_requires_grad_is_protected():
    x = leaf(1.0, 2.0)
    for change in (
        lambda: x.add_(1),
        lambda: x.__setitem__(0, 1.0),
        lambda: x[:1].mul_(2),
        lambda: x.view(2, 1).zero_(),
    ):
        with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
            change()
    with mg.no_grad():
        x.add_(1)
    check(x, [2.0, 3.0])
    assert x.requires_grad and x.is_leaf


def test_a_leaf_becomes_a_result_by_an_in_place_op_with_a_gradient():
    x, buffer = leaf(1.0, 2.0), mg.zeros(2, dtype=mg.float64)
    buffer.add_(x * 3)
    assert buffer.requires_grad and not buffer.is_leaf
    buffer.sum().backward()
    check(x.grad, [3.0, 3.0])


def test_an_in_place_change_of_a_view_reaches_the_base():
    x = mg.ones(2, 3, dtype=mg.float64, requires_grad=True)
    base = x * 2
    base[0].mul_(10)
    check(base, [[20.0] * 3, [2.0] * 3])
    (base * mg.tensor([[1.0], [2.0]], dtype=mg.float64)).sum().backward()
    check(x.grad, [[20.0] * 3, [4.0] * 3])


def test_an_in_place_change_of_the_base_reaches_a_view():
    x = leaf(1.0, 2.0, 3.0)
    base = x * 2
    view = base[1:]
    base.mul_(5)
    check(view, [20.0, 30.0])
    view.sum().backward()
    check(x.grad, [0.0, 10.0, 10.0])


def test_an_in_place_change_of_a_view_reaches_another_view():
    x = mg.ones(4, dtype=mg.float64, requires_grad=True)
    base = x * 1
    first, second = base[:3], base[2:]
    first.mul_(7)
    check(second, [7.0, 1.0])
    second.sum().backward()
    check(x.grad, [0.0, 0.0, 7.0, 1.0])


def test_in_place_changes_of_views_of_views():
    x = mg.ones(2, 2, dtype=mg.float64, requires_grad=True)
    base = x * 1
    base.t()[0].mul_(3)  # the first column
    base.view(-1)[3:].add_(x[0, 0])
    base.sum().backward()
    check(x.grad, [[4.0, 1.0], [3.0, 1.0]])


def test_writing_a_computed_value_into_a_constant_through_a_view():
    x = leaf(1.0, 2.0)
    base = mg.zeros(3, dtype=mg.float64)
    base[1:] = x * 2
    assert base.requires_grad
    (base * base).sum().backward()
    check(x.grad, [8.0, 16.0])


def test_double_backward_through_in_place_changes():
    x = leaf(0.5, -1.5, 2.0)

    def function(x):
        y = x * x
        y[1:].mul_(x[:2])
        y[0] = x[2] ** 3
        return y.exp()

    assert gradcheck(function, (x,))
    assert gradgradcheck(function, (x,))


def test_versions():
    x = mg.zeros(2, 3)
    before = x._version
    x[0].fill_(1)
    assert x._version == before + 1
    assert x.view(-1)._version == x._version
    assert x.detach()._version == x._version
    assert x.clone()._version == 0
