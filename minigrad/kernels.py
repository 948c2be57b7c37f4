"""The one door from Python to C.

Everything that computes is a C entry of ``csrc/api.h``, called through the wrappers here. An
*array* is an owning ``mg_array *`` handle: when Python drops the last reference, C gets its memory
back. A wrapper adds nothing but ownership of the result and the exception for an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn

try:
    from ._core import ffi, lib
except ImportError as error:
    raise ImportError(
        "minigrad's C core is not built. In the checkout run: pip install -e . "
        f"(the import of minigrad._core failed: {error})"
    ) from error

Array = Any  # an owning handle, cffi's ``mg_array *``

NULL = ffi.NULL
_HANDLES = ffi.typeof("mg_array *[]")
owning = ffi.gc
release = lib.mg_release


class RecordingError(RuntimeError):
    """Something that a plan cannot repeat was done while it was being recorded."""


_EXCEPTIONS: dict[int, type[Exception]] = {
    lib.MG_RUNTIME_ERROR: RuntimeError,
    lib.MG_INDEX_ERROR: IndexError,
    lib.MG_TYPE_ERROR: TypeError,
    lib.MG_VALUE_ERROR: ValueError,
    lib.MG_MEMORY_ERROR: MemoryError,
    lib.MG_NOT_IMPLEMENTED_ERROR: NotImplementedError,
    lib.MG_RECORDING_ERROR: RecordingError,
}

if lib.mg_set_isa(NULL):
    raise ImportError(ffi.string(lib.mg_last_error_message()).decode())


def fail() -> NoReturn:
    """Raises this thread's last error of C as the Python exception that it stands for."""
    kind = _EXCEPTIONS.get(lib.mg_last_error_kind(), RuntimeError)
    raise kind(ffi.string(lib.mg_last_error_message()).decode())


def own(handle: Any) -> Array:
    """The handle as an owning array; raises where C returned NULL."""
    return owning(handle or fail(), release)


def check(status: int) -> None:
    """Raises where C returned an error status."""
    if status:
        fail()


def _find(find: Any, name: str) -> int:
    index = find(name.encode())
    if index < 0:
        raise ImportError(f"the C core has no kernel named {name!r}: rebuild it (pip install -e .)")
    return index


def find_unary(name: str) -> int:
    """The number of a unary expression of ``csrc/elementwise.def``."""
    return _find(lib.mg_find_unary, name)


def find_binary(name: str) -> int:
    """The number of a binary expression of ``csrc/elementwise.def``."""
    return _find(lib.mg_find_binary, name)


def find_fused(name: str) -> int:
    """The number of an expression of ``csrc/fused.def``."""
    return _find(lib.mg_find_fused, name)


def find_reduction(name: str) -> int:
    """The number of a reduction."""
    return _find(lib.mg_find_reduction, name)


def find_optimizer(name: str) -> int:
    """The number of a form of step of ``csrc/optimizer.def``."""
    return _find(lib.mg_find_optimizer, name)


unary_entry = lib.mg_unary
binary_entry = lib.mg_binary
fused_entry = lib.mg_fused
fused_sum_entry = lib.mg_fused_sum
_reduce = lib.mg_reduce
_scalar_float = lib.mg_scalar_float
_matmul = lib.mg_matmul


def unary(op: int, a: Array, out: Array = NULL) -> Array:
    return owning(unary_entry(op, a, out) or fail(), release)


def binary(op: int, a: Array, b: Array, out: Array = NULL) -> Array:
    return owning(binary_entry(op, a, b, out) or fail(), release)


def reduce(op: int, a: Array, dims: int, keepdim: bool) -> Array:
    return owning(_reduce(op, a, dims, keepdim) or fail(), release)


def matmul(a: Array, b: Array, bias: Array, transpose_a: bool, transpose_b: bool) -> Array:
    return owning(_matmul(a, b, bias, transpose_a, transpose_b) or fail(), release)


def scalar(value: bool | int | float) -> Array:
    """A Python number as a weak 0-d array: it does not widen the dtype of a tensor it meets."""
    if type(value) is float:
        return owning(_scalar_float(value) or fail(), release)
    if isinstance(value, bool):
        return own(lib.mg_scalar_bool(value))
    if isinstance(value, int):
        try:
            return own(lib.mg_scalar_int(value))
        except OverflowError:
            raise RuntimeError("value cannot be converted to type int64 without overflow") from None
    return own(lib.mg_scalar_float(value))


def pointers(arrays: Sequence[Array | None]) -> Any:
    """A C array of handles, NULL for None. It does not own them: keep ``arrays`` alive."""
    return ffi.new(_HANDLES, [NULL if array is None else array for array in arrays])


def several(count: int) -> Any:
    """Room for the handles that an entry with several outputs returns."""
    return ffi.new(_HANDLES, count)


class Plan:
    """Launches recorded in the order in which they ran, to be run again by one call into C."""

    def __init__(self, handle: Any) -> None:
        self.handle = ffi.gc(handle, lib.mg_plan_release)

    def __len__(self) -> int:
        return lib.mg_plan_length(self.handle)

    def kernels(self) -> list[str]:
        """The kernel of each launch, by name."""
        return [ffi.string(lib.mg_plan_kernel(self.handle, i)).decode() for i in range(len(self))]

    def arrays(self, index: int) -> tuple[list[Array | None], list[Array | None]]:
        """The results and the operands of a launch, None where an optional one is missing. The
        handles are borrowed: they live as long as the plan."""
        outputs = ffi.new("int *")
        count = lib.mg_plan_array_count(self.handle, index, outputs)
        found = [lib.mg_plan_array(self.handle, index, each) or None for each in range(count)]
        return found[: outputs[0]], found[outputs[0] :]

    def replay(self) -> None:
        """Runs every launch again on the same memory."""
        check(lib.mg_plan_replay(self.handle))

    def poison(self) -> None:
        """Fills the memory that its results share with NaN, which a replay must not notice."""
        lib.mg_plan_poison(self.handle)

    def bytes(self) -> tuple[int, int]:
        """The memory that only the plan uses, and how much of it is in use at the same time."""
        held, peak = ffi.new("int64_t *"), ffi.new("int64_t *")
        lib.mg_plan_bytes(self.handle, held, peak)
        return held[0], peak[0]


@contextmanager
def record() -> Iterator[Plan]:
    """Runs its block as usual and notes every launch of this thread in the plan that it yields."""
    plan = Plan(lib.mg_plan_begin() or fail())
    try:
        yield plan
    finally:
        check(lib.mg_plan_end(plan.handle))


def __getattr__(name: str) -> Any:
    """`compile` is in a higher stratum, which a program that does not use it never imports."""
    if name == "compile":
        return import_module("minigrad.kernel_tools.custom").compile
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def isa() -> str:
    """The instruction set in use: baseline, avx2, avx512 or neon."""
    return ffi.string(lib.mg_isa_name()).decode()


def available_isas() -> list[str]:
    """The compiled instruction sets that this processor has, the baseline first."""
    return [
        ffi.string(lib.mg_isa_name_at(i)).decode()
        for i in range(lib.mg_isa_count())
        if lib.mg_isa_supported(i)
    ]


def set_isa(name: str | None) -> None:
    """Uses the instruction set of that name from now on; None means the best one."""
    check(lib.mg_set_isa(NULL if name is None else name.encode()))


def get_num_threads() -> int:
    """The number of threads that a kernel may use."""
    return lib.mg_get_num_threads()


def set_num_threads(count: int) -> None:
    """Sets the number of threads that a kernel may use; results do not depend on it."""
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"set_num_threads expects an int, but got {type(count).__name__}")
    check(lib.mg_set_num_threads(count))


def memory_statistics() -> dict[str, int]:
    """Bytes of the array pool: live, cached for reuse, and the most that ever were live at once."""
    values = [ffi.new("int64_t *") for _ in range(3)]
    lib.mg_pool_statistics(*values)
    return {"live": values[0][0], "cached": values[1][0], "peak": values[2][0]}


def empty_cache() -> None:
    """Gives the memory that the pool caches back to the system."""
    lib.mg_pool_trim()
