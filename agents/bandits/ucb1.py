"""UCB1: every item once, then the largest upper confidence bound.

``score[i] = clicks[i] / shown[i] + sqrt(c ln t / shown[i])``, infinite for an item never shown,
``t`` = all showings so far, ``c = 2``

Source: Auer, Cesa-Bianchi and Fischer 2002. Its sliding-window form (Garivier and Moulines 2008) is
``coefficient=xi, window=tau``, whose t is then the smaller of rounds and window, and its discounted form is
``coefficient=4 xi, discount=gamma``: both count showings and t alike inside what is remembered. Departures: (1) ties
are broken at random for each user, so that a batch of new users is spread over all items; (2) each of the K items of
a slate that somebody saw is a round; (3) ``ln t`` is 0 while less than one showing is remembered.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from smartrec.agents.bandits.counts import Counts
from smartrec.agents.base import Agent, Tags
from smartrec.agents.forgetting import Forgetting
from smartrec.core.arrays import BoolArray, FloatArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions

TINY = 1e-200
"""A showing discounted to less than this would make the bound overflow."""


@dataclass(frozen=True)
class UCB1Config:
    """Options of ``UCB1``.

    Attributes:
        coefficient: c, what ln t is multiplied by under the root, >= 0; 2 is UCB1.
        discount: Weight that feedback keeps a tick of the clock, 0..1; 1 forgets nothing.
        window: Ticks that feedback counts, or None.
    """

    coefficient: float = 2.0
    discount: float = 1.0
    window: int | None = None

    def __post_init__(self) -> None:
        require(0 <= self.coefficient < np.inf, "coefficient", self.coefficient, "a finite number >= 0")


class UCB1(Agent):
    """UCB1 on click rates."""

    tags: ClassVar[Tags] = Tags(counts=True, learns_from_logs=True, propensities=True)
    Config = UCB1Config

    def __init__(self, problem: Problem, config: UCB1Config | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        self.counts = Counts(self.items, Forgetting(self.config.discount, self.config.window))

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Choose by upper bound; ``explore=False`` takes the best means."""
        self.counts.look(observation)
        return self.choose(self.scores() if explore else self.counts.mean(unseen=0.0), observation, allowed)

    def observe(self, transitions: Transitions) -> None:
        """Count."""
        self.counts.record(transitions)

    def scores(self) -> FloatArray:
        """Return the upper bounds, float [I], infinite where an item was never shown."""
        shown = self.counts.shown
        spread = self.config.coefficient * np.log(max(shown.sum(), 1.0))
        bound: FloatArray = np.sqrt(spread / (np.maximum(shown, 0.0) + TINY))
        return self.counts.mean(unseen=np.inf) + bound
