"""A probability for each pair of user and item, as a table."""

import numpy as np

from smartrec.core.arrays import FloatArray, IntArray
from smartrec.core.errors import InvalidInput
from smartrec.response_models.base import ResponseModel, State
from smartrec.response_models.popularity import check_probabilities


class Table(ResponseModel):
    """``p(click | user, item) = table[user, item]``.

    Args:
        table: float [U, I], probabilities 0..1; kept in its own type, so that a published float32 table
            stays exact.

    Raises:
        InvalidInput: Not two-dimensional, or a value outside [0, 1].
    """

    n_users: int

    def __init__(self, table: FloatArray) -> None:
        table = np.asarray(table)
        if table.ndim != 2 or not table.size:
            raise InvalidInput(f"table has shape {table.shape}; allowed: [users, items]")
        self.table = check_probabilities(table, "table")
        self.n_users, self.n_items = table.shape

    @classmethod
    def example(cls, n_users: int, n_items: int, seed: int = 0) -> "Table":
        """Return one with uniform probabilities."""
        return cls(np.random.default_rng(seed).random((n_users, n_items)))

    def probability(self, users: IntArray, items: IntArray, state: State) -> FloatArray:
        """Return ``table[users, items]``, float [N, K]."""
        return self.table[users[:, None], items]

    def scores(self, users: IntArray, state: State) -> FloatArray:
        """Return ``table[users]``, float [N, I]."""
        return self.table[users]
