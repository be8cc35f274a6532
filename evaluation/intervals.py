"""How sure a mean over seeds, or over users and seeds, is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smartrec.core.arrays import FloatArray
from smartrec.core.errors import InvalidInput


@dataclass(frozen=True)
class Interval:
    """A mean and how far the true one may be from it.

    Attributes:
        mean: Of the values.
        half_width: The true mean lies within this distance with the probability ``level``; infinite for a single
            value.
        count: Number of values.
        level: 0..1.
        error: Standard error of the mean; infinite for a single value.
    """

    mean: float
    half_width: float
    count: int
    level: float = 0.95
    error: float = float("inf")

    def text(self, digits: int = 3) -> str:
        """Return for example ``0.734 ± 0.003``; the mean alone for a single value."""
        if self.count < 2:
            return f"{self.mean:.{digits}f}"
        return f"{self.mean:.{digits}f} ± {self.half_width:.{digits}f}"


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Return Student's t interval of the mean, ``mean ± t(level, n - 1) s / sqrt(n)``.

    Args:
        values: One a seed, independent.
        level: Probability with which the interval holds the true mean, 0..1.

    Raises:
        InvalidInput: There are no values.
    """
    from scipy.stats import t

    count = len(values)
    if count == 0:
        raise InvalidInput("no values to take a mean of; allowed: at least one")
    mean = float(np.mean(values))
    if count == 1:
        return Interval(mean, float("inf"), 1, level)
    deviation = float(np.std(values, ddof=1))
    error = deviation / count**0.5
    return Interval(mean, float(t.ppf(0.5 + level / 2, count - 1)) * error, count, level, error)


def crossed_interval(values: FloatArray, level: float = 0.95) -> Interval:
    """Return an interval of the mean over users and seeds at once, for values that each seed has of each user.

    ``variance = s_U^2 / U + s_S^2 / S`` with s_U the deviation of the users' means over seeds and s_S that of the
    seeds' means over users; the quantile is Student's with Satterthwaite's degrees of freedom. Each part holds a
    little of the other, so the interval is rather too wide than too narrow. With one seed it is that over users.

    Args:
        values: float [S, U], S seeds and U users. For a difference of two agents pass the differences.
        level: Probability with which the interval holds the true mean, 0..1.

    Raises:
        InvalidInput: There are no values.
    """
    from scipy.stats import t

    values = np.atleast_2d(values)
    if not values.size:
        raise InvalidInput("no values to take a mean of; allowed: at least one")
    parts = [(np.var(part, ddof=1) / len(part), len(part) - 1) for axis in (0, 1) if len(part := values.mean(axis)) > 1]
    variance = float(sum(part for part, _ in parts))
    if not parts:
        return Interval(float(values.mean()), float("inf"), 1, level)
    freedom = variance**2 / sum(part**2 / of for part, of in parts) if variance else 1.0
    half_width = float(t.ppf(0.5 + level / 2, freedom)) * variance**0.5
    return Interval(float(values.mean()), half_width, values.size, level, variance**0.5)
