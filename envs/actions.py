"""Whether a batch of actions can be taken, and what takes the place of those that cannot."""

from typing import Any

import numpy as np

from smartrec.core.arrays import Array, IntArray
from smartrec.core.decision import Mask
from smartrec.core.errors import InvalidAction
from smartrec.core.slate import has_repeats


def as_items(actions: Any, lanes: int, slate_size: int, n_items: int) -> IntArray:
    """Return actions as item numbers [N, K], each in range.

    Args:
        actions: int [N], or [N, K] for slates.
        lanes: N.
        slate_size: K.
        n_items: I.

    Raises:
        InvalidAction: Another shape or type, or a number outside 0 .. I-1.
    """
    try:
        items = np.asarray(actions)
    except ValueError:
        raise InvalidAction(f"actions are {actions!r}; allowed: an array of item numbers") from None
    shape = (lanes,) if slate_size == 1 else (lanes, slate_size)
    if items.shape != shape:
        raise InvalidAction(
            f"actions have shape {items.shape}; allowed: {shape}, "
            f"{'one item' if slate_size == 1 else f'a slate of {slate_size} items'} for each of {lanes} lanes"
        )
    if items.dtype.kind not in "iu":
        raise InvalidAction(f"actions have type {items.dtype}; allowed: whole numbers, those of the items")
    if items.size and (items.min() < 0 or items.max() >= n_items):
        _refuse(items.reshape(lanes, -1), (items < 0) | (items >= n_items), n_items)
    return items.reshape(lanes, slate_size)


def refuse_illegal(items: IntArray, mask: Mask | None) -> None:
    """Raise if a slate repeats an item or shows one that its lane may not be shown.

    Raises:
        InvalidAction: With the first such lane.
    """
    if items.shape[1] > 1:
        lanes = np.flatnonzero(has_repeats(items))
        if len(lanes):
            raise InvalidAction(
                f"slate {items[lanes[0]].tolist()} in lane {lanes[0]} repeats an item ({len(lanes)} such "
                'lanes); allowed: different items. Or make the environment with on_repeat="replace"'
            )
    if mask is not None:
        lane, place = (part[:1] for part in np.nonzero(~_allowed(items, mask)))
        if len(lane):
            raise InvalidAction(
                f"item {items[lane[0], place[0]]} is not allowed in lane {lane[0]}; "
                "choose among the items of observation['allowed']"
            )


def repair(
    items: IntArray, mask: Mask | None, n_items: int, key: int, visits: IntArray, step: int
) -> tuple[IntArray, IntArray]:
    """Put a random unused allowed item in the place of each repeat and of each item that is not allowed.

    The draw depends on ``key``, the visit and the step alone, so that it is the same at any number of lanes.

    Args:
        items: int [N, K].
        mask: What each lane may be shown; None for all.
        n_items: I.
        key: Of the world, 0 .. 2**128 - 1.
        visits: int [N], running numbers of the visits.
        step: Of the visit.

    Returns:
        Items [N, K], and how many positions were filled anew, int [N].

    Raises:
        InvalidAction: A lane has too few allowed items left.
    """
    allowed = np.ones((1, n_items), bool) if mask is None else mask.allowed
    keep = np.ones(items.shape, bool) if mask is None else _allowed(items, mask)
    for place in range(1, items.shape[1]):
        keep[:, place] &= ~(items[:, :place] == items[:, place : place + 1]).any(axis=1)
    replaced = (~keep).sum(axis=1)
    items = items.copy()
    for lane in np.flatnonzero(replaced):
        rng = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, step, int(visits[lane])]))
        unused = np.setdiff1d(np.flatnonzero(allowed[lane % len(allowed)]), items[lane, keep[lane]])
        if len(unused) < replaced[lane]:
            raise InvalidAction(f"lane {lane} has {len(unused)} unused allowed items; {replaced[lane]} are needed")
        items[lane, ~keep[lane]] = rng.choice(unused, replaced[lane], replace=False)
    return items, replaced


def _allowed(items: IntArray, mask: Mask) -> Any:
    rows = np.broadcast_to(mask.allowed, (len(items), mask.allowed.shape[1]))
    return np.take_along_axis(rows, items, axis=1)


def _refuse(items: IntArray, wrong: Array, n_items: int) -> None:
    lane, place = np.argwhere(wrong.reshape(items.shape))[0]
    raise InvalidAction(
        f"item {items[lane, place]} in lane {lane}; allowed: item numbers 0 to {n_items - 1}. "
        "For the id of a data set take its number: dataset.items.ids.numbers([id])"
    )
