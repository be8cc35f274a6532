"""Popularity that turns around: what was liked falls, what was not rises."""

import numpy as np

from smartrec.core.arrays import FloatArray, IntArray
from smartrec.core.config import require
from smartrec.core.errors import InvalidInput
from smartrec.response_models.base import ResponseModel, State
from smartrec.response_models.popularity import Popularity


class DriftingPopularity(ResponseModel):
    """Popularity with a drift over the clock.

    ``p(t) = clip(popularity + rate * direction * d, 0, 1)`` with ``d = min(max(t - start, 0), end - start)``:
    no change up to clock ``start``, the last one at clock ``end``.

    Args:
        popularity: float [I], click probability of each item before the drift.
        direction: float [I], -1 for items that fall, +1 for items that rise, 0 for the others; None takes
            the best three tenths of the items as falling and the worst three tenths as rising.
        start: Last clock without drift.
        end: Clock at which the drift stops, >= start.
        rate: Change of the probability a tick, >= 0.

    Raises:
        InvalidInput: A probability outside [0, 1], or directions that are not finite or not one an item.
        InvalidConfig: ``end`` or ``rate`` out of range.
    """

    stationary = False

    def __init__(
        self,
        popularity: FloatArray,
        direction: FloatArray | None = None,
        start: int = 5,
        end: int = 15,
        rate: float = 0.06,
    ) -> None:
        require(end >= start, "end", end, f"a clock from start = {start} on")
        require(rate >= 0, "rate", rate, "a number >= 0")
        self.before = Popularity(popularity).popularity
        self.n_items = len(self.before)
        self.direction = turn_around(self.before) if direction is None else np.asarray(direction, np.float64)
        if self.direction.shape != self.before.shape or not np.isfinite(self.direction).all():
            raise InvalidInput(
                f"direction has shape {self.direction.shape} and values {self.direction}; "
                f"allowed: {self.n_items} finite numbers, one an item"
            )
        self.start_clock, self.end_clock, self.rate = start, end, rate

    @classmethod
    def example(cls, n_users: int, n_items: int, seed: int = 0) -> "DriftingPopularity":
        """Return one that drifts from the first clock on."""
        return cls(np.random.default_rng(seed).random(n_items), start=1, end=11)

    def popularity(self, clock: int) -> FloatArray:
        """Return the click probability of each item at ``clock``, float [I]."""
        elapsed = min(max(clock - self.start_clock, 0), self.end_clock - self.start_clock)
        return np.clip(self.before + self.rate * elapsed * self.direction, 0.0, 1.0)

    def probability(self, users: IntArray, items: IntArray, state: State) -> FloatArray:
        """Return ``popularity(clock)[items]``, float [N, K]."""
        return self.popularity(state.clock).take(items)

    def scores(self, users: IntArray, state: State) -> FloatArray:
        """Return the same row for every user, float [N, I], as a view."""
        return np.broadcast_to(self.popularity(state.clock), (len(users), self.n_items))


def turn_around(popularity: FloatArray) -> FloatArray:
    """Return float [I]: -1 for the best three tenths of the items, +1 for the worst three tenths, else 0."""
    share = round(0.3 * len(popularity))
    order = np.argsort(-popularity, kind="stable")
    direction = np.zeros(len(popularity))
    direction[order[:share]] = -1.0
    direction[order[len(popularity) - share :]] = 1.0
    return direction
