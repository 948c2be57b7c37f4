"""Makes `names.csv.gz` from the two lists of first names of the census of 1990.

    python -m minigrad.datasets.make_names dist.female.first dist.male.first

The lists are as the United States Census Bureau publishes them: name, percent of the people of that
sex, cumulative percent, rank. NAMES.md tells more. The result has the columns name (in lower case),
sex and percent, and the same bytes for the same lists (and zlib).
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

TARGET = Path(__file__).with_name("names.csv.gz")


def make(female: str, male: str) -> str:
    """The table, from the contents of the two lists."""
    lines = ["name,sex,percent"]
    for sex, content in (("female", female), ("male", male)):
        for line in content.splitlines():
            name, percent, *_ = line.split()
            lines.append(f"{name.lower()},{sex},{float(percent):.3f}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(description="Makes names.csv.gz from the census's lists.")
    parser.add_argument("female", type=Path, help="dist.female.first")
    parser.add_argument("male", type=Path, help="dist.male.first")
    options = parser.parse_args()
    content = make(options.female.read_text(), options.male.read_text())
    TARGET.write_bytes(gzip.compress(content.encode(), 9, mtime=0))
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
