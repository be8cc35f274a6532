"""Archives from elsewhere: looked through before anything is believed, and never unpacked to disk."""

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smartrec.core.errors import DataError

MOST_BYTES = 8 << 30
"""The most that an archive may unpack to; the largest MovieLens takes about 1 GB."""

MOST_RATIO = 100
"""The most times its own size that an archive may unpack to; tables of numbers stay below 10."""

SMALL = 1 << 20
"""Whatever unpacks to less does no harm, however well it was packed."""

MOST_MEMBERS = 10_000
_BLOCK = 1 << 20
_REMEDY = "Do not unpack it; fetch it from its publisher."


def check_zip(path: Path, origin: str) -> None:
    """Look a zip through: names, links, sizes as declared, then every byte with its checksum.

    Args:
        path: The file.
        origin: Where it came from, for the messages.

    Raises:
        DataError: It is damaged, or holds what could do harm.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MOST_MEMBERS:
                raise _refused(origin, f"it has {len(members):,} members; allowed: {MOST_MEMBERS:,}")
            for member in members:
                check_member(origin, member.orig_filename, stat.S_ISLNK(member.external_attr >> 16))
            declared = sum(member.file_size for member in members)
            check_size(origin, declared, path.stat().st_size)
            for member in members:
                _read_through(archive, member, origin)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(
            f"{origin} is no sound zip ({error}): damaged, truncated or encrypted; fetch it again"
        ) from None


def check_member(origin: str, name: str, special: bool) -> None:
    """Raise unless a member would lie inside the folder that an archive is unpacked to.

    Raises:
        DataError: An absolute name, one that climbs out, or no plain file or folder (``special``).
    """
    parts = name.replace("\\", "/").split("/")
    if not name or parts[0] == "" or ":" in parts[0] or ".." in parts or "\0" in name:
        raise _refused(origin, f"member {name!r} would lie outside the folder it is unpacked to")
    if special:
        raise _refused(origin, f"member {name!r} is a link or a device; allowed: files and folders")


def check_size(origin: str, unpacked: int, packed: int) -> None:
    """Raise where so many bytes cannot be honest contents of an archive of ``packed`` bytes.

    Raises:
        DataError: Too many, by themselves or for this archive.
    """
    if unpacked > MOST_BYTES:
        raise _refused(origin, f"it unpacks to {unpacked:,} bytes; allowed: {MOST_BYTES:,}")
    if unpacked > max(SMALL, MOST_RATIO * packed):
        raise _refused(origin, f"its {packed:,} bytes unpack to {unpacked:,}; allowed: {MOST_RATIO} times as many")


def read_tar(path: Path, wanted: list[str]) -> dict[str, bytes]:
    """Return the contents of some members of a tar archive, in one pass and without writing anything.

    Args:
        path: A ``.tar``, ``.tar.gz``, ``.tar.bz2`` or ``.tar.xz``.
        wanted: Ends of member names, for example ``"random/all/all.csv"``; what is not there is left out.

    Raises:
        DataError: It is damaged, or holds what could do harm.
    """
    contents: dict[str, bytes] = {}
    with _sound_tar(path) as archive:
        total, packed = 0, path.stat().st_size
        # One header after the other, so that an absurd size is refused before anything is read past it.
        for number, member in enumerate(archive):
            check_member(str(path), member.name, not (member.isfile() or member.isdir()))
            total += member.size
            check_size(str(path), total, packed)
            if number >= MOST_MEMBERS:
                raise _refused(str(path), f"it has more than {MOST_MEMBERS:,} members")
            end = next((end for end in wanted if f"/{member.name}".endswith(f"/{end}")), None)
            if end is not None and member.isfile():
                stream = archive.extractfile(member)
                contents[end] = b"" if stream is None else stream.read()
    return contents


@contextmanager
def _sound_tar(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path) as archive:
            yield archive
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError) as error:
        raise DataError(f"{path} is no sound tar archive ({error}): damaged or truncated; fetch it again") from None
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror or error}); check the file and its rights") from None


def _read_through(archive: zipfile.ZipFile, member: zipfile.ZipInfo, origin: str) -> None:
    real = 0
    with archive.open(member) as stream:
        while block := stream.read(_BLOCK):
            real += len(block)
    # zipfile stops at the declared size and then checks the sum; a member that ends before it is caught here.
    if real != member.file_size:
        raise _refused(origin, f"member {member.filename!r} has {real:,} bytes and declares {member.file_size:,}")


def _refused(origin: str, why: str) -> DataError:
    return DataError(f"{origin} is refused: {why}. {_REMEDY}")
