"""Fetching a published data set: download, checksum, a look inside, and only then the name of data."""

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from smartrec.core.errors import DataError, OutputError, UnknownName, did_you_mean
from smartrec.core.files import ensure_folder
from smartrec.data.archives import check_zip
from smartrec.data.published import FOLDER_VARIABLE, PUBLISHED, data_roots


def fetch(name: str, folder: str | Path | None = None, url: str | None = None) -> Path:
    """Fetch the publisher's archive of a data set, so that ``load`` finds it; what is there is left alone.

    The download goes to ``NAME.zip.part``; interrupted, the same call goes on from there. It becomes
    ``NAME.zip`` once its checksum and its contents have been found right.

    Args:
        name: A name of ``PUBLISHED``.
        folder: Where to put it; None takes ``$SMARTREC_DATA``, or where that is not set the cache folder.
        url: Of a copy of the archive; None takes the publisher's.

    Returns:
        The archive, or the folder that was there already.

    Raises:
        UnknownName: No such data set.
        InvalidInput: ``url`` is no HTTP address.
        OutputError: The folder cannot be written, or another process is fetching into it.
        DataNotFound: The server cannot be reached, or does not have the file.
        DataError: What arrived has a wrong checksum, is damaged, or holds what could do harm; it is removed.
    """
    from smartrec.data.download import download, require_http

    if name not in PUBLISHED:
        raise UnknownName(f"unknown data set {name!r}. {did_you_mean(name, PUBLISHED)}")
    spec = PUBLISHED[name]
    roots = data_roots() if folder is None else [Path(folder)]
    there = spec.find(roots)
    if there is not None:
        print(f"{name} is there already: {there} (to fetch it anew, remove that)", file=sys.stderr)
        return there
    address = spec.url if url is None else url
    require_http(address)
    target = ensure_folder(roots[0]) / f"{name}.zip"
    part = target.with_name(f"{target.name}.part")
    print(f"fetching {spec.title}; its terms of use: {spec.terms}", file=sys.stderr)
    with _alone(part):
        checksum = spec.checksum or _published_checksum(address)
        download(address, part)
        _accept(part, address, checksum)
        part.replace(target)
    if target.parent not in data_roots():
        print(f"to load it by name, set {FOLDER_VARIABLE}={target.parent}", file=sys.stderr)
    return target


def _published_checksum(address: str) -> str | None:
    """Return what the ``.md5`` file beside the archive says, ``"MD5 (x.zip) = ..."`` or ``"...  x.zip"``."""
    from smartrec.data.download import read_small

    text = read_small(f"{address}.md5")
    if text is None:
        print(f"no checksum is published for {address}: its contents alone are checked", file=sys.stderr)
        return None
    found = re.search(r"\b[0-9a-fA-F]{32}\b", text)
    if found is None:
        raise DataError(f"{address}.md5 holds no MD5 checksum but {text[:60]!r}; check the address, or try again later")
    return f"md5:{found[0].lower()}"


def _accept(part: Path, address: str, checksum: str | None) -> None:
    """Raise and remove the file unless it is what it should be."""
    try:
        if checksum is not None:
            kind, _, wanted = checksum.partition(":")
            with part.open("rb") as file:
                found = hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
            if found != wanted:
                raise DataError(
                    f"{address}: the {kind.upper()} checksum of what arrived is {found}, and should be {wanted}; "
                    "it has been removed. Fetch it again; should that not help, it is not the publisher's file"
                )
        check_zip(part, address)
    except DataError:
        part.unlink()
        raise


@contextmanager
def _alone(part: Path) -> Iterator[None]:
    """Keep a second process from writing to ``part``, and leave no empty file behind."""
    try:
        file = part.open("ab")
    except OSError as error:
        raise OutputError(f"cannot write {part} ({error.strerror}); choose another folder") from None
    with file:
        _lock(file, part)
        try:
            yield
        finally:
            if part.is_file() and not part.stat().st_size:
                part.unlink()


def _lock(file: IO[bytes], part: Path) -> None:
    if sys.platform == "win32":
        file.close()  # there is no flock there, and an open file could not be renamed
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputError(f"{part} is being written by another process; wait for it, or stop it") from None
    # The other process may have finished, and renamed the file, between our opening and our lock.
    if not part.exists() or not os.path.samestat(os.fstat(file.fileno()), part.stat()):
        raise OutputError(f"another process has just fetched to {part.parent}; call again")
