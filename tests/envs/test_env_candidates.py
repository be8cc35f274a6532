"""Items that come and go, and candidates of each user, against their definitions and naive counts."""

import gymnasium as gym
import numpy as np
import pytest

from smartrec import agents
from smartrec.core.decision import Mask
from smartrec.core.errors import InvalidAction, InvalidConfig
from smartrec.envs import Crowd, RecommendationEnv, RecommendationVectorEnv, Settings, check_env
from smartrec.envs.candidates import Available, Retrieved
from smartrec.evaluation import run
from smartrec.response_models import Popularity, Table

N_USERS, N_ITEMS = 40, 12
TRUTH = np.random.default_rng(3).uniform(0.05, 0.9, (N_USERS, N_ITEMS))

ROLLING, RETRIEVED = {"availability": "rolling"}, {"candidates": 4}
BOTH = {**ROLLING, **RETRIEVED}


def _world(lanes=1, model=None, **options):
    crowd = Crowd(model or Table(TRUTH), N_USERS)
    return RecommendationVectorEnv(crowd, Settings(**{"iterations": 6, **options}), lanes)


def _masks(world, clock):
    return world.crowd.allowed(np.arange(world.crowd.n_users), clock)


# Availability.


def test_items_are_there_from_their_first_clock_until_before_their_last():
    schedule = Available(since=np.array([1, 2, 3]), until=np.array([3, 4, 3]))
    there = [schedule(np.arange(5), clock).allowed[0].tolist() for clock in (1, 2, 3, 4)]
    assert there == [[True, False, False], [True, True, False], [False, True, False], [False, False, False]]
    assert schedule(np.arange(5), 1).allowed.shape == (1, 3)


@pytest.mark.parametrize(
    ("n_items", "there", "iterations"),
    [(12, 6, 6), (10, 5, 20), (1000, 500, 50), (7, 7, 3), (5, 3, 1), (5, 1, 4), (9, 2, 30)],
)
def test_the_window_by_a_naive_walk(n_items, there, iterations):
    schedule = Available.rolling(n_items, there, iterations, seed=4)
    table = np.array([schedule.at(clock) for clock in range(1, iterations + 2)])
    # Walk the window by hand along the row of items that the first and last clocks spell out.
    row = np.lexsort([schedule.until, schedule.since])
    for clock in range(1, iterations + 2):
        offset = (n_items - there) * (clock - 1) // iterations
        window = set(row[offset : offset + there].tolist())
        assert set(np.flatnonzero(table[clock - 1]).tolist()) == window
    assert (table.sum(axis=1) == there).all()
    assert table.any(axis=0).all()
    # Once there, once gone: no item comes back.
    changes = np.diff(np.pad(table, ((1, 1), (0, 0))).astype(int), axis=0)
    assert ((changes == 1).sum(axis=0) == 1).all()
    assert ((changes == -1).sum(axis=0) == 1).all()
    # As many come as leave, and about the same number every tick.
    moved = (table[1:] & ~table[:-1]).sum(axis=1)
    assert (moved == (table[:-1] & ~table[1:]).sum(axis=1)).all()
    assert moved.sum() == n_items - there
    assert moved.max() - moved.min() <= 1


def test_the_row_is_shuffled_by_the_seed():
    first = [tuple(np.flatnonzero(Available.rolling(12, 6, 6, seed).at(1)).tolist()) for seed in (0, 0, 1, 2)]
    assert first[0] == first[1]
    assert len(set(first)) == 3
    often = np.mean([Available.rolling(12, 6, 6, seed).at(1) for seed in range(600)], axis=0)
    assert np.abs(often - 0.5).max() < 4 * 0.5 / np.sqrt(600)


def test_half_of_the_items_are_there_but_never_less_than_a_slate():
    assert _masks(_world(**ROLLING), 3).sum(axis=1).tolist() == [6] * N_USERS
    assert _masks(_world(**ROLLING, slate_size=9), 3).sum(axis=1).tolist() == [9] * N_USERS
    assert _masks(_world(**ROLLING, slate_size=12), 3).all()
    odd = RecommendationVectorEnv(Crowd(Popularity(np.full(5, 0.5)), 10), Settings(**ROLLING, iterations=1))
    assert (_masks(odd, 1) | _masks(odd, 2)).all()


def test_the_oracle_and_the_random_policy_choose_among_what_is_there():
    world = _world(3, **ROLLING, slate_size=2, reference=True)
    there = [np.flatnonzero(_masks(world, clock)[0]) for clock in range(1, 8)]
    best = [np.sort(TRUTH[:, items], axis=1)[:, -2:].sum(axis=1) for items in there]
    random = [2 * TRUTH[:, items].mean(axis=1) for items in there]
    for clock in range(1, 8):
        found = world.references([clock])
        assert found.oracle == pytest.approx(best[clock - 1].mean())
        assert found.random == pytest.approx(random[clock - 1].mean())
        assert np.isnan(found.best_fixed)
    assert world.references([1]).oracle != pytest.approx(world.references([7]).oracle)
    observation, _ = world.reset(seed=0)
    for _ in range(8):
        users, clocks = observation["user"], observation["clock"]
        slates = observation["allowed"].argsort(axis=1)[:, -2:]
        observation, *_, info = world.step(slates)
        expected = [best[clock - 1][user] for user, clock in zip(users, clocks, strict=True)]
        assert info["best_expected_reward"] == pytest.approx(expected)


# Retrieval.


def test_each_user_has_as_many_candidates_as_asked_and_the_same_at_any_clock():
    world = _world(**RETRIEVED)
    masks = _masks(world, 1)
    assert masks.sum(axis=1).tolist() == [4] * N_USERS
    assert (masks == _masks(world, 7)).all()
    assert len({tuple(row) for row in masks.tolist()}) > N_USERS / 2
    assert _masks(_world(candidates=N_ITEMS), 1).all()


def test_a_mask_depends_on_the_user_alone_not_on_whom_it_is_asked_with():
    world = _world(**BOTH)
    for clock in (1, 4, 7):
        everyone = _masks(world, clock)
        order = np.random.default_rng(0).permutation(N_USERS)
        assert (world.crowd.allowed(order, clock) == everyone[order]).all()
        assert (world.crowd.allowed(np.array([7]), clock) == everyone[7]).all()


def test_candidates_are_the_best_by_signal_and_noise_alike():
    """With z and e standard normal, the correlation of z with z + e is 1/sqrt(2): so much of z do candidates have."""
    n_users, n_items, count = 500, 200, 20
    truth = np.random.default_rng(0).uniform(0, 1, (n_users, n_items))
    signal = (truth - truth.mean(axis=1, keepdims=True)) / truth.std(axis=1, keepdims=True)
    allowed = Retrieved.of(Table(truth), n_users, count, seed=1)(np.arange(n_users), 1).allowed
    rng = np.random.default_rng(5)
    naive = []
    for row in signal:
        noisy = row + rng.normal(size=n_items)
        ranking = sorted(range(n_items), key=noisy.tolist().__getitem__, reverse=True)
        naive.append(row[ranking[:count]].mean())
    retrieved = signal[allowed].reshape(n_users, count).mean(axis=1)
    error = np.hypot(np.std(naive), np.std(retrieved)) / np.sqrt(n_users)
    assert abs(retrieved.mean() - np.mean(naive)) < 4 * error
    assert retrieved.mean() > 0.8  # random candidates have 0, the truly best ones 1.56
    assert retrieved.mean() < 1.3


def test_users_who_like_all_alike_get_random_candidates():
    allowed = Retrieved.of(Popularity(np.full(10, 0.3)), 3000, 5, seed=0)(np.arange(3000), 1).allowed
    assert np.abs(allowed.mean(axis=0) - 0.5).max() < 4.5 * 0.5 / np.sqrt(3000)


def test_candidates_follow_the_population_seed_and_not_the_seed_of_the_visits():
    world, twin, other = _world(**RETRIEVED), _world(**RETRIEVED), _world(**RETRIEVED, population_seed=1)
    world.reset(seed=0)
    twin.reset(seed=99)
    assert (_masks(world, 1) == _masks(twin, 1)).all()
    assert (_masks(world, 1) != _masks(other, 1)).any()


def test_of_items_that_come_and_go_the_first_that_are_there_are_retrieved():
    ranking = np.array([[3, 0, 2, 1], [1, 2, 3, 0]])
    schedule = Available(since=np.array([1, 1, 1, 2]), until=np.array([3, 3, 2, 3]))
    retrieved = Retrieved(ranking, 2, 4, schedule)
    assert np.argwhere(retrieved(np.array([0, 1]), 1).allowed).tolist() == [[0, 0], [0, 2], [1, 1], [1, 2]]
    assert np.argwhere(retrieved(np.array([0, 1]), 2).allowed).tolist() == [[0, 0], [0, 3], [1, 1], [1, 3]]


def test_both_by_a_naive_walk_down_each_ranking():
    world = _world(**BOTH)
    retrieved = world.crowd.mask
    for clock in range(1, 8):
        there = _masks(_world(**ROLLING), clock)[0]
        masks = _masks(world, clock)
        for user in range(N_USERS):
            best = [item for item in retrieved.ranking[user].tolist() if there[item]][:4]
            assert np.flatnonzero(masks[user]).tolist() == sorted(best)


def test_more_candidates_than_are_there_are_all_that_are_there():
    rolling = _masks(_world(**ROLLING), 2)
    assert (_masks(_world(**ROLLING, candidates=9), 2) == rolling).all()


# As parts of a world.


@pytest.mark.parametrize("options", [ROLLING, RETRIEVED, BOTH], ids=str)
@pytest.mark.parametrize("more", [{}, {"slate_size": 3, "on_repeat": "replace"}, {"session_length": 2, "history": 2}])
def test_a_world_with_candidates_keeps_the_contract(options, more):
    check_env(_world(**options, **more))


def _trace(lanes, visits, **options):
    """Serve the first allowed item and return user, clock, mask and reward of each visit."""
    world = _world(lanes, **options)
    observation, _ = world.reset(seed=11)
    rows = {"user": [], "clock": [], "allowed": [], "reward": []}
    for _ in range(-(-visits // lanes)):
        for key in ("user", "clock", "allowed"):
            rows[key].extend(observation[key].tolist())
        assert (world.action_masks() == observation["allowed"]).all()
        observation, reward, *_ = world.step(observation["allowed"].argmax(axis=1))
        rows["reward"].extend(reward.tolist())
    return {key: value[:visits] for key, value in rows.items()}


@pytest.mark.parametrize("options", [ROLLING, RETRIEVED, BOTH], ids=str)
def test_the_same_seed_gives_the_same_visits_and_masks_at_any_number_of_lanes(options):
    whole = _trace(1, 28, **options)
    assert max(whole["clock"]) == 7
    for lanes in (2, 3, 4, 9, 28):
        assert _trace(lanes, 28, **options) == whole


@pytest.mark.parametrize("options", [ROLLING, RETRIEVED, BOTH], ids=str)
def test_agents_keep_to_the_masks_through_the_loop(options):
    world = _world(4, **options, slate_size=2)
    record = run(agents.make("thompson", world, seed=0), world, seed=0)
    assert record.metrics["regret"] > 0
    assert not {"loop_best_fixed", "static_regret", "recovery"} & set(record.metrics)


@pytest.mark.parametrize("task", ["1", "2", "3", "4"])
def test_every_task_passes_the_options_on(task):
    name, options = f"SmartRec/Task{task}-v0", {"n_users": 60, "n_items": 20, "slate_size": 2, **BOTH}
    envs = gym.make_vec(name, num_envs=3, **options)
    again = gym.make_vec(envs.spec)
    for made in (envs, again):
        observation, _ = made.reset(seed=0)
        assert observation["allowed"].sum(axis=1).tolist() == [4, 4, 4]
        assert made.single_observation_space["allowed"] == gym.spaces.MultiBinary(20)
        assert made.observation_space.contains(observation)
    plain, _ = gym.make_vec(name, num_envs=3, n_users=60).reset(seed=0)
    assert "allowed" not in plain
    single = gym.make(name, **options)
    seen, _ = single.reset(seed=0)
    assert seen["allowed"].tolist() == observation["allowed"][0].tolist()


def test_what_is_gone_is_refused_or_replaced():
    world = _world(2, **ROLLING)
    observation, _ = world.reset(seed=0)
    gone = observation["allowed"].argmin(axis=1)
    with pytest.raises(InvalidAction, match=rf"item {gone[0]} is not allowed in lane 0"):
        world.step(gone)
    world = _world(2, **ROLLING, on_repeat="replace")
    world.reset(seed=0)
    *_, info = world.step(gone)
    assert info["replaced"].tolist() == [1, 1]
    assert np.take_along_axis(observation["allowed"], info["shown"], axis=1).all()


def test_a_world_made_of_another_worlds_crowd_is_the_same_world():
    world = _world(4, **BOTH)
    twin = RecommendationVectorEnv(world.crowd, world.settings, 4)
    assert (_masks(world, 3) == _masks(twin, 3)).all()
    env = RecommendationEnv(RecommendationVectorEnv(world.crowd, world.settings))
    seen, _ = env.reset(seed=0)
    observation, _ = world.reset(seed=0)
    assert seen["allowed"].tolist() == observation["allowed"][0].tolist()


def test_a_crowd_with_a_mask_of_its_own_keeps_it_or_says_so():
    crowd = Crowd(Table(TRUTH), N_USERS, mask=lambda users, clock: Mask(np.arange(N_ITEMS)[None] < 5))
    assert RecommendationVectorEnv(crowd).crowd.allowed(np.arange(3), 1).sum() == 15
    for options in (ROLLING, RETRIEVED):
        with pytest.raises(InvalidConfig, match="the crowd has a mask of its own"):
            RecommendationVectorEnv(crowd, Settings(**options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"availability": "sometimes"}, r"availability = 'sometimes'; allowed: \"all\" or \"rolling\""),
        ({"candidates": 0}, "candidates = 0; allowed: None or a whole number >= 1"),
        ({"candidates": 13}, "candidates = 13; allowed: None, or slate_size = 1 to 12 items"),
        ({"candidates": 2, "slate_size": 3}, "candidates = 2; allowed: None, or slate_size = 3 to 12 items"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(InvalidConfig, match=message):
        _world(**options)


def test_misspelt_availability_is_named_when_a_world_is_made_by_id():
    with pytest.raises(InvalidConfig, match=r"availability = 'rollin'; allowed: 'all', 'rolling'"):
        gym.make_vec("SmartRec/Task1-v0", availability="rollin")
