"""The rest of RePlay's recommenders as agents: closed forms, RePlay called directly, draws, what cannot be."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import smartrec
from smartrec.agents.adapters import replay as adapter
from smartrec.agents.adapters.replay_faults import quiet, replay_models
from smartrec.agents.adapters.replay_fit import Log, categories_of, dataset, dataset_of
from smartrec.core.decision import Decision
from smartrec.core.errors import InvalidConfig
from smartrec.core.transitions import Transitions
from smartrec.evaluation import run as run_here

pytestmark = [pytest.mark.spark, pytest.mark.slow]
NAME, USERS, ITEMS = "smartrec.agents.adapters.replay:RePlay", 40, 6


@pytest.fixture(scope="module")
def world():
    """A world that shows features of users, and has categories of items."""
    return gym.make_vec("SmartRec/Task2-v0", num_envs=1, n_users=USERS, n_items=ITEMS)


def made(world, recommender, seed=0, **config):
    return smartrec.agents.make(NAME, world, seed=seed, recommender=recommender, **config)


def log(world, rows=500, known=30, seed=0):
    """Return showings of the first ``known`` users, whom other items please the other their number is; item 5 none."""
    rng = np.random.default_rng(seed)
    users, items = rng.integers(known, size=rows), rng.integers(ITEMS, size=rows)
    clicks = (rng.random(rows) < np.where(users % 3 == items % 3, 0.8, 0.2) * (items < 5)).astype(float)
    features = world.unwrapped.crowd.user_features[users]
    observation = {"user": users, "clock": np.ones(rows, int), "user_features": features}
    flags = np.ones(rows, bool)
    return Transitions(
        observation, Decision(items), clicks[:, None], flags[:, None], clicks, observation, flags, ~flags,
        np.arange(rows), np.arange(rows),
    )  # fmt: skip


def click_table(transitions):
    table = np.zeros((USERS, ITEMS))
    np.add.at(table, (transitions.observation["user"], transitions.items[:, 0]), transitions.reward)
    return table


def rates(agent):
    return agent.feedback.rates(agent.config.weight)[0]


def test_query_popularity_is_a_users_own(spark, world):
    agent = made(world, "QueryPopRec")
    agent.fit(log(world))
    table = click_table(log(world))
    known = table.any(axis=1)
    np.testing.assert_allclose(agent.scores[known], table[known] / table[known].sum(1, keepdims=True), rtol=1e-6)
    np.testing.assert_allclose(agent.scores[~known], np.tile(rates(agent), ((~known).sum(), 1)), rtol=1e-6)
    assert 0 < known.sum() < USERS


@pytest.mark.parametrize("metric", ["confidence", "lift", "confidence_gain"])
def test_association_rules_add_up(spark, world, metric):
    options = {"min_item_count": 1, "min_pair_count": 1, "similarity_metric": metric}
    agent = made(world, "AssociationRulesItemRec", options=options)
    agent.fit(log(world))
    clicked = click_table(log(world)) > 0
    sessions = clicked.any(axis=1).sum()
    both = (clicked.T.astype(float) @ clicked) * (1 - np.eye(ITEMS))
    support = clicked.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        confidence = both / support[:, None]
        measure = {
            "confidence": confidence,
            "lift": sessions * confidence / support,
            "confidence_gain": confidence * (sessions - support[:, None]) / (support - both),
        }[metric]
    measure[both == 0] = 0.0
    users = np.flatnonzero(clicked.any(axis=1))
    np.testing.assert_allclose(agent.scores[users], clicked[users] @ measure, rtol=1e-5)
    assert np.isfinite(agent.scores).all()


def test_a_rule_without_exception_is_above_all_others(spark, world):
    users, items = np.array([0, 0, 1, 1, 1, 2, 2, 3, 3]), np.array([0, 1, 0, 1, 2, 2, 3, 3, 0])
    agent = made(
        world, "AssociationRulesItemRec",
        options={"min_item_count": 1, "min_pair_count": 1, "similarity_metric": "confidence_gain"},
    )  # fmt: skip
    transitions = log(world, rows=9)
    transitions.observation["user"][:] = users
    agent.fit(replace(transitions, decision=Decision(items), responses=np.ones((9, 1)), reward=np.ones(9)))
    # Who has item 1 always has item 0, and nobody without item 0 has it: the gain of 0 -> 1 is infinite.
    assert np.isfinite(agent.scores).all()
    assert agent.scores[3].argmax() == 1


def test_clusters_serve_users_whom_nobody_met(spark, world):
    agent = made(world, "ClusterRec", options={"num_clusters": 3}, exploration="greedy")
    transitions = log(world)
    agent.fit(transitions)
    features = world.unwrapped.crowd.user_features
    assert agent.scores.shape == (3, ITEMS)
    assert len(agent.centres) == 3
    distance = ((features[:, None] - agent.centres[None]) ** 2).sum(axis=2)
    cluster, table = distance.argmin(axis=1), click_table(transitions)
    counts = np.stack([table[cluster == c].sum(axis=0) for c in range(3)])
    for scores, count in zip(agent.scores, counts, strict=True):
        np.testing.assert_allclose(scores, count / count.max() if count.any() else rates(agent), rtol=1e-6)
    strangers = np.arange(30, USERS)
    decision = agent.act({"user": strangers, "clock": strangers * 0 + 2, "user_features": features[strangers]})
    chosen = agent.scores[cluster[strangers], decision.action]
    np.testing.assert_array_equal(chosen, agent.scores[cluster[strangers]].max(axis=1))


def test_clusters_are_replays(spark, world):
    """Every user's scores, strangers' too, are what RePlay's own ``predict`` returns on the same rows."""
    agent = made(world, "ClusterRec", options={"num_clusters": 3})
    agent.fit(log(world))
    features = world.unwrapped.crowd.user_features
    columns = {f"f{d}": column for d, column in enumerate(features.astype(float).T)}
    everybody = spark.createDataFrame(pd.DataFrame({"user_idx": np.arange(USERS, dtype=np.int32), **columns}))
    log_rows = agent._log()
    rows = pd.DataFrame({"user_idx": log_rows.users, "item_idx": log_rows.items, "relevance": 1.0})
    known = everybody.filter("user_idx in (" + ",".join(map(str, np.unique(log(world).observation["user"]))) + ")")
    with quiet():
        theirs = replay_models().ClusterRec(num_clusters=3)
        theirs.fit(dataset_of(spark.createDataFrame(rows), query_features=known))
        asked = dataset_of(spark.createDataFrame(rows), query_features=everybody)
        found = theirs.predict(
            asked, ITEMS, queries=everybody.select("user_idx"), items=range(ITEMS), filter_seen_items=False
        )
        found = found.toPandas()
    distance = ((features[:, None] - agent.centres[None]) ** 2).sum(axis=2)
    ours = agent.scores[distance.argmin(axis=1)]
    np.testing.assert_allclose(ours[found.user_idx, found.item_idx], found.relevance, rtol=1e-6)
    assert found.user_idx.nunique() == USERS


def test_categories_are_mixed_as_a_user_clicks_them(spark, world):
    agent = made(world, "CatPopRec")
    agent.fit(log(world))
    member = categories_of(world.unwrapped.problem.item_features).astype(float)  # [I, C]
    assert 1 < member.shape[1] < world.unwrapped.problem.item_features.shape[1]  # the year is none
    table = click_table(log(world))
    popularity = member.T * table.sum(axis=0)  # [C, I]
    total = popularity.sum(axis=1, keepdims=True)
    popularity = np.divide(popularity, total, out=np.zeros_like(popularity), where=total > 0)
    share = table @ member
    known = share.any(axis=1)
    expected = share[known] / share[known].sum(axis=1, keepdims=True) @ popularity
    np.testing.assert_allclose(agent.scores[known], expected, rtol=1e-5, atol=1e-7)


def test_word2vec_reads_clicks_in_the_order_of_time(spark, world):
    options = {"rank": 4, "min_count": 1, "step_size": 0.5, "seed": 7, "num_partitions": 1}
    transitions = log(world)
    agent, shuffled = made(world, "Word2VecRec", options=options), made(world, "Word2VecRec", options=options)
    agent.fit(transitions)
    shuffled.fit(transitions[np.random.default_rng(1).permutation(len(transitions))])
    np.testing.assert_allclose(shuffled.scores, agent.scores, rtol=1e-5)
    clicked = transitions[transitions.reward > 0]
    users, items = clicked.observation["user"], clicked.items[:, 0]
    with quiet():
        theirs = replay_models().Word2VecRec(**options)
        by_user = np.argsort(users, kind="stable")
        data = dataset(spark, Log(users[by_user], items[by_user], np.ones(len(users)), clicked.step[by_user]))
        theirs.fit(data)
        queries = spark.createDataFrame([(int(user),) for user in np.unique(users)], "user_idx int")
        found = theirs.predict(data, ITEMS, queries=queries, items=range(5), filter_seen_items=False).toPandas()
    np.testing.assert_allclose(agent.scores[found.user_idx, found.item_idx], found.relevance, rtol=1e-5)
    assert len(found) == 5 * len(np.unique(users))
    backwards = made(world, "Word2VecRec", options=options)
    backwards.fit(replace(transitions, step=-transitions.step))
    assert not np.allclose(backwards.scores, agent.scores, rtol=1e-3)


def test_word2vec_waits_for_words(spark, world):
    agent = made(world, "Word2VecRec", options={"min_count": 1000})
    agent.fit(log(world))
    np.testing.assert_allclose(agent.scores, np.tile(rates(agent), (USERS, 1)), rtol=1e-6)


def shares_of(agent, lanes=20_000, **act):
    observation = {"user": np.zeros(lanes, int), "clock": np.full(lanes, 2), "user_features": np.zeros((lanes, 1))}
    decision = agent.act(observation, **act)
    shares = np.bincount(decision.action, minlength=ITEMS)
    return shares, decision


def test_random_recommender_draws_by_popularity(spark, world):
    agent = made(world, "RandomRec", options={"distribution": "popular_based", "alpha": 2.0})
    agent.fit(log(world))
    users = (click_table(log(world)) > 0).sum(axis=0)
    weights = users + 2.0
    weights[5] = weights[:5].min() / 2  # nobody clicked it: RePlay's cold_weight
    expected = weights / weights.sum()
    shares, decision = shares_of(agent)
    assert stats.chisquare(shares, expected * shares.sum()).pvalue > 1e-3
    np.testing.assert_allclose(np.exp(decision.log_probability), expected[decision.action], rtol=1e-5)
    best, _ = shares_of(agent, explore=False)
    assert best[users.argmax()] == best.sum()


def test_replays_own_draws_are_of_other_items(spark):
    """Why we draw ourselves: its weights are in one order, and its items in another."""
    items = np.repeat(np.arange(30), np.arange(30) * 4 + 1)
    users = np.arange(len(items))
    with quiet():
        theirs = replay_models().RandomRec("popular_based", seed=0)
        data = dataset(spark, Log(users, items, np.ones(len(items))))
        theirs.fit(data)
        found = theirs.predict(data, 1, filter_seen_items=False).toPandas()
    shares = np.bincount(found.item_idx, minlength=30)
    assert stats.chisquare(shares, np.bincount(items) / len(items) * shares.sum()).pvalue < 1e-6


def test_a_bandit_that_samples_draws_anew(spark, world):
    agent = made(world, "UCB", options={"sample": True})
    agent.fit(log(world))
    shares, _ = shares_of(agent)
    expected = agent.scores[0].astype(float) / agent.scores[0].astype(float).sum()
    assert stats.chisquare(shares, expected * shares.sum()).pvalue > 1e-3


def test_seeds_decide(spark, world):
    def scores(seed):
        agent = made(world, "ALSWrap", seed=seed, options={"rank": 3, "num_item_blocks": 1, "num_query_blocks": 1})
        agent.fit(log(world))
        return agent.scores

    np.testing.assert_array_equal(scores(1), scores(1))
    assert not np.allclose(scores(1), scores(2), rtol=1e-3)


@pytest.mark.parametrize("recommender", ["ClusterRec", "Word2VecRec"])
def test_saved_and_gone_on_with(spark, world, tmp_path, recommender):
    options = {"min_count": 1, "num_partitions": 1} if recommender == "Word2VecRec" else {}
    agent = made(world, recommender, options=options)
    agent.fit(log(world))
    agent.save(tmp_path / "agent")
    again = smartrec.agents.load(tmp_path / "agent")
    np.testing.assert_array_equal(again.scores, agent.scores)
    for one in (agent, again):
        one.fit(log(world, seed=1))
    np.testing.assert_allclose(again.scores, agent.scores, rtol=1e-6)


def test_in_the_loop(spark):
    envs = gym.make_vec("SmartRec/Task2-v0", num_envs=100, n_users=1000, iterations=3)
    for recommender in ("ClusterRec", "CatPopRec"):
        agent = smartrec.agents.make(NAME, envs, seed=1, recommender=recommender, epsilon=0.3)
        assert run_here(agent, envs, seed=0).metrics["final_normalised"] > 0.0, recommender


def test_the_linear_bandit_gives_scores_to_other_users(spark, world, monkeypatch):
    """Sorted and free of repeats, a log is learnt rightly, by ridge regression; but who gets which score is wrong."""
    monkeypatch.setattr(adapter, "fault_of", lambda name: "")
    agent = made(world, "LinUCB", options={"eps": 0.0, "alpha": 1.0})
    users = np.tile(np.arange(30), ITEMS)
    items = np.repeat(np.arange(ITEMS), 30)
    transitions = log(world, rows=len(users))
    clicks = (np.random.default_rng(0).random(len(users)) < 0.5).astype(float)
    features = world.unwrapped.crowd.user_features
    transitions.observation["user"][:], transitions.observation["user_features"][:] = users, features[users]
    agent.fit(replace(transitions, decision=Decision(items), responses=clicks[:, None], reward=clicks))
    design = features[:30].astype(float)
    ridge = np.linalg.solve(design.T @ design + np.eye(design.shape[1]), design.T @ clicks.reshape(ITEMS, 30).T)
    np.testing.assert_allclose(np.sort(agent.scores[:30], axis=0), np.sort(design @ ridge, axis=0), atol=1e-5)
    assert not np.allclose(agent.scores[:30], design @ ridge, atol=0.1)


def test_what_cannot_be_is_refused(spark, world):
    plain = gym.make_vec("SmartRec/Task1-v0", num_envs=1, n_users=USERS, n_items=ITEMS)
    for recommender, message in [
        ("ClusterRec", "ClusterRec needs user_features in the observation"),
        ("CatPopRec", "CatPopRec needs categories, columns of 0 and 1"),
        ("SasRec", "SasRec of RePlay is not used: it is a network of RePlay's extra torch"),
    ]:
        with pytest.raises(InvalidConfig, match=message):
            made(plain, recommender)
    with pytest.raises(
        InvalidConfig, match=r"'session_column': 'item_idx'.*allowed: arguments of RePlay's Association"
    ):
        made(world, "AssociationRulesItemRec", options={"session_column": "item_idx"})
    with pytest.raises(InvalidConfig, match=r"allowed: arguments of RePlay's RandomRec .*popular_based"):
        made(world, "RandomRec", options={"distribution": "best"})
