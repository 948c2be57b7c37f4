"""The classic program runs on minigrad and, with its one import exchanged, on torch."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

PROGRAM = Path(__file__).parents[2] / "examples" / "classic_torch.py"


@pytest.mark.parametrize("library", ["minigrad as torch", "torch"])
def test_same_program(library, tmp_path):
    source = PROGRAM.read_text()
    assert source.count("\nimport minigrad as torch\n") == 1
    path = tmp_path / "program.py"
    path.write_text(source.replace("import minigrad as torch", f"import {library}"))
    command = [sys.executable, str(path), "--quick"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "classifies as before" in result.stdout
    accuracy = float(re.findall(r"test ([0-9.]+)%", result.stdout)[-1])
    assert accuracy > 90
