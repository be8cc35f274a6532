"""Agents to compare with: one that draws at random and one that shows what was clicked most."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from smartrec.agents.bandits.counts import Counts
from smartrec.agents.base import Agent, Tags
from smartrec.agents.forgetting import Forgetting
from smartrec.agents.growth import Grows
from smartrec.core.arrays import BoolArray, Observation
from smartrec.core.decision import Candidates, Decision
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions


class Random(Agent):
    """A uniformly random slate for everybody: the floor of every table."""

    tags: ClassVar[Tags] = Tags(propensities=True)

    def _growing(self) -> list[Grows]:
        """Return nothing: nothing here is about a single item, and so more of them are no matter."""
        return []

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Choose K different items uniformly; ``explore`` changes nothing."""
        return self.choose(np.zeros(self.items), observation, allowed)


@dataclass(frozen=True)
class MostPopularConfig:
    """Options of ``MostPopular``.

    Attributes:
        discount: Weight that feedback keeps a tick of the clock, 0..1; 1 forgets nothing.
        window: Ticks that feedback counts, or None.
    """

    discount: float = 1.0
    window: int | None = None


class MostPopular(Agent):
    """The items that were clicked most often so far, for everybody.

    ``score[i] = clicks[i]``. It does not explore: what is shown is clicked and so shown again.
    """

    tags: ClassVar[Tags] = Tags(counts=True, learns_from_logs=True, propensities=True)
    Config = MostPopularConfig

    def __init__(self, problem: Problem, config: MostPopularConfig | None = None, *, seed: int) -> None:
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
        """Choose the K items with most clicks; ``explore`` changes nothing."""
        self.counts.look(observation)
        return self.choose(self.counts.clicks, observation, allowed)

    def observe(self, transitions: Transitions) -> None:
        """Count."""
        self.counts.record(transitions)
