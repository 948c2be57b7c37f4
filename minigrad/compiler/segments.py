"""Python among the launches of a plan.

The forward or backward of a user's `autograd.Function` may leave the graph: for NumPy, another
library, files. While a plan is recorded, such code is tried as it is. Where it reads a value, as
no plan can, its launches are forgotten, and it runs once more with recording paused; in its place
the plan gets a launch that calls it. A replay then runs the code again, on the memory of the plan,
and copies what it returns to where it was when recorded.

Where forward is such a segment, backward is one too: ``ctx`` may carry Python values between them.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from os import register_at_fork
from typing import Any

from ..autograd import function as functions
from ..autograd import no_grad
from ..autograd.function import FunctionContext
from ..autograd.grad_mode import state as grad_mode
from ..kernels import Plan, RecordingError, check, ffi, lib, own
from ..tensor import Tensor, wrap

_clock = lib.mg_clock()
_numbers = itertools.count(1)
_segments: weakref.WeakValueDictionary[int, Segment] = weakref.WeakValueDictionary()


class _Thread(threading.local):
    recorder: Any = None
    failure: BaseException | None = None


_thread = _Thread()


class Segment:
    """A piece of Python code in a plan."""

    def __init__(
        self,
        stage: str,
        ctx: FunctionContext,
        code: tuple[Any, tuple[Any, ...]],
        position: int,
    ) -> None:
        self.name = f"{ctx._function.__qualname__}.{stage}"
        self.position = position  # among the launches as they were recorded
        self.number = next(_numbers)  # the launch has it as its first integer
        self._ctx, self._backward = ctx, stage == "backward"
        self._function, args = code
        self._args = tuple([_bare(each) for each in args])
        self._saved = ctx._saved
        self._outputs: list[Any] = []
        _segments[self.number] = self

    def __repr__(self) -> str:
        return f"<Python segment {self.name} at launch {self.position}>"

    def note(self, results: Any, operands: list[Any]) -> list[Any]:
        """Takes these results for those of the recording; the arrays of the launch, results
        first."""
        given = {_storage(each) for each in operands}
        for each in _listed(results):
            if each is not None and not isinstance(each, Tensor):
                raise RecordingError(
                    f"{self.name} reads values and returns {type(each).__name__}, which a replay "
                    "could not follow: return tensors"
                )
            if each is not None and _storage(each._array) not in given:
                # Memory of its own: a replay writes there, and NumPy may share the other.
                each._array = own(lib.mg_cast(each._array, each._array.dtype))
            self._outputs.append(None if each is None else each._array)
        present = [e for e in self._outputs if e is not None and _storage(e) not in given]
        self._count = len(present)
        return [*present, *operands]

    def replay(self) -> None:
        """Runs the code again."""
        ctx = self._ctx
        if self._backward and ctx._saved is None:
            ctx._saved = self._saved
        ctx._stamp = _clock[0]  # the launches before have written what it saved
        with no_grad():
            results = self._function(*self._args)
        found = _listed(results)
        if len(found) != len(self._outputs):
            raise RuntimeError(f"{self.name} returned {len(found)} values, {self._expected()}")
        if not self._backward:
            outputs = [functions._own_tensor(each, self._args, ctx) for each in found]
            ctx._keep(outputs)
            ctx._stamp = _clock[0]
        for index, (each, recorded) in enumerate(zip(found, self._outputs, strict=True)):
            if (each is None) != (recorded is None):
                raise RuntimeError(f"{self.name}: value {index} is None or not, {self._expected()}")
            if recorded is None or each._array.data == recorded.data:
                continue
            if not lib.mg_same_shape(each._array, recorded) or each._array.dtype != recorded.dtype:
                raise RuntimeError(
                    f"{self.name} returned {list(each.shape)} of {each.dtype} as value {index}, "
                    + self._expected()
                )
            check(lib.mg_copy(recorded, each._array))

    def _expected(self) -> str:
        return (
            "other than when it was recorded. What its shapes depend on should be arguments of the "
            "compiled function that are no tensors"
        )


class Recorder:
    """A context that makes segments while the plan is recorded on this thread."""

    def __init__(self, plan: Plan) -> None:
        self._handle = plan.handle
        self.segments: list[Segment] = []

    def __enter__(self) -> Recorder:
        self._outer, _thread.recorder = _thread.recorder, self
        _install(1)
        return self

    def __exit__(self, *unused: Any) -> None:
        _thread.recorder = self._outer
        _install(-1)

    def run(self, stage: str, ctx: FunctionContext, function: Any, args: tuple[Any, ...]) -> Any:
        if not (stage == "backward" and getattr(ctx, "_opaque", False)):
            length = lib.mg_plan_length(self._handle)
            versions = _versions(args)
            try:
                return function(*args)
            except RecordingError:
                # What it did before must not be done twice.
                if _versions(args) != versions or self._drew(length):
                    raise
                ctx._to_save = ()
                lib.mg_plan_truncate(self._handle, length)
        return self._segment(stage, ctx, function, args)

    def _segment(self, stage: str, ctx: FunctionContext, function: Any, args: Any) -> Any:
        position = lib.mg_plan_length(self._handle)
        segment = Segment(stage, ctx, (function, args), position)
        operands = [each._array for each in args if isinstance(each, Tensor)]
        if stage == "backward":
            operands += [array for _, array in ctx._saved or () if array is not None]
        else:
            ctx.__dict__["_opaque"] = True
        check(lib.mg_plan_end(self._handle))
        try:
            results = function(*args)
            arrays = segment.note(results, operands)
        finally:
            check(lib.mg_plan_resume(self._handle))
        if grad_mode.enabled and any(e is not None and e._requires_grad for e in _listed(results)):
            raise RecordingError(
                f"{segment.name} reads values, and its results are to be differentiated again: a "
                "plan cannot repeat that. Write it in Tensor operations"
            )
        check(
            lib.mg_plan_add_host(self._handle, segment.number, segment._count, len(arrays), arrays)
        )
        self.segments.append(segment)
        return results

    def _drew(self, length: int) -> bool:
        """Whether the launches from there on have taken random numbers."""
        count = lib.mg_plan_length(self._handle)
        names = [ffi.string(lib.mg_plan_kernel(self._handle, i)) for i in range(length, count)]
        return any(name.startswith(b"random_") or name == b"dropout" for name in names)


def checked(status: int) -> None:
    """Raises the exception of a segment where there was one, else that of C."""
    failure, _thread.failure = _thread.failure, None
    if failure is not None:
        raise failure
    check(status)


@ffi.def_extern()
def mg_host_run(number: int) -> int:
    try:
        _segments[number].replay()
    except BaseException as error:  # it goes through C to the caller of the plan
        _thread.failure = error
        return -1
    return 0


lib.mg_set_host(lib.mg_host_run)


def _run(stage: str, ctx: FunctionContext, function: Any, *args: Any) -> Any:
    if _thread.recorder is None or not lib.mg_is_recording():
        return function(*args)
    return _thread.recorder.run(stage, ctx, function, args)


_installed = [0]
_lock = threading.Lock()


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


register_at_fork(after_in_child=_after_fork)


def _install(change: int) -> None:
    with _lock:
        _installed[0] += change
        functions.run = _run if _installed[0] else functions.run_directly


def _listed(results: Any) -> list[Any]:
    return list(results) if isinstance(results, (tuple, list)) else [results]


def _bare(value: Any) -> Any:
    """A tensor on the same array without a history, which would be kept alive."""
    if not isinstance(value, Tensor):
        return value
    bare = wrap(value._array)
    bare._requires_grad = value._requires_grad
    return bare


def _versions(args: tuple[Any, ...]) -> list[int]:
    return [lib.mg_version(each._array) for each in args if isinstance(each, Tensor)]


def _storage(array: Any) -> int:
    return int(ffi.cast("intptr_t", array.storage))
