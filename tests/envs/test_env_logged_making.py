"""Making environments that walk a log: what they are made of, and what cannot be."""

import pickle
import re

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from smartrec.core.errors import (
    DataError,
    DataNotFound,
    InvalidAction,
    InvalidConfig,
    InvalidInput,
    SmartRecError,
)
from smartrec.data import load
from smartrec.envs import LoggedEnv, LoggedVectorEnv

LOGGED = "SmartRec/Logged-v0"


@pytest.mark.parametrize("mismatch", ["rejection", "logged", "simulated"])
def test_pickled_in_the_middle_of_a_run_it_goes_on_alike(mismatch):
    for world in (gym.make(LOGGED, mismatch=mismatch), gym.make_vec(LOGGED, num_envs=4, mismatch=mismatch)):
        world.reset(seed=3)
        world.step(world.action_space.sample())
        twin = pickle.loads(pickle.dumps(world))
        for _ in range(8):
            action = world.action_space.sample()
            assert str(world.step(action)) == str(twin.step(action))


def test_specs_make_the_same_environment_again(three_users):
    options = {"dataset": three_users[0], "rating_map": "recnn", "frame_size": 3}
    envs = gym.make_vec(LOGGED, num_envs=4, **options)
    twins = gym.make_vec(envs.spec)
    assert str(envs.reset(seed=1)) == str(twins.reset(seed=1))
    env = gym.make(LOGGED, **options)
    twin = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert twin.observation_space == env.observation_space
    assert twin.unwrapped.log.settings == env.unwrapped.log.settings


def test_rewards_of_recnn_and_embeddings(three_users, tmp_path):
    path, users = three_users
    vectors = np.random.default_rng(0).normal(size=(24, 4)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    env = gym.make("SmartRec/ML20M-v0", dataset=path, embeddings=tmp_path / "vectors.npy")
    assert np.array_equal(env.unwrapped.problem.item_features, vectors)
    mapped = env.unwrapped.log.ratings
    assert (mapped.min(), mapped.max()) == (-4, 5)
    assert sorted(mapped) == sorted(np.concatenate([2 * (ratings - 2.5) for _, ratings in users.values()]))


def test_vectors_by_id_and_vectors_made_of_the_data_set(tmp_path, write_log):
    from smartrec.data.embeddings import embed, write_vectors

    dataset = load(write_log(tmp_path / "log.csv", np.arange(60) // 6, np.arange(60) % 11 + 5, np.arange(60) % 5 + 1))
    vectors = np.random.default_rng(0).normal(size=(11, 3)).astype(np.float32)
    write_vectors(tmp_path / "vectors.npz", dataset.items.ids, vectors)
    options = {"dataset": str(tmp_path / "log.csv"), "frame_size": 2}
    env = LoggedEnv(**options, embeddings=str(tmp_path / "vectors.npz"))
    assert np.array_equal(env.problem.item_features, vectors)
    assert np.array_equal(LoggedEnv(**options, embeddings="auto").problem.item_features, embed(dataset).vectors)
    assert LoggedEnv(**options).problem.item_features is None


def test_where_movielens_20m_is_missing_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SMARTREC_DATA", str(tmp_path))
    with pytest.raises(DataNotFound, match=r"'ml-20m' is not on this machine.*smartrec data fetch ml-20m"):
        gym.make_vec("SmartRec/ML20M-v0", num_envs=2)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"frame_size": 0}, InvalidConfig, "frame_size = 0; allowed: a whole number >= 1"),
        ({"frame_size": 30}, InvalidInput, "no user of synthetic has more than frame_size = 30 answers"),
        ({"mode": "frames"}, InvalidConfig, "mode: 'frames'|mode = 'frames'; allowed: 'frame', 'sequence'"),
        ({"mismatch": "reject"}, InvalidConfig, "allowed: 'rejection', 'logged', 'simulated'"),
        ({"rating_map": "recnn"}, InvalidInput, "ratings from 0 to 1; rating_map='recnn' is for 0.5 .. 5"),
        ({"framesize": 3}, InvalidConfig, "SmartRec/Logged-v0 has no option 'framesize'. Did you mean 'frame_size'"),
        ({"positive": 4}, InvalidConfig, "positive = 4.0; allowed: None for the synthetic log"),
        ({"embeddings": "none.npy"}, DataNotFound, "embeddings = 'none.npy' is not there"),
        ({"dataset": "ml-200k"}, SmartRecError, "unknown dataset 'ml-200k'"),
        ({"num_envs": 0}, InvalidConfig, "num_envs = 0; allowed: a whole number >= 1"),
    ],
)
def test_options_that_cannot_be(options, kind, message):
    with pytest.raises(kind, match=message):
        LoggedVectorEnv(**options)


def test_embeddings_that_cannot_be(tmp_path):
    (tmp_path / "text.npy").write_text("1 2 3")
    with pytest.raises(DataError, match=r"no sound .npy file"):
        LoggedVectorEnv(embeddings=str(tmp_path / "text.npy"))
    np.save(tmp_path / "few.npy", np.zeros((3, 2)))
    with pytest.raises(InvalidInput, match=r"vectors \(3, 2\) for 100 ids; allowed: one row an id"):
        LoggedVectorEnv(embeddings=str(tmp_path / "few.npy"))


def test_answers_all_alike_cannot_be_simulated(tmp_path, write_log):
    path = write_log(tmp_path / "log.csv", np.repeat(np.arange(5), 4), np.tile(np.arange(4), 5), np.ones(20, int))
    with pytest.raises(DataError, match="every answer is a click"):
        LoggedVectorEnv(dataset=path, frame_size=2, mismatch="simulated")


def test_steps_out_of_turn():
    env, envs = gym.make(LOGGED, disable_env_checker=True).unwrapped, LoggedVectorEnv(2)
    for world, action in ((env, 0), (envs, [0, 0])):
        with pytest.raises(ResetNeeded, match=r"call reset\(\)"):
            world.step(action)
        world.reset(seed=0)
        with pytest.raises(InvalidAction, match="item 100 in lane 0; allowed: item numbers 0 to 99"):
            world.step(np.full(np.shape(action), 100))
        with pytest.raises(InvalidConfig, match=r"reset takes no options; it was given \['user'\]"):
            world.reset(options={"user": 1})
    while not env.step(0)[2]:
        pass
    with pytest.raises(ResetNeeded, match="the user's answers have ended"):
        env.step(0)
    with pytest.raises(InvalidConfig, match=r"seed = \[1, 2\]; allowed: one whole number"):
        envs.reset(seed=[1, 2])
    with pytest.raises(TypeError, match="render_mode"):
        LoggedEnv(render_mode="human")
    with pytest.raises(InvalidConfig, match=re.escape("num_envs = 3 for a single environment")):
        LoggedEnv(num_envs=3)
