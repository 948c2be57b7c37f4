"""Builds the C core: csrc/ compiled as the extension module `minigrad._core`.

cffi reads the declarations from csrc/api.h, the very text that the C sources include. Used by
setup.py (`cffi_modules`) alone: it needs the checkout around it and a C compiler.
"""

from pathlib import Path

import cffi

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"

# Implemented in Python: called when C lets go of memory that it had borrowed (mg_wrap), and where a
# plan has code of the host among its launches (mg_plan_add_host).
CALLBACKS = """
extern "Python" void mg_owner_released(int64_t owner);
extern "Python" int mg_host_run(int64_t number);
"""

PRELUDE = """
#include <stdint.h>
#include "api.h"
"""


def c_sources() -> list[str]:
    """The C files, relative to the checkout, those that take longest to compile first."""
    kernels = sorted(CSRC.glob("isa/*.c"), reverse=True)
    return [str(path.relative_to(ROOT)) for path in kernels + sorted(CSRC.glob("*.c"))]


builder = cffi.FFI()
builder.cdef((CSRC / "api.h").read_text(encoding="utf-8") + CALLBACKS)
builder.set_source(
    "minigrad._core",
    PRELUDE,
    sources=c_sources(),
    include_dirs=["csrc"],
    depends=[str(path.relative_to(ROOT)) for path in sorted(CSRC.rglob("*.[hd]*"))],
    libraries=["m"],
)
