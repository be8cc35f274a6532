"""Discrete SAC against the soft Bellman equations, its entropy, and exact probabilities."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from smartrec import agents
from smartrec.agents.deep.discrete_sac import DiscreteSAC, DiscreteSACConfig
from smartrec.core import Mask
from smartrec.core.errors import InvalidConfig
from smartrec.evaluation import run

EXACT = {"hidden": (), "rate": 0.03, "batch_size": 32, "tau": 0.1}


def taught(world, log, steps, **options):
    agent = DiscreteSAC(world.problem, DiscreteSACConfig(**{**EXACT, **options}), seed=0)
    agent.observe(log)
    for _ in range(steps):
        agent._learn(agent.experience.sample(agent.config.batch_size, agent.rng))
    return agent


def scores_of(network, states):
    with torch.no_grad():
        return network({"observation": torch.eye(states)}).numpy()


def softmax(scores):
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def test_a_tiny_world_solves_the_soft_equations(three_states):
    """``Q = r + discount V(s')``, ``V = alpha log sum exp(Q / alpha)``, ``pi = softmax(Q / alpha)``."""
    alpha, followers = 0.2, three_states.followers
    q = np.zeros((3, 2))
    for _ in range(500):
        value = alpha * np.log(np.exp(q / alpha).sum(axis=1))
        q = three_states.rewards + 0.9 * np.where(followers >= 0, value[followers], 0.0)
    agent = taught(three_states.world, three_states.log(), 900, temperature=alpha, learn_temperature=False)
    for found in scores_of(agent.critics.network, 3):
        np.testing.assert_allclose(found, q, atol=0.02)
    np.testing.assert_allclose(softmax(scores_of(agent.policy.network, 3)), softmax(q / alpha), atol=0.02)
    assert agent.temperature.network().item() == pytest.approx(alpha)


def test_in_a_bandit_the_policy_is_the_softmax_of_the_means(tabular):
    world, means = tabular(2, 4, discount=0.0), np.array([[0.1, 0.3, 0.6, 0.8], [0.9, 0.5, 0.2, 0.2]])
    states, items = np.divmod(np.arange(8), 4)
    agent = taught(world, world.log(states, items, means.ravel()), 600, temperature=0.25, learn_temperature=False)
    np.testing.assert_allclose(softmax(scores_of(agent.policy.network, 2)), softmax(means / 0.25), atol=0.02)
    assert agent.critics.target is agent.critics.network


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_a_learnt_temperature_reaches_the_entropy_it_aims_at(tabular, share):
    world, means = tabular(1, 5, discount=0.0), np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    agent = taught(world, world.log(np.zeros(5, int), np.arange(5), means), 1500, rate=0.01, target_entropy=share)
    shares = softmax(scores_of(agent.policy.network, 1)[0])
    assert -(shares * np.log(shares)).sum() == pytest.approx(share * np.log(5), abs=0.1)
    alpha = agent.temperature.network().item()
    np.testing.assert_allclose(shares, softmax(means / alpha), atol=0.06)


def test_masks_hold_in_policy_targets_and_entropy(tabular):
    """Only items 0 and 1 are ever allowed: the policy spreads over these two, and item 2 is worth nothing."""
    world = tabular(1, 3, discount=0.5)
    allowed = np.array([[True, True, False]] * 2)
    log = world.log([0, 0], [0, 1], [0.2, 0.4], [0, 0], allowed=allowed, next_allowed=allowed)
    agent = DiscreteSAC(world.problem, DiscreteSACConfig(**EXACT, target_entropy=1.0), seed=0)
    with torch.no_grad():
        for network in (*agent.critics.network.each, *agent.critics.target.each):
            network.items.bias[2] = 100.0
    agent.observe(log)
    for _ in range(500):
        figures = agent._learn(agent.experience.sample(agent.config.batch_size, agent.rng))
    assert figures["entropy"] == pytest.approx(np.log(2), abs=0.02)
    alpha, mask = agent.temperature.network().item(), Mask(np.array([[True, True, False]]))
    with_entropy = 0.3 + alpha * np.log(2)  # nearly uniform over the two
    q = scores_of(agent.critics.network, 1)[0, 0, :2]
    np.testing.assert_allclose(q, np.array([0.2, 0.4]) + 0.5 * with_entropy / (1 - 0.5), rtol=0.03)
    shown = agent.act(world.seen([0] * 200), allowed=mask)
    assert set(shown.action) == {0, 1}


def test_a_state_where_nothing_is_allowed_is_worth_nothing(tabular):
    world = tabular(2, 2)
    log = world.log([0, 0], [0, 1], [0.5, 0.7], [1, 1], next_allowed=[[False, False]] * 2)
    agent = taught(world, log, 200, temperature=0.1, learn_temperature=False)
    for found in scores_of(agent.critics.network, 2):
        np.testing.assert_allclose(found[0], [0.5, 0.7], atol=0.01)


def test_truncated_goes_on_and_terminated_does_not(tabular):
    world = tabular(1, 1, discount=0.5)
    for follower, expected in ((0, 2.0), (-1, 1.0)):
        log = world.log([0], [0], [1.0], [follower], truncated=np.array([follower == 0]))
        agent = taught(world, log, 250, temperature=0.1, learn_temperature=False)
        np.testing.assert_allclose(scores_of(agent.critics.network, 1), expected, atol=0.02)


def test_the_targets_move_by_tau(three_states):
    agent = taught(three_states.world, three_states.log(), 1, hidden=(8,))
    for _ in range(3):
        before = [weight.clone() for weight in agent.critics.target.parameters()]
        agent._learn(agent.experience.sample(agent.config.batch_size, agent.rng))
        pairs = zip(before, agent.critics.network.parameters(), agent.critics.target.parameters(), strict=True)
        for old, mine, new in pairs:
            torch.testing.assert_close(new, old + 0.1 * (mine.detach() - old))


def test_slates_have_the_probability_of_a_draw_without_replacement(tabular):
    world = tabular(1, 5, slate_size=2, discount=0.0)
    agent = DiscreteSAC(world.problem, seed=0)
    shares = softmax(scores_of(agent.policy.network, 1)[0].astype(float) * 1.0)
    decision = agent.act(world.seen(np.zeros(500, int)))
    first, second = decision.action.T
    expected = np.log(shares[first]) + np.log(shares[second] / (1 - shares[first]))
    np.testing.assert_allclose(decision.log_probability, expected, rtol=1e-4)
    best = agent.act(world.seen([0, 0]), explore=False).action
    np.testing.assert_array_equal(best, [np.argsort(-shares)[:2]] * 2)


def test_a_run_that_was_saved_goes_on_bit_for_bit(tmp_path):
    """2 N steps of CartPole are N, save, load, N: weights, optimisers, temperature, experience, generator."""

    def envs():
        return gym.make_vec("CartPole-v1", num_envs=2)

    unbroken, first = (agents.make("discrete_sac", envs(), seed=3, train_every=8) for _ in range(2))
    for agent in (unbroken, first):
        run(agent, envs(), seed=0, steps=100)
    first.save(tmp_path)
    second = agents.load(tmp_path)
    for agent in (unbroken, second):
        run(agent, envs(), seed=1, steps=100)
    assert unbroken.critics.steps > 20
    for part in ("policy", "critics", "temperature"):
        expected, found = getattr(unbroken, part).get_state(), getattr(second, part).get_state()
        assert expected.keys() == found.keys()
        for key, value in expected.items():
            np.testing.assert_array_equal(value, found[key])
    assert unbroken.rng.bit_generator.state == second.rng.bit_generator.state


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temperature": 0.0}, "temperature = 0.0; allowed: a finite number > 0"),
        ({"target_entropy": 1.5}, "target_entropy = 1.5; allowed: 0 to 1"),
        ({"tau": 0.0}, "tau = 0.0"),
    ],
)
def test_bad_options_are_refused(options, said):
    with pytest.raises(InvalidConfig, match=said):
        DiscreteSACConfig(**options)
