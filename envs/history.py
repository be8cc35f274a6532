"""What each user was shown and did lately."""

import numpy as np

from smartrec.core.arrays import Array, BoolArray, IntArray


class History:
    """The last positions of every user, newest last.

    Args:
        n_users: U.
        n_items: I; the number I itself stands for "nothing yet".
        length: H, positions remembered.
    """

    def __init__(self, n_users: int, n_items: int, length: int) -> None:
        self.items = np.full((n_users, length), n_items)
        self.responses = np.zeros((n_users, length), np.int8)

    def record(self, users: IntArray, items: IntArray, responses: BoolArray) -> None:
        """Append ``items`` [N, K] and ``responses`` [N, K] to the rows of ``users`` [N], all different."""
        length = self.items.shape[1]
        for memory, new in ((self.items, items), (self.responses, responses)):
            memory[users] = np.concatenate([memory[users], new], axis=1)[:, -length:]

    def observation(self, users: IntArray) -> dict[str, Array]:
        """Return copies of the rows of ``users``: ``history_items`` and ``history_responses``, [N, H]."""
        return {"history_items": self.items[users], "history_responses": self.responses[users]}

    def part(self, users: IntArray) -> "History":
        """Return a history of ``users`` [N] alone, row n of the n-th of them; writing it does not change this one."""
        twin = History.__new__(History)
        twin.items, twin.responses = self.items[users], self.responses[users]
        return twin

    def copy(self) -> "History":
        """Return a history that can be written without changing this one."""
        twin = History.__new__(History)
        twin.items, twin.responses = self.items.copy(), self.responses.copy()
        return twin
