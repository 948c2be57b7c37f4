"""Every example runs in its quick setting; the classic program also as a torch program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def run(path: Path) -> str:
    command = [sys.executable, str(path), "--quick"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path):
    assert run(path)


@pytest.mark.torch
def test_the_classic_program_is_a_torch_program(tmp_path):
    pytest.importorskip("torch")
    source = (Path(__file__).parents[1] / "examples" / "classic_torch.py").read_text()
    swapped = source.replace("import minigrad as torch", "import torch")
    assert swapped != source
    path = tmp_path / "classic.py"
    path.write_text(swapped)
    assert "classifies as before" in run(path)
