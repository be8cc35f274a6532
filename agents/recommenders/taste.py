"""Hidden taste of low rank behind clicks: what is known of users' and items' vectors, as normal distributions.

``click ~ Bernoulli(sigmoid(a_u + b_i + x_u . y_i))``, ``a_u ~ N(0, user_spread)``, ``b_i ~ N(base, item_spread)``,
``x_u ~ N(0, I)``, ``y_i ~ N(0, taste_spread I)``

Fitted by variational Bayes. The logistic is bounded by a normal at a logit e (Jaakkola and Jordan 2000): n showings
weigh ``w = n tanh(e / 2) / (2 e)``, where e is the pair's expected logit as far as it is known. Then users given the
items, and items given the users, are ridge regressions whose squares are expectations (Lim and Teh 2007). With z the
other side's vector, Z its part that this side cannot change, and ``c = clicks - n / 2``,

``A = prior precision + sum w E[z z']``, ``mean = A^-1 (prior precision prior mean + sum c E[z] - sum w E[z Z])``

A user is the vector ``(1, a_u, x_u)``, an item ``(1, b_i, y_i)``, and the logit is the product of one with the other's
first two numbers exchanged. So both sides are one regression, whose first weight is known to be 1.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from smartrec.core.arrays import FloatArray


class Normals(NamedTuple):
    """Normal distributions of M vectors.

    Attributes:
        mean: float32 [M, D], the first number always 1.
        covariance: float32 [M, D - 1, D - 1], of the other numbers.
    """

    mean: FloatArray
    covariance: FloatArray


class Taste:
    """Posteriors of the vectors of items; those of users follow from them and the users' feedback.

    Items come in by ``admit``; they are known by the order in which they came.

    Args:
        rank: R, length of a taste; vectors have D = R + 2 numbers.
        user_spread: Variance of a user's readiness to click, in squared logits, > 0.
        item_spread: Variance of an item's appeal, in squared logits, > 0.
        taste_spread: Variance of a number in an item's taste, in squared logits, > 0.

    Attributes:
        items: What is known of the M items so far.
        base: Mean appeal of items, in logits.
    """

    def __init__(self, rank: int, user_spread: float, item_spread: float, taste_spread: float) -> None:
        self._user_spread = np.array([user_spread, *[1.0] * rank], np.float32)
        self._item_spread = np.array([item_spread, *[taste_spread] * rank], np.float32)
        self.base = 0.0
        self.items = Normals(np.zeros((0, rank + 2), np.float32), np.zeros((0, rank + 1, rank + 1), np.float32))

    def admit(self, count: int, rng: np.random.Generator) -> None:
        """Take in items with the prior's knowledge.

        The first ones start from drawn tastes, taken for true: where all are zero, no taste would ever be found.

        Args:
            count: How many.
            rng: Draws.
        """
        spread = self._item_spread
        mean = np.zeros((count, 1 + len(spread)), np.float32)
        mean[:, 0], mean[:, 1] = 1.0, self.base
        covariance = np.repeat(np.diag(spread)[None], count, axis=0)
        if not len(self.items.mean):
            mean[:, 2:] = np.sqrt(spread[1:]) * rng.standard_normal((count, len(spread) - 1))
            covariance[:] = 0.0
        self.items = Normals(*(np.concatenate(pair) for pair in zip(self.items, (mean, covariance), strict=True)))

    def users(self, shown: csr_matrix, clicks: csr_matrix) -> Normals:
        """Return what is known of users.

        Args:
            shown: float [N, M], showings.
            clicks: float [N, M], sums of responses, with the same pairs.
        """
        # The bound is tight first at the items' appeal, then at what that finds.
        centred, spread = _centred(clicks, shown), self._user_spread
        guess = _regressions(_weighed(shown, self.items.mean[shown.indices, 1]), centred, self.items, spread, 0.0)
        return _regressions(_weighed(shown, self._logits(guess, shown)), centred, self.items, spread, 0.0)

    def learn(self, shown: csr_matrix, clicks: csr_matrix) -> None:
        """Find the items' vectors anew, given what follows of the users of these rows.

        Args:
            shown: float [N, M], showings.
            clicks: float [N, M], sums of responses, with the same pairs.
        """
        users = self.users(shown, clicks)
        weights = _weighed(shown, self._logits(users, shown)).T.tocsr()
        centred = _centred(clicks, shown).T.tocsr()
        self.items = _regressions(weights, centred, users, self._item_spread, self.base)

    def expected(self, users: Normals) -> FloatArray:
        """Return the expected logits of users and items, float32 [N, M]."""
        logits: FloatArray = users.mean @ exchanged(self.items.mean).T
        return logits

    def get_state(self) -> dict[str, Any]:
        """Return arrays and numbers that ``set_state`` reads."""
        return {"base": self.base, **self.items._asdict()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo ``get_state``."""
        self.base = float(state["base"])
        self.items = Normals(state["mean"], state["covariance"])

    def _logits(self, users: Normals, shown: csr_matrix) -> FloatArray:
        """Return the expected logits of the pairs that were shown, float32 [P]."""
        rows = np.repeat(np.arange(shown.shape[0]), np.diff(shown.indptr))
        logits: FloatArray = np.einsum("pd,pd->p", users.mean[rows], exchanged(self.items.mean)[shown.indices])
        return logits


def exchanged(vectors: FloatArray) -> FloatArray:
    """Return vectors [M, D] with the first two numbers exchanged: what the other side's are multiplied with."""
    turned = vectors.copy()
    turned[:, [0, 1]] = vectors[:, [1, 0]]
    return turned


def _centred(clicks: csr_matrix, shown: csr_matrix) -> csr_matrix:
    """Return clicks less half the showings, pair by pair, float32 [N, M]."""
    return csr_matrix(((clicks.data - shown.data / 2).astype(np.float32), shown.indices, shown.indptr), shown.shape)


def _weighed(shown: csr_matrix, logits: FloatArray) -> csr_matrix:
    """Return showings, each weighed by how steep the bound is at its pair's expected logit, float32 [N, M].

    Args:
        shown: float [N, M].
        logits: float [P], pair by pair.
    """
    size = np.maximum(np.abs(logits), 1e-3)  # nearer to zero rounding shows, and a quarter it is anyway
    weights = (shown.data * np.tanh(size / 2) / (2 * size)).astype(np.float32)
    return csr_matrix((weights, shown.indices, shown.indptr), shown.shape)


def _regressions(weights: csr_matrix, centred: csr_matrix, others: Normals, spread: FloatArray, base: float) -> Normals:
    """Return the posteriors of one side's N vectors given the other side's M.

    Args:
        weights: float [N, M].
        centred: float [N, M], clicks less half the showings.
        others: The other side.
        spread: float [D - 1], variances of the prior.
        base: Its mean at the first of those places; the others' is 0.
    """
    x = exchanged(others.mean)
    squares = x[:, :, None] * x[:, None]  # [M, D, D]
    free = [0, *range(2, x.shape[1])]
    squares[:, np.array(free)[:, None], free] += others.covariance
    upper = np.triu_indices(x.shape[1])
    sums = np.empty((weights.shape[0], *squares.shape[1:]), np.float32)
    sums[:, upper[0], upper[1]] = sums[:, upper[1], upper[0]] = weights @ squares[:, upper[0], upper[1]]
    covariance = np.linalg.inv(sums[:, 1:, 1:] + np.diag(1 / spread))
    right = (centred @ x)[:, 1:] - sums[:, 1:, 0]
    right[:, 0] += base / spread[0]
    mean = np.ones((len(sums), x.shape[1]), np.float32)
    mean[:, 1:] = np.einsum("nde,ne->nd", covariance, right)
    return Normals(mean, covariance)
