"""Splits: each row on exactly one side, and on the right one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.data import Interactions, Vocabulary, by_time, by_user, cold_start, leave_last_out


def a_log(users, items, times=None):
    n = max([*users, *items], default=0) + 1
    # The rating is the row's number, so that rows can be told apart on either side.
    ratings = np.arange(len(users), dtype=np.float32)
    times = None if times is None else np.array(times, np.int64)
    ids = Vocabulary(range(n + 2))
    return Interactions(np.array(users, np.int32), np.array(items, np.int32), ratings, times, ids, ids)


rows = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 9)), max_size=40)
logs = st.builds(
    lambda table, timed: a_log([r[0] for r in table], [r[1] for r in table], [r[2] for r in table] if timed else None),
    rows,
    st.booleans(),
)
SPLITS = {
    "by_time": lambda log, share, seed: by_time(log, share),
    "by_user": lambda log, share, seed: by_user(log, share, seed=seed),
    "leave_last_out": lambda log, share, seed: leave_last_out(log, 1 + seed % 3),
    "cold items": lambda log, share, seed: cold_start(log, items=share, seed=seed),
    "cold users": lambda log, share, seed: cold_start(log, users=share, seed=seed),
    "cold both": lambda log, share, seed: cold_start(log, users=share, items=share / 2, seed=seed),
}


@pytest.mark.parametrize("name", SPLITS)
@settings(max_examples=150, deadline=None)
@given(log=logs, share=st.floats(0.05, 0.95), seed=st.integers(0, 99))
def test_disjoint_complete_in_order_and_never_empty(name, log, share, seed):
    try:
        train, test = SPLITS[name](log, share, seed)
    except InvalidInput as error:
        if "needs timestamps" in str(error) or "leaves nothing in" in str(error):
            return
        raise
    assert len(train)
    assert len(test)
    numbers = np.concatenate([train.ratings, test.ratings])
    assert sorted(numbers.tolist()) == log.ratings.tolist()
    for side in (train, test):
        assert (np.diff(side.ratings) > 0).all()
        assert side.user_ids is log.user_ids
        chosen = side.ratings.astype(int)
        assert side.users.tolist() == log.users[chosen].tolist()
        assert side.items.tolist() == log.items[chosen].tolist()
    again = SPLITS[name](log, share, seed)
    assert again[1].ratings.tolist() == test.ratings.tolist()


RNG = np.random.default_rng(0)
BIG = a_log(RNG.integers(0, 50, 5000).tolist(), RNG.integers(0, 40, 5000).tolist(), RNG.integers(0, 900, 5000).tolist())


def test_by_time_is_that_of_the_log():
    train, test = by_time(BIG, 0.25)
    assert train.timestamps.max() < test.timestamps.min()
    assert test.ratings.tolist() == BIG.split_by_time(0.25)[1].ratings.tolist()


def test_by_user_keeps_users_whole():
    train, test = by_user(BIG, 0.3, seed=1)
    assert not set(train.users) & set(test.users)
    assert len(set(test.users)) == 15
    assert set(by_user(BIG, 0.3, seed=2)[1].users) != set(test.users)


def test_leave_last_out_takes_the_last_of_each():
    log = a_log([0, 1, 0, 0, 1, 2], [0, 1, 2, 3, 4, 5], [9, 5, 7, 7, 5, 1])
    train, test = leave_last_out(log)
    # User 0 was last active in row 0, user 1 in row 4 (a tie, so by file order); user 2 has a single row.
    assert test.ratings.tolist() == [0, 4]
    assert train.ratings.tolist() == [1, 2, 3, 5]
    assert leave_last_out(log, 2)[1].ratings.tolist() == [0, 3]
    untimed = a_log([0, 1, 0, 0, 1, 2], [0, 1, 2, 3, 4, 5])
    assert leave_last_out(untimed)[1].ratings.tolist() == [3, 4]


def test_leave_last_out_on_many_rows():
    train, test = leave_last_out(BIG, 3)
    assert np.bincount(test.users)[:50].tolist() == [3] * 50
    for user in range(50):
        assert train.timestamps[train.users == user].max() <= test.timestamps[test.users == user].min()


def test_cold_start_keeps_what_is_held_out_from_train():
    train, test = cold_start(BIG, items=0.25, seed=0)
    assert len(set(test.items)) == 10
    assert not set(train.items) & set(test.items)
    items = set(test.items)
    users = set(cold_start(BIG, users=0.1, seed=0)[1].users)
    assert len(users) == 5
    train, test = cold_start(BIG, items=0.25, users=0.1, seed=0)
    assert not set(train.items) & items
    assert not set(train.users) & users
    assert all(user in users or item in items for user, item in zip(test.users, test.items, strict=True))


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (lambda: by_user(BIG, 0.0, seed=0), "test_share = 0.0; allowed: between 0 and 1"),
        (lambda: by_user(BIG, 1.5, seed=0), "test_share = 1.5"),
        (lambda: by_user(BIG, float("nan"), seed=0), "test_share = nan"),
        (lambda: by_user(BIG, 0.001, seed=0), "leaves nothing in test, of 5,000 rows of 50 users and 40 items"),
        (lambda: by_user(BIG, 0.999, seed=0), "leaves nothing in train"),
        (lambda: by_user(a_log([], []), 0.5, seed=0), "leaves nothing in test, of 0 rows"),
        (lambda: leave_last_out(BIG, 0), "n = 0; allowed: 1 or more"),
        (lambda: leave_last_out(BIG, 5000), "n = 5000 last rows of users with more than that leaves nothing in test"),
        (lambda: leave_last_out(a_log([], [])), "leaves nothing in test"),
        (lambda: cold_start(BIG, seed=0), "items = 0 and users = 0"),
        (lambda: cold_start(BIG, items=-0.1, seed=0), "items = -0.1; allowed: between 0 and 1"),
        (lambda: cold_start(BIG, users=1, seed=0), "users = 1; allowed: between 0 and 1"),
        (lambda: by_time(a_log([0, 1], [0, 1])), "needs timestamps"),
    ],
)
def test_splits_that_cannot_be(split, message):
    with pytest.raises(InvalidInput, match=message):
        split()


def test_a_seed_that_is_none():
    with pytest.raises(InvalidConfig, match="seed = -1"):
        by_user(BIG, 0.5, seed=-1)
