"""Which items may be shown to whom, and when: the candidate generators a world can be made with."""

import math
from dataclasses import dataclass, replace

import numpy as np

from smartrec.core.arrays import BoolArray, IntArray
from smartrec.core.decision import Mask
from smartrec.core.errors import InvalidConfig
from smartrec.envs.crowd import Crowd
from smartrec.envs.settings import Settings
from smartrec.response_models.base import ResponseModel

SHARE = 0.5
"""Share of the items, rounded up, that are there at any time under ``availability="rolling"``."""

BLOCK = 2000
"""Users ranked at once; always the same blocks, so that rounding cannot tell two rankings apart."""

FLAT = 1e-6
"""Standard deviation of probabilities up to which a user likes all items alike, but for rounding."""


@dataclass(frozen=True, eq=False)
class Available:
    """Items that appear and disappear: item i may be shown while ``since[i] <= clock < until[i]``.

    Attributes:
        since: int [I], the first clock at which the item is there.
        until: int [I], the first clock at which it is gone again.
    """

    since: IntArray
    until: IntArray

    @classmethod
    def rolling(cls, n_items: int, there: int, iterations: int, seed: int) -> "Available":
        """Return the schedule of a shop window that moves along a shuffled row of all items.

        At clock t the window covers the places ``o(t) .. o(t) + W - 1`` of the row, with
        ``o(t) = floor((I - W) (t - 1) / iterations)``: it begins at the first item and has come to the last one at
        clock ``iterations + 1``. So W items are there at any time, and ``(I - W) / iterations`` items a tick, on
        average, leave for as many new ones. Every item is there once and without a gap, where that many are at
        most W.

        Args:
            n_items: I.
            there: W, items that are there at any time, 1 .. I.
            iterations: Ticks of the world, >= 1.
            seed: Of the shuffle, >= 0.
        """
        place = np.random.default_rng([seed, 1]).permutation(n_items)
        start = (n_items - there) * np.arange(iterations + 1) // iterations
        # The window covers a place from the first clock with o(t) > place - W to the first with o(t) > place.
        since = 1 + np.searchsorted(start, place - there, side="right")
        return cls(since, 1 + np.searchsorted(start, place, side="right"))

    def at(self, clock: int) -> BoolArray:
        """Return which items are there at ``clock``, bool [I]."""
        there: BoolArray = (self.since <= clock) & (clock < self.until)
        return there

    def __call__(self, users: IntArray, clock: int) -> Mask:
        """Return what may be shown at ``clock``, the same to all ``users``: bool [1, I]."""
        return Mask(self.at(clock)[None])


@dataclass(frozen=True, eq=False)
class Retrieved:
    """The first C items of each user's ranking, as a retrieval stage before the recommender would return them.

    Attributes:
        ranking: int [U, L], items of each user, best first, all different; L is C, or I where items come and go.
        count: C, items a user may be shown.
        n_items: I.
        available: When each item is there; None where all are there all the time.
    """

    ranking: IntArray
    count: int
    n_items: int
    available: Available | None = None

    @property
    def stationary(self) -> bool:
        """Whether the clock changes nothing."""
        return self.available is None

    @classmethod
    def of(
        cls, model: ResponseModel, n_users: int, count: int, seed: int, available: Available | None = None
    ) -> "Retrieved":
        """Rank the items of each user by ``z + e``, a noisy look at how likely the user is to respond.

        z is the probability of a response at clock 1, standardised over the items of the user (0 where the user
        likes all alike), and e is a standard normal draw for each pair: as much noise as signal. The ranking is made
        once, as by a retrieval stage that was trained before the run; it does not follow a drift.

        Args:
            model: Probability of a response.
            n_users: U.
            count: C, 1 .. I.
            seed: Of the noise, >= 0.
            available: When each item is there; the first C of those that are there are then retrieved.
        """
        rng = np.random.default_rng([seed, 2])
        length = count if available is None else model.n_items
        ranking = np.empty((n_users, length), np.int32)
        for start in range(0, n_users, BLOCK):
            users = np.arange(start, min(start + BLOCK, n_users))
            scores = model.scores(users, model.start())
            spread = scores.std(axis=1, keepdims=True)
            signal = (scores - scores.mean(axis=1, keepdims=True)) / np.where(spread > FLAT, spread, 1)
            noise = rng.standard_normal(scores.shape, np.float32)
            ranking[users] = np.argsort(-(signal + noise), axis=1)[:, :length]
        return cls(ranking, count, model.n_items, available)

    def __call__(self, users: IntArray, clock: int) -> Mask:
        """Return the candidates of ``users`` [N] at ``clock``, bool [N, I]."""
        ranking = self.ranking[users]
        keep = np.ones(ranking.shape, bool)
        if self.available is not None:
            keep = self.available.at(clock)[ranking]
            keep &= keep.cumsum(axis=1, dtype=np.int32) <= self.count
        allowed = np.zeros((len(users), self.n_items), bool)
        allowed[np.nonzero(keep)[0], ranking[keep]] = True
        return Mask(allowed)


def with_candidates(crowd: Crowd, settings: Settings) -> Crowd:
    """Return the crowd with the candidate generator that ``availability`` and ``candidates`` ask for.

    Args:
        crowd: Who is served.
        settings: Of the world, sizes filled in.

    Raises:
        InvalidConfig: The crowd has a mask of its own, and the settings ask for another.
    """
    if settings.availability == "all" and settings.candidates is None:
        return crowd
    # A world may be made of the crowd of another world, which has a generator by these settings already.
    if crowd.mask is not None and not isinstance(crowd.mask, (Available, Retrieved)):
        raise InvalidConfig(
            f"availability = {settings.availability!r}, candidates = {settings.candidates!r}, but the crowd has a "
            'mask of its own; allowed with it: availability="all" and candidates=None'
        )
    seed, n_items = settings.population_seed, crowd.n_items
    available = None
    if settings.availability == "rolling":
        there = max(settings.slate_size, math.ceil(SHARE * n_items))
        available = Available.rolling(n_items, there, settings.iterations, seed)
    if settings.candidates is None:
        return replace(crowd, mask=available)
    return replace(crowd, mask=Retrieved.of(crowd.model, crowd.n_users, settings.candidates, seed, available))
