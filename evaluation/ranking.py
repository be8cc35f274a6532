"""Does it recommend well? Lists of items against what users chose afterwards. U users, K places, I items.

With ``h_k`` whether place k (from 1) holds a held-out item of the user, and R how many are held out:

``hit rate = max_k h_k``, ``precision = sum_k h_k / K``, ``recall = sum_k h_k / R``,
``MRR = max_k h_k / k``, ``NDCG = sum_k h_k / log2(k + 1) / sum_{k <= min(K, R)} 1 / log2(k + 1)``

All lie in 0..1, higher is better. Sources: Järvelin and Kekäläinen 2002 (NDCG, here with gains 0 and 1); Voorhees
1999 (MRR); Ziegler et al. 2005 (diversity in a list); Vargas and Castells 2011 (novelty).
"""

from dataclasses import dataclass

import numpy as np

from smartrec.core.arrays import Array, BoolArray, FloatArray, IntArray
from smartrec.core.errors import InvalidInput


@dataclass(frozen=True, eq=False)
class Ranking:
    """How well lists of K items did, user by user.

    Attributes:
        hits: bool [U, K], which places hold a held-out item.
        held_out: int [U], held-out items of each user, >= 1.
    """

    hits: BoolArray
    held_out: IntArray

    @property
    def hit_rate(self) -> FloatArray:
        """Whether a list holds any held-out item, 0 or 1, float [U]."""
        return np.asarray(self.hits.any(axis=1), np.float64)

    @property
    def precision(self) -> FloatArray:
        """Share of the K places that hold one, float [U]; places left empty count."""
        return np.asarray(self.hits.mean(axis=1))

    @property
    def recall(self) -> FloatArray:
        """Share of the held-out items that are in the list, float [U]; at most K of them can be."""
        return np.asarray(self.hits.sum(axis=1) / self.held_out)

    @property
    def mrr(self) -> FloatArray:
        """One over the place of the first hit, 0 without one, float [U]."""
        return np.asarray(np.max(self.hits / np.arange(1, self.hits.shape[1] + 1), axis=1))

    @property
    def ndcg(self) -> FloatArray:
        """Hits discounted by the logarithm of their place, over the same of a perfect list, float [U]."""
        discounts = 1 / np.log2(np.arange(2, self.hits.shape[1] + 2))
        ideal: FloatArray = np.cumsum(discounts)[np.minimum(self.held_out, len(discounts)) - 1]
        return np.asarray(self.hits @ discounts) / ideal

    def figures(self) -> dict[str, FloatArray]:
        """Return every metric by name, float [U] each."""
        return {name: getattr(self, name) for name in ("ndcg", "hit_rate", "recall", "precision", "mrr")}


def rank(recommended: IntArray, starts: IntArray, held_out: IntArray, n_items: int) -> Ranking:
    """Compare lists with what users chose afterwards.

    Args:
        recommended: int [U, K], items best first, all different; -1 fills up a list that ends earlier, as any does
            whose K is larger than the catalogue.
        starts: int [U + 1]; user u has ``held_out[starts[u] : starts[u + 1]]``.
        held_out: int [H], different items a user, at least one.
        n_items: I.

    Raises:
        InvalidInput: A list repeats an item or names an unknown one or goes on after -1; a user has nothing held out,
            or the same item twice; shapes do not agree.
    """
    lists, starts, held_out = as_lists(recommended, n_items), np.asarray(starts), np.asarray(held_out)
    if starts.shape != (len(lists) + 1,) or starts[0] != 0 or starts[-1] != len(held_out):
        raise InvalidInput(
            f"starts has shape {starts.shape}, from {starts[:1]} to {starts[-1:]}, with {len(held_out)} held-out items "
            f"and {len(lists)} lists; allowed: [U + 1], from 0 to the number of held-out items"
        )
    counts = np.diff(starts)
    if (counts < 1).any():
        raise InvalidInput(
            f"user {np.argmin(counts)} has {counts.min()} held-out items ({(counts < 1).sum()} such users); "
            "allowed: 1 or more. Leave out users who cannot be judged"
        )
    if held_out.min() < 0 or held_out.max() >= n_items:
        raise InvalidInput(f"held-out items {held_out.min()} to {held_out.max()}; allowed: 0 to {n_items - 1}")
    truth = np.repeat(np.arange(len(lists)), counts) * n_items + held_out
    if len(np.unique(truth)) < len(truth):
        raise InvalidInput("a user has the same item held out twice; name each once")
    hits = np.isin(np.arange(len(lists))[:, None] * n_items + lists, truth) & (lists >= 0)
    return Ranking(hits, counts)


def as_lists(recommended: IntArray, n_items: int) -> IntArray:
    """Return lists of items, int64 [U, K], once they are seen to be some.

    Raises:
        InvalidInput: No integers [U, K], an unknown item, an item twice in a list, or one after -1.
    """
    lists: Array = np.asarray(recommended)
    if lists.ndim != 2 or lists.size == 0 or lists.dtype.kind not in "iu":
        raise InvalidInput(f"recommended is {lists.dtype} {lists.shape}; allowed: integers [U, K], both at least 1")
    lists = lists.astype(np.int64)
    if lists.min() < -1 or lists.max() >= n_items:
        wrong = lists.min() if lists.min() < -1 else lists.max()
        raise InvalidInput(f"item {wrong} is recommended; allowed: 0 to {n_items - 1}, and -1 where a list ended")
    if ((lists[:, :-1] < 0) & (lists[:, 1:] >= 0)).any():
        raise InvalidInput("a list goes on after -1; put what fills it up at its end")
    ordered = np.sort(lists, axis=1)
    repeats = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1)
    if repeats.any():
        user = int(np.argmax(repeats))
        raise InvalidInput(
            f"user {user} is recommended an item twice: {lists[user].tolist()} ({repeats.sum()} such lists); "
            "allowed: different items, and -1 where there are no more"
        )
    return lists


def coverage(recommended: IntArray, n_items: int) -> float:
    """Return the share of the catalogue that is in some list, 0..1.

    Args:
        recommended: int [U, K], see ``rank``.
        n_items: I.
    """
    lists = as_lists(recommended, n_items)
    return len(np.unique(lists[lists >= 0])) / n_items


def diversity(recommended: IntArray, vectors: FloatArray) -> FloatArray:
    """Return how different the items of each list are: the mean of ``1 - cosine`` over its pairs, 0..2, float [U].

    A list of fewer than two items has diversity 0; an item whose vector is zero is at distance 1 from any other.

    Args:
        recommended: int [U, K], see ``rank``.
        vectors: float [I, D], finite.
    """
    lists = as_lists(recommended, len(vectors))
    length = np.linalg.norm(np.asarray(vectors, np.float64), axis=1, keepdims=True)
    unit = vectors / np.where(length > 0, length, 1.0)
    own, there = (unit**2).sum(axis=1), lists >= 0
    total = np.zeros((len(lists), unit.shape[1]))
    for place in range(lists.shape[1]):  # K gathers of [U, D], never [U, K, D]
        total += np.where(there[:, place, None], unit[lists[:, place]], 0.0)
    # The sum over pairs is half of |sum v|^2 - sum |v|^2.
    cosines = (total**2).sum(axis=1) - (own[lists] * there).sum(axis=1)
    count = there.sum(axis=1)
    pairs = count * (count - 1)
    return np.where(pairs > 0, 1 - cosines / np.maximum(pairs, 1), 0.0)


def novelty(recommended: IntArray, users_of_item: IntArray, n_users: int) -> FloatArray:
    """Return how few know what is recommended: the mean of ``-log2(share of users who had the item)``, bits, float [U].

    An item that nobody had counts as one that a single user had. 0 for an empty list.

    Args:
        recommended: int [U, K], see ``rank``.
        users_of_item: int [I], how many users had each item.
        n_users: Of the log, >= 1.
    """
    return _mean_of(-np.log2(np.maximum(users_of_item, 1) / n_users), recommended)


def popularity(recommended: IntArray, users_of_item: IntArray) -> FloatArray:
    """Return how popular what is recommended is: the mean percentile of its items, 0..1, float [U].

    The percentile of an item is the share of the catalogue that fewer users had, and half of what as many had: items
    drawn at random have 0.5 in the mean, so the distance from it is the popularity bias. 0 for an empty list.

    Args:
        recommended: int [U, K], see ``rank``.
        users_of_item: int [I], how many users had each item.
    """
    ordered = np.sort(users_of_item)
    below, upto = (np.searchsorted(ordered, users_of_item, side=side) for side in ("left", "right"))
    return _mean_of((below + upto) / (2 * len(ordered)), recommended)


def _mean_of(values: FloatArray, recommended: IntArray) -> FloatArray:
    """Return the mean of values [I] over each list, float [U]."""
    lists = as_lists(recommended, len(values))
    there = lists >= 0
    return np.asarray((values[lists] * there).sum(axis=1) / np.maximum(there.sum(axis=1), 1))
