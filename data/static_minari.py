"""Export to Minari's format, which d3rlpy and other libraries of offline learning read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from gymnasium import spaces

from smartrec.core.arrays import FloatArray
from smartrec.core.errors import InvalidConfig
from smartrec.core.optional import optional
from smartrec.data.dense import DenseFrames
from smartrec.data.frames import Frames
from smartrec.data.static_files import new_file
from smartrec.data.static_hdf5 import Stream


def write_minari(
    dataset_id: str, frames: Frames, embeddings: FloatArray, action: Literal["embedding", "index"] = "embedding"
) -> Path:
    """Write all frames of a log as a data set of Minari; ``minari.load_dataset(dataset_id)`` reads it.

    An episode is a user of T answers: T - f + 1 observations, the states and what the last step led to, float32
    [f (d + 1)]; T - f actions and rewards, float32; the last step terminates. Where the frames are a part of a log
    (``Frames.only``), what follows without a gap is an episode, and truncated where the user's answers go on.

    Args:
        dataset_id: ``"name-v0"`` or ``"group/name-v0"``; the folder of this name, below ``$MINARI_DATASETS_PATH`` or
            where Minari keeps its data, must not be there yet.
        frames: The log; its ratings are the rewards.
        embeddings: float [I, d], a vector for each item.
        action: "embedding" writes the item's vector, a Box [d]; "index" its number, Discrete(I).

    Returns:
        The folder.

    Raises:
        InvalidConfig: ``dataset_id`` or ``action`` is out of the ordinary.
        InvalidInput: Embeddings of another shape, or an item of the log has none.
        OutputError: The data set is there already, or there is no room for it; nothing is kept.
        MissingExtra: minari, or h5py, which it writes with, is not installed.
    """
    optional("h5py", "minari", "writing a Minari data set")
    minari: Any = optional("minari", "minari", "writing a Minari data set")
    from minari.dataset.minari_dataset import parse_dataset_id
    from minari.dataset.minari_storage import MinariStorage
    from minari.storage.datasets_root_dir import get_dataset_path

    try:
        parse_dataset_id(dataset_id)
    except (ValueError, TypeError):  # the latter where the version is missing
        raise InvalidConfig(f"dataset_id = {dataset_id!r}; allowed: 'name-v0' or 'group/name-v0'") from None
    if action not in ("embedding", "index"):
        raise InvalidConfig(f"action = {action!r}; allowed: 'embedding' or 'index'")
    dense = DenseFrames(frames, embeddings, action)
    observed, acted = _spaces(dense, embeddings)
    folder = Path(get_dataset_path(dataset_id))
    with new_file(folder, 4 * len(frames) * (observed.shape[0] + 1)) as temporary:
        temporary.mkdir()
        storage = MinariStorage.new(temporary / "data", observed, acted, data_format="hdf5", jpeg_encoding=False)
        storage.update_metadata({"dataset_id": dataset_id, "minari_version": minari.__version__})
        with Stream(temporary / "data" / "main_data.hdf5", "r+b") as stream:
            # Where the disk fills up, HDF5 crashes the process unless what it writes to says that all is well.
            storage._file_path = stream
            storage.update_episodes(_episodes(dense))
            stream.require()
    return folder


def _spaces(dense: DenseFrames, embeddings: FloatArray) -> tuple[spaces.Box, spaces.Space[Any]]:
    """Return the spaces of observations and actions."""
    log, room = dense.frames.trajectories, dense.room(1)
    vectors = np.asarray(embeddings, np.float32)[np.unique(log.items)]
    low, high = float(vectors.min()), float(vectors.max())
    lowest, highest = min(low, float(log.ratings.min()), 0.0), max(high, float(log.ratings.max()), 0.0)
    observed = spaces.Box(lowest, highest, room["state"].shape[1:])
    if dense.action == "index":
        return observed, spaces.Discrete(log.n_items)
    return observed, spaces.Box(low, high, room["action"].shape[1:])


def _episodes(dense: DenseFrames) -> Iterator[Any]:
    """Make the episodes one by one, so that one user at a time is in memory."""
    from minari.data_collector import EpisodeBuffer

    rows = dense.frames.actions(np.arange(len(dense)))
    users = np.searchsorted(dense.frames.trajectories.starts, rows, side="right")
    ends = np.flatnonzero(np.append((np.diff(users) > 0) | (np.diff(rows) > 1), True)) + 1
    for first, end in zip(np.concatenate([[0], ends[:-1]]), ends, strict=True):
        batch = dense.batch(np.arange(first, end))
        last = np.arange(first, end) + 1 == end
        yield EpisodeBuffer(
            observations=np.concatenate([batch["state"], batch["next_state"][-1:]]),
            actions=batch["action"],
            rewards=batch["reward"],
            terminations=batch["done"],
            truncations=last & ~batch["done"],
        )
