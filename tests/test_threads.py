"""Threads: the same bits for every number of them, and computing that goes on after fork()."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import minigrad as mg
from minigrad.info import info

THREADS = (1, 2, 3, 4)
FORK_SECONDS = 30  # a child that computes takes milliseconds; one that hangs is killed after this


def train_a_little() -> list[bytes]:
    """Forward, backward and a step of a network large enough for several threads; all its bits."""
    mg.manual_seed(3)
    net = mg.nn.Sequential(
        mg.nn.Conv2d(1, 8, 3, padding=1),
        mg.nn.BatchNorm2d(8),
        mg.nn.ReLU(),
        mg.nn.MaxPool2d(2),
        mg.nn.Flatten(),
        mg.nn.Linear(8 * 14 * 14, 67),
        mg.nn.Dropout(0.3),
        mg.nn.Linear(67, 10),
    )
    optimizer = mg.optim.Adam(net.parameters(), lr=1e-3)
    x, y = mg.randn(65, 1, 28, 28), mg.randint(0, 10, (65,))
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = mg.nn.CrossEntropyLoss()(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach().numpy().tobytes())
    return losses + [each.detach().numpy().tobytes() for each in net.state_dict().values()]


def _gradients(layer: mg.nn.Module, x: mg.Tensor) -> mg.Tensor:
    """Of input and parameters, as one vector."""
    inputs = [x.clone().requires_grad_(), *layer.parameters()]
    loss = (layer(inputs[0]) * x.flip(0)).sum()
    return mg.cat([each.flatten() for each in mg.autograd.grad(loss, inputs)])


COMPUTATIONS = {
    "sum": lambda x: x.sum(),
    "sum of rows": lambda x: x.sum(1),
    "sum of columns": lambda x: x.sum(0),
    "mean of a transpose": lambda x: x.t().mean(1),
    "argmax": lambda x: x.argmax(0),
    "exp": lambda x: x.exp(),
    "broadcast": lambda x: x * x[0] + x[:, :1],
    "matmul": lambda x: x[:257, :509] @ x.t()[:509, :301],
    "softmax": lambda x: x.softmax(0),
    "attention": lambda x: mg.nn.functional.scaled_dot_product_attention(
        *x[:960, :64].reshape(3, 8, 40, 64), is_causal=True
    ),
    "layer norm": lambda x: _gradients(mg.nn.LayerNorm(x.shape[1]), x),
    "group norm": lambda x: _gradients(mg.nn.GroupNorm(4, 8), x[:1000].reshape(125, 8, 709)),
    "indexing": lambda x: x[mg.arange(x.shape[0] - 1, -1, -1)],
}


@pytest.mark.parametrize("name", COMPUTATIONS)
def test_threads_do_not_change_bits(name):
    x = mg.randn(1013, 709)
    results = []
    for count in THREADS:
        mg.set_num_threads(count)
        results.append(COMPUTATIONS[name](x).numpy().tobytes())
    assert all(result == results[0] for result in results)


def test_threads_do_not_change_training():
    results = []
    for count in THREADS:
        mg.set_num_threads(count)
        results.append(train_a_little())
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("count", THREADS)
def test_set_num_threads(count):
    mg.set_num_threads(count)
    assert mg.get_num_threads() == (count if info()["openmp"] else 1)


@pytest.mark.parametrize("count", [0, -1, 10**6])
def test_set_num_threads_rejects(count):
    before = mg.get_num_threads()
    with pytest.raises(RuntimeError, match="set_num_threads"):
        mg.set_num_threads(count)
    assert mg.get_num_threads() == before


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    return subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=120
    )


PRINT_THREADS = "import minigrad; print(minigrad.get_num_threads())"


@pytest.mark.parametrize(("variable", "threads"), [("1", 1), ("3", 3), ("3,2", 3)])
def test_omp_num_threads(variable, threads):
    result = run_python(PRINT_THREADS, OMP_NUM_THREADS=variable)
    assert result.stdout.split() == [str(threads if info()["openmp"] else 1)], result.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs sched_setaffinity")
def test_affinity_limits_threads():
    one = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{one}]); {PRINT_THREADS}"
    assert run_python(code, OMP_NUM_THREADS="").stdout.split() == ["1"]


def fork_and_compute(expected: bytes, compute, generations: int) -> None:
    """Forks; the child computes, forks children of its own, and computes again."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert compute() == expected
            if generations > 1:
                fork_and_compute(expected, compute, generations - 1)
            assert compute() == expected
            status = 0
        finally:
            os._exit(status)
    deadline = time.monotonic() + FORK_SECONDS * generations
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0
            return
        time.sleep(0.002)
    os.kill(child, 9)
    os.waitpid(child, 0)
    pytest.fail("the child of a process that has used threads hangs")


def matrix_product() -> bytes:
    x = mg.arange(512 * 512, dtype=mg.float32).reshape(512, 512) / 512**2
    return (x @ x).numpy().tobytes()


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_fork():
    mg.set_num_threads(2)
    expected = matrix_product()
    for _ in range(10):
        fork_and_compute(expected, matrix_product, generations=3)
        assert matrix_product() == expected


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_fork_and_train():
    mg.set_num_threads(2)
    fork_and_compute(b"".join(train_a_little()), lambda: b"".join(train_a_little()), generations=2)


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_fork_while_other_threads_compute():
    mg.set_num_threads(2)
    expected = matrix_product()
    stop, results = threading.Event(), []

    def compute_until_stopped():
        while not stop.is_set():
            results.append(matrix_product() == expected)

    workers = [threading.Thread(target=compute_until_stopped) for _ in range(2)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(10):
            fork_and_compute(expected, matrix_product, generations=2)
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    assert results
    assert all(results)


def is_expected(expected: bytes) -> bool:
    return matrix_product() == expected


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_multiprocessing_fork():
    mg.set_num_threads(2)
    expected = matrix_product()
    for _ in range(3):
        with multiprocessing.get_context("fork").Pool(2) as pool:
            result = pool.map_async(is_expected, [expected] * 8)
            assert all(result.get(FORK_SECONDS))


def test_python_threads_at_once():
    mg.set_num_threads(2)
    x = mg.randn(300, 300)
    expected = (x @ x).sum(0).numpy().tobytes()
    failures = []

    def compute():
        for _ in range(20):
            if (x @ x).sum(0).numpy().tobytes() != expected:
                failures.append("other bits")

    workers = [threading.Thread(target=compute) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures


def test_unknown_instruction_set():
    result = run_python("import minigrad", MINIGRAD_ISA="abacus")
    assert result.returncode != 0
    assert "ImportError: MINIGRAD_ISA: instruction set 'abacus'" in result.stderr
    assert "choose one of" in result.stderr


def test_instruction_set_can_be_forced():
    for name in info()["instruction_sets"]:
        code = "from minigrad.info import info; print(info()['instruction_set'])"
        assert run_python(code, MINIGRAD_ISA=name).stdout.split() == [name]


def test_info_is_complete():
    facts = info()
    assert facts["version"] == mg.__version__
    assert facts["numpy"] == np.__version__
    assert facts["instruction_set"] in facts["instruction_sets"]
    assert facts["threads"] >= 1
    assert facts["processor_limit"] >= 1
    assert all(facts[name] for name in ("processor", "compiler", "python", "system"))
    assert "float64" in facts["dtypes"]
