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
        # A row of evidence is the upper triangle of sum z z' with z = [x, r]: A without its ridge, b, and sum r r.
        self.evidence = Evidence((self.items, (d + 1) * (d + 2) // 2), forgetting)
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
            variance = _pairs(x).T @ self._triangles.T  # [N, I]
            np.maximum(variance, 0.0, out=variance)
            index += self.config.alpha * np.sqrt(variance, out=variance)
        return self.choose(index, observation, allowed)

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
            rows, columns = np.triu_indices(d + 1)
            sums = np.empty((len(items), d + 1, d + 1))  # [M, D + 1, D + 1]
            sums[:, rows, columns] = sums[:, columns, rows] = self.evidence.sums[items]
            inverse = _inverses(sums[:, :d, :d] + self.config.ridge * np.eye(d))  # [M, D, D]
            self.theta[items] = np.matmul(inverse, sums[:, :d, d:])[:, :, 0]
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
    """Return the different items, int [M], and the upper triangles of their sums of z z', z = [x, r], float [M, P].

    Args:
        items: int [R].
        x: float [R, D].
        r: float [R].
    """
    order = np.argsort(items, kind="stable")
    different, starts = np.unique(items[order], return_index=True)
    z = np.column_stack([x, r])[order]
    return different, np.ascontiguousarray(np.add.reduceat(_pairs(z), starts, axis=1).T)


def _pairs(x: FloatArray) -> FloatArray:
    """Return the products of each two features, the upper triangle of x x', as float [P, N] from [N, D]."""
    by_feature = np.ascontiguousarray(x.T)
    d = len(by_feature)
    pairs: FloatArray = np.empty((d * (d + 1) // 2, len(x)), x.dtype)
    start = 0
    # A loop over features that writes whole rows: seven times as fast as gathering both factors of all pairs.
    for feature in range(d):
        end = start + d - feature
        np.multiply(by_feature[feature], by_feature[feature:], out=pairs[start:end])
        start = end
    return pairs


def _inverses(matrices: FloatArray) -> FloatArray:
    """Return the inverses of symmetric positive definite matrices [M, D, D].

    By Cholesky, one after the other: half the work of elimination, which NumPy's batched inverse does.
    """
    from scipy.linalg.lapack import dpotrf, dpotri

    inverses = np.empty_like(matrices)
    for number, matrix in enumerate(matrices):
        inverses[number] = dpotri(dpotrf(matrix.T)[0])[0].T
    rows, columns = np.triu_indices(matrices.shape[1])
    inverses[:, rows, columns] = inverses[:, columns, rows]  # LAPACK fills one triangle
    return inverses


def _require_finite(values: FloatArray, name: str, where: BoolArray | None = None) -> None:
    """Raise InvalidInput unless all of ``values`` [N, ...] (``where`` somebody saw them) are finite."""
    wrong = ~np.isfinite(values) if where is None else ~np.isfinite(values) & where
    if wrong.any():
        lane, column = np.argwhere(wrong)[0]
        raise InvalidInput(
            f"{name}[{lane}, {column}] = {values[lane, column]}; allowed: finite numbers. Fill missing values first"
        )
