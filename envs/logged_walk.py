"""N lanes that walk a log: what is seen of their users, and what follows from what they are shown."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from smartrec.core.arrays import Array, BoolArray, FloatArray, IntArray
from smartrec.envs.actions import as_items
from smartrec.envs.logged_log import LoggedLog
from smartrec.response_models.counters import uniforms


@dataclass(frozen=True, eq=False)
class Answers:
    """What N users answered.

    Attributes:
        reward: float32 [N]; 0 where nothing was answered.
        matched: bool [N], whether the item was the logged one.
        logged: int [N], the logged items.
        done: bool [N], whether it was the user's last answer.
        expected: float [N], mean reward of the item, where a response model answers; else None.
    """

    reward: FloatArray
    matched: BoolArray
    logged: IntArray
    done: BoolArray
    expected: FloatArray | None


class Walk:
    """N users under way, and the order in which the others follow.

    Visit v is the v-th user of a random order of all walkers, and after the last of them of another such order. So it
    is the same at any number of lanes, and so are its dice.

    Args:
        log: What is walked.
        lanes: N.
        entropy: Seed, >= 0.

    Attributes:
        visit: int [N], running number of the visit of each lane.
        rows: int [N], the row of the log that each lane answers next.
    """

    def __init__(self, log: LoggedLog, lanes: int, entropy: int) -> None:
        length = log.settings.frame_size
        self._log, self._entropy = log, entropy
        self._begun, self._epoch = 0, -1
        self._order: IntArray = np.empty(0, np.int64)
        self.visit, self._walker, self.rows = (np.zeros(lanes, np.int64) for _ in range(3))
        self._items = np.full((lanes, length), log.n_items)
        self._responses = np.zeros((lanes, length), np.float32)
        self.begin(np.arange(lanes))

    def begin(self, lanes: IntArray) -> None:
        """Let the next users begin in ``lanes``."""
        log = self._log
        self.visit[lanes] = visits = np.arange(self._begun, self._begun + len(lanes))
        self._begun += len(lanes)
        self._walker[lanes] = walkers = self._walkers(visits)
        self.rows[lanes] = log.first[walkers]
        rows = log.first[walkers, None] + np.arange(-log.settings.frame_size, 0)
        known, rows = rows >= log.starts[walkers, None], np.maximum(rows, 0)
        self._items[lanes] = np.where(known, log.items[rows], log.n_items)
        self._responses[lanes] = np.where(known, log.ratings[rows], 0)

    @property
    def observation(self) -> dict[str, Array]:
        """What an agent sees now: fresh arrays [N, ...]."""
        seen: dict[str, Array] = {}
        if self._log.settings.observe_user:
            seen["user"] = self._log.users[self._walker].astype(np.int64)
        return {**seen, "history_items": self._items.copy(), "history_responses": self._responses.copy()}

    def answer(self, action: Any) -> Answers:
        """Show the users ``action``, int [N], and walk on by one answer.

        Raises:
            InvalidAction: It cannot be shown.
        """
        log, mismatch = self._log, self._log.settings.mismatch
        items = as_items(action, len(self.visit), 1, log.n_items)[:, 0]
        logged, ratings = log.items[self.rows], log.ratings[self.rows]
        matched, expected = items == logged, None
        lived: IntArray = logged
        answers = ratings
        if log.stand is not None:
            users, step = log.users[self._walker], self.rows - log.first[self._walker]
            answer, mean = log.stand.answer(users, items, uniforms(self._entropy, 0, self.visit, step))
            lived = items
            answers, expected = np.where(matched, ratings, answer), np.where(matched, ratings, mean)
        for history, newest in ((self._items, lived), (self._responses, answers)):
            history[:, :-1] = history[:, 1:]
            history[:, -1] = newest
        self.rows = self.rows + 1
        reward = np.where(matched, answers, np.float32(0)) if mismatch == "rejection" else answers
        return Answers(reward, matched, logged, self.rows == log.ends[self._walker], expected)

    def _walkers(self, visits: IntArray) -> IntArray:
        """Return whose visits these are; ``visits`` ascend."""
        epochs, places = np.divmod(visits, len(self._log.users))
        walkers = np.empty(len(visits), np.int64)
        for epoch in np.unique(epochs):
            if epoch != self._epoch:
                rng = np.random.default_rng([self._entropy, int(epoch)])
                self._order, self._epoch = rng.permutation(len(self._log.users)), int(epoch)
            walkers[epochs == epoch] = self._order[places[epochs == epoch]]
        return walkers
