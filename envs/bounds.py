"""What policies that know the truth would get from each user."""

from typing import NamedTuple

import numpy as np

from smartrec.core.arrays import FloatArray, IntArray
from smartrec.core.decision import Mask
from smartrec.envs.crowd import Crowd
from smartrec.envs.lanes import Part
from smartrec.response_models.base import State

BLOCK = 2000
"""Users worked out at once: enough for speed, few enough for [N, I] tables of large catalogues."""


class Everyone(NamedTuple):
    """Expected reward a step of a random and of the best slate for each user, and what all users think of each item.

    Attributes:
        random: float [U].
        best: float [U].
        mean_scores: float [I], probability of each item, mean over the users; NaN where a slate is worth more or
            less than the sum of its probabilities, so that these do not tell what one slate is worth to all.
    """

    random: FloatArray
    best: FloatArray
    mean_scores: FloatArray


class Bounds:
    """Expected rewards of a random and of the best slate.

    Where neither the clock nor a mask changes them they are worked out once, for all users.

    Args:
        crowd: Who is served.
        slate_size: K.
    """

    def __init__(self, crowd: Crowd, slate_size: int) -> None:
        self._crowd, self._slate_size = crowd, slate_size
        # A mask may say that it does not follow the clock; one that says nothing is taken to.
        self._fixed = crowd.model.stationary and (crowd.mask is None or getattr(crowd.mask, "stationary", False))
        self._kept: dict[int, Everyone] = {}

    def of(self, users: IntArray, state: State) -> tuple[FloatArray, FloatArray]:
        """Return random and best of ``users``, float [N] each."""
        if self._fixed:
            everyone = self.everyone(state.clock)
            return everyone.random[users], everyone.best[users]
        return self._of_scores(users, self._crowd.model.scores(users, state), state.clock)

    def of_parts(self, parts: list[Part]) -> tuple[FloatArray, FloatArray]:
        """Return random and best of the users of all parts, float [N] each."""
        found = [self.of(part.users, part.state) for part in parts]
        random, best = (np.concatenate(values) for values in zip(*found, strict=True))
        return random, best

    def everyone(self, clock: int) -> Everyone:
        """Return the figures of all users at ``clock``."""
        clock = 1 if self._fixed else clock
        if clock not in self._kept:
            self._kept[clock] = self._work_out(clock)
        return self._kept[clock]

    def _work_out(self, clock: int) -> Everyone:
        crowd, state = self._crowd, self._crowd.model.at(clock)
        found = Everyone(np.empty(crowd.n_users), np.empty(crowd.n_users), np.zeros(crowd.n_items))
        for start in range(0, crowd.n_users, BLOCK):
            users = np.arange(start, min(start + BLOCK, crowd.n_users))
            scores = crowd.model.scores(users, state)
            found.random[users], found.best[users] = self._of_scores(users, scores, clock)
            found.mean_scores[:] += scores.sum(axis=0, dtype=np.float64) / crowd.n_users
        if not crowd.choice.additive:
            found.mean_scores[:] = np.nan
        return found

    def _of_scores(self, users: IntArray, scores: FloatArray, clock: int) -> tuple[FloatArray, FloatArray]:
        choice, k = self._crowd.choice, self._slate_size
        if self._crowd.mask is not None:
            allowed = Mask(self._crowd.allowed(users, clock)).allowed
            scores = np.where(allowed, scores, -np.inf)
        return choice.random(scores, k), choice.best(scores, k)
