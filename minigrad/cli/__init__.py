"""The command `minigrad`: train and predict on the digits, tools for kernels, facts.

Exit status: 0 done, 1 failed on the way, 2 wrong arguments or an unusable file, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from .errors import CommandError


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line; --help shows the rest."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())} (see {self.prog} --help)\n")


def make_parser() -> argparse.ArgumentParser:
    """The commands and their arguments."""
    # Imported here, inside main's try: Ctrl-C during the import of the library ends it cleanly too.
    from . import kernels, predict, show, train

    parser = Parser(prog="minigrad", description="Small neural networks on the CPU.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (train, predict, kernels, show):
        summary = (module.__doc__ or "").splitlines()[0]
        command = commands.add_parser(module.NAME, help=summary, description=summary)
        module.add_arguments(command)
        command.set_defaults(run=module.run, prog=command.prog)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command, with ``sys.argv[1:]`` if `arguments` is None; returns the exit status."""
    prog = "minigrad"
    try:
        options = make_parser().parse_args(arguments)
        prog = options.prog
        options.run(options)
        sys.stdout.flush()  # so that a closed pipe is noticed here
    except CommandError as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print(f"\n{prog}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output went away, as in `minigrad info | head -1`. What Python would
        # still flush at exit must not raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0
