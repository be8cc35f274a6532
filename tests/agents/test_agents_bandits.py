"""The formulas of the bandits by hand, by closed forms, and by MABWiser as an oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mabwiser.mab import MAB, LearningPolicy

from smartrec import agents
from smartrec.agents import Mask
from smartrec.core.errors import InvalidConfig, InvalidInput


def _ridge(x, responses, ridge=1.0, weights=None):
    """Return A and theta of one item by the closed form."""
    weights = np.ones(len(x)) if weights is None else weights
    gram = ridge * np.eye(x.shape[1]) + (x * weights[:, None]).T @ x
    return gram, np.linalg.solve(gram, x.T @ (weights * responses))


def _with_one(x):
    return np.column_stack([np.ones(len(x)), x])


# Counts


def test_ucb_is_replays_formula(problem, feedback):
    """8 showings: item 0 3 of 5, item 1 2 of 3, item 2 none; c = 0.1."""
    agent = agents.make("ucb", problem(3), seed=0, coefficient=0.1)
    np.testing.assert_array_equal(agent.scores(), 1.0)
    agent.observe(feedback([0] * 5 + [1] * 3, [1, 1, 1, 0, 0, 1, 1, 0]))
    spread = 0.1 * np.log(8)
    by_hand = [3 / 5 + np.sqrt(spread / 5), 2 / 3 + np.sqrt(spread / 3), 1 + np.sqrt(spread)]
    np.testing.assert_allclose(agent.scores(), by_hand, rtol=1e-12)


def test_ucb_shows_the_largest_bounds_and_without_exploring_the_best_means(problem, seen, feedback):
    agent = agents.make("ucb", problem(4, slate_size=2), seed=0)
    slates = [[0, 1]] * 20 + [[2, 0]] * 2
    agent.observe(feedback(slates, [[0, 1]] * 20 + [[1, 0], [0, 0]]))
    assert (agent.act(seen(5)).action == [3, 2]).all()  # never shown, then shown twice
    assert (agent.act(seen(5), explore=False).action == [1, 2]).all()


def test_ucb_sampling_draws_in_proportion_to_the_scores(problem, seen, feedback):
    agent = agents.make("ucb", problem(3), seed=0, coefficient=0.1, sample=True)
    agent.observe(feedback([0] * 5 + [1] * 3, [1, 1, 1, 0, 0, 1, 1, 0]))
    decision = agent.act(seen(40_000))
    exact = agent.scores() / agent.scores().sum()
    np.testing.assert_allclose(np.bincount(decision.action) / 40_000, exact, atol=0.012)
    np.testing.assert_allclose(np.exp(decision.log_probability), exact[decision.action])


def test_ucb_sampling_fills_a_slate_with_scores_of_zero(problem, seen, feedback):
    """After one showing without a click ln n is 0 and so is the score: a slate of all items needs it."""
    agent = agents.make("ucb", problem(3, slate_size=3), seed=0, sample=True)
    agent.observe(feedback([[0, 1, 2]], [[0, 0, 0]], observed=[True, False, False]))
    decision = agent.act(seen(500))
    assert (decision.action[:, 2] == 0).all()
    np.testing.assert_allclose(decision.log_probability, np.log(0.5), atol=1e-9)
    agent = agents.make("ucb", problem(3), seed=0, sample=True)
    agent.observe(feedback([0], [0]))
    decision = agent.act(seen(2), allowed=Mask(np.array([[True, False, False]])))
    assert (decision.action == 0).all()
    np.testing.assert_allclose(decision.log_probability, 0.0, atol=1e-9)


def test_ucb_bounds_stay_finite_when_a_showing_has_all_but_faded(problem, seen, feedback):
    agent = agents.make("ucb", problem(2), seed=0, discount=0.5)
    agent.observe(feedback([0], [1], clock=1))
    agent.observe(feedback([1] * 50, [1] * 50, clock=1060))
    assert np.isfinite(agent.scores()).all()
    assert (agent.act(seen(5, 1060)).action == 0).all()


def test_thompson_means_are_the_posteriors_and_its_draws_have_their_spread(problem, seen, feedback):
    options = {"prior_clicks": 2.0, "prior_misses": 3.0}
    agent = agents.make("thompson", problem(2), seed=0, **options)
    agent.observe(feedback([0] * 10 + [1] * 4, [1] * 6 + [0] * 4 + [1, 1, 0, 0]))
    # Beta(8, 7) and Beta(4, 5): means 8/15 and 4/9.
    assert (agent.act(seen(9), explore=False).action == 0).all()
    rng = np.random.default_rng(0)
    exact = (rng.beta(8, 7, 400_000) > rng.beta(4, 5, 400_000)).mean()
    assert (agent.act(seen(40_000)).action == 0).mean() == pytest.approx(exact, abs=0.012)
    assert agent.act(seen(3)).log_probability is None


def test_thompson_draws_for_each_user(problem, seen):
    action = agents.make("thompson", problem(10), seed=0).act(seen(1000)).action
    assert np.bincount(action, minlength=10).min() > 50


def test_epsilon_greedy_tries_what_was_never_shown_and_exploits_what_was_clicked(problem, seen, feedback):
    agent = agents.make("epsilon_greedy", problem(3), seed=0, epsilon=0.0)
    agent.observe(feedback([0, 0, 1], [1, 0, 0]))
    assert (agent.act(seen(20)).action == 2).all()
    assert (agent.act(seen(20), explore=False).action == 0).all()
    agent = agents.make("epsilon_greedy", problem(3), seed=0, epsilon=0.6, unseen=0.0)
    agent.observe(feedback([0, 0, 1], [1, 0, 0]))
    assert (agent.act(seen(30_000)).action != 0).mean() == pytest.approx(0.4, abs=0.015)


def test_most_popular_counts_clicks_and_not_rates(problem, seen, feedback):
    agent = agents.make("most_popular", problem(2), seed=0)
    agent.observe(feedback([0] * 9 + [1], [1, 1] + [0] * 7 + [1]))
    assert (agent.act(seen(5)).action == 0).all()


@pytest.mark.parametrize("name", ["most_popular", "epsilon_greedy", "ucb", "thompson"])
def test_responses_that_are_no_clicks_are_refused(name, problem, feedback):
    with pytest.raises(InvalidInput, match=r"2\.0 to 2\.0; allowed: 0 to 1"):
        agents.make(name, problem(2), seed=0).observe(feedback([0], [2.0]))


# LinUCB


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    slate_size=st.sampled_from([1, 3]),
    intercept=st.booleans(),
    ridge=st.sampled_from([0.1, 1.0, 10.0]),
    limits=st.sampled_from([(1.0, None), (0.8, None), (1.0, 3), (0.9, 2)]),
)
def test_lin_ucb_is_ridge_regression(seed, slate_size, intercept, ridge, limits, problem, seen, feedback):
    """Random batches with repeated items, slates, positions nobody saw, late feedback, window and discount."""
    rng = np.random.default_rng(seed)
    options = {"ridge": ridge, "intercept": intercept, "discount": limits[0], "window": limits[1]}
    agent = agents.make("lin_ucb", problem(5, slate_size, features=4), seed=0, **options)
    rows = []
    for clock in range(6):
        lanes = int(rng.integers(1, 9))
        features, given_at = rng.normal(size=(lanes, 4)), max(clock - int(rng.integers(3)), 0)
        agent.act(seen(lanes, clock, features))
        slates = rng.permuted(np.tile(np.arange(5), (lanes, 1)), axis=1)[:, :slate_size]
        responses, observed = rng.random(slates.shape), rng.random(slates.shape) < 0.8
        items = slates[:, 0] if slate_size == 1 else slates
        agent.observe(feedback(items, responses, given_at, features, observed))
        agent.update()
        x = _with_one(features) if intercept else features
        rows += [(x[n], slates[n, k], responses[n, k], given_at) for n, k in zip(*np.nonzero(observed), strict=True)]
    for item in range(5):
        mine = [row for row in rows if row[1] == item and (limits[1] is None or 5 - row[3] <= limits[1])]
        x = np.array([row[0] for row in mine]).reshape(len(mine), 4 + intercept)
        weights = np.array([limits[0] ** (5 - row[3]) for row in mine])
        _, theta = _ridge(x, np.array([row[2] for row in mine]), ridge, weights)
        np.testing.assert_allclose(agent.models.theta[item], theta, atol=1e-8)


def test_lin_ucb_learns_from_a_log_in_one_piece(problem, feedback):
    """Feedback of several ticks without acting in between: all items have the age of the last tick."""
    features = np.random.default_rng(0).normal(size=(3, 2))
    agent = agents.make("lin_ucb", problem(2, features=2), seed=0, discount=0.5)
    agent.fit(feedback([0], [1], clock=1, features=features[:1]))
    agent.fit(feedback([1], [1], clock=4, features=features[1:2]))
    _, theta = _ridge(_with_one(features[:1]), np.ones(1), weights=np.array([1 / 8]))
    np.testing.assert_allclose(agent.models.theta[0], theta, atol=1e-12)


def test_lin_ucb_learns_from_more_rows_than_a_block(problem, feedback, monkeypatch):
    monkeypatch.setattr("smartrec.agents.bandits.linear.BLOCK", 7)
    rng = np.random.default_rng(0)
    features, items, responses = rng.normal(size=(100, 2)), rng.integers(3, size=100), rng.random(100)
    agent = agents.make("lin_ucb", problem(3, features=2), seed=0)
    agent.fit(feedback(items, responses, features=features))
    for item in range(3):
        _, theta = _ridge(_with_one(features[items == item]), responses[items == item])
        np.testing.assert_allclose(agent.models.theta[item], theta, atol=1e-10)


@pytest.fixture
def trained(problem, feedback):
    """A function from options to an agent, its features, items and responses."""

    def train(d=6, items=8, rows=300, **options):
        rng = np.random.default_rng(4)
        x, shown = rng.normal(size=(rows, d)).astype(np.float32), rng.integers(items, size=rows)
        responses = rng.random(rows)
        agent = agents.make("lin_ucb", problem(items, features=d), seed=0, **options)
        agent.observe(feedback(shown, responses, features=x))
        agent.update()
        return agent, x, shown, responses

    return train


def test_lin_ucb_without_a_bound_is_ridge_regressions_argmax(trained, seen):
    agent, x, shown, responses = trained(alpha=0.0)
    users = np.random.default_rng(5).normal(size=(500, 6))
    thetas = np.array([_ridge(_with_one(x[shown == i]), responses[shown == i])[1] for i in range(8)])
    scores = _with_one(users) @ thetas.T
    clear = np.diff(np.sort(scores, axis=1)[:, -2:], axis=1)[:, 0] > 1e-4
    assert clear.mean() > 0.95
    for explore in (True, False):
        action = agent.act(seen(500, features=users), explore=explore).action
        np.testing.assert_array_equal(action[clear], scores.argmax(axis=1)[clear])


def test_lin_ucb_scores_are_the_upper_bounds(trained, seen, monkeypatch):
    """All scores against theta . x + alpha sqrt(x' A^-1 x) solved one by one; they are single precision."""
    agent, x, shown, responses = trained(alpha=0.7, ridge=2.0)
    users = np.random.default_rng(5).normal(size=(50, 6))
    got = {}
    restrict = type(agent).restrict
    monkeypatch.setattr(type(agent), "restrict", lambda *given: got.update(s=given[1]) or restrict(*given))
    agent.act(seen(50, features=users))
    for item in range(8):
        gram, theta = _ridge(_with_one(x[shown == item]), responses[shown == item], 2.0)
        z = _with_one(users)
        bound = np.sqrt(np.einsum("nd,nd->n", z, np.linalg.solve(gram, z.T).T))
        np.testing.assert_allclose(got["s"][:, item], z @ theta + 0.7 * bound, rtol=2e-5, atol=2e-5)


def test_lin_ucb_agrees_with_mabwiser(trained, seen, monkeypatch):
    """At l2_lambda = 1; elsewhere MABWiser's bound of arms never played is wrong."""
    agent, x, shown, responses = trained(alpha=1.25, intercept=False)
    oracle = MAB(list(range(8)), LearningPolicy.LinUCB(alpha=1.25, l2_lambda=1.0))
    oracle.fit(decisions=shown, rewards=responses, contexts=x)
    users = np.random.default_rng(6).normal(size=(40, 6)).astype(np.float32)
    expected = np.array([[row[i] for i in range(8)] for row in oracle.predict_expectations(users)])
    got = {}
    restrict = type(agent).restrict
    monkeypatch.setattr(type(agent), "restrict", lambda *given: got.update(s=given[1]) or restrict(*given))
    action = agent.act(seen(40, features=users)).action
    np.testing.assert_allclose(got["s"], expected, rtol=2e-5, atol=2e-5)
    clear = np.diff(np.sort(expected, axis=1)[:, -2:], axis=1)[:, 0] > 1e-3
    np.testing.assert_array_equal(action[clear], expected.argmax(axis=1)[clear])


def test_lin_ucb_stays_exact_over_ten_thousand_updates(problem, feedback):
    rng = np.random.default_rng(0)
    x, responses = rng.normal(size=(10_000, 5)), rng.random(10_000)
    agent = agents.make("lin_ucb", problem(2, features=5), seed=0)
    for start in range(0, 10_000, 50):
        rows = slice(start, start + 50)
        agent.observe(feedback(np.zeros(50, int), responses[rows], features=x[rows], clock=start))
        agent.update()
    _, theta = _ridge(_with_one(x), responses)
    np.testing.assert_allclose(agent.models.theta[0], theta, atol=1e-10)


def test_a_batch_of_new_users_does_not_get_one_item(problem, seen):
    """1000 users, 20 features, 10 items: with the first index winning ties all would get item 0."""
    users = np.random.default_rng(0).normal(size=(1000, 20)).astype(np.float32)
    for options in ({}, {"alpha": 2.0, "ridge": 3.0}, {"alpha": 0.0}):
        agent = agents.make("lin_ucb", problem(10, features=20), seed=0, **options)
        assert np.bincount(agent.act(seen(1000, features=users)).action, minlength=10).min() > 50


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_lin_ucb_refuses_features_that_are_no_numbers(wrong, problem, seen, feedback):
    agent = agents.make("lin_ucb", problem(3, features=2), seed=0)
    features = np.zeros((4, 2))
    features[2, 1] = wrong
    with pytest.raises(InvalidInput, match=rf"user_features\[2, 1\] = {wrong}; allowed: finite"):
        agent.act(seen(4, 0, features))
    with pytest.raises(InvalidInput, match=r"user_features\[2, 1\]"):
        agent.observe(feedback([0, 1, 2, 0], [1] * 4, clock=[1, 2, 3, 4], features=features))
    with pytest.raises(InvalidInput, match=r"responses\[1, 0\] = nan"):
        agent.observe(feedback([0, 1], [1, np.nan], clock=[1, 2], features=np.zeros((2, 2))))
    assert (agent.models.products.sums == 0).all()


def test_lin_ucb_needs_features(problem):
    with pytest.raises(InvalidConfig, match="LinUCB needs user_features"):
        agents.make("lin_ucb", problem(3), seed=0)
