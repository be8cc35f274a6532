"""The Kalman filter of kalman_thompson against textbook recursions, batches against one piece, and what it is for."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from smartrec import agents
from smartrec.agents.bandits.kalman_thompson import Trends
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
    np.testing.assert_allclose(agent.trends.state[1], [m, s], atol=1e-12)
    np.testing.assert_allclose(agent.trends.covariance[1], [[a, b], [b, c]], atol=1e-12)
    assert (agent.trends.state[[0, 2], 0] == CONFIG["prior_mean"]).all()


def test_a_tick_in_one_batch_or_in_many_is_the_same(problem, feedback):
    one, many = (agents.make("kalman_thompson", problem(3), seed=0, **CONFIG) for _ in range(2))
    rng = np.random.default_rng(0)
    for clock in range(1, 5):
        items, answers = rng.integers(3, size=12), rng.integers(2, size=12)
        one.observe(feedback(items, answers, clock=clock))
        for start in range(0, 12, 4):
            many.observe(feedback(items[start : start + 4], answers[start : start + 4], clock=clock))
    np.testing.assert_allclose(one.trends.state, many.trends.state, atol=1e-12)
    np.testing.assert_allclose(one.trends.covariance, many.trends.covariance, atol=1e-12)


def test_a_late_answer_is_one_on_the_past(problem, feedback):
    """Without drift a rising line seen late leads to the same line."""
    still = {"level_drift": 0.0, "slope_drift": 0.0, "damping": 1.0, "prior_deviation": 0.3}
    agent = agents.make("kalman_thompson", problem(1), seed=0, **still)
    agent.trends.covariance[0] = [[0.09, 0.0], [0.0, 0.01]]
    prompt = agents.make("kalman_thompson", problem(1), seed=0, **still)
    prompt.trends.covariance[0] = [[0.09, 0.0], [0.0, 0.01]]
    prompt.observe(feedback([0], [1], clock=1))
    prompt.trends.advance(4)
    agent.trends.advance(1)
    agent.trends.advance(4)
    agent.trends.noise[:] = 0.25
    agent.observe(feedback([0], [1], clock=1))
    np.testing.assert_allclose(agent.trends.state, prompt.trends.state, atol=1e-12)
    np.testing.assert_allclose(agent.trends.covariance, prompt.trends.covariance, atol=1e-12)


def test_what_is_not_shown_becomes_uncertain_again(agent, feedback):
    agent.observe(feedback([0] * 50, [1, 0] * 25, clock=1))
    before = agent.trends.covariance[0, 0, 0]
    agent.trends.advance(10)
    assert agent.trends.covariance[0, 0, 0] > 4 * before


def test_it_follows_a_drift_better_than_a_discount():
    envs = gym.make_vec("SmartRec/Task3-v0", num_envs=100)

    def loop(name, **config):
        runs = [run(agents.make(name, envs, seed=seed, **config), envs, seed=seed) for seed in range(5)]
        return np.mean([record.metrics["loop"] for record in runs])

    kalman = loop("kalman_thompson")
    assert kalman > 0.65
    assert kalman > loop("thompson", discount=0.7)


def test_levels_of_new_items_follow_their_features(problem, feedback):
    """Known rates .8 and .2 at features 1 and -1, hardly drifting; the prior is as good as ``weight`` answers."""
    known = replace(problem(4, features=1), item_features=np.array([[1.0], [-1.0], [1.0], [-1.0]]))
    still = {"level_drift": 0.001, "slope_drift": 0.0}
    agent = agents.make("kalman_thompson", known, seed=0, **still)
    for item, clicks in enumerate([80, 20, 80, 20]):
        agent.observe(feedback([item] * 100, [1] * clicks + [0] * (100 - clicks), clock=1))
    agent.add_items(3, np.array([[1.0], [-1.0], [0.0]]), weight=20.0)
    trends = agent.trends
    assert trends.level[4] > 0.65
    assert trends.level[5] < 0.35
    assert trends.level[6] == pytest.approx(0.5, abs=1e-6)
    prior = agent.config.prior_deviation**-2
    expected = 1 / (prior + 20 / (trends.level[4:] * (1 - trends.level[4:])))
    assert trends.variance[4:] == pytest.approx(expected)
    assert trends.variance[4:].min() > trends.variance[:4].max()
    agent.observe(feedback([4] * 300, [0] * 300, clock=1))
    assert trends.level[4] < 0.1


def test_without_features_new_items_start_from_the_prior_whatever_the_clock(agent, feedback):
    agent.observe(feedback([0] * 50, [1, 0] * 25, clock=7))
    before = agent.trends.state.copy()
    agent.add_items(2)
    fresh = Trends(2, agent.config)
    np.testing.assert_array_equal(agent.trends.state, np.concatenate([before, fresh.state]))
    np.testing.assert_array_equal(agent.trends.covariance[3:], fresh.covariance)
