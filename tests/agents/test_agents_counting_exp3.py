"""Exp3 and Exp3.M: weights by hand, exact probabilities of items and slates, unbiased estimates."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartrec import agents
from smartrec.agents import Decision, Mask
from smartrec.agents.bandits.exp3 import INCLUSION
from smartrec.core.errors import InvalidInput


@pytest.fixture
def drawn(feedback):
    """``drawn(decision, responses, clock=None, observed=None)``: feedback on a decision as it was made."""

    def give(decision, responses, clock=None, observed=None):
        return replace(feedback(decision.action, responses, clock, observed=observed), decision=decision)

    return give


def _known(items, probability):
    return Decision(np.array(items), np.log(np.array(probability)))


def test_the_probabilities_are_auers(problem, seen, drawn):
    agent = agents.make("exp3", problem(3), seed=0, gamma=0.3)
    agent.observe(drawn(_known([0, 1, 0], [0.5, 0.25, 0.1]), [1.0, 0.5, 0.2]))
    np.testing.assert_allclose(agent.gains, [1 / 0.5 + 0.2 / 0.1, 0.5 / 0.25, 0])
    weights = np.exp(0.3 * np.array([4.0, 2.0, 0.0]) / 3)
    exact = 0.7 * weights / weights.sum() + 0.1
    decision = agent.act(seen(40_000))
    np.testing.assert_allclose(np.exp(decision.log_probability), exact[decision.action], rtol=1e-9)
    np.testing.assert_allclose(np.bincount(decision.action) / 40_000, exact, atol=0.012)
    assert (agent.act(seen(30), explore=False).action == 0).all()


def test_a_mask_leaves_both_parts_to_what_is_allowed(problem, seen, drawn):
    agent = agents.make("exp3", problem(4), seed=0, gamma=0.2)
    agent.observe(drawn(_known([0, 1, 3], [0.1, 0.2, 0.02]), [1.0, 1.0, 1.0]))
    allowed = np.array([[True, True, True, False], [False, True, False, True]])
    decision = agent.act(seen(2), allowed=Mask(allowed))
    for lane in (0, 1):
        weights = np.where(allowed[lane], np.exp(0.2 * agent.gains / 4), 0)
        exact = 0.8 * weights / weights.sum() + 0.2 / allowed[lane].sum()
        assert np.exp(decision.log_probability[lane]) == pytest.approx(exact[decision.action[lane]], rel=1e-9)


@pytest.mark.parametrize("slate_size", [1, 2, 3])
def test_the_estimates_are_unbiased(slate_size, problem, seen, drawn):
    """Users answer with fixed means; whatever the weights, G a round is those means, from late feedback too."""
    means = np.array([0.2, 0.9, 0.5, 0.7])
    source = agents.make("exp3", problem(4, slate_size), seed=0, gamma=0.4)
    first = source.act(seen(30))
    source.observe(drawn(first, means[first.action]))
    decision = source.act(seen(40_000))
    learner = agents.make("exp3", problem(4, slate_size), seed=1)
    learner.observe(drawn(decision, means[decision.action]))
    inclusion = source.inclusion(source.gains[None])[0]
    assert np.ptp(inclusion) > 0.01
    error = means * np.sqrt((1 - inclusion) / inclusion / 40_000)
    assert (np.abs(learner.gains / 40_000 - means) <= 5 * error + 1e-9).all()


@settings(max_examples=60, deadline=None)
@given(
    gains=st.lists(st.floats(0, 1e5), min_size=2, max_size=12),
    gamma=st.sampled_from([1e-3, 0.1, 0.5, 1.0]),
    data=st.data(),
)
def test_inclusion_is_capped_and_adds_up(gains, gamma, data, problem):
    """Exp3.M's cap by its definition: what is below it keeps the ratio of the weights, nothing is above 1."""
    slate_size = data.draw(st.integers(1, len(gains)))
    agent = agents.make("exp3", problem(len(gains), slate_size), seed=0, gamma=gamma)
    inclusion = agent.inclusion(np.array(gains)[None])[0]
    assert inclusion.sum() == pytest.approx(slate_size)
    assert inclusion.max() <= 1 + 1e-9
    assert inclusion.min() >= gamma * slate_size / len(gains) * (1 - 1e-9)
    shares = inclusion / slate_size - gamma / len(gains)  # (1 - gamma) times those of the weights
    logits = gamma * slate_size / len(gains) * np.array(gains)
    free = np.flatnonzero((inclusion < 1 - 1e-6) & (shares > 1e-6) & (logits > logits.max() - 200))
    for one, two in combinations(free, 2):
        assert np.log(shares[one] / shares[two]) == pytest.approx(logits[one] - logits[two], abs=1e-3)


def test_slates_come_as_often_as_their_probability_and_their_items_as_theirs(problem, seen, drawn):
    lanes = 60_000
    agent = agents.make("exp3", problem(5, 2), seed=0, gamma=0.3)
    agent.observe(drawn(Decision(np.array([[0, 1]]), None, {INCLUSION: np.array([[0.08, 0.2]])}), [[1.0, 1.0]]))
    decision = agent.act(seen(lanes))
    exact = agent.inclusion(agent.gains[None])[0]
    np.testing.assert_allclose(decision.extras[INCLUSION], exact[decision.action])
    np.testing.assert_allclose(np.bincount(decision.action.ravel()) / lanes, exact, atol=0.01)
    slates, which, counts = np.unique(decision.action, axis=0, return_inverse=True, return_counts=True)
    claimed = np.bincount(which.ravel(), weights=np.exp(decision.log_probability)) / counts
    assert claimed.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(counts / lanes, claimed, atol=0.008)
    assert (slates[:, 0] != slates[:, 1]).all()


def test_a_slate_under_a_mask_for_each_user(problem, seen, drawn):
    rng = np.random.default_rng(0)
    agent = agents.make("exp3", problem(8, 3), seed=0, gamma=0.2)
    first = agent.act(seen(200))
    agent.observe(drawn(first, rng.random((200, 3))))
    table = rng.permuted(np.arange(8) < rng.integers(3, 9, size=(500, 1)), axis=1)
    decision = agent.act(seen(500), allowed=Mask(table))
    assert np.take_along_axis(table, decision.action, 1).all()
    assert (np.diff(np.sort(decision.action, axis=1), axis=1) > 0).all()
    full = table.sum(axis=1) == 3
    assert full.any()
    np.testing.assert_allclose(decision.log_probability[full], -np.log(6), atol=1e-8)
    np.testing.assert_allclose(decision.extras[INCLUSION][full], 1.0)


def test_where_the_probability_is_unknown_that_of_the_weights_at_hand_is_taken(problem, feedback, drawn):
    agent = agents.make("exp3", problem(4), seed=0)
    agent.observe(feedback([2, 2, 1], [1.0, 0.5, 1.0]))
    np.testing.assert_allclose(agent.gains, [0, 4, 6, 0])
    now = agent.inclusion(agent.gains[None])[0]
    agent.observe(feedback([2], [1.0]))
    np.testing.assert_allclose(agent.gains, [0, 4, 6 + 1 / now[2], 0])
    slates = agents.make("exp3", problem(4, 2), seed=0)
    slates.observe(drawn(Decision(np.array([[3, 0]]), np.array([-2.0])), [[1.0, 0.5]]))
    np.testing.assert_allclose(slates.gains, [1.0, 0, 0, 2.0])


@pytest.mark.parametrize("log_probability", [0.5, -400.0, np.nan, -np.inf])
def test_what_is_no_probability_is_refused(log_probability, problem, drawn):
    agent = agents.make("exp3", problem(3), seed=0)
    with pytest.raises(InvalidInput, match=r"has the probability .*; allowed: 1e-100 to 1"):
        agent.observe(drawn(Decision(np.array([0, 1]), np.array([-1.0, log_probability])), [1.0, 1.0]))
    assert (agent.gains == 0).all()


def test_what_nobody_saw_adds_nothing(problem, drawn):
    agent = agents.make("exp3", problem(3), seed=0)
    agent.observe(drawn(_known([0, 1], [0.5, 0.5]), [1.0, np.nan], observed=[True, False]))
    np.testing.assert_allclose(agent.gains, [2.0, 0, 0])


def test_greedy_decisions_are_certain_but_for_ties(problem, seen, drawn):
    agent = agents.make("exp3", problem(4, 2), seed=0)
    agent.observe(drawn(Decision(np.array([[0, 1]]), None, {INCLUSION: np.array([[0.5, 0.5]])}), [[1.0, 0.5]]))
    decision = agent.act(seen(9), explore=False)
    assert (decision.action == [0, 1]).all()
    np.testing.assert_allclose(decision.log_probability, 0.0)
    np.testing.assert_array_equal(decision.extras[INCLUSION], 1.0)


def test_it_follows_users_who_change_their_minds(problem, seen, drawn):
    """The item that is clicked is another one after half of the time; users answer with certainty."""
    agent = agents.make("exp3", problem(5), seed=0, gamma=0.2, discount=0.9)
    shares = []
    for clock in range(120):
        decision = agent.act(seen(50, clock))
        best = 1 if clock < 60 else 4
        shares.append((decision.action == best).mean())
        agent.observe(drawn(decision, (decision.action == best).astype(float), clock))
    assert np.mean(shares[40:60]) > 0.75
    assert np.mean(shares[100:]) > 0.75
