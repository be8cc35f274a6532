"""The Kalman filter of kalman_thompson against textbook recursions, batches against one piece, and what it is for."""

import gymnasium as gym
import numpy as np
import pytest

from smartrec import agents
from smartrec.evaluation import run


def filtered(config, answers):
    """Level and covariance after one answer a tick, by the recursions written out for numbers."""
    m, s = config["prior_mean"], 0.0
    a, b, c = config["prior_deviation"] ** 2, 0.0, 0.0
    for tick, y in enumerate(answers):
        if tick:
            m, s = m + s, config["damping"] * s
            a, b, c = a + 2 * b + c + config["level_drift"] ** 2, config["damping"] * (b + c), c
            c = config["damping"] ** 2 * c + config["slope_drift"] ** 2
        p = min(max(m, 0.05), 0.95)
        total = a + p * (1 - p)
        m, s = m + a / total * (y - m), s + b / total * (y - m)
        a, b, c = a - a * a / total, b - a * b / total, c - b * b / total
    return (m, s), (a, b, c)


CONFIG = {
    "level_drift": 0.1,
    "slope_drift": 0.05,
    "damping": 0.8,
    "prior_mean": 0.4,
    "prior_deviation": 0.3,
}


@pytest.fixture
def agent(problem):
    return agents.make("kalman_thompson", problem(3), seed=0, **CONFIG)


def test_it_is_the_local_linear_trend_filter(agent, feedback):
    answers = [1, 0, 1, 1, 0, 1]
    for clock, answer in enumerate(answers, start=1):
        agent.observe(feedback([1], [answer], clock=clock))
    (m, s), (a, b, c) = filtered(CONFIG, answers)
    np.testing.assert_allclose(agent.state[1], [m, s], atol=1e-12)
    np.testing.assert_allclose(agent.covariance[1], [[a, b], [b, c]], atol=1e-12)
    assert (agent.state[[0, 2], 0] == CONFIG["prior_mean"]).all()


def test_a_tick_in_one_batch_or_in_many_is_the_same(problem, feedback):
    one, many = (agents.make("kalman_thompson", problem(3), seed=0, **CONFIG) for _ in range(2))
    rng = np.random.default_rng(0)
    for clock in range(1, 5):
        items, answers = rng.integers(3, size=12), rng.integers(2, size=12)
        one.observe(feedback(items, answers, clock=clock))
        for start in range(0, 12, 4):
            many.observe(feedback(items[start : start + 4], answers[start : start + 4], clock=clock))
    np.testing.assert_allclose(one.state, many.state, atol=1e-12)
    np.testing.assert_allclose(one.covariance, many.covariance, atol=1e-12)


def test_a_late_answer_is_one_on_the_past(problem, feedback):
    """Without drift a rising line seen late leads to the same line."""
    still = {"level_drift": 0.0, "slope_drift": 0.0, "damping": 1.0, "prior_deviation": 0.3}
    agent = agents.make("kalman_thompson", problem(1), seed=0, **still)
    agent.covariance[0] = [[0.09, 0.0], [0.0, 0.01]]
    prompt = agents.make("kalman_thompson", problem(1), seed=0, **still)
    prompt.covariance[0] = [[0.09, 0.0], [0.0, 0.01]]
    prompt.observe(feedback([0], [1], clock=1))
    prompt._advance(4)
    agent._advance(1)
    agent._advance(4)
    agent.noise[:] = 0.25
    agent.observe(feedback([0], [1], clock=1))
    np.testing.assert_allclose(agent.state, prompt.state, atol=1e-12)
    np.testing.assert_allclose(agent.covariance, prompt.covariance, atol=1e-12)


def test_what_is_not_shown_becomes_uncertain_again(agent, feedback):
    agent.observe(feedback([0] * 50, [1, 0] * 25, clock=1))
    before = agent.covariance[0, 0, 0]
    agent._advance(10)
    assert agent.covariance[0, 0, 0] > 4 * before


def test_it_follows_a_drift_better_than_a_discount():
    envs = gym.make_vec("SmartRec/Task3-v0", num_envs=100)

    def loop(name, **config):
        runs = [run(agents.make(name, envs, seed=seed, **config), envs, seed=seed) for seed in range(5)]
        return np.mean([record.metrics["loop"] for record in runs])

    kalman = loop("kalman_thompson")
    assert kalman > 0.65
    assert kalman > loop("thompson", discount=0.7)
