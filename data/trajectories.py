"""A log in the order in which each user lived it: the ground for frames, sequences and offline learning."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smartrec.core.arrays import BoolArray, IntArray
from smartrec.core.errors import InvalidInput
from smartrec.data.interactions import Interactions
from smartrec.data.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Trajectories:
    """The answers of each user, oldest first, one user after the other. R rows of U users.

    Attributes:
        users: int32 [U], the user's number in ``user_ids``, ascending; each has at least one row.
        starts: int64 [U + 1], user u has rows ``starts[u] .. starts[u + 1] - 1``.
        items: int32 [R].
        ratings: float32 [R].
        timestamps: int64 [R], Unix seconds, or None where the log has no time.
        user_ids: All users of the log.
        item_ids: All items of the log.
    """

    users: NDArray[np.int32]
    starts: NDArray[np.int64]
    items: NDArray[np.int32]
    ratings: NDArray[np.float32]
    timestamps: NDArray[np.int64] | None
    user_ids: Vocabulary
    item_ids: Vocabulary

    @classmethod
    def of(cls, log: Interactions) -> "Trajectories":
        """Sort a log by user and time; equal times, and a log without time, keep the order of the file.

        Nothing is dropped: rows that repeat stay (see ``steps.drop_repeats`` and ``steps.irregularities``).

        Raises:
            InvalidInput: The log has no rows.
        """
        return cls._sorted(log)[0]

    @classmethod
    def joined(cls, train: Interactions, test: Interactions) -> tuple["Trajectories", BoolArray]:
        """Sort two parts of a log together; at equal times of a user, train comes first.

        Returns:
            The trajectories, and bool [R]: which of their rows are of ``test``.

        Raises:
            InvalidInput: The parts have other users or items, one has times and the other has none, or both are empty.
        """
        both = _join(train, test)
        trajectories, order = cls._sorted(both)
        return trajectories, order >= len(train)

    @classmethod
    def _sorted(cls, log: Interactions) -> tuple["Trajectories", IntArray]:
        if not len(log):
            raise InvalidInput("the log has no rows; take a longer one, or ask for less of the steps before")
        order = time_order(log)
        counts = np.bincount(log.users, minlength=log.n_users)
        users = np.flatnonzero(counts)
        times = None if log.timestamps is None else log.timestamps[order]
        starts = np.concatenate([[0], np.cumsum(counts[users])])
        rows = log.items[order], log.ratings[order], times
        return cls(users.astype(np.int32), starts, *rows, log.user_ids, log.item_ids), order

    @property
    def n_items(self) -> int:
        """I, all items of the vocabulary."""
        return len(self.item_ids)

    @property
    def lengths(self) -> IntArray:
        """Rows of each user, int64 [U]."""
        return np.diff(self.starts)

    def __len__(self) -> int:
        return len(self.users)


def time_order(log: Interactions) -> IntArray:
    """Return the rows by user, then by time, then by place in the file, int64 [R]."""
    if log.timestamps is None or not len(log):
        return np.argsort(log.users, kind="stable")
    first, last = int(log.timestamps.min()), int(log.timestamps.max())
    span = last - first + 1
    if log.n_users * span >= 2**63:
        return np.lexsort((log.timestamps, log.users))
    # One key in one fast sort, which leaves equal keys in any order; those alone are put right afterwards.
    key = log.users.astype(np.int64)
    key *= span
    key += log.timestamps
    key -= first
    order = np.argsort(key)
    ordered = key[order]
    same = ordered[1:] == ordered[:-1]
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
    order[tied] = order[tied][np.lexsort((order[tied], ordered[tied]))]
    return order


def _join(train: Interactions, test: Interactions) -> Interactions:
    if (train.timestamps is None) != (test.timestamps is None):
        raise InvalidInput("one part of the log has timestamps and the other has none; take both from one log")
    for what, one, other in (
        ("users", train.user_ids, test.user_ids),
        ("items", train.item_ids, test.item_ids),
    ):
        if one is not other and not np.array_equal(one.ids, other.ids):
            raise InvalidInput(
                f"the parts list other {what} ({len(one)} and {len(other)} ids); renumber before the split, not after"
            )
    parts, times = (train, test), None
    if train.timestamps is not None and test.timestamps is not None:
        times = np.concatenate([train.timestamps, test.timestamps])
    return Interactions(
        np.concatenate([part.users for part in parts]),
        np.concatenate([part.items for part in parts]),
        np.concatenate([part.ratings for part in parts]),
        times,
        train.user_ids,
        train.item_ids,
    )
