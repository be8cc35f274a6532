"""Steps of the same visit in a ring of transitions, whatever the order in which they came."""

from collections.abc import Callable
from typing import Any

import numpy as np

from smartrec.core.arrays import Array, BoolArray, IntArray

Joins = Callable[[IntArray, IntArray], BoolArray]
"""Of places of earlier and of later steps [M]: whether the one really led to the other, bool [M]."""


class Links:
    """Where the step before and the step after each transition of a ring are.

    Steps may come in any order. One that is lost, or was overwritten, leaves a gap that nothing crosses. Where a visit
    and step come twice, as after a world began anew, the later one is found, and the earlier keeps the links it has.

    Args:
        capacity: Places of the ring, >= 1.

    Attributes:
        previous: int [capacity], place of the step before in the same visit; -1 where it is not kept.
        following: int [capacity], place of the step after; -1 where it is not kept.
    """

    def __init__(self, capacity: int) -> None:
        self.previous: IntArray = np.full(capacity, -1)
        self.following: IntArray = np.full(capacity, -1)
        self._key: IntArray = np.full(capacity, -1)  # visit and step in one number
        self._place: dict[int, int] = {}

    def record(self, places: IntArray, visit: IntArray, step: IntArray, joins: Joins) -> None:
        """Link transitions that went to ``places`` [B] of the ring.

        Args:
            places: Each once; what they held is forgotten.
            visit: int [B], 0 to 2^31 - 1.
            step: int [B], 0 to 2^32 - 2.
            joins: Asked before two steps are linked.
        """
        self._forget(places)
        key = (visit.astype(np.int64) << 32) + step
        again = self._look_up(key)
        self._key[again[again >= 0]] = -1
        self._place.update(zip(key.tolist(), places.tolist(), strict=True))
        self._key[places] = np.where(self._look_up(key) == places, key, -1)
        self._link(
            np.concatenate([self._look_up(key - 1), places]), np.concatenate([places, self._look_up(key + 1)]), joins
        )

    def windows(self, rows: IntArray, length: int) -> tuple[IntArray, BoolArray]:
        """Return what led to ``rows`` [B]: places [B, T], oldest first and the row last, and which are known [B, T]."""
        places = _walk(self.previous, rows, length)[:, ::-1]
        return places.clip(min=0), places >= 0

    def ahead(self, rows: IntArray, length: int) -> tuple[IntArray, BoolArray]:
        """Return what followed on ``rows`` [B]: places [B, T], the row first, and which are known [B, T]."""
        places = _walk(self.following, rows, length)
        return places.clip(min=0), places >= 0

    def get_state(self) -> dict[str, Any]:
        """Return links, and visits and steps."""
        return {"previous": self.previous, "following": self.following, "key": self._key}

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo ``get_state``."""
        self.previous, self.following = state["previous"].copy(), state["following"].copy()
        self._key = state["key"].copy()
        named = np.flatnonzero(self._key >= 0)
        self._place = dict(zip(self._key[named].tolist(), named.tolist(), strict=True))

    def _forget(self, places: IntArray) -> None:
        for there, back in ((self.previous, self.following), (self.following, self.previous)):
            partner = there[places]
            back[partner[partner >= 0]] = -1
            there[places] = -1
        for key in self._key[places].tolist():
            if key >= 0:
                del self._place[key]

    def _look_up(self, key: IntArray) -> IntArray:
        """Return the places of visits and steps, int [B]; -1 where one is not kept."""
        return np.array([self._place.get(one, -1) for one in key.tolist()], np.int64)

    def _link(self, earlier: IntArray, later: IntArray, joins: Joins) -> None:
        """Link places of earlier and later steps [M]; -1 stands for none."""
        there = (earlier >= 0) & (later >= 0)
        earlier, later = earlier[there], later[there]
        good = joins(earlier, later)
        earlier, later = earlier[good], later[good]
        for side in (0, 1):  # a step has one before it and one after it
            _, once = np.unique((earlier, later)[side], return_index=True)
            earlier, later = earlier[once], later[once]
        for there_, back, ends in ((self.following, self.previous, earlier), (self.previous, self.following, later)):
            partner = there_[ends]
            back[partner[partner >= 0]] = -1
        self.following[earlier], self.previous[later] = later, earlier


def _walk(links: IntArray, rows: IntArray, length: int) -> Array:
    """Return places [B, T]: the rows, then a link further each; -1 from the first gap on."""
    places = np.full((len(rows), length), -1)
    places[:, 0] = rows
    for t in range(1, length):
        before = places[:, t - 1]
        places[:, t] = np.where(before >= 0, links[before], -1)
    return places
