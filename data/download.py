"""Downloads over HTTP that go on where they were cut off, by the standard library alone."""

import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from smartrec.core.errors import DataError, DataNotFound, InvalidInput, OutputError

T = TypeVar("T")

TRIES = 5
"""Failures in a row, without a single new byte, after which a download is given up."""

FIRST_PAUSE = 1.0
"""Seconds before the second try; each further pause is twice as long."""

TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as lost."""

MOST_BYTES = 2 << 30
"""The longest download; the largest MovieLens archive has 0.27 GB."""

_CHUNK = 1 << 14
_AGAIN = {408, 425, 429, 500, 502, 503, 504}
"""HTTP codes that may pass."""


class _Cut(OSError):
    """The connection ended before all was there."""


def require_http(url: str) -> None:
    """Raise unless ``url`` can be fetched over HTTP: urllib would open files of this machine just as well.

    Raises:
        InvalidInput: Another scheme.
    """
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port)
    except ValueError:
        sound = False  # a port that is no number, or half an IPv6 address
    if not sound or re.search(r"\s", url):
        raise InvalidInput(f"url = {url!r}; allowed: an address like https://host/folder/ml-1m.zip, without spaces")


def read_small(url: str) -> str | None:
    """Return the text at ``url``, at most 4 kB of it; None where the server has no such page.

    Raises:
        DataNotFound: The server cannot be reached.
    """

    def attempt() -> str | None:
        try:
            with _open(url) as response:
                return response.read(4096).decode("ascii", "replace")
        except HTTPError as error:
            if error.code in (403, 404, 410):
                return None
            raise

    return _retried(url, attempt)


def download(url: str, part: Path) -> None:
    """Fetch ``url`` into ``part``, beginning after the bytes that are there already.

    Cut off or interrupted, what has arrived stays in ``part``, and the next call goes on from there.

    Raises:
        DataNotFound: The server cannot be reached, or does not have it.
        DataError: It is longer than any data set.
        OutputError: ``part`` cannot be written, or the disk has too little room.
    """
    with _writable(part) as file, _bar(part.stem) as show:
        _retried(url, lambda: _go_on(url, file, part, show), file.tell)


def _go_on(url: str, file: IO[bytes], part: Path, show: Callable[[int, int | None], None]) -> None:
    start = file.seek(0, os.SEEK_END)
    try:
        response = _open(url, start)
    except HTTPError as error:
        if error.code != 416 or not start:
            raise
        # Nothing is left to send: all is here already, or what is here is not of this file.
        if _number(r"\*/(\d+)", error.headers.get("Content-Range")) == start:
            return
        file.truncate(0)
        raise _Cut("what had been fetched before does not fit what the server has") from None
    with response:
        if response.status != 206 or _number(r"bytes (\d+)-", response.headers.get("Content-Range")) != start:
            start = file.seek(0)
            file.truncate()
        if response.status == 206 and not start:
            raise _Cut("the server sent another range than it was asked for")
        length = _number(r"(\d+)$", response.headers.get("Content-Length"))
        total = None if length is None else start + length
        _require_room(url, part, start, total)
        show(start, total)
        while chunk := response.read(_CHUNK):
            _write(file, chunk, part)
            if file.tell() > MOST_BYTES:
                raise _too_long(url, file.tell())
            show(file.tell(), total)
    if total is not None and file.tell() < total:
        raise _Cut(f"the connection ended after {file.tell():,} of the {total:,} bytes that the server announced")


def _open(url: str, start: int = 0) -> HTTPResponse:
    from smartrec.version import __version__

    headers = {"User-Agent": f"smartrec/{__version__}"}
    if start:
        headers["Range"] = f"bytes={start}-"
    # The scheme was looked at by require_http; redirects to files of this machine are refused by urllib itself.
    response: HTTPResponse = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    return response


def _retried(url: str, attempt: Callable[[], T], position: Callable[[], int] = lambda: 0) -> T:
    """Return what ``attempt`` returns; after TRIES failures that brought ``position`` no further, give up."""
    furthest, failures = position(), 0
    while True:
        try:
            return attempt()
        except HTTPError as error:
            error.close()
            if error.code not in _AGAIN:
                raise DataNotFound(
                    f"{url} cannot be had: HTTP {error.code} ({error.reason}); check the address, or give another url"
                ) from None
            trouble = f"HTTP {error.code} ({error.reason})"
        except OutputError:
            raise  # an OSError, but not one of the connection
        except URLError as error:
            trouble = str(error.reason)
        except (OSError, HTTPException) as error:
            trouble = str(error) or type(error).__name__
        if position() > furthest:
            furthest, failures = position(), 0
        failures += 1
        if failures == TRIES:
            raise DataNotFound(
                f"cannot fetch {url}: {trouble}; tried {TRIES} times. Check the connection; the same call goes on "
                "from what has arrived"
            )
        time.sleep(FIRST_PAUSE * 2 ** (failures - 1))


@contextmanager
def _writable(part: Path) -> Iterator[IO[bytes]]:
    try:
        file = part.open("r+b" if part.exists() else "x+b")
    except OSError as error:
        raise OutputError(f"cannot write {part} ({error.strerror}); choose another folder") from None
    with file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _write(file: IO[bytes], chunk: bytes, part: Path) -> None:
    try:
        file.write(chunk)
    except OSError as error:
        raise OutputError(f"cannot write {part} ({error.strerror}); make room or choose another folder") from None


def _require_room(url: str, part: Path, start: int, total: int | None) -> None:
    if total is None:
        return
    if total > MOST_BYTES:
        raise _too_long(url, total)
    free = shutil.disk_usage(part.parent).free
    if total - start > free:
        raise OutputError(
            f"{part} needs {total - start:,} more bytes, and the disk has {free:,}; choose another folder"
        )


def _too_long(url: str, size: int) -> DataError:
    return DataError(f"{url} has {size:,} bytes or more; allowed: {MOST_BYTES:,}. Check the address")


def _number(pattern: str, header: str | None) -> int | None:
    found = re.search(pattern, header or "")
    return int(found[1]) if found else None


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Yield a function that is told how many bytes are there, of how many: a bar on a terminal, silent in a log."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
