"""Random programs, the same in minigrad and torch: indexing, views, in-place writes."""

from __future__ import annotations

import random

import numpy as np
import pytest

import minigrad as mg

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


def random_item(rng: random.Random, size: int):
    """An index of one dimension: (kind, value) with value a number, slice, list or mask."""
    kind = rng.choice(["int", "slice", "slice", "all", "indices", "list", "mask", "scalar tensor"])
    if kind == "int" and size:
        return "int", rng.randrange(-size, size)
    if kind == "slice":
        ends = [None, *range(-size - 1, size + 2)]
        return "slice", slice(rng.choice(ends), rng.choice(ends), rng.choice([None, 1, 2, 3]))
    if kind in ("indices", "list") and size:
        shape = rng.choice([(2,), (3,), (2, 1), (1, 3), (0,)]) if kind == "indices" else (2,)
        values = np.array(
            [rng.randrange(-size, size) for _ in range(int(np.prod(shape)))], np.int64
        )
        return kind, values.reshape(shape)
    if kind == "mask":
        return "mask", np.array([rng.random() < 0.5 for _ in range(size)], bool)
    if kind == "scalar tensor" and size:
        return "indices", np.array(rng.randrange(-size, size))
    return "slice", slice(None)


def random_index(rng: random.Random, shape):
    """A tuple of items, with None and Ellipsis thrown in."""
    if shape and rng.random() < 0.1:
        mask_dims = rng.randint(1, len(shape))
        count = int(np.prod(shape[:mask_dims]))
        mask = np.array([rng.random() < 0.5 for _ in range(count)], bool)
        return [("mask", mask.reshape(shape[:mask_dims]))]
    items = [random_item(rng, n) for n in shape[: rng.randint(0, len(shape))]]
    if rng.random() < 0.3:
        position = rng.randint(0, len(items))
        taken = len(shape) - len(items)
        items = [
            *items[:position],
            ("ellipsis", Ellipsis),
            *(random_item(rng, n) for n in shape[position + taken :][: len(items) - position]),
        ]
    while rng.random() < 0.25 and len(items) < 4:
        items.insert(rng.randint(0, len(items)), ("none", None))
    return items


def as_key(module, items):
    made = []
    for kind, value in items:
        if kind in ("indices", "mask"):
            value = module.tensor(value)
        elif kind == "list":
            value = value.tolist()
        made.append(value)
    return made[0] if len(made) == 1 and not isinstance(made[0], list) else tuple(made)


def result_of(action):
    """What it returns, or the type of what it raises."""
    try:
        return action(), None
    except (IndexError, RuntimeError, ValueError, TypeError) as error:
        return None, type(error)


def alike(ours, theirs, what) -> None:
    if ours is None:  # a gradient: none, where nothing of the tensor is left, is the same as zeros
        assert not theirs.numpy().any(), what
        return
    got, want = ours.detach().numpy(), theirs.detach().numpy()
    assert got.shape == want.shape, what
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12, err_msg=str(what))


@pytest.mark.parametrize("seed", range(8))
def test_reading_by_index(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(60):
        shape = tuple(rng.choice([0, 1, 2, 3, 4, 4, 5]) for _ in range(rng.randint(0, 4)))
        values = np.random.default_rng(rng.randrange(10**6)).standard_normal(shape)
        items = random_index(rng, shape)
        x, y = (m.tensor(values, requires_grad=True) for m in (mg, torch))
        mine, error = result_of(lambda x=x, i=items: x[as_key(mg, i)])
        theirs, expected = result_of(lambda y=y, i=items: y[as_key(torch, i)])
        what = (shape, items)
        assert (error is None) == (expected is None), (what, error, expected)
        if error is not None:
            assert issubclass(error, expected), (what, error, expected)
            continue
        alike(mine, theirs, what)
        (mine * mine).sum().backward()
        (theirs * theirs).sum().backward()
        alike(x.grad, y.grad, what)


@pytest.mark.parametrize("seed", range(8))
def test_writing_by_index(seed: int) -> None:
    rng = random.Random(100 + seed)
    for _ in range(60):
        shape = tuple(rng.choice([1, 2, 3, 4, 5]) for _ in range(rng.randint(0, 3)))
        numbers = np.random.default_rng(rng.randrange(10**6))
        values = numbers.standard_normal(shape)
        items = random_index(rng, shape)
        try:
            inner = torch.tensor(values)[as_key(torch, items)].shape
        except IndexError:
            inner = ()
        inner = tuple(inner)[rng.randint(0, len(inner)) :]
        # One value only, so that it does not matter which of two writes to a place is the last.
        new = np.full(inner, numbers.standard_normal())
        pairs = []
        for m in (mg, torch):
            x, v = m.tensor(values, requires_grad=True), m.tensor(new, requires_grad=True)

            def write(m=m, x=x, v=v, items=items):
                z = x * 2
                z[as_key(m, items)] = v
                (z * z).sum().backward()
                return z

            pairs.append((x, v, *result_of(write)))
        (x, v, z, error), (x2, v2, z2, expected) = pairs
        what = (shape, items, inner)
        assert (error is None) == (expected is None), (what, error, expected)
        if error is None:
            alike(z, z2, what)
            alike(x.grad, x2.grad, what)
            assert v2.grad is not None
            # Where a place is written twice, torch counts the gradient of both values.
            unique = all(kind not in ("indices", "list") for kind, _ in items)
            if unique:
                alike(v.grad, v2.grad, what)


VIEWS = [
    lambda t, r: t.t() if t.dim() == 2 else t.unsqueeze(0),
    lambda t, r: t.transpose(0, -1) if t.dim() else t,
    lambda t, r: t[r.randrange(t.shape[0])] if t.dim() and t.shape[0] else t,
    lambda t, r: t[r.randint(0, 1) :: r.randint(1, 2)] if t.dim() else t,
    lambda t, r: t.unsqueeze(r.randint(0, t.dim())) if t.dim() < 4 else t.squeeze(),
    lambda t, r: t.reshape(-1),
    lambda t, r: t.narrow(-1, 0, max(1, t.shape[-1] // 2)) if t.dim() and t.shape[-1] else t,
    lambda t, r: t.flatten(),
]
WRITES = [
    lambda t, r: t.mul_(1.5),
    lambda t, r: t.add_(t.detach().clone()),
    lambda t, r: t.mul_(t.clone().sin()),
    lambda t, r: t.exp_().clamp_(max=3.0),
    lambda t, r: t.neg_(),
    lambda t, r: t.copy_(t.clone().tanh()),
]
# torch's results keep the strides of transposed operands, ours are contiguous: .contiguous() makes
# the next reshape the same thing in both, a view or a copy, and nothing here saves its result.
PLAIN = [
    lambda t, r: (t * 0.7).contiguous(),
    lambda t, r: (t.sigmoid() * 0.9).contiguous(),
    lambda t, r: t.clone().contiguous(),
    lambda t, r: (t + t.sum() * 0.1).contiguous(),
]


@pytest.mark.parametrize("seed", range(60))
def test_programs_of_views_and_writes(seed: int) -> None:
    """A pool of tensors, some of them views of others; random steps view, read and write them."""
    results = []
    for m in (mg, torch):
        rng = random.Random(seed)
        values = np.random.default_rng(seed).standard_normal((3, 4)) * 0.5
        x = m.tensor(values, requires_grad=True)
        pool = [x * 1]
        failed = None
        try:
            for _ in range(rng.randint(4, 14)):
                source = pool[rng.randrange(len(pool))]
                step = rng.choice([VIEWS, VIEWS, WRITES, PLAIN])
                made = rng.choice(step)(source, rng)
                if step is not WRITES and made.numel():
                    pool.append(made)
            total = sum((t * t).sum() for t in pool)
            total.backward()
        except RuntimeError as error:
            assert "modified by an inplace operation" in str(error)
            failed = "modified"
        results.append((failed, pool, x.grad))
    (failed, pool, gradient), (expected, torch_pool, torch_gradient) = results
    assert failed == expected
    assert len(pool) == len(torch_pool)
    for mine, theirs in zip(pool, torch_pool, strict=True):
        alike(mine, theirs, seed)
    if failed is None:
        alike(gradient, torch_gradient, seed)
