"""Exploration over scores and factors: closed forms, direct solutions and frequencies."""

from dataclasses import make_dataclass

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from smartrec import agents
from smartrec.agents import check_agent
from smartrec.agents.recommenders.exploring import WAYS, Exploring, head_scores, heads, softmax_weights
from smartrec.agents.recommenders.feedback import Feedback
from smartrec.agents.registry import agent_class
from smartrec.core.errors import InvalidConfig

NAMES = ["als", "bpr", "item_knn", "ease", "two_tower"]
LANES = 20_000


def _exploring(name, way):
    """Return the agent with another default, for ``check_agent``, under its own name."""
    cls = agent_class(name)
    config = make_dataclass(cls.Config.__name__, [("exploration", str, way)], bases=(cls.Config,), frozen=True)
    return type(cls.__name__, (cls,), {"Config": config, "__module__": __name__, "__qualname__": cls.__name__})


@pytest.mark.parametrize(
    ("name", "way"),
    # The default, epsilon, has a contract test of its own; what is done with scores is the same for all.
    [("als", way) for way in WAYS if way != "epsilon"] + [(name, "thompson") for name in NAMES[1:]],
)
def test_every_way_to_explore_passes_the_examination(name, way):
    check_agent(_exploring(name, way))


def test_softmax_weights_ignore_place_and_scale_of_scores():
    scores = np.array([[1.0, 2.0, 3.0, -np.inf], [5.0, 5.0, 5.0, 5.0]])
    weights = softmax_weights(scores, temperature=0.5)
    z = np.array([-1, 0, 1]) / np.sqrt(2 / 3)
    np.testing.assert_allclose(weights[0], [*np.exp((z - z[2]) / 0.5), -np.inf])
    np.testing.assert_array_equal(weights[1], 1.0)
    np.testing.assert_allclose(softmax_weights(7 + 100 * scores[:1], 0.5), weights[:1])
    # Equal scores of single precision stay equal.
    noise = np.float32(1) + np.float32(1e-7) * np.arange(4, dtype=np.float32)[None]
    np.testing.assert_array_equal(softmax_weights(noise, 0.01), 1.0)


def test_heads_are_the_direct_solution():
    rng = np.random.default_rng(0)
    shown = rng.integers(4, size=(5, 30)) * (rng.random((5, 30)) < 0.5)
    shown[2] = 0
    clicks = rng.binomial(shown, 0.3)
    factors, rates = rng.normal(size=(30, 3)), rng.uniform(0.1, 0.5, 30)
    means, covariance = heads(csr_matrix(shown * 1.0), csr_matrix(clicks * 1.0), factors, rates, ridge=2.0)
    for user in range(5):
        # One row a showing: the textbook's ridge regression, solved as least squares.
        rows = np.repeat(np.arange(30), shown[user])
        answers = np.concatenate([[1.0] * c + [0.0] * (n - c) for n, c in zip(shown[user], clicks[user], strict=True)])
        x = np.vstack([factors[rows], np.sqrt(2.0) * np.eye(3)])
        y = np.concatenate([answers - rates[rows], np.zeros(3)])
        np.testing.assert_allclose(means[user], np.linalg.lstsq(x, y, rcond=None)[0], atol=1e-12)
        np.testing.assert_allclose(covariance[user], np.linalg.inv(x.T @ x), atol=1e-12)
    np.testing.assert_array_equal(means[2], 0.0)


def _lived(problem, feedback):
    rng = np.random.default_rng(1)
    table = Feedback(problem(6, 2))
    table.record(feedback(rng.permuted(np.tile(np.arange(5), (40, 1)), axis=1)[:, :2], rng.integers(2, size=(40, 2))))
    return table, rng.normal(size=(6, 3))


def test_draws_and_bounds_have_the_posterior_of_mean_and_width(problem, feedback):
    table, factors = _lived(problem, feedback)
    users, rng = np.full(LANES, 3), np.random.default_rng(2)
    options = Exploring(exploration="thompson", width=0.7, ridge=3.0, weight=5.0)
    means = head_scores(options, table, factors, users[:1], None)[0]
    scaled = factors / np.sqrt((factors**2).sum(axis=1).mean())
    rates, shown = table.rates(5.0)
    _, covariance = heads(*table.rows(users[:1]), scaled, rates, 3.0)
    variance = np.mean(rates * (1 - rates)) * (scaled @ covariance[0] @ scaled.T + np.diag(1 / (shown + 5.0)))
    draws = head_scores(options, table, factors, users, rng)
    spread = 0.7 * np.sqrt(np.diag(variance))
    np.testing.assert_allclose(draws.mean(axis=0), means, atol=5 * spread.max() / np.sqrt(LANES))
    np.testing.assert_allclose(np.cov(draws.T), 0.49 * variance, atol=6 * spread.max() ** 2 / np.sqrt(LANES))
    bounds = head_scores(Exploring(exploration="ucb", width=0.7, ridge=3.0, weight=5.0), table, factors, users[:1], rng)
    np.testing.assert_allclose(bounds[0], means + spread)


def test_a_user_without_feedback_gets_the_items_click_rates(problem, feedback):
    table, factors = _lived(problem, feedback)
    means = head_scores(Exploring(exploration="ucb"), table, factors, np.array([40]), None)
    np.testing.assert_allclose(means[0], table.rates(10.0)[0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", WAYS)
def test_propensities_are_logged_where_they_have_a_closed_form(name, way, problem, seen, feedback):
    agent = agents.make(name, problem(6, 2), seed=0, exploration=way)
    agent.observe(feedback([[0, 1], [2, 3], [4, 5]], [[1, 0], [1, 1], [0, 1]]))
    agent.update()
    assert (agent.act(seen(4)).log_probability is None) == (way == "thompson")
    assert agent.act(seen(4), explore=False).log_probability is not None


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("exploration", "boltzmann"),
        ("epsilon", 1.1),
        ("temperature", 0.0),
        ("width", -1.0),
        ("ridge", 0.0),
        ("weight", 0.0),
        ("refit_every", 0),
    ],
)
def test_options_out_of_range_are_refused(option, value, problem):
    with pytest.raises(InvalidConfig, match=option):
        agents.make("ease", problem(6), seed=0, **{option: value})
