"""Epsilon-greedy with disjoint linear models: mostly the best ridge regression, sometimes anything.

``A_i = ridge I + sum x x'``, ``theta_i = A_i^-1 sum x r``,
``slate[n] = uniform with probability epsilon, else top K of theta_i . x_n``

Source: Langford and Zhang 2007 (epsilon-greedy with contexts), models of Li et al. 2010. Departures: (1) decides for
N users at once, ties at random for each; (2) the coin is tossed once a slate; (3) ``x`` starts with a 1 unless
``intercept`` is off; (4) with a discount or a window only feedback is forgotten, never the ridge.
"""

from dataclasses import dataclass
from typing import ClassVar

from smartrec.agents import exploration
from smartrec.agents.bandits.linear import RidgeModels, user_rows
from smartrec.agents.base import Agent, Tags
from smartrec.agents.forgetting import Forgetting
from smartrec.core.arrays import BoolArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions


@dataclass(frozen=True)
class LinGreedyConfig:
    """Options of ``LinGreedy``.

    Attributes:
        epsilon: Probability of a random slate, 0..1.
        ridge: Diagonal of ``A`` before any feedback, > 0.
        intercept: Whether each item has a base rate beside its weights.
        discount: Weight that feedback keeps a tick of the clock, 0..1; 1 forgets nothing.
        window: Ticks that feedback counts, or None.
    """

    epsilon: float = 0.05
    ridge: float = 1.0
    intercept: bool = True
    discount: float = 1.0
    window: int | None = None

    def __post_init__(self) -> None:
        require(0 <= self.epsilon <= 1, "epsilon", self.epsilon, "0 to 1")
        require(self.ridge > 0, "ridge", self.ridge, "a number > 0")


class LinGreedy(Agent):
    """Epsilon-greedy on ridge regressions.

    Attributes:
        models: The regressions; ``models.theta`` [I, D] holds the weights, the intercept first.
    """

    tags: ClassVar[Tags] = Tags(learns_from_logs=True, propensities=True, needs_features=True)
    Config = LinGreedyConfig

    def __init__(self, problem: Problem, config: LinGreedyConfig | None = None, *, seed: int) -> None:
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
        """Choose the best means, or with probability epsilon a random slate, lane by lane; ``explore=False`` takes
        the best means.
        """
        self.models.look(observation)
        x = user_rows(self.problem, observation, self.config.intercept)  # [N, D]
        scores, candidates = self.restrict(self.models.scorer.means(x), allowed)
        epsilon = self.config.epsilon if explore else 0.0
        picked = exploration.epsilon_greedy(scores, len(x), self.problem.slate_size, epsilon, self.rng)
        return self.decide(*picked, candidates)

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
