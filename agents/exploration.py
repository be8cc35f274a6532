"""From scores to slates: greedy with random ties, epsilon, and draws in proportion to a weight.

Written once for every agent that scores items. Scores are float [N, C]; a row may be shared, [1, C]. The
draws return places in those C columns and the natural logarithm of the probability of exactly this ordered
slate.
"""

import numpy as np

from smartrec.core.arrays import BoolArray, FloatArray, IntArray
from smartrec.core.errors import InvalidInput

RELATIVE_TIE, RELATIVE_TIE_SINGLE = 1e-9, 1e-5
"""Scores nearer to each other than this share of the largest are the same: rounding must not break a tie. The
second holds for scores in single precision, where a matrix product rounds equal columns differently."""

LEAST_WEIGHT = 1e-12
"""Share of the largest weight that a weight of zero counts as, so that a slate can always be filled."""


def best(scores: FloatArray, lanes: int, slate_size: int, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
    """Return the ``slate_size`` best columns a lane, best first, ties broken at random, per lane.

    Args:
        scores: float [N, C] or [1, C]; minus infinity where a column may not be chosen.
        lanes: N.
        slate_size: K.
        rng: Breaks ties.

    Returns:
        Columns int [N, K], log-probability float [N].

    Raises:
        InvalidInput: A lane's scores have a NaN.
    """
    if len(scores) == 1 and slate_size == 1:
        return _one_of_row(scores, lanes, rng)
    if len(scores) == 1:
        return _best_of_row(scores, lanes, slate_size, rng)
    columns, scores = _shortlist(scores, slate_size)
    if columns is None and slate_size > 1 and _all_tie(scores):
        return _uniform(scores > -np.inf, lanes, slate_size, rng)
    slates, log_probability = _one_by_one(scores, lanes, slate_size, rng)
    if columns is None:
        return slates, log_probability
    return np.take_along_axis(columns, slates, 1), log_probability


def _one_by_one(
    scores: FloatArray, lanes: int, slate_size: int, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    """Return ``best`` by looking for the largest score once a place."""
    slates = np.empty((lanes, slate_size), np.int64)
    log_probability = np.zeros(lanes)
    left = np.broadcast_to(scores, (lanes, scores.shape[1]))
    for place in range(slate_size):
        chosen, ties = _argmax(left, rng)
        log_probability -= np.log(ties)
        slates[:, place] = chosen
        if place + 1 < slate_size:
            left = left.copy() if place == 0 else left
            left[np.arange(lanes), chosen] = -np.inf
    return slates, log_probability


def proportional(
    weights: FloatArray, lanes: int, slate_size: int, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    """Draw columns one after another without replacement, each in proportion to its weight (Plackett-Luce).

    Done by the Gumbel top-k trick: the K largest of ``log(weight) + Gumbel noise`` (Kool et al. 2019).

    Args:
        weights: float [N, C] or [1, C], >= 0; minus infinity where a column may not be chosen. A weight of zero
            counts as 1e-12 of the row's largest: it is drawn when nothing else is left.
        lanes: N.
        slate_size: K.
        rng: Draws.

    Returns:
        Columns int [N, K], log-probability float [N].
    """
    possible = weights > -np.inf
    top = np.where(possible, weights, 0.0).max(axis=1, keepdims=True)
    least = np.where(top > 0, LEAST_WEIGHT * top, 1.0)
    weights = np.where(possible, np.maximum(weights, least), 0.0).astype(np.float64)
    noise = rng.gumbel(size=(lanes, weights.shape[1]))
    with np.errstate(divide="ignore"):
        slates, _ = best(np.log(weights) + noise, lanes, slate_size, rng)
    rest = np.broadcast_to(weights, noise.shape).copy()
    taken = np.take_along_axis(rest, slates, 1)
    np.put_along_axis(rest, slates, 0.0, 1)
    # Added up from the last place back: total minus taken would leave nothing but rounding of small weights.
    left = rest.sum(axis=1, keepdims=True) + np.cumsum(taken[:, ::-1], axis=1)[:, ::-1]
    return slates, np.log(taken / left).sum(axis=1)


def epsilon_greedy(
    scores: FloatArray, lanes: int, slate_size: int, epsilon: float, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    """Take a uniformly random slate with probability ``epsilon``, else the best one.

    Args:
        scores: float [N, C] or [1, C]; minus infinity where a column may not be chosen.
        lanes: N.
        slate_size: K.
        epsilon: 0..1.
        rng: Draws and breaks ties.

    Returns:
        Columns int [N, K], log-probability float [N]: of the slate, however it came about.
    """
    slates, greedy = best(scores, lanes, slate_size, rng)
    explores = np.flatnonzero(rng.random(lanes) < epsilon)
    possible = scores > -np.inf
    if len(explores):
        rows = explores if len(scores) > 1 else slice(None)
        slates[explores], _ = _uniform(possible[rows], len(explores), slate_size, rng)
        greedy[explores] = _greedy_log_probability(scores[rows], slates[explores])
    uniform = _uniform_log_probability(possible, slate_size)
    with np.errstate(divide="ignore"):
        mixed = np.logaddexp(np.log(epsilon) + uniform, np.log1p(-epsilon) + greedy)
    return slates, np.minimum(mixed, 0.0)


def _greedy_log_probability(scores: FloatArray, slates: IntArray) -> FloatArray:
    """Return the log-probability that ``best`` gives to ``slates`` [N, K]; minus infinity if it never would."""
    log_probability = np.zeros(len(slates))
    greedy = np.arange(len(slates))  # lanes whose places so far are among the best
    left = np.broadcast_to(scores, (len(slates), scores.shape[1]))
    for chosen in slates.T:
        tied = _ties(left)
        hit = tied[np.arange(len(greedy)), chosen[greedy]]
        log_probability[greedy] -= np.log(np.count_nonzero(tied, axis=1))
        log_probability[greedy[~hit]] = -np.inf
        greedy, left = greedy[hit], left[hit]
        if not len(greedy):
            break
        left[np.arange(len(greedy)), chosen[greedy]] = -np.inf
    return log_probability


def _one_of_row(scores: FloatArray, lanes: int, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
    """Return ``best`` of one item where all lanes share the scores [1, C]."""
    (tied,) = _ties(scores)[0].nonzero()
    count = len(tied)
    _require_numbers(count)
    pick = rng.integers(count, size=(lanes, 1)) if count > 1 else np.zeros((lanes, 1), np.int64)
    return tied[pick], np.full(lanes, -np.log(count))


def _best_of_row(
    scores: FloatArray, lanes: int, slate_size: int, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    """Return ``best`` where all lanes share the scores [1, C]: groups of ties are found once for all."""
    columns, left = _shortlist(scores, slate_size)
    whole, left = left, left.copy()
    slates: IntArray = np.empty((lanes, slate_size), np.int64)
    log_probability: FloatArray = np.zeros(lanes)
    place = 0
    while place < slate_size:
        tied = np.flatnonzero(_ties(left)[0])
        _require_numbers(len(tied))
        count = min(len(tied), slate_size - place)
        lowest = left[:, tied].min(keepdims=True)
        left[0, tied] = -np.inf
        if count > 1 and left.max() >= lowest[0, 0] - _tolerance(lowest)[0, 0]:
            # The next group ties with some of this one: who is tied depends on who was chosen.
            slates, log_probability = _one_by_one(whole, lanes, slate_size, rng)
            break
        picked, chance = _uniform(np.ones((1, len(tied)), bool), lanes, count, rng)
        slates[:, place : place + count] = tied[picked]
        log_probability += chance
        place += count
    return slates if columns is None else columns[0][slates], log_probability


def _uniform(possible: BoolArray, lanes: int, slate_size: int, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
    """Return uniformly random slates of what is possible, bool [N, C] or [1, C], and their log-probability."""
    count = possible.shape[1]
    log_probability = np.broadcast_to(_uniform_log_probability(possible, slate_size), lanes).copy()
    if count == 1:
        return np.zeros((lanes, 1), np.int64), log_probability
    if slate_size == 1 and possible.all():
        return rng.integers(count, size=(lanes, 1)), log_probability
    keys = np.where(possible, rng.random((lanes, count)), 2.0)
    if slate_size < count:
        slates = np.argpartition(keys, slate_size - 1, axis=1)[:, :slate_size]
        keys = np.take_along_axis(keys, slates, 1)
        return np.take_along_axis(slates, keys.argsort(axis=1), 1), log_probability
    return keys.argsort(axis=1), log_probability


def _uniform_log_probability(possible: BoolArray, slate_size: int) -> FloatArray:
    counts = possible.sum(axis=1, keepdims=True)
    log_probability: FloatArray = -np.log(counts - np.arange(slate_size)).sum(axis=1)
    return log_probability


def _shortlist(scores: FloatArray, slate_size: int) -> tuple[IntArray | None, FloatArray]:
    """Return the columns that can be in a best slate, where they are few, and their scores.

    A slate of ten out of a thousand is then found among little more than ten columns.
    """
    count = scores.shape[1]
    if slate_size == 1 or count <= 4 * slate_size:
        return None, scores
    keep = 2 * slate_size
    columns = np.argpartition(scores, count - keep, axis=1)[:, count - keep :]
    kept = np.take_along_axis(scores, columns, 1)
    last = np.sort(kept, axis=1)[:, [0, keep - slate_size]]
    # Ties with the last place of the slate may lie outside the shortlist: then all columns stay.
    if (last[:, 0] >= last[:, 1] - _tolerance(kept)[:, 0]).any():
        return None, scores
    return columns, kept


def _argmax(scores: FloatArray, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Return a random one of the largest columns of each row, int [N], and how many those are, int [N]."""
    tied = _ties(scores)
    counts = np.count_nonzero(tied, axis=1)
    _require_numbers(counts.min())
    chosen = tied.argmax(axis=1)
    several = np.flatnonzero(counts > 1)
    if len(several):
        many = counts[several]
        columns = np.nonzero(tied[several])[1]
        chosen[several] = columns[np.cumsum(many) - many + rng.integers(many)]
    return chosen, counts


def _all_tie(scores: FloatArray) -> bool:
    top = scores.max(axis=1, keepdims=True)
    low = np.where(scores > -np.inf, scores, np.inf).min(axis=1, keepdims=True)
    return bool((low >= top - _tolerance(top)).all())


def _ties(scores: FloatArray) -> BoolArray:
    top = scores.max(axis=1, keepdims=True)
    tied: BoolArray = scores >= top - _tolerance(top)
    return tied


def _tolerance(scores: FloatArray) -> FloatArray:
    share = RELATIVE_TIE_SINGLE if scores.dtype == np.float32 else RELATIVE_TIE
    size: FloatArray = np.abs(np.where(np.isfinite(scores), scores, 0.0)).max(axis=1, keepdims=True)
    return share * size


def _require_numbers(ties: int) -> None:
    # Nothing is at least NaN, so a row with a NaN has no largest column.
    if ties == 0:
        raise InvalidInput("scores have a NaN; allowed: numbers. Look for NaN in responses and features")
