"""Thompson sampling with normal posteriors: closed forms, and that the unit of the responses does not matter."""

import numpy as np
import pytest

from smartrec import agents
from smartrec.core import Problem
from smartrec.core.errors import InvalidInput


def test_gaussian_posterior_with_known_noise(problem, seen, feedback):
    options = {"noise": 2.0, "prior_mean": 10.0, "prior_weight": 3.0}
    agent = agents.make("gaussian_thompson", problem(3), seed=0, **options)
    agent.observe(feedback([0, 0, 1], [14.0, 18.0, 6.0]))
    means, spreads = agent.posterior()
    np.testing.assert_allclose(means + agent.origin, [62 / 5, 36 / 4, 10.0])
    np.testing.assert_allclose(spreads, 2.0 / np.sqrt([5, 4, 3]))
    rng = np.random.default_rng(1)
    draws = rng.normal(means, spreads, (200_000, 3)).argmax(axis=1)
    action = agent.act(seen(40_000)).action
    np.testing.assert_allclose(np.bincount(action) / 40_000, np.bincount(draws) / 200_000, atol=0.012)
    assert (agent.act(seen(30), explore=False).action == 0).all()
    assert agent.act(seen(3)).log_probability is None


def test_gaussian_estimates_what_it_is_not_told(problem, feedback):
    responses = np.array([3.0, 5.0, 40.0, 7.0])
    agent = agents.make("gaussian_thompson", problem(3), seed=0)
    agent.observe(feedback([0, 1, 0, 1], responses))
    means, spreads = agent.posterior()
    centre = responses.mean()
    np.testing.assert_allclose(means + agent.origin, [(43 + centre) / 3, (12 + centre) / 3, centre])
    np.testing.assert_allclose(spreads, responses.std() / np.sqrt([3, 3, 1]))


@pytest.mark.parametrize(("unit", "shift"), [(1e-6, 0.0), (250.0, -3.0), (0.01, 1e9)])
def test_gaussian_decides_alike_on_any_scale(unit, shift, problem, seen, feedback):
    """Cents or euros, and however far from zero: the same decisions from the same draws."""
    rng = np.random.default_rng(0)
    shown, responses = rng.integers(4, size=60), rng.normal(size=60)
    plain, scaled = (agents.make("gaussian_thompson", problem(5), seed=0) for _ in range(2))
    plain.observe(feedback(shown, responses))
    scaled.observe(feedback(shown, shift + unit * responses))
    actions = [agent.act(seen(2000)).action for agent in (plain, scaled)]
    assert np.bincount(actions[0], minlength=5).min() > 0
    assert (actions[0] == actions[1]).mean() > 0.999


def test_gaussian_explores_uniformly_while_all_responses_are_the_same(problem, seen, feedback):
    agent = agents.make("gaussian_thompson", problem(5), seed=0)
    for _ in range(3):
        assert np.bincount(agent.act(seen(5000)).action, minlength=5).min() > 800
        agent.observe(feedback([0, 1, 0, 2], [0.0] * 4))


def test_gaussian_finds_the_best_item_far_from_zero(problem, seen, feedback):
    rng = np.random.default_rng(2)
    means = 1000 + 50 * np.arange(6.0)
    agent = agents.make("gaussian_thompson", problem(6), seed=0)
    for clock in range(40):
        action = agent.act(seen(20, clock)).action
        agent.observe(feedback(action, rng.normal(means[action], 60), clock=clock))
    assert (agent.act(seen(50, 40), explore=False).action == 5).all()
    assert (agent.act(seen(1000, 40)).action == 5).mean() > 0.9


def test_gaussian_starts_new_items_from_their_features(problem, feedback):
    """The mean is 100 + 20 times the feature; what is fitted is shrunk a little, and lies 10 showings deep."""
    base = problem(100)
    features = np.linspace(0, 5, 100)[:, None]
    described = Problem.from_spaces(base.observation_space, base.action_space, item_features=features)
    agent = agents.make("gaussian_thompson", described, seed=0, noise=1.0)
    shown = np.repeat(np.arange(100), 100)
    agent.observe(feedback(shown, 100 + 20 * features[shown, 0]))
    agent.add_items(2, np.array([[7.0], [-1.0]]))
    means, spreads = agent.posterior()
    centre = 150.0
    np.testing.assert_allclose(means[-2:] + agent.origin, (np.array([2400.0, 800.0]) + centre) / 11, atol=1.5)
    np.testing.assert_allclose(spreads[-2:], 1 / np.sqrt(11))


def test_gaussian_refuses_what_is_no_number(problem, feedback):
    agent = agents.make("gaussian_thompson", problem(3), seed=0)
    with pytest.raises(InvalidInput, match="a response is nan; allowed: finite"):
        agent.observe(feedback([0, 1], [1.0, np.nan], clock=[1, 2]))
    assert (agent.evidence.sums == 0).all()
    assert agent.origin is None
    agent.observe(feedback([0, 1], [np.nan, 7.0], observed=[False, True]))
    np.testing.assert_array_equal(agent.evidence.sums[:, 0], [0, 1, 0])
