"""sac's density against numeric integration, and its temperature against the entropy it asks for."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from scipy import integrate, stats

from smartrec import agents
from smartrec.agents.deep.sac import LOG_SD, squashed
from smartrec.core import Decision, Problem, Transitions
from smartrec.core.errors import InvalidConfig


def density(action, mean, sd):
    """The density at ``action`` by the noise that leads there."""
    mean, sd = torch.full((1, 1), mean), torch.full((1, 1), sd)
    noise = (torch.atanh(torch.tensor([[action]], dtype=torch.float64)) - mean) / sd
    drawn, log_density = squashed(mean.double(), sd.log().double(), noise)
    assert float(drawn) == pytest.approx(action, abs=1e-6)
    return float(log_density.exp())


@pytest.mark.parametrize(("mean", "sd"), [(0.0, 1.0), (0.8, 0.3), (-1.5, 0.7)])
def test_the_density_integrates_to_one_and_is_the_normal_one_changed(mean, sd):
    total, _ = integrate.quad(density, -1 + 1e-9, 1 - 1e-9, args=(mean, sd), limit=200)
    assert total == pytest.approx(1, abs=1e-4)
    for action in (-0.9, -0.2, 0.4, 0.95):
        expected = stats.norm.pdf(np.arctanh(action), mean, sd) / (1 - action**2)
        assert density(action, mean, sd) == pytest.approx(expected, rel=1e-5)


def test_the_density_of_several_dimensions_is_the_product_and_stays_finite_far_out():
    mean, log_sd = torch.tensor([[0.3, -0.7]]), torch.tensor([[0.1, -0.4]])
    noise = torch.tensor([[0.5, -1.0]])
    _, together = squashed(mean, log_sd, noise)
    alone = sum(float(squashed(mean[:, d : d + 1], log_sd[:, d : d + 1], noise[:, d : d + 1])[1]) for d in range(2))
    assert float(together) == pytest.approx(alone, rel=1e-6)
    far = squashed(torch.full((1, 2), 60.0), torch.full((1, 2), LOG_SD[0]), noise)[1]
    assert torch.isfinite(far).all()


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [-0.5, 0.3])
def test_the_temperature_brings_the_entropy_to_its_target(wanted):
    """A reward that draws to the middle, so that only the price of entropy keeps the policy wide."""
    box = spaces.Box(-1, 1, (2,), np.float32)
    problem = Problem.from_spaces(spaces.Box(-1, 1, (1,), np.float32), box, discount=0.0)
    options = {"actor_rate": 3e-3, "alpha_rate": 1e-2, "hidden": (16,), "batch": 64}
    agent = agents.make("sac", problem, seed=0, target_entropy=wanted, **options)
    rng, lanes = np.random.default_rng(0), 2000
    ended = np.ones(lanes, bool)
    seen = {"observation": rng.uniform(-1, 1, (lanes, 1)).astype(np.float32)}
    action = rng.uniform(-1, 1, (lanes, 2)).astype(np.float32)
    reward = -(action**2).sum(axis=1)
    agent.experience.record(
        Transitions(
            seen, Decision(action), reward[:, None], ended[:, None], reward, seen, ended, ~ended,
            np.arange(lanes), np.arange(lanes),
        )
    )  # fmt: skip
    entropy = [agent._learn(agent.experience.sample(64, agent.rng))["entropy"] / 2 for _ in range(1500)]
    assert np.mean(entropy[-300:]) == pytest.approx(wanted, abs=0.1)
    assert agent.alpha > 0


def test_an_entropy_above_that_of_the_uniform_law_is_refused():
    problem = Problem.from_spaces(spaces.Box(-1, 1, (1,)), spaces.Box(-1, 1, (1,)))
    with pytest.raises(InvalidConfig, match=r"target_entropy = 0\.7; allowed: a number < log 2"):
        agents.make("sac", problem, seed=0, target_entropy=0.7)


def test_a_fixed_temperature_stays():
    problem = Problem.from_spaces(spaces.Box(-1, 1, (1,)), spaces.Box(-1, 1, (1,)))
    agent = agents.make("sac", problem, seed=0, alpha=0.25, learn_alpha=False)
    assert agent.alpha == pytest.approx(0.25)
