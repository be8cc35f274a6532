"""Thompson sampling for responses of any scale: money, minutes, ratings.

``draw m[n, i] ~ Normal(mean[i], noise^2 / (w + shown[i]))``, ``slate[n] = top K of m[n]``,
``mean[i] = (w prior_mean + sum of responses[i]) / (w + shown[i])``: the posterior where a response is the item's mean
plus normal noise of standard deviation ``noise``, and the prior weighs as much as w responses

Source: Agrawal and Goyal 2013 (arXiv 1209.3353), section 1, whose algorithm for ``noise = 1`` is ``noise=1,
prior_mean=0, prior_weight=1``. Departures: (1) every user gets a draw of his own, so that a batch explores; (2) an
unknown ``prior_mean`` is the mean of all responses so far, and an unknown ``noise`` their standard deviation about
it, one for all items: an upper estimate that sinks to the noise of the good items as these are shown most. So the
agent decides alike in cents and in euros; (3) with a discount or a window only feedback is forgotten, never the
prior's weight.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from smartrec.agents.base import Agent, Tags, lanes_of
from smartrec.agents.forgetting import Evidence, Forgetting
from smartrec.agents.growth import NewItems
from smartrec.core.arrays import BoolArray, FloatArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.errors import InvalidInput
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions


@dataclass(frozen=True)
class GaussianThompsonConfig:
    """Options of ``GaussianThompson``.

    Attributes:
        noise: Standard deviation of a response about its item's mean, in the unit of responses, > 0; None estimates
            it.
        prior_mean: Mean of an item never shown, in the unit of responses; None takes that of all responses.
        prior_weight: w, how many responses the prior is worth, > 0.
        discount: Weight that feedback keeps a tick of the clock, 0..1; 1 forgets nothing.
        window: Ticks that feedback counts, or None.
    """

    noise: float | None = None
    prior_mean: float | None = None
    prior_weight: float = 1.0
    discount: float = 1.0
    window: int | None = None

    def __post_init__(self) -> None:
        fits = self.noise is None or 0 < self.noise < np.inf
        require(fits, "noise", self.noise, "None or a finite number > 0")
        fits = self.prior_mean is None or bool(np.isfinite(self.prior_mean))
        require(fits, "prior_mean", self.prior_mean, "None or a finite number")
        require(0 < self.prior_weight < np.inf, "prior_weight", self.prior_weight, "a finite number > 0")


class Moments(Evidence):
    """Showings, responses and their squares, one row an item."""

    def grow(self, came: NewItems, prior: FloatArray | None = None) -> None:
        """Take in items that come, with the means that their features make likely, as if seen ``came.weight`` times."""
        shown, responses, _ = self.total.T
        means = came.predict((responses / np.where(shown > 0, shown, 1.0))[:, None], shown)
        if prior is None and means is not None:
            prior = came.weight * means ** np.arange(3)  # [count, 3]
        super().grow(came, prior)


class GaussianThompson(Agent):
    """Thompson sampling with normal posteriors.

    Attributes:
        origin: Response that sums are counted from, the first one seen: so squares of large responses do not swallow
            the differences between them.
        evidence: One row an item: showings, sum of responses, sum of their squares, the latter two from ``origin``.
    """

    tags: ClassVar[Tags] = Tags(learns_from_logs=True)
    Config = GaussianThompsonConfig

    def __init__(self, problem: Problem, config: GaussianThompsonConfig | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        self.evidence = Moments((self.items, 3), Forgetting(self.config.discount, self.config.window))
        self.origin: float | None = None

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Choose the best of a draw a lane; ``explore=False`` takes the posterior means."""
        self.evidence.look(observation)
        means, spreads = self.posterior()
        if not explore:
            return self.choose(means, observation, allowed)
        draws = self.rng.standard_normal((lanes_of(observation), self.items))
        draws *= spreads
        draws += means
        return self.choose(draws, observation, allowed)

    def observe(self, transitions: Transitions) -> None:
        """Count, and add up responses and their squares.

        Raises:
            InvalidInput: A response that somebody saw is not finite; then nothing is counted.
        """
        shown, responses, observed = transitions.items, transitions.responses, transitions.observed
        seen = responses[observed]
        if not np.isfinite(seen).all():
            raise InvalidInput(f"a response is {seen[~np.isfinite(seen)][0]}; allowed: finite numbers")
        if self.origin is None and len(seen):
            self.origin = float(seen[0])
        for clock, rows in self.evidence.split(transitions):
            picked = observed[rows]
            items, values = shown[rows][picked], responses[rows][picked] - (self.origin or 0.0)
            powers = (np.ones_like(values), values, values**2)
            columns = [np.bincount(items, weights=power, minlength=self.items) for power in powers]
            sums = np.column_stack(columns).astype(np.float64)  # [I, 3]
            counted = np.flatnonzero(sums[:, 0])
            self.evidence.add(clock, counted, sums[counted])

    def posterior(self) -> tuple[FloatArray, FloatArray]:
        """Return the posteriors' means, counted from ``origin``, and standard deviations, float [I] each."""
        shown, responses, _ = self.evidence.total.T
        centre, noise = self._prior()
        weight = self.config.prior_weight + np.maximum(shown, 0.0)
        return (self.config.prior_weight * centre + responses) / weight, noise / np.sqrt(weight)

    def _prior(self) -> tuple[float, float]:
        """Return the prior's mean, counted from ``origin``, and the noise: as given, or of all responses.

        Without any response all items have the same mean, and without noise they tie: the choice is uniform.
        """
        count, total, squares = self.evidence.sums.sum(axis=0)
        mean = total / count if count > 0 else 0.0
        variance = max(squares / count - mean**2, 0.0) if count > 0 else 0.0
        given_mean, noise = self.config.prior_mean, self.config.noise
        centre = mean if given_mean is None else given_mean - (self.origin or 0.0)
        return centre, np.sqrt(variance) if noise is None else noise
