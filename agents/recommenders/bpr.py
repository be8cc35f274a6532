"""Bayesian personalised ranking of clicks, by the library implicit: a clicked item is to beat one that was not.

``loss = -sum log sigmoid(s_ui - s_uj) + regularization / 2 (|x_u|^2 + |y_i|^2 + |y_j|^2)``,
``s_ui = x_u . y_i + b_i``, over clicks (u, i) and items j of other clicks, which u has not clicked

Source: Rendle et al. 2009 (arXiv 1205.2618), by stochastic gradients from the package ``implicit``. Departures: (1)
slates are explored, see ``exploring``; (2) a user without clicks gets the mean vector of those who have some; (3) each
fit starts from new random vectors, so that it depends on the clicks alone and not on when it was fitted before; one
thread, so that it repeats bit for bit; (4) items j come as often as they were clicked, so an item that nobody clicked
is never compared and keeps its first, random vector.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from smartrec.agents.base import Agent, Tags
from smartrec.agents.recommenders.exploring import Exploring, decide, head_scores
from smartrec.agents.recommenders.factors import fit_quietly, with_mean_user
from smartrec.agents.recommenders.feedback import Feedback
from smartrec.core.arrays import BoolArray, FloatArray, IntArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.optional import optional
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions

_bpr = optional("implicit.cpu.bpr", "recommenders", "bpr")


@dataclass(frozen=True)
class BPRConfig(Exploring):
    """Options of ``BPR``, beside those of ``Exploring``.

    Attributes:
        factors: F, length of the vectors without the bias, >= 1.
        regularization: Weight of the vectors' squares, >= 0.
        learning_rate: Of the gradient steps, > 0.
        iterations: Passes over the clicks a fit, >= 1.
    """

    factors: int = 16
    regularization: float = 0.01
    learning_rate: float = 0.05
    iterations: int = 30

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.factors >= 1, "factors", self.factors, "a whole number >= 1")
        require(self.regularization >= 0, "regularization", self.regularization, "a number >= 0")
        require(self.learning_rate > 0, "learning_rate", self.learning_rate, "a number > 0")
        require(self.iterations >= 1, "iterations", self.iterations, "a whole number >= 1")


class BPR(Agent):
    """Bayesian personalised ranking with exploration.

    Attributes:
        feedback: Who was shown and clicked what.
        user_factors: float32 [U, F + 1], the last column ones; zero before the first fit.
        item_factors: float32 [I, F + 1], the last column the bias; zero before the first fit.
    """

    tags: ClassVar[Tags] = Tags(learns_from_logs=True, extra="recommenders")
    Config = BPRConfig

    def __init__(self, problem: Problem, config: BPRConfig | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        self.feedback = Feedback(problem)
        self.user_factors: FloatArray = np.zeros((self.feedback.users, self.config.factors + 1), np.float32)
        self.item_factors: FloatArray = np.zeros((self.items, self.config.factors + 1), np.float32)

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Choose by the products of vectors, or by regressions on the items' vectors, explored."""
        users = self.feedback.users_of(observation)
        if self.config.over_factors:
            draws = self.rng if explore else None
            scores = head_scores(self.config, self.feedback, self.item_factors, users, draws)
        else:
            scores = self.scores(users)
        return decide(self, scores, observation, allowed, explore)

    def observe(self, transitions: Transitions) -> None:
        """Count showings and clicks of each user and item.

        Raises:
            InvalidInput: A response outside 0..1, or no such user; then nothing is counted.
        """
        self.feedback.record(transitions)

    def update(self) -> dict[str, float]:
        """Fit the vectors anew where enough came."""
        return self._learn() if self.feedback.due(self.config.refit_every) else {}

    def fit(self, transitions: Transitions) -> dict[str, float]:
        """Learn from a log."""
        self.observe(transitions)
        return self._learn()

    def scores(self, users: IntArray) -> FloatArray:
        """Return products of vectors, float32 [N, I]; no probabilities."""
        scores: FloatArray = self.user_factors[users] @ self.item_factors.T
        return scores

    def _learn(self) -> dict[str, float]:
        clicks = self.feedback.clicks
        if not clicks.nnz:
            return {}
        options = self.config
        fitted = fit_quietly(
            lambda: _bpr.BayesianPersonalizedRanking(
                factors=options.factors,
                regularization=options.regularization,
                learning_rate=options.learning_rate,
                iterations=options.iterations,
                num_threads=1,
                random_state=int(self.rng.integers(2**31)),
            ),
            clicks,
        )
        self.feedback.settle()
        self.user_factors = with_mean_user(fitted.user_factors, clicks)
        self.item_factors = fitted.item_factors
        return {"refit": 1.0, "pairs": float(clicks.nnz)}
