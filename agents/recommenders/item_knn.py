"""Items like those a user clicked, by the library implicit: nearest neighbours among columns of the click table.

``score[u, j] = sum_i clicks[u, i] w[i, j]``, ``w[i, .]`` the ``neighbours`` largest ``cos(column i, column j)`` of the
click table, weighed as it is ("cosine"), by TF-IDF, or by BM25

Source: Deshpande and Karypis 2004, from the package ``implicit``. Departures: (1) slates are explored, see
``exploring``; over factors these are the leading directions of the table of weights; (2) a user without clicks has the
mean clicks of the others.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from scipy.sparse import csr_matrix

from smartrec.agents.base import Agent, Tags
from smartrec.agents.recommenders.exploring import Exploring, decide, head_scores
from smartrec.agents.recommenders.factors import fit_quietly, mean_profile, similarity_factors
from smartrec.agents.recommenders.feedback import Feedback
from smartrec.core.arrays import BoolArray, FloatArray, IntArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.optional import optional
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions

_neighbours = optional("implicit.nearest_neighbours", "recommenders", "item_knn")
_WEIGHTINGS = {"cosine": "CosineRecommender", "tfidf": "TFIDFRecommender", "bm25": "BM25Recommender"}


@dataclass(frozen=True)
class ItemKNNConfig(Exploring):
    """Options of ``ItemKNN``, beside those of ``Exploring``.

    Attributes:
        neighbours: Items that a click speaks for, itself among them, >= 1.
        weighting: Of clicks, before columns are compared: "cosine", "tfidf" or "bm25".
        factors: F, directions kept for "thompson" and "ucb", >= 1.
    """

    neighbours: int = 50
    weighting: Literal["cosine", "tfidf", "bm25"] = "cosine"
    factors: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.neighbours >= 1, "neighbours", self.neighbours, "a whole number >= 1")
        require(self.weighting in _WEIGHTINGS, "weighting", self.weighting, ", ".join(map(repr, _WEIGHTINGS)))
        require(self.factors >= 1, "factors", self.factors, "a whole number >= 1")


class ItemKNN(Agent):
    """Nearest neighbours among items, with exploration.

    Attributes:
        feedback: Who was shown and clicked what.
        similarity: Weights ``w``, float [I, I]; zero before the first fit.
        item_factors: float [I, F], its leading directions; zero before the first fit, and where they are not used.
        profile: float [I], mean clicks of users with some, as of the last fit.
    """

    tags: ClassVar[Tags] = Tags(learns_from_logs=True, extra="recommenders")
    Config = ItemKNNConfig

    def __init__(self, problem: Problem, config: ItemKNNConfig | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        self.feedback = Feedback(problem)
        self.item_factors: FloatArray = np.zeros((self.items, 1))
        self.profile: FloatArray = np.zeros(self.items)
        self._keep(csr_matrix((self.items, self.items)))

    @property
    def similarity(self) -> csr_matrix:
        """Weights that a click on item i gives to item j, float [I, I]."""
        return csr_matrix((self._weights, self._columns, self._starts), (self.items, self.items))

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Choose by the weights of what a user clicked, or by regressions on their directions, explored."""
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
        """Look for neighbours anew where enough came."""
        return self._learn() if self.feedback.due(self.config.refit_every) else {}

    def fit(self, transitions: Transitions) -> dict[str, float]:
        """Learn from a log."""
        self.observe(transitions)
        return self._learn()

    def scores(self, users: IntArray) -> FloatArray:
        """Return sums of weights, float [N, I]; no probabilities."""
        _, clicks = self.feedback.rows(users)
        scores: FloatArray = (clicks @ self.similarity).toarray()  # [N, I]
        scores[np.asarray(clicks.sum(axis=1)).reshape(-1) == 0] = self.similarity.T @ self.profile
        return scores

    def _learn(self) -> dict[str, float]:
        clicks = self.feedback.clicks
        if not clicks.nnz:
            return {}
        self.feedback.settle()
        self.profile = mean_profile(clicks)
        kind = getattr(_neighbours, _WEIGHTINGS[self.config.weighting])
        fitted = fit_quietly(lambda: kind(K=self.config.neighbours, num_threads=1), clicks)
        self._keep(fitted.similarity)
        if self.config.over_factors:
            self.item_factors = similarity_factors(self.similarity, self.config.factors, self.rng)
        return {"refit": 1.0, "pairs": float(clicks.nnz)}

    def _keep(self, similarity: csr_matrix) -> None:
        """Hold the table by its parts, which can be saved."""
        self._weights: FloatArray = similarity.data.astype(np.float64)
        self._columns: IntArray = similarity.indices
        self._starts: IntArray = similarity.indptr
