"""print version, processor, instruction set, threads, compiler and dtypes

The facts that a bug report should hold.
"""

from __future__ import annotations

import argparse
import json

from ..info import format_info, info

NAME = "info"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `minigrad info`."""
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: argparse.Namespace) -> None:
    """Prints the facts."""
    print(json.dumps(info(), indent=2) if options.json else format_info())
