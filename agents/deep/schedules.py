"""How often to learn, and options that change with the transitions seen."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from smartrec.core.config import require


@dataclass(frozen=True)
class Schedule:
    """A value that goes from ``start`` to ``end`` over a number of transitions, and stays there.

    Attributes:
        start: Value before any transition; > 0 for "exponential".
        end: Value from ``over`` transitions on; > 0 for "exponential".
        over: Transitions, >= 0; 0 is ``end`` at once.
        shape: "linear", "exponential" (equal factors) or "cosine" (slow, fast, slow).
    """

    start: float
    end: float
    over: int
    shape: Literal["linear", "exponential", "cosine"] = "linear"

    def __post_init__(self) -> None:
        require(self.over >= 0, "over", self.over, "a whole number >= 0")
        known = self.shape in ("linear", "exponential", "cosine")
        require(known, "shape", self.shape, '"linear", "exponential" or "cosine"')
        positive = self.shape != "exponential" or min(self.start, self.end) > 0
        require(positive, "start and end", (self.start, self.end), "numbers > 0 for an exponential schedule")

    def at(self, transitions: int) -> float:
        """Return the value after so many transitions."""
        if transitions >= self.over:
            return self.end
        share = transitions / self.over
        if self.shape == "exponential":
            return float(self.start * (self.end / self.start) ** share)
        if self.shape == "cosine":
            share = (1 - math.cos(math.pi * share)) / 2
        return self.start + share * (self.end - self.start)


class Cadence:
    """Counts transitions, and says how many gradient steps are due for them.

    Args:
        every: Transitions between two rounds of learning, >= 1.
        steps: Gradient steps a round, >= 1.
        warmup: Transitions before the first round, >= 0.

    Attributes:
        transitions: Transitions so far.
    """

    def __init__(self, every: int, steps: int, warmup: int) -> None:
        for name, value, least in (("train_every", every, 1), ("gradient_steps", steps, 1), ("warmup", warmup, 0)):
            require(value >= least, name, value, f"a whole number >= {least}")
        self._every, self._steps, self._warmup = every, steps, warmup
        self.transitions = self._rounds = 0

    def count(self, transitions: int) -> None:
        """Take note of transitions."""
        self.transitions += transitions

    def due(self) -> int:
        """Return the gradient steps due since the last call; a batch of N transitions counts as N."""
        rounds = self.transitions // self._every
        came, self._rounds = rounds - self._rounds, rounds
        return came * self._steps if self.transitions > self._warmup else 0

    def get_state(self) -> dict[str, Any]:
        """Return the counts."""
        return {"transitions": self.transitions, "rounds": self._rounds}

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo ``get_state``."""
        self.transitions, self._rounds = int(state["transitions"]), int(state["rounds"])
