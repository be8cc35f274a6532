"""What every file of frames can be asked for: the batches of ``DenseFrames``, from disk."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np

from smartrec.core.arrays import Array, IntArray
from smartrec.core.errors import InvalidInput

COLUMNS = ("state", "action", "reward", "next_state", "done")
"""Of the dense form."""
SLICE = 5000
"""Frames written or read at a time."""


def slices_of(count: int, size: int = SLICE) -> Iterator[slice]:
    """Cut 0 .. count - 1 into slices of ``size``.

    Raises:
        InvalidInput: ``size`` is below 1.
    """
    if size < 1:
        raise InvalidInput(f"size = {size}; allowed: 1 or more frames a slice")
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


class StaticFrames(ABC):
    """Frames of a file as dense arrays; a map-style data set for PyTorch's ``DataLoader``.

    It is asked as ``DenseFrames`` is, and gives the same: an array of numbers a batch (``DataLoader(static,
    sampler=Batches(...), batch_size=None)``), one number one frame. What is near in the file is read fastest.

    Keys: ``state`` float [B, f (d + 1)], ``action`` float [B, d], ``reward`` float32 [B], ``next_state`` as ``state``,
    ``done`` bool [B].
    """

    @abstractmethod
    def __len__(self) -> int:
        """Number of frames."""

    @abstractmethod
    def _read(self, column: str, rows: Array | slice) -> Array:
        """Return rows of a column: a slice, or different numbers that rise."""

    @abstractmethod
    def batch(self, frames: Sequence[int] | IntArray | slice) -> dict[str, Array]:
        """Return frames by numbers [B], in any order, or by a slice.

        Raises:
            InvalidInput: There is no such frame.
            DataError: The file is damaged there.
        """

    def slices(self, size: int = SLICE) -> Iterator[dict[str, Array]]:
        """Go through all frames in the order of the file, ``size`` at a time, >= 1."""
        for part in slices_of(len(self), size):
            yield self.batch(part)

    def __getitem__(self, frames: int | Sequence[int] | IntArray) -> dict[str, Array]:
        """Return a batch of frames [B], or one frame without the batch axis."""
        batch = self.batch(np.atleast_1d(np.asarray(frames)))
        return batch if np.ndim(frames) else {name: values[0] for name, values in batch.items()}

    def __getitems__(self, frames: Sequence[int]) -> list[dict[str, Array]]:
        """Return frames one by one, read at once; ``DataLoader`` asks for it where it makes batches itself."""
        batch = self.batch(frames)
        return [{name: values[row] for name, values in batch.items()} for row in range(len(frames))]

    def _take(self, column: str, frames: Sequence[int] | IntArray | slice) -> Array:
        """Return rows of a column, in any order."""
        if isinstance(frames, slice):
            return self._read(column, frames)
        numbers = np.asarray(frames, np.int64)
        if numbers.size and (numbers.min() < 0 or numbers.max() >= len(self)):
            wrong = numbers.min() if numbers.min() < 0 else numbers.max()
            raise InvalidInput(f"frame {wrong} was asked for; allowed: 0..{len(self) - 1}")
        rising, places = np.unique(numbers, return_inverse=True)  # the one order in which a file can be read
        return self._read(column, rising)[places]
