"""The numbers behind the demo: how varied recommendations are, and whether they are for this person at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from smartrec.core.arrays import FloatArray, IntArray
from smartrec.core.nearest import Metric, NearestItems
from smartrec.evaluation.ranking import diversity
from smartrec.tasks.recommender import Recommender
from smartrec.tasks.recommender_files import Shelf

MOST_ITEMS = 500
"""Items whose neighbours are looked up for ``spacing``."""


@dataclass(frozen=True, eq=False)
class Crowd:
    """What an agent recommends to many people.

    Attributes:
        people: S, how many.
        distinct: Different items in their lists.
        catalogue: I.
        items: int [I], the items, those that are in most lists first.
        shares: float [I], share of the lists that hold each of ``items``, 0..1.
    """

    people: int
    distinct: int
    catalogue: int
    items: IntArray
    shares: FloatArray


def matches(shelf: Shelf, text: str, most: int = 200) -> list[int]:
    """Return the items whose titles hold every word of ``text``, in any case, most answered first."""
    order = np.argsort(-shelf.counts, kind="stable").tolist()
    words = text.casefold().split()
    found = [item for item in order if all(word in shelf.titles[item].casefold() for word in words)]
    return found[:most]


def distance_in(recommender: Recommender, items: IntArray) -> float | None:
    """Return the mean of ``1 - cosine`` over all pairs of items [K], 0..2; None where nothing is known of items.

    Vectors are the features that the agent was made with, else genres: the agent's own would flatter it.
    """
    features = recommender.agent.problem.item_features
    vectors = _genre_flags(recommender.shelf) if features is None else features
    return float(diversity(items[None], vectors)[0]) if vectors.any() else None


def genres_in(shelf: Shelf, items: Sequence[int] | IntArray) -> list[str]:
    """Return the genres of items, each once."""
    return sorted({genre for item in items for genre in shelf.genres[item]})


def overlaps(lists: Sequence[Sequence[Any]]) -> FloatArray:
    """Return for each two of A lists what share of the first is in the second, float [A, A]."""
    return np.array([[len({*one} & {*other}) / max(len(one), 1) for other in lists] for one in lists])


def spacing(recommender: Recommender, metric: Metric) -> float | None:
    """Return how far an item lies from its nearest neighbour: the median, of at most 500 items.

    None for an agent without vectors, a single item, and for "inner", by which nothing is nearest to itself.
    """
    vectors = recommender.vectors
    if vectors is None or metric == "inner" or len(vectors) < 2:
        return None
    some = vectors[:: -(-len(vectors) // MOST_ITEMS)]
    _, distances = NearestItems(vectors, metric).find(some, 2)
    return float(np.median(distances[:, 1]))


def crowd(recommender: Recommender, k: int, metric: Metric | None = None) -> Crowd:
    """Recommend to the people that the folder keeps, each without what is in their state."""
    people = recommender.shelf.people
    items, _ = recommender.top(people, k, recommender.unseen(people["history_items"]), metric)
    counts = np.bincount(items.ravel(), minlength=recommender.agent.items)
    order = np.argsort(-counts, kind="stable")
    return Crowd(len(items), int((counts > 0).sum()), len(counts), order, counts[order] / len(items))


def _genre_flags(shelf: Shelf) -> FloatArray:
    names = sorted({genre for own in shelf.genres for genre in own})
    return np.array([[name in own for name in names] for own in shelf.genres], np.float64)
