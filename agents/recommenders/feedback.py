"""Who was shown what how often, and how often they clicked: a sparse table of users and items."""

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from smartrec.core.arrays import FloatArray, IntArray, Observation
from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions

GROWTH = 0.25
"""Share of new feedback that is worth a refit however little there is of it."""


class Feedback:
    """Showings and sums of responses of each user and item, and when it is time to learn from them anew.

    Memory goes by the pairs that were shown, never by users times items.

    Args:
        problem: Of U users and I items.

    Attributes:
        transitions: How many came of which somebody saw something.
        answers: How many showings somebody saw.

    Raises:
        InvalidConfig: The problem has no users with numbers, or no items.
    """

    def __init__(self, problem: Problem) -> None:
        if problem.users is None or problem.items is None:
            raise InvalidConfig(
                f"observation space {problem.observation_space}; allowed: one with a Discrete 'user', and items to "
                "choose from. A recommender tells users apart by their numbers: leave observe_user on"
            )
        self.users, self.items = problem.users, problem.items
        self.transitions = self.answers = 0
        self._learnt = 0, 0  # transitions and answers that ``settle`` was told of
        self._pairs: IntArray = np.zeros(0, np.int64)  # user * I + item, ascending
        self._sums: FloatArray = np.zeros((0, 2))  # showings and responses of each pair
        self._fresh: list[tuple[IntArray, FloatArray]] = []

    def users_of(self, observation: Observation) -> IntArray:
        """Return the users of N lanes, int [N].

        Raises:
            InvalidInput: There is no such user.
        """
        users = np.asarray(observation["user"]).reshape(-1).astype(np.int64)
        if users.size and not (users.min() >= 0 and users.max() < self.users):
            raise InvalidInput(f"user {users.min()} to {users.max()}; allowed: 0 to {self.users - 1}")
        return users

    def record(self, transitions: Transitions) -> None:
        """Keep what somebody saw.

        Raises:
            InvalidInput: A response outside 0..1, or no such user; then nothing is kept.
        """
        users = self.users_of(transitions.observation)
        lanes, places = np.nonzero(transitions.observed)
        responses = transitions.responses[lanes, places].astype(np.float64)
        if responses.size and not (responses.min() >= 0 and responses.max() <= 1):
            raise InvalidInput(
                f"responses from {responses.min()} to {responses.max()}; allowed: 0 to 1 for a recommender. "
                "Scale the reward first"
            )
        if len(lanes):
            self._fresh.append((users[lanes] * self.items + transitions.items[lanes, places], responses))
            self.transitions += len(np.unique(lanes))
            self.answers += len(lanes)

    def due(self, every: int) -> bool:
        """Whether ``every`` transitions came since ``settle``, or a quarter of those before it."""
        learnt, _ = self._learnt
        return self.transitions - learnt >= min(every, max(1.0, GROWTH * learnt))

    def settle(self) -> int:
        """Take note that all there is was learnt from, and return how many answers came since the last time."""
        came = self.answers - self._learnt[1]
        self._learnt = self.transitions, self.answers
        return came

    @property
    def shown(self) -> csr_matrix:
        """How often each user was shown each item, float [U, I]."""
        return self.rows(np.arange(self.users))[0]

    @property
    def clicks(self) -> csr_matrix:
        """Sum of each user's responses to each item, float [U, I]; pairs without any are left out."""
        table = self.rows(np.arange(self.users))[1]
        table.eliminate_zeros()
        return table

    def pairs(self) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
        """Return users, items, showings and responses of the pairs that were shown, [P] each."""
        self._merge()
        return self._pairs // self.items, self._pairs % self.items, self._sums[:, 0], self._sums[:, 1]

    def rows(self, users: IntArray) -> tuple[csr_matrix, csr_matrix]:
        """Return showings and responses of some users, float [N, I] each, with the same pairs in both."""
        self._merge()
        starts, ends = (np.searchsorted(self._pairs, (users + more) * self.items) for more in (0, 1))
        bounds = np.concatenate([[0], np.cumsum(ends - starts)])
        which = np.arange(bounds[-1]) + np.repeat(starts - bounds[:-1], ends - starts)
        columns, shape = self._pairs[which] % self.items, (len(users), self.items)
        shown, responses = (csr_matrix((sums[which], columns, bounds), shape) for sums in self._sums.T)
        return shown, responses

    def known(self) -> IntArray:
        """Return the users of whom there is feedback, ascending."""
        self._merge()
        return np.unique(self._pairs // self.items)

    def rates(self, weight: float) -> tuple[FloatArray, FloatArray]:
        """Return responses a showing and showings of each item, float [I] each.

        Args:
            weight: Showings that the mean of all items counts for in each item's, > 0.
        """
        self._merge()
        items = self._pairs % self.items
        shown, clicks = (np.bincount(items, sums, minlength=self.items).astype(np.float64) for sums in self._sums.T)
        mean = (clicks.sum() + 0.5) / (shown.sum() + 1.0)
        return (clicks + weight * mean) / (shown + weight), shown

    def get_state(self) -> dict[str, Any]:
        """Return arrays and numbers that ``set_state`` reads."""
        self._merge()
        counts = np.array([(self.transitions, self.answers), self._learnt])
        return {"counts": counts, "pairs": self._pairs, "sums": self._sums}

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo ``get_state``."""
        (self.transitions, self.answers), self._learnt = state["counts"][0].tolist(), tuple(state["counts"][1].tolist())
        self._pairs, self._sums, self._fresh = state["pairs"], state["sums"], []

    def _merge(self) -> None:
        """Bring what came into the table: pairs it has are added to, others get a place in order."""
        if not self._fresh:
            return
        pairs, which = np.unique(np.concatenate([part for part, _ in self._fresh]), return_inverse=True)
        responses = np.concatenate([part for _, part in self._fresh])
        sums = np.column_stack([np.bincount(which), np.bincount(which, responses)])
        places = np.searchsorted(self._pairs, pairs)
        old = places < len(self._pairs)
        old[old] = self._pairs[places[old]] == pairs[old]
        self._sums[places[old]] += sums[old]
        self._pairs = np.insert(self._pairs, places[~old], pairs[~old])
        self._sums = np.insert(self._sums, places[~old], sums[~old], axis=0)
        self._fresh = []
