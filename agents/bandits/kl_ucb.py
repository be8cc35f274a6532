"""KL-UCB: the largest click rate that the feedback does not yet contradict.

``score[i] = max { q : shown[i] kl(mean[i], q) <= ln t + c ln ln t }``, infinite for an item never shown,
``kl(p, q) = p ln(p / q) + (1 - p) ln((1 - p) / (1 - q))``, ``mean[i] = clicks[i] / shown[i]``, ``t`` = all showings
so far

Source: Garivier and Cappe 2011 (arXiv 1102.2490), who recommend ``c = 0``. It holds for any response in 0..1.
Departures: (1) ties are broken at random for each user, so that a batch of new users is spread over all items;
(2) each of the K items of a slate that somebody saw is a round; (3) ``ln t`` is 0 while less than one showing is
remembered, and ``ln ln t`` is 0 where it would be negative; (4) with a discount or a window, showings and t are those
remembered.
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
"""Stands for zero where something is divided by it or its logarithm taken."""

ENOUGH = 1000.0
"""A divergence at which the largest q differs from 1 by nothing that a float can hold."""

STEPS, EXACT = 60, 1e-13
"""Newton steps at most (about six are needed), and the change of q that ends them."""


@dataclass(frozen=True)
class KLUCBConfig:
    """Options of ``KLUCB``.

    Attributes:
        c: Weight of ln ln t, >= 0; the proof of the regret bound needs 3, practice 0.
        discount: Weight that feedback keeps a tick of the clock, 0..1; 1 forgets nothing.
        window: Ticks that feedback counts, or None.
    """

    c: float = 0.0
    discount: float = 1.0
    window: int | None = None

    def __post_init__(self) -> None:
        require(0 <= self.c < np.inf, "c", self.c, "a finite number >= 0")


class KLUCB(Agent):
    """KL-UCB on click rates."""

    tags: ClassVar[Tags] = Tags(counts=True, learns_from_logs=True, propensities=True)
    Config = KLUCBConfig

    def __init__(self, problem: Problem, config: KLUCBConfig | None = None, *, seed: int) -> None:
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
        """Choose by upper bound; ``explore=False`` takes the best means."""
        if self.counts.look(observation):
            self._stale = True
        return self.choose(self.scores() if explore else self.counts.mean(unseen=0.0), observation, allowed)

    def observe(self, transitions: Transitions) -> None:
        """Count."""
        self.counts.record(transitions)
        self._stale = True

    def scores(self) -> FloatArray:
        """Return the upper bounds, float [I], infinite where an item was never shown.

        They are solved for once and kept until the counts change.
        """
        if self._stale or self._scores.shape[1] != self.items:
            shown = np.maximum(self.counts.shown, 0.0)
            log_rounds = np.log(max(shown.sum(), 1.0))
            allowance = log_rounds + self.config.c * np.log(max(log_rounds, 1.0))
            means = np.clip(self.counts.mean(unseen=0.0), 0.0, 1.0)  # rounding of a discount may leave 1 + 1e-16
            self._scores = np.where(shown > 0, largest_rates(means, allowance / (shown + TINY)), np.inf)[None]
            self._stale = False
        scores: FloatArray = self._scores[0]
        return scores


def largest_rates(means: FloatArray, divergences: FloatArray) -> FloatArray:
    """Return the largest q in mean..1 with ``kl(mean, q) <= divergence``, float [I].

    Newton's method on ``y = -ln(1 - q)``: there kl is convex and nearly a straight line, so that from a bound above
    the root every step stays above it and few are needed.

    Args:
        means: float [I], 0..1.
        divergences: float [I], >= 0.
    """
    p, d = np.minimum(means, 1 - 1e-16), np.minimum(divergences, ENOUGH)
    entropy = -p * np.log(np.maximum(p, TINY)) - (1 - p) * np.log1p(-p)
    # q - p is at most each of these: Pinsker's inequality, and its sharper forms for p near 1 and near 0.
    reach = np.minimum(np.sqrt(d * np.minimum(0.5, 2 * (1 - p))), d + np.sqrt(d * (d + 2 * p)))
    lowest = -np.log1p(-p)
    y = np.minimum(-np.log(np.maximum(1 - p - reach, TINY)), (d + entropy) / (1 - p))
    for _ in range(STEPS):
        rest = np.exp(-y)  # 1 - q
        q = np.maximum(-np.expm1(-y), TINY)
        excess = (1 - p) * y - p * np.log(q) - entropy - d
        slope = np.maximum(1 - p - p * rest / q, 1e-12)
        following = np.clip(y - excess / slope, lowest, np.maximum(y, lowest))
        change = (y - following) * rest
        y = following
        if change.max() <= EXACT:
            break
    found: FloatArray = np.clip(-np.expm1(-y), means, 1.0)
    return found
