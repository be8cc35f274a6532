"""Making agents of SB3's algorithms: what is wrong is named; the ready made ones learn task 1."""

import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import smartrec
from smartrec.core import Problem
from smartrec.core.errors import InvalidConfig, MissingExtra


def problem_of(features=None):
    seen = spaces.Dict(user=spaces.Discrete(50), user_features=spaces.Box(-1, 1, (3,), np.float32))
    return Problem.from_spaces(seen, spaces.Discrete(7), item_features=features, discount=0.5)


ITEMS = problem_of(np.random.default_rng(0).normal(size=(7, 3)))


def test_unknown_and_unfit_options():
    for options, message in [
        ({"algorithm": "RecurrentPPO"}, "algorithm = 'RecurrentPPO'; allowed: PPO, A2C"),
        ({"every": 0}, "every = 0"),
        ({"noise": -1.0}, "noise = -1"),
        ({"options": {"n_steps": 128}}, r"options\['n_steps'\] = 128"),
        ({"options": {"learning_rat": 1}}, "learning_rat"),
        ({"options": {"policy_kwargs": {"activation_fn": "Tan"}}}, "Tan"),
        ({"options": {"use_sde": True}}, "use_sde|refuses"),
        ({"embed_user": 2, "observation": "raw"}, "embed_user = 2"),
        ({"embed_user": -2}, "embed_user = -2"),
    ]:
        with pytest.raises(InvalidConfig, match=message):
            smartrec.agents.make("sb3", ITEMS, seed=0, **options)
    with pytest.raises(InvalidConfig, match="no item features"):
        smartrec.agents.make("sb3", problem_of(), seed=0, algorithm="TD3")


@pytest.mark.parametrize("package", ["stable_baselines3", "sb3_contrib"])
def test_missing_packages_are_named(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf'needs {package}: pip install "smartrec\[sb3\]"'):
        smartrec.agents.make("maskable_ppo", ITEMS, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ppo", "maskable_ppo"])
def test_ppo_on_task_1_within_the_protocol(name):
    """The best item is worth 0.75, a random one 0.415."""
    for seed in (1000, 1001):
        envs = gym.make_vec("SmartRec/Task1-v0", num_envs=500)
        agent = smartrec.agents.make(name, envs, seed=seed)
        assert smartrec.evaluation.run(agent, envs, seed=seed).metrics["final"] > 0.7
