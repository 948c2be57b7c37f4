#!/usr/bin/env python3
"""Runs the Python code blocks of Markdown files: readme_blocks.py FILE...

Each ```python block is a program of its own, run in an empty directory. A block right after the
line `<!-- continues -->` goes on where the one before ended: both run as one program. A block of
`>>> ` lines must print what it says. Fails where a file has no block, so that a change of the
fences is noticed.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

FENCE = re.compile(
    r"^(?P<continues><!-- continues -->\s*\n)?```python\n(?P<code>.*?)^```\s*$",
    re.MULTILINE | re.DOTALL,
)
DOCTEST = "import doctest, sys; sys.exit(doctest.testfile(sys.argv[1], module_relative=False)[0])"
SECONDS = 300


def find_programs(text: str) -> list[tuple[int, str]]:
    """(line of the last block, source) of each program."""
    programs: list[tuple[int, str]] = []
    for match in FENCE.finditer(text):
        line, code = text.count("\n", 0, match.start("code")), match["code"]
        if match["continues"] and programs:
            code = programs.pop()[1] + "\n" + code
        programs.append((line, code))
    return programs


def run(code: str) -> int:
    """Runs one program, its output on ours; returns the exit status."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "block.py")
        path.write_text(code, encoding="utf-8")
        is_session = code.lstrip().startswith(">>> ")
        command = [sys.executable, *(["-c", DOCTEST] if is_session else []), str(path)]
        return subprocess.run(command, cwd=directory, timeout=SECONDS).returncode


def main(files: list[str]) -> int:
    failures = 0
    for file in files:
        programs = find_programs(Path(file).read_text(encoding="utf-8"))
        if not programs:
            print(f"{file}: no ```python block")
            failures += 1
        for line, code in programs:
            print(f"--- {file}:{line}", flush=True)
            status = run(code)
            if status:
                print(f"{file}:{line}: exit status {status}")
                failures += 1
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
