import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from smartrec.core.errors import InvalidAction, InvalidConfig, InvalidInput, SmartRecError
from smartrec.envs import Crowd, RecommendationEnv, RecommendationVectorEnv, Settings
from smartrec.response_models import Popularity, Table

TASK = "SmartRec/Task1-v0"


def _plain(env_id=TASK, **options):
    """A single environment without Gymnasium's own checks of actions, so that ours are seen."""
    return gym.make(env_id, disable_env_checker=True, **options)


BATCH_ACTIONS = [
    (1, [0, 1, 10], "item 10 in lane 2; allowed: item numbers 0 to 9"),
    (1, [0, -1, 1], "item -1 in lane 1; allowed: item numbers 0 to 9"),
    (1, [0, 1], r"actions have shape \(2,\); allowed: \(3,\), one item for each of 3 lanes"),
    (1, 0, r"actions have shape \(\)"),
    (1, [[0], [1], [2]], r"actions have shape \(3, 1\)"),
    (1, [0.0, 1.0, 2.0], "actions have type float64; allowed: whole numbers"),
    (1, [True, False, True], "actions have type bool"),
    (1, ["a", "b", "c"], "actions have type <U1"),
    (1, [None, 1, 2], "actions have type object"),
    (2, [[0, 1], [2], [3, 4]], "allowed: an array of item numbers"),
    (2, [[0, 1], [2, 3], [4, 4]], r"slate \[4, 4\] in lane 2 repeats an item \(1 such lanes\).*on_repeat=\"replace\""),
    (2, [[0, 1], [2, 13], [4, 5]], "item 13 in lane 1"),
    (2, [0, 1, 2], r"actions have shape \(3,\); allowed: \(3, 2\), a slate of 2 items"),
    (2, [[0, 1, 2]] * 3, r"actions have shape \(3, 3\)"),
]


@pytest.mark.parametrize(("slate_size", "actions", "message"), BATCH_ACTIONS)
def test_batch_actions(slate_size, actions, message):
    envs = gym.make_vec(TASK, num_envs=3, slate_size=slate_size)
    envs.reset(seed=0)
    with pytest.raises(InvalidAction, match=message) as caught:
        envs.step(actions)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, SmartRecError)


SINGLE_ACTIONS = [
    ({}, 10, "item 10; allowed: item numbers 0 to 9"),
    ({}, -1, "item -1; allowed: item numbers 0 to 9"),
    ({}, 1.0, "action 1.0; allowed: one item, a whole number"),
    ({}, [1], r"action \[1\]; allowed: one item"),
    ({}, np.array([1]), "allowed: one item, a whole number"),
    ({}, None, "action None; allowed: one item"),
    ({"history": 2}, 10, "item 10 in lane 0; allowed: item numbers 0 to 9"),
    ({"history": 2}, 1.0, "actions have type float64"),
    ({"history": 2}, [1], r"actions have shape \(1, 1\)"),
    ({"slate_size": 3}, [0, 1, 10], "item 10 in lane 0"),
    ({"slate_size": 3}, [0, 1], r"actions have shape \(1, 2\); allowed: \(1, 3\)"),
    ({"slate_size": 3}, [0, 1, [2]], "allowed: an array of item numbers"),
    ({"slate_size": 3, "on_repeat": "error"}, [0, 1, 0], r"slate \[0, 1, 0\] in lane 0 repeats an item"),
]


@pytest.mark.parametrize(("options", "action", "message"), SINGLE_ACTIONS)
def test_single_actions(options, action, message):
    env = _plain(**options)
    env.reset(seed=0)
    with pytest.raises(InvalidAction, match=message):
        env.step(action)


@pytest.mark.parametrize("action", [3, np.int64(3), np.int8(3), np.array(3)])
@pytest.mark.parametrize("options", [{}, {"history": 1}])
def test_whole_numbers_of_any_kind_do(options, action):
    env = _plain(**options)
    env.reset(seed=0)
    assert env.step(action)[4]["expected_reward"] == 0.4


OPTIONS = [
    ({"slate_sise": 3}, "SmartRec/Task1-v0 has no option 'slate_sise'. Did you mean 'slate_size'"),
    ({"datset": "ml-100k"}, "Did you mean 'dataset'"),
    ({"slate_size": 11}, "slate_size = 11; allowed: 1 to the number of items, 10"),
    ({"slate_size": 0}, "slate_size = 0; allowed: a whole number >= 1"),
    ({"slate_size": 2.0}, "slate_size = 2.0; allowed: a value of type int"),
    ({"iterations": 0}, "iterations = 0; allowed: a whole number >= 1"),
    ({"iterations": "20"}, "iterations = '20'; allowed: a value of type int"),
    ({"session_length": 0}, "session_length = 0"),
    ({"history": -1}, "history = -1; allowed: a whole number >= 0"),
    ({"n_users": 0}, "n_users = 0; allowed: None or a whole number >= 1"),
    ({"users_per_iteration": 5001}, "users_per_iteration = 5001; allowed: 1 to the number of users, 5000"),
    ({"on_repeat": "ignore"}, "on_repeat = 'ignore'; allowed: 'error', 'replace'"),
    ({"population_seed": -1}, "population_seed = -1"),
    ({"observe_user": 1}, "observe_user = 1; allowed: a value of type bool"),
]


@pytest.mark.parametrize(("options", "message"), OPTIONS)
@pytest.mark.parametrize("make", [gym.make, gym.make_vec])
def test_options(make, options, message):
    with pytest.raises(InvalidConfig, match=message):
        make(TASK, **options)


@pytest.mark.parametrize("num_envs", [0, -3, 2.0, True, "4"])
def test_number_of_lanes(num_envs):
    with pytest.raises(InvalidConfig, match=rf"num_envs = {num_envs!r}; allowed: a whole number >= 1"):
        RecommendationVectorEnv(Crowd(Popularity([0.5]), 10), num_envs=num_envs)
    with pytest.raises(InvalidConfig, match="num_envs"):
        gym.make_vec(TASK, num_envs=num_envs)


def test_a_single_environment_has_no_lanes():
    with pytest.raises(InvalidConfig, match=r"num_envs = 5 for a single environment; .*make_vec"):
        gym.make(TASK, num_envs=5)


@pytest.mark.parametrize("make", [gym.make_vec, _plain])
@pytest.mark.parametrize("options", [{}, {"history": 1}, {"slate_size": 2}], ids=str)
def test_step_before_reset(make, options):
    env = make(TASK, **options).unwrapped
    with pytest.raises(ResetNeeded, match=r"call reset\(\)"):
        env.step(0)


@pytest.mark.parametrize("options", [{}, {"history": 1}], ids=str)
def test_step_after_the_end_of_a_visit(options):
    env = _plain(**options)
    env.reset(seed=0)
    env.step(0)
    with pytest.raises(ResetNeeded, match="the visit has ended; call reset"):
        env.step(0)


def test_census_before_reset():
    with pytest.raises(ResetNeeded, match=r"call reset\(\) before census\(\)"):
        gym.make_vec(TASK).unwrapped.census(1)


@pytest.mark.parametrize("make", [gym.make_vec, _plain])
def test_reset_takes_no_options(make):
    env = make(TASK)
    with pytest.raises(InvalidConfig, match=r"reset takes no options; it was given \['users'\]"):
        env.reset(seed=0, options={"users": [1]})
    env.reset(seed=0, options={})


def test_all_lanes_are_of_one_world():
    with pytest.raises(InvalidConfig, match=r"seed = \[1, 2\]; allowed: one whole number"):
        gym.make_vec(TASK, num_envs=2).reset(seed=[1, 2])


@pytest.mark.parametrize("make", [gym.make_vec, _plain])
@pytest.mark.parametrize("seed", [-1, 1.5])
def test_seeds(make, seed):
    with pytest.raises(gym.error.Error, match="Seed must be"):
        make(TASK).reset(seed=seed)


def test_render_mode():
    with warnings.catch_warnings():
        # Gymnasium itself says first that it does not know the mode.
        warnings.simplefilter("ignore")
        with pytest.raises(TypeError, match="render_mode"):
            gym.make(TASK, render_mode="human")
    assert gym.make(TASK, render_mode=None).render_mode is None
    with pytest.raises(InvalidConfig, match="has no option 'render_mode'"):
        gym.make_vec(TASK, render_mode="human")


def _features(place, value):
    features = np.zeros((20, 2))
    features[place] = value
    return features


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"user_features": _features((3, 1), np.nan)}, r"user_features\[3, 1\] = nan; allowed: finite .*1 are not"),
        ({"user_features": _features((0, 0), np.inf)}, r"user_features\[0, 0\] = inf"),
        ({"user_features": np.zeros((19, 2))}, r"user_features has shape \(19, 2\); allowed: \[20, D\]"),
        ({"user_features": np.zeros(20)}, r"user_features has shape \(20,\)"),
        ({"item_features": np.zeros((5, 2))}, r"item_features has shape \(5, 2\); allowed: \[4, D\]"),
        ({"item_labels": ("a", "b")}, "2 item_labels; allowed: 4, or none"),
        ({"n_users": 21}, "the response model knows 20 users, 21 were asked for; lower n_users"),
        ({"n_users": 0}, "n_users = 0; allowed: 1 or more"),
    ],
)
def test_crowds(options, message):
    with pytest.raises(InvalidInput, match=message):
        Crowd(Table(np.full((20, 4), 0.5)), **{"n_users": 20, **options})


def test_features_of_any_type_are_seen_as_the_space_says():
    crowd = Crowd(Table(np.full((20, 4), 0.5)), 20, [[0, 1]] * 10 + [[2, 1]] * 10)
    env = RecommendationEnv(RecommendationVectorEnv(crowd, Settings()))
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    # A column that does not vary still has room: a Box must not be empty inside.
    assert (env.observation_space["user_features"].high == [2, 2]).all()


def test_a_path_may_be_a_path(tmp_path):
    (tmp_path / "log.csv").write_text(
        "user,item,rating\n" + "".join(f"{u},{i},{(u + i) % 2}\n" for u in range(4) for i in range(3))
    )
    env = gym.make(TASK, dataset=tmp_path / "log.csv", positive=1, users_per_iteration=2)
    assert env.action_space.n == 3
    assert env.unwrapped.batch.crowd.n_users == 4
