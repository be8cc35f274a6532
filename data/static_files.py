"""Large files of frames: written whole or not at all, and every fault of a file said in plain words."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smartrec.core.errors import DataError, DataNotFound, OutputError
from smartrec.core.files import atomic_path, ensure_folder


@contextmanager
def new_file(path: Path, size: int) -> Iterator[Path]:
    """Give a temporary name beside ``path``, which becomes the file or folder ``path`` when the block ends well.

    Args:
        path: What is to come; nothing may be there yet.
        size: Bytes that it will take at least.

    Raises:
        OutputError: Something is there, the disk has not room enough, or it fills up on the way; nothing is kept.
    """
    if path.exists():
        raise OutputError(f"{path} is there already; remove it, or choose another name")
    free = shutil.disk_usage(ensure_folder(path.parent)).free
    if size > free:
        raise OutputError(
            f"{path} would take {_in_words(size)}, and {_in_words(free)} are free; choose another disk, a part of the "
            "log, or the compact layout, which is made dense while it is read"
        )
    try:
        with atomic_path(path) as temporary:
            yield temporary
            if temporary.is_file():
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:  # HDF5 also raises the latter, where it closes a file on a full disk
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"cannot write {path}, and kept nothing of it ({error}); make room, and try again") from None


@contextmanager
def readable(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever goes wrong while ``path`` is read into an error that names it.

    Raises:
        DataNotFound: There is no such file.
        DataError: It is damaged, cut short, or of another kind.
    """
    if not path.is_file():
        raise DataNotFound(f"{path} is not there; check the path, relative to {Path.cwd()}")
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is no sound {kind} file ({error}): damaged or cut short; write it again") from None


def _in_words(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"
