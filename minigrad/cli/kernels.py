"""list, test, benchmark and show the compiled kernels

For people who write kernels. PATTERN is a part of a name, as of unary.exp, or a shell pattern.
"""

from __future__ import annotations

import argparse
from typing import Any

from .. import kernels as core
from ..kernel_tools import listing
from .errors import CommandError

NAME = "kernels"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the actions of `minigrad kernels` and their arguments."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for function, summary in (
        (_list, "every compiled kernel: dtypes, instruction sets, files"),
        (_test, "compare kernels with a float64 reference"),
    ):
        action = actions.add_parser(function.__name__[1:], help=summary, description=summary)
        action.add_argument("pattern", nargs="?", metavar="PATTERN", help="only these kernels")
        action.set_defaults(action=function)
        if function is not _list:
            _add_machine(action)


def _add_machine(action: argparse.ArgumentParser) -> None:
    action.add_argument("--isa", choices=[*core.available_isas(), "all"], help="instruction set")
    action.add_argument("--threads", type=int, metavar="N", help="threads that a kernel may use")


def run(options: argparse.Namespace) -> None:
    """Runs the action; instruction set and threads are as before afterwards."""
    threads, isa = core.get_num_threads(), core.isa()
    try:
        if getattr(options, "threads", None) is not None:
            if options.threads < 1:
                raise CommandError(f"--threads {options.threads}: expected a number of at least 1")
            core.set_num_threads(options.threads)
        options.action(options)
    finally:
        core.set_num_threads(threads)
        core.set_isa(isa)


def _chosen(pattern: str | None) -> list[listing.Kernel]:
    found = listing.kernels(pattern)
    if not found:
        raise CommandError(f"no kernel fits {pattern!r}: see `minigrad kernels list`")
    return found


def print_table(rows: list[list[Any]], header: list[str], right: str = "") -> None:
    """Rows in columns; those of the header's names in `right` stand to the right."""
    texts = [header, *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in texts) for i in range(len(header))]
    for row in texts:
        cells = [
            cell.rjust(width) if name in right.split() else cell.ljust(width)
            for cell, width, name in zip(row, widths, header, strict=True)
        ]
        print("  ".join(cells).rstrip())


def _list(options: argparse.Namespace) -> None:
    rows = [
        [
            each.name,
            " ".join(each.dtypes),
            " ".join(each.isas) or "any",
            " ".join(each.files),
        ]
        for each in _chosen(options.pattern)
    ]
    print_table(rows, ["kernel", "dtypes", "instruction sets", "files in csrc"])


def _test(options: argparse.Namespace) -> None:
    from ..kernel_tools.checks import run_case
    from ..kernel_tools.families import CASES

    isas = core.available_isas() if options.isa == "all" else [options.isa or core.isa()]
    rows: list[list[Any]] = []
    failed = 0
    for kernel in _chosen(options.pattern):
        case = CASES.get(kernel.name)
        if case is None:
            rows.append([kernel.name, "", "", "", "", "", "no case"])
            failed += 1
            continue
        for isa in isas:
            for outcome in run_case(case, kernel, isa):
                failed += not outcome.passed
                note = outcome.failure or ("" if outcome.passed else f"at {outcome.worst}")
                verdict = "" if outcome.passed else "FAILED "
                rows.append(
                    [
                        outcome.name,
                        outcome.dtype,
                        outcome.isa,
                        outcome.trials,
                        f"{outcome.error:.2f}",
                        f"{outcome.limit:g}",
                        verdict + note,
                    ]
                )
    print_table(
        rows,
        ["kernel", "dtype", "instructions", "trials", "ulp", "limit", ""],
        "trials ulp limit",
    )
    if failed:
        raise CommandError(f"{failed} of {len(rows)} failed", 1)
    print(f"{len(rows)} passed")
