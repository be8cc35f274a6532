"""Frames: a closed form by hand, and every log against a slow walk through each user."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartrec.core.errors import InvalidInput
from smartrec.data import Interactions, Vocabulary, by_time, by_user, leave_last_out
from smartrec.data.batches import Batches
from smartrec.data.dense import DenseFrames
from smartrec.data.frames import Frames, split_frames
from smartrec.data.steps import map_ratings
from smartrec.data.trajectories import Trajectories

ITEMS, F, D = 30, 10, 128


def a_log(users, items, ratings, times=None):
    ids = Vocabulary(range(100, 100 + max([*users, 0]) + 3))
    columns = np.array(users, np.int32), np.array(items, np.int32), np.array(ratings, np.float32)
    return Interactions(*columns, None if times is None else np.array(times), ids, Vocabulary(range(ITEMS)))


def one_user(answers=25):
    rng = np.random.default_rng(answers)
    stars = rng.integers(1, 11, answers) / 2
    return a_log([0] * answers, rng.integers(0, ITEMS, answers), stars, rng.permutation(answers))


VECTORS = np.random.default_rng(0).normal(size=(ITEMS, D)).astype(np.float32)


def walk(log, f, padded=False):
    """All frames, one by one, as (user's row, step, items, ratings, done): the truth to compare with."""
    frames = []
    for place, user in enumerate(np.unique(log.users)):
        rows = [row for row in range(len(log)) if log.users[row] == user]
        if log.timestamps is not None:
            rows.sort(key=lambda row: (log.timestamps[row], row))
        items = [ITEMS] * f * padded + log.items[rows].tolist()
        ratings = [0.0] * f * padded + log.ratings[rows].tolist()
        for t in range(len(items) - f):
            done = t + f + 1 == len(items)
            frames.append((place, t, items[t : t + f + 1], ratings[t : t + f + 1], done))
    return frames


logs = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, ITEMS - 1), st.integers(1, 10), st.integers(0, 6)), min_size=1
)
built = st.builds(
    lambda rows, timed: a_log(
        [r[0] for r in rows], [r[1] for r in rows], [r[2] / 2 for r in rows], [r[3] for r in rows] if timed else None
    ),
    logs,
    st.booleans(),
)


def test_a_user_with_25_ratings():
    log = map_ratings(one_user())
    dense = DenseFrames(Frames(Trajectories.of(log), F), VECTORS)
    batch = dense.batch(np.arange(15))
    assert len(dense) == 15
    assert batch["state"].shape == batch["next_state"].shape == (15, 1290)
    assert batch["action"].shape == (15, 128)
    assert batch["done"].tolist() == [False] * 14 + [True]
    assert np.array_equal(batch["next_state"][:-1], batch["state"][1:])
    order = np.argsort(log.timestamps)
    assert np.array_equal(batch["action"], VECTORS[log.items[order][F:]])
    assert np.array_equal(batch["reward"], log.ratings[order][F:])
    assert np.array_equal(batch["next_state"][-1, -F:], log.ratings[order][-F:])


@settings(max_examples=200, deadline=None)
@given(log=built, f=st.integers(1, 4), padded=st.booleans(), seed=st.integers(0, 9))
def test_every_frame_is_what_a_slow_walk_finds(log, f, padded, seed):
    truth = walk(log, f, padded)
    if not truth:
        with pytest.raises(InvalidInput, match="take a smaller frame_size"):
            Frames(Trajectories.of(log), f, padded)
        return
    frames = Frames(Trajectories.of(log), f, padded)
    assert len(frames) == len(truth)
    numbers = np.random.default_rng(seed).permutation(len(truth))
    w = frames.windows(numbers)
    found = zip(w.user.tolist(), w.step.tolist(), w.items.tolist(), w.ratings.tolist(), w.done.tolist(), strict=True)
    assert list(found) == [truth[number] for number in numbers]


@settings(max_examples=100, deadline=None)
@given(log=built, f=st.integers(1, 4), padded=st.booleans(), seed=st.integers(0, 9))
def test_dense_frames_are_their_windows_in_any_order(log, f, padded, seed):
    if not walk(log, f, padded):
        return
    frames = Frames(Trajectories.of(log), f, padded)
    table = np.concatenate([VECTORS[:, :3], np.zeros((1, 3), np.float32)])
    for numbers in (np.arange(len(frames)), np.random.default_rng(seed).integers(0, len(frames), 70)):
        w, batch = frames.windows(numbers), DenseFrames(frames, VECTORS[:, :3]).batch(numbers)
        for name, part in (("state", slice(0, f)), ("next_state", slice(1, f + 1))):
            vectors = table[w.items[:, part]].reshape(len(numbers), -1)
            assert np.array_equal(batch[name], np.concatenate([vectors, w.ratings[:, part]], axis=1))
        assert np.array_equal(batch["action"], table[w.items[:, -1]])
        assert np.array_equal(batch["reward"], w.ratings[:, -1])
        assert np.array_equal(batch["done"], w.done)


def test_long_stretches_over_users_reuse_room():
    lengths = [400, 3, 11, 290, 12]
    users = np.repeat(np.arange(5), lengths)
    rng = np.random.default_rng(1)
    log = a_log(users, rng.integers(0, ITEMS, len(users)), rng.random(len(users)))
    frames = Frames(Trajectories.of(log), F)
    dense = DenseFrames(frames, VECTORS)
    room = dense.room(300)
    batches = Batches(len(frames), 300)
    for numbers, batch in zip(batches, dense.stream(batches, room), strict=True):
        w = frames.windows(numbers)
        assert batch["state"].base is room["state"]
        vectors = VECTORS[w.items].reshape(len(numbers), -1)
        assert np.array_equal(batch["state"], np.concatenate([vectors[:, :-D], w.ratings[:, :-1]], axis=1))
        assert np.array_equal(batch["next_state"], np.concatenate([vectors[:, D:], w.ratings[:, 1:]], axis=1))
    with pytest.raises(InvalidInput, match="room for 300 frames; 301"):
        dense.batch(np.arange(301), room)


def test_a_stream_is_its_batches():
    rng = np.random.default_rng(2)
    users = np.repeat(np.arange(40), 25)
    log = a_log(users, rng.integers(0, ITEMS, len(users)), rng.random(len(users)))
    dense = DenseFrames(Frames(Trajectories.of(log), F), VECTORS, "index")
    for batches in (
        Batches(len(dense), 7),
        Batches(len(dense), 7, seed=0),
        Batches.of_users(dense.frames.user_ends, 3, 0),
    ):
        for numbers, batch in zip(batches, dense.stream(batches), strict=True):
            expected = dense.batch(numbers)
            assert {name: values.tobytes() for name, values in batch.items()} == {
                name: values.tobytes() for name, values in expected.items()
            }


def test_actions_as_numbers_and_one_hot():
    frames = Frames(Trajectories.of(one_user()), F)
    items = frames.windows(np.arange(15)).items[:, -1]
    assert DenseFrames(frames, VECTORS, "index")[range(15)]["action"].tolist() == items.tolist()
    assert np.array_equal(DenseFrames(frames, VECTORS, "one_hot")[range(15)]["action"], np.eye(ITEMS)[items])
    one = DenseFrames(frames, VECTORS, "index")[3]
    assert one["state"].shape == (1290,)
    assert one["action"] == items[3]
    with pytest.raises(InvalidInput, match="'vector'; allowed: embedding, index, one_hot"):
        DenseFrames(frames, VECTORS, "vector")


def test_an_item_without_an_embedding_is_named():
    log = one_user()
    frames = Frames(Trajectories.of(log), F)
    without = VECTORS.copy()
    unused = np.setdiff1d(np.arange(ITEMS), log.items)
    without[unused] = np.nan
    assert np.isfinite(DenseFrames(frames, without).batch(np.arange(15))["next_state"]).all()
    without[log.items[4], 7] = np.inf
    with pytest.raises(InvalidInput, match=rf"item {log.items[4]} has no finite embedding, one of 1 .*keep_embedded"):
        DenseFrames(frames, without)
    with pytest.raises(InvalidInput, match=r"allowed: numbers of shape \(30, d\)"):
        DenseFrames(frames, VECTORS[:-1])


def test_transitions_are_the_windows():
    frames = Frames(Trajectories.of(map_ratings(one_user())), F)
    w, t = frames.windows(np.arange(15)), frames.transitions(np.arange(15))
    assert np.array_equal(t.observation["history_items"], w.items[:, :-1])
    assert np.array_equal(t.next_observation["history_items"][:-1], t.observation["history_items"][1:])
    assert np.array_equal(t.decision.action, w.items[:, -1])
    assert np.array_equal(t.reward, w.ratings[:, -1])
    assert t.terminated.sum() == 1
    assert not t.truncated.any()
    space = frames.problem(VECTORS).observation_space
    assert space.contains({key: value[0] for key, value in t.observation.items()})


def test_numbers_out_of_range_and_short_users():
    frames = Frames(Trajectories.of(one_user()), F)
    for wrong in (-1, 15):
        with pytest.raises(InvalidInput, match=f"frame {wrong} was asked for; allowed: 0..14"):
            frames.windows(np.array([0, wrong]))
    with pytest.raises(InvalidInput, match=r"no user has more than frame_size = 25 answers \(the longest has 25\)"):
        Frames(Trajectories.of(one_user()), 25)
    with pytest.raises(InvalidInput, match="frame_size = 0"):
        Frames(Trajectories.of(one_user()), 0)


SPLITS = {
    "time": lambda log: by_time(log, 0.3),
    "user": lambda log: by_user(log, 0.4, seed=0),
    "last": lambda log: leave_last_out(log, 2),
}


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("padded", [False, True])
def test_split_frames_look_back_and_never_forward(split, padded):
    rng = np.random.default_rng(3)
    rows = 600
    # The rating is the row's number, so that rows can be told apart.
    log = a_log(rng.integers(0, 12, rows), rng.integers(0, ITEMS, rows), np.arange(rows), rng.permutation(rows))
    parts = SPLITS[split](log)
    train, test = split_frames(*parts, frame_size=4, padded=padded)
    in_train, in_test = (set(part.ratings.tolist()) for part in parts)
    seen = train.windows(np.arange(len(train)))
    assert set(seen.ratings[seen.items < ITEMS].tolist()) <= in_train
    assert seen.done.sum() == (np.bincount(parts[0].users) > 4 * (not padded)).sum()
    judged = test.windows(np.arange(len(test)))
    assert set(judged.ratings[:, -1].tolist()) <= in_test
    assert padded <= (len(test) == len(in_test))
    history = judged.ratings[:, :-1][judged.items[:, :-1] < ITEMS]
    assert (len(in_train & set(history.tolist())) > 0) == (split != "user")
    whole = {tuple(items): True for _, _, items, _, _ in walk(log, 4, padded)}
    assert all(tuple(items) in whole for items in judged.items.tolist())
    if split == "time":
        times = dict(zip(log.ratings.tolist(), log.timestamps.tolist(), strict=True))
        assert max(times[r] for r in in_train) < min(times[r] for r in judged.ratings[:, -1].tolist())


def test_parts_that_do_not_belong_together():
    log = one_user()
    with pytest.raises(InvalidInput, match="one part of the log has timestamps"):
        split_frames(log, a_log([0], [0], [1]))
    other = Interactions(log.users, log.items, log.ratings, log.timestamps, Vocabulary(range(9)), log.item_ids)
    with pytest.raises(InvalidInput, match=r"list other users \(3 and 9 ids\)"):
        split_frames(log, other)
    frames = Frames(Trajectories.of(log), F)
    with pytest.raises(InvalidInput, match=r"allowed: bool \(25,\)"):
        frames.only(np.ones(24, bool))
    with pytest.raises(InvalidInput, match="none of the 3 rows"):
        frames.only(np.arange(25) < 3)
