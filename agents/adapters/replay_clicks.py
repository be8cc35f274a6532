"""Clicks one by one, for recommenders that read them in the order of time."""

import numpy as np

from smartrec.core.arrays import Array, IntArray
from smartrec.core.transitions import Transitions


class Clicks:
    """Users, items and times of clicks, whatever the order in which they come."""

    def __init__(self) -> None:
        self._rows: IntArray = np.zeros((0, 3), np.int64)
        self._fresh: list[IntArray] = []

    def record(self, users: IntArray, transitions: Transitions) -> None:
        """Keep the clicks of transitions by ``users`` [B]; a response counts as one from a half on."""
        clicked = transitions.observed & (np.rint(transitions.responses) > 0)
        lanes, places = np.nonzero(clicked)
        # Step by step, and down the slate within a step.
        times = transitions.step[lanes] * clicked.shape[1] + places
        self._fresh.append(np.column_stack([users[lanes], transitions.items[lanes, places], times]))

    def rows(self) -> IntArray:
        """Return user, item and time of every click, int [3, R], user by user in the order of time."""
        rows = np.concatenate([self._rows, *self._fresh])
        self._rows, self._fresh = rows[np.lexsort(rows.T[[1, 2, 0]])], []
        return self._rows.T

    def get_state(self) -> dict[str, Array]:
        """Return the arrays that ``set_state`` reads."""
        return {"rows": self.rows().T}

    def set_state(self, state: dict[str, Array]) -> None:
        """Undo ``get_state``."""
        self._rows, self._fresh = state["rows"], []
