"""What agents of vectors reach: the swing of Gymnasium, and task 4."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from smartrec import agents, evaluation


@pytest.mark.learning
@pytest.mark.slow
@pytest.mark.parametrize("name", ["ddpg", "td3", "sac"])
def test_pendulum(name, learning_seeds):
    """At least -200 a swing, the median over the seeds, after 10,000 steps."""
    returns = []
    for seed in learning_seeds:
        envs = gym.make_vec("Pendulum-v1", num_envs=1)
        problem = replace(agents.registry.problem_of(envs), discount=0.98)
        agent = agents.make(name, problem, seed=seed, hidden=(128, 128), batch=128, train_every=1, warmup=1000)
        evaluation.run(agent, envs, seed=seed, steps=10_000)
        judged = gym.make_vec("Pendulum-v1", num_envs=10, vectorization_mode="sync")
        returns.append(evaluation.mean_return(agent, judged, episodes=20, seed=100 + seed))
    assert np.median(returns) >= -200, returns


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["ddpg", "td3"])
def test_task_4_beats_random_by_three_standard_errors(name):
    envs = gym.make_vec("SmartRec/Task4-v0", dataset="sber-small", num_envs=100)
    options = {"user_embedding": 16, "metric": "inner", "neighbours": 100}
    agent = agents.make(name, envs, seed=0, **options)
    metrics = evaluation.run(agent, envs, seed=0).metrics
    # The clicks of 1000 users have a standard deviation of about 1.5 each.
    assert metrics["final_expected"] > metrics["final_random"] + 3 * 1.5 / np.sqrt(1000)
