"""Frames in the dense form, and what every file of them can be asked for."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from smartrec.core.arrays import Array, BoolArray, FloatArray, IntArray
from smartrec.core.errors import InvalidInput
from smartrec.data.frames import Frames, Windows

SLICE = 5000
"""Frames written or read at a time."""


class Rows(NamedTuple):
    """B frames in the dense form.

    Attributes:
        state: float [B, f (d + 1)], the vectors of f items one after the other, then their f ratings.
        action: float [B, d], the vector of the next item.
        reward: float32 [B], its rating.
        next_state: float [B, f (d + 1)].
        done: bool [B].
    """

    state: FloatArray
    action: FloatArray
    reward: FloatArray
    next_state: FloatArray
    done: BoolArray


def dense_rows(windows: Windows, embeddings: FloatArray) -> Rows:
    """Return frames in the dense form.

    Args:
        windows: B frames.
        embeddings: float32 [I, d].
    """
    vectors, ratings = embeddings[windows.items], windows.ratings
    return Rows(
        state=_state(vectors[:, :-1], ratings[:, :-1]),
        action=vectors[:, -1].copy(),
        reward=ratings[:, -1].copy(),
        next_state=_state(vectors[:, 1:], ratings[:, 1:]),
        done=windows.done,
    )


def vectors_of(embeddings: Any, n_items: int) -> FloatArray:
    """Return embeddings as float32 [I, d].

    Raises:
        InvalidInput: Another number of rows, or an item whose vector is not finite.
    """
    table = np.ascontiguousarray(embeddings, np.float32)
    if table.ndim != 2 or len(table) != n_items:
        raise InvalidInput(f"embeddings have shape {table.shape}; allowed: [{n_items}, d], a row for each item")
    missing = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if len(missing):
        raise InvalidInput(
            f"item {missing[0]} has no finite vector, one of {len(missing)} such items; give each a vector, or leave "
            "its rows out of the log"
        )
    return table


def in_slices(frames: Frames, size: int = SLICE) -> Iterator[tuple[slice, Windows]]:
    """Go through all frames, ``size`` at a time, in order."""
    for part in slices_of(len(frames), size):
        yield part, frames.windows(np.arange(part.start, part.stop))


def slices_of(count: int, size: int) -> Iterator[slice]:
    """Cut 0 .. count - 1 into slices of ``size``."""
    if size < 1:
        raise InvalidInput(f"size = {size}; allowed: 1 or more frames a slice")
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def rating_type(ratings: FloatArray) -> "np.dtype[Any]":
    """Return the smallest type that holds all ratings exactly: int8 where they are small whole numbers."""
    whole = (ratings == np.rint(ratings)).all() and ratings.min() >= -128 and ratings.max() <= 127
    return np.dtype(np.int8 if whole else np.float32)


class StaticRows(ABC):
    """A file of frames, for slices, for random access, and as the data set of a PyTorch ``DataLoader``.

    With ``DataLoader(rows, batch_size=256, shuffle=True, collate_fn=Rows._make)`` a batch is one read.
    """

    @abstractmethod
    def __len__(self) -> int:
        """Number of frames."""

    @abstractmethod
    def _read(self, column: str, rows: Array | slice) -> Array:
        """Return rows of a column: a slice, or different numbers that rise."""

    @abstractmethod
    def rows(self, numbers: Sequence[int] | IntArray | slice) -> Rows:
        """Return frames by numbers [B], in any order, or by a slice.

        Raises:
            InvalidInput: There is no such frame.
            DataError: The file is damaged there.
        """

    def slices(self, size: int = SLICE) -> Iterator[Rows]:
        """Go through all frames in the order of the file, ``size`` at a time, >= 1."""
        for part in slices_of(len(self), size):
            yield self.rows(part)

    def __getitem__(self, number: int) -> Rows:
        if not -len(self) <= number < len(self):
            raise IndexError(f"frame {number}; allowed: 0 to {len(self) - 1}")
        return Rows(*(part[0] for part in self.rows([number % len(self)])))

    def __getitems__(self, numbers: Sequence[int]) -> Rows:
        """Return a batch, as ``DataLoader`` asks for it."""
        return self.rows(numbers)

    def _take(self, column: str, numbers: Sequence[int] | IntArray | slice) -> Array:
        """Return rows of a column, in any order."""
        if isinstance(numbers, slice):
            return self._read(column, numbers)
        asked = np.asarray(numbers, np.int64)
        if asked.size and (asked.min() < 0 or asked.max() >= len(self)):
            wrong = asked.min() if asked.min() < 0 else asked.max()
            raise InvalidInput(f"frame {wrong}; allowed: 0 to {len(self) - 1}")
        rising, places = np.unique(asked, return_inverse=True)  # the one order in which a file can be read
        return self._read(column, rising)[places]


def _state(vectors: FloatArray, ratings: FloatArray) -> FloatArray:
    count, length, size = vectors.shape
    return np.concatenate([vectors.reshape(count, length * size), ratings], axis=1)
