import multiprocessing
import pickle
import random
import warnings
from concurrent.futures import ProcessPoolExecutor

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

import smartrec
from smartrec.core.errors import CheckFailed, InvalidInput
from smartrec.envs import Crowd, RecommendationEnv, RecommendationVectorEnv, Settings, check_env
from smartrec.response_models import Popularity, ResponseModel, Table

OPTIONS = [{}, {"slate_size": 3}, {"history": 4}, {"session_length": 3}, {"observe_user": False}]
OPTIONS += [{"slate_size": 3, "choice": "logit"}, {"slate_size": 3, "choice": "cascade"}]
IDS = [name for name in smartrec.ENVIRONMENTS if "/Task" in name]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("env_id", IDS)
def test_check_env(env_id, options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env_id, **options)


@pytest.mark.parametrize("env_id", IDS)
def test_check_env_on_everything_at_once(env_id):
    check_env(env_id, slate_size=2, history=3, session_length=2, on_repeat="replace", iterations=1)


def _trace(envs, visits):
    """What happens in the first visits, by actions that are a function of the visit number; arrays [V, S, ...]."""
    observation, _ = envs.reset(seed=11)
    lanes, steps, k = envs.num_envs, envs.unwrapped.session_length, envs.unwrapped.problem.slate_size
    rows = []
    for first in range(0, visits, lanes):
        for step in range(steps):
            numbers = np.arange(first, first + lanes)
            items = (13 * numbers[:, None] + step + np.arange(k)) % envs.unwrapped.problem.items
            seen = observation
            observation, reward, _, _, info = envs.step(items[:, 0] if k == 1 else items)
            assert (info["visit"] == numbers).all()
            said = {key: info[key] for key in ("expected_reward", "responses", "observed") if key in info}
            rows.append({**seen, "reward": reward, **said})
    return {
        key: np.concatenate(
            [np.stack([row[key] for row in rows[at : at + steps]], axis=1) for at in range(0, len(rows), steps)]
        )[:visits]
        for key in rows[0]
    }


@pytest.mark.parametrize("options", [{}, {"session_length": 2}, {"slate_size": 3}, *OPTIONS[-2:]], ids=str)
@pytest.mark.parametrize("env_id", IDS)
def test_same_seed_same_trace_at_any_number_of_lanes(env_id, options):
    kwargs = {"n_users": 5000, "n_items": 10, **options}
    traces = [_trace(gym.make_vec(env_id, num_envs=lanes, **kwargs), 1300) for lanes in (1, 7, 100, 500, 1300)]
    assert traces[0]["clock"][499].max() == 1
    assert traces[0]["clock"][500].min() == 2
    assert traces[0]["clock"][1299].min() == 3
    for trace in traces[1:]:
        for key, value in traces[0].items():
            assert np.array_equal(trace[key], value), key


@pytest.mark.parametrize("env_id", IDS)
def test_another_seed_is_another_world(env_id):
    envs = gym.make_vec(env_id, num_envs=50)
    one, _ = envs.reset(seed=0)
    two, _ = envs.reset(seed=1)
    again, _ = envs.reset(seed=0)
    assert (one["user"] != two["user"]).any()
    assert (one["user"] == again["user"]).all()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("env_id", IDS)
def test_specs_make_the_same_environment_again(env_id, options):
    envs = gym.make_vec(env_id, num_envs=4, **options)
    twins = gym.make_vec(envs.spec)
    assert twins.num_envs == 4
    left, right = _trace(envs, 20), _trace(twins, 20)
    assert all(np.array_equal(left[key], right[key]) for key in left)
    env = gym.make(env_id, **options)
    twin = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert twin.observation_space == env.observation_space
    assert twin.unwrapped.batch.settings == env.unwrapped.batch.settings
    assert str(env.reset(seed=1)) == str(twin.reset(seed=1))


@pytest.mark.parametrize("options", [{}, {"slate_size": 2, "history": 3, "session_length": 2}], ids=str)
@pytest.mark.parametrize("env_id", IDS)
def test_pickled_in_the_middle_of_a_run_it_goes_on_alike(env_id, options):
    for world in (gym.make(env_id, **options), gym.make_vec(env_id, num_envs=4, **options)):
        world.reset(seed=3)
        world.action_space.seed(3)
        world.step(world.action_space.sample())
        world.reset()
        twin = pickle.loads(pickle.dumps(world))
        for _ in range(10):
            action = world.action_space.sample()
            assert str(twin.action_space.sample()) == str(action)
            left, right = world.step(action), twin.step(action)
            assert str(left) == str(right)
            if left[2] is True:
                assert str(world.reset()) == str(twin.reset())


def test_a_spawned_process_makes_it_by_module_and_id():
    # A fresh process has not imported smartrec; its environment comes back pickled.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        env = pool.submit(gym.make, "smartrec:SmartRec/Task1-v0", slate_size=2).result(timeout=60)
    env.reset(seed=0)
    assert env.step([2, 1])[4]["expected_reward"] == pytest.approx(0.85)


@pytest.mark.parametrize("env_id", IDS)
def test_global_generators_are_untouched(env_id):
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = random.Random(1).random(), np.random.RandomState(1).random()
    envs = gym.make_vec(env_id, num_envs=7, on_repeat="replace", slate_size=2)
    envs.reset(seed=0)
    envs.step(np.zeros((7, 2), int))
    next(iter(envs.unwrapped.census(1))).respond(np.zeros((2000, 2), int)[: envs.unwrapped.crowd.n_users])
    assert (random.random(), np.random.random()) == expected  # noqa: NPY002


@pytest.mark.parametrize("options", [{}, {"session_length": 3}], ids=str)
def test_episode_statistics(options):
    envs = RecordEpisodeStatistics(gym.make_vec("SmartRec/Task1-v0", num_envs=4, **options), buffer_length=1000)
    envs.reset(seed=0)
    steps = options.get("session_length", 1)
    returns = []
    for _ in range(30):
        total = np.zeros(4)
        for step in range(steps):
            _, reward, terminated, truncated, info = envs.step(np.full(4, 2))
            total += reward
            assert terminated.all() == (step + 1 == steps)
            assert not truncated.any()
            assert ("episode" in info) == (step + 1 == steps)
        assert (info["episode"]["l"] == steps).all()
        returns.extend(total)
    assert list(envs.return_queue) == returns


def test_dict_info_to_list():
    envs = DictInfoToList(gym.make_vec("SmartRec/Task1-v0", num_envs=3, slate_size=2, reference=True))
    envs.reset(seed=0)
    *_, infos = envs.step(np.array([[2, 6], [1, 4], [0, 3]]))
    assert [info["visit"] for info in infos] == [0, 1, 2]
    assert [info["expected_reward"] for info in infos] == pytest.approx([1.5, 0.2, 0.8])
    assert all(info["best_expected_reward"] == 1.5 for info in infos)
    assert [info["random_expected_reward"] for info in infos] == pytest.approx([0.83] * 3)
    assert all(info["responses"].shape == (2,) for info in infos)


def test_best_expected_reward_only_by_reference():
    envs = gym.make_vec("SmartRec/Task1-v0", num_envs=2)
    envs.reset(seed=0)
    *_, info = envs.step(np.array([0, 1]))
    assert set(info) == {"visit", "_visit", "expected_reward", "_expected_reward"}


def test_the_single_view_returns_plain_numbers():
    env = gym.make("SmartRec/Task2-v0", reference=True)
    observation, _ = env.reset(seed=0)
    assert [type(observation[key]) for key in ("user", "clock")] == [int, int]
    before = observation["user_features"].copy()
    following, reward, terminated, truncated, info = env.step(np.int64(3))
    assert [type(value) for value in (reward, terminated, truncated)] == [float, bool, bool]
    assert [type(info[key]) for key in ("visit", "expected_reward", "best_expected_reward")] == [int, float, float]
    following["user_features"][:] = 99
    assert (env.unwrapped.batch.crowd.user_features[observation["user"]] == before).all()


# What check_env must find: worlds with one thing wrong.


class _Sideways(ResponseModel):
    """Looks at how many lanes there are."""

    n_items = 5

    def probability(self, users, items, state):
        return np.full(items.shape, 0.5 if len(users) < 50 else 0.6)


class _OtherScores(ResponseModel):
    n_items = 5

    def probability(self, users, items, state):
        return np.full(items.shape, 0.5)

    def scores(self, users, state):
        return np.full((len(users), 5), 0.4)


class _TooSure(ResponseModel):
    n_items = 5

    def probability(self, users, items, state):
        return np.full(items.shape, 1.4)


class _Doubles:
    """A choice that counts a click twice."""

    skips = False
    additive = True

    def respond(self, probability, uniforms):
        return 2 * (uniforms < probability), np.ones(probability.shape, bool)

    def expected(self, probability):
        return probability.sum(axis=1)

    def best(self, scores, slate_size):
        return scores.max(axis=1)


class _Global(ResponseModel):
    n_items = 5

    def probability(self, users, items, state):
        np.random.random()  # noqa: NPY002
        return np.full(items.shape, 0.5)


@pytest.mark.parametrize(
    ("crowd", "message"),
    [
        (Crowd(_Sideways(), 600), r"same visits with \d+ lanes as with one"),
        (Crowd(_OtherScores(), 600), "single environment is the batch|best_expected_reward"),
        (Crowd(_TooSure(), 600), r"expected rewards lie in \[0, 1\]. Seen: 1.4"),
        (Crowd(Popularity([0.5] * 5), 600, choice=_Doubles()), "rewards are whole numbers 0 .. 1. Seen: 0 to 2"),
        (Crowd(_Global(), 600), "the global generators"),
    ],
)
def test_check_env_names_the_broken_rule(crowd, message):
    check_env(RecommendationVectorEnv(Crowd(Popularity([0.5] * 5), 600)))
    with pytest.raises(CheckFailed, match=message):
        check_env(RecommendationVectorEnv(crowd))


class _Leaky(RecommendationVectorEnv):
    """A world whose census goes on with the stream's dice."""

    def census(self, clock, lanes=2000):
        yield self._stream.take(self.crowd.n_users)


def test_check_env_finds_a_leaky_census():
    gym.register(
        "SmartRecTest/Leaky-v0",
        entry_point=lambda **_: RecommendationEnv(_Leaky(Crowd(Popularity([0.5] * 5), 60))),
        vector_entry_point=lambda num_envs: _Leaky(Crowd(Popularity([0.5] * 5), 60), None, num_envs),
    )
    try:
        with pytest.raises(CheckFailed, match="a census is the same twice"):
            check_env("SmartRecTest/Leaky-v0")
    finally:
        del gym.registry["SmartRecTest/Leaky-v0"]


def test_check_env_takes_any_smartrec_world_and_nothing_else():
    batch = RecommendationVectorEnv(Crowd(Table(np.full((30, 4), 0.3)), 30), Settings(slate_size=2))
    check_env(batch)
    check_env(RecommendationEnv(batch))
    check_env(gym.make("SmartRec/Task1-v0"))
    with pytest.raises(InvalidInput, match="is no SmartRec world"):
        check_env("CartPole-v1")
    with pytest.raises(InvalidInput, match="is no SmartRec world"):
        check_env(3)
    with pytest.raises(InvalidInput, match="allowed with an id only"):
        check_env(batch, slate_size=3)
