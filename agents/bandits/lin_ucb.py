"""LinUCB with disjoint linear models: one ridge regression an item on the user's features.

``A_i = ridge I + sum x x'``, ``theta_i = A_i^-1 sum x r``,
``score[n, i] = theta_i . x_n + alpha sqrt(x_n' A_i^-1 x_n)``

Source: Li et al. 2010 (arXiv 1003.0146), algorithm 1. Departures: (1) ``x`` starts with a 1 unless ``intercept``
is off: without it plain Thompson sampling wins on the published tables of task 2; (2) all users of a batch are
scored by two matrix products in single precision, while ``A``, its inverse and ``theta`` are kept and solved in
double; (3) ties are broken at random for each user; (4) with a discount or a window only feedback is forgotten,
never the ridge.
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
class LinUCBConfig:
    """Options of ``LinUCB``.

    Attributes:
        alpha: Weight of the confidence bound, in clicks, >= 0.
        ridge: Diagonal of ``A`` before any feedback, > 0.
        intercept: Whether each item has a base rate beside its weights.
        discount: Weight that feedback keeps a tick of the clock, 0..1; 1 forgets nothing.
        window: Ticks that feedback counts, or None.
    """

    alpha: float = 0.5
    ridge: float = 1.0
    intercept: bool = True
    discount: float = 1.0
    window: int | None = None

    def __post_init__(self) -> None:
        require(self.alpha >= 0, "alpha", self.alpha, "a number >= 0")
        require(self.ridge > 0, "ridge", self.ridge, "a number > 0")


class LinUCB(Agent):
    """Disjoint LinUCB.

    Attributes:
        models: The regressions; ``models.theta`` [I, D] holds the weights, the intercept first.
    """

    tags: ClassVar[Tags] = Tags(learns_from_logs=True, propensities=True, needs_features=True)
    Config = LinUCBConfig

    def __init__(self, problem: Problem, config: LinUCBConfig | None = None, *, seed: int) -> None:
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
        """Choose by upper bound; ``explore=False`` takes the best means."""
        self.models.look(observation)
        x = user_rows(self.problem, observation, self.config.intercept).astype(np.float32)  # [N, D]
        index = self.models.scorer.means(x)  # [N, I]
        if explore and self.config.alpha > 0:
            variance = self.models.scorer.variances(x)  # [N, I]
            index += self.config.alpha * np.sqrt(variance, out=variance)
        return self.choose(index, observation, allowed)

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
