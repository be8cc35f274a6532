"""Which frames, users or rows come in which batch: decided by seed and epoch alone, so training can go on anywhere."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from smartrec.core.arrays import IntArray
from smartrec.core.errors import InvalidInput
from smartrec.core.seeding import generators


@dataclass(frozen=True, eq=False)
class Batches:
    """The batches of one epoch, as arrays of numbers, int64 [<= size]; the last one may be smaller.

    Serves as the ``sampler`` of PyTorch's ``DataLoader`` with ``batch_size=None``: the order is made here, so batches
    do not depend on the number of workers.

    Args:
        count: How many there are to draw from, numbered 0..count - 1.
        size: How many come in a batch.
        seed: Of the order, with the epoch; None for 0, 1, 2, ...
        epoch: Which one, from 0.
        start: Number of the first batch that is given, to go on where training stopped.
        group_ends: int [count] where what is drawn are groups (users): group g stands for the numbers
            ``group_ends[g - 1] .. group_ends[g] - 1``, which come whole and in order. Empty groups give nothing.

    Raises:
        InvalidInput: A number out of range.
        InvalidConfig: ``seed`` is no whole number >= 0.
    """

    count: int
    size: int
    seed: int | None = None
    epoch: int = 0
    start: int = 0
    group_ends: IntArray | None = None

    def __post_init__(self) -> None:
        for name, least in (("count", 1), ("size", 1), ("epoch", 0), ("start", 0)):
            if getattr(self, name) < least:
                raise InvalidInput(f"{name} = {getattr(self, name)}; allowed: {least} or more")
        if self.start > self._total():
            raise InvalidInput(f"start = {self.start}; allowed: 0..{self._total()}, the batches of an epoch")
        if self.seed is not None:
            generators(self.seed, 1)

    @classmethod
    def of_users(cls, user_ends: IntArray, users: int, seed: int | None = None) -> "Batches":
        """Return batches of whole users, all frames of each.

        Args:
            user_ends: ``Frames.user_ends``; users without a frame are never drawn.
            users: How many come in a batch.
            seed: As above.
        """
        return cls(len(ends := np.unique(user_ends[user_ends > 0])), users, seed, group_ends=ends)

    def at(self, epoch: int, start: int = 0) -> "Batches":
        """Return the batches of another epoch, or the rest of one from batch ``start`` on."""
        return replace(self, epoch=epoch, start=start)

    def __len__(self) -> int:
        return self._total() - self.start

    def __iter__(self) -> Iterator[IntArray]:
        order = None if self.seed is None else generators(self.seed, self.epoch + 1)[-1].permutation(self.count)
        for first in range(self.start * self.size, self.count, self.size):
            last = min(first + self.size, self.count)
            drawn = np.arange(first, last) if order is None else order[first:last]
            yield drawn if self.group_ends is None else _members(drawn, self.group_ends)

    def _total(self) -> int:
        return -(-self.count // self.size)


def _members(groups: IntArray, ends: IntArray) -> IntArray:
    """Return the numbers that groups stand for, one group after the other."""
    first = np.where(groups > 0, ends[groups - 1], 0)
    counts = ends[groups] - first
    members: IntArray = np.arange(counts.sum()) + np.repeat(first - (np.cumsum(counts) - counts), counts)
    return members
