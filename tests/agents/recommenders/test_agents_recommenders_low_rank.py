"""Hidden taste: regressions against direct solutions, planted tastes found, and items let in one by one."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from scipy.sparse import csr_matrix

import smartrec
from smartrec import agents
from smartrec.agents.recommenders.taste import Taste
from smartrec.core import Decision, Problem, Slate, Transitions
from smartrec.core.errors import InvalidConfig

SPREADS = {"user_spread": 0.3, "item_spread": 0.2, "taste_spread": 0.5}


def _tables(seed=0, users=8, items=12):
    rng = np.random.default_rng(seed)
    shown = rng.integers(1, 4, size=(users, items)) * (rng.random((users, items)) < 0.6)
    shown[0] = 0
    clicks = rng.binomial(shown, 0.4)
    shown, clicks = shown.astype(float), clicks.astype(float)
    pattern = csr_matrix(shown)
    same = pattern.copy()
    same.data = clicks[pattern.nonzero()]
    return shown, clicks, pattern, same


def _regression(weights, centred, others, spread, base=0.0):
    """Return mean and covariance of one vector, from sums written out pair by pair."""
    precision, right = np.diag(1 / spread), np.zeros(len(spread))
    right[0] = base / spread[0]
    for w, c, mean, covariance in zip(weights, centred, *others, strict=True):
        # The logit is known + free . (1, taste): the other's own first weight is what this side cannot change.
        known, free = mean[1], np.array([1.0, *mean[2:]])
        square, with_known = np.outer(free, free), known * free
        square[1:, 1:] += covariance[1:, 1:]
        with_known[1:] += covariance[0, 1:]
        precision += w * square
        right += c * free - w * with_known
    return np.linalg.solve(precision, right), np.linalg.inv(precision)


def _steep(logits):
    return np.tanh(logits / 2) / (2 * logits)


def test_users_and_items_are_the_regressions_written_out():
    shown, clicks, pattern, same = _tables()
    taste, rng = Taste(3, **SPREADS), np.random.default_rng(1)
    taste.base = -0.7
    taste.admit(12, rng)
    taste.learn(pattern, same)  # so that vectors are no longer the first draw
    items, users = taste.items, taste.users(pattern, same)
    user_spread, item_spread = np.array([0.3, 1, 1, 1]), np.array([0.2, 0.5, 0.5, 0.5])
    turned = items.mean[:, [1, 0, 2, 3, 4]].astype(float)
    for user in range(8):
        logits, centred = turned[:, 0], clicks[user] - shown[user] / 2
        for _ in range(2):
            mean, covariance = _regression(_steep(logits) * shown[user], centred, items, user_spread)
            logits = turned @ [1.0, *mean]
        np.testing.assert_allclose(users.mean[user], [1.0, *mean], atol=1e-4)
        np.testing.assert_allclose(users.covariance[user], covariance, atol=1e-4)
    np.testing.assert_array_equal(users.mean[0], [1, 0, 0, 0, 0])  # of whom nothing is known: the prior
    np.testing.assert_allclose(users.covariance[0], np.diag(user_spread), rtol=1e-6)
    np.testing.assert_allclose(taste.expected(users), users.mean @ turned.T, atol=1e-5)

    steep = _steep(users.mean.astype(float) @ turned.T)
    taste.learn(pattern, same)
    for item in range(12):
        weights, centred = steep[:, item] * shown[:, item], clicks[:, item] - shown[:, item] / 2
        mean, covariance = _regression(weights, centred, users, item_spread, base=-0.7)
        np.testing.assert_allclose(taste.items.mean[item], [1.0, *mean], atol=1e-4)
        np.testing.assert_allclose(taste.items.covariance[item], covariance, atol=1e-4)


def test_without_taste_the_appeal_is_the_logistic_regressions():
    """One user of no readiness and no taste: the appeal is the mode of a logistic regression with a normal prior."""
    taste = Taste(1, user_spread=1e-9, item_spread=0.5, taste_spread=1e-9)
    taste.base = -1.0
    taste.admit(1, np.random.default_rng(0))
    table = csr_matrix(np.full((1, 1), 30.0)), csr_matrix(np.full((1, 1), 21.0))
    for _ in range(50):
        taste.learn(*table)
    appeal = taste.items.mean[0, 1]
    assert 21 - 30 / (1 + np.exp(-appeal)) - (appeal + 1) / 0.5 == pytest.approx(0, abs=1e-3)


def _problem(users, items, size=5):
    return Problem.from_spaces(spaces.Dict(user=spaces.Discrete(users)), Slate(items, size), discount=0.0)


def _answers(truth, users, slates, rng):
    observation, lanes = {"user": users}, len(users)
    responses = (rng.random(slates.shape) < truth[users[:, None], slates]).astype(float)
    return Transitions(
        observation=observation,
        decision=Decision(slates),
        responses=responses,
        observed=np.ones(slates.shape, bool),
        reward=responses.sum(axis=1),
        next_observation=observation,
        terminated=np.ones(lanes, bool),
        truncated=np.zeros(lanes, bool),
        visit=np.arange(lanes),
        step=np.zeros(lanes, int),
    )


def _planted(users=300, items=40, rank=3, seed=0):
    rng = np.random.default_rng(seed)
    return 1 / (1 + np.exp(1.0 - rng.normal(size=(users, rank)) @ rng.normal(size=(rank, items))))


def _earned(truth, agent, explore=False):
    slates = agent.act({"user": np.arange(len(truth))}, explore=explore).action
    return np.take_along_axis(truth, slates, 1).sum(axis=1).mean()


def test_a_planted_taste_is_found_in_a_log():
    truth, rng = _planted(), np.random.default_rng(1)
    agent = agents.make("low_rank_thompson", _problem(300, 40), seed=0, rank=4)
    users = np.tile(np.arange(300), 12)
    agent.fit(_answers(truth, users, np.argsort(rng.random((len(users), 40)), axis=1)[:, :5], rng))
    oracle, popular = np.sort(truth, axis=1)[:, -5:].sum(axis=1).mean(), np.sort(truth.mean(axis=0))[-5:].sum()
    assert _earned(truth, agent) > popular + 0.8 * (oracle - popular)
    known = agent.taste.expected(agent.taste.users(*agent._tables(np.arange(300))))
    logits = np.log(truth / (1 - truth))[:, agent.panel]
    correlation = [np.corrcoef(pair)[0, 1] for pair in zip(known, logits, strict=True)]
    assert np.mean(correlation) > 0.8


def test_a_new_user_gets_what_most_like_and_draws_from_the_population():
    truth, rng = np.tile(np.linspace(0.1, 0.9, 40), (60, 1)), np.random.default_rng(1)
    agent = agents.make("low_rank_thompson", _problem(60, 40), seed=0, item_spread=1.0)
    users = np.tile(np.arange(50), 12)
    agent.fit(_answers(truth, users, np.argsort(rng.random((len(users), 40)), axis=1)[:, :5], rng))
    best = agent.act({"user": np.array([55])}, explore=False).action[0]
    assert truth[0][best].mean() > 0.8
    drawn = agent.act({"user": np.full(500, 55)}).action
    assert len(np.unique(drawn)) > 10


def test_items_are_let_in_as_answers_come():
    truth, rng = np.full((300, 100), 0.3), np.random.default_rng(1)
    agent = agents.make(
        "low_rank_thompson", _problem(300, 100), seed=0, first_items=30, answers_per_item=50, refit_every=100
    )
    order = agent.order.copy()
    for step in range(1, 8):
        users = np.arange(100)
        slates = agent.act({"user": users}).action
        assert set(np.unique(slates)) <= set(agent.panel)
        agent.observe(_answers(truth, users, slates, rng))
        agent.update()
        np.testing.assert_array_equal(agent.panel, order[: max(30, step * 500 // 50)])
    outside = agents.Mask(~np.isin(np.arange(100), agent.panel)[None])
    shown = agent.act({"user": np.arange(100)}, allowed=outside).action
    assert set(np.unique(shown)) == set(order[len(agent.panel) :])  # at random, where nothing let in is allowed


def test_all_items_of_a_log_are_let_in():
    truth, rng = np.full((50, 100), 0.3), np.random.default_rng(1)
    agent = agents.make("low_rank_thompson", _problem(50, 100), seed=0)
    slates = np.argsort(rng.random((50, 60)), axis=1)[:, :5] + 40
    agent.fit(_answers(truth, np.arange(50), slates, rng))
    assert set(np.unique(slates)) <= set(agent.panel)


@pytest.mark.slow
def test_it_beats_the_best_fixed_slate_on_task_4_within_50_iterations():
    envs = gym.make_vec("SmartRec/Task4-v0", num_envs=100, n_users=1000)
    agent = agents.make("low_rank_thompson", envs, seed=0)
    metrics = smartrec.evaluation.run(agent, envs, seed=0).metrics
    assert metrics["final_expected"] > metrics["final_best_fixed"] + 0.1


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("rank", 0),
        ("width", -0.1),
        ("user_spread", 0.0),
        ("item_spread", np.inf),
        ("taste_spread", 0.0),
        ("answers_per_item", 0.0),
        ("first_items", 0),
        ("refit_every", 0),
    ],
)
def test_options_out_of_range_are_refused(option, value):
    with pytest.raises(InvalidConfig, match=option):
        agents.make("low_rank_thompson", _problem(5, 10), seed=0, **{option: value})
