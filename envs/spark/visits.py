"""A tick's visits in chunks: who comes with which dice is a function of seed, clock and place in the tick alone.

So the same visits come out on any number of machines and partitions, and again where a lost one is worked out anew.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smartrec.core.arrays import IntArray
from smartrec.core.config import require
from smartrec.envs.crowd import Crowd
from smartrec.envs.history import History
from smartrec.envs.lanes import Lanes, Part
from smartrec.envs.settings import Settings
from smartrec.response_models.counters import hashes, uniforms

CHUNK = 16_384
"""Visits that one call of an agent decides: enough for speed, few enough for a table of a thousand items."""

ROUNDS = 8
"""Of the permutation, an even number; four would do for many bits, and leave few users unequally likely."""


@dataclass(frozen=True, eq=False)
class Visits:
    """The visits of one world; plain values and arrays, so that it can be broadcast.

    A tick has exactly ``users_per_iteration`` different users, drawn by a permutation of all users that needs no
    table; a census has all users in order. The laws are those of ``VisitStream``, the draws are others.

    Attributes:
        crowd: Who is served.
        settings: Of the world, sizes filled in.
        seed: 0 .. 2**63 - 1.
        chunk_size: Visits of a chunk, >= 1.

    Raises:
        InvalidConfig: The seed is out of range.
    """

    crowd: Crowd
    settings: Settings
    seed: int
    chunk_size: int = CHUNK

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**63, "seed", self.seed, "a whole number, 0 to 2**63 - 1")

    def past(self) -> History | None:
        """Return what users did before the first tick: nothing yet; None where they do not show what they did."""
        length = self.settings.history
        return History(self.crowd.n_users, self.crowd.n_items, length) if length else None

    def chunks(self, census: bool = False) -> int:
        """Return how many chunks a tick, or a census, has."""
        return -(-self._size(census) // self.chunk_size)

    def serve(self, clock: int, chunk: int, census: bool = False, past: History | None = None) -> Lanes:
        """Return the visits of one chunk.

        Args:
            clock: Number of the iteration, >= 1.
            chunk: 0 .. ``chunks(census)`` - 1.
            census: All users once instead of a tick's.
            past: What all users did before the iteration, which is left as it is; see ``past``.

        Raises:
            InvalidConfig: Users show what they did, and ``past`` is None.
        """
        shows = self.settings.history
        require(past is not None or not shows, "past", past, f"what users did before, as history = {shows} shows it")
        settings, size, n_users = self.settings, self._size(census), self.crowd.n_users
        places = np.arange(chunk * self.chunk_size, min((chunk + 1) * self.chunk_size, size))
        users = places if census else permuted(places, n_users, self.seed, clock)
        steps, slate = settings.session_length, settings.slate_size
        dice = uniforms(self.seed, 2 * clock + census, users[:, None], np.arange(steps * slate))
        state = self.crowd.model.at(clock)
        first = int(places[0]) + (0 if census else (clock - 1) * size)
        part = Part(state, users, dice.reshape(len(users), steps, slate), first)
        # As in a stream: what is repaired, and by which key, a tick and a census have keys of their own.
        repairs = settings.on_repeat == "replace" and (slate > 1 or self.crowd.mask is not None)
        key = self.seed + ((clock * census) << 64) if repairs else None
        # Users come once a tick, so that what they did before it and in this visit is all that they show.
        history = None if past is None else past.part(users)
        return Lanes(self.crowd, settings, [part], history, key, np.arange(len(users)))

    def census(self, clock: int, past: History | None = None) -> Iterator[Lanes]:
        """Serve all users once, chunk by chunk."""
        return (self.serve(clock, chunk, True, past) for chunk in range(self.chunks(census=True)))

    def _size(self, census: bool) -> int:
        size = self.crowd.n_users if census else self.settings.users_per_iteration
        assert size is not None
        return size


def permuted(places: IntArray, count: int, seed: int, key: int) -> IntArray:
    """Return where a random permutation of 0 .. count - 1 puts ``places``, a function of (seed, key) and place alone.

    A Feistel network (Luby and Rackoff 1988) permutes the numbers of ``b`` bits, the fewest that hold all: of the two
    halves of a number each in turn is xored with a hash of the other. What falls outside is permuted again until it
    falls inside (Black and Rogaway 2002), less than twice on average.

    Args:
        places: int [N], 0 .. count - 1.
        count: 1 .. 2**62.
        seed: >= 0.
        key: >= 0; another permutation each.

    Returns:
        int64 [N], different where ``places`` are.
    """
    bits = max(int(count - 1).bit_length(), 2)
    found = _network(places.astype(np.uint64), bits, seed, key)
    outside = np.flatnonzero(found >= count)
    while len(outside):
        found[outside] = _network(found[outside], bits, seed, key)
        outside = outside[found[outside] >= count]
    return found.astype(np.int64)


def _network(numbers: NDArray[np.uint64], bits: int, seed: int, key: int) -> NDArray[np.uint64]:
    low = bits // 2
    shift, low_mask, high_mask = np.uint64(low), np.uint64(2**low - 1), np.uint64(2 ** (bits - low) - 1)
    high, rest = numbers >> shift, numbers & low_mask
    for turn in range(0, ROUNDS, 2):
        high = high ^ (hashes(seed, ROUNDS * key + turn, rest) & high_mask)
        rest = rest ^ (hashes(seed, ROUNDS * key + turn + 1, high) & low_mask)
    return (high << shift) | rest
