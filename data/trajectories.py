"""A log in the order in which each user lived it: the ground for frames, sequences and offline learning."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smartrec.core.arrays import IntArray
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

        Raises:
            InvalidInput: The log has no rows.
        """
        if not len(log):
            raise InvalidInput("the log has no rows; take a longer one, or ask for less of the steps before")
        order = _order(log)
        users, counts = np.unique(log.users, return_counts=True)
        times = None if log.timestamps is None else log.timestamps[order]
        starts = np.concatenate([[0], np.cumsum(counts)])
        return cls(users, starts, log.items[order], log.ratings[order], times, log.user_ids, log.item_ids)

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


def _order(log: Interactions) -> IntArray:
    """Return the rows by user, then by time, then by place in the file."""
    if log.timestamps is None:
        return np.argsort(log.users, kind="stable")
    return np.lexsort((log.timestamps, log.users))
