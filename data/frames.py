"""Frames: windows that slide over what each user answered, as steps of a decision process.

Step t of a user with items ``i_0, i_1, ..`` and ratings ``r_0, r_1, ..`` has the state ``(i_t .. i_t+f-1, r_t .. r_t+f-1)``,
the action ``i_t+f``, the reward ``r_t+f``, and as next state the window moved on by one; the user's last is done. A user
with T answers has ``T - f`` steps.
"""

from dataclasses import dataclass

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from smartrec.core.arrays import BoolArray, FloatArray, IntArray
from smartrec.core.decision import Decision
from smartrec.core.errors import InvalidInput
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions
from smartrec.data.trajectories import Trajectories


@dataclass(frozen=True, eq=False)
class Windows:
    """B frames as numbers.

    Attributes:
        items: int32 [B, f + 1]; the last is the action.
        ratings: float32 [B, f + 1]; the last is the reward.
        done: bool [B].
        user: int64 [B], rows of ``Trajectories.users``.
        step: int64 [B], t.
    """

    items: NDArray[np.int32]
    ratings: NDArray[np.float32]
    done: BoolArray
    user: IntArray
    step: IntArray


class Frames:
    """All frames of a log, as numbers into it: nothing is copied until some are asked for.

    Args:
        trajectories: The log; users with ``frame_size`` answers or fewer have no frame.
        frame_size: f, answers in a state, >= 1.

    Raises:
        InvalidInput: No user has a frame.
    """

    def __init__(self, trajectories: Trajectories, frame_size: int = 10) -> None:
        if frame_size < 1:
            raise InvalidInput(f"frame_size = {frame_size}; allowed: 1 or more answers")
        self.trajectories, self.frame_size = trajectories, frame_size
        counts = np.maximum(trajectories.lengths - frame_size, 0)
        self._ends = np.cumsum(counts)
        # Frame g of user u begins at row g + offset[u] of the log.
        self._offsets = trajectories.starts[:-1] - (self._ends - counts)
        if not self._ends[-1]:
            raise InvalidInput(
                f"no user has more than frame_size = {frame_size} answers (the longest has "
                f"{trajectories.lengths.max()}); take a smaller frame_size or a longer log"
            )

    def __len__(self) -> int:
        return int(self._ends[-1])

    def windows(self, frames: IntArray) -> Windows:
        """Return frames [B], numbers 0..len - 1, in the order of users and time."""
        user = np.searchsorted(self._ends, frames, side="right")
        first = frames + self._offsets[user]
        rows = first[:, None] + np.arange(self.frame_size + 1)
        log = self.trajectories
        done = frames + 1 == self._ends[user]
        return Windows(log.items[rows], log.ratings[rows], done, user, first - log.starts[user])

    def transitions(self, frames: IntArray) -> Transitions:
        """Return frames [B] as agents learn from them: histories of item numbers and ratings, nothing gathered yet."""
        w = self.windows(frames)
        seen = {"history_items": w.items[:, :-1], "history_responses": w.ratings[:, :-1]}
        then = {"history_items": w.items[:, 1:], "history_responses": w.ratings[:, 1:]}
        return Transitions(
            observation=seen,
            decision=Decision(w.items[:, -1].astype(np.int64)),
            responses=w.ratings[:, -1:],
            observed=np.ones((len(frames), 1), bool),
            reward=w.ratings[:, -1],
            next_observation=then,
            terminated=w.done,
            truncated=np.zeros(len(frames), bool),
            visit=w.user,
            step=w.step,
        )

    def problem(self, item_features: FloatArray | None = None, discount: float = 0.99) -> Problem:
        """Return the problem that these are steps of.

        Args:
            item_features: float [I, D], vectors of the items, or None.
            discount: Of future reward, 0..1.
        """
        items, ratings = self.trajectories.n_items, self.trajectories.ratings
        low, high = float(ratings.min()), float(ratings.max())
        space = spaces.Dict(
            {
                "history_items": spaces.MultiDiscrete([items + 1] * self.frame_size),
                "history_responses": spaces.Box(min(low, 0.0), max(high, 0.0), (self.frame_size,)),
            }
        )
        return Problem.from_spaces(space, spaces.Discrete(items), item_features=item_features, discount=discount)
