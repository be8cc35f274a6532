"""The compact layout: frames as whole numbers, made dense while they are read. In HDF5 here, in Parquet beside it.

A frame of f items takes ``5 (f + 1) + 9`` bytes where ratings are small whole numbers, less when compressed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from smartrec.core.arrays import Array, FloatArray, IntArray
from smartrec.core.errors import DataError, InvalidInput
from smartrec.data.frames import Frames, Windows
from smartrec.data.static_hdf5 import HDF5File, new_hdf5
from smartrec.data.static_rows import Rows, StaticRows, dense_rows, in_slices, rating_type, vectors_of

COLUMNS = ("items", "ratings", "done", "user", "step")
N_ITEMS = "n_items"
"""What the file says of the catalogue that its numbers are of."""
CHUNK = 1000
"""Frames compressed together: the least that is read."""


def write_compact(path: str | Path, frames: Frames, compression: Literal["lzf", "gzip"] | None = "lzf") -> Path:
    """Write all frames of a log as whole numbers, in HDF5.

    The data sets are ``items`` int32 [N, f + 1], ``ratings`` [N, f + 1], int8 where all are small whole numbers, else
    float32, ``done`` bool [N], ``user`` int32 [N] and ``step`` int32 [N], as in ``Windows``; an attribute says how many
    items the catalogue has.

    Args:
        path: The file; nothing may be there yet.
        frames: The log.
        compression: "lzf" is fast, "gzip" is small and read by every HDF5 library, None is neither.

    Returns:
        The path.

    Raises:
        OutputError: Something is at ``path``, or there is no room for it; nothing is kept.
        MissingExtra: h5py is not installed.
    """
    path, chunk = Path(path), min(CHUNK, len(frames))
    with new_hdf5(path, 0 if compression else size_of(frames)) as new:
        new.file.attrs[N_ITEMS] = frames.trajectories.n_items
        for name, (width, kind) in kinds_of(frames).items():
            shape, chunks = (len(frames), *width), (chunk, *width)
            new.file.create_dataset(name, shape, kind, chunks=chunks, compression=compression, shuffle=True)
        for part, windows in in_slices(frames):
            for name in COLUMNS:
                new.put(name, part, getattr(windows, name))
    return path


def kinds_of(frames: Frames) -> dict[str, tuple[tuple[int, ...], "np.dtype[Any]"]]:
    """Return shape of a row and type of each column."""
    width, number = (frames.frame_size + 1,), np.dtype(np.int32)
    rating = rating_type(frames.trajectories.ratings)
    return dict(
        zip(COLUMNS, [(width, number), (width, rating), ((), np.dtype(bool)), *2 * [((), number)]], strict=True)
    )


def size_of(frames: Frames) -> int:
    """Return the bytes of all columns, not compressed."""
    return len(frames) * sum(int(np.prod(width)) * kind.itemsize for width, kind in kinds_of(frames).values())


class CompactRows(StaticRows):
    """Frames as whole numbers, of any file.

    Args:
        path: The file, for messages.
        shapes: Of the columns.
        attributes: Of the file.
        embeddings: float [I, d], a vector for each item; None where only ``windows`` is asked for.

    Raises:
        DataError: Columns of other shapes, or a catalogue that is not said.
        InvalidInput: Embeddings of another shape, or not finite.
    """

    def __init__(
        self, path: Path, shapes: Mapping[str, tuple[int, ...]], attributes: Mapping[Any, Any], embeddings: Any
    ) -> None:
        items = shapes["items"]
        sound = len(items) == 2 and items[1] > 1 and shapes["ratings"] == items
        if (
            not sound
            or any(shapes[name] != items[:1] for name in ("done", "user", "step"))
            or N_ITEMS not in attributes
        ):
            raise DataError(
                f"{path} holds {', '.join(f'{name} {list(shape)}' for name, shape in shapes.items())} and says "
                f"{', '.join(map(str, attributes)) or 'nothing'}; allowed: items and ratings [N, f + 1], done, user "
                f"and step [N], and {N_ITEMS}"
            )
        self._rows, self.frame_size = items[0], items[1] - 1
        self.n_items = int(attributes[N_ITEMS])
        self._vectors: FloatArray | None = None if embeddings is None else vectors_of(embeddings, self.n_items)

    def __len__(self) -> int:
        return self._rows

    def windows(self, numbers: Sequence[int] | IntArray | slice) -> Windows:
        """Return frames as numbers, exactly as ``Frames.windows`` returned them.

        Raises:
            InvalidInput: There is no such frame.
            DataError: The file is damaged there.
        """
        items, ratings, done, user, step = (self._take(name, numbers) for name in COLUMNS)
        return Windows(items, ratings.astype(np.float32), done, user.astype(np.int64), step.astype(np.int64))

    def rows(self, numbers: Sequence[int] | IntArray | slice) -> Rows:
        """Return frames in the dense form, by numbers [B] or by a slice.

        Raises:
            InvalidInput: There is no such frame, or the file was opened without embeddings.
            DataError: The file is damaged there.
        """
        if self._vectors is None:
            raise InvalidInput("dense rows need vectors; open the file with embeddings, an array [I, d]")
        return dense_rows(self.windows(numbers), self._vectors)


class CompactFile(CompactRows):
    """An HDF5 file in the compact layout; it stays on disk.

    Args:
        path: The file.
        embeddings: float [I, d], a vector for each item; None where only ``windows`` is asked for.

    Raises:
        DataNotFound: It is not there.
        DataError: It is damaged, or its data sets have other names or shapes.
        InvalidInput: Embeddings of another shape, or not finite.
        MissingExtra: h5py is not installed.
    """

    def __init__(self, path: str | Path, embeddings: Any = None) -> None:
        self._file = HDF5File(Path(path), COLUMNS)
        super().__init__(Path(path), self._file.shapes, self._file.attributes, embeddings)

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        self._file.close()

    def _read(self, column: str, rows: Array | slice) -> Array:
        return self._file.read(column, rows)
