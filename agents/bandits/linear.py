"""One ridge regression an item, and scores of all items for all users by matrix products: what linear bandits share.

``A_i = ridge I + sum x x'``, ``theta_i = A_i^-1 sum x r``; the mean of item i for user n is ``theta_i . x_n``, its
variance in units of the noise ``x_n' A_i^-1 x_n``.

All users of a batch are scored by two matrix products, the variances as products of pairs of features with the
upper triangles of the inverses, in single precision, while the sums and solutions are kept in double.
"""

from typing import Any

import numpy as np

from smartrec.agents.base import lanes_of
from smartrec.agents.forgetting import Evidence, Forgetting
from smartrec.agents.growth import NewItems
from smartrec.core.arrays import BoolArray, FloatArray, IntArray, Observation
from smartrec.core.errors import InvalidInput
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions

BLOCK = 8192
"""Showings whose products of features are in memory at once."""


class Scorer:
    """A linear model an item, ready to score: ``mean = weights_i . x``, ``variance = x' covariance_i x``.

    Args:
        items: I.
        d: D, number of weights an item.

    Attributes:
        theta: float [I, D], the weights in double precision.
    """

    def __init__(self, items: int, d: int) -> None:
        self.theta = np.zeros((items, d))
        self._weights = np.zeros((items, d), np.float32)
        self._triangles = np.zeros((items, d * (d + 1) // 2), np.float32)
        rows, columns = np.triu_indices(d)
        self._upper = rows * d + columns  # places of the upper triangle in a flat [D D]
        # Each pair off the diagonal stands for two equal summands of x' covariance x.
        self._times = np.where(rows == columns, 1.0, 2.0)

    def put(self, items: IntArray, theta: FloatArray, covariance: FloatArray) -> None:
        """Set weights [M, D] and covariances [M, D, D] of different ``items`` [M]."""
        self.theta[items] = self._weights[items] = theta
        flat = covariance.reshape(len(covariance), -1)
        self._triangles[items] = flat.take(self._upper, axis=1) * self._times

    def means(self, x: FloatArray) -> FloatArray:
        """Return the means for users x [N, D], float32 [N, I]."""
        scores: FloatArray = x.astype(np.float32, copy=False) @ self._weights.T
        return scores

    def variances(self, x: FloatArray) -> FloatArray:
        """Return the variances for users x [N, D], float32 [N, I]."""
        variances: FloatArray = pairs(x.astype(np.float32, copy=False)).T @ self._triangles.T
        return np.maximum(variances, 0.0, out=variances)

    def covariances(self, items: slice) -> FloatArray:
        """Return the covariances of ``items``, float32 [M, D, D]."""
        rows, columns = np.triu_indices(self.theta.shape[1])
        halves = self._triangles[items] / self._times.astype(np.float32)
        full = np.empty((len(halves), *2 * self.theta.shape[1:]), np.float32)
        full[:, rows, columns] = full[:, columns, rows] = halves
        return full

    def grow(self, came: NewItems) -> None:
        """Take in items that come, with nothing set."""
        for name in ("theta", "_weights", "_triangles"):
            table = getattr(self, name)
            setattr(self, name, np.concatenate([table, np.zeros((came.count, table.shape[1]), table.dtype)]))

    def get_state(self) -> dict[str, Any]:
        """Return arrays that ``set_state`` reads."""
        return {"theta": self.theta, "weights": self._weights, "triangles": self._triangles}

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo ``get_state``."""
        self.theta, self._weights, self._triangles = state["theta"], state["weights"], state["triangles"]


class Products(Evidence):
    """Sums of products of features, and of features and responses, one row an item, which forget as told.

    A row is the upper triangle of ``sum z z'`` with ``z = [x, r]``.

    Args:
        items: I.
        d: D.
        forgetting: Window and discount.
    """

    def __init__(self, items: int, d: int, forgetting: Forgetting) -> None:
        super().__init__((items, (d + 1) * (d + 2) // 2), forgetting)
        self._d = d
        square = np.empty((d + 1, d + 1), np.int64)
        rows, columns = np.triu_indices(d + 1)
        square[rows, columns] = square[columns, rows] = np.arange(len(rows))
        self._places = np.concatenate([square[:d, :d].ravel(), square[:d, d]])  # of sum x x', then of sum x r

    def record(self, transitions: Transitions, x: FloatArray) -> tuple[BoolArray, bool]:
        """Add feedback of users x [B, D]; return which items got some, bool [I], and whether others changed too.

        Raises:
            InvalidInput: A response that somebody saw is not finite; then nothing is added.
        """
        shown, observed, responses = transitions.items, transitions.observed, transitions.responses
        require_finite(responses, "responses", observed)
        fresh, all_changed = np.zeros(len(self.sums), bool), False
        for clock, rows in self.split(transitions):
            lanes, places = np.nonzero(observed[rows])
            lanes = np.arange(len(x))[rows][lanes]
            items = shown[lanes, places]
            fresh[items] = True
            all_changed |= self.add_rows(clock, items, x, responses[lanes, places], lanes)
        return fresh, all_changed

    def add_rows(
        self, clock: int, items: IntArray, x: FloatArray, responses: FloatArray, lanes: IntArray | None = None
    ) -> bool:
        """Add showings of one clock; return whether rows of other items have changed too.

        Args:
            clock: When the decisions were made.
            items: int [R].
            x: float [R, D], or [N, D] with ``lanes``.
            responses: float [R].
            lanes: int [R], the row of x that belongs to each showing; None where they are in order.
        """
        all_changed = False
        for start in range(0, len(items), BLOCK):
            part = slice(start, start + BLOCK)
            rows = x[part] if lanes is None else x[lanes[part]]
            all_changed |= self.add(clock, *sums_by_item(items[part], rows, responses[part]))
        return all_changed

    def moments(self, items: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return ``sum x x'`` [M, D, D] and ``sum x r`` [M, D] of ``items`` [M]."""
        d = self._d
        moments = self.total[items].take(self._places, axis=1)  # [M, D D + D]
        return moments[:, : d * d].reshape(-1, d, d), moments[:, d * d :]


class RidgeModels:
    """One ridge regression an item.

    Args:
        items: I.
        d: D, number of weights an item.
        ridge: Diagonal of ``A`` before any feedback, > 0.
        forgetting: Window and discount.

    Attributes:
        products: The sums.
        scorer: The solutions; valid after ``solve``.
    """

    def __init__(self, items: int, d: int, ridge: float, forgetting: Forgetting) -> None:
        self.products = Products(items, d, forgetting)
        self.scorer = Scorer(items, d)
        self._ridge, self._stale = ridge, np.ones(items, bool)
        self.solve()

    @property
    def theta(self) -> FloatArray:
        """float [I, D], weights of each item."""
        return self.scorer.theta

    def look(self, observation: Observation) -> None:
        """Let time pass up to the observed clock, and solve what that changed."""
        if self.products.look(observation):
            self._stale[:] = True
            self.solve()

    def record(self, transitions: Transitions, x: FloatArray) -> None:
        """Add feedback of users x [B, D].

        Raises:
            InvalidInput: A response that somebody saw is not finite; then nothing is added.
        """
        fresh, all_changed = self.products.record(transitions, x)
        self._stale |= fresh | all_changed

    def record_showings(self, clocks: IntArray, items: IntArray, x: FloatArray, responses: FloatArray) -> None:
        """Add showings of any clocks: int [R], items int [R], features float [R, D] and responses float [R]."""
        self._stale[items] = True
        for clock in np.unique(clocks):
            rows = np.flatnonzero(clocks == clock)
            if self.products.add_rows(int(clock), items[rows], x[rows], responses[rows]):
                self._stale[:] = True

    def clear(self) -> None:
        """Drop all feedback, and priors fitted for items that came: features no longer mean what they did."""
        items, d = self.theta.shape
        now, self.products = self.products.now, Products(items, d, self.products.forgetting)
        self.products.advance(now)
        self._stale[:] = True

    def solve(self) -> None:
        """Solve the regressions of the items whose sums have changed."""
        items = np.flatnonzero(self._stale)
        if len(items):
            gram, moment = self.products.moments(items)
            inverse = np.linalg.inv(gram + self._ridge * np.eye(gram.shape[1]))  # [M, D, D]
            self.scorer.put(items, np.matmul(inverse, moment[:, :, None])[:, :, 0], inverse)
            self._stale[:] = False

    def grow(self, came: NewItems) -> None:
        """Take in items that come; their weights are at first what those of the known ones say of such features,
        as if ``came.weight`` showings to average users had found them.
        """
        d = self.theta.shape[1]
        gram, _ = self.products.moments(np.arange(len(self.theta)))
        shown = gram.trace(axis1=1, axis2=2) / d
        theta, prior = came.predict(self.theta, shown), None
        if theta is not None:
            average = came.weight * gram.sum(axis=0) / shown.sum()  # [D, D]
            prior = np.zeros((came.count, d + 1, d + 1))
            prior[:, :d, :d] = average
            prior[:, :d, d] = theta @ (average + self._ridge * np.eye(d))
            rows, columns = np.triu_indices(d + 1)
            prior = prior[:, rows, columns]
        self.products.grow(came, prior)
        self.scorer.grow(came)
        self._stale = np.concatenate([self._stale, np.ones(came.count, bool)])
        self.solve()

    def get_state(self) -> dict[str, Any]:
        """Return arrays and numbers that ``set_state`` reads."""
        parts = {f"products.{name}": value for name, value in self.products.get_state().items()}
        return {**parts, **self.scorer.get_state(), "stale": self._stale}

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo ``get_state``."""
        self._stale = state["stale"]
        self.scorer.set_state(state)
        start = "products."
        self.products.set_state({k.removeprefix(start): v for k, v in state.items() if k.startswith(start)})


def user_rows(problem: Problem, observation: Observation, intercept: bool = True) -> FloatArray:
    """Return the users' features, float64 [N, D], with a 1 first unless ``intercept`` is off.

    Raises:
        InvalidInput: A feature is not finite.
    """
    shape = lanes_of(observation), problem.user_features
    features = observation["user_features"].reshape(shape).astype(np.float64)
    require_finite(features, "user_features")
    if not intercept:
        return features
    return np.concatenate([np.ones((len(features), 1)), features], axis=1)


def require_finite(values: FloatArray, name: str, where: BoolArray | None = None) -> None:
    """Raise InvalidInput unless all of ``values`` [N, ...] (``where`` somebody saw them) are finite."""
    wrong = ~np.isfinite(values) if where is None else ~np.isfinite(values) & where
    if wrong.any():
        lane, column = np.argwhere(wrong)[0]
        raise InvalidInput(
            f"{name}[{lane}, {column}] = {values[lane, column]}; allowed: finite numbers. Fill missing values first"
        )


def pairs(x: FloatArray) -> FloatArray:
    """Return the products of each two features, the upper triangle of x x', as float [P, N] from [N, D]."""
    by_feature = np.ascontiguousarray(x.T)
    d = len(by_feature)
    products: FloatArray = np.empty((d * (d + 1) // 2, len(x)), x.dtype)
    start = 0
    # A loop over features that writes whole rows: seven times as fast as gathering both factors of all pairs.
    for feature in range(d):
        end = start + d - feature
        np.multiply(by_feature[feature], by_feature[feature:], out=products[start:end])
        start = end
    return products


def sums_by_item(items: IntArray, x: FloatArray, r: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the different items, int [M], and the upper triangles of their sums of z z', z = [x, r], float [M, P].

    Args:
        items: int [R].
        x: float [R, D].
        r: float [R].
    """
    order = np.argsort(items, kind="stable")
    different, starts = np.unique(items[order], return_index=True)
    z = np.column_stack([x, r])[order]
    return different, np.ascontiguousarray(np.add.reduceat(pairs(z), starts, axis=1).T)
