"""Users with a hidden taste: the product of a user's and an item's factors, as a probability."""

import numpy as np

from smartrec.core.arrays import BoolArray, FloatArray, IntArray
from smartrec.core.config import require
from smartrec.core.errors import InvalidInput
from smartrec.data.interactions import Interactions
from smartrec.response_models.base import ResponseModel, State


class Preferences(ResponseModel):
    """``p(click | user, item) = sigmoid(user_factors[user] . item_factors[item])``.

    Biases are factors too: a column of ones on one side carries the bias of the other.

    Args:
        user_factors: float [U, F].
        item_factors: float [I, F].

    Raises:
        InvalidInput: The two have not the same number of factors, or hold NaN.
    """

    n_users: int

    def __init__(self, user_factors: FloatArray, item_factors: FloatArray) -> None:
        user_factors, item_factors = np.asarray(user_factors), np.asarray(item_factors)
        if user_factors.ndim != 2 or item_factors.ndim != 2 or user_factors.shape[1] != item_factors.shape[1]:
            raise InvalidInput(
                f"user factors have shape {user_factors.shape}, item factors {item_factors.shape}; "
                "allowed: tables with the same number of columns"
            )
        for name, factors in (("user_factors", user_factors), ("item_factors", item_factors)):
            if not np.isfinite(factors).all():
                raise InvalidInput(f"{name} has NaN or infinite entries; allowed: finite numbers")
        self.user_factors = np.ascontiguousarray(user_factors, np.float32)
        self.item_factors = np.ascontiguousarray(item_factors, np.float32)
        self.n_users, self.n_items = len(user_factors), len(item_factors)

    @classmethod
    def example(cls, n_users: int, n_items: int, seed: int = 0) -> "Preferences":
        """Return one with four normal factors."""
        rng = np.random.default_rng(seed)
        return cls(rng.normal(size=(n_users, 4)), rng.normal(size=(n_items, 4)))

    @classmethod
    def fit(cls, interactions: Interactions, positive: float, rank: int = 20, prior: float = 10.0) -> "Preferences":
        """Fit factors to a log and calibrate them.

        1. A base rate: ``logit(item mean) + logit(user mean) - logit(mean)``, means shrunk by ``prior`` rows.
        2. Taste: truncated singular value decomposition of the residuals ``click - base rate`` (0 where
           nothing is known), ``rank`` directions.
        3. Calibration: logistic regression of a tenth of the answers, kept out of steps 1 and 2 the first
           time, on base logit and taste; its three weights are folded into the factors of a second pass of
           steps 1 and 2 over all answers (Platt 1999).

        Args:
            interactions: The log; of a repeated pair only the last row counts.
            positive: Rating from which a row counts as a click.
            rank: Directions of taste, 1 .. min(U, I) - 1.
            prior: Rows that an overall mean counts for, > 0.

        Raises:
            InvalidConfig: ``rank`` or ``prior`` out of range.
        """
        most = min(interactions.n_users, interactions.n_items) - 1
        require(1 <= rank <= most, "rank", rank, f"1 to {most}, less than users and items")
        require(prior > 0, "prior", prior, "a number > 0")
        log = interactions.last_of_pairs()
        clicks = log.positive(positive)
        # By dice, not every tenth row: a log may list the same ten items for each user.
        kept_out = np.random.default_rng(0).random(len(log)) < 0.1
        first = _Taste(log.select(~kept_out), clicks[~kept_out], rank, prior)
        weights = _calibrate(*first.parts(log.users[kept_out], log.items[kept_out]), clicks[kept_out])
        return cls(*_Taste(log, clicks, rank, prior).factors(*weights))

    def probability(self, users: IntArray, items: IntArray, state: State) -> FloatArray:
        """Return the sigmoid of the products, float32 [N, K]."""
        # take and einsum: twice as fast here as indexing and a batched matrix product, which copies.
        of_items, of_users = self.item_factors.take(items, axis=0), self.user_factors.take(users, axis=0)
        return _sigmoid(np.einsum("nkf,nf->nk", of_items, of_users))

    def scores(self, users: IntArray, state: State) -> FloatArray:
        """Return the probabilities of all items in one matrix product, float32 [N, I]."""
        return _sigmoid(self.user_factors[users] @ self.item_factors.T)


class _Taste:
    """Base rates and singular directions of one log."""

    def __init__(self, log: Interactions, clicks: BoolArray, rank: int, prior: float) -> None:
        from scipy.sparse import csr_matrix
        from scipy.sparse.linalg import svds

        self.mean = np.array([_logit(np.clip(clicks.mean(), 0.001, 0.999))])
        self.user_logit = _shrunk_logits(log.users, clicks, log.n_users, prior)
        self.item_logit = _shrunk_logits(log.items, clicks, log.n_items, prior)
        base = _sigmoid(self._base(log.users, log.items))
        residuals = csr_matrix((clicks - base, (log.users, log.items)), shape=(log.n_users, log.n_items))
        start = np.random.default_rng(0).standard_normal(min(residuals.shape))
        left, sizes, right = svds(residuals, k=rank, v0=start)
        self.user_taste, self.item_taste = left * sizes, right.T

    def _base(self, users: IntArray, items: IntArray) -> FloatArray:
        base: FloatArray = self.user_logit[users] + self.item_logit[items] - self.mean
        return base

    def parts(self, users: IntArray, items: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return base logit and taste of pairs, float [R] each."""
        return self._base(users, items), (self.user_taste[users] * self.item_taste[items]).sum(axis=1)

    def factors(self, base: float, taste: float, intercept: float) -> tuple[FloatArray, FloatArray]:
        """Return factors whose product is ``intercept + base * base logit + taste * taste``."""
        users, items = len(self.user_taste), len(self.item_taste)
        user_bias = base * (self.user_logit - self.mean) + intercept
        user_factors = np.column_stack([taste * self.user_taste, user_bias, np.ones(users)])
        item_factors = np.column_stack([self.item_taste, np.ones(items), base * self.item_logit])
        return user_factors, item_factors


def _calibrate(base: FloatArray, taste: FloatArray, clicks: BoolArray) -> tuple[float, float, float]:
    """Return the weights of base logit and taste and the intercept, by logistic regression."""
    from sklearn.linear_model import LogisticRegression

    if clicks.all() or not clicks.any():
        return 1.0, 0.0, 0.0
    fitted = LogisticRegression(C=1e6).fit(np.column_stack([base, taste]), clicks)
    return float(fitted.coef_[0, 0]), float(fitted.coef_[0, 1]), float(fitted.intercept_[0])


def _shrunk_logits(groups: IntArray, clicks: BoolArray, count: int, prior: float) -> FloatArray:
    rows = np.bincount(groups, minlength=count)
    positives = np.bincount(groups, weights=clicks, minlength=count)
    rate = (positives + prior * clicks.mean()) / (rows + prior)
    return _logit(np.clip(rate, 0.001, 0.999))


def _logit(probability: FloatArray) -> FloatArray:
    return np.log(probability / (1 - probability))


def _sigmoid(logits: FloatArray) -> FloatArray:
    """1 / (1 + exp(-x)) by tanh, which neither overflows nor warns."""
    probability: FloatArray = 0.5 + 0.5 * np.tanh(0.5 * logits)
    return probability
