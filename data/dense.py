"""Frames with the vectors of their items: the batches that networks over vectors learn from, made when asked for.

The state is the f vectors one after the other, then the f ratings: float32 [B, f (d + 1)].
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from smartrec.core.arrays import Array, BoolArray, FloatArray, IntArray
from smartrec.core.errors import InvalidInput
from smartrec.data.frames import Frames
from smartrec.data.vectors import checked_vectors

ACTIONS = ("embedding", "index", "one_hot")

_NEIGHBOURS, _STRANGERS = 256, 32
"""Frames that are written at once: as many as keep their vectors in a core's cache."""

_NEAR, _FEW = 4, 4
"""Frames are neighbours up to so many frames apart, if they come in stretches of so many."""

_PLANNED = 32
"""Batches of a stream that are looked up at once."""


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
        """Return arrays for ``size`` frames, to be filled by ``batch`` or ``stream``."""
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
            out: From ``room``, for B frames or more: filled, and views of it are returned.

        Raises:
            InvalidInput: A number is outside 0..len - 1, or ``out`` has too few rows.
        """
        plan = _Plan.of(self.frames, frames)
        return self._fill(plan, slice(0, len(plan.last)), out)

    def stream(self, batches: Iterable[IntArray], out: Mapping[str, Array] | None = None) -> Iterator[dict[str, Array]]:
        """Yield the frames of each batch of numbers, as ``batch`` does; what is small is looked up for many at once.

        Args:
            batches: For example ``Batches``.
            out: From ``room``: each batch overwrites the one before. About 128 frames fit a core's cache, which makes a
                pass several times faster than new memory for each batch.

        Raises:
            InvalidInput: As ``batch`` does.
        """
        coming = iter(batches)
        while group := list(islice(coming, _PLANNED)):
            plan, at = _Plan.of(self.frames, np.concatenate(group)), 0
            for batch in group:
                yield self._fill(plan, slice(at, at := at + len(batch)), out)

    def _fill(self, plan: "_Plan", part: slice, out: Mapping[str, Array] | None) -> dict[str, Array]:
        size = part.stop - part.start
        out = self.room(size) if out is None else out
        if len(out["reward"]) < size:
            raise InvalidInput(f"out has room for {len(out['reward'])} frames; {size} were asked for")
        batch = {name: values[:size] for name, values in out.items()}
        self._write_states(plan, part, batch["state"], batch["next_state"])
        self._write_actions(plan.items[part], batch["action"])
        batch["reward"][:], batch["done"][:] = plan.reward[part], plan.done[part]
        return batch

    def _write_actions(self, items: NDArray[np.int32], action: Array) -> None:
        if self.action == "embedding":
            np.take(self._vectors, items, axis=0, out=action, mode="clip")
        elif self.action == "index":
            action[:] = items
        else:
            action[:] = 0
            action[np.arange(len(items)), items] = 1

    def _write_states(self, plan: "_Plan", part: slice, state: FloatArray, following: FloatArray) -> None:
        size, last = part.stop - part.start, plan.last[part]
        far = (plan.far[part.start + 1 : part.stop].nonzero()[0] + 1).tolist()
        if self.frames.padded or _FEW * (len(far) + 1) > size:
            for at in range(0, size, _STRANGERS):
                block = slice(at, at + _STRANGERS)
                self._write_strangers(plan.frames[part][block], state[block], following[block])
            return
        for first, end in pairwise([0, *far, size]):
            for at in range(first, end, _NEIGHBOURS):
                block = slice(at, min(at + _NEIGHBOURS, end))
                self._write_neighbours(last[block], state[block], following[block])

    def _write_neighbours(self, last: IntArray, state: FloatArray, following: FloatArray) -> None:
        """Write frames that lie close together: each vector is fetched once, and the windows are views of them."""
        log, f, d = self.frames.trajectories, self.frames.frame_size, self._vectors.shape[1]
        begin, end = int(last[0]) - f, int(last[-1]) + 1
        vectors = np.take(self._vectors, log.items[begin:end], axis=0, mode="clip")
        count = end - begin - f + 1
        windows: Array = np.ndarray((count, f * d), np.float32, vectors, 0, (4 * d, 4))
        ratings: Array = np.ndarray((count, f), np.float32, log.ratings, 4 * begin, (4, 4))
        parts = (windows, state[:, : f * d], following[:, : f * d]), (ratings, state[:, f * d :], following[:, f * d :])
        runs = ((last[1:] - last[:-1] != 1).nonzero()[0] + 1).tolist()
        for at, to in pairwise([0, *runs, len(last)]):
            place, n = int(last[at]) - f - begin, to - at
            for source, now, then in parts:
                now[at:to] = source[place : place + n]
                then[at:to] = source[place + 1 : place + n + 1]

    def _write_strangers(self, frames: IntArray, state: FloatArray, following: FloatArray) -> None:
        """Write frames that may lie anywhere; state and next state share what is fetched."""
        windows, f, d = self.frames.windows(frames), self.frames.frame_size, self._vectors.shape[1]
        vectors = np.take(self._vectors, windows.items, axis=0, mode="clip").reshape(len(state), -1)  # [n, (f + 1) d]
        state[:, : f * d], state[:, f * d :] = vectors[:, : f * d], windows.ratings[:, :-1]
        following[:, : f * d], following[:, f * d :] = vectors[:, d:], windows.ratings[:, 1:]


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is small of some frames [B]: their numbers, their actions' rows of the log, and what stands there.

    ``far`` says which frame does not lie shortly after the one before it.
    """

    frames: IntArray
    last: IntArray
    items: NDArray[np.int32]
    reward: NDArray[np.float32]
    done: BoolArray
    far: BoolArray

    @classmethod
    def of(cls, frames: Frames, numbers: IntArray) -> "_Plan":
        log, last = frames.trajectories, frames.actions(numbers)
        done = last + 1 == log.starts[log.starts.searchsorted(last, side="right")]
        steps = np.diff(last, prepend=-1)
        far = (steps < 1) | (steps > _NEAR * (frames.frame_size + 1))
        return cls(numbers, last, log.items[last], log.ratings[last], done, far)
