"""Files from the network: complete and with the right checksum, or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

CHUNK_BYTES = 1 << 16
TIMEOUT_SECONDS = 30.0
# Larger than any file that is known here; nothing fills a disk without end.
MAXIMUM_BYTES = 1 << 30

NETWORK_ERRORS = (OSError, ValueError)  # urllib's errors are OSErrors; ValueError: no such protocol


def md5_of(path: Path) -> str:
    """The MD5 of a file. It tells damage, not malice; nothing that is read is executed."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def download(urls: Iterable[str], path: Path, md5: str) -> None:
    """Fetches a file from the first of its addresses that gives it whole.

    It is written beside its place and moved there when its checksum is right. A file in its place
    with the right checksum is left alone. RuntimeError, with what each address said, where none
    gave it; then nothing is left behind.
    """
    if path.is_file() and md5_of(path) == md5:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for url in urls:
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.part")
        try:
            _fetch(url, temporary, md5)
            os.replace(temporary, path)
            return
        except NETWORK_ERRORS as error:
            failures.append(f"{url}: {error}")
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
    raise RuntimeError(
        f"could not download {path.name}:\n  " + "\n  ".join(failures) + "\nPut the file into "
        f"{path.parent} by hand, or try again"
    )


def _fetch(url: str, target: Path, md5: str) -> None:
    if not url.startswith(("https://", "http://")):
        raise ValueError("only http and https are supported")
    digest = hashlib.md5(usedforsecurity=False)
    received = 0
    request = urllib.request.Request(url, headers={"User-Agent": "minigrad"})
    with (
        urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response,
        open(target, "xb") as file,
    ):
        announced = response.headers.get("Content-Length")
        expected = int(announced) if announced and announced.isdigit() else None
        with _progress(target.name.lstrip(".").split(".gz")[0], expected) as advance:
            while chunk := response.read(CHUNK_BYTES):
                received += len(chunk)
                if received > MAXIMUM_BYTES:
                    raise OSError(f"the file has more than {MAXIMUM_BYTES} bytes")
                digest.update(chunk)
                file.write(chunk)
                advance(len(chunk))
        file.flush()
        os.fsync(file.fileno())
    if expected is not None and received != expected:
        raise OSError(f"the connection ended after {received} of {expected} bytes")
    if digest.hexdigest() != md5:
        raise OSError(f"the MD5 is {digest.hexdigest()} instead of {md5}: not the known file")


@contextlib.contextmanager
def _progress(name: str, total: int | None) -> Iterator[Any]:
    """A function to report bytes to: tqdm's bar, where it is installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield lambda count: None
        return
    with tqdm(total=total, desc=name, unit="B", unit_scale=True, leave=False, delay=0.5) as bar:
        yield bar.update
