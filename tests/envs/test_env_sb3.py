"""Stable-Baselines3 learns in our environments without an adapter."""

import gymnasium as gym
import numpy as np
import pytest

import smartrec  # noqa: F401 (registers the ids)


@pytest.fixture
def ppo():
    import stable_baselines3
    import torch

    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(1)
    yield stable_baselines3.PPO
    torch.set_num_threads(threads)
    torch.set_rng_state(state)


def _expected(agent, env, visits=100):
    """Mean expected reward of what the agent shows when it does not explore."""
    total = 0.0
    for _ in range(visits):
        observation, _ = env.reset()
        action, _ = agent.predict(observation, deterministic=True)
        total += env.step(action)[4]["expected_reward"]
    return total / visits


def test_ppo_on_task_1(ppo):
    env = gym.make("SmartRec/Task1-v0")
    agent = ppo("MultiInputPolicy", env, seed=0, device="cpu")
    agent.learn(2048)
    assert agent.num_timesteps == 2048
    assert np.mean([episode["l"] for episode in agent.ep_info_buffer]) == 1
    # A random item is worth 0.415.
    assert _expected(agent, env) > 0.5


def test_ppo_on_slates_whose_repeats_are_filled_up_and_counted(ppo):
    env = gym.make("SmartRec/Task1-v0", slate_size=3, observe_user=False)
    seen = []

    def note(locals_, _):
        seen.extend((locals_["actions"][0].tolist(), info["replaced"]) for info in locals_["infos"])
        return True

    agent = ppo("MultiInputPolicy", env, n_steps=256, batch_size=64, seed=0, device="cpu")
    agent.learn(512, callback=note)
    assert len(seen) == 512
    assert all(replaced == 3 - len(set(slate)) for slate, replaced in seen)
    # Three of ten by independent draws repeat with probability 0.28.
    assert 0.15 < np.mean([replaced > 0 for _, replaced in seen]) < 0.45


def test_ppo_in_two_fresh_processes(ppo):
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import SubprocVecEnv

    envs = make_vec_env(
        "smartrec:SmartRec/Task1-v0",
        n_envs=2,
        seed=0,
        vec_env_cls=SubprocVecEnv,
        vec_env_kwargs={"start_method": "spawn"},
    )
    try:
        agent = ppo("MultiInputPolicy", envs, n_steps=32, batch_size=32, seed=0, device="cpu")
        agent.learn(128)
        assert agent.num_timesteps == 128
    finally:
        envs.close()
