"""How alike the lists of several actions are: actions for one state that all stand for the same items say little."""

from dataclasses import dataclass

import numpy as np

from smartrec.core.arrays import FloatArray, IntArray
from smartrec.evaluation.diagnostics.distances import distances, nearest
from smartrec.evaluation.ranking import as_lists


@dataclass(frozen=True, eq=False)
class Overlap:
    """Several actions, and the items nearest to each.

    Attributes:
        items: int [A, K].
        shared: Share of the K items that two actions have in common, float [A, A], 0..1.
        apart: Distance of two actions, float [A, A].
    """

    items: IntArray
    shared: FloatArray
    apart: FloatArray

    @property
    def figures(self) -> dict[str, float]:
        """Mean overlap and distance over pairs of different actions, and how many different items there are in all."""
        others = ~np.eye(len(self.items), dtype=bool)
        alone = len(self.items) == 1
        return {
            "overlap": 1.0 if alone else float(self.shared[others].mean()),
            "distance": 0.0 if alone else float(self.apart[others].mean()),
            "different_items": float(len(np.unique(self.items))),
        }


def overlap(actions: FloatArray, vectors: FloatArray, count: int = 10, metric: str = "euclidean") -> Overlap:
    """Return what several actions stand for, and how much of it they share.

    Args:
        actions: float [A, D].
        vectors: Of the items, float [I, D].
        count: K, items an action, 1 to I.
        metric: One of ``diagnostics.METRICS``.

    Raises:
        InvalidConfig: An unknown metric, or ``count`` is outside 1 to I.
        InvalidInput: Vectors that are not finite, or of different lengths.
    """
    items, _ = nearest(actions, vectors, count, metric)
    return Overlap(items, shared_items(items, len(vectors)), distances(actions, actions, metric))


def shared_items(lists: IntArray, n_items: int) -> FloatArray:
    """Return the share of K items that each two lists have in common, float [A, A].

    Args:
        lists: int [A, K], different items each; -1 fills up.
        n_items: I.

    Raises:
        InvalidInput: A list repeats an item, or names an unknown one.
    """
    lists = as_lists(lists, n_items)
    rows, places = np.nonzero(lists >= 0)
    holds = np.zeros((len(lists), n_items), np.float32)
    holds[rows, lists[rows, places]] = 1.0
    shared: FloatArray = np.asarray(holds @ holds.T, np.float64) / lists.shape[1]
    return shared
