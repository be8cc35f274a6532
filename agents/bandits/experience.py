"""The latest showings, for agents that learn from rows and not from sums."""

from typing import Any, NamedTuple

import numpy as np

from smartrec.agents.forgetting import Forgetting, clocks_of
from smartrec.agents.growth import NewItems
from smartrec.core.arrays import FloatArray, IntArray, Observation
from smartrec.core.errors import InvalidInput
from smartrec.core.transitions import Transitions


class Showings(NamedTuple):
    """Rows of feedback, one a showing that somebody saw.

    Attributes:
        x: float [R, D], features of the user.
        items: int [R].
        responses: float [R], 0..1.
        clocks: int [R], when it was decided.
    """

    x: FloatArray
    items: IntArray
    responses: FloatArray
    clocks: IntArray

    def rows(self, which: IntArray | slice) -> "Showings":
        """Return some of the rows."""
        return Showings(self.x[which], self.items[which], self.responses[which], self.clocks[which])


class Experience:
    """A bounded number of showings: ``fresh`` ones, and ``old`` ones that were already learnt from.

    Weights by age stand for what a discount or a window does to sums: feedback of clock c weighs
    ``discount ** (now - c)``, and nothing once the window or the bound has passed it.

    Args:
        capacity: Most showings kept, > 0; the first that came are the first to go.
        d: D, number of features.
        forgetting: Window and discount.

    Attributes:
        old: What ``settle`` kept.
        now: The latest clock seen; -1 before the first.
    """

    def __init__(self, capacity: int, d: int, forgetting: Forgetting) -> None:
        self.old = Showings(np.zeros((0, d)), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64))
        self.now = -1
        self._capacity, self._forgetting = capacity, forgetting
        self._fresh: list[Showings] = []

    @property
    def fresh(self) -> int:
        """How many showings came since ``settle``."""
        return sum(len(part.items) for part in self._fresh)

    def fresh_items(self) -> IntArray:
        """Return the items of the showings that came since ``settle``, int [F]."""
        return np.concatenate([np.zeros(0, np.int64), *(part.items for part in self._fresh)])

    @property
    def ages(self) -> bool:
        """Whether time changes weights."""
        return self._forgetting != Forgetting()

    def look(self, observation: Observation) -> bool:
        """Let time pass up to the observed clock, or by one step; return whether it did."""
        clock = observation.get("clock")
        now = self.now + 1 if clock is None else int(clock.max())
        passed = now > self.now
        self.now = max(now, self.now)
        return passed

    def record(self, transitions: Transitions, x: FloatArray) -> Showings:
        """Keep what somebody saw, of users x [B, D], and return it.

        Raises:
            InvalidInput: A response outside 0..1; then nothing is kept.
        """
        lanes, places = np.nonzero(transitions.observed)
        responses = transitions.responses[lanes, places].astype(np.float64)
        if responses.size and not (responses.min() >= 0 and responses.max() <= 1):
            raise InvalidInput(
                f"responses from {responses.min()} to {responses.max()}; allowed: 0 to 1 for an agent that learns "
                "click rates. Scale the reward first"
            )
        clocks = clocks_of(transitions)[lanes].astype(np.int64)
        came = Showings(x[lanes], transitions.items[lanes, places].astype(np.int64), responses, clocks)
        if len(lanes):
            self._fresh.append(came)
            self.now = max(self.now, int(clocks.max()))
        return came

    def settle(self) -> Showings:
        """Join old and fresh, let go of what weighs nothing or is beyond the capacity, and return the rest."""
        joined = _joined([self.old, *self._fresh])
        kept = np.flatnonzero(self._weights(joined) > 0)[-self._capacity :]
        self.old, self._fresh = joined.rows(kept), []
        return self.old

    def due(self, least: int) -> bool:
        """Whether ``least`` showings came since ``settle``, and a tenth of what was there: then each showing is
        learnt from some ten times, however many there are.
        """
        return self.fresh >= max(least, len(self.old.items) / 10)

    def weights(self) -> FloatArray:
        """Return the weights of the old showings as of now, float [R]."""
        return self._weights(self.old)

    def grow(self, came: NewItems) -> None:
        """Take in items that come: rows need no room for them."""

    def get_state(self) -> dict[str, Any]:
        """Return arrays and numbers that ``set_state`` reads."""
        fresh = _joined([self.old.rows(slice(0)), *self._fresh])
        old = {f"old.{name}": part for name, part in self.old._asdict().items()}
        return {**old, **{f"fresh.{name}": part for name, part in fresh._asdict().items()}, "now": self.now}

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo ``get_state``."""
        self.now = int(state["now"])
        self.old = Showings(*(state[f"old.{name}"] for name in Showings._fields))
        self._fresh = [Showings(*(state[f"fresh.{name}"] for name in Showings._fields))]

    def _weights(self, showings: Showings) -> FloatArray:
        ages = np.maximum(self.now - showings.clocks, 0)
        weights: FloatArray = np.power(self._forgetting.discount, ages)
        window = self._forgetting.window
        return weights if window is None else np.where(ages <= window, weights, 0.0)


def _joined(parts: list[Showings]) -> Showings:
    return Showings(
        np.concatenate([part.x for part in parts]),
        np.concatenate([part.items for part in parts]),
        np.concatenate([part.responses for part in parts]),
        np.concatenate([part.clocks for part in parts]),
    )
