"""What frames are as numbers: windows of items and ratings, and the transitions that agents learn from."""

from dataclasses import dataclass

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from smartrec.core.arrays import BoolArray, FloatArray, IntArray
from smartrec.core.decision import Decision
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions


@dataclass(frozen=True, eq=False)
class Windows:
    """B frames as numbers.

    Attributes:
        items: int32 [B, f + 1]; the last is the action; I where nothing was answered yet.
        ratings: float32 [B, f + 1]; the last is the reward; 0 where nothing was answered yet.
        done: bool [B].
        user: int64 [B], rows of ``Trajectories.users``.
        step: int64 [B], t.
    """

    items: NDArray[np.int32]
    ratings: NDArray[np.float32]
    done: BoolArray
    user: IntArray
    step: IntArray

    def transitions(self) -> Transitions:
        """Return them as agents learn from them: histories of item numbers and ratings, nothing gathered yet."""
        return Transitions(
            observation={"history_items": self.items[:, :-1], "history_responses": self.ratings[:, :-1]},
            decision=Decision(self.items[:, -1].astype(np.int64)),
            responses=self.ratings[:, -1:],
            observed=np.ones((len(self.done), 1), bool),
            reward=self.ratings[:, -1],
            next_observation={"history_items": self.items[:, 1:], "history_responses": self.ratings[:, 1:]},
            terminated=self.done,
            truncated=np.zeros(len(self.done), bool),
            visit=self.user,
            step=self.step,
        )


def problem_of_windows(
    n_items: int, frame_size: int, low: float, high: float, item_features: FloatArray | None, discount: float
) -> Problem:
    """Return the problem whose observations are histories of ``frame_size`` items with ratings ``low .. high``."""
    space = spaces.Dict(
        {
            "history_items": spaces.MultiDiscrete([n_items + 1] * frame_size),
            "history_responses": spaces.Box(min(low, 0.0), max(high, 0.0), (frame_size,)),
        }
    )
    return Problem.from_spaces(space, spaces.Discrete(n_items), item_features=item_features, discount=discount)
