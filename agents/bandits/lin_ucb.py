"""LinUCB with disjoint linear models: one ridge regression an item on the user's features.

``A_i = ridge I + sum x x'``, ``theta_i = A_i^-1 sum x r``,
``score[n, i] = theta_i . x_n + alpha sqrt(x_n' A_i^-1 x_n)``

Source: Li et al. 2010 (arXiv 1003.0146), algorithm 1. Departures: (1) ``x`` starts with a 1 unless
``intercept`` is off: without it plain Thompson sampling wins on task 2; (2) all users of a batch are scored by
two matrix products, the variances as products of pairs of features with the upper triangles of the inverses, in
single precision, while ``A``, its inverse and ``theta`` are kept and solved in double; (3) ties are broken at
random for each user; (4) with a discount or a window only feedback is forgotten, never the ridge.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from smartrec.agents import exploration
from smartrec.agents.base import Agent, Tags, lanes_of
from smartrec.agents.forgetting import Evidence, Forgetting
from smartrec.core.arrays import BoolArray, FloatArray, IntArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.errors import InvalidInput
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions

BLOCK = 8192
"""Showings whose products of features are in memory at once."""


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
        theta: float [I, D], weights of each item, the intercept first; valid after ``update``.
    """

    tags: ClassVar[Tags] = Tags(learns_from_logs=True, propensities=True, needs_features=True)
    Config = LinUCBConfig

    def __init__(self, problem: Problem, config: LinUCBConfig | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        d = problem.user_features + self.config.intercept
        forgetting = Forgetting(self.config.discount, self.config.window)
        self.evidence = Evidence((self.items, d * d + d), forgetting)  # a row: sum x x' [D D], sum x r [D]
        self.theta = np.zeros((self.items, d))
        self._weights = np.zeros((self.items, d), np.float32)
        self._triangles = np.zeros((self.items, d * (d + 1) // 2), np.float32)
        self._stale = np.ones(self.items, bool)
        self.update()

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Choose by upper bound; ``explore=False`` takes the best means."""
        if self.evidence.look(observation):
            self._stale[:] = True
            self.update()
        x = self._features(observation).astype(np.float32)  # [N, D]
        index = x @ self._weights.T  # [N, I]
        if explore and self.config.alpha > 0:
            rows, columns = np.triu_indices(x.shape[1])
            variance = (x[:, rows] * x[:, columns]) @ self._triangles.T  # [N, I]
            np.maximum(variance, 0.0, out=variance)
            index += self.config.alpha * np.sqrt(variance, out=variance)
        scores, candidates = self.restrict(index, allowed)
        picked = exploration.best(scores, lanes_of(observation), self.problem.slate_size, self.rng)
        return self.decide(*picked, candidates)

    def observe(self, transitions: Transitions) -> None:
        """Add up products of features, and of features and responses, item by item.

        Raises:
            InvalidInput: A feature, or a response that somebody saw, is not finite; then nothing is added.
        """
        x, shown, observed = self._features(transitions.observation), transitions.items, transitions.observed
        _require_finite(transitions.responses, "responses", observed)
        for clock, rows in self.evidence.split(transitions):
            lanes, places = np.nonzero(observed[rows])
            lanes = np.arange(len(x))[rows][lanes]
            for start in range(0, len(lanes), BLOCK):
                lane, place = lanes[start : start + BLOCK], places[start : start + BLOCK]
                items, sums = _sums(shown[lane, place], x[lane], transitions.responses[lane, place])
                self._stale[items] = True
                if self.evidence.add(clock, items, sums):
                    self._stale[:] = True

    def update(self) -> dict[str, float]:
        """Solve the ridge regressions of the items that got feedback."""
        items = np.flatnonzero(self._stale)
        if len(items):
            d = self.theta.shape[1]
            sums = self.evidence.sums[items]
            gram = sums[:, : d * d].reshape(-1, d, d) + self.config.ridge * np.eye(d)
            inverse = np.linalg.inv(gram)  # [M, D, D]
            self.theta[items] = np.matmul(inverse, sums[:, d * d :, None])[:, :, 0]
            self._weights[items] = self.theta[items]
            rows, columns = np.triu_indices(d)
            # Each pair off the diagonal stands for two equal summands of x' A^-1 x.
            self._triangles[items] = inverse[:, rows, columns] * np.where(rows == columns, 1.0, 2.0)
            self._stale[:] = False
        return {}

    def _features(self, observation: Observation) -> FloatArray:
        """Return x, float64 [N, D], the intercept first."""
        shape = lanes_of(observation), self.problem.user_features
        features = observation["user_features"].reshape(shape).astype(np.float64)
        _require_finite(features, "user_features")
        if not self.config.intercept:
            return features
        return np.concatenate([np.ones((len(features), 1)), features], axis=1)


def _sums(items: IntArray, x: FloatArray, r: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the different items, int [M], and their sums of x x' and of x r, float [M, D D + D].

    Args:
        items: int [R].
        x: float [R, D].
        r: float [R].
    """
    order = np.argsort(items, kind="stable")
    different, starts = np.unique(items[order], return_index=True)
    x, r = x[order], r[order]
    outer = (x[:, :, None] * x[:, None, :]).reshape(len(x), -1)  # [R, D D]
    return different, np.add.reduceat(np.column_stack([outer, x * r[:, None]]), starts, axis=0)


def _require_finite(values: FloatArray, name: str, where: BoolArray | None = None) -> None:
    """Raise InvalidInput unless all of ``values`` [N, ...] (``where`` somebody saw them) are finite."""
    wrong = ~np.isfinite(values) if where is None else ~np.isfinite(values) & where
    if wrong.any():
        lane, column = np.argwhere(wrong)[0]
        raise InvalidInput(
            f"{name}[{lane}, {column}] = {values[lane, column]}; allowed: finite numbers. Fill missing values first"
        )
