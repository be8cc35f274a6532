"""Steps that prepare a log: plain functions from a log to a log, so that your own may join.

ready, told = chain(map_ratings, partial(min_length, n=10), partial(keep_most_rated, n=5000), renumber)(log)
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from smartrec.core.arrays import Array, BoolArray, FloatArray
from smartrec.core.errors import InvalidInput
from smartrec.data.interactions import Interactions
from smartrec.data.trajectories import time_order
from smartrec.data.vocabulary import Vocabulary

Step = Callable[[Interactions], Interactions]
"""Takes a log and returns one."""


def centred(ratings: FloatArray) -> FloatArray:
    """Return ``2 (r - 2.5)``: half stars 0.5 .. 5 become whole rewards -4 .. 5."""
    return 2 * (ratings - 2.5)


def map_ratings(
    log: Interactions,
    mapping: Callable[[FloatArray], FloatArray] | Mapping[float, float] = centred,
    scale: tuple[float, float] | None = (0.5, 5.0),
) -> Interactions:
    """Replace each rating.

    Args:
        log: The log.
        mapping: A function of all ratings [R], or a table with an entry for each rating that occurs; for answers
            0 and 1, ``{0: -1, 1: 1}``.
        scale: The lowest and the highest rating there may be; None for any.

    Raises:
        InvalidInput: A rating is off the scale or not in the table, or the function returns another shape or numbers
            that are not finite.
    """
    if scale is not None and len(log):
        off = (log.ratings < scale[0]) | (log.ratings > scale[1])
        _require(log, off, f"allowed: {scale[0]:g}..{scale[1]:g}. Pass scale=..., or drop those rows")
    if not isinstance(mapping, Mapping):
        return _with_ratings(log, np.asarray(mapping(log.ratings)))
    keys = np.array(sorted(mapping), np.float32)
    if not len(keys):
        raise InvalidInput("the table of ratings is empty; give an entry for each rating that occurs")
    place = np.searchsorted(keys, log.ratings).clip(max=len(keys) - 1)
    _require(log, keys[place] != log.ratings, f"the table has {', '.join(f'{key:g}' for key in keys)}. Add it")
    values = np.array([mapping[key] for key in sorted(mapping)], np.float32)
    return _with_ratings(log, values[place])


def min_length(log: Interactions, n: int = 10) -> Interactions:
    """Keep users with more than ``n`` rows: a frame of n answers needs one more, its action."""
    if n < 0:
        raise InvalidInput(f"n = {n}; allowed: 0 or more rows")
    return log.select(np.bincount(log.users, minlength=log.n_users)[log.users] > n)


def keep_most_rated(log: Interactions, n: int) -> Interactions:
    """Keep rows of the ``n`` items with the most rows; ties by lower number.

    Raises:
        InvalidInput: ``n`` is not in 1..n_items.
    """
    kept = np.zeros(log.n_items, bool)
    kept[log.most_rated(n)] = True
    return log.select(kept[log.items])


def keep_embedded(log: Interactions, embeddings: FloatArray) -> Interactions:
    """Keep rows of items that have a vector: ``embeddings`` [I, d] finite in the item's row.

    Raises:
        InvalidInput: There is not one row for each item.
    """
    if np.ndim(embeddings) != 2 or len(embeddings) != log.n_items:
        raise InvalidInput(f"embeddings have shape {np.shape(embeddings)}; allowed: ({log.n_items}, d), a row an item")
    known = np.asarray(np.isfinite(embeddings).all(axis=1))
    return log.select(known[log.items])


def drop_repeats(log: Interactions) -> Interactions:
    """Keep the last row in the file of those with the same user, item and time (without times: user and item)."""
    return log.select(~_repeats(log))


def renumber(log: Interactions) -> Interactions:
    """Drop users and items without a row from the vocabularies; the order of the others stays.

    Vectors and catalogues follow by ``pick_rows(embeddings, log.item_ids, renumbered.item_ids)``.
    """
    users, user_ids = _compact(log.users, log.user_ids)
    items, item_ids = _compact(log.items, log.item_ids)
    return Interactions(users, items, log.ratings, log.timestamps, user_ids, item_ids)


def pick_rows(table: Array, before: Vocabulary, after: Vocabulary) -> Array:
    """Return the rows of ``table`` [len(before), ...] that belong to the ids of ``after``, in their order.

    Raises:
        InvalidInput: ``table`` has not one row for each id of ``before``, or ``after`` has ids that ``before`` lacks.
    """
    if len(table) != len(before):
        raise InvalidInput(f"the table has {len(table)} rows; allowed: {len(before)}, one for each id before")
    picked: Array = table[before.numbers(after.ids)]
    return picked


def chain(*steps: Step) -> Callable[[Interactions], tuple[Interactions, tuple[str, ...]]]:
    """Return one function that does the steps in turn, and tells in a line each what it dropped.

    Raises:
        InvalidInput: When it runs: a step returns no log, or leaves no row; names the step.
    """

    def run(log: Interactions) -> tuple[Interactions, tuple[str, ...]]:
        lines = [f"log: {_size(log)}"]
        for step in steps:
            after = step(log)
            if not isinstance(after, Interactions):
                raise InvalidInput(f"step {_name(step)} returned {type(after).__name__}; allowed: Interactions")
            lines.append(f"{_name(step)}: {_size(after)}; dropped {len(log) - len(after):,} rows")
            if not len(after):
                raise InvalidInput(f"nothing is left: {' | '.join(lines)}; ask for less, or take a longer log")
            log = after
        return log, tuple(lines)

    return run


def irregularities(log: Interactions) -> list[tuple[str, int]]:
    """Return (what, rows): what is odd about the order of a log, and harmless, because trajectories are sorted.

    Out of order is a row earlier than the row before it of the same user; at the same time, one that shares its time
    with the user's row before, and keeps its place in the file; a repeat is one that ``drop_repeats`` would drop.
    """
    repeats = ("rows that repeat user, item and time", int(_repeats(log).sum()))
    if log.timestamps is None:
        return [repeats]
    by_user, sorted_rows = np.argsort(log.users, kind="stable"), time_order(log)
    steps = [np.diff(log.timestamps[rows])[np.diff(log.users[rows]) == 0] for rows in (by_user, sorted_rows)]
    return [
        ("rows out of time order", int((steps[0] < 0).sum())),
        ("rows at the same time as the one before", int((steps[1] == 0).sum())),
        repeats,
    ]


def _repeats(log: Interactions) -> BoolArray:
    """Return bool [R]: rows that come again later in the file with the same user, item and time."""
    pairs = log.users.astype(np.int64) * log.n_items + log.items
    keys = (pairs,) if log.timestamps is None else (log.timestamps, pairs)
    order = np.lexsort(keys)  # stable: equal rows keep the order of the file
    again = np.zeros(len(log), bool)
    same = np.logical_and.reduce([key[order][1:] == key[order][:-1] for key in keys])
    again[order[:-1][same]] = True
    return again


def _compact(numbers: NDArray[np.int32], ids: Vocabulary) -> tuple[Array, Vocabulary]:
    present = np.zeros(len(ids), bool)
    present[numbers] = True
    return (np.cumsum(present) - 1)[numbers], Vocabulary(ids.ids[present])


def _with_ratings(log: Interactions, ratings: Array) -> Interactions:
    return Interactions(log.users, log.items, ratings, log.timestamps, log.user_ids, log.item_ids)


def _require(log: Interactions, wrong: BoolArray, allowed: str) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        raise InvalidInput(f"rating {log.ratings[row]:g} in row {row}, one of {wrong.sum():,} such rows; {allowed}")


def _size(log: Interactions) -> str:
    return f"{len(log):,} rows of {len(np.unique(log.users)):,} users and {len(np.unique(log.items)):,} items"


def _name(step: Step) -> str:
    if isinstance(step, partial):
        options = [*map(_short, step.args), *(f"{name}={_short(value)}" for name, value in step.keywords.items())]
        return f"{_name(step.func)}({', '.join(options)})"
    return getattr(step, "__name__", type(step).__name__)


def _short(value: object) -> str:
    return f"[{' x '.join(map(str, value.shape))}]" if isinstance(value, np.ndarray) else str(value)
