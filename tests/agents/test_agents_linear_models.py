"""Linear and model-based bandits against oracles: MABWiser, dense joint regressions, scikit-learn, and XOR."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mabwiser.mab import MAB, LearningPolicy
from sklearn.linear_model import LogisticRegression

from smartrec import agents
from smartrec.core.errors import InvalidConfig, InvalidInput


def _with_one(x):
    return np.column_stack([np.ones(len(x)), x])


def _scores(monkeypatch, agent, users, **options):
    """Return the scores that ``act`` chooses by, [N, I]."""
    got = {}
    restrict = type(agent).restrict
    with monkeypatch.context() as patch:
        patch.setattr(type(agent), "restrict", lambda *given: got.update(s=given[1]) or restrict(*given))
        agent.act(users, **options)
    return got["s"]


@pytest.fixture
def learnt(problem, feedback):
    """A function from a name and options to an agent, its features, items and responses."""

    def learn(name, rows=300, d=4, items=5, **options):
        rng = np.random.default_rng(4)
        x, shown = rng.normal(size=(rows, d)), rng.integers(items, size=rows)
        responses = (rng.random(rows) < 1 / (1 + np.exp(-x[:, 0] - shown + 2))).astype(float)
        agent = agents.make(name, problem(items, features=d), seed=0, **options)
        agent.fit(feedback(shown, responses, features=x))
        return agent, x, shown, responses

    return learn


# Disjoint linear models


def test_lin_ts_draws_have_the_law_of_drawn_weights(learnt, seen, monkeypatch):
    agent, x, shown, responses = learnt("lin_ts", v=0.7, ridge=2.0)
    user = np.array([[0.3, -1.0, 0.5, 2.0]])
    scores = _scores(monkeypatch, agent, seen(20_000, features=np.repeat(user, 20_000, axis=0)))
    (z,) = _with_one(user)
    for item in range(5):
        rows = _with_one(x[shown == item])
        gram = 2.0 * np.eye(5) + rows.T @ rows
        mean = z @ np.linalg.solve(gram, rows.T @ responses[shown == item])
        spread = 0.7 * np.sqrt(z @ np.linalg.solve(gram, z))
        assert scores[:, item].mean() == pytest.approx(mean, abs=5 * spread / np.sqrt(20_000))
        assert scores[:, item].std() == pytest.approx(spread, rel=0.03)
    correlations = np.corrcoef(scores.T)[np.triu_indices(5, 1)]
    assert np.abs(correlations).max() < 0.04


@pytest.mark.parametrize(("name", "options"), [("lin_ts", {}), ("lin_greedy", {"epsilon": 0.0})])
def test_means_agree_with_mabwiser(name, options, learnt, seen, monkeypatch):
    """At l2_lambda = 1, where MABWiser starts its inverses right."""
    agent, x, shown, responses = learnt(name, intercept=False, **options)
    policy = LearningPolicy.LinGreedy(epsilon=0.0, l2_lambda=1.0)
    oracle = MAB(list(range(5)), policy)
    oracle.fit(decisions=shown, rewards=responses, contexts=x)
    users = np.random.default_rng(6).normal(size=(40, 4))
    expected = np.array([[row[i] for i in range(5)] for row in oracle.predict_expectations(users)])
    got = _scores(monkeypatch, agent, seen(40, features=users), explore=False)
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_lin_ts_draws_as_mabwiser_does(learnt, seen, monkeypatch):
    """Mean and spread of each item's draws; not their choices, for MABWiser gives all items of a row one seed."""
    agent, x, shown, responses = learnt("lin_ts", intercept=False, v=0.5)
    oracle = MAB(list(range(5)), LearningPolicy.LinTS(alpha=0.5, l2_lambda=1.0), seed=3)
    oracle.fit(decisions=shown, rewards=responses, contexts=x)
    users = np.tile([[0.1, 0.8, -0.4, 0.3]], (4000, 1))
    theirs = np.array([[row[i] for i in range(5)] for row in oracle.predict_expectations(users)])
    ours = _scores(monkeypatch, agent, seen(4000, features=users))
    errors = 5 * theirs.std(axis=0) * np.sqrt(2 / 4000)
    assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) < errors).all()
    np.testing.assert_allclose(ours.std(axis=0), theirs.std(axis=0), rtol=0.08)


def test_lin_greedy_explores_epsilon_of_the_time(learnt, seen):
    agent, *_ = learnt("lin_greedy", epsilon=0.5)
    users = seen(20_000, features=np.tile([[1.0, 0.0, 0.0, 0.0]], (20_000, 1)))
    (best,) = np.unique(agent.act(users, explore=False).action)
    decision = agent.act(users)
    assert (decision.action == best).mean() == pytest.approx(0.6, abs=0.015)
    np.testing.assert_allclose(np.exp(decision.log_probability), np.where(decision.action == best, 0.6, 0.1))


# Hybrid


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), own=st.booleans(), ridge=st.sampled_from([0.3, 1.0, 4.0]))
def test_hybrid_is_the_dense_joint_ridge_regression(seed, own, ridge, problem, feedback, seen):
    """With the covariance of the joint estimate, block by block, and with a discount as weights."""
    rng = np.random.default_rng(seed)
    asked, items, d, shared_ridge = problem(4, features=2), 4, 3, 0.5
    options = {"own": own, "ridge": ridge, "shared_ridge": shared_ridge, "discount": 0.8}
    agent = agents.make("hybrid_lin_ucb", asked, seed=0, **options)
    v, rows = agent.item_rows(), []
    for clock in range(4):
        x, shown, responses = rng.normal(size=(6, 2)), rng.integers(items - 1, size=6), rng.random(6)
        agent.fit(feedback(shown, responses, clock, x))
        rows += [
            (one, item, r, 0.8 ** (3 - clock)) for one, item, r in zip(_with_one(x), shown, responses, strict=True)
        ]
    k = d * v.shape[1]
    size = k + items * d * own

    def dense(x, item):
        row = np.zeros(size)
        row[:k] = np.outer(x, v[item]).ravel()
        if own:
            row[k + item * d : k + (item + 1) * d] = x
        return row

    z = np.array([dense(x, item) for x, item, _, _ in rows])
    r, weights = (np.array([row[part] for row in rows]) for part in (2, 3))
    gram = np.diag(np.where(np.arange(size) < k, shared_ridge, ridge)) + (z * weights[:, None]).T @ z
    solution, covariance = np.linalg.solve(gram, z.T @ (weights * r)), np.linalg.inv(gram)
    for item in range(items):  # the last was never shown
        basis = np.array([dense(x, item) for x in np.eye(d)])
        np.testing.assert_allclose(agent.scorer.theta[item], basis @ solution, atol=1e-8)
        expected = basis @ covariance @ basis.T
        np.testing.assert_allclose(agent.scorer.covariances(slice(item, item + 1))[0], expected, rtol=1e-5, atol=1e-6)


def test_hybrid_scores_an_item_that_nobody_saw_by_its_features(problem, feedback, seen):
    asked = replace(problem(4, features=1), item_features=np.array([[1.0, 0.0], [-1.0, 0.0], [0.9, 0.1], [-0.9, 0.1]]))
    rng = np.random.default_rng(0)
    x, shown = rng.choice([-1.0, 1.0], size=(400, 1)), rng.integers(2, size=400)
    clicked = (x[:, 0] > 0) == (shown == 0)
    agent = agents.make("hybrid_lin_ucb", asked, seed=0, alpha=0.0)
    agent.fit(feedback(shown, clicked, features=x))
    users = seen(2, features=np.array([[1.0], [-1.0]]))
    unseen = agents.Mask(np.array([[False, False, True, True]]))
    assert agent.act(users, allowed=unseen).action.tolist() == [2, 3]


def test_hybrid_needs_item_features(problem):
    with pytest.raises(InvalidConfig, match="HybridLinUCB needs item_features"):
        agents.make("hybrid_lin_ucb", replace(problem(3, features=2), item_features=None), seed=0)
    wide = replace(problem(3, features=60), item_features=np.zeros((3, 100)))
    with pytest.raises(InvalidConfig, match="6161 shared weights; allowed: up to 5000"):
        agents.make("hybrid_lin_ucb", wide, seed=0)


# Logistic


@pytest.mark.parametrize("ridge", [0.1, 1.0, 5.0])
def test_logistic_modes_are_scikit_learns(ridge, learnt):
    agent, x, shown, responses = learnt("logistic_thompson", ridge=ridge)
    for item in range(5):
        oracle = LogisticRegression(C=1 / ridge, fit_intercept=False, tol=1e-10, max_iter=1000)
        oracle.fit(_with_one(x[shown == item]), responses[shown == item])
        np.testing.assert_allclose(agent.models.scorer.theta[item], oracle.coef_[0], atol=1e-4)


def test_logistic_modes_are_the_same_piece_by_piece_and_weighed_by_age(problem, feedback):
    rng = np.random.default_rng(0)
    x, shown, clicks = rng.normal(size=(60, 2)), rng.integers(3, size=60), rng.integers(2, size=60)
    agent = agents.make("logistic_thompson", problem(3, features=2), seed=0, discount=0.7, window=4)
    for clock in range(6):
        part = slice(10 * clock, 10 * clock + 10)
        agent.fit(feedback(shown[part], clicks[part], clock, x[part]))
    ages = 5 - np.repeat(np.arange(6), 10)
    for item in range(3):
        rows = (shown == item) & (ages <= 4)
        oracle = LogisticRegression(C=1.0, fit_intercept=False, tol=1e-10, max_iter=1000)
        oracle.fit(_with_one(x[rows]), clicks[rows], sample_weight=0.7 ** ages[rows])
        np.testing.assert_allclose(agent.models.scorer.theta[item], oracle.coef_[0], atol=1e-4)


def test_logistic_keeps_no_more_than_its_experience(problem, feedback):
    rng = np.random.default_rng(0)
    x, shown, clicks = rng.normal(size=(90, 2)), rng.integers(3, size=90), rng.integers(2, size=90)
    bounded = agents.make("logistic_thompson", problem(3, features=2), seed=0, experience=40)
    for start in range(0, 90, 10):
        part = slice(start, start + 10)
        bounded.fit(feedback(shown[part], clicks[part], start, x[part]))
    last = agents.make("logistic_thompson", problem(3, features=2), seed=0)
    last.fit(feedback(shown[50:], clicks[50:], 0, x[50:]))
    assert len(bounded.experience.old.items) == 40
    np.testing.assert_allclose(bounded.models.scorer.theta, last.models.scorer.theta, atol=1e-7)


def test_logistic_survives_separable_clicks_and_refuses_what_is_no_click(problem, feedback):
    agent = agents.make("logistic_thompson", problem(2, features=1), seed=0, ridge=1e-4)
    agent.fit(feedback([0, 0], [1, 0], features=np.array([[1000.0], [-1000.0]])))
    assert np.isfinite(agent.models.scorer.theta).all()
    with pytest.raises(InvalidInput, match=r"2\.0 to 2\.0; allowed: 0 to 1"):
        agent.observe(feedback([0], [2.0], features=np.zeros((1, 1))))


# Trees and networks


def _xor_rate(name, problem, feedback, seen, **options):
    """Return the share of right items: item 0 is for users whose two features have one sign, item 1 for the rest."""
    rng = np.random.default_rng(0)
    agent = agents.make(name, problem(2, features=2), seed=0, **options)
    for clock in range(1, 9):
        x = rng.uniform(-1, 1, (250, 2))
        action = agent.act(seen(250, clock, x)).action
        right = (x[:, 0] * x[:, 1] > 0) == (action == 0)
        agent.observe(feedback(action, rng.random(250) < np.where(right, 0.9, 0.1), clock, x))
        agent.update()
    x = rng.uniform(-1, 1, (2000, 2))
    action = agent.act(seen(2000, 9, x), explore=False).action
    return ((x[:, 0] * x[:, 1] > 0) == (action == 0)).mean()


def test_trees_and_networks_learn_xor_and_lines_do_not(problem, feedback, seen):
    assert _xor_rate("lin_ucb", problem, feedback, seen) < 0.7
    assert _xor_rate("boosted", problem, feedback, seen, trees=20, members=3) > 0.85
    assert _xor_rate("neural_linear", problem, feedback, seen) > 0.85


SMALL = {
    "boosted": {"refit": 20, "trees": 3, "members": 2, "experience": 60},
    "neural_linear": {"refit": 20, "epochs": 2, "hidden": 4, "experience": 60},
}


@pytest.mark.parametrize("name", list(SMALL))
@pytest.mark.parametrize("limits", [{}, {"discount": 0.8, "window": 3}], ids=str)
def test_refitted_agents_go_on_exactly(name, limits, tmp_path, problem, seen, feedback):
    """Saved in the middle between two fits, with an experience that overflows and items that came."""
    rng = np.random.default_rng(0)
    features, responses = rng.normal(size=(16, 12, 3)), rng.integers(2, size=(16, 12, 2))

    def live(agent, steps):
        decisions = []
        for step in steps:
            decisions.append(agent.act(seen(12, step, features[step])).action)
            agent.observe(feedback(decisions[-1], responses[step], step, features[step]))
            agent.update()
            if step == 5:
                agent.add_items(2, np.ones((2, 2)))
        return np.array(decisions)

    whole, half = (agents.make(name, problem(6, 2, features=3), seed=1, **SMALL[name], **limits) for _ in range(2))
    expected = live(whole, range(16))
    np.testing.assert_array_equal(live(half, range(9)), expected[:9])
    half.save(tmp_path)
    loaded = agents.load(tmp_path)
    np.testing.assert_array_equal(live(loaded, range(9, 16)), expected[9:])
    assert loaded.rng.random() == whole.rng.random()
    assert (expected >= 6).any()


@pytest.mark.parametrize("name", list(SMALL))
def test_a_window_that_passes_everything_leaves_a_working_agent(name, problem, seen, feedback):
    agent = agents.make(name, problem(3, features=1), seed=0, window=1, refit=5)
    agent.act(seen(2, 50, np.zeros((2, 1))))
    agent.fit(feedback([0] * 10, [1] * 10, 3, np.zeros((10, 1))))
    assert len(set(agent.act(seen(200, 50, np.zeros((200, 1)))).action)) == 3


def test_trees_take_more_items_than_categories(problem, seen, feedback):
    rng = np.random.default_rng(0)
    asked = replace(problem(300, features=1), item_features=None)
    agent = agents.make("boosted", asked, seed=0, trees=10, members=2, refit=100)
    items = rng.integers(300, size=6000)
    agent.fit(feedback(items, items >= 150, features=rng.normal(size=(6000, 1))))
    assert (agent.act(seen(50, features=rng.normal(size=(50, 1))), explore=False).action >= 150).all()


@pytest.mark.parametrize("name", ["lin_ts", "hybrid_lin_ucb", "logistic_thompson"])
def test_a_thousand_users_and_a_thousand_items_take_no_loop(name, problem, seen, feedback):
    rng = np.random.default_rng(0)
    agent = agents.make(name, problem(1000, features=20), seed=0)
    x = rng.normal(size=(1000, 20))
    agent.fit(feedback(rng.integers(1000, size=1000), rng.integers(2, size=1000), features=x))
    assert len(np.unique(agent.act(seen(1000, features=x)).action)) > 50


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("lin_ts", "v", -0.1),
        ("lin_greedy", "epsilon", 1.1),
        ("hybrid_lin_ucb", "shared_ridge", 0.0),
        ("logistic_thompson", "ridge", 0.0),
        ("logistic_thompson", "refit", 0),
        ("boosted", "members", 0),
        ("boosted", "leaves", 1),
        ("neural_linear", "rate", 0.0),
        ("neural_linear", "hidden", 0),
    ],
)
def test_options_out_of_range_say_what_is_allowed(name, option, value, problem):
    with pytest.raises(InvalidConfig, match=f"{option} = {value}; allowed"):
        agents.make(name, problem(3, features=1), seed=0, **{option: value})
