"""What users' answers say of items, as columns; of an item without answers, what its other columns let one expect.

The table of users and items holds ``log(1 + r) / (n_u n_i)^(1/4)`` for a rating r of user u for item i, with n_u
and n_i answers; or, with weight ``centred``, r less the user's mean in place of the logarithm. With its leading
singular vectors ``U diag(s) V'`` item i is row i of ``V diag(s)^(1/2)``, scaled to length 1: how many answers an item
has is no direction of its own. Without the scalings this is PureSVD (Cremonesi, Koren and Turrin 2010); on MovieLens
they bring films of one series nearer to each other. ``als`` takes the item factors of implicit feedback instead (Hu,
Koren and Volinsky 2008), from the package implicit, with confidence ``log(1 + r)``.
"""

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from smartrec.core.arrays import FloatArray, IntArray
from smartrec.core.config import require
from smartrec.core.errors import InvalidInput
from smartrec.core.optional import optional
from smartrec.data.embeddings.blocks import Block, leading
from smartrec.data.embeddings.items import ItemTable
from smartrec.data.interactions import Interactions

_PENALTIES = np.logspace(-2, 4, 13)
"""Penalties of the ridge regression that are tried."""


@dataclass(eq=False)
class FactorBlock(Block):
    """Items that the same users answered lie together.

    An item with fewer than ``min_count`` answers, and every item that comes later, gets the factors that a ridge
    regression on the columns of the blocks before this one predicts; its penalty is chosen by leave-one-out error on
    the items that have answers. So a new item differs from what it would be with answers, by that error.

    Attributes:
        size: Most columns, >= 1.
        method: ``svd``, or ``als`` by the package implicit.
        weight: What svd makes of a rating: ``log`` (answers count, good ones more) or ``centred`` (taste alone).
        min_count: Answers from which an item has factors of its own, >= 1.
    """

    name: ClassVar[str] = "factors"
    size: int = 64
    method: Literal["svd", "als"] = "svd"
    weight: Literal["log", "centred"] = "log"
    min_count: int = 3

    def __post_init__(self) -> None:
        require(self.size >= 1, "size", self.size, "1 or more columns")
        require(self.method in ("svd", "als"), "method", self.method, "'svd', 'als'")
        require(self.weight in ("log", "centred"), "weight", self.weight, "'log', 'centred'")
        require(self.min_count >= 1, "min_count", self.min_count, "1 or more answers")

    def fit(self, items: ItemTable, log: Interactions, before: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Learn the factors and the regression; see ``Block.fit``.

        Raises:
            InvalidInput: ``log`` weights of ratings below 0.
        """
        log = log.last_of_pairs()
        counts = np.bincount(log.items, minlength=log.n_items)
        factors = self._svd(log, counts, rng) if self.method == "svd" else self._als(log, rng)
        lengths = np.linalg.norm(factors, axis=1)
        own = (counts >= self.min_count) & (lengths > 0)
        self.arrays = {"slope": np.zeros((before.shape[1], factors.shape[1])), "mean": np.zeros(factors.shape[1])}
        if not own.any():
            return np.empty((len(items), 0))
        factors[own] /= lengths[own, None]
        self.arrays["mean"] = factors[own].mean(axis=0)
        if before.shape[1]:
            self.arrays |= _ridge(before[own], factors[own])
        factors[~own] = self.transform(items, before)[~own]
        return factors

    def transform(self, items: ItemTable, before: FloatArray) -> FloatArray:
        """Return what the columns before let one expect, float [n, d]."""
        expected: FloatArray = before @ self.fitted("slope") + self.arrays["mean"]
        return expected

    def _svd(self, log: Interactions, counts: IntArray, rng: np.random.Generator) -> FloatArray:
        per_user = np.bincount(log.users, minlength=log.n_users)
        if self.weight == "log":
            values = _logged(log)
        else:
            means = np.bincount(log.users, log.ratings, log.n_users) / np.maximum(per_user, 1)
            values = log.ratings - means[log.users]
        table = _sparse(log, values / (per_user[log.users] * counts[log.items]) ** 0.25)
        directions = leading(table, self.size, rng)
        scaled: FloatArray = directions * np.sqrt(np.linalg.norm(table @ directions, axis=0))
        return scaled

    def _als(self, log: Interactions, rng: np.random.Generator) -> FloatArray:
        limits = optional("threadpoolctl", "recommenders", "FactorBlock(method='als')").threadpool_limits
        als = optional("implicit.cpu.als", "recommenders", "FactorBlock(method='als')").AlternatingLeastSquares
        unasked = optional("implicit.utils", "recommenders", "FactorBlock(method='als')").ParameterWarning
        table = _sparse(log, _logged(log)).astype(np.float32)
        with limits(1, "blas"), warnings.catch_warnings():
            warnings.simplefilter("ignore", unasked)  # of the sparse format, which it changes itself
            fitted = als(factors=self.size, random_state=int(rng.integers(2**31)), num_threads=1)
            fitted.fit(table, show_progress=False)
        return np.asarray(fitted.item_factors, float)


def _logged(log: Interactions) -> FloatArray:
    if len(log) and log.ratings.min() < 0:
        raise InvalidInput(
            f"a rating of {log.ratings.min():g}; weight 'log' and method 'als' take ratings >= 0. Add a constant, or "
            "use FactorBlock(weight='centred')"
        )
    confidence: FloatArray = np.log1p(log.ratings.astype(float))
    return confidence


def _sparse(log: Interactions, values: FloatArray) -> Any:
    from scipy.sparse import csr_matrix

    return csr_matrix((values, (log.users, log.items)), shape=(log.n_users, log.n_items))


def _ridge(before: FloatArray, factors: FloatArray) -> dict[str, FloatArray]:
    from sklearn.linear_model import RidgeCV

    fitted = RidgeCV(alphas=_PENALTIES).fit(before, factors)
    return {"slope": np.atleast_2d(fitted.coef_).T, "mean": np.atleast_1d(fitted.intercept_)}
