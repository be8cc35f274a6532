"""The indices of the counting bandits by hand, by root finding, by SciPy's distributions, and by MABWiser."""

from dataclasses import replace

import numpy as np
import pytest
from mabwiser.mab import MAB, LearningPolicy
from scipy.optimize import brentq
from scipy.stats import beta

from smartrec import agents
from smartrec.agents import Items, Mask
from smartrec.agents.bandits.kl_ucb import largest_rates
from smartrec.core import Decision
from smartrec.core.errors import InvalidConfig, InvalidInput

COUNTING = ["softmax", "ucb1", "kl_ucb", "bayes_ucb", "gaussian_thompson", "exp3"]
EIGHT = ([0] * 5 + [1] * 3, [1, 1, 1, 0, 0, 1, 1, 0])
"""Item 0: 3 clicks of 5; item 1: 2 of 3; whatever comes after them was never shown."""


def _log(rng, items=6, rows=400):
    """Return items and clicks, at a rate of its own each."""
    shown = rng.integers(items, size=rows)
    return shown, (rng.random(rows) < np.linspace(0.1, 0.9, items)[shown]).astype(float)


def _kl(p, q):
    return sum(a * np.log(a / b) for a, b in ((p, q), (1 - p, 1 - q)) if a > 0)


# Softmax


def test_softmax_draws_by_boltzmanns_law(problem, seen, feedback):
    agent = agents.make("softmax", problem(3), seed=0, temperature=0.4, unseen=0.9)
    agent.observe(feedback(*EIGHT))
    weights = np.exp(np.array([3 / 5, 2 / 3, 0.9]) / 0.4)
    exact = weights / weights.sum()
    decision = agent.act(seen(40_000))
    np.testing.assert_allclose(np.bincount(decision.action) / 40_000, exact, atol=0.012)
    np.testing.assert_allclose(np.exp(decision.log_probability), exact[decision.action], rtol=1e-12)
    assert (agent.act(seen(50), explore=False).action == 1).all()


def test_softmax_slates_are_drawn_without_replacement(problem, seen, feedback):
    agent = agents.make("softmax", problem(3, slate_size=2), seed=0, temperature=0.3, unseen=0.5)
    agent.observe(feedback([[0, 1]] * 4, [[1, 0], [1, 0], [1, 1], [0, 0]]))
    weights = np.exp(np.array([0.75, 0.25, 0.5]) / 0.3)
    decision = agent.act(seen(40_000))
    for one, two in ((0, 1), (1, 0), (2, 1), (0, 2)):
        exact = weights[one] / weights.sum() * weights[two] / (weights.sum() - weights[one])
        rows = (decision.action == [one, two]).all(axis=1)
        assert rows.mean() == pytest.approx(exact, abs=0.012)
        np.testing.assert_allclose(decision.log_probability[rows], np.log(exact), rtol=1e-9)


@pytest.mark.parametrize("form", [Mask(np.array([[False, True, True]])), Items(np.array([[2, 1, -1]]))])
def test_softmax_at_a_low_temperature_keeps_the_order_of_what_is_allowed(form, problem, seen, feedback):
    """Beside the masked best item both others weigh e^-800 or less: they must not tie at nothing."""
    agent = agents.make("softmax", problem(3), seed=0, temperature=0.0005)
    agent.observe(feedback([0] + [1] * 4 + [2] * 10, [1] + [1, 0, 0, 1] + [1] + [0] * 9))
    decision = agent.act(seen(1), allowed=form)
    assert decision.action == [1]
    np.testing.assert_allclose(decision.log_probability, 0.0, atol=1e-9)


def test_softmax_agrees_with_mabwiser(problem, seen, feedback):
    shown, clicks = _log(np.random.default_rng(3))
    agent = agents.make("softmax", problem(6), seed=0, temperature=0.7)
    agent.observe(feedback(shown, clicks))
    oracle = MAB(list(range(6)), LearningPolicy.Softmax(tau=0.7))
    oracle.fit(shown, clicks)
    expected = np.array([oracle._imp.arm_to_expectation[item] for item in range(6)])
    decision = agent.act(seen(5000))
    assert len(np.unique(decision.action)) == 6
    np.testing.assert_allclose(np.exp(decision.log_probability), expected[decision.action], rtol=1e-9)


# Upper confidence bounds


def test_ucb_in_sim4recs_form(problem, feedback):
    """The bound that its demonstration prints after four showings at c = 2 is sqrt(ln 8) = 1.442027."""
    agent = agents.make("ucb", problem(5), seed=0, form="sim4rec")
    agent.observe(feedback([0, 1, 2, 3], [0, 0, 0, 1]))
    expected = np.array([1.442027, 1.442027, 1.442027, 2.442027, 2.442027])
    np.testing.assert_allclose(agent.scores(), expected, atol=5e-7)
    agent = agents.make("ucb", problem(3), seed=0, form="sim4rec", coefficient=0.5)
    agent.observe(feedback(*EIGHT))
    by_hand = [3 / 5 + np.sqrt(np.log(4) / 5), 2 / 3 + np.sqrt(np.log(4) / 3), 1 + np.sqrt(np.log(4))]
    np.testing.assert_allclose(agent.scores(), by_hand, rtol=1e-12)


@pytest.mark.parametrize("coefficient", [0.0, 0.1, 0.5])
def test_ucb_in_sim4recs_form_has_no_bound_where_sim4rec_has_an_error(coefficient, problem, feedback):
    agent = agents.make("ucb", problem(2), seed=0, form="sim4rec", coefficient=coefficient)
    np.testing.assert_array_equal(agent.scores(), 1.0)
    agent.observe(feedback([0], [0]))
    np.testing.assert_array_equal(agent.scores(), [0.0, 1.0])


def test_ucb_names_its_forms(problem):
    with pytest.raises(InvalidConfig, match="form = 'auer'; allowed: 'replay', 'sim4rec'"):
        agents.make("ucb", problem(2), seed=0, form="auer")


@pytest.mark.parametrize("coefficient", [2.0, 0.5])
def test_ucb1_is_auers_formula(coefficient, problem, feedback):
    agent = agents.make("ucb1", problem(3), seed=0, coefficient=coefficient)
    agent.observe(feedback(*EIGHT))
    spread = coefficient * np.log(8)
    by_hand = [3 / 5 + np.sqrt(spread / 5), 2 / 3 + np.sqrt(spread / 3), np.inf]
    np.testing.assert_allclose(agent.scores(), by_hand, rtol=1e-12)


def test_ucb1_agrees_with_mabwiser(problem, feedback):
    shown, clicks = _log(np.random.default_rng(4))
    agent = agents.make("ucb1", problem(6), seed=0, coefficient=2 * 1.3**2)
    agent.observe(feedback(shown, clicks))
    oracle = MAB(list(range(6)), LearningPolicy.UCB1(alpha=1.3))
    oracle.fit(shown, clicks)
    expected = oracle.predict_expectations()
    np.testing.assert_allclose(agent.scores(), [expected[item] for item in range(6)], rtol=1e-12)


def test_ucb1_counts_rounds_and_showings_inside_the_window(problem, seen, feedback):
    agent = agents.make("ucb1", problem(3, clock=False), seed=0, coefficient=0.5, window=4)
    for step, (item, click) in enumerate([(0, 1), (1, 1), (2, 0), (1, 0), (1, 1), (2, 1)]):
        agent.act(seen(1))
        agent.observe(feedback([item], [click], step=step))
    agent.act(seen(1))  # step 6 remembers steps 2 to 5: item 1 twice, item 2 twice
    bound = np.sqrt(0.5 * np.log(4) / 2)
    np.testing.assert_allclose(agent.scores(), [np.inf, 0.5 + bound, 0.5 + bound], rtol=1e-12)


@pytest.mark.parametrize("name", ["ucb1", "kl_ucb"])
def test_every_item_is_shown_once_first(name, problem, seen, feedback):
    agent = agents.make(name, problem(20, clock=False), seed=0)
    shown = []
    for step in range(20):
        shown.append(int(agent.act(seen(1)).action[0]))
        agent.observe(feedback(shown[-1:], [1], step=step))
    assert sorted(shown) == list(range(20))
    assert shown != sorted(shown)


@pytest.mark.parametrize("c", [0.0, 3.0])
def test_kl_ucb_is_the_root_of_its_equation(c, problem, feedback):
    agent = agents.make("kl_ucb", problem(6), seed=0, c=c)
    shown, clicks = _log(np.random.default_rng(5))
    agent.observe(feedback(shown, clicks))
    allowance = np.log(400) + c * np.log(np.log(400))
    for item, score in enumerate(agent.scores()):
        count, mean = (shown == item).sum(), clicks[shown == item].mean()
        root = brentq(lambda q, p=mean, d=allowance / count: _kl(p, q) - d, mean, 1 - 1e-12, xtol=1e-14)
        assert score == pytest.approx(root, abs=1e-9)


def test_kl_ucb_solves_for_any_mean_and_any_divergence():
    """The root is looked for in z = ln(q / (1 - q)), where both ends are far apart."""
    means = np.array([0.0, 1e-9, 1e-4, 0.01, 0.3, 0.5, 0.9, 0.999])
    divergences = np.array([1e-6, 1e-3, 0.05, 0.5, 2.0, 15.0])
    p, d = (grid.ravel() for grid in np.meshgrid(means, divergences))
    for mean, divergence, q in zip(p, d, largest_rates(p, d), strict=True):
        entropy = sum(a * np.log(a) for a in (mean, 1 - mean) if a > 0)

        def excess(z, mean=mean, known=entropy - divergence):
            return known + mean * np.logaddexp(0, -z) + (1 - mean) * np.logaddexp(0, z)

        low = np.log(max(mean, 1e-20) / (1 - mean))
        root = 1 / (1 + np.exp(-brentq(excess, low, 1e5, xtol=1e-12)))
        assert q == pytest.approx(root, abs=1e-8), (mean, divergence)


def test_kl_ucb_stays_finite_at_the_ends():
    found = largest_rates(np.array([0.0, 1.0, 0.5, 1.0, 0.5]), np.array([0.0, 0.0, 0.0, 1e200, 1e200]))
    np.testing.assert_allclose(found, [0.0, 1.0, 0.5, 1.0, 1.0], atol=1e-12)
    np.testing.assert_allclose(largest_rates(np.zeros(3), np.array([0.1, 1.0, 30.0])), -np.expm1([-0.1, -1.0, -30.0]))


@pytest.mark.parametrize(("c", "horizon"), [(0.0, None), (0.0, 50), (5.0, 1000)])
def test_bayes_ucb_is_the_quantile_of_the_posterior(c, horizon, problem, feedback):
    options = {"prior_clicks": 0.5, "prior_misses": 1.5, "c": c, "horizon": horizon}
    agent = agents.make("bayes_ucb", problem(3), seed=0, **options)
    agent.observe(feedback(*EIGHT))
    level = 1 - 1 / (9 * (np.log(horizon) ** c if c else 1))
    np.testing.assert_allclose(agent.scores(), beta.ppf(level, [3.5, 2.5, 0.5], [3.5, 2.5, 1.5]), rtol=1e-9)


def test_bayes_ucb_exploits_the_posterior_mean(problem, seen, feedback):
    agent = agents.make("bayes_ucb", problem(2), seed=0, prior_misses=9.0)
    agent.observe(feedback([0] * 30 + [1], [1] * 15 + [0] * 15 + [1]))
    assert (agent.act(seen(9), explore=False).action == 0).all()  # 16/40 against 2/11, though 15/30 against 1/1


@pytest.mark.parametrize("horizon", [None, 2])
def test_bayes_ucb_needs_a_horizon_for_its_power(horizon, problem):
    with pytest.raises(InvalidConfig, match=f"horizon = {horizon}; allowed: a whole number >= 3"):
        agents.make("bayes_ucb", problem(2), seed=0, c=5.0, horizon=horizon)


@pytest.mark.parametrize("name", ["kl_ucb", "bayes_ucb"])
@pytest.mark.parametrize("options", [{}, {"discount": 0.7}, {"window": 2}], ids=str)
def test_what_is_kept_is_what_would_be_solved_anew(name, options, problem, seen, feedback):
    rng = np.random.default_rng(0)
    kept = agents.make(name, problem(5), seed=0, **options)
    for clock in range(8):
        kept.act(seen(3, clock))
        anew = agents.make(name, problem(5), seed=0, **options)
        anew.counts.set_state(kept.counts.get_state())
        np.testing.assert_array_equal(kept.scores(), anew.scores())
        kept.observe(feedback(rng.integers(4, size=3), rng.integers(2, size=3), clock=clock))


@pytest.mark.parametrize("name", ["kl_ucb", "bayes_ucb"])
def test_nothing_is_solved_while_counts_do_not_change(name, problem, seen, feedback):
    agent = agents.make(name, problem(5), seed=0)
    agent.observe(feedback([0, 1], [1, 0], clock=1))
    before = agent.scores()
    agent.act(seen(4, 9))
    assert np.shares_memory(agent.scores(), before)
    agent.observe(feedback([2], [1], clock=9))
    assert not np.shares_memory(agent.scores(), before)


@pytest.mark.parametrize("name", ["ucb1", "kl_ucb", "bayes_ucb", "softmax"])
def test_scores_stay_numbers_when_a_showing_has_all_but_faded(name, problem, seen, feedback):
    agent = agents.make(name, problem(2), seed=0, discount=0.5)
    agent.observe(feedback([0], [1], clock=1))
    agent.observe(feedback([1] * 50, [1] * 50, clock=1060))
    assert set(agent.act(seen(500, 1060)).action) <= {0, 1}
    agent.act(seen(5, 9000))  # everything has faded to nothing
    if name in ("ucb1", "kl_ucb"):
        assert not np.isnan(agent.scores()).any()


# All of them


@pytest.mark.parametrize("name", COUNTING)
@pytest.mark.parametrize("options", [{"discount": 0.5}, {"window": 2}], ids=str)
def test_old_feedback_is_forgotten(name, options, problem, seen, feedback):
    """Item 0 was the better one, long ago; item 1 is the better one now."""

    def given(items, responses, clock):
        drawn = feedback(items, responses, clock=clock)
        return replace(drawn, decision=Decision(drawn.decision.action, np.full(len(items), np.log(0.5))))

    steady, forgetful = agents.make(name, problem(2), seed=0), agents.make(name, problem(2), seed=0, **options)
    for agent, better in ((steady, 0), (forgetful, 1)):
        agent.observe(given([0] * 90 + [1] * 90, [1] * 90 + [0] * 90, clock=1))
        assert (agent.act(seen(9, 1), explore=False).action == 0).all()
        agent.act(seen(9, 12))
        agent.observe(given([0] * 20 + [1] * 20, [0] * 20 + [1] * 20, clock=12))
        assert (agent.act(seen(9, 12), explore=False).action == better).all()


@pytest.mark.parametrize("name", COUNTING)
def test_a_batch_of_new_users_is_spread(name, problem, seen):
    action = agents.make(name, problem(10), seed=0).act(seen(1000)).action
    assert np.bincount(action, minlength=10).min() > 50


@pytest.mark.parametrize("name", ["softmax", "ucb1", "kl_ucb", "bayes_ucb", "exp3"])
def test_responses_outside_0_to_1_are_refused(name, problem, feedback):
    agent = agents.make(name, problem(2), seed=0)
    with pytest.raises(InvalidInput, match=r"2\.0.*; allowed: 0 to 1"):
        agent.observe(feedback([0], [2.0]))


@pytest.mark.parametrize("name", COUNTING)
def test_items_that_come_can_be_shown(name, problem, seen, feedback):
    agent = agents.make(name, problem(3), seed=0)
    agent.observe(feedback([0, 1, 2] * 30, [0, 1, 0, 0, 0, 0] * 15, clock=1))
    agent.act(seen(5, 1))
    agent.add_items(2)
    agent.observe(feedback([4] * 60, [1] * 60, clock=2))
    assert (agent.act(seen(2000, 2)).action >= 3).any()
    assert (agent.act(seen(20, 2), explore=False).action == 4).all()


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("softmax", "temperature", 0.0),
        ("softmax", "unseen", float("inf")),
        ("ucb1", "coefficient", -1.0),
        ("kl_ucb", "c", -0.5),
        ("bayes_ucb", "c", -0.5),
        ("bayes_ucb", "horizon", 2),
        ("bayes_ucb", "prior_clicks", 0.0),
        ("bayes_ucb", "prior_misses", 0.0),
        ("gaussian_thompson", "noise", 0.0),
        ("gaussian_thompson", "prior_mean", float("nan")),
        ("gaussian_thompson", "prior_weight", 0.0),
        ("exp3", "gamma", 0.0),
        ("exp3", "gamma", 1.5),
        *((name, "discount", 1.5) for name in COUNTING),
        *((name, "window", 0) for name in COUNTING),
    ],
)
def test_options_out_of_range_are_refused(name, option, value, problem):
    with pytest.raises(InvalidConfig, match=f"{option} = {value}"):
        agents.make(name, problem(3), seed=0, **{option: value})
