"""Every example runs in its quick setting, and leaves the pictures that it says it wrote."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path):
    # The examples do not say where the package is: they use the one that these tests use.
    packages = os.pathsep.join(each for each in ("", *sys.path) if each)
    command = [sys.executable, str(path), "--quick"]
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": packages, "MPLBACKEND": "Agg"},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout
    for name in re.findall(r"wrote (\S+\.png)", result.stdout):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
