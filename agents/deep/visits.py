"""What followed each transition in its visit: returns-to-go, put together from steps that come in any order."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from smartrec.core.arrays import Array, BoolArray, FloatArray, IntArray
from smartrec.core.errors import InvalidInput
from smartrec.core.transitions import Transitions


class Visits:
    """Returns-to-go of the transitions of an ``Experience``, in the same places.

    ``rest_t = discount (reward_{t+1} + rest_{t+1})``; 0 after a step that terminated, ``discount`` times the worth of
    the next observation after one that truncated. It is known as soon as all later steps of the visit have come; where
    one is lost, or was overwritten before the visit ended, it never is.

    Args:
        capacity: Of the experience, >= 1.
        discount: Of future reward, 0..1.

    Attributes:
        rest: float [capacity], the discounted return after the step; NaN where it is not known, or nothing is kept.
    """

    def __init__(self, capacity: int, discount: float) -> None:
        self._discount = discount
        self.rest: FloatArray = np.full(capacity, np.nan)
        self._reward: FloatArray = np.zeros(capacity)
        self._numbers: IntArray = np.full((capacity, 2), -1)  # visit and step; -1 where nothing is kept
        self._end: IntArray = np.zeros(capacity, np.int8)  # 1 terminated, 2 truncated

    def record(self, places: IntArray, transitions: Transitions) -> None:
        """Take note of transitions [B] that went to ``places`` [B] of the experience."""
        if self._discount:
            # Another world numbers its visits anew: what was kept under the same numbers is of the one before.
            again = np.isin(_keys(*self._numbers.T), _keys(transitions.visit, transitions.step))
            self._numbers[again] = -1
        seen = np.where(transitions.observed, transitions.responses, 0.0)
        self._reward[places] = seen.sum(axis=1)
        self._numbers[places] = np.column_stack([transitions.visit, transitions.step])
        self._end[places] = np.where(transitions.terminated, 1, np.where(transitions.truncated, 2, 0))
        self.rest[places] = np.nan if self._discount else 0.0

    def settle(
        self, worth: Callable[[IntArray], Array], leads: Callable[[IntArray, IntArray], BoolArray] | None = None
    ) -> None:
        """Work out what can be known by now.

        Args:
            worth: From places to what the next observation there is worth, float [B]; asked of visits cut off.
            leads: From places of steps and of those that the numbers say came next, int [M] each, to whether they did,
                bool [M]; None believes the numbers.
        """
        visit, step = self._numbers.T
        waiting = np.isnan(self.rest) & (visit >= 0)
        self.rest[waiting & (self._end == 1)] = 0.0
        cut = np.flatnonzero(waiting & (self._end == 2))
        if len(cut):
            self.rest[cut] = self._discount * worth(cut)
        rows = np.flatnonzero(np.isin(visit, visit[waiting]))
        rows = rows[np.lexsort((step[rows], visit[rows]))][::-1]
        follows = (visit[rows[1:]] == visit[rows[:-1]]) & (step[rows[1:]] + 1 == step[rows[:-1]])
        if leads is not None:
            follows[follows] = leads(rows[1:][follows], rows[:-1][follows])
        for row, after in zip(rows[1:][follows], rows[:-1][follows], strict=True):  # last steps first
            if waiting[row] and not self._end[row]:
                self.rest[row] = self._discount * (self._reward[after] + self.rest[after])

    @property
    def known(self) -> IntArray:
        """Places whose returns-to-go are known, int [B]."""
        return np.flatnonzero(~np.isnan(self.rest))

    def get_state(self) -> dict[str, Any]:
        """Return all arrays."""
        return {"rest": self.rest, "reward": self._reward, "numbers": self._numbers, "end": self._end}

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo ``get_state``."""
        self.rest, self._reward = state["rest"].copy(), state["reward"].copy()
        self._numbers, self._end = state["numbers"].copy(), state["end"].copy()


def rest_of(transitions: Transitions, worth: Array, discount: float) -> FloatArray:
    """Return what followed each of B transitions in its visit, ``rest_t`` of ``Visits``, float [B].

    Args:
        transitions: The visits, whole; one whose later steps are not among them counts as cut off where it breaks off.
        worth: float [B], what the next observations are worth.
        discount: Of future reward, 0..1.

    Raises:
        InvalidInput: A step of a visit comes twice.
    """
    keys = _keys(transitions.visit, transitions.step)
    if discount and len(np.unique(keys)) < len(keys):
        raise InvalidInput("a step of a visit comes twice in the batch; allowed: once. Draw steps without replacement")
    breaks_off = ~np.isin(keys + 1, keys) & ~transitions.terminated
    visits, places = Visits(len(transitions), discount), np.arange(len(transitions))
    visits.record(places, replace(transitions, truncated=transitions.truncated | breaks_off))
    visits.settle(lambda cut: worth[cut])
    return visits.rest


def _keys(visit: IntArray, step: IntArray) -> IntArray:
    """Return a number for each pair of visit and step, int64 [B]."""
    return visit.astype(np.int64) * 2**32 + step
