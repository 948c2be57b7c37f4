"""Compiles the C core. Everything else about the package stands in pyproject.toml.

Environment variables of the build:
    CC                     the compiler (gcc and clang are tested)
    MINIGRAD_OPENMP=0      without OpenMP: everything runs on one thread
    MINIGRAD_WERROR=1      warnings of the C core are errors
    MINIGRAD_DEBUG=1       -O1 and debug symbols
    MINIGRAD_SANITIZE=...  as for -fsanitize, e.g. "address,undefined"; implies MINIGRAD_DEBUG
"""

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext

if sys.platform == "win32":
    raise SystemExit(
        "minigrad needs gcc or clang on Linux or macOS; on Windows, install it inside WSL."
    )

OPENMP_PROGRAM = r"""
#include <omp.h>
#include <stdio.h>
int main(void) {
    int threads = 0;
#pragma omp parallel num_threads(2) reduction(+ : threads)
    threads += 1;
    printf("%d\n", threads);
    return threads < 1 || omp_get_max_threads() < 1;
}
"""


def is_set(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")


def compile_flags() -> list[str]:
    """Flags of the C core.

    -fno-math-errno: sqrt and the like do not report through errno, which nobody reads, so they
    compile to one vector instruction; no result changes. -fwrapv: integers wrap around, as torch's
    do (most builds of Python pass it to extensions anyway). Neither -march=native nor -ffast-math:
    a wheel runs on every processor of its architecture, and floating point means what the source
    says.
    """
    sanitize = os.environ.get("MINIGRAD_SANITIZE", "")
    flags = ["-std=gnu11", "-fno-math-errno", "-fwrapv", "-fvisibility=hidden"]
    if sanitize:
        flags += [f"-fsanitize={sanitize}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
        # The address sanitizer finds these as well; without them the build takes half the time.
        flags += ["-fno-sanitize=null,object-size,pointer-overflow"]
    return flags + (["-O1", "-g"] if sanitize or is_set("MINIGRAD_DEBUG") else ["-O3", "-g0"])


def link_flags() -> list[str]:
    sanitize = os.environ.get("MINIGRAD_SANITIZE", "")
    if sanitize:
        return [f"-fsanitize={sanitize}"]
    if is_set("MINIGRAD_DEBUG") or sys.platform == "darwin":
        return []
    return ["-Wl,-s"]  # without the symbol table


class BuildCore(build_ext):
    """build_ext that finds out about OpenMP, and compiles on all processors what has changed."""

    def build_extension(self, ext) -> None:
        openmp = self.openmp_flags()
        ext.extra_compile_args += compile_flags() + openmp
        ext.extra_link_args += link_flags() + openmp
        self.compile_in_parallel(ext.depends)
        super().build_extension(ext)

    def compile_in_parallel(self, headers: list[str]) -> None:
        """Makes the compiler object spread its sources over threads and skip those that are done.

        Warnings are asked for in the C core alone, not in the wrapper that cffi generates.
        """
        compile_serially = self.compiler.compile
        warnings = ["-Wall", "-Wextra"]
        if is_set("MINIGRAD_WERROR"):
            warnings.append("-Werror")
        newest_header = max(os.path.getmtime(path) for path in headers)

        def compile_one(source, output_dir=None, extra_postargs=None, **options):
            flags = [*(extra_postargs or []), *(warnings if source.startswith("csrc") else [])]
            (compiled,) = self.compiler.object_filenames([source], output_dir=output_dir)
            # The command that made the object stands beside it: other flags, another object.
            command, record = repr((self.compiler.compiler_so, flags)), Path(compiled + ".command")
            newest = max(newest_header, os.path.getmtime(source))
            if not (
                os.path.exists(compiled)
                and os.path.getmtime(compiled) > newest
                and record.exists()
                and record.read_text() == command
            ):
                compile_serially([source], output_dir, extra_postargs=flags, **options)
                record.write_text(command)
            return compiled

        def compile_all(sources, **options):
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                return list(pool.map(lambda source: compile_one(source, **options), sources))

        self.compiler.compile = compile_all

    def openmp_flags(self) -> list[str]:
        """The flags that switch OpenMP on, [] where a test program does not build and run."""
        if os.environ.get("MINIGRAD_OPENMP") == "0":
            print("minigrad: OpenMP switched off (MINIGRAD_OPENMP=0); building single-threaded")
            return []
        with tempfile.TemporaryDirectory() as directory:
            source, program = Path(directory, "openmp.c"), Path(directory, "openmp")
            source.write_text(OPENMP_PROGRAM)
            command = [*self.compiler.compiler_so, "-fopenmp", str(source), "-o", str(program)]
            try:
                subprocess.run(command, check=True, capture_output=True, text=True)
                subprocess.run([str(program)], check=True, capture_output=True, text=True)
            except (OSError, subprocess.CalledProcessError) as error:
                reason = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
                print(
                    "minigrad: the compiler has no working OpenMP "
                    f"({reason[0] if reason else 'the test program failed'}); "
                    "building single-threaded"
                )
                return []
        return ["-fopenmp"]


setup(
    cffi_modules=["minigrad/_build.py:builder"],
    cmdclass={"build_ext": BuildCore},
    # One wheel for all versions of Python from 3.10 on: cffi's wrapper keeps to the limited API.
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
