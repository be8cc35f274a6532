"""Whole users as sequences of equal length: padded in front, with a mask, for networks that read all of a user.

For steps of a decision process with a padded history, take ``Frames(trajectories, length, padded=True)``.
"""

from collections.abc import Sequence

import numpy as np

from smartrec.core.arrays import Array, FloatArray, IntArray
from smartrec.core.errors import InvalidInput
from smartrec.data.trajectories import Trajectories
from smartrec.data.vectors import checked_vectors


class Sequences:
    """Users of a log as padded sequences; a map-style data set for PyTorch's ``DataLoader``.

    An array of users gives a batch (``DataLoader(sequences, sampler=Batches(...), batch_size=None)``), T the length of
    its longest. Keys: ``items`` int64 [B, T], I where padded; ``ratings`` float32 [B, T], 0 where padded; ``mask``
    bool [B, T], False where padded, which is in front; with embeddings also ``sequence`` float32 [B, T, d + 1], an
    item's vector and its rating, 0 where padded.

    Args:
        trajectories: The log; users are numbered as the rows of ``Trajectories.users``.
        embeddings: float [I, d], or None.
        longest: Answers that are kept of a user, the last ones; None for all.

    Raises:
        InvalidInput: ``longest`` is below 1, or the embeddings do not fit the log.
    """

    def __init__(
        self, trajectories: Trajectories, embeddings: FloatArray | None = None, longest: int | None = None
    ) -> None:
        if longest is not None and longest < 1:
            raise InvalidInput(f"longest = {longest}; allowed: 1 or more answers, or None for all")
        self.trajectories, self.longest = trajectories, longest
        self._vectors = None if embeddings is None else checked_vectors(embeddings, trajectories)

    def __len__(self) -> int:
        return len(self.trajectories)

    def __getitem__(self, users: Sequence[int] | IntArray) -> dict[str, Array]:
        """Return users [B], padded to the longest of them.

        Raises:
            InvalidInput: A number is outside 0..len - 1.
        """
        log, chosen = self.trajectories, np.asarray(users)
        if chosen.ndim != 1 or not len(chosen) or chosen.min() < 0 or chosen.max() >= len(self):
            raise InvalidInput(f"users {users} were asked for; allowed: a list of numbers 0..{len(self) - 1}")
        lengths = np.minimum(log.lengths[chosen], self.longest or len(log.items))
        back = np.arange(-int(lengths.max()), 0)
        mask = back >= -lengths[:, None]
        rows = np.maximum(log.starts[chosen + 1][:, None] + back, 0)
        batch = {
            "items": np.where(mask, log.items[rows], log.n_items).astype(np.int64),
            "ratings": np.where(mask, log.ratings[rows], np.float32(0)),
            "mask": mask,
        }
        if self._vectors is not None:
            batch["sequence"] = np.concatenate([self._vectors[batch["items"]], batch["ratings"][..., None]], axis=2)
        return batch
