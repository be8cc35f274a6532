"""Frames with the vectors of their items: the batches that networks over vectors learn from, made when asked for.

The state is the f vectors one after the other, then the f ratings: float32 [B, f (d + 1)].
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from smartrec.core.arrays import Array, FloatArray, IntArray
from smartrec.core.errors import InvalidInput
from smartrec.data.frames import Frames
from smartrec.data.vectors import checked_vectors

ACTIONS = ("embedding", "index", "one_hot")

_STRETCH, _BLOCK = 128, 32
"""Frames that are written at once, neighbours and strangers: as many as keep their vectors in a core's cache."""


class DenseFrames:
    """Frames as dense arrays; a map-style data set for PyTorch's ``DataLoader``.

    An array of numbers gives a batch (``DataLoader(dense, sampler=Batches(...), batch_size=None)``: fast), one number
    gives one frame without the batch axis (``DataLoader(dense, batch_size=256, shuffle=True)``: slower).

    Keys: ``state`` float32 [B, f (d + 1)]; ``action`` float32 [B, d] (embedding), int64 [B] (index) or float32 [B, I]
    (one_hot); ``reward`` float32 [B]; ``next_state`` as ``state``; ``done`` bool [B].

    Args:
        frames: What to show; of padded frames, vectors of what was not answered yet are 0.
        embeddings: float [I, d], the row of an item is its number; rows of items that the log never has may be NaN.
        action: How actions are given.

    Raises:
        InvalidInput: ``embeddings`` has another shape, an item of the log has no vector, or ``action`` is unknown.
    """

    def __init__(
        self,
        frames: Frames,
        embeddings: FloatArray,
        action: Literal["embedding", "index", "one_hot"] = "embedding",
    ) -> None:
        if action not in ACTIONS:
            raise InvalidInput(f"action = {action!r}; allowed: {', '.join(ACTIONS)}")
        self.frames, self.action = frames, action
        self._vectors = checked_vectors(embeddings, frames.trajectories)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, frames: int | Sequence[int] | IntArray) -> dict[str, Array]:
        """Return a batch of frames [B], or one frame without the batch axis."""
        batch = self.batch(np.atleast_1d(np.asarray(frames)))
        return batch if np.ndim(frames) else {name: values[0] for name, values in batch.items()}

    def __getitems__(self, frames: Sequence[int]) -> list[dict[str, Array]]:
        """Return frames one by one, gathered at once; ``DataLoader`` asks for it where it makes batches itself."""
        batch = self.batch(np.asarray(frames))
        return [{name: values[row] for name, values in batch.items()} for row in range(len(frames))]

    def room(self, size: int) -> dict[str, Array]:
        """Return arrays for ``size`` frames, to be filled by ``batch``."""
        n_items, d = len(self._vectors) - 1, self._vectors.shape[1]
        width = self.frames.frame_size * (d + 1)
        forms: dict[str, tuple[tuple[int, ...], Any]] = {
            "embedding": ((size, d), np.float32),
            "index": ((size,), np.int64),
            "one_hot": ((size, n_items), np.float32),
        }
        return {
            "state": np.empty((size, width), np.float32),
            "action": np.empty(*forms[self.action]),
            "reward": np.empty(size, np.float32),
            "next_state": np.empty((size, width), np.float32),
            "done": np.empty(size, bool),
        }

    def batch(self, frames: IntArray, out: Mapping[str, Array] | None = None) -> dict[str, Array]:
        """Return frames [B].

        Args:
            frames: Their numbers.
            out: From ``room``, for B frames or more: filled, and views of it are returned. A pass that reuses it is
                several times faster than one that takes new memory for each batch.

        Raises:
            InvalidInput: A number is outside 0..len - 1, or ``out`` has too few rows.
        """
        log, last = self.frames.trajectories, self.frames.actions(frames)
        out = self.room(len(last)) if out is None else out
        if len(out["reward"]) < len(last):
            raise InvalidInput(f"out has room for {len(out['reward'])} frames; {len(last)} were asked for")
        batch = {name: values[: len(last)] for name, values in out.items()}
        self._write_states(frames, last, batch["state"], batch["next_state"])
        self._write_actions(log.items[last], batch["action"])
        np.take(log.ratings, last, out=batch["reward"], mode="clip")
        user = np.searchsorted(log.starts, last, side="right")
        np.equal(last + 1, log.starts[user], out=batch["done"])
        return batch

    def _write_actions(self, items: NDArray[np.int32], action: Array) -> None:
        if self.action == "embedding":
            np.take(self._vectors, items, axis=0, out=action, mode="clip")
        elif self.action == "index":
            action[:] = items
        else:
            action[:] = 0
            action[np.arange(len(items)), items] = 1

    def _write_states(self, frames: IntArray, last: IntArray, state: FloatArray, following: FloatArray) -> None:
        ends = np.append(np.flatnonzero(np.diff(last) != 1) + 1, len(last))
        if self.frames.padded or 4 * len(ends) > len(last):
            for at in range(0, len(last), _BLOCK):
                block = slice(at, at + _BLOCK)
                self._write_strangers(frames[block], state[block], following[block])
            return
        first = 0
        for end in ends.tolist():
            for at in range(first, end, _STRETCH):
                stretch = slice(at, min(at + _STRETCH, end))
                self._write_neighbours(int(last[at]), state[stretch], following[stretch])
            first = end

    def _write_neighbours(self, last: int, state: FloatArray, following: FloatArray) -> None:
        """Write frames that follow each other: each vector is fetched once, and the windows are views of them."""
        log, f, d = self.frames.trajectories, self.frames.frame_size, self._vectors.shape[1]
        n = len(state)
        items = log.items[last - f : last + n]
        vectors = np.take(self._vectors, items, axis=0, mode="clip")  # [n + f, d]
        windows: Array = np.ndarray((n + 1, f * d), np.float32, vectors, 0, (4 * d, 4))
        ratings: Array = np.ndarray((n + 1, f), np.float32, log.ratings, 4 * (last - f), (4, 4))
        for rows, into in ((slice(0, n), state), (slice(1, n + 1), following)):
            into[:, : f * d] = windows[rows]
            into[:, f * d :] = ratings[rows]

    def _write_strangers(self, frames: IntArray, state: FloatArray, following: FloatArray) -> None:
        """Write frames that may lie anywhere; state and next state share what is fetched."""
        windows, f, d = self.frames.windows(frames), self.frames.frame_size, self._vectors.shape[1]
        vectors = np.take(self._vectors, windows.items, axis=0, mode="clip").reshape(len(state), -1)  # [n, (f + 1) d]
        state[:, : f * d], state[:, f * d :] = vectors[:, : f * d], windows.ratings[:, :-1]
        following[:, : f * d], following[:, f * d :] = vectors[:, d:], windows.ratings[:, 1:]
