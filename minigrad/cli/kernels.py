"""list, test, benchmark and show the compiled kernels

For people who write kernels. PATTERN is a part of a name, as of unary.exp, or a shell pattern.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from .. import kernels as core
from ..kernel_tools import listing
from .errors import CommandError
from .plot import HOW_TO_INSTALL, available

NAME = "kernels"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the actions of `minigrad kernels` and their arguments."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for function, summary, arguments in (
        (_list, "every compiled kernel: dtypes, instruction sets, files", None),
        (_test, "compare kernels with a float64 reference", _add_machine),
        (_bench, "time kernels beside NumPy, torch and the limits of the machine", _add_bench),
        (_show, "the source and the machine code of one kernel", _add_show),
    ):
        action = actions.add_parser(function.__name__[1:], help=summary, description=summary)
        if function is _show:
            action.add_argument("pattern", metavar="NAME", help="of the kernel, as in the list")
        else:
            action.add_argument("pattern", nargs="?", metavar="PATTERN", help="only these kernels")
        action.set_defaults(action=function)
        if arguments is not None:
            arguments(action)


def _add_machine(action: argparse.ArgumentParser) -> None:
    action.add_argument("--isa", choices=[*core.available_isas(), "all"], help="instruction set")
    action.add_argument("--threads", type=int, metavar="N", help="threads that a kernel may use")


def _add_bench(action: argparse.ArgumentParser) -> None:
    action.add_argument("--peers", default="numpy", metavar="NAMES", help="numpy, torch, none")
    action.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    action.add_argument("--size", help="only sizes that begin with this: 64Ki, 1Mi, 512x")
    action.add_argument("--isa", choices=core.available_isas(), help="instruction set")
    action.add_argument("--threads", type=int, metavar="N", help="threads that a kernel may use")
    action.add_argument("--seconds", type=float, default=0.1, help="for each line (%(default)s)")
    action.add_argument("--json", action="store_true", help="as JSON")
    action.add_argument("--plot", metavar="FILE", help="write a roofline picture")


def _add_show(action: argparse.ArgumentParser) -> None:
    action.add_argument("--dtype", default="float32", help="(%(default)s)")
    action.add_argument("--isa", choices=core.available_isas(), help="instruction set")
    action.add_argument("--brief", action="store_true", help="count instructions and spills only")


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


def print_table(rows: list[list[Any]], header: list[str], right: Sequence[str] = ()) -> None:
    """Rows in columns; those of the header's names in `right` stand to the right."""
    texts = [header, *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in texts) for i in range(len(header))]
    for row in texts:
        cells = [
            cell.rjust(width) if name in right else cell.ljust(width)
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
    failed = untested = 0
    for kernel in _chosen(options.pattern):
        case = CASES.get(kernel.name)
        if case is None:
            rows.append([kernel.name, "", "", "", "", "", "no case here: see tests/kernels"])
            untested += 1
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
        ["trials", "ulp", "limit"],
    )
    if failed:
        raise CommandError(f"{failed} of {len(rows)} failed", 1)
    if untested == len(rows):
        raise CommandError("none of these kernels has a case", 1)
    print(f"{len(rows) - untested} passed")


def _bench(options: argparse.Namespace) -> None:
    from ..compiler.limits import Limits
    from ..info import info
    from ..kernel_tools import bench

    if options.plot and not available():
        raise CommandError(HOW_TO_INSTALL)
    _chosen(options.pattern)
    core.set_isa(options.isa or core.isa())
    try:
        peers = [name for name in options.peers.split(",") if name not in ("", "none")]
        modules = bench.peer_modules(peers)
    except ValueError as error:
        raise CommandError(str(error)) from error
    limits = Limits(0.3)
    chosen = options.pattern, options.dtype, limits, modules, options.size, options.seconds
    found = list(bench.measurements(*chosen))
    if not found:
        raise CommandError("none of these kernels has a workload of that size")
    if options.json:
        machine = info() | {"limits": bench.limits_as_json(limits)}
        print(json.dumps({"machine": machine, "results": [each.as_json() for each in found]}))
    else:
        _print_measurements(found, list(modules), str(limits))
    if options.plot:
        bench.plot(options.plot, found, limits)
        print(f"wrote {options.plot}", file=sys.stderr if options.json else sys.stdout)


def _print_measurements(found: list[Any], peers: list[str], limits: str) -> None:
    rows = []
    for each in found:
        ratios = [each.ratio(peer) for peer in peers]
        rows.append(
            [
                *(each.name, each.label, f"{each.own * 1e6:.1f}"),
                f"{each.flops / each.own / 1e9:.1f}",
                f"{each.bytes / each.own / 1e9:.1f}",
                f"{100 * each.share:.0f}",
                *("" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
            ]
        )
    numbers = ["us", "GFLOP/s", "GB/s", "% limit", *peers]
    print_table(rows, ["kernel", "size", *numbers], numbers)
    first = found[0]
    print(f"{first.dtype}, {first.isa}, {first.threads} threads; {limits}")
    if peers:
        print("a ratio above 1: the peer takes longer; medians, measured in turns")


def _show(options: argparse.Namespace) -> None:
    from ..kernel_tools import machine_code

    core.set_isa(options.isa or core.isa())
    chosen = _chosen(options.pattern)
    exact = [each for each in chosen if each.name == options.pattern]
    if not exact and len(chosen) > 1:
        some = ", ".join(each.name for each in chosen[:8])
        raise CommandError(f"{options.pattern!r} names {len(chosen)} kernels: {some}, ...")
    kernel = (exact or chosen)[0]
    if options.dtype not in kernel.dtypes:
        dtypes = ", ".join(kernel.dtypes)
        raise CommandError(f"{kernel.name} does not compute in {options.dtype}, but in {dtypes}")
    print(f"{kernel.name}: {', '.join(kernel.dtypes)}; in csrc: {', '.join(kernel.files)}")
    if not options.brief:
        _print_sources(machine_code.sources(kernel))
    if not kernel.loops:
        print("\nIt has no loops of its own for each instruction set.")
    for loop in kernel.loops:
        try:
            code = machine_code.code_of(loop, options.dtype)
        except machine_code.UnavailableError as error:
            print(f"\n{loop.name}: no machine code: {error}")
            continue
        vectors, others = code.spills()
        print(
            f"\n{loop.name}, {options.dtype}, {core.isa()}: {code.bytes} bytes, "
            f"{code.instructions} instructions; stores to the stack: {vectors} of vector "
            f"registers, {others} of others"
        )
        if not options.brief:
            print("\n".join(code.lines))


def _print_sources(found: list[tuple[str, int, str]]) -> None:
    if not found:
        print(
            "\nThe sources are not here: they are a part of the checkout, not of an installation."
        )
    for file, line, text in found:
        print(f"\n---- csrc/{file}:{line}\n{text}")
