"""Items that come: numbers stay, priors by features, exact after saving, and who refuses."""

from dataclasses import replace

import numpy as np
import pytest

from smartrec import agents
from smartrec.agents import Agent, Mask
from smartrec.core.errors import InvalidConfig, InvalidInput

COUNTING = ["most_popular", "epsilon_greedy", "ucb", "thompson"]
OTHERS = ["random", "kalman_thompson"]
LINEAR = ["lin_ucb", "lin_ts", "lin_greedy", "hybrid_lin_ucb", "logistic_thompson", "boosted", "neural_linear"]
LIMITS = [{}, {"discount": 0.9}, {"window": 3}, {"discount": 0.8, "window": 2}]


def _featured(problem, features, **options):
    return replace(problem(len(features), features=1, **options), item_features=np.asarray(features, float))


CASES = [(name, limits) for name in COUNTING + LINEAR for limits in LIMITS] + [(name, {}) for name in OTHERS]


@pytest.mark.parametrize(("name", "limits"), CASES, ids=str)
def test_agents_go_on_with_more_items_and_after_saving(name, limits, tmp_path, problem, seen, feedback):
    rng = np.random.default_rng(0)
    features, clicks = rng.normal(size=(10, 20, 3)), rng.integers(2, size=(10, 20, 2))

    def live(agent, steps):
        decisions = []
        for step in steps:
            decisions.append(agent.act(seen(20, step, features[step])).action)
            agent.observe(feedback(decisions[-1], clicks[step], step, features[step]))
            agent.update()
        return np.array(decisions)

    agent = agents.make(name, problem(4, 2, features=3), seed=0, **limits)
    assert live(agent, range(4)).max() == 3
    agent.add_items(3, rng.normal(size=(3, 2)))
    assert agent.items == 7
    assert agent.problem.action_space.contains(np.array([6, 5]))
    assert agent.problem.item_features.shape == (7, 2)
    live(agent, range(4, 6))
    agent.save(tmp_path)
    loaded = agents.load(tmp_path)
    decisions = live(agent, range(6, 10))
    np.testing.assert_array_equal(live(loaded, range(6, 10)), decisions)
    new = Mask(np.arange(7)[None] >= 4)
    action = agent.act(seen(300, 10, rng.normal(size=(300, 3))), allowed=new).action
    assert set(action.ravel()) <= {4, 5, 6}


@pytest.mark.parametrize("name", COUNTING)
def test_known_items_keep_their_numbers_and_counts(name, problem, feedback):
    agent = agents.make(name, problem(3), seed=0)
    agent.observe(feedback([0, 1, 2, 2], [0, 0, 1, 1]))
    before = agent.counts.total.copy()
    agent.add_items(2)
    np.testing.assert_array_equal(agent.counts.total[:3], before)
    np.testing.assert_array_equal(agent.counts.total[3:], 0)
    agent.observe(feedback([4], [1]))
    assert agent.counts.clicks.tolist() == [0, 0, 2, 0, 1]


def test_rates_of_new_items_follow_their_features(problem, feedback, seen):
    """Known rates .8 and .2 at features 1 and -1; the prior counts as ``weight`` showings and is not forgotten."""
    agent = agents.make("thompson", _featured(problem, [[1], [-1], [1], [-1]]), seed=0, discount=0.5)
    for item, clicks in enumerate([80, 20, 80, 20]):
        agent.observe(feedback([item] * 100, [1] * clicks + [0] * (100 - clicks), 1))
    agent.add_items(3, np.array([[1.0], [-1.0], [0.0]]), weight=20.0)
    rates, shown = agent.counts.mean(unseen=9.0)[4:], agent.counts.shown[4:]
    np.testing.assert_allclose(shown, 20.0)
    assert rates[0] > 0.65
    assert rates[1] < 0.35
    assert rates[2] == pytest.approx(0.5, abs=1e-6)
    agent.act(seen(1, 9, np.zeros((1, 1))))
    np.testing.assert_allclose(agent.counts.shown[4:], 20.0)
    assert agent.counts.shown[0] < 1


def test_weights_of_new_items_follow_their_features(problem, feedback):
    """Slope of item i on the user is its feature: a new item of feature .5 starts from a slope near .5."""
    known = np.linspace(-1, 1, 9)[:, None]
    agent = agents.make("lin_ucb", _featured(problem, known), seed=0)
    rng = np.random.default_rng(0)
    x, items = rng.normal(size=(4000, 1)), rng.integers(9, size=4000)
    agent.fit(feedback(items, x[:, 0] * known[items, 0], features=x))
    agent.add_items(2, np.array([[0.5], [-0.5]]))
    np.testing.assert_allclose(agent.models.theta[9:, 1], [0.5, -0.5], atol=0.06)
    agent.fit(feedback([9] * 300, x[:300, 0] * -0.8, features=x[:300]))
    assert agent.models.theta[9, 1] < -0.7  # feedback outweighs ten showings' worth of prior
    assert agent.models.theta[10, 1] == pytest.approx(-0.5, abs=0.06)


def test_without_features_new_linear_models_are_new(problem, feedback):
    agent = agents.make("lin_ucb", problem(3, features=2), seed=0)
    agent.fit(feedback([0, 1, 2], [1, 1, 1], features=np.ones((3, 2))))
    agent.add_items(1)
    fresh = agents.make("lin_ucb", problem(1, features=2), seed=0)
    np.testing.assert_array_equal(agent.models.theta[3:], fresh.models.theta)
    covariances = [one.models.scorer.covariances(slice(-1, None)) for one in (agent, fresh)]
    np.testing.assert_array_equal(*covariances)
    assert np.isnan(agent.problem.item_features[3]).all()


@pytest.mark.parametrize("name", ["thompson", *OTHERS])
def test_new_items_of_one_prior_are_not_all_the_same_draw(name, problem, seen):
    agent = agents.make(name, problem(2), seed=0)
    agent.add_items(8)
    assert np.bincount(agent.act(seen(2000)).action, minlength=10).min() > 100


@pytest.mark.parametrize(("count", "weight"), [(0, 1.0), (-1, 1.0), (1.5, 1.0), (2, -1.0)])
def test_arguments_out_of_range_are_refused(count, weight, problem):
    with pytest.raises(InvalidConfig, match="allowed: a"):
        agents.make("thompson", problem(3), seed=0).add_items(count, weight=weight)


def test_features_that_do_not_fit_are_refused_before_anything_changes(problem):
    agent = agents.make("lin_ucb", problem(3, features=2), seed=0)
    for wrong in (np.zeros((2, 3)), np.zeros((1, 2)), np.full((2, 2), np.nan)):
        with pytest.raises(InvalidInput, match=r"allowed: finite numbers of shape \(2, 2\)"):
            agent.add_items(2, wrong)
    with pytest.raises(InvalidInput, match="HybridLinUCB scores by features"):
        agents.make("hybrid_lin_ucb", problem(3, features=2), seed=0).add_items(2)
    with pytest.raises(InvalidConfig, match="the problem has none of the known items"):
        agents.make("thompson", problem(3), seed=0).add_items(1, np.zeros((1, 2)))
    assert agent.items == 3
    assert len(agent.models.theta) == 3


class Stiff(Agent):
    def __init__(self, problem, config=None, *, seed):
        super().__init__(problem, config, seed=seed)
        self.table = np.zeros(self.items)

    def act(self, observation, *, first=None, allowed=None, explore=True):
        return self.choose(self.table, observation, allowed)


class Blank(Agent):
    def act(self, observation, *, first=None, allowed=None, explore=True):
        return self.choose(np.zeros(self.items), observation, allowed)


def test_agents_that_cannot_grow_say_so(problem):
    with pytest.raises(InvalidConfig, match=r"Stiff takes no new items \(its table cannot grow\); make it anew"):
        Stiff(problem(3), seed=0).add_items(1)
    with pytest.raises(InvalidConfig, match=r"Blank takes no new items \(nothing in it counts items\)"):
        Blank(problem(3), seed=0).add_items(1)
