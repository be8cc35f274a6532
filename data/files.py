"""Where text is read from: a file of a folder, or a member of a zip that nobody has to unpack."""

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from smartrec.core.errors import DataError, DataNotFound
from smartrec.data.archives import read_tar


@dataclass(frozen=True)
class Source:
    """One text file.

    Attributes:
        path: The file, or the archive that holds it.
        member: Its full name inside the archive.
        content: What it holds, where it has been read already.
    """

    path: Path
    member: str | None = None
    content: bytes | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}/{self.member}"

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open it for reading bytes.

        Raises:
            DataNotFound: It is not there.
            DataError: It cannot be read, or the zip turns out damaged, here or while it is read.
        """
        if self.content is not None:
            yield io.BytesIO(self.content)
        elif self.member is None:
            with _readable(self.path), self.path.open("rb") as stream:
                yield stream
        else:
            with (
                _readable(self.path),
                zipfile.ZipFile(self.path) as archive,
                archive.open(self.member) as stream,
            ):
                yield stream


def files_in(where: Path) -> dict[str, Source]:
    """Return base name -> file, for a folder or a zip; of two with one name, the one nearer to the root.

    Raises:
        DataNotFound: There is nothing at ``where``.
        DataError: It is neither a folder nor a sound zip.
    """
    if where.is_dir():
        return {path.name: Source(path) for path in sorted(where.iterdir()) if path.is_file()}
    with _readable(where), zipfile.ZipFile(where) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
    deepest_first = sorted(names, key=lambda name: (-name.count("/"), name))
    return {PurePosixPath(name).name: Source(where, name) for name in deepest_first}


def pick(files: Mapping[str, Source], where: Path, *names: str) -> list[Source]:
    """Return the files of ``names``, in that order.

    Raises:
        DataError: One is not there.
    """
    for name in names:
        if name not in files:
            found = ", ".join(sorted(files)[:12]) or "nothing"
            raise DataError(
                f"{where} has no file {name}; needed: {', '.join(names)}; found: {found}. "
                "Fetch the data set again, whole."
            )
    return [files[name] for name in names]


def files_at(where: Path, *names: str) -> list[Source]:
    """Return the files whose paths end in ``names``, in that order, from a folder, a zip or a tar archive.

    Args:
        where: The folder itself has to hold the names; in an archive they may lie deeper.
        names: Relative paths, for example ``"random/all/all.csv"``.

    Raises:
        DataNotFound: There is nothing at ``where``.
        DataError: A file is not there, or the archive is damaged or holds what could do harm.
    """
    if where.is_dir():
        found = {name: Source(where / name) for name in names if (where / name).is_file()}
    elif ".tar" in where.name or where.suffix == ".tgz":
        with _readable(where), where.open("rb"):
            contents = read_tar(where, list(names))
        # A packed tar can only be read from its start, so what is wanted is kept from the one pass.
        found = {name: Source(where, name, content) for name, content in contents.items()}
    else:
        with _readable(where), zipfile.ZipFile(where) as archive:
            members = sorted(archive.namelist(), key=len, reverse=True)
        found = {
            name: Source(where, member) for name in names for member in members if f"/{member}".endswith(f"/{name}")
        }
    for name in names:
        if name not in found:
            raise DataError(f"{where} has no {name}; needed: {', '.join(names)}. Fetch the data set again, whole.")
    return [found[name] for name in names]


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path} is no sound zip ({error}): damaged, truncated or encrypted; fetch it again") from None
    except FileNotFoundError:
        raise DataNotFound(f"{path} is not there; check the path, or fetch the data set again") from None
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror or error}); check the file and its rights") from None
