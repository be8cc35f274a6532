"""Steps on a log: rewards by hand, what is dropped and told, and vectors that stay with their items."""

import os
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartrec.core.errors import InvalidInput
from smartrec.data import Interactions, Vocabulary, load_ml_latest
from smartrec.data.dense import DenseFrames
from smartrec.data.frames import Frames
from smartrec.data.steps import (
    chain,
    drop_repeats,
    irregularities,
    keep_embedded,
    keep_most_rated,
    map_ratings,
    min_length,
    pick_rows,
    renumber,
)
from smartrec.data.trajectories import Trajectories, time_order


def a_log(rows, timed=True):
    """Rows of (user, item, rating, time); the vocabularies know more than the rows."""
    users, items, ratings, times = (np.array(column) for column in zip(*rows, strict=True))
    ids = Vocabulary([70, 3, 12, 500, 9, 41]), Vocabulary([f"film {n}" for n in (5, 2, 8, 1, 9, 4, 0)])
    return Interactions(users, items, ratings, times if timed else None, *ids)


row = st.tuples(st.integers(0, 5), st.integers(0, 6), st.integers(1, 10).map(lambda n: n / 2), st.integers(0, 3))
logs = st.builds(a_log, st.lists(row, min_size=1, max_size=60), st.booleans())
VECTORS = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)


def triples(log):
    return list(zip(log.user_ids.id(log.users), log.item_ids.id(log.items), log.ratings.tolist(), strict=True))


def test_half_stars_become_minus_4_to_5():
    stars = np.arange(1, 11) / 2
    log = map_ratings(a_log([(0, 0, star, 0) for star in stars]))
    assert log.ratings.tolist() == list(range(-4, 6))
    assert log.ratings.dtype == np.float32


def test_any_function_or_table():
    log = a_log([(0, 0, 0, 0), (1, 1, 1, 0), (2, 2, 0, 0)])
    assert map_ratings(log, lambda a: (a - 1) * (1 - a) + a, scale=(0, 1)).ratings.tolist() == [-1, 1, -1]
    assert map_ratings(log, {1: 10, 0: -3}, scale=None).ratings.tolist() == [-3, 10, -3]


def test_ratings_off_the_scale_or_the_table():
    log = a_log([(0, 0, 4, 0), (0, 1, 5.5, 0), (0, 2, 0, 0)])
    with pytest.raises(InvalidInput, match=r"rating 5.5 in row 1, one of 2 such rows; allowed: 0.5..5\. "):
        map_ratings(log)
    with pytest.raises(InvalidInput, match=r"rating 0 in row 2, one of 1 such rows; the table has 4, 5.5\. Add it"):
        map_ratings(log, {4: 1, 5.5: 2}, scale=None)
    with pytest.raises(InvalidInput, match="the table of ratings is empty"):
        map_ratings(log, {}, scale=None)
    with pytest.raises(InvalidInput, match=r"ratings has shape \(1,\); allowed: \(3,\)"):
        map_ratings(log, lambda ratings: ratings[:1], scale=None)
    with pytest.raises(InvalidInput, match=r"ratings\[1\] is nan"):
        map_ratings(log, lambda ratings: np.where(ratings > 5, np.nan, ratings), scale=None)


@settings(max_examples=150, deadline=None)
@given(log=logs, n=st.integers(0, 8), m=st.integers(1, 7))
def test_what_is_kept(log, n, m):
    counts = np.bincount(log.users, minlength=6)
    kept = min_length(log, n)
    assert triples(kept) == [t for t, user in zip(triples(log), log.users, strict=True) if counts[user] > n]
    rated = np.bincount(log.items, minlength=7)
    most = set(sorted(range(7), key=lambda item: (-rated[item], item))[:m])
    assert triples(keep_most_rated(log, m)) == [t for t, i in zip(triples(log), log.items, strict=True) if i in most]


@settings(max_examples=150, deadline=None)
@given(log=logs)
def test_renumbering_changes_names_of_nothing(log):
    after = renumber(log)
    assert triples(after) == triples(log)
    assert sorted(set(after.users.tolist())) == list(range(after.n_users))
    assert sorted(set(after.items.tolist())) == list(range(after.n_items))
    assert [one for one in log.item_ids.ids if one in set(after.item_ids.ids)] == list(after.item_ids.ids)
    picked = pick_rows(VECTORS, log.item_ids, after.item_ids)
    assert np.array_equal(picked[after.items], VECTORS[log.items])


def test_kept_embeddings_equal_the_originals():
    rng = np.random.default_rng(1)
    rows = [(user, item, 3, t) for t, (user, item) in enumerate(rng.integers(0, 6, (80, 2)).tolist())]
    before = a_log(rows)
    after, _ = chain(partial(keep_most_rated, n=3), renumber)(before)
    vectors = pick_rows(VECTORS, before.item_ids, after.item_ids)
    assert vectors.shape == (3, 4)
    for number, name in enumerate(after.item_ids.ids):
        assert np.array_equal(vectors[number], VECTORS[list(before.item_ids.ids).index(name)])
    batch = DenseFrames(Frames(Trajectories.of(after), 2), vectors).batch(np.arange(5))
    originals = {tuple(vector) for vector in VECTORS.tolist()}
    assert {tuple(vector) for vector in batch["action"].tolist()} <= originals
    with pytest.raises(InvalidInput, match="the table has 3 rows; allowed: 7"):
        pick_rows(vectors, before.item_ids, after.item_ids)


def test_items_without_a_vector():
    log = a_log([(0, 0, 1, 0), (0, 1, 2, 0), (1, 6, 3, 0)])
    vectors = VECTORS.copy()
    vectors[1, 2] = np.nan
    assert keep_embedded(log, vectors).items.tolist() == [0, 6]
    with pytest.raises(InvalidInput, match=r"shape \(6, 4\); allowed: \(7, d\)"):
        keep_embedded(log, vectors[:-1])


@settings(max_examples=150, deadline=None)
@given(log=logs)
def test_repeats_and_disorder_are_counted(log):
    times = [0] * len(log) if log.timestamps is None else log.timestamps.tolist()
    keys = list(zip(log.users.tolist(), log.items.tolist(), times, strict=True))
    last = [row for row, key in enumerate(keys) if key not in keys[row + 1 :]]
    assert drop_repeats(log).ratings.tolist() == log.ratings[last].tolist()
    told = dict(irregularities(log))
    assert told["rows that repeat user, item and time"] == len(log) - len(last)
    if log.timestamps is not None:
        own = [[key[2] for key in keys if key[0] == user] for user in range(6)]
        assert told["rows out of time order"] == sum(b < a for t in own for a, b in pairwise(t))
        assert told["rows at the same time as the one before"] == sum(len(t) - len(set(t)) for t in own)


@settings(max_examples=150, deadline=None)
@given(log=logs, far=st.booleans())
def test_rows_by_user_time_and_place(log, far):
    if log.timestamps is not None and far:  # so far apart that user and time do not fit one number
        log = Interactions(log.users, log.items, log.ratings, log.timestamps * 2**61, log.user_ids, log.item_ids)
    times = np.zeros(len(log)) if log.timestamps is None else log.timestamps
    expected = sorted(range(len(log)), key=lambda row: (log.users[row], times[row], row))
    assert time_order(log).tolist() == expected


def test_a_chain_tells_what_it_did():
    def no_film_5(log):
        return log.select(log.items != 0)

    log = a_log([(0, 0, 1, 0), (0, 1, 2, 0), (0, 2, 4, 0), (1, 6, 3, 0)])
    after, told = chain(map_ratings, no_film_5, partial(min_length, n=1), renumber)(log)
    assert after.ratings.tolist() == [-1, 3]
    assert told == (
        "log: 4 rows of 2 users and 4 items",
        "map_ratings: 4 rows of 2 users and 4 items; dropped 0 rows",
        "no_film_5: 3 rows of 2 users and 3 items; dropped 1 rows",
        "min_length(n=1): 2 rows of 1 users and 2 items; dropped 1 rows",
        "renumber: 2 rows of 1 users and 2 items; dropped 0 rows",
    )
    with pytest.raises(InvalidInput, match=r"nothing is left: log: 4 rows .* \| min_length\(n=9\): 0 rows"):
        chain(partial(min_length, n=9))(log)
    with pytest.raises(InvalidInput, match="step len returned int; allowed: Interactions"):
        chain(len)(log)


@pytest.mark.data
def test_latest_small_in_frames():
    log = load_ml_latest(Path(os.environ["SMARTREC_DATA"]) / "ml-latest-small" / "ml-latest-small.zip").interactions
    after, told = chain(map_ratings, partial(keep_most_rated, n=1000), partial(min_length, n=10), renumber)(log)
    assert told[0].startswith("log: 100,836 rows of 610 users and 9,724 items")
    assert after.n_items == 1000
    vectors = np.random.default_rng(0).normal(size=(log.n_items, 8)).astype(np.float32)
    kept = pick_rows(vectors, log.item_ids, after.item_ids)
    frames = Frames(Trajectories.of(after), 10)
    assert len(frames) == len(after) - 10 * after.n_users
    batch = DenseFrames(frames, kept).batch(np.arange(len(frames)))
    assert batch["done"].sum() == after.n_users
    ends = batch["done"][:-1]
    assert np.array_equal(batch["next_state"][:-1][~ends], batch["state"][1:][~ends])
    assert np.array_equal(batch["state"][:, -1][1:][~ends], batch["reward"][:-1][~ends])
    assert {-4, 5} <= set(batch["reward"].tolist()) <= set(range(-4, 6))
