"""Chunks of visits have the law of the stream: every user at most once a tick, fair dice, the same at any time."""

from dataclasses import replace

import numpy as np
import pytest

from smartrec.core.errors import InvalidConfig
from smartrec.envs import Crowd, Settings
from smartrec.envs.spark.visits import Visits, permuted
from smartrec.response_models import DriftingPopularity, Popularity

BREADS = Popularity.breads()


@pytest.mark.parametrize("count", [1, 2, 3, 5, 16, 17, 1000, 65_536, 65_537])
def test_a_permutation_is_one(count):
    found = permuted(np.arange(count), count, 3, 1)
    np.testing.assert_array_equal(np.sort(found), np.arange(count))
    np.testing.assert_array_equal(found[count // 2 :], permuted(np.arange(count // 2, count), count, 3, 1))
    if count >= 1000:
        assert (found != permuted(np.arange(count), count, 3, 2)).mean() > 0.99
        assert (found != permuted(np.arange(count), count, 4, 1)).mean() > 0.99


def test_a_large_permutation_has_no_repeats():
    found = permuted(np.arange(200_000), 10_000_000_019, 0, 5)
    assert len(np.unique(found)) == 200_000
    assert 0 <= found.min() <= found.max() < 10_000_000_019
    assert abs(found.mean() / 10_000_000_019 - 0.5) < 4 * np.sqrt(1 / 12 / 200_000)


def test_every_user_and_every_pair_of_users_is_equally_likely():
    ticks, users, drawn = 4000, 20, 6
    found = np.array([permuted(np.arange(drawn), users, 7, tick) for tick in range(ticks)])
    came = np.zeros((ticks, users))
    np.put_along_axis(came, found, 1.0, axis=1)
    share = drawn / users
    assert abs(came.mean(axis=0) - share).max() < 4.5 * np.sqrt(share * (1 - share) / ticks)
    together = (came.T @ came / ticks)[np.triu_indices(users, 1)]
    pair = share * (drawn - 1) / (users - 1)
    assert abs(together - pair).max() < 5 * np.sqrt(pair * (1 - pair) / ticks)
    firsts = np.bincount(found[:, 0], minlength=users) / ticks
    assert abs(firsts - 1 / users).max() < 4.5 * np.sqrt(1 / users / ticks)


def test_chunks_are_one_tick():
    settings = Settings(users_per_iteration=1010, slate_size=2).for_crowd(5000, 10)
    world = Visits(Crowd(DriftingPopularity(BREADS.popularity), 5000), settings, 3, 100)
    assert (world.chunks(), world.chunks(census=True)) == (11, 50)
    parts = [world.serve(12, chunk) for chunk in range(11)]
    users = np.concatenate([part.users for part in parts])
    assert len(users) == len(np.unique(users)) == 1010
    np.testing.assert_array_equal(np.concatenate([part.visit for part in parts]), 11 * 1010 + np.arange(1010))
    world = replace(world, chunk_size=1010)
    whole = world.serve(12, 0)
    np.testing.assert_array_equal(whole.users, users)
    dice = np.concatenate([part.parts[0].dice for part in parts])
    np.testing.assert_array_equal(whole.parts[0].dice, dice)
    assert set(whole.observation["clock"]) == {12}
    other = world.serve(13, 0)
    assert len(np.intersect1d(other.users, users)) < 400
    np.testing.assert_array_equal(np.concatenate([lanes.users for lanes in world.census(12)]), np.arange(5000))


def test_responses_have_the_law_of_the_model():
    world = Visits(Crowd(BREADS, 200_000), Settings(users_per_iteration=100_000).for_crowd(200_000, 10), 1)
    clicks, shown = np.zeros(10), np.zeros(10)
    for chunk in range(world.chunks()):
        lanes = world.serve(1, chunk)
        items = lanes.users % 10
        outcome = lanes.respond(items)
        clicks += np.bincount(items, outcome.reward, 10)
        shown += np.bincount(items, minlength=10)
        np.testing.assert_array_equal(outcome.expected, BREADS.popularity[items])
    p = BREADS.popularity
    assert (abs(clicks / shown - p) < 4 * np.sqrt(p * (1 - p) / shown)).all()


@pytest.mark.parametrize("census", [False, True])
def test_users_show_what_they_did_before_the_tick_and_in_the_visit(census):
    settings = Settings(users_per_iteration=40, slate_size=2, session_length=3, history=5).for_crowd(60, 10)
    world, rng = Visits(Crowd(BREADS, 60), settings, 3, 16), np.random.default_rng(0)
    past = world.past()
    assert (past.items == 10).all()
    past.record(np.arange(60), rng.integers(10, size=(60, 4)), rng.random((60, 4)) < 0.5)
    whole = past.copy()
    for chunk in range(world.chunks(census)):
        for _ in range(2):  # a worker may serve a chunk twice
            lanes = world.serve(7, chunk, census, past)
            told = {user: list(zip(past.items[user], past.responses[user], strict=True)) for user in lanes.users}
            while not lanes.done:
                expected = np.array([told[user][-5:] for user in lanes.users])
                np.testing.assert_array_equal(lanes.observation["history_items"], expected[..., 0])
                np.testing.assert_array_equal(lanes.observation["history_responses"], expected[..., 1])
                items = rng.random((len(lanes.users), 10)).argsort(axis=1)[:, :2]
                responses = lanes.respond(items).responses
                for user, shown, did in zip(lanes.users, items, responses, strict=True):
                    told[user] += zip(shown, did, strict=True)
    np.testing.assert_array_equal(past.items, whole.items)
    np.testing.assert_array_equal(past.responses, whole.responses)


def test_bad_worlds_are_refused():
    crowd = Crowd(BREADS, 50)
    with pytest.raises(InvalidConfig, match="past = None; allowed: what users did before, as history = 2 shows it"):
        Visits(crowd, Settings(history=2).for_crowd(50, 10), 0).serve(1, 0)
    with pytest.raises(InvalidConfig, match="seed = -1"):
        Visits(crowd, Settings().for_crowd(50, 10), -1)
