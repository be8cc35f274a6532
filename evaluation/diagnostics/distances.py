"""Distances between vectors: all pairs of real and generated actions, and the nearest items by each metric.

``inner`` is minus the inner product, ``minkowski`` has the power 3; the others are SciPy's.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from smartrec.core.arrays import FloatArray, IntArray
from smartrec.core.errors import InvalidConfig, InvalidInput, did_you_mean
from smartrec.core.nearest import as_table

METRICS = (
    "euclidean",
    "cosine",
    "inner",
    "cityblock",
    "chebyshev",
    "minkowski",
    "canberra",
    "braycurtis",
    "correlation",
)
"""What distances are measured by."""

POWER = 3.0
"""Of ``minkowski``; with 2 it is ``euclidean``, with 1 ``cityblock``."""

BLOCK = 256


def distances(left: FloatArray, right: FloatArray, metric: str = "euclidean") -> FloatArray:
    """Return the distance of each pair, float [N, M].

    Where a metric is not defined, as the cosine of a zero vector, the distance is 1: nothing in common, nothing
    opposed.

    Args:
        left: float [N, D].
        right: float [M, D].
        metric: One of ``METRICS``.

    Raises:
        InvalidConfig: An unknown metric.
        InvalidInput: Vectors that are not finite, or of different lengths.
    """
    if metric not in METRICS:
        raise InvalidConfig(f"metric = {metric!r} is unknown. {did_you_mean(metric, METRICS)}")
    left, right = as_table(left, "left"), as_table(right, "right")
    if left.shape[1] != right.shape[1]:
        raise InvalidInput(f"vectors of {left.shape[1]} and of {right.shape[1]} numbers; allowed: the same length")
    if metric == "inner":
        return np.asarray(-(left.astype(np.float64) @ right.T.astype(np.float64)))
    from scipy.spatial.distance import cdist

    measure: Any = metric
    with np.errstate(invalid="ignore", divide="ignore"):
        found = cdist(left, right, measure, p=POWER) if metric == "minkowski" else cdist(left, right, measure)
    return np.nan_to_num(found, nan=1.0)


def nearest(
    vectors: FloatArray, items: FloatArray, count: int, metric: str = "euclidean"
) -> tuple[IntArray, FloatArray]:
    """Return the nearest items of each vector by any metric, nearest first; equal ones by number.

    ``core.nearest.NearestItems`` is for the metrics that a matrix product can do, and fast; this one is for looking.

    Args:
        vectors: float [N, D], N >= 1.
        items: float [I, D].
        count: K, 1 to I.
        metric: One of ``METRICS``.

    Returns:
        Items int [N, K] and distances float [N, K].

    Raises:
        InvalidConfig: An unknown metric, or ``count`` is outside 1 to I.
        InvalidInput: No vectors, or some that are not finite or of different lengths.
    """
    if not len(vectors):
        raise InvalidInput("no vectors to find items for; give at least one")
    if not 1 <= count <= len(items):
        raise InvalidConfig(f"count = {count}; allowed: 1 to the number of items, {len(items)}")
    parts = []
    for start in range(0, len(vectors), BLOCK):
        table = distances(vectors[start : start + BLOCK], items, metric)
        order = np.argsort(table, axis=1, kind="stable")[:, :count]
        parts.append((order, np.take_along_axis(table, order, axis=1)))
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


@dataclass(frozen=True, eq=False)
class Pairs:
    """All pairs of real and of generated actions; real ones first, R of them, then G generated ones.

    Attributes:
        metric: One of ``METRICS``.
        table: Distances, float [R + G, R + G]; by ``cosine``, one minus it is the similarity.
        n_real: R.
    """

    metric: str
    table: FloatArray
    n_real: int

    @property
    def figures(self) -> dict[str, float]:
        """Mean distances inside the real actions, inside the generated ones, and from each generated to the real ones.

        ``spread`` is that of the generated ones over that of the real ones: near 0 where a policy has collapsed to a
        point. ``nearest`` is the mean from a generated action to the nearest real one.
        """
        real, made = self.table[: self.n_real, : self.n_real], self.table[self.n_real :, self.n_real :]
        across = self.table[self.n_real :, : self.n_real]
        inside_real, inside_made = _mean_of_pairs(real), _mean_of_pairs(made)
        return {
            "real": inside_real,
            "generated": inside_made,
            "across": float(across.mean()),
            "nearest": float(across.min(axis=1).mean()),
            "spread": inside_made / inside_real if inside_real else float("inf"),
        }


def pairs(real: FloatArray, generated: FloatArray, metric: str = "euclidean") -> Pairs:
    """Return the distances of all pairs of real and generated actions.

    Args:
        real: float [R, D], R >= 2.
        generated: float [G, D], G >= 2.
        metric: One of ``METRICS``.

    Raises:
        InvalidConfig: An unknown metric.
        InvalidInput: Fewer than two of a kind, or vectors that are not finite or of different lengths.
    """
    if min(len(real), len(generated)) < 2:
        raise InvalidInput(f"{len(real)} real and {len(generated)} generated actions; allowed: at least two of each")
    if np.shape(real)[1:] != np.shape(generated)[1:]:
        raise InvalidInput(f"real actions {np.shape(real)}, generated {np.shape(generated)}; allowed: the same length")
    both = np.concatenate([real, generated])
    return Pairs(metric, distances(both, both, metric), len(real))


def _mean_of_pairs(table: FloatArray) -> float:
    """Return the mean over pairs of different rows of a square table."""
    return float(table[~np.eye(len(table), dtype=bool)].mean())
