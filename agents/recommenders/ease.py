"""Embarrassingly shallow autoencoder: a linear regression of each item on all others, in closed form.

``min_B |X - X B|^2 + l2 |B|^2, diag(B) = 0``: with ``P = (X' X + l2 I)^-1``, ``B[i, j] = -P[i, j] / P[j, j]`` off the
diagonal; ``score[u] = X[u] B``, X the clicks

Source: Steck 2019 (arXiv 1905.03375). Departures: (1) X counts clicks, where the paper has a 1 for any number; (2)
slates are explored, see ``exploring``; over factors these are the leading directions of B; (3) a user without clicks
has the mean clicks of the others. Memory and time go by items squared and cubed: up to ten thousand or so.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from smartrec.agents.base import Agent, Tags
from smartrec.agents.recommenders.exploring import Exploring, decide, head_scores
from smartrec.agents.recommenders.factors import mean_profile, similarity_factors
from smartrec.agents.recommenders.feedback import Feedback
from smartrec.core.arrays import BoolArray, FloatArray, IntArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions


@dataclass(frozen=True)
class EASEConfig(Exploring):
    """Options of ``EASE``, beside those of ``Exploring``.

    Attributes:
        l2: Weight of the regression's squares, in clicks, > 0.
        factors: F, directions kept for "thompson" and "ucb", >= 1.
    """

    l2: float = 100.0
    factors: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.l2 < np.inf, "l2", self.l2, "a finite number > 0")
        require(self.factors >= 1, "factors", self.factors, "a whole number >= 1")


class EASE(Agent):
    """Shallow autoencoder with exploration.

    Attributes:
        feedback: Who was shown and clicked what.
        weights: B, float32 [I, I]; zero before the first fit.
        item_factors: float [I, F], its leading directions; zero before the first fit, and where they are not used.
        profile: float [I], mean clicks of users with some, as of the last fit.
    """

    tags: ClassVar[Tags] = Tags(learns_from_logs=True)
    Config = EASEConfig

    def __init__(self, problem: Problem, config: EASEConfig | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        self.feedback = Feedback(problem)
        self.weights: FloatArray = np.zeros((self.items, self.items), np.float32)
        self.item_factors: FloatArray = np.zeros((self.items, 1))
        self.profile: FloatArray = np.zeros(self.items)

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Choose by the regression on a user's clicks, or by regressions on its directions, explored."""
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
        """Solve the regressions anew where enough came."""
        return self._learn() if self.feedback.due(self.config.refit_every) else {}

    def fit(self, transitions: Transitions) -> dict[str, float]:
        """Learn from a log."""
        self.observe(transitions)
        return self._learn()

    def scores(self, users: IntArray) -> FloatArray:
        """Return what the regressions expect, float [N, I]; no probabilities."""
        _, clicks = self.feedback.rows(users)
        scores: FloatArray = np.asarray(clicks @ self.weights)  # [N, I]
        scores[np.asarray(clicks.sum(axis=1)).reshape(-1) == 0] = self.profile @ self.weights
        return scores

    def _learn(self) -> dict[str, float]:
        clicks = self.feedback.clicks
        if not clicks.nnz:
            return {}
        self.feedback.settle()
        self.profile = mean_profile(clicks)
        clicked = np.unique(clicks.indices)  # the others' rows and columns of the inverse are diagonal
        part = clicks[:, clicked]
        gram = (part.T @ part).toarray()
        gram[np.diag_indices(len(gram))] += self.config.l2
        inverse = np.linalg.inv(gram)
        weights = inverse / -np.diag(inverse)
        np.fill_diagonal(weights, 0.0)
        self.weights = np.zeros((self.items, self.items), np.float32)
        self.weights[np.ix_(clicked, clicked)] = weights
        if self.config.over_factors:
            self.item_factors = similarity_factors(self.weights, self.config.factors, self.rng)
        return {"refit": 1.0, "pairs": float(clicks.nnz)}
