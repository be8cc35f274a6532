"""Writing without ever losing or tearing what was there: temporary name, then rename."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from smartrec.core.errors import OutputError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path``: what is there when the block ends well takes the place of ``path``.

    Where the block raises, what was written under the temporary name vanishes, be it a file or a folder.

    Args:
        path: The file or new folder to come; the folder around it is made where it is missing.

    Raises:
        OutputError: The folder cannot be written, or ``path`` is a folder already.
    """
    ensure_folder(path.parent)
    if path.is_dir():
        raise OutputError(f"{path} is a folder; choose another name for the file")
    # Not by tempfile: its files can be read by their owner alone, and would stay so under their last name.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_write(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file beside ``path`` that replaces it when the block ends well, else vanishes.

    Args:
        path: The file; its folder is made where it is missing.
        mode: "w" for text in UTF-8, "wb" for bytes.

    Raises:
        OutputError: The folder cannot be written, or ``path`` is a folder.
    """
    encoding = None if "b" in mode else "utf-8"
    with atomic_path(path) as temporary, temporary.open(mode.replace("w", "x"), encoding=encoding) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def cache_folder() -> Path:
    """Return ``$SMARTREC_CACHE``, or ``smartrec`` in the user's cache folder."""
    own = os.environ.get("SMARTREC_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smartrec"


def ensure_folder(folder: Path) -> Path:
    """Make ``folder`` and check that it can be written, so that nothing is computed in vain.

    Raises:
        OutputError: It is a file, or cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (FileExistsError, NotADirectoryError):
        raise OutputError(f"{folder} is a file, or lies under one; choose a folder to write to") from None
    except OSError as error:
        raise OutputError(f"cannot write to folder {folder} ({error.strerror}); choose another") from None
    return folder
