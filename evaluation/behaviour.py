"""How an agent behaved, beyond the clicks it got: what it showed, and how fast it found its way after a change."""

from collections.abc import Callable, Sequence

import numpy as np

from smartrec.core.arrays import BoolArray, FloatArray, IntArray
from smartrec.core.world import World

RECOVERED = 0.9
"""Share of the oracle's expected clicks from which an agent counts as recovered."""

STAYS = 3
"""Iterations in a row for which it must have that share."""

ROUNDING = 1e-9
"""Clicks by which two sums of the same terms may differ."""


class Showings:
    """What was shown in a run, as counts: memory grows with the items and not with the run.

    Args:
        n_items: I.
        features: float [I, D], or None; slates are then not compared.

    Attributes:
        counts: int [I], how often each item was shown.
        slates: Slates shown.
        distance: Sum of the cosine distances of all pairs of items in a slate; 0 where items have no features.
        pairs: How many pairs those are.
    """

    def __init__(self, n_items: int, features: FloatArray | None = None) -> None:
        self.counts = np.zeros(n_items, np.int64)
        self.slates = 0
        self._unit = None if features is None else _unit_rows(features)
        self.distance = 0.0
        self.pairs = 0

    def add(self, items: IntArray) -> None:
        """Count slates ``items``, int [B, K]."""
        self.counts += np.bincount(items.ravel(), minlength=len(self.counts))
        self.slates += len(items)
        slate_size = items.shape[1]
        if self._unit is not None and slate_size > 1:
            # The cosines of all pairs of a slate sum to (|sum of rows|^2 - sum of |row|^2) / 2: no table [K, K].
            rows = self._unit[items]
            total = rows.sum(axis=1)
            pairs = len(items) * slate_size * (slate_size - 1) // 2
            self.distance += pairs - (np.vdot(total, total) - np.vdot(rows, rows)) / 2
            self.pairs += pairs

    def figures(self) -> dict[str, float]:
        """Return coverage, Gini coefficient, novelty and, where items have features and slates pairs, diversity."""
        figures = {"coverage": self.coverage, "gini": gini(self.counts), "novelty": novelty(self.counts, self.slates)}
        if self.pairs:
            figures["diversity"] = float(self.distance / self.pairs)
        return figures

    @property
    def coverage(self) -> float:
        """Share of the items that were shown at least once."""
        return float((self.counts > 0).mean())


def gini(counts: IntArray) -> float:
    """Return the Gini coefficient of showings, ``sum_r (2 r - I - 1) c_(r) / (I sum c)`` with counts c ascending.

    0 where every item is shown equally often, ``1 - 1/I`` where one item has all showings. As in Fleder and
    Hosanagar, Blockbuster Culture's Next Rise or Fall, Management Science 55(5), 2009.

    Args:
        counts: int [I], how often each item was shown; at least one was.
    """
    n = len(counts)
    rank = 2 * np.arange(1, n + 1) - n - 1
    return float((rank * np.sort(counts)).sum() / (n * counts.sum()))


def novelty(counts: IntArray, slates: int) -> float:
    """Return the mean over showings of ``-log2(c_i / slates)``: the information in being shown item i, in bits.

    The mean self-information of Zhou et al., Solving the apparent diversity-accuracy dilemma of recommender systems,
    PNAS 107(10), 2010, whose share of the users that have an item is here the share of the slates of the run that
    hold it: a share of users would go to 1 for all items in a run that is long enough, whatever the agent does. 0
    where all are shown the same slate, ``log2(I / K)`` where every item is shown equally often.

    Args:
        counts: int [I], slates that hold each item.
        slates: Slates in all, >= 1.
    """
    shown = counts[counts > 0]
    # Spaces other than Slate let a slate hold an item twice; a share is 1 at most all the same.
    bits = np.log2(slates / np.minimum(shown, slates))
    return float((shown * bits).sum() / shown.sum())


def last_change(best_fixed: Callable[[Sequence[int]], float], clocks: int) -> int | None:
    """Return the last clock at which the best slate is another than before; None where it never is.

    One slate is best at both t - 1 and t if and only if the best slate for both together brings as much as the best
    of each by itself.

    Args:
        best_fixed: From clocks to what the best slate that is the same at all of them brings, mean over them.
        clocks: Clocks 1 .. ``clocks`` are looked at.
    """
    every = range(1, clocks + 1)
    alone = [best_fixed([clock]) for clock in every]
    if not np.mean(alone) - best_fixed(every) > ROUNDING:
        return None  # one slate is the best at all clocks; or none is defined
    for clock in range(clocks, 1, -1):
        apart = (alone[clock - 2] + alone[clock - 1]) / 2
        if apart - best_fixed([clock - 1, clock]) > ROUNDING:
            return clock
    return None


def recovery(expected: FloatArray, best: FloatArray, change: int) -> int:
    """Return the iterations from a change until an agent is back at 90 % of the oracle and stays for three.

    The smallest r >= 0 with ``expected[t] >= 0.9 best[t]`` at the clocks t = change + r, + r + 1 and + r + 2. Where
    the run shows no such r, the iterations from the change to its end: the agent needs at least about that long,
    and leaving it out would flatter it.

    Args:
        expected: Expected clicks a user at clocks 1, 2, ..., float [T].
        best: The same of each user's best slate.
        change: Clock at which the best slate became another.
    """
    back: BoolArray = expected[change - 1 :] >= RECOVERED * best[change - 1 :] - ROUNDING
    starts = range(len(back) - STAYS + 1)
    return next((start for start in starts if back[start : start + STAYS].all()), len(back))


def recovery_of(world: World, expected: FloatArray, best: FloatArray) -> dict[str, float]:
    """Return ``recovery`` after the last change of the best slate, or nothing where none changes.

    Where users may be shown different items no slate is the best for all, and nothing is returned.

    Args:
        world: Where the run was.
        expected: Expected clicks of each visit in order, float [visits].
        best: The same of each user's best slate.
    """
    change = last_change(lambda clocks: world.references(clocks).best_fixed, world.iterations)
    if change is None:
        return {}
    by_tick = (world.iterations, -1)
    return {"recovery": float(recovery(expected.reshape(by_tick).mean(1), best.reshape(by_tick).mean(1), change))}


def _unit_rows(features: FloatArray) -> FloatArray:
    """Return rows of length 1; rows of zeros stay, and so have the distance 1 to every other."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    unit: FloatArray = features.astype(np.float64) / np.where(length > 0, length, 1)
    return unit
