"""What a run is measured by, each figure with its unit and direction."""

from dataclasses import dataclass

import numpy as np

from smartrec.core.arrays import FloatArray, IntArray

MOST_POINTS = 64
"""Points of a curve: every iteration of a run that has no more, else log-spaced ones."""


@dataclass(frozen=True)
class Metric:
    """One figure of a run.

    Attributes:
        unit: What it counts.
        higher_is_better: Its direction.
        about: What it is, in one line.
    """

    unit: str
    higher_is_better: bool
    about: str


METRICS = {
    "loop": Metric("clicks a user", True, "clicks of a served user, mean over the iterations"),
    "final": Metric(
        "clicks a user",
        True,
        "all users served once after the last iteration, learning stopped, acting as in the run",
    ),
    "final_expected": Metric("clicks a user", True, "the same without dice: expected clicks of what was shown"),
    "exploit": Metric("clicks a user", True, "expected clicks of the best guess, explore=False, after the run"),
    "regret": Metric(
        "clicks", False, "dynamic: expected clicks lost against each user's best slate at the time, in sum"
    ),
    "static_regret": Metric(
        "clicks", False, "expected clicks lost against the one slate that is best for all users at all times, in sum"
    ),
    "recovery": Metric("iterations", False, "from the last change of the best slate until back at 90 % of the oracle"),
    "loop_normalised": Metric("share", True, "expected clicks of the run: 0 is random, 1 each user's best slate"),
    "final_normalised": Metric("share", True, "final_expected on the same scale"),
    "coverage": Metric("share of items", True, "shown at least once in the run"),
    "final_coverage": Metric("share of items", True, "shown at least once to all users after the run"),
    "gini": Metric("0 to 1", False, "Gini coefficient of showings in the run: 0 is even"),
    "novelty": Metric("bits", True, "mean -log2 of the share of slates of the run that hold a shown item"),
    "diversity": Metric("0 to 2", True, "mean cosine distance of item features within a slate"),
    "decision_us": Metric("microseconds a visit", False, "time in act"),
    "learning_us": Metric("microseconds a visit", False, "time in observe and update"),
}


@dataclass
class Ledger:
    """What each scored visit brought, float [visits] each.

    Attributes:
        reward: Clicks.
        expected: Expected clicks of what was shown.
        best: Expected clicks of the best for the user.
        random: Expected clicks of a random slate.
    """

    reward: FloatArray
    expected: FloatArray
    best: FloatArray
    random: FloatArray

    @classmethod
    def of(cls, visits: int) -> "Ledger":
        """Return an empty ledger."""
        return cls(*(np.zeros(visits) for _ in range(4)))

    @property
    def regret(self) -> float:
        """Expected clicks lost against each user's best slate at the time, over all visits: dynamic regret.

        The best changes with user and clock, as in Besbes, Gur and Zeevi, Stochastic Multi-Armed-Bandit Problem
        with Non-stationary Rewards, 2014.
        """
        return float((self.best - self.expected).sum())

    def regret_against(self, fixed: float) -> float:
        """Return the expected clicks lost against a slate that brings ``fixed`` a visit, over all visits.

        Below 0 for an agent that follows users or time better than any one slate could.
        """
        return float(fixed * len(self.expected) - self.expected.sum())

    @property
    def normalised(self) -> float:
        """Expected clicks on a scale where random is 0 and each user's best is 1."""
        return normalised(self.expected.mean(), self.random.mean(), self.best.mean())

    def curve(self, iterations: int) -> list[list[float]]:
        """Return a row a point: visits so far, means since the point before, and regret so far.

        Args:
            iterations: Ticks of equal size that the visits fall into.
        """
        size = len(self.reward) // iterations
        ends = curve_points(iterations) * size
        columns = (self.reward, self.expected, self.best, self.random)
        sums = [np.diff(np.concatenate([[0.0], np.cumsum(column)[ends - 1]])) for column in columns]
        counts = np.diff(np.concatenate([[0], ends]))
        regret = np.cumsum(self.best - self.expected)[ends - 1]
        rows = np.column_stack([ends, *(total / counts for total in sums), regret])
        return [[round(float(value), 6) for value in row] for row in rows]


def curve_points(iterations: int) -> IntArray:
    """Return the iterations at which a curve has points, int, ascending, the last included."""
    if iterations <= MOST_POINTS:
        return np.arange(1, iterations + 1)
    return np.unique(np.geomspace(1, iterations, MOST_POINTS).round().astype(np.int64))


def normalised(value: float, random: float, best: float) -> float:
    """Return ``(value - random) / (best - random)``: 0 for random, 1 for the best; 1 where there is no room."""
    return 1.0 if best - random < 1e-12 else float((value - random) / (best - random))
