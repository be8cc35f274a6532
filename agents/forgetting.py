"""Sums of feedback that forget: a window or a discount over sufficient statistics, written once."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from smartrec.agents.growth import NewItems
from smartrec.core.arrays import Array, FloatArray, IntArray, Observation
from smartrec.core.config import require
from smartrec.core.errors import InvalidInput
from smartrec.core.transitions import Transitions


@dataclass(frozen=True)
class Forgetting:
    """How fast feedback loses weight, in ticks of the observed clock (in steps where none is observed).

    Attributes:
        discount: Feedback of clock c weighs ``discount ** (now - c)``; 0..1, 1 forgets nothing.
        window: Feedback older than this many ticks weighs nothing: it counts while ``now - c <= window``, which
            is the tick under way and the last ``window`` before it; None forgets nothing.
    """

    discount: float = 1.0
    window: int | None = None

    def __post_init__(self) -> None:
        require(0 <= self.discount <= 1, "discount", self.discount, "0 to 1")
        require(self.window is None or self.window >= 1, "window", self.window, "None or a whole number >= 1")


class Evidence:
    """Sums of feedback, one row an item, each summand weighed by its age.

    The weight depends on the clock of the feedback and on the clock now alone: not on how many users were
    served at once, nor on how late the feedback came. Priors are no feedback: they are added by who reads the
    sums.

    Args:
        shape: (I, ...), one row of sums an item.
        forgetting: The weights.

    Attributes:
        sums: float [I, ...], the weighted sums as of ``now``.
        now: The latest clock seen; -1 before the first.
        prior: float [J, ...], what the last J rows, items that came later, hold beside their feedback.
    """

    def __init__(self, shape: tuple[int, ...], forgetting: Forgetting) -> None:
        self.forgetting = forgetting
        self.sums: FloatArray = np.zeros(shape)
        self.prior: FloatArray = np.zeros((0, *shape[1:]))
        self.now = -1
        # What the window still holds, as it came: clock -> [(items, summands)]. Rows that nobody was shown are
        # not kept, so a window of a thousand ticks over a thousand items stays as small as its feedback.
        self._parts: dict[int, list[tuple[IntArray, FloatArray]]] = {}
        self._alive = np.zeros(shape[0], np.int64)  # how many summands of each row the window holds

    @property
    def total(self) -> FloatArray:
        """float [I, ...], the sums and, where items came later, the priors fitted for them, which nothing forgets."""
        if not len(self.prior):
            return self.sums
        total = self.sums.copy()
        total[-len(self.prior) :] += self.prior
        return total

    def look(self, observation: Observation) -> bool:
        """Let time pass up to the observed clock, or by one step; return whether the sums have changed."""
        clock = observation.get("clock")
        if clock is None:
            return self.advance(self.now + 1)
        now = int(clock.max())
        if now < self.now and self.forgetting != Forgetting():
            raise InvalidInput(
                f"the clock went back from {self.now} to {now}: this agent has lived in another world, and tells the "
                "age of feedback by the clock. Make a new agent for each world"
            )
        return self.advance(now)

    def advance(self, now: int) -> bool:
        """Let time pass up to clock ``now``; return whether the sums have changed."""
        elapsed, before = now - self.now, self.now
        if elapsed <= 0:
            return False
        self.now = now
        changed = self.forgetting.discount < 1
        if changed:
            self.sums *= self.forgetting.discount**elapsed
        if self.forgetting.window is not None:
            for clock in self._expired(before, self.forgetting.window):
                self._drop(clock)
                changed = True
        return changed

    def add(self, clock: int, items: IntArray, sums: FloatArray) -> bool:
        """Add feedback that was given at ``clock``; return whether rows of other items have changed too.

        Args:
            clock: When the decision was made; a later one than now moves time on.
            items: Different items, int [M].
            sums: float [M, ...], what to add to their rows; kept under a window, so hand over an array of your
                own.
        """
        changed = self.advance(clock)
        age, window = self.now - clock, self.forgetting.window
        if window is not None:
            if age > window:
                return changed
            self._parts.setdefault(clock, []).append((items, sums))
            self._alive[items] += 1
        self.sums[items] += self.forgetting.discount**age * sums
        return changed

    def split(self, transitions: Transitions) -> list[tuple[int, IntArray | slice]]:
        """Return clock and rows of the feedback that has the same weight, earliest first."""
        clocks = clocks_of(transitions)
        if not len(clocks):
            return []
        if self.forgetting == Forgetting() or (clocks[0] == clocks).all():
            return [(int(clocks.max()), slice(None))]
        order = np.argsort(clocks, kind="stable")
        values, starts = np.unique(clocks[order], return_index=True)
        return list(zip(map(int, values), np.split(order, starts[1:]), strict=True))

    def grow(self, came: NewItems, prior: FloatArray | None = None) -> None:
        """Take in items that come.

        Args:
            came: The items.
            prior: float [count, ...], their rows before any feedback; None for nothing.
        """
        rows = np.zeros((came.count, *self.sums.shape[1:]))
        self.sums = np.concatenate([self.sums, rows])
        self.prior = np.concatenate([self.prior, rows if prior is None else prior])
        self._alive = np.concatenate([self._alive, np.zeros(came.count, np.int64)])

    def get_state(self) -> dict[str, Any]:
        """Return arrays and numbers that ``set_state`` reads."""
        parts = [(clock, items, sums) for clock, kept in self._parts.items() for items, sums in kept]
        none = np.zeros((0, *self.sums.shape[1:]))
        return {
            "sums": self.sums,
            "prior": self.prior,
            "now": self.now,
            "alive": self._alive,
            "clocks": np.array([clock for clock, _, _ in parts], np.int64),
            "ends": np.cumsum([len(items) for _, items, _ in parts], dtype=np.int64),
            "items": np.concatenate([np.zeros(0, np.int64), *(items for _, items, _ in parts)]),
            "parts": np.concatenate([none, *(sums for _, _, sums in parts)]),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo ``get_state``."""
        self.sums, self.now, self._alive = state["sums"], int(state["now"]), state["alive"]
        self.prior = state["prior"]
        ends = state["ends"][:-1]
        items, parts = np.split(state["items"], ends), np.split(state["parts"], ends)
        self._parts = {}
        for clock, part in zip(state["clocks"], zip(items, parts, strict=True), strict=False):
            self._parts.setdefault(int(clock), []).append(part)

    def _expired(self, before: int, window: int) -> list[int]:
        """Return the clocks that left the window since ``before``."""
        oldest, newest = before - window, self.now - window - 1
        if newest - oldest < len(self._parts):
            return [clock for clock in range(oldest, newest + 1) if clock in self._parts]
        return [clock for clock in self._parts if clock <= newest]

    def _drop(self, clock: int) -> None:
        weight = self.forgetting.discount ** (self.now - clock)
        for items, sums in self._parts.pop(clock):
            self.sums[items] -= weight * sums
            self._alive[items] -= 1
            # Rounding must not leave 1e-17 of a showing behind: the mean of that would be anything.
            self.sums[items[self._alive[items] == 0]] = 0.0


def clocks_of(transitions: Transitions) -> IntArray:
    """Return when the decisions were made, int [B]: the observed clock, or the step where there is none."""
    clock: Array | None = transitions.observation.get("clock")
    return transitions.step if clock is None else clock.reshape(len(transitions))
