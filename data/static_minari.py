"""Export to Minari's format, which d3rlpy and other libraries of offline learning read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from gymnasium import spaces

from smartrec.core.arrays import FloatArray
from smartrec.core.errors import InvalidConfig
from smartrec.core.optional import optional
from smartrec.data.frames import Frames
from smartrec.data.static_files import new_file
from smartrec.data.static_hdf5 import Stream
from smartrec.data.static_rows import dense_rows, vectors_of


def write_minari(
    dataset_id: str, frames: Frames, embeddings: Any, action: Literal["embedding", "item"] = "embedding"
) -> Path:
    """Write all frames of a log as a data set of Minari; ``minari.load_dataset(dataset_id)`` reads it.

    An episode is a user of T answers: T - f + 1 observations, the states and what the last step led to, float32
    [f (d + 1)]; T - f actions and rewards, float32; the last step terminates, none is truncated.

    Args:
        dataset_id: ``"name-v0"`` or ``"group/name-v0"``; the folder of this name, below ``$MINARI_DATASETS_PATH`` or
            where Minari keeps its data, must not be there yet.
        frames: The log; its ratings are the rewards.
        embeddings: float [I, d], a vector for each item.
        action: "embedding" writes the item's vector, a Box [d]; "item" its number, Discrete(I).

    Returns:
        The folder.

    Raises:
        InvalidConfig: ``dataset_id`` or ``action`` is out of the ordinary.
        InvalidInput: Embeddings of another shape, or not finite.
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
    if action not in ("embedding", "item"):
        raise InvalidConfig(f"action = {action!r}; allowed: 'embedding' or 'item'")
    vectors = vectors_of(embeddings, frames.trajectories.n_items)
    observed, acted = _spaces(frames, vectors, action)
    folder = Path(get_dataset_path(dataset_id))
    with new_file(folder, 4 * len(frames) * (observed.shape[0] + 1)) as temporary:
        temporary.mkdir()
        storage = MinariStorage.new(temporary / "data", observed, acted, data_format="hdf5", jpeg_encoding=False)
        storage.update_metadata({"dataset_id": dataset_id, "minari_version": minari.__version__})
        with Stream(temporary / "data" / "main_data.hdf5", "r+b") as stream:
            # Where the disk fills up, HDF5 crashes the process unless what it writes to says that all is well.
            storage._file_path = stream
            storage.update_episodes(_episodes(frames, vectors, action))
            stream.require()
    return folder


def _spaces(frames: Frames, vectors: FloatArray, action: str) -> tuple[spaces.Box, spaces.Space[Any]]:
    ratings, length = frames.trajectories.ratings, frames.frame_size
    low, high = vectors.min(axis=0), vectors.max(axis=0)
    lowest, highest = (
        np.concatenate([np.tile(of_items, length), np.full(length, of_ratings)])
        for of_items, of_ratings in ((low, ratings.min()), (high, ratings.max()))
    )
    return spaces.Box(lowest, highest), spaces.Box(low, high) if action == "embedding" else spaces.Discrete(
        len(vectors)
    )


def _episodes(frames: Frames, vectors: FloatArray, action: str) -> Iterator[Any]:
    """Make the episodes one by one, so that one user at a time is in memory."""
    from minari.data_collector import EpisodeBuffer

    counts = np.maximum(frames.trajectories.lengths - frames.frame_size, 0)
    for first, count in zip(np.cumsum(counts) - counts, counts, strict=True):
        if not count:
            continue
        windows = frames.windows(np.arange(first, first + count))
        rows = dense_rows(windows, vectors)
        yield EpisodeBuffer(
            observations=np.concatenate([rows.state, rows.next_state[-1:]]),
            actions=rows.action if action == "embedding" else windows.items[:, -1].astype(np.int64),
            rewards=rows.reward,
            terminations=rows.done,
            truncations=np.zeros(count, bool),
        )
