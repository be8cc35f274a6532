"""Transitions of one policy, kept until there are enough to learn from, and what each action was worth."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from smartrec.core.arrays import Array, BoolArray, FloatArray, IntArray
from smartrec.core.decision import Candidates, Mask


class Rollout:
    """Rows of named arrays, in order of arrival."""

    def __init__(self) -> None:
        self._chunks: list[dict[str, Array]] = []

    def __len__(self) -> int:
        return sum(len(next(iter(chunk.values()))) for chunk in self._chunks)

    def add(self, rows: Mapping[str, Array]) -> None:
        """Keep copies of arrays [B, ...]; always the same names."""
        self._chunks.append({name: np.array(values) for name, values in rows.items()})

    def take(self) -> dict[str, Array]:
        """Return all rows, and begin anew."""
        rows = self.get_state()
        self._chunks = []
        return rows

    def get_state(self) -> dict[str, Any]:
        """Return all rows as one array a name."""
        if not self._chunks:
            return {}
        return {name: np.concatenate([chunk[name] for chunk in self._chunks]) for name in self._chunks[0]}

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo ``get_state``."""
        self._chunks = [dict(state)] if state else []


def advantages(
    rewards: FloatArray,
    values: FloatArray,
    next_values: FloatArray,
    terminated: BoolArray,
    ended: BoolArray,
    visit: IntArray,
    step: IntArray,
    *,
    discount: float,
    trace: float,
) -> FloatArray:
    """Return generalised advantages (Schulman et al. 2016, arXiv 1506.02438) of rows in any order.

    ``A_t = d_t + discount trace A_{t+1}``, ``d_t = r_t + discount V(s_{t+1}) - V(s_t)``, where t + 1 is the next step
    of the same visit. Where that row has not arrived, or the episode ended, the sum ends; V(s_{t+1}) counts 0 only
    where the episode ``terminated``.

    Args:
        rewards: float [B].
        values: float [B], V of what was seen.
        next_values: float [B], V of what was seen next.
        terminated: bool [B].
        ended: bool [B], terminated or truncated.
        visit: int [B], number of the episode.
        step: int [B], number of the loop's step.
        discount: 0..1.
        trace: lambda, 0..1.
    """
    delta = rewards + discount * np.where(terminated, 0.0, next_values) - values
    order = np.lexsort((step, visit))
    follows = (visit[order][1:] == visit[order][:-1]) & (step[order][1:] == step[order][:-1] + 1) & ~ended[order][:-1]
    if not follows.any():
        return delta
    sums = delta[order]
    for row in np.flatnonzero(follows)[::-1]:
        sums[row] += discount * trace * sums[row + 1]
    result = np.empty_like(sums)
    result[order] = sums
    return result


def allowed_table(allowed: Candidates | None, lanes: int, items: int) -> BoolArray:
    """Return candidates of any form as bool [B, I]."""
    table: BoolArray = np.ones((lanes, items), bool)
    if allowed is None:
        return table
    if isinstance(allowed, Mask):
        return table & allowed.allowed
    table[:] = False
    rows, places = np.nonzero(allowed.items >= 0)
    table[rows, allowed.items[rows, places]] = True
    return table


def place_masks(allowed: BoolArray, slates: IntArray) -> FloatArray:
    """Return what each place of a slate could show, float [B, K I]: not what was shown before it."""
    masks = np.repeat(allowed[:, None, :], slates.shape[1], axis=1).astype(np.float32)  # [B, K, I]
    rows = np.arange(len(slates))
    for place in range(1, slates.shape[1]):
        for before in range(place):
            masks[rows, place, slates[:, before]] = 0.0
    return masks.reshape(len(slates), -1)
