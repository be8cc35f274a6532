"""Vectors of items held against a log: right shape, and one for each item that occurs."""

import numpy as np
from numpy.typing import NDArray

from smartrec.core.arrays import FloatArray
from smartrec.core.errors import InvalidInput
from smartrec.data.trajectories import Trajectories


def checked_vectors(embeddings: FloatArray, trajectories: Trajectories) -> NDArray[np.float32]:
    """Return embeddings [I, d] as float32 [I + 1, d]; the last row, of "nothing yet", is 0.

    Raises:
        InvalidInput: Another shape, or an item of the log has a vector that is not finite; names the first.
    """
    given, n_items = np.asarray(embeddings), trajectories.n_items
    if given.ndim != 2 or given.dtype.kind not in "fiu" or len(given) != n_items or not given.shape[1]:
        raise InvalidInput(
            f"embeddings are {given.dtype} {given.shape}; allowed: numbers of shape ({n_items}, d), a row for each "
            "item of the log. After steps.renumber, pick the rows that are left: steps.pick_rows"
        )
    vectors = np.zeros((n_items + 1, given.shape[1]), np.float32)
    vectors[:-1] = given
    missing = np.asarray(~np.isfinite(vectors[:-1]).all(axis=1))
    missing[missing] = np.isin(np.flatnonzero(missing), trajectories.items)
    if missing.any():
        first = trajectories.item_ids.id(int(missing.argmax()))
        raise InvalidInput(
            f"item {first!r} has no finite embedding, one of {missing.sum()} of the items in the log; drop their rows "
            "with steps.keep_embedded, or fill the embeddings in"
        )
    return vectors
