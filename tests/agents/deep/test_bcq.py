"""bcq stays where its log has been and finds the best there; an agent without that restraint goes astray."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from smartrec import agents
from smartrec.core import Decision, Problem, Transitions
from smartrec.core.errors import InvalidConfig

OPTIONS = {"hidden": (32, 32), "batch": 64}


def log_of(seen, action, reward, followers=None):
    lanes = len(reward)
    ended = np.full(lanes, followers is None)
    return Transitions(
        seen, Decision(action), reward[:, None], np.ones((lanes, 1), bool), reward, followers or seen,
        ended, ~ended, np.arange(lanes), np.arange(lanes),
    )  # fmt: skip


def worth(states, action):
    """Rises inside what the behaviour does, |a - s / 2| < 0.3, and falls steeply beyond: the best is s / 2 + 0.3."""
    ahead = action - states / 2
    return np.where(ahead < 0.3, ahead, 0.3 - 5 * (ahead - 0.3))


@pytest.fixture(scope="module")
def toy():
    rng, lanes = np.random.default_rng(0), 3000
    states = rng.uniform(-1, 1, lanes).astype(np.float32)
    action = (states / 2 + rng.uniform(-0.3, 0.3, lanes)).astype(np.float32)
    box = spaces.Box(-1, 1, (1,), np.float32)
    log = log_of({"observation": states[:, None]}, action[:, None], worth(states, action).astype(float))
    return Problem.from_spaces(box, box, discount=0.0), log


AT = np.linspace(-0.8, 0.8, 200, dtype=np.float32)


def ahead_of_behaviour(agent):
    return agent.act({"observation": AT[:, None]}, explore=False).action[:, 0] - AT / 2


def test_bcq_stays_in_support_and_beats_the_behaviour(toy):
    problem, log = toy
    agent = agents.make("bcq", problem, seed=0, fit_steps=1200, **OPTIONS)
    assert agent.fit(log)["generator_loss"] > 0
    ahead = ahead_of_behaviour(agent)
    assert np.mean(np.abs(ahead) < 0.3 + 0.05 + 0.05) > 0.98  # the support, phi, and what a smooth network blurs
    assert worth(AT, ahead + AT / 2).mean() > log.reward.mean() + 0.1


def test_ddpg_on_the_same_log_leaves_the_support(toy):
    """The failure that bcq is there to avoid: the critic's slope goes on where nobody has been."""
    problem, log = toy
    agent = agents.make("ddpg", problem, seed=0, **OPTIONS)
    agent.experience.record(log)
    for _ in range(1200):
        agent._learn(agent.experience.sample(64, agent.rng))
    ahead = ahead_of_behaviour(agent)
    assert np.mean(ahead > 0.4) > 0.5
    assert worth(AT, ahead + AT / 2).mean() < log.reward.mean()


def test_the_generator_imitates_the_behaviour(toy):
    problem, log = toy
    agent = agents.make("bcq", problem, seed=0, fit_steps=1200, phi=0.0, samples=1, **OPTIONS)
    agent.fit(log)
    ahead = ahead_of_behaviour(agent)
    assert abs(ahead.mean()) < 0.06
    assert ahead.std() > 0.02  # not its mean alone
    assert np.abs(ahead).max() < 0.36


def test_the_perturbation_is_bounded_by_phi():
    box = spaces.Box(-1, 1, (3,), np.float32)
    agent = agents.make("bcq", Problem.from_spaces(box, box), seed=0, phi=0.07)
    with torch.no_grad():
        for weight in agent.actor.network.parameters():
            weight.mul_(50)
        vectors = torch.linspace(-1, 1, 30).reshape(2, 5, 3)
        moved = agent.actor.network({"observation": torch.randn(2, 3)}, vectors)
    apart = (moved - vectors).abs()
    assert apart.max() <= 0.07 + 1e-6
    assert apart.max() > 0.06
    assert moved.abs().max() <= 1


def test_the_divergence_is_that_of_normal_laws():
    box = spaces.Box(-1, 1, (2,), np.float32)
    agent = agents.make("bcq", Problem.from_spaces(box, box), seed=0)
    network = agent.generator.network
    seen, vectors = {"observation": torch.zeros(3, 2)}, torch.zeros(3, 1, 2)
    with torch.no_grad():
        network.encoder[-1].weight.zero_()
        network.encoder[-1].bias.copy_(torch.tensor([1.0] * 4 + [0.5] * 4))  # mean 1, log sd 1/2
        _, divergence = network(seen, vectors, torch.zeros(3, 1, 4))
    theirs = torch.distributions.kl_divergence(
        torch.distributions.Normal(1.0, np.exp(0.5)), torch.distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(divergence, torch.full((3, 1), float(theirs)))


@pytest.mark.parametrize("pessimism", [0.0, 0.75, 1.0])
def test_targets_weigh_the_lesser_and_the_larger_value(pessimism):
    box = spaces.Box(-1, 1, (1,), np.float32)
    agent = agents.make("bcq", Problem.from_spaces(box, box, discount=0.5), seed=0, pessimism=pessimism)
    with torch.no_grad():
        agent.critic.target.weights[-1].zero_()
        agent.critic.target.biases[-1].copy_(torch.tensor([2.0, 6.0])[:, None, None])
    seen = {"observation": np.zeros((4, 1), np.float32)}
    agent.experience.record(log_of(seen, np.zeros((4, 1), np.float32), np.ones(4), seen))
    targets = agent._targets(agent.experience.batch(np.arange(4)))
    torch.testing.assert_close(targets, torch.full((4, 1), 1 + 0.5 * (2 * pessimism + 6 * (1 - pessimism))))


def test_of_a_log_of_items_it_shows_the_better_half_of_what_was_shown(tabular):
    """Items 0 to 5 lie on a line and are logged up to 3; what lies beyond would have to be made up.

    It need not find 3, the best of them: z is clipped to 0.5, so the rim of what was logged is seldom generated.
    """
    world = tabular(2, 6, discount=0.0, item_features=np.arange(6.0)[:, None])
    rng = np.random.default_rng(0)
    states, items = rng.integers(2, size=2000), rng.integers(4, size=2000)
    agent = agents.make("bcq", world.problem, seed=0, fit_steps=800, **OPTIONS)
    agent.fit(world.log(states, items, 0.1 + 0.2 * items))
    shown = agent.act(world.seen(np.arange(400) % 2), explore=False).action
    assert np.isin(shown, [2, 3]).mean() > 0.95


def test_an_empty_log_teaches_nothing(tabular):
    world = tabular(2, 6, discount=0.0)
    agent = agents.make("bcq", world.problem, seed=0)
    assert agent.fit(world.log([0], [1], [1.0])[:0]) == {}


@pytest.mark.parametrize(("option", "value"), [("phi", -0.1), ("pessimism", 1.1), ("samples", 0), ("kl_weight", -1.0)])
def test_options_out_of_range_are_refused(option, value):
    box = spaces.Box(-1, 1, (1,), np.float32)
    with pytest.raises(InvalidConfig, match=option):
        agents.make("bcq", Problem.from_spaces(box, box), seed=0, **{option: value})
