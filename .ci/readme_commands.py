#!/usr/bin/env python3
"""Prints a command of the README: readme_commands.py README.md NAME

The command is the code block that follows the line `<!-- ci: NAME -->`, so that what CI runs and
what the README tells people to run cannot drift apart.
"""

import re
import sys
from pathlib import Path


def find_command(text: str, name: str) -> str:
    """The body of the first code block after the marker; LookupError where there is none."""
    pattern = rf"^<!-- ci: {re.escape(name)} -->\s*\n```[a-z]*\n(.*?)^```\s*$"
    match = re.search(pattern, text, re.MULTILINE | re.DOTALL)
    if match is None or not match[1].strip():
        raise LookupError(f"no code block after '<!-- ci: {name} -->'")
    return match[1].strip()


if __name__ == "__main__":
    readme, marker = sys.argv[1:]
    try:
        print(find_command(Path(readme).read_text(encoding="utf-8"), marker))
    except LookupError as error:
        sys.exit(f"{readme}: {error}")
