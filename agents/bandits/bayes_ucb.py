"""Bayes-UCB: a quantile of the posterior of the click rate that rises with time.

``score[i] = the (1 - 1 / (t (ln T)^c)) quantile of Beta(a + clicks[i], b + shown[i] - clicks[i])``,
``t`` = 1 + all showings so far, ``T`` = the horizon

Source: Kaufmann, Cappe and Garivier 2012, whose proof takes ``c = 5`` and whose experiments ``c = 0``, the default,
for which no horizon is needed. Departures: (1) ties are broken at random for each user; (2) each of the K items of a
slate that somebody saw is a round; (3) with a discount or a window only feedback is forgotten, never the prior, and t
counts what is remembered.
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


@dataclass(frozen=True)
class BayesUCBConfig:
    """Options of ``BayesUCB``.

    Attributes:
        c: Power of ln T in the quantile, >= 0.
        horizon: T, rounds that will be played, >= 3; needed where c > 0.
        prior_clicks: a of the Beta prior, in clicks, > 0.
        prior_misses: b of the Beta prior, in showings without a click, > 0.
        discount: Weight that feedback keeps a tick of the clock, 0..1; 1 forgets nothing.
        window: Ticks that feedback counts, or None.
    """

    c: float = 0.0
    horizon: int | None = None
    prior_clicks: float = 1.0
    prior_misses: float = 1.0
    discount: float = 1.0
    window: int | None = None

    def __post_init__(self) -> None:
        require(0 <= self.c < np.inf, "c", self.c, "a finite number >= 0")
        # Below three rounds ln T is less than 1, and the quantile would be a negative one.
        needed = "a whole number >= 3" if self.c > 0 else "None or a whole number >= 3"
        fits = self.c == 0 if self.horizon is None else self.horizon >= 3
        require(fits, "horizon", self.horizon, f"{needed} with c = {self.c}")
        require(self.prior_clicks > 0, "prior_clicks", self.prior_clicks, "a number > 0")
        require(self.prior_misses > 0, "prior_misses", self.prior_misses, "a number > 0")


class BayesUCB(Agent):
    """Bayes-UCB on click rates."""

    tags: ClassVar[Tags] = Tags(counts=True, learns_from_logs=True, propensities=True)
    Config = BayesUCBConfig

    def __init__(self, problem: Problem, config: BayesUCBConfig | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        self.counts = Counts(self.items, Forgetting(self.config.discount, self.config.window))
        self._scores: FloatArray = np.zeros((1, 0))  # [1, I]: a row is no state of an item, which new items would grow
        self._stale = True

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Choose by quantile; ``explore=False`` takes the posterior means."""
        if self.counts.look(observation):
            self._stale = True
        if explore:
            return self.choose(self.scores(), observation, allowed)
        a, b = self._posterior()
        return self.choose(a / (a + b), observation, allowed)

    def observe(self, transitions: Transitions) -> None:
        """Count."""
        self.counts.record(transitions)
        self._stale = True

    def scores(self) -> FloatArray:
        """Return the quantiles, float [I]; they are solved for once and kept until the counts change."""
        if self._stale or self._scores.shape[1] != self.items:
            from scipy.special import betainccinv

            rounds = 1.0 + max(self.counts.shown.sum(), 0.0)
            power = 1.0 if self.config.horizon is None else np.log(self.config.horizon) ** self.config.c
            # By the tail above the quantile, which a float holds exactly where 1 - tail is rounded.
            self._scores = betainccinv(*self._posterior(), 1.0 / (rounds * power))[None]
            self._stale = False
        scores: FloatArray = self._scores[0]
        return scores

    def _posterior(self) -> tuple[FloatArray, FloatArray]:
        """Return both parameters of the Beta posteriors, float [I] each."""
        clicks, shown = self.counts.clicks, self.counts.shown
        a: FloatArray = self.config.prior_clicks + np.maximum(clicks, 0.0)
        b: FloatArray = self.config.prior_misses + np.maximum(shown - clicks, 0.0)
        return a, b
