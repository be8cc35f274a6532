"""Agents in the environments that walk a log."""

import gymnasium as gym
import numpy as np
import pytest

import smartrec
from smartrec.data import load
from smartrec.data.frames import Frames
from smartrec.data.trajectories import Trajectories

LOGGED = "SmartRec/Logged-v0"


AGENTS = {"random": {}, "most_popular": {}, "dqn": {"train_every": 64}, "td3": {"train_every": 64}}


@pytest.mark.parametrize("mismatch", ["rejection", "logged", "simulated"])
@pytest.mark.parametrize("name", AGENTS)
def test_agents_run(name, mismatch):
    envs = gym.make_vec(LOGGED, num_envs=20, mismatch=mismatch, rating_map="click")
    agent = smartrec.agents.make(name, envs, seed=0, **AGENTS[name])
    record = smartrec.evaluation.run(agent, envs, seed=0, steps=120)
    assert record.environment == LOGGED
    log = envs.unwrapped.log
    if mismatch == "logged":  # all 20 lanes end 6 users of 20 steps each, whose clicks are in the log
        assert 0 < record.metrics["loop"] < 20 * log.ratings.mean() * 1.5


def test_where_the_log_is_played_agents_learn_of_the_logged_items():
    envs = gym.make_vec(LOGGED, num_envs=25, mismatch="logged", rating_map="click", mode="sequence")
    log = envs.unwrapped.log
    agent = smartrec.agents.make("most_popular", envs, seed=0)
    smartrec.evaluation.run(agent, envs, seed=0, steps=len(log) // 25)  # every user once
    assert np.array_equal(agent.counts.shown, np.bincount(log.items, minlength=100))
    assert np.array_equal(agent.counts.clicks, np.bincount(log.items, log.ratings, minlength=100))


def test_what_is_rejected_is_not_learnt_from():
    envs = gym.make_vec(LOGGED, num_envs=25, rating_map="click", mode="sequence")
    agent = smartrec.agents.make("most_popular", envs, seed=0)
    seen = []
    step = envs.step
    envs.step = lambda action: seen.append(step(action)) or seen[-1]
    smartrec.evaluation.run(agent, envs, seed=0, steps=200)
    assert agent.counts.shown.sum() == sum(info["matched"].sum() for *_, info in seen) > 0
    assert agent.counts.clicks.sum() == sum(reward.sum() for _, reward, *_ in seen)


def test_recommenders_know_the_users():
    envs = gym.make_vec(LOGGED, num_envs=50, mismatch="logged", rating_map="click", observe_user=True)
    agent = smartrec.agents.make("ease", envs, seed=0)
    smartrec.evaluation.run(agent, envs, seed=0, steps=100)


@pytest.mark.slow
def test_stable_baselines3_learns(tmp_path, write_log):
    import torch
    from stable_baselines3 import PPO

    rng = np.random.default_rng(0)
    users, items = np.repeat(np.arange(60), 12), np.tile(rng.permutation(12), 60)
    path = write_log(tmp_path / "log.csv", users, items, (items < 3).astype(int))
    env = gym.make(LOGGED, dataset=path, frame_size=2, mismatch="simulated")
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(1)
    try:
        agent = PPO("MultiInputPolicy", env, n_steps=256, batch_size=64, learning_rate=3e-3, seed=0, device="cpu")
        agent.learn(2048)
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(state)
    assert {episode["l"] for episode in agent.ep_info_buffer} == {10}
    # Three of twelve items are clicked by everybody.
    returns = [episode["r"] for episode in agent.ep_info_buffer]
    assert np.mean(returns[-20:]) > 6


def test_its_observations_are_those_of_frames(three_users):
    path, _ = three_users
    log = Trajectories.of(load(path).interactions)
    frames = Frames(log, 10)
    env = gym.make(LOGGED, dataset=path, mismatch="logged")
    assert frames.problem().difference(env.unwrapped.problem) == ""
    assert env.unwrapped.problem.discount == frames.problem().discount > 0
    everything = frames.transitions(np.arange(len(frames)))
    ends = np.cumsum(np.maximum(log.lengths - 10, 0))
    observation, _ = env.reset(seed=0)
    for _ in range(len(frames)):
        row = env.unwrapped.row
        user = np.searchsorted(log.starts, row, side="right") - 1
        frame = row - log.starts[user] - 10 + ends[user] - max(log.lengths[user] - 10, 0)
        following, reward, terminated, *_ = env.step(0)
        for key in ("history_items", "history_responses"):
            assert np.array_equal(observation[key], everything.observation[key][frame])
            assert np.array_equal(following[key], everything.next_observation[key][frame])
        assert reward == everything.reward[frame]
        assert terminated == everything.terminated[frame]
        observation = env.reset()[0] if terminated else following


def test_an_agent_that_learnt_from_frames_acts_here(three_users):
    path, _ = three_users
    frames = Frames(Trajectories.of(load(path).interactions), 10)
    agent = smartrec.agents.make("dqn", frames.problem(), seed=0, epochs=1)
    agent.fit(frames.transitions(np.arange(len(frames))))
    envs = gym.make_vec(LOGGED, num_envs=2, dataset=path)
    assert np.isfinite(smartrec.evaluation.run(agent, envs, seed=0, steps=20).metrics["loop"])
