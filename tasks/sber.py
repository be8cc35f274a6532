"""The four tasks of Sber's recommender school: popularity, features, drift, hidden preferences."""

from typing import Any

from smartrec.tasks.base import Contender, Setting, Task

COUNTING = (
    Contender("random", "random"),
    Contender("most_popular", "most_popular"),
    Contender("epsilon_greedy", "epsilon_greedy"),
    Contender("ucb", "ucb"),
    Contender("ucb_sampling", "ucb", {"sample": True, "coefficient": 0.1}),
    Contender("thompson", "thompson"),
    Contender("thompson_discounted", "thompson", {"discount": 0.7}),
    Contender("kl_ucb", "kl_ucb"),
    Contender("kalman_thompson", "kalman_thompson"),
)
LINEAR = (
    Contender("lin_ucb", "lin_ucb"),
    Contender("lin_ucb_no_intercept", "lin_ucb", {"intercept": False}),
    Contender("lin_ts", "lin_ts"),
    Contender("hybrid_lin_ucb", "hybrid_lin_ucb"),
    Contender("shared_lin_ucb", "hybrid_lin_ucb", {"own": False, "shared_ridge": 0.1}),
    Contender("logistic_thompson", "logistic_thompson"),
)
ACTORS = (Contender("ddpg", "ddpg"), Contender("td3", "td3"), Contender("sac", "sac"), Contender("bcq", "bcq"))
NETWORKS = (
    Contender("dqn", "dqn"),
    Contender("discrete_bcq", "discrete_bcq"),
    Contender("discrete_sac", "discrete_sac"),
    Contender("reinforce", "reinforce"),
    Contender("ppo", "ppo"),
)
FORGETFUL = (
    Contender("dqn_forgetful", "dqn", {"experience": 1000, "epsilon_over": 500, "rate": 0.003}),
    Contender("discrete_sac_forgetful", "discrete_sac", {"experience": 1500}),
    Contender("reinforce_restless", "reinforce", {"rate": 0.003, "entropy": 0.1, "train_every": 16}),
)
SLOW_LINEAR = (Contender("boosted", "boosted"), Contender("neural_linear", "neural_linear"))
PERSONAL = {"user_embedding": 16}
NEAR = {**PERSONAL, "neighbours": 100, "metric": "inner"}
TASTE = (
    Contender("low_rank_thompson", "low_rank_thompson"),
    Contender("low_rank_greedy", "low_rank_thompson", {"first_items": 50, "width": 0.0}),
    Contender("als", "als"),
    Contender("als_thompson", "als", {"exploration": "thompson"}),
    Contender("ease_thompson", "ease", {"exploration": "thompson"}),
    Contender("item_knn", "item_knn"),
    Contender("bpr", "bpr"),
    Contender("two_tower", "two_tower"),
    Contender("dqn", "dqn", {**PERSONAL, "rate": 0.003}),
    Contender("discrete_bcq", "discrete_bcq", PERSONAL),
    Contender("discrete_sac", "discrete_sac", PERSONAL),
    Contender("reinforce", "reinforce", PERSONAL),
    Contender("ppo", "ppo"),
    Contender("ddpg", "ddpg", NEAR),
    Contender("td3", "td3", NEAR),
    Contender("sac", "sac", NEAR),
    Contender("bcq", "bcq", NEAR),
)


def _replay(label: str, recommender: str, **config: Any) -> Contender:
    """Return a row of RePlay; as a fit takes seconds, it is fitted where a quarter more came, or 5000 visits."""
    config = {"recommender": recommender, "refit_every": 5000, **config}
    return Contender(f"replay_{label}", "smartrec.agents.adapters.replay:RePlay", config)


REPLAY_ALIKE = (_replay("pop_rec", "PopRec"), _replay("ucb", "UCB"), _replay("wilson", "Wilson"))
REPLAY_PERSONAL = (_replay("item_knn", "ItemKNN"), _replay("als", "ALSWrap"), _replay("slim", "SLIM"))
REPLAY_CLUSTER = _replay("cluster_rec", "ClusterRec")
REPLAY = (
    *REPLAY_ALIKE,
    *REPLAY_PERSONAL,
    REPLAY_CLUSTER,
    _replay("cat_pop_rec", "CatPopRec"),
    _replay("query_pop_rec", "QueryPopRec"),
    _replay("association_rules", "AssociationRulesItemRec"),
    _replay("word2vec", "Word2VecRec"),
    _replay("random_rec", "RandomRec", options={"distribution": "popular_based"}),
    _replay("kl_ucb", "KLUCB"),
)
"""Rows that any task takes by ``--agents``, on both engines: they need Spark, and seconds for every fit; the personal
ones half a minute for the six million scores of task 4."""


QUICK = Setting("quick", {"n_users": 500, "iterations": 10})
SYNTHETIC = Setting("synthetic", {"dataset": "synthetic"})
SLATES = Setting("slates", {"dataset": "synthetic", "slate_size": 3})
MOVIELENS = Setting("ml-100k", {"dataset": "ml-100k"})

TASK_1 = Task(
    name="1",
    environment="SmartRec/Task1-v0",
    question="Which items do users like?",
    headline="final",
    settings=(QUICK, SYNTHETIC, SLATES),
    contenders=COUNTING,
    deep=NETWORKS + ACTORS,
    spark=REPLAY_ALIKE,
    tags=frozenset({"popularity"}),
)
TASK_2 = Task(
    name="2",
    environment="SmartRec/Task2-v0",
    question="Which user likes which item, as far as features tell?",
    headline="final",
    settings=(QUICK, SYNTHETIC, MOVIELENS),
    contenders=COUNTING + LINEAR,
    deep=SLOW_LINEAR + NETWORKS + ACTORS,
    spark=(*REPLAY_ALIKE, *REPLAY_PERSONAL, REPLAY_CLUSTER),
    tags=frozenset({"features"}),
)
TASK_3 = Task(
    name="3",
    environment="SmartRec/Task3-v0",
    question="What do users like now, when tastes turn around?",
    headline="loop",
    settings=(Setting("quick", {"n_users": 500}), SYNTHETIC, SLATES),
    contenders=COUNTING,
    deep=NETWORKS + FORGETFUL + ACTORS,
    spark=REPLAY_ALIKE,
    tags=frozenset({"drift"}),
)
TASK_4 = Task(
    name="4",
    environment="SmartRec/Task4-v0",
    question="Which ten of a thousand items, when taste is hidden?",
    headline="final",
    settings=(
        Setting("quick", {"n_users": 300, "n_items": 100, "iterations": 10}),
        SYNTHETIC,
        MOVIELENS,
    ),
    contenders=COUNTING,
    deep=TASTE,
    spark=REPLAY_ALIKE,
    tags=frozenset({"hidden preferences", "slates"}),
)
