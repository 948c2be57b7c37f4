"""Writing files whole."""

from __future__ import annotations

import os
import stat
from contextlib import suppress


def replace_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes a file so that a crash at any moment leaves the old one or the new one.

    The content is written beside the file and put in its place when it is complete on disk. A link
    stays a link, and a replaced file's permissions stay; those of a new one follow the umask.
    OSError where the file could not be written in place either: a directory, a read-only file.
    """
    mode = None
    with suppress(FileNotFoundError), open(os.open(path, os.O_WRONLY), "wb") as old:
        mode = os.fstat(old.fileno()).st_mode
        if not stat.S_ISREG(mode):  # a pipe or a device: nothing to replace
            old.write(content)
            return
    path = os.path.realpath(path)
    directory, base = os.path.split(path)
    temporary = os.path.join(directory, f".{base[:100]}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with open(descriptor, "wb") as file:
            if mode is not None:
                os.fchmod(descriptor, stat.S_IMODE(mode))
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    with suppress(OSError):  # not every file system can do it for a directory
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
