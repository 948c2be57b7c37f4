"""Errors that end a command with one line on standard error."""

from __future__ import annotations


class CommandError(Exception):
    """The command cannot go on; `status` is its exit status: 2 for what the caller gave, else 1."""

    def __init__(self, message: str, status: int = 2) -> None:
        super().__init__(" ".join(str(message).split()))
        self.status = status
