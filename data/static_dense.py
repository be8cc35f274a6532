"""RecNN's static layout: state, action, reward, next state and done of every frame, in one HDF5 file.

It takes 10.8 KB a frame of 10 items with vectors of 128 numbers: 200 GB for MovieLens 20M. The compact layout
(``smartrec.data.static_compact``) holds the same in less than a hundredth of that.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from smartrec.core.arrays import Array, FloatArray, IntArray
from smartrec.core.errors import DataError
from smartrec.data.dense import DenseFrames
from smartrec.data.frames import Frames
from smartrec.data.static_compact import rating_type
from smartrec.data.static_hdf5 import HDF5File, new_hdf5
from smartrec.data.static_rows import COLUMNS, SLICE, StaticFrames, slices_of


def write_dense(path: str | Path, frames: Frames, embeddings: FloatArray) -> Path:
    """Write all frames of a log in RecNN's layout.

    The data sets are ``state`` and ``next_state`` float32 [N, f (d + 1)], ``action`` float32 [N, d], ``done`` bool [N]
    and ``reward`` [N], int8 where all ratings are small whole numbers, else float32.

    Args:
        path: The file; nothing may be there yet.
        frames: The log; its ratings are the rewards.
        embeddings: float [I, d], a vector for each item, as for ``DenseFrames``.

    Returns:
        The path.

    Raises:
        InvalidInput: Embeddings of another shape, or an item of the log has none.
        OutputError: Something is at ``path``, or there is no room for it; nothing is kept.
        MissingExtra: h5py is not installed.
    """
    path, dense, rows = Path(path), DenseFrames(frames, embeddings), len(frames)
    room = dense.room(min(SLICE, rows))
    kinds = {name: values.dtype for name, values in room.items()}
    kinds["reward"] = rating_type(frames.trajectories.ratings)
    size = sum(rows * kinds[name].itemsize * int(np.prod(values.shape[1:])) for name, values in room.items())
    with new_hdf5(path, size) as new:
        for name, values in room.items():
            new.file.create_dataset(name, (rows, *values.shape[1:]), kinds[name])
        for part in slices_of(rows):
            for name, values in dense.batch(np.arange(part.start, part.stop), room).items():
                new.put(name, part, values)
    return path


class DenseFile(StaticFrames):
    """An HDF5 file in RecNN's layout, ours or anybody's.

    ``reward`` and ``done`` may also be [N, 1], and of any type of numbers; states and actions keep their type.

    Args:
        path: The file.

    Raises:
        DataNotFound: It is not there.
        DataError: It is damaged, or its data sets have other names or shapes.
        MissingExtra: h5py is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        self._file = HDF5File(Path(path), COLUMNS)
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

    def batch(self, frames: Sequence[int] | IntArray | slice) -> dict[str, Array]:
        """Return frames by numbers [B], in any order, or by a slice.

        Raises:
            InvalidInput: There is no such frame.
            DataError: The file is damaged there.
        """
        batch = {name: self._take(name, frames) for name in COLUMNS}
        batch["reward"] = batch["reward"].reshape(-1).astype(np.float32)
        batch["done"] = batch["done"].reshape(-1).astype(bool)
        return batch

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        self._file.close()

    def _read(self, column: str, rows: Array | slice) -> Array:
        return self._file.read(column, rows)
