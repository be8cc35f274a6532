"""RePlay's recommenders as agents: their scores against closed forms, in the loop, on Spark, their faults named."""

import gymnasium as gym
import numpy as np
import pytest

import smartrec
from smartrec.agents.adapters import replay_faults
from smartrec.core.decision import Decision
from smartrec.core.errors import InvalidConfig
from smartrec.core.transitions import Transitions
from smartrec.evaluation import run as run_here
from smartrec.tasks.spark import run

pytestmark = [pytest.mark.spark, pytest.mark.slow]
NAME, USERS, ITEMS = "smartrec.agents.adapters.replay:RePlay", 60, 6


def problem():
    return gym.make_vec("SmartRec/Task1-v0", num_envs=1, n_users=USERS, n_items=ITEMS)


def agent_of(recommender, **config):
    return smartrec.agents.make(NAME, problem(), seed=0, recommender=recommender, **config)


def log(seed=0, rows=900):
    """Return a log of two kinds of users: even ones click even items more, odd ones odd items; item 5 never."""
    rng = np.random.default_rng(seed)
    users, items = rng.integers(USERS, size=rows), rng.integers(ITEMS, size=rows)
    likes = (users % 2 == items % 2) & (items < 5)
    clicks = (rng.random(rows) < np.where(likes, 0.9, 0.05 * (items < 5))).astype(float)
    observation = {"user": users, "clock": np.ones(rows, int)}
    flags = np.ones(rows, bool)
    return Transitions(
        observation, Decision(items), clicks[:, None], flags[:, None], clicks, observation, flags, ~flags,
        np.arange(rows), np.arange(rows),
    )  # fmt: skip


def counts(transitions):
    items, clicks = transitions.items[:, 0], transitions.reward
    return np.bincount(items, minlength=ITEMS), np.bincount(items, clicks, ITEMS)


def test_bandits_have_the_scores_of_their_formulas(spark):
    transitions = log()
    shown, clicks = counts(transitions)
    ucb = agent_of("UCB", options={"exploration_coef": 2.0})
    ucb.fit(transitions)
    expected = clicks / shown + np.sqrt(2 * np.log(shown.sum()) / shown)
    np.testing.assert_allclose(ucb.scores[0], expected, rtol=1e-5)
    wilson = agent_of("Wilson", options={"alpha": 0.05})
    wilson.fit(transitions)
    from scipy.stats import norm

    z, p = norm.ppf(0.975), clicks / shown
    centre, spread = p + z**2 / (2 * shown), z * np.sqrt(p * (1 - p) / shown + z**2 / (4 * shown**2))
    np.testing.assert_allclose(wilson.scores[0], (centre - spread) / (1 + z**2 / shown), atol=1e-5)
    popular = agent_of("PopRec")
    popular.fit(transitions)
    pairs = np.unique(
        np.column_stack([transitions.observation["user"], transitions.items])[transitions.reward > 0], axis=0
    )
    clicked = np.bincount(pairs[:, 1], minlength=ITEMS)
    np.testing.assert_array_equal(np.argsort(popular.scores[0][:5]), np.argsort(clicked[:5]))


@pytest.mark.parametrize(
    ("recommender", "options"),
    [
        ("ALSWrap", {"rank": 4, "seed": 1, "num_item_blocks": 1, "num_query_blocks": 1}),
        ("ItemKNN", {"num_neighbours": 3}),
        ("SLIM", {"beta": 0.01, "lambda_": 0.001}),
    ],
)
def test_personal_recommenders_find_the_two_kinds_of_users(spark, recommender, options):
    agent = agent_of(recommender, options=options, exploration="greedy")
    agent.fit(log())
    users = np.arange(USERS)
    decision = agent.act({"user": users, "clock": np.full(USERS, 2)})
    assert (decision.action % 2 == users % 2).mean() > 0.75
    assert not (decision.action == 5).any()


def test_in_the_loop_and_on_spark(spark, tmp_path):
    envs = gym.make_vec("SmartRec/Task1-v0", num_envs=100, n_users=1000, iterations=4)

    def agent():
        return smartrec.agents.make(NAME, envs, seed=1, recommender="Wilson", epsilon=0.6)

    here = run_here(agent(), envs, seed=0).metrics
    there = run(agent(), envs, spark=spark, seed=0, folder=str(tmp_path / "log")).metrics
    assert here["exploit"] == pytest.approx(0.75)
    assert there["exploit"] == pytest.approx(0.75)
    agent().save(tmp_path / "agent")
    assert smartrec.agents.load(tmp_path / "agent").config.recommender == "Wilson"


@pytest.mark.parametrize(
    ("recommender", "message"),
    [("ThompsonSampling", "loses items that have only clicks .* take the agent thompson"), ("LinUCB", "other users'")],
)
def test_the_faults_are_named(spark, recommender, message):
    with pytest.raises(InvalidConfig, match=f"{recommender} of RePlay is not used: it .*{message}"):
        agent_of(recommender)


def test_a_version_without_the_fault_would_be_taken():
    class Sound:
        class ThompsonSampling:
            def _fit(self, dataset):
                return dataset.join(dataset, how="outer")

        class LinUCB:
            def _fit(self, dataset):
                return dataset

    assert replay_faults._loses_items(Sound) == replay_faults._mixes_up_features(Sound) == ""


def test_thompson_does_lose_items(spark):
    """The fault itself, in the installed version: of three items only the one with clicks and misses is kept."""
    from smartrec.agents.adapters.replay_faults import quiet, replay_models
    from smartrec.agents.adapters.replay_fit import Log, dataset

    items = np.repeat([0, 1, 2, 2], [20, 20, 10, 10])
    clicks = np.repeat([1.0, 0.0, 1.0, 0.0], [20, 20, 10, 10])
    with quiet():
        fitted = replay_models().ThompsonSampling(seed=0)
        fitted.fit(dataset(spark, Log(np.arange(60), items, clicks)))
        assert [row.item_idx for row in fitted.item_popularity.collect()] == [2]


def test_bad_options_are_refused(spark):
    with pytest.raises(InvalidConfig, match=r"recommender = 'BestRec'; allowed: PopRec, UCB"):
        agent_of("BestRec")
    with pytest.raises(InvalidConfig, match=r"exploration = 'thompson'; allowed: 'greedy'"):
        agent_of("PopRec", exploration="thompson")
    with pytest.raises(InvalidConfig, match=r"options = \{'neighbours': 3\}; allowed: arguments of RePlay's ItemKNN"):
        agent_of("ItemKNN", options={"neighbours": 3})
    large = gym.make_vec("SmartRec/Task1-v0", num_envs=1, n_users=6_000_000)
    with pytest.raises(InvalidConfig, match=r"60,000,000 scores; allowed: at most 50,000,000"):
        smartrec.agents.make(NAME, large, seed=0, recommender="SLIM")
