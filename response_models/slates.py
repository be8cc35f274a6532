"""Means over all slates that could be drawn, without drawing any."""

from collections.abc import Iterable

import numpy as np

from smartrec.core.arrays import FloatArray


def random_products(columns: Iterable[FloatArray], most: int) -> FloatArray:
    """Return the mean product of the factors of m different items, drawn uniformly, for m = 0 .. ``most``.

    ``e_m(factors) / binomial(I, m)`` with elementary symmetric polynomials e_m, by taking in an item at a time:
    of the first c items a random m hold the newest with probability m / c, so

        M_m(c) = (1 - m / c) M_m(c - 1) + (m / c) factor_c M_{m-1}(c - 1).

    Each is a mean of means, so that nothing cancels and nothing overflows.

    Args:
        columns: The factors item by item, float [N] each, 0..1. A lane with fewer items than others, but at least
            ``most``, has NaN in the columns after its last.
        most: K.

    Returns:
        float64 [K + 1, N].
    """
    sizes = np.arange(1.0, most + 1)[:, None]
    means: FloatArray = np.array([[1.0]] + most * [[0.0]])
    for count, column in enumerate(columns, start=1):
        newest = np.minimum(sizes / count, 1.0)
        ended = np.isnan(column)
        if ended.any():
            newest, column = newest * ~ended, np.where(ended, 0.0, column)
        change = newest * (column * means[:-1] - means[1:])
        means = np.concatenate([np.ones((1, len(column))), means[1:] + change])
    return means
