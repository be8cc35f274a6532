import gymnasium as gym
import numpy as np
import pytest

from smartrec.core.errors import InvalidConfig
from smartrec.envs import Crowd, RecommendationEnv, RecommendationVectorEnv, Settings
from smartrec.envs.history import History
from smartrec.response_models import Popularity


def _world(lanes=1, n_users=60, **options):
    return RecommendationVectorEnv(Crowd(Popularity.breads(), n_users), Settings(**options), lanes)


def _served(world, steps):
    """Users and clocks [steps, N] of a new world, and when visits ended."""
    observation, _ = world.reset(seed=5)
    users, clocks, ends = [], [], []
    for _ in range(steps):
        users.append(observation["user"])
        clocks.append(observation["clock"])
        observation, _, terminated, truncated, _ = world.step(np.zeros(world.num_envs, int))
        assert not truncated.any()
        ends.append(terminated)
    return np.array(users), np.array(clocks), np.array(ends)


def test_the_users_of_a_tick_are_different_and_as_many_as_asked():
    users, clocks, _ = _served(_world(n_users=60, users_per_iteration=13, iterations=8), 8 * 13)
    for clock in range(1, 9):
        tick = users[clocks == clock]
        assert len(tick) == 13
        assert len(set(tick.tolist())) == 13
    assert not (users[:13] == users[13:26]).all()


def test_a_tick_may_be_everybody():
    users, _, _ = _served(_world(60, users_per_iteration=60), 3)
    assert (np.sort(users, axis=1) == np.arange(60)).all()


def test_a_tenth_of_the_users_is_the_default():
    assert _world(n_users=87).users_per_iteration == 8
    assert _world(n_users=5).users_per_iteration == 1


def test_the_clock_stops_after_the_last_tick():
    users, clocks, _ = _served(_world(n_users=40, iterations=3, users_per_iteration=4), 40)
    assert clocks[:, 0].tolist() == [1] * 4 + [2] * 4 + [3] * 4 + [4] * 28
    # Beyond it users are still drawn afresh, tick by tick.
    assert all(len(set(users[at : at + 4, 0].tolist())) == 4 for at in range(0, 40, 4))
    assert len(set(users[12:, 0].tolist())) > 10


def test_lanes_may_straddle_ticks():
    _, clocks, _ = _served(_world(7, n_users=40, users_per_iteration=5, iterations=9), 3)
    assert clocks.ravel().tolist() == [1] * 5 + [2] * 5 + [3] * 5 + [4] * 5 + [5]


def test_everybody_comes_about_equally_often():
    ticks, n_users = 400, 50
    users, _, _ = _served(_world(10, n_users=n_users, users_per_iteration=10, iterations=ticks), ticks)
    counts = np.bincount(users.ravel(), minlength=n_users)
    # Each tick has each user with probability 1/5: mean 80, standard deviation 8.
    assert counts.mean() == 80
    assert np.abs(counts - 80).max() < 4 * 8
    assert counts.std() == pytest.approx(8, rel=0.35)
    # No seat of a tick prefers anybody.
    assert np.bincount(users[:, 0], minlength=n_users).max() < 8 + 5 * 2.9


@pytest.mark.parametrize("lanes", [1, 4])
def test_sessions_end_together_and_keep_their_user(lanes):
    users, clocks, ends = _served(_world(lanes, session_length=3), 30)
    assert ends.all(axis=1).tolist() == [False, False, True] * 10
    assert ends.any(axis=1).tolist() == ends.all(axis=1).tolist()
    visits = users.reshape(10, 3, lanes)
    assert (visits == visits[:, :1]).all()
    assert not (visits[0] == visits[1]).all()
    assert clocks.max() == 1 + (10 * lanes - 1) // 6


def test_reset_without_a_seed_serves_the_next_visits():
    one, two = _world(3), _world(3)
    observation, _ = one.reset(seed=5)
    other, _ = two.reset(seed=5)
    for _ in range(4):
        assert (observation["user"] == other["user"]).all()
        observation, *_ = one.step(np.zeros(3, int))
        other, _ = two.reset()
    assert (observation["user"] == other["user"]).all()


@pytest.mark.parametrize("options", [{}, {"history": 2}, {"session_length": 2}], ids=str)
def test_the_single_view_too(options):
    env = RecommendationEnv(_world(1, **options))
    users = [env.reset(seed=5)[0]["user"]] + [env.reset()[0]["user"] for _ in range(9)]
    expected, _, _ = _served(_world(1, **options), 10 * options.get("session_length", 1))
    assert users == expected[:: options.get("session_length", 1), 0].tolist()


def test_a_world_that_was_never_seeded_is_served_all_the_same():
    envs = gym.make_vec("SmartRec/Task1-v0", num_envs=3)
    observation, _ = envs.reset()
    assert observation["clock"].tolist() == [1, 1, 1]


def test_rewards_have_the_expected_mean():
    world = _world(6, n_users=6000, users_per_iteration=600, iterations=50, slate_size=2)
    world.reset(seed=0)
    total = expected = 0.0
    for _ in range(3000):
        _, reward, _, _, info = world.step(np.tile([2, 1], (6, 1)))
        total, expected = total + reward.sum(), expected + info["expected_reward"].sum()
    assert expected == pytest.approx(18_000 * 0.85)
    assert abs(total - expected) / 18_000 < 4 * np.sqrt(0.2775 / 18_000)


def test_dice_of_positions_and_steps_are_independent():
    world = _world(500, n_users=5000, users_per_iteration=500, slate_size=2, session_length=2)
    world.reset(seed=0)
    columns = []
    for _ in range(40):
        columns.append([world.step(np.tile([2, 6], (500, 1)))[4]["responses"] for _ in range(2)])
    answers = np.concatenate([np.hstack(pair) for pair in columns])
    assert answers.shape == (20_000, 4)
    off_diagonal = np.corrcoef(answers.T)[~np.eye(4, dtype=bool)]
    assert np.abs(off_diagonal).max() < 0.03


# History.


@pytest.mark.parametrize("options", [{}, {"slate_size": 3}, {"session_length": 3}, {"slate_size": 3, "history": 2}])
@pytest.mark.parametrize("lanes", [1, 3, 6])
def test_history_by_a_naive_count(options, lanes):
    world = _world(lanes, n_users=12, users_per_iteration=6, **{"history": 5, **options})
    length, k = world.settings.history, world.settings.slate_size
    rng = np.random.default_rng(0)
    shown = {user: [] for user in range(12)}
    observation, _ = world.reset(seed=1)
    seen_full = 0
    for _ in range(120):
        users = observation["user"].tolist()
        for lane, user in enumerate(users):
            past = shown[user][-length:]
            padding = length - len(past)
            seen_full += padding == 0
            assert observation["history_items"][lane].tolist() == [10] * padding + [item for item, _ in past]
            assert observation["history_responses"][lane].tolist() == [0] * padding + [click for _, click in past]
        items = rng.random((lanes, 10)).argsort(axis=1)[:, :k]
        observation, reward, _, _, info = world.step(items[:, 0] if k == 1 else items)
        clicks = info["responses"] if k > 1 else reward[:, None]
        for lane, user in enumerate(users):
            shown[user] += zip(items[lane].tolist(), clicks[lane].astype(int).tolist(), strict=True)
    assert seen_full > 20


def test_history_is_forgotten_with_a_new_seed():
    world = _world(6, n_users=6, users_per_iteration=6, history=2)
    world.reset(seed=0)
    observation, *_ = world.step(np.zeros(6, int))
    assert (observation["history_items"][:, 1] == 0).all()
    observation, _ = world.reset(seed=0)
    assert (observation["history_items"] == 10).all()


@pytest.mark.parametrize("lanes", [4, 12, 5])
def test_lanes_with_a_history_must_divide_a_tick(lanes):
    with pytest.raises(
        InvalidConfig, match=rf"num_envs = {lanes} does not divide users_per_iteration = 6, .*: 1, 2, 3, 6$"
    ):
        _world(lanes, history=1)


def test_a_slate_longer_than_the_history():
    history = History(2, 9, 2)
    history.record(np.array([1]), np.array([[3, 4, 5]]), np.array([[True, False, True]]))
    assert history.observation(np.array([0, 1]))["history_items"].tolist() == [[9, 9], [4, 5]]
    assert history.observation(np.array([1]))["history_responses"].tolist() == [[0, 1]]


# Census and references.


def _clicks(world, clock, lanes=2000):
    return np.concatenate([part.respond(np.full(len(part.visit), 2)).reward for part in world.census(clock, lanes)])


def test_a_census_is_the_same_at_any_number_of_lanes_and_other_at_another_clock():
    world = _world(5, n_users=600)
    world.reset(seed=0)
    assert (_clicks(world, 3) == _clicks(world, 3, lanes=7)).all()
    assert (_clicks(world, 3) != _clicks(world, 4)).any()
    assert _clicks(world, 3).mean() == pytest.approx(0.75, abs=0.08)


def test_a_census_fills_slates_up_by_draws_of_its_own():
    world = _world(60, n_users=60, users_per_iteration=60, slate_size=3, on_repeat="replace", history=3)
    observation, _ = world.reset(seed=0)
    (visits,) = world.census(1)
    visits.respond(np.zeros((60, 3), int))
    in_census = visits.observation["history_items"]
    users = observation["user"]
    observation, *_ = world.step(np.zeros((60, 3), int))
    in_loop = np.empty_like(in_census)
    in_loop[observation["user"]] = observation["history_items"]
    by_visit = in_loop[users]
    # With one key for both, visit v of the loop and of the census would be filled up alike.
    assert (by_visit != in_census).any(axis=1).mean() > 0.8


@pytest.mark.parametrize("clock", [0, -1, 22])
def test_clocks_that_do_not_come(clock):
    world = _world()
    world.reset(seed=0)
    with pytest.raises(InvalidConfig, match=rf"clock = {clock}; allowed: 1 to 21"):
        world.census(clock)
    with pytest.raises(InvalidConfig, match=rf"clock = {clock}; allowed: 1 to 21"):
        world.references([clock])


def test_references_of_task_3_follow_the_clock():
    envs = gym.make_vec("SmartRec/Task3-v0").unwrapped
    found = [envs.references([clock]) for clock in (1, 10, 12, 31)]
    assert [one.oracle for one in found] == pytest.approx([0.75, 0.45, 0.52, 0.70])
    assert [one.random for one in found] == pytest.approx([0.415] * 4)
    # Over the run: the best that may change with the clock, and the best that may not.
    whole = envs.references(range(1, 31))
    assert whole.oracle == pytest.approx(0.667, abs=0.001)
    assert whole.best_fixed == pytest.approx(0.510, abs=0.001)
