"""The pages hang together: links lead somewhere, no technique is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("docs/*.md")),
    ROOT / "csrc/README.md",
    ROOT / "minigrad/ops/README.md",
]


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="only in a checkout")
@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="only in a checkout")
def test_every_technique_has_its_row():
    text = (ROOT / "docs/techniques.md").read_text(encoding="utf-8")
    rows = [int(number) for number in re.findall(r"^\| (\d+) \|", text, flags=re.MULTILINE)]
    assert rows == list(range(1, 39))
    assert "@" not in text  # no figure is missing
