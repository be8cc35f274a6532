"""The compact layout: frames as whole numbers, made dense while they are read. In HDF5 here, in Parquet beside it.

A frame of f items takes ``5 (f + 1) + 9`` bytes where ratings are small whole numbers, less when compressed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from smartrec.core.arrays import Array, FloatArray, IntArray
from smartrec.core.errors import DataError, InvalidInput
from smartrec.core.problem import Problem
from smartrec.data.frames import Frames
from smartrec.data.static_hdf5 import HDF5File, new_hdf5
from smartrec.data.static_rows import StaticFrames, slices_of
from smartrec.data.windows import Windows, problem_of_windows

PARTS = ("items", "ratings", "done", "user", "step")
FACTS = ("n_items", "lowest", "highest")
"""What the file says of the catalogue that its numbers are of, and of its ratings."""
CHUNK = 1000
"""Frames compressed together: the least that is read."""


def write_compact(path: str | Path, frames: Frames, compression: Literal["lzf", "gzip"] | None = "lzf") -> Path:
    """Write all frames of a log as whole numbers, in HDF5.

    The data sets are ``items`` int32 [N, f + 1], ``ratings`` [N, f + 1], int8 where all are small whole numbers, else
    float32, ``done`` bool [N], ``user`` int32 [N] and ``step`` int32 [N], as in ``Windows``; attributes say how many
    items the catalogue has, and the lowest and the highest rating.

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
    path, rows, kinds = Path(path), len(frames), kinds_of(frames)
    size = sum(rows * kind.itemsize * int(np.prod(width)) for width, kind in kinds.values())
    with new_hdf5(path, 0 if compression else size) as new:
        new.file.attrs.update(facts_of(frames))
        for name, (width, kind) in kinds.items():
            chunks = (min(CHUNK, rows), *width)
            new.file.create_dataset(name, (rows, *width), kind, chunks=chunks, compression=compression, shuffle=True)
        for part in slices_of(rows):
            for name, values in vars(frames.windows(np.arange(part.start, part.stop))).items():
                new.put(name, part, values)
    return path


def rating_type(ratings: FloatArray) -> "np.dtype[Any]":
    """Return the smallest type that holds all ratings exactly: int8 where they are small whole numbers."""
    whole = (ratings == np.rint(ratings)).all() and ratings.min() >= -128 and ratings.max() <= 127
    return np.dtype(np.int8 if whole else np.float32)


def kinds_of(frames: Frames) -> dict[str, tuple[tuple[int, ...], "np.dtype[Any]"]]:
    """Return shape of a row and type of each part."""
    width, number = (frames.frame_size + 1,), ((), np.dtype(np.int32))
    ratings = (width, rating_type(frames.trajectories.ratings))
    return dict(zip(PARTS, [(width, number[1]), ratings, ((), np.dtype(bool)), number, number], strict=True))


def facts_of(frames: Frames) -> dict[str, float]:
    """Return ``FACTS``."""
    ratings = frames.trajectories.ratings
    return dict(zip(FACTS, (frames.trajectories.n_items, float(ratings.min()), float(ratings.max())), strict=True))


class CompactFrames(StaticFrames):
    """Frames as whole numbers, of any file.

    Args:
        path: The file, for messages.
        shapes: Of the parts.
        facts: What the file says.
        embeddings: float [I, d], a vector for each item; None where only numbers are asked for.

    Raises:
        DataError: Parts of other shapes, or facts that are missing or no numbers.
        InvalidInput: Embeddings of another shape.
    """

    def __init__(
        self,
        path: Path,
        shapes: Mapping[str, tuple[int, ...]],
        facts: Mapping[str, Any],
        embeddings: FloatArray | None,
    ) -> None:
        items = shapes["items"]
        flat = all(shapes[name] == items[:1] for name in PARTS[2:])
        if len(items) != 2 or items[1] < 2 or shapes["ratings"] != items or not flat or not {*FACTS} <= {*facts}:
            raise DataError(
                f"{path} holds {', '.join(f'{name} {list(shape)}' for name, shape in shapes.items())} and says "
                f"{', '.join(map(str, facts)) or 'nothing'}; allowed: items and ratings [N, f + 1], done, user and "
                f"step [N], and {', '.join(FACTS)}"
            )
        self._path, self._rows, self.frame_size = path, items[0], items[1] - 1
        try:
            self.n_items = int(facts["n_items"])
            self._ratings = float(facts["lowest"]), float(facts["highest"])
        except (TypeError, ValueError, OverflowError):
            said = ", ".join(f"{name} = {facts[name]!r}" for name in FACTS)
            raise DataError(f"{path} says {said}; allowed: numbers. Write it again") from None
        self._vectors = None if embeddings is None else self._checked(embeddings)

    def __len__(self) -> int:
        return self._rows

    def windows(self, frames: Sequence[int] | IntArray | slice) -> Windows:
        """Return frames as numbers, exactly as ``Frames.windows``; ``.transitions()`` of them is what agents take.

        Raises:
            InvalidInput: There is no such frame.
            DataError: The file is damaged there.
        """
        items, ratings, done, user, step = (self._take(name, frames) for name in PARTS)
        if len(items) and (items.min() < 0 or items.max() > self.n_items or items[:, -1].max() == self.n_items):
            raise DataError(
                f"{self._path} has item numbers from {items.min()} to {items.max()} there, at the end of a frame to "
                f"{items[:, -1].max()}; allowed: 0..{self.n_items - 1}, and {self.n_items}, nothing yet, before the "
                "end. Write it again"
            )
        return Windows(items, ratings.astype(np.float32), done, user.astype(np.int64), step.astype(np.int64))

    def problem(self, item_features: FloatArray | None = None, discount: float = 0.99) -> Problem:
        """Return the problem that these are steps of, as ``Frames.problem``."""
        return problem_of_windows(self.n_items, self.frame_size, *self._ratings, item_features, discount)

    def batch(self, frames: Sequence[int] | IntArray | slice) -> dict[str, Array]:
        """Return frames in the dense form, by numbers [B] or by a slice.

        Raises:
            InvalidInput: There is no such frame, an item of it has no vector, or the file was opened without
                embeddings.
            DataError: The file is damaged there.
        """
        if self._vectors is None:
            raise InvalidInput("dense frames need vectors; open the file with embeddings, an array [I, d]")
        windows = self.windows(frames)
        vectors = self._vectors[windows.items]  # [B, f + 1, d]
        if not np.isfinite(vectors).all():
            missing = windows.items[~np.isfinite(vectors).all(axis=2)][0]
            raise InvalidInput(f"item number {missing} has no finite embedding; fill it in")
        return {
            "state": _state(vectors[:, :-1], windows.ratings[:, :-1]),
            "action": vectors[:, -1].copy(),
            "reward": windows.ratings[:, -1].copy(),
            "next_state": _state(vectors[:, 1:], windows.ratings[:, 1:]),
            "done": windows.done,
        }

    def _checked(self, embeddings: FloatArray) -> NDArray[np.float32]:
        """Return embeddings as float32 [I + 1, d]; the last row, of "nothing yet", is 0."""
        given = np.asarray(embeddings, np.float32)
        if given.ndim != 2 or len(given) != self.n_items:
            raise InvalidInput(f"embeddings have shape {given.shape}; allowed: [{self.n_items}, d], a row an item")
        return np.concatenate([given, np.zeros((1, given.shape[1]), np.float32)])


class CompactFile(CompactFrames):
    """An HDF5 file in the compact layout; it stays on disk.

    Args:
        path: The file.
        embeddings: float [I, d], a vector for each item; None where only numbers are asked for.

    Raises:
        DataNotFound: It is not there.
        DataError: It is damaged, or its data sets have other names or shapes.
        InvalidInput: Embeddings of another shape.
        MissingExtra: h5py is not installed.
    """

    def __init__(self, path: str | Path, embeddings: FloatArray | None = None) -> None:
        self._file = HDF5File(Path(path), PARTS)
        super().__init__(Path(path), self._file.shapes, self._file.attributes, embeddings)

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        self._file.close()

    def _read(self, column: str, rows: Array | slice) -> Array:
        return self._file.read(column, rows)


def _state(vectors: FloatArray, ratings: FloatArray) -> FloatArray:
    count, length, size = vectors.shape
    return np.concatenate([vectors.reshape(count, length * size), ratings], axis=1)
