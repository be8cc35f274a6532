"""RecNN's static layout: state, action, reward, next state and done of every frame, in one HDF5 file.

Written, it takes 10.8 KB a frame of 10 items with vectors of 128 numbers: 200 GB for MovieLens 20M. The compact layout
(``smartrec.data.static_compact``) holds the same in less than a hundredth of that.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from smartrec.core.arrays import Array, IntArray
from smartrec.core.errors import DataError
from smartrec.data.frames import Frames
from smartrec.data.static_hdf5 import HDF5File, new_hdf5
from smartrec.data.static_rows import Rows, StaticRows, dense_rows, in_slices, rating_type, vectors_of


def write_dense(path: str | Path, frames: Frames, embeddings: Any) -> Path:
    """Write all frames of a log in RecNN's layout.

    The data sets are ``state`` and ``next_state`` float32 [N, f (d + 1)], ``action`` float32 [N, d], ``done`` bool [N]
    and ``reward`` [N], int8 where all ratings are small whole numbers, else float32.

    Args:
        path: The file; nothing may be there yet.
        frames: The log; its ratings are the rewards.
        embeddings: float [I, d], a vector for each item.

    Returns:
        The path.

    Raises:
        InvalidInput: Embeddings of another shape, or not finite.
        OutputError: Something is at ``path``, or there is no room for it; nothing is kept.
        MissingExtra: h5py is not installed.
    """
    path, vectors = Path(path), vectors_of(embeddings, frames.trajectories.n_items)
    rows, size = len(frames), vectors.shape[1]
    width, reward = frames.frame_size * (size + 1), rating_type(frames.trajectories.ratings)
    with new_hdf5(path, rows * (4 * (2 * width + size) + reward.itemsize + 1)) as new:
        for name, length in (("state", width), ("action", size), ("next_state", width)):
            new.file.create_dataset(name, (rows, length), np.float32)
        new.file.create_dataset("reward", (rows,), reward)
        new.file.create_dataset("done", (rows,), bool)
        for part, windows in in_slices(frames):
            for name, values in dense_rows(windows, vectors)._asdict().items():
                new.put(name, part, values)
    return path


class DenseFile(StaticRows):
    """An HDF5 file in RecNN's layout, ours or anybody's.

    ``reward`` and ``done`` may also be [N, 1], and of any type of numbers.

    Args:
        path: The file.

    Raises:
        DataNotFound: It is not there.
        DataError: It is damaged, or its data sets have other names or shapes.
        MissingExtra: h5py is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        self._file = HDF5File(Path(path), Rows._fields)
        shapes = self._file.shapes
        flat = [shape[1:] in ((), (1,)) for shape in (shapes["reward"], shapes["done"])]
        wide = len(shapes["state"]) == 2 == len(shapes["action"]) and shapes["next_state"] == shapes["state"]
        if not (wide and all(flat)):
            raise DataError(
                f"{path} holds {', '.join(f'{name} {list(shape)}' for name, shape in shapes.items())}; allowed: state "
                "and next_state [N, S], action [N, d], reward and done [N]"
            )

    def __len__(self) -> int:
        return self._file.shapes["state"][0]

    def rows(self, numbers: Sequence[int] | IntArray | slice) -> Rows:
        """Return frames by numbers [B], in any order, or by a slice; vectors in the type of the file.

        Raises:
            InvalidInput: There is no such frame.
            DataError: The file is damaged there.
        """
        state, action, reward, next_state, done = (self._take(name, numbers) for name in Rows._fields)
        return Rows(state, action, reward.reshape(-1).astype(np.float32), next_state, done.reshape(-1).astype(bool))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self, column: str, rows: Array | slice) -> Array:
        return self._file.read(column, rows)
