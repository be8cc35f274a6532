"""Alternating least squares on clicks, by the library implicit: every user and item a vector, their product a score.

``loss = sum_ui c_ui (p_ui - x_u . y_i)^2 + regularization (sum_u |x_u|^2 + sum_i |y_i|^2)``,
``c_ui = alpha clicks_ui where there are any, else 1``, ``p_ui = 1 where there are clicks, else 0``

Source: Hu, Koren and Volinsky 2008, solved by conjugate gradients as in Takács, Pilászy and Tikk 2011, from the package
``implicit``. Departures: (1) slates are explored, see ``exploring``; (2) a user without clicks gets the mean vector of
those who have some; (3) each fit starts from new random vectors, so that it depends on the clicks alone and not on
when it was fitted before; one thread, so that it repeats bit for bit.
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

_als = optional("implicit.cpu.als", "recommenders", "als")


@dataclass(frozen=True)
class ALSConfig(Exploring):
    """Options of ``ALS``, beside those of ``Exploring``.

    Attributes:
        factors: F, length of the vectors, >= 1.
        regularization: Weight of the vectors' squares, > 0.
        alpha: Confidence of a click, where a pair without clicks has 1; > 0.
        iterations: Of a fit, >= 1.
    """

    factors: int = 16
    regularization: float = 5.0
    alpha: float = 1.0
    iterations: int = 15

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.factors >= 1, "factors", self.factors, "a whole number >= 1")
        require(self.regularization > 0, "regularization", self.regularization, "a number > 0")
        require(self.alpha > 0, "alpha", self.alpha, "a number > 0")
        require(self.iterations >= 1, "iterations", self.iterations, "a whole number >= 1")


class ALS(Agent):
    """Alternating least squares with exploration.

    Attributes:
        feedback: Who was shown and clicked what.
        user_factors: float32 [U, F]; zero before the first fit.
        item_factors: float32 [I, F]; zero before the first fit.
    """

    tags: ClassVar[Tags] = Tags(learns_from_logs=True, extra="recommenders")
    Config = ALSConfig

    def __init__(self, problem: Problem, config: ALSConfig | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        self.feedback = Feedback(problem)
        self.user_factors: FloatArray = np.zeros((self.feedback.users, self.config.factors), np.float32)
        self.item_factors: FloatArray = np.zeros((self.items, self.config.factors), np.float32)

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
            lambda: _als.AlternatingLeastSquares(
                factors=options.factors,
                regularization=options.regularization,
                alpha=options.alpha,
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
