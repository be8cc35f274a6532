"""Visits of several steps: the same world user by user and in batches, and what each step adds up to."""

import gymnasium as gym
import numpy as np
import pytest

from smartrec.core.errors import InvalidConfig
from smartrec.envs import Crowd, RecommendationEnv, RecommendationVectorEnv, Settings
from smartrec.response_models import DriftingPopularity, Table

N_USERS, N_ITEMS, TICK, TICKS = 30, 8, 12, 3
TRUTH = np.random.default_rng(0).uniform(0.1, 0.9, (N_USERS, N_ITEMS))
SESSIONS = [1, 2, 5]


def _world(lanes=1, **options):
    crowd = Crowd(Table(TRUTH), N_USERS, user_features=TRUTH[:, :2])
    settings = Settings(**{"users_per_iteration": TICK, "iterations": TICKS, **options})
    return RecommendationVectorEnv(crowd, settings, lanes)


def _slates(visits, step, slate_size):
    """Slates that depend on visit and step alone, [N, K]."""
    return (np.asarray(visits)[:, None] * 5 + step * 3 + np.arange(slate_size)) % N_ITEMS


def _batches(lanes, visits, **options):
    """Serve the first ``visits`` visits; return what happened, visit and step first: {name: [V, S, ...]}."""
    world = _world(lanes, **options)
    steps, slate_size = world.session_length, world.settings.slate_size
    observation, _ = world.reset(seed=21)
    rows = []
    for first in range(0, visits, lanes):
        for step in range(steps):
            numbers = np.arange(first, first + lanes)
            slates = _slates(numbers, step, slate_size)
            seen = dict(observation)
            observation, reward, terminated, truncated, info = world.step(slates[:, 0] if slate_size == 1 else slates)
            assert (info["visit"] == numbers).all()
            assert (terminated == (step == steps - 1)).all()
            assert not truncated.any()
            rows.append({**seen, "reward": reward, "expected": info["expected_reward"]})
    joined = {}
    for name in rows[0]:
        table = np.array([row[name] for row in rows])  # [batches * S, N, ...]
        table = table.reshape(-1, steps, lanes, *table.shape[2:]).swapaxes(1, 2)
        joined[name] = table.reshape(-1, steps, *table.shape[3:])[:visits]
    return joined


def _one_by_one(visits, **options):
    """The same by the single environment, one reset a visit."""
    env = RecommendationEnv(_world(1, **options))
    steps, slate_size = env.batch.session_length, env.batch.settings.slate_size
    names, table = None, []
    for visit in range(visits):
        observation, _ = env.reset(seed=21) if visit == 0 else env.reset()
        table.append([])
        for step in range(steps):
            slate = _slates([visit], step, slate_size)[0]
            seen = dict(observation)
            observation, reward, terminated, _, info = env.step(int(slate[0]) if slate_size == 1 else slate)
            assert terminated is (step == steps - 1)
            row = {**seen, "reward": reward, "expected": info["expected_reward"]}
            names = list(row)
            table[-1].append(row)
    return {name: np.array([[row[name] for row in steps_of] for steps_of in table]) for name in names}


def _equal(left, right):
    assert set(left) == set(right)
    for name, value in right.items():
        np.testing.assert_allclose(left[name], value, rtol=0, atol=1e-6 if name == "expected" else 0, err_msg=name)


@pytest.mark.parametrize("session_length", SESSIONS)
@pytest.mark.parametrize("slate_size", [1, 3])
@pytest.mark.parametrize("history", [0, 4])
def test_the_same_world_user_by_user_and_in_batches(session_length, slate_size, history):
    options = {"session_length": session_length, "slate_size": slate_size, "history": history}
    visits = (TICKS + 1) * TICK
    whole = _one_by_one(visits, **options)
    assert whole["clock"].max() == TICKS + 1
    # With a history lanes must divide a tick; without, they may straddle several.
    for lanes in (1, 2, 3, 4, 6, 12) if history else (1, 2, 5, 7, 12, 17, 30):
        _equal(_batches(lanes, visits, **options), whole)


@pytest.mark.parametrize("session_length", SESSIONS)
def test_the_user_of_a_visit_stays_and_judges_the_item_of_each_step(session_length):
    trace = _batches(6, 48, session_length=session_length)
    for name in ("user", "clock", "user_features"):
        assert (trace[name] == trace[name][:, :1]).all()
    for step in range(session_length):
        items = _slates(range(48), step, 1)[:, 0]
        assert trace["expected"][:, step] == pytest.approx(TRUTH[trace["user"][:, step], items], abs=1e-6)


def test_the_clicks_of_a_visit_are_independent_draws():
    """The same item at every step: clicks of a visit are binomial, with the variance S p (1 - p)."""
    crowd = Crowd(Table(np.full((2000, 2), 0.3)), 2000)
    world = RecommendationVectorEnv(crowd, Settings(session_length=4, users_per_iteration=2000, iterations=5), 2000)
    world.reset(seed=1)
    totals = np.array([sum(world.step(np.zeros(2000, int))[1] for _ in range(4)) for _ in range(5)])
    n = totals.size
    assert abs(totals.mean() - 1.2) < 4 * np.sqrt(0.84 / n)
    binomial = np.array([0.2401, 0.4116, 0.2646, 0.0756, 0.0081])  # of 0 .. 4 clicks
    moment = (binomial * (np.arange(5) - 1.2) ** 4).sum()
    assert abs(totals.var() - 0.84) < 4 * np.sqrt((moment - 0.84**2) / n)


def test_a_census_serves_whole_visits():
    world = _world(6, session_length=3)
    world.reset(seed=0)
    (visits,) = world.census(2)
    expected = np.zeros(N_USERS)
    for step in range(3):
        assert not visits.done
        expected += visits.respond(np.full(N_USERS, step)).expected
    assert visits.done
    assert expected == pytest.approx(TRUTH[:, :3].sum(axis=1))
    assert world.references([1]).oracle == pytest.approx(3 * TRUTH.max(axis=1).mean())
    assert world.references([1]).best_fixed == pytest.approx(3 * TRUTH.mean(axis=0).max())


def test_drift_waits_for_the_next_tick_not_for_the_next_step():
    crowd = Crowd(DriftingPopularity([0.9, 0.5, 0.1], start=1, end=4), N_USERS)
    settings = Settings(session_length=3, users_per_iteration=TICK, iterations=3)
    world = RecommendationVectorEnv(crowd, settings, TICK)
    world.reset(seed=0)
    expected = [world.step(np.zeros(TICK, int))[4]["expected_reward"][0] for _ in range(12)]
    by_tick = [crowd.model.popularity(clock)[0] for clock in (1, 2, 3, 4)]
    assert len(set(by_tick)) == 4
    assert expected == pytest.approx(np.repeat(by_tick, 3))


@pytest.mark.parametrize("session_length", SESSIONS)
@pytest.mark.parametrize("lanes", [5, 8, 24])
def test_lanes_must_divide_a_tick_only_where_users_remember(lanes, session_length):
    _world(lanes, session_length=session_length).reset(seed=0)
    message = rf"num_envs = {lanes} does not divide users_per_iteration = 12, .*: 1, 2, 3, 4, 6, 12$"
    with pytest.raises(InvalidConfig, match=message):
        _world(lanes, session_length=session_length, history=1)


def test_a_user_who_comes_again_remembers_the_steps_of_the_visit_before():
    world = _world(TICK, session_length=3, history=3)
    shown = {}
    observation, _ = world.reset(seed=4)
    again = 0
    for tick in range(8):
        users = observation["user"].tolist()
        for lane, user in enumerate(users):
            again += user in shown
            assert observation["history_items"][lane].tolist() == shown.get(user, [N_ITEMS] * 3)
        for step in range(3):
            items = (np.arange(TICK) + tick + step) % N_ITEMS
            for user, item in zip(users, items.tolist(), strict=True):
                shown[user] = [*shown.get(user, [N_ITEMS] * 3), item][-3:]
            observation, *_ = world.step(items)
    assert again > 40


@pytest.mark.parametrize("task", ["1", "3", "4"])
def test_tasks_with_sessions_are_the_same_by_make_and_make_vec(task):
    name, options = f"SmartRec/Task{task}-v0", {"n_users": 40, "n_items": 10, "slate_size": 1, "session_length": 3}
    env, envs = gym.make(name, **options), gym.make_vec(name, num_envs=1, **options)
    single, _ = env.reset(seed=6)
    batch, _ = envs.reset(seed=6)
    for visit in range(12):
        for step in range(3):
            assert {key: int(value) for key, value in single.items()} == {k: int(v[0]) for k, v in batch.items()}
            item = (visit + 2 * step) % 10
            single, reward, terminated, _, info = env.step(item)
            batch, rewards, *_, infos = envs.step(np.array([item]))
            assert (reward, info["visit"]) == (rewards[0], infos["visit"][0])
        assert terminated
        single, _ = env.reset()
