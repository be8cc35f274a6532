"""Splits of a log into what is learned from (train) and what is judged on (test).

Each takes a log and returns two with the same vocabularies; every row is in exactly one of them, and rows
keep their order. A split that would leave a side empty raises.
"""

import numpy as np

from smartrec.core.arrays import BoolArray, IntArray
from smartrec.core.errors import InvalidInput
from smartrec.core.seeding import generators
from smartrec.data.interactions import Interactions

Split = tuple[Interactions, Interactions]
"""Train and test."""


def by_time(log: Interactions, test_share: float = 0.2) -> Split:
    """Put the last ``test_share`` of the rows into test; see ``Interactions.split_by_time``.

    Raises:
        InvalidInput: There are no timestamps, the share is out of range, or a side would be empty.
    """
    return log.split_by_time(test_share)


def by_user(log: Interactions, test_share: float = 0.2, *, seed: int) -> Split:
    """Put all rows of a random ``test_share`` of the users who have rows into test.

    Raises:
        InvalidInput: The share is not between 0 and 1, or a side would be empty.
    """
    (rng,) = generators(seed, 1)
    return _split(log, _held_out("test_share", log.users, test_share, rng), f"test_share = {test_share} of the users")


def leave_last_out(log: Interactions, n: int = 1) -> Split:
    """Put the last ``n`` rows of each user into test, by time, else and among equal times by file order.

    Users with ``n`` rows or fewer stay in train whole: nothing would be known of them when they are judged.

    Raises:
        InvalidInput: ``n`` is below 1, or no user has more than ``n`` rows.
    """
    if n < 1:
        raise InvalidInput(f"n = {n}; allowed: 1 or more rows of each user")
    # lexsort is stable, so equal times (and no times) fall back on the order of the file.
    order = np.lexsort((log.users,) if log.timestamps is None else (log.timestamps, log.users))
    counts = np.bincount(log.users, minlength=log.n_users)
    from_end = np.empty(len(log), np.int64)
    from_end[order] = np.cumsum(counts)[log.users[order]] - np.arange(len(log))
    return _split(log, (from_end <= n) & (counts[log.users] > n), f"n = {n} last rows of users with more than that")


def cold_start(log: Interactions, *, items: float = 0.0, users: float = 0.0, seed: int) -> Split:
    """Hold random items, users or both out of train entirely: test is every row that has one of them.

    Args:
        log: The log.
        items: Share of the items with rows that train must not know.
        users: Share of the users with rows that train must not know.
        seed: Of the draw; the users drawn do not depend on the share of items, nor the other way round.

    Raises:
        InvalidInput: A share is not between 0 and 1, both are 0, or a side would be empty.
    """
    if not items and not users:
        raise InvalidInput("items = 0 and users = 0; allowed: a share above 0 for one of them, for example items=0.2")
    test = np.zeros(len(log), bool)
    sides = (("items", log.items, items), ("users", log.users, users))
    for (name, numbers, share), rng in zip(sides, generators(seed, 2), strict=True):
        if share:
            test |= _held_out(name, numbers, share, rng)
    return _split(log, test, f"items = {items} and users = {users} held out")


def _held_out(name: str, numbers: IntArray, share: float, rng: np.random.Generator) -> BoolArray:
    """Return bool [R]: the rows of a random share of the different numbers."""
    if not 0 < share < 1:
        raise InvalidInput(f"{name} = {share}; allowed: between 0 and 1, for example 0.2")
    present = np.unique(numbers)
    chosen = rng.permutation(present)[: round(share * len(present))]
    return np.isin(numbers, chosen)


def _split(log: Interactions, test: BoolArray, how: str) -> Split:
    if test.all() or not test.any():
        side = "test" if not test.any() else "train"
        raise InvalidInput(
            f"{how} leaves nothing in {side}, of {len(log):,} rows of {len(np.unique(log.users)):,} users and "
            f"{len(np.unique(log.items)):,} items; ask for {'more' if side == 'test' else 'less'}, or take a longer log"
        )
    return log.select(~test), log.select(test)
