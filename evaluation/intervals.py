"""How sure a mean over seeds is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
    """

    mean: float
    half_width: float
    count: int
    level: float = 0.95

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
    return Interval(mean, float(t.ppf(0.5 + level / 2, count - 1)) * deviation / count**0.5, count, level)
