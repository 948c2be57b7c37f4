"""The DataLoader with worker processes: the same batches, no hangs, nothing left behind."""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from data_helpers import Plain, Stream, make_dataset, rows

import minigrad as mg
from minigrad import nn
from minigrad.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    get_worker_info,
    parallel,
)

CONTEXTS = ("fork", "spawn", "forkserver")


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    """No worker process and no open file outlives its loader."""
    gc.collect()
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    yield
    gc.collect()
    names = [child.name for child in multiprocessing.active_children()]
    assert not [name for name in names if "DataLoader" in name]
    if before:
        grown = len(os.listdir("/proc/self/fd")) - before
        assert grown <= 4  # a fork server and its resource tracker stay for the next time


class Many(Dataset):
    """Samples of many kinds."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return {
            "tensor": mg.full((2, 3), float(index)),
            "strided": mg.arange(12).reshape(3, 4).t()[1:] + index,
            "empty": mg.ones(0, 3),
            "bool": mg.tensor([index % 2 == 0]),
            "array": np.full((2, 2), index, np.int32),
            "number": index / 2,
            "text": f"sample {index}",
            "large": mg.full((300, 300), float(index)),
        }


def plain(value):
    """A batch as nested lists."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, mg.Tensor):
        return str(value.dtype), tuple(value.shape), value.tolist()
    return value


@pytest.mark.parametrize("context", CONTEXTS)
def test_batches_arrive_as_they_are(context):
    expected = [plain(batch) for batch in DataLoader(Many(), 5)]
    loader = DataLoader(Many(), 5, num_workers=2, multiprocessing_context=context)
    assert [plain(batch) for batch in loader] == expected and len(iter(loader)) == 3


@pytest.mark.parametrize("make", [make_dataset, Plain, lambda n: Subset(make_dataset(n), range(n))])
def test_a_seed_gives_the_same_batches_for_any_number_of_workers(make):
    dataset = make(23)
    seen = []
    for workers in (0, 1, 2):
        for options in ({}, {"prefetch_factor": 5}) if workers else ({},):
            mg.manual_seed(7)
            loader = DataLoader(dataset, 4, shuffle=True, num_workers=workers, **options)
            own = mg.Generator().manual_seed(1)
            other = DataLoader(dataset, 4, True, num_workers=workers, generator=own)
            seen.append((rows(loader), rows(loader), mg.rand(1).item(), rows(other), rows(other)))
    assert all(each == seen[0] for each in seen) and seen[0][0] != seen[0][1]


def test_options():
    dataset = Plain()
    for options in (
        {"batch_size": 4, "drop_last": True},
        {"batch_size": None},
        {"batch_sampler": [[1, 2], [], [5]], "collate_fn": len},
        {"sampler": [3, 1, 2], "batch_size": 2},
        {"batch_size": 3, "collate_fn": str},
        {"batch_size": 100, "prefetch_factor": 0},
    ):
        without = {key: value for key, value in options.items() if key != "prefetch_factor"}
        expected = [repr(batch) for batch in DataLoader(dataset, **without)]
        assert [repr(batch) for batch in DataLoader(dataset, num_workers=2, **options)] == expected
    assert list(DataLoader(Subset(dataset, []), 2, num_workers=1)) == []


# ---- streams ----


class Shared(IterableDataset):
    """0, 1, 2, ..., divided among the workers unevenly: worker 0 has more of them."""

    def __init__(self, count):
        self.count = count

    def __iter__(self):
        worker = get_worker_info()
        if worker is None:
            return iter(range(self.count))
        return iter(range(20)) if worker.id == 0 else iter(range(100, 100 + self.count))


def test_streams():
    batches = [batch.tolist() for batch in DataLoader(Stream(5), 2, num_workers=2)]
    assert batches == [[0, 1], [0, 1], [2, 3], [2, 3], [4], [4]]
    batches = [b.tolist() for b in DataLoader(Stream(5), 2, num_workers=2, drop_last=True)]
    assert batches == [[0, 1], [0, 1], [2, 3], [2, 3]]
    assert list(DataLoader(Stream(3), None, num_workers=1)) == [0, 1, 2]
    for prefetch in (1, 2, 7):
        loader = DataLoader(Shared(5), 4, num_workers=2, prefetch_factor=prefetch,
                            persistent_workers=True)  # fmt: skip
        for _ in range(2):
            found = [batch.tolist() for batch in loader]
            assert sorted(value for batch in found for value in batch) == [
                *range(20), *range(100, 105)
            ]  # fmt: skip
            assert found[:4] == [[0, 1, 2, 3], [100, 101, 102, 103], [4, 5, 6, 7], [104]]
    assert list(DataLoader(Stream(0), 2, num_workers=2)) == []


# ---- what a worker is ----


class Facts(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        info = get_worker_info()
        numbers = (mg.rand(1).item(), random.random(), float(np.random.rand()))
        return info.id, info.num_workers, info.seed, os.getpid(), numbers, type(info.dataset)


def facts(**options):
    loader = DataLoader(Facts(), None, num_workers=2, collate_fn=list, **options)
    return list(loader)


def test_workers_know_who_they_are_and_have_seeds_of_their_own():
    assert get_worker_info() is None
    runs = []
    for _ in range(2):
        mg.manual_seed(3)
        runs.append(facts())
    first = runs[0]
    assert [each[0] for each in first] == [0, 1] * 4 and {each[1] for each in first} == {2}
    assert first[1][2] == first[0][2] + 1 and first[0][5] is Facts
    assert os.getpid() not in {each[3] for each in first}
    for kind in range(3):
        drawn = [each[4][kind] for each in first]
        assert len(set(drawn)) == 8  # over both workers
        assert drawn == [each[4][kind] for each in runs[1]]
    mg.manual_seed(4)
    assert facts()[0][4] != first[0][4]


def test_persistent_workers_stay():
    def processes(loader):
        return {each[3] for each in loader}

    loader = DataLoader(Facts(), None, num_workers=2, collate_fn=list, persistent_workers=True)
    first = processes(loader)
    iterator = iter(loader)
    next(iterator)  # left in the middle: the rest of its batches are dropped
    assert processes(loader) == first and len(first) == 2
    assert [each[0] for each in loader] == [0, 1] * 4
    del loader, iterator
    other = DataLoader(Facts(), None, num_workers=2, collate_fn=list)
    assert processes(other) != processes(other)


def note_worker(worker):
    random.seed(100 + worker)


def test_worker_init_fn():
    for context in ("fork", "spawn"):
        found = facts(worker_init_fn=note_worker, multiprocessing_context=context)
        assert found[0][4][1] == random.Random(100).random()
        assert found[1][4][1] == random.Random(101).random()


def many_threads(worker):
    mg.set_num_threads(2)


class Product(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        x = mg.arange(300 * 300).reshape(300, 300).float().fmod(7)
        for _ in range(5):
            x = (x @ x).fmod(7)
        return mg.get_num_threads(), x


def test_threads_compute_in_a_forked_worker():
    threads = mg.get_num_threads()
    try:
        mg.set_num_threads(2)
        expected = Product()[0][1]
        for init, count in ((None, 1), (many_threads, 2)):
            loader = DataLoader(Product(), None, num_workers=2, worker_init_fn=init,
                                multiprocessing_context="fork")  # fmt: skip
            for used, product in loader:
                assert (product == expected).all() and used == min(count, mg.get_num_threads())
    finally:
        mg.set_num_threads(threads)


# ---- failures ----


class AwkwardError(Exception):
    def __init__(self, first, second):
        super().__init__(first, second)


class Failing(Dataset):
    def __init__(self, error, count=6, at=2):
        self.error, self.count, self.at = error, count, at

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index == self.at:
            raise self.error
        return index


def test_an_exception_is_raised_here_and_the_others_go_on():
    class LocalError(Exception):
        pass

    for error, kind in (
        (ValueError("number two"), ValueError),
        (KeyError("number two"), KeyError),
        (OSError("number two"), OSError),
        (EOFError("number two"), EOFError),
        (ConnectionResetError("number two"), ConnectionResetError),
        (StopIteration("number two"), RuntimeError),
        (AwkwardError("number two", 2), RuntimeError),
        (LocalError("number two"), RuntimeError),
    ):
        iterator = iter(DataLoader(Failing(error), None, num_workers=2))
        assert [next(iterator), next(iterator)] == [0, 1]
        with pytest.raises(kind) as caught:
            next(iterator)
        text = str(caught.value)
        name = type(error).__name__
        assert text.startswith(f"Caught {name} in DataLoader worker process 0.\nOriginal Traceback")
        assert "number two" in text and "raise self.error" in text
        assert list(iterator) == [3, 4, 5]


def fail_to_start(worker):
    raise ValueError(f"no start of {worker}")


def test_failures_elsewhere():
    loader = DataLoader(Plain(), 2, num_workers=2, worker_init_fn=fail_to_start)
    with pytest.raises(ValueError, match="no start of 0"):
        next(iter(loader))
    with pytest.raises(TypeError, match="batch must contain tensors"):
        list(DataLoader([object()], num_workers=1))
    with pytest.raises(Exception, match=r"(?s)in DataLoader worker process 0.*lambda"):
        list(DataLoader([lambda: 0], None, num_workers=1))
    computed = [nn.Parameter(mg.ones(2)) * 2]
    with pytest.raises(RuntimeError, match="Only leaf tensors"):
        list(DataLoader(computed, None, num_workers=1))
    (leaf,) = DataLoader([nn.Parameter(mg.ones(2))], None, num_workers=1)
    assert type(leaf) is nn.Parameter and leaf.requires_grad

    class Local(Dataset):
        def __len__(self):
            return 1

    with pytest.raises(Exception, match="Local"):
        iter(DataLoader(Local(), num_workers=2, multiprocessing_context="spawn"))


class Dying(Dataset):
    def __init__(self, how):
        self.how = how

    def __len__(self):
        return 40

    def __getitem__(self, index):
        if index == 11:
            time.sleep(0.05)
            {"exit": lambda: os._exit(3), "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
             "sys.exit": lambda: sys.exit(4)}[self.how]()  # fmt: skip
        return mg.full((100_000,), float(index))


@pytest.mark.parametrize("context", ["fork", "spawn"])
@pytest.mark.parametrize(
    ("how", "text"),
    [("exit", "with exit code 3"), ("kill", "by signal SIGKILL"), ("sys.exit", "with exit code 4")],
)
def test_a_worker_that_dies_raises(how, text, context):
    began = time.monotonic()
    loader = DataLoader(Dying(how), 2, num_workers=2, persistent_workers=True,
                        multiprocessing_context=context)  # fmt: skip
    for _ in range(2):  # new workers for the next iteration
        received = []
        with pytest.raises(RuntimeError, match=rf"worker 1 \(pid.*exited unexpectedly, {text}"):
            for batch in loader:
                received.append(batch[0, 0].item())
        assert received == [0, 2, 4, 6, 8]
    assert time.monotonic() - began < 20


def test_a_worker_that_is_killed_while_idle():
    iterator = iter(DataLoader(Plain(100), 1, num_workers=2))
    next(iterator)
    victim = iterator._pool.workers[1].process
    os.kill(victim.pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="SIGKILL"):
        list(iterator)
    assert list(iterator) == []


class Slow(Dataset):
    def __init__(self, seconds, at=1):
        self.seconds, self.at = seconds, at

    def __len__(self):
        return 6

    def __getitem__(self, index):
        if index == self.at:
            time.sleep(self.seconds)
        return index


def test_timeout():
    began = time.monotonic()
    iterator = iter(DataLoader(Slow(30), None, num_workers=2, timeout=0.3))
    assert next(iterator) == 0
    with pytest.raises(RuntimeError, match=r"DataLoader timed out after 0\.3 seconds"):
        next(iterator)
    assert time.monotonic() - began < 10
    assert list(DataLoader(Slow(0.1), None, num_workers=2, timeout=20)) == list(range(6))


def test_order_of_arrival():
    loader = DataLoader(Slow(0.5, at=0), None, num_workers=2, in_order=False)
    found = list(loader)
    assert sorted(found) == list(range(6)) and found[0] == 1 and found.index(0) > 2
    streams = [b.tolist() for b in DataLoader(Stream(5), 2, num_workers=2, in_order=False)]
    assert sorted(streams) == [[0, 1], [0, 1], [2, 3], [2, 3], [4], [4]]


# ---- the end ----


def test_large_tasks_and_large_batches_do_not_wait_for_each_other():
    """Indices beyond what a socket takes at once, one way, and batches the other."""
    count = 400_000
    loader = DataLoader(make_dataset(count), count // 8, shuffle=True, num_workers=2,
                        prefetch_factor=4)  # fmt: skip
    found = mg.stack([batch[1] for batch in loader]).flatten()
    assert sorted(found.tolist()) == list(range(count))


def test_leaving_in_the_middle(monkeypatch):
    monkeypatch.setattr(parallel, "GRACE_SECONDS", 0.3)
    for dataset in (Plain(1000), Slow(60, at=4)):
        began = time.monotonic()
        for _ in DataLoader(dataset, 1, num_workers=2):
            break
        gc.collect()
        assert time.monotonic() - began < 10
        assert not multiprocessing.active_children() or all(
            "DataLoader" not in each.name for each in multiprocessing.active_children()
        )


def test_two_loaders_at_once():
    loaders = [DataLoader(Plain(30), 4, num_workers=2) for _ in range(2)]
    pairs = list(zip(*loaders, strict=True))
    assert [x[1].tolist() for x, _ in pairs] == [y[1].tolist() for _, y in pairs]
    nested = [[a[1].tolist() for a in loaders[0]] for _ in loaders[1]]
    assert all(each == nested[0] for each in nested)


PROGRAM = """
    import os, signal, sys, time
    from minigrad.utils.data import DataLoader, Dataset

    class Endless(Dataset):
        def __len__(self):
            return 100

        def __getitem__(self, index):
            if index > 3:
                os.write(1, f"busy {os.getpid()}\\n".encode())
                time.sleep(300)
            return index

    if __name__ == "__main__":
        loader = DataLoader(Endless(), None, num_workers=2, multiprocessing_context=sys.argv[1])
        iterator = iter(loader)
        next(iterator)
        pids = [str(worker.process.pid) for worker in iterator._pool.workers]
        os.write(1, f"pids {' '.join(pids)}\\n".encode())  # one write: a line stays whole
        list(iterator)
"""


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for processes in /proc")
@pytest.mark.parametrize("context", ["fork", "spawn"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_program(tmp_path, how, context):
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(PROGRAM))
    process = subprocess.Popen([sys.executable, str(path), context], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               start_new_session=True)  # fmt: skip
    lines = [process.stdout.readline() for _ in range(3)]  # both workers are busy
    (pids,) = [line.split()[1:] for line in lines if line.startswith("pids")]
    if how is signal.SIGINT:  # as a terminal sends it: to all processes
        os.killpg(process.pid, how)
    else:
        process.send_signal(how)
    _, errors = process.communicate(timeout=20)
    assert process.returncode != 0
    if how is signal.SIGINT:
        assert errors.count("KeyboardInterrupt") == 1
    deadline = time.monotonic() + 10
    while any(is_alive(int(pid)) for pid in pids):
        assert time.monotonic() < deadline, "the workers outlive the program"
        time.sleep(0.05)


BUFFER = mg.zeros(100_000)


def fill_buffer(samples):
    """A collation that writes every batch into the same memory."""
    return BUFFER.fill_(float(samples[0]))


def test_batches_in_memory_that_is_used_again():
    loader = DataLoader(range(20), 1, num_workers=2, prefetch_factor=5, collate_fn=fill_buffer)
    for number, batch in enumerate(loader):
        time.sleep(0.002)  # the workers are far ahead
        assert (batch == number).all() and batch.shape == (100_000,)
