"""HDF5 files: written whole or not at all, and opened once in each process that reads them."""

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from smartrec.core.arrays import Array
from smartrec.core.errors import DataError
from smartrec.core.optional import optional
from smartrec.data.static_files import new_file, readable


def hdf5() -> Any:
    """Return the package h5py.

    Raises:
        MissingExtra: It is not installed.
    """
    return optional("h5py", "hdf5", "reading and writing HDF5")


class Stream(io.FileIO):
    """What HDF5 writes to. It never fails: HDF5 would try again at the end of the process, and crash it.

    Attributes:
        failure: What went wrong first; from then on nothing is written.
    """

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of it."""
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while self.failure is None and len(left):
                left = left[super().write(left) :]
        except OSError as error:
            self.failure = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the length."""
        try:
            return super().truncate(size) if self.failure is None else 0
        except OSError as error:
            self.failure = error
            return 0

    def require(self) -> None:
        """Raise what went wrong."""
        if self.failure is not None:
            raise self.failure


class HDF5Writer:
    """A new file under way.

    Attributes:
        file: What h5py has open, to make data sets in.
    """

    def __init__(self, file: Any, stream: Stream) -> None:
        self.file, self._stream = file, stream

    def put(self, column: str, rows: slice, values: Array) -> None:
        """Write rows of a data set.

        Raises:
            OSError: The disk is full, or failed.
        """
        self.file[column][rows] = values
        self._stream.require()


@contextmanager
def new_hdf5(path: Path, size: int) -> Iterator[HDF5Writer]:
    """Give a file to write that becomes ``path`` when the block ends well, else vanishes.

    Args:
        path: What is to come; nothing may be there yet.
        size: Bytes that it will take at least.

    Raises:
        OutputError: Something is there, the disk has not room enough, or it fills up on the way; nothing is kept.
        MissingExtra: h5py is not installed.
    """
    h5py = hdf5()
    with new_file(path, size) as temporary, Stream(temporary, "x+b") as stream:
        with h5py.File(stream, "w") as file:
            yield HDF5Writer(file, stream)
        stream.require()


class HDF5File:
    """Columns of a file. Each process opens it anew, so that it may go to the workers of a ``DataLoader``.

    Args:
        path: The file.
        columns: What it must hold, each with the same number of rows.

    Raises:
        DataNotFound: It is not there.
        DataError: It is damaged, or a column is missing or of another length.
        MissingExtra: h5py is not installed.
    """

    def __init__(self, path: Path, columns: Iterable[str]) -> None:
        hdf5()
        self.path, self._process = path, -1
        self._file: Any = None
        with readable(path, "HDF5"):
            file = self._open()
            for name in columns:
                if name not in file or not hasattr(file[name], "shape"):
                    raise DataError(f"{path} has no data set {name!r}; it holds {', '.join(file) or 'nothing'}")
            self.shapes: dict[str, tuple[int, ...]] = {name: tuple(file[name].shape) for name in columns}
            self.attributes = dict(file.attrs)
        lengths = {name: shape[0] if shape else 0 for name, shape in self.shapes.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"{path} has columns of different lengths, {lengths}; write it again")

    def read(self, column: str, rows: Array | slice) -> Array:
        """Return rows of a column: a slice, or different numbers that rise.

        Raises:
            DataError: The file is damaged there.
        """
        with readable(self.path, "HDF5"):
            found: Array = self._open()[column][rows]
            return found

    def close(self) -> None:
        """Close it; the next read opens it again."""
        if self._file is not None and self._process == os.getpid():
            self._file.close()
        self._file = None

    def _open(self) -> Any:
        # A handle that a fork has copied shares its place in the file with the parent's.
        if self._file is None or self._process != os.getpid():
            self._file, self._process = hdf5().File(self.path, "r"), os.getpid()
        return self._file

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_file": None}
