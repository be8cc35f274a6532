"""Thompson sampling with disjoint linear models: a draw from the posterior of each item's score, for each user.

``A_i = ridge I + sum x x'``, ``theta_i = A_i^-1 sum x r``,
``draw score[n, i] ~ N(theta_i . x_n, v^2 x_n' A_i^-1 x_n)``, ``slate[n] = top K of score[n]``

Source: Agrawal and Goyal 2013 (arXiv 1209.3352), with one model an item as in Li et al. 2010. Departures: (1) every
user gets a draw of his own, so that a batch explores; (2) scores are drawn in place of weights: for one user and
independent items that is the same law, at one normal a user and item; (3) ``v`` is an option and not the bound of
the proof, which explores far too long; (4) ``x`` starts with a 1 unless ``intercept`` is off; (5) with a discount or
a window only feedback is forgotten, never the ridge.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from smartrec.agents.bandits.linear import RidgeModels, user_rows
from smartrec.agents.base import Agent, Tags
from smartrec.agents.forgetting import Forgetting
from smartrec.core.arrays import BoolArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions


@dataclass(frozen=True)
class LinTSConfig:
    """Options of ``LinTS``.

    Attributes:
        v: Width of the draws, standard deviation of a response, in clicks, >= 0.
        ridge: Diagonal of ``A`` before any feedback, > 0.
        intercept: Whether each item has a base rate beside its weights.
        discount: Weight that feedback keeps a tick of the clock, 0..1; 1 forgets nothing.
        window: Ticks that feedback counts, or None.
    """

    v: float = 0.1
    ridge: float = 1.0
    intercept: bool = True
    discount: float = 1.0
    window: int | None = None

    def __post_init__(self) -> None:
        require(self.v >= 0, "v", self.v, "a number >= 0")
        require(self.ridge > 0, "ridge", self.ridge, "a number > 0")


class LinTS(Agent):
    """Linear Thompson sampling.

    Attributes:
        models: The regressions; ``models.theta`` [I, D] holds the weights, the intercept first.
    """

    tags: ClassVar[Tags] = Tags(learns_from_logs=True, needs_features=True)
    Config = LinTSConfig

    def __init__(self, problem: Problem, config: LinTSConfig | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        d = problem.user_features + self.config.intercept
        forgetting = Forgetting(self.config.discount, self.config.window)
        self.models = RidgeModels(self.items, d, self.config.ridge, forgetting)

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Choose the best of a draw a lane; ``explore=False`` takes the posterior means."""
        self.models.look(observation)
        x = user_rows(self.problem, observation, self.config.intercept).astype(np.float32)  # [N, D]
        scores = self.models.scorer.means(x)  # [N, I]
        if explore and self.config.v > 0:
            spread = np.sqrt(self.models.scorer.variances(x))  # [N, I]
            spread *= self.rng.standard_normal(spread.shape, np.float32)
            scores += self.config.v * spread
        return self.choose(scores, observation, allowed)

    def observe(self, transitions: Transitions) -> None:
        """Add up products of features, and of features and responses, item by item.

        Raises:
            InvalidInput: A feature, or a response that somebody saw, is not finite; then nothing is added.
        """
        x = user_rows(self.problem, transitions.observation, self.config.intercept)
        self.models.record(transitions, x)

    def update(self) -> dict[str, float]:
        """Solve the ridge regressions of the items that got feedback."""
        self.models.solve()
        return {}
