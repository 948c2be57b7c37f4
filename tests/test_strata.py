"""Imports go one way. The order of the strata stands here, the lowest first."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import minigrad

ROOT = Path(minigrad.__file__).parent

# A module may import from its own stratum and from lower ones. What is not named is an error: a new
# module has a place in the order.
STRATA = (
    {"_core", "_version", "files"},
    {"kernels"},
    {"dtypes"},
    {"array"},
    {"tensor", "autograd", "printing"},
    {"ops"},
    {"random", "creation"},
    {"functional"},
    {"nn", "optim", "utils", "serialization", "vision", "datasets", "training", "info"},
    {"func", "regularizers"},
    {"compiler"},
    {"kernel_tools"},
    {"cli"},
)
LEVEL = {name: level for level, names in enumerate(STRATA) for name in names}
OUTSIDE = {"_build", "__main__", "__init__"}  # the build script, the entry point, the namespace


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        yield path, path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path):
    """(line, stratum name) of every import of our own modules, also of those inside functions.
    Imports for type checking only do not count."""
    tree = ast.parse(path.read_text(), str(path))
    package = ("minigrad", *path.relative_to(ROOT).parts[:-1])
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            targets = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            full = [*base, *(node.module.split(".") if node.module else [])]
            targets = [[*full, alias.name] for alias in node.names]
        else:
            continue
        for target in targets:
            if target[0] == "minigrad" and len(target) > 1:
                yield node.lineno, target[1]


def test_every_module_has_a_stratum():
    unknown = {name for _, name in modules()} - set(LEVEL) - OUTSIDE
    assert not unknown, f"add {sorted(unknown)} to STRATA"


@pytest.mark.parametrize(
    "path,name",
    [m for m in modules() if m[1] not in OUTSIDE],
    ids=lambda value: str(value.relative_to(ROOT)) if isinstance(value, Path) else "",
)
def test_imports_go_down(path, name):
    for line, target in imports(path):
        if target not in LEVEL:
            continue  # a name of the top module (minigrad.tensor the function, say) is not a module
        assert LEVEL[target] <= LEVEL[name], (
            f"{path.relative_to(ROOT.parent)}:{line}: {name} imports {target} of a higher stratum"
        )


def test_only_kernels_imports_the_core():
    for path, name in modules():
        for line, target in imports(path):
            assert target != "_core" or name in ("kernels", "_build"), f"{path}:{line}"


# What may be used of NumPy where tensors are computed: its types, to recognise what comes from
# outside, and the ways in. linspace: numbers become a tensor, no tensor is computed with.
INTERCHANGE = {"ndarray", "generic", "array", "asarray", "from_dlpack", "dtype"}
INTERCHANGE |= {"bool_", "uint8", "int64", "float64", "linspace"}


def test_numpy_does_no_arithmetic():
    for path, name in modules():
        if name not in ("ops", "functional", "nn", "optim"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                used = node.attr if node.value.id in ("np", "numpy") else None
                assert used is None or used in INTERCHANGE, f"{path}:{node.lineno}: np.{used}"


def test_one_file_owns_openmp():
    csrc = ROOT.parent / "csrc"
    if not csrc.exists():
        pytest.skip("the C sources are not part of an installation")
    sources = [p for p in csrc.rglob("*") if p.suffix in (".c", ".h", ".def")]
    assert [p.name for p in sources if "omp.h" in p.read_text()] == ["threads.c"]
    assert {p.name for p in sources if "pragma omp" in p.read_text()} <= {"threads.c"}


def test_the_core_knows_nothing_of_gradients_beyond_kernels():
    """csrc includes nothing of Python."""
    csrc = ROOT.parent / "csrc"
    if not csrc.exists():
        pytest.skip("the C sources are not part of an installation")
    for path in csrc.rglob("*.[ch]"):
        assert "Python.h" not in path.read_text(), path
