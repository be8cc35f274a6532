"""Softmax, or Boltzmann, exploration: the better the mean so far, the more likely.

``P(i) = exp(mean[i] / temperature) / sum_j exp(mean[j] / temperature)``, ``mean[i] = clicks[i] / shown[i]``

Source: Sutton and Barto, Reinforcement Learning, section 2.3 of the first edition. Departures: (1) each of N users
gets a draw of his own; (2) a slate is drawn one item after another without replacement (Plackett-Luce), so that its
probability is exact; (3) an item that is less likely than 1e-12 times the likeliest one counts as that likely, so
that a slate can always be filled; (4) an item never shown has the mean ``unseen``, and 0 where nothing is explored.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from smartrec.agents import exploration
from smartrec.agents.bandits.counts import Counts
from smartrec.agents.base import Agent, Tags, lanes_of
from smartrec.agents.forgetting import Forgetting
from smartrec.core.arrays import BoolArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions


@dataclass(frozen=True)
class SoftmaxConfig:
    """Options of ``Softmax``.

    Attributes:
        temperature: Difference of means, in clicks, that makes an item e times as likely, > 0.
        unseen: Mean of an item never shown while exploring, in clicks; 1 tries everything soon.
        discount: Weight that feedback keeps a tick of the clock, 0..1; 1 forgets nothing.
        window: Ticks that feedback counts, or None.
    """

    temperature: float = 0.1
    unseen: float = 1.0
    discount: float = 1.0
    window: int | None = None

    def __post_init__(self) -> None:
        require(0 < self.temperature < np.inf, "temperature", self.temperature, "a finite number > 0")
        require(np.isfinite(self.unseen), "unseen", self.unseen, "a finite number")


class Softmax(Agent):
    """Boltzmann exploration on click rates."""

    tags: ClassVar[Tags] = Tags(counts=True, learns_from_logs=True, propensities=True)
    Config = SoftmaxConfig

    def __init__(self, problem: Problem, config: SoftmaxConfig | None = None, *, seed: int) -> None:
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
        """Draw by Boltzmann weights, lane by lane; ``explore=False`` takes the best means."""
        self.counts.look(observation)
        if not explore:
            return self.choose(self.counts.mean(unseen=0.0), observation, allowed)
        means, candidates = self.restrict(self.counts.mean(self.config.unseen)[None], allowed)  # [1, I] or [N, C]
        # Relative to the best of what is allowed: the weights of the rest may otherwise all be zero.
        below = means - means.max(axis=1, keepdims=True)
        weights = np.where(below > -np.inf, np.exp(below / self.config.temperature), -np.inf)
        picked = exploration.proportional(weights, lanes_of(observation), self.problem.slate_size, self.rng)
        return self.decide(*picked, candidates)

    def observe(self, transitions: Transitions) -> None:
        """Count."""
        self.counts.record(transitions)
