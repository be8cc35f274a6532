"""Users who all like the same items: one click probability an item."""

import numpy as np

from smartrec.core.arrays import FloatArray, IntArray
from smartrec.core.config import require
from smartrec.core.errors import InvalidInput
from smartrec.data.interactions import Interactions
from smartrec.response_models.base import ResponseModel, State

BREADS = (0.40, 0.10, 0.75, 0.40, 0.10, 0.40, 0.75, 0.10, 0.75, 0.40)
"""The ten breads of task 1: 2, 6, 8 popular; 1, 4, 7 unpopular."""


class Popularity(ResponseModel):
    """``p(click | user, item) = popularity[item]``.

    Args:
        popularity: float [I], click probability of each item, 0..1.

    Raises:
        InvalidInput: Not one number an item, a probability outside [0, 1], or NaN.
    """

    def __init__(self, popularity: FloatArray) -> None:
        values = np.array(popularity, np.float64)  # a copy: whoever made it may go on writing
        if values.ndim != 1 or not len(values):
            raise InvalidInput(f"popularity has shape {values.shape}; allowed: [items], one number an item")
        self.popularity = check_probabilities(values, "popularity")
        self.n_items = len(self.popularity)

    @classmethod
    def example(cls, n_users: int, n_items: int, seed: int = 0) -> "Popularity":
        """Return one with uniform popularities."""
        return cls(np.random.default_rng(seed).random(n_items))

    @classmethod
    def breads(cls, n_items: int = 10) -> "Popularity":
        """The items of tasks 1 and 3; beyond ten the pattern repeats."""
        return cls(np.resize(BREADS, n_items))

    @classmethod
    def fit(cls, interactions: Interactions, positive: float, prior: float = 10.0) -> "Popularity":
        """Estimate the popularity of each item from a log.

        ``popularity[i] = (positives[i] + prior * mean) / (rows[i] + prior)``, so that an item with few rows
        stays near the mean of the log.

        Args:
            interactions: The log.
            positive: Rating from which a row counts as a click.
            prior: Rows that the mean of the log counts for, > 0.

        Raises:
            InvalidConfig: ``prior`` is not positive; an item without rows would have no popularity.
        """
        require(prior > 0, "prior", prior, "a number > 0")
        clicks = interactions.positive(positive)
        rows = np.bincount(interactions.items, minlength=interactions.n_items)
        positives = np.bincount(interactions.items, weights=clicks, minlength=interactions.n_items)
        return cls((positives + prior * clicks.mean()) / (rows + prior))

    def probability(self, users: IntArray, items: IntArray, state: State) -> FloatArray:
        """Return ``popularity[items]``, float [N, K]."""
        return self.popularity.take(items)

    def scores(self, users: IntArray, state: State) -> FloatArray:
        """Return the same row for every user, float [N, I], as a view."""
        return np.broadcast_to(self.popularity, (len(users), self.n_items))


def check_probabilities(values: FloatArray, name: str) -> FloatArray:
    """Return ``values`` if all lie in [0, 1].

    Raises:
        InvalidInput: One does not, or is NaN; the message has its place and value.
    """
    wrong = np.argwhere(~((values >= 0) & (values <= 1)))
    if len(wrong):
        place = tuple(int(index) for index in wrong[0])
        raise InvalidInput(
            f"{name}{list(place)} = {values[place]}; allowed: probabilities from 0 to 1 "
            f"({len(wrong)} of {values.size} are not). Convert scores to probabilities first"
        )
    return values
