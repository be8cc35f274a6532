"""Thompson sampling on click rates.

``draw p[n, i] ~ Beta(a + clicks[i], b + shown[i] - clicks[i])``, ``slate[n] = top K of p[n]``

Source: Thompson 1933; Chapelle and Li 2011. Departures: (1) every user gets a draw of his own, so that a
batch explores; (2) with a discount or a window only feedback is forgotten, never the prior (Raj and Kalyani
2017).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from smartrec.agents.bandits.counts import Counts
from smartrec.agents.base import Agent, Tags, lanes_of
from smartrec.agents.forgetting import Forgetting
from smartrec.core.arrays import BoolArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions


@dataclass(frozen=True)
class ThompsonConfig:
    """Options of ``Thompson``.

    Attributes:
        prior_clicks: a of the Beta prior, in clicks, > 0.
        prior_misses: b of the Beta prior, in showings without a click, > 0.
        discount: Weight that feedback keeps a tick of the clock, 0..1; 1 forgets nothing.
        window: Ticks that feedback counts, or None.
    """

    prior_clicks: float = 1.0
    prior_misses: float = 1.0
    discount: float = 1.0
    window: int | None = None

    def __post_init__(self) -> None:
        require(self.prior_clicks > 0, "prior_clicks", self.prior_clicks, "a number > 0")
        require(self.prior_misses > 0, "prior_misses", self.prior_misses, "a number > 0")


class Thompson(Agent):
    """Beta-Bernoulli Thompson sampling."""

    tags: ClassVar[Tags] = Tags(counts=True, learns_from_logs=True)
    Config = ThompsonConfig

    def __init__(self, problem: Problem, config: ThompsonConfig | None = None, *, seed: int) -> None:
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
        """Choose the best of a draw a lane; ``explore=False`` takes the posterior means."""
        self.counts.look(observation)
        clicks, shown = self.counts.clicks, self.counts.shown
        a = self.config.prior_clicks + clicks
        b = self.config.prior_misses + np.maximum(shown - clicks, 0.0)
        if not explore:
            return self.choose(a / (a + b), observation, allowed)
        return self.choose(self.rng.beta(a, b, size=(lanes_of(observation), self.items)), observation, allowed)

    def observe(self, transitions: Transitions) -> None:
        """Count."""
        self.counts.record(transitions)
