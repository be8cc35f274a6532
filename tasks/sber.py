"""The four tasks of Sber's recommender school: popularity, features, drift, hidden preferences."""

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
    deep=(),
    tags=frozenset({"popularity"}),
)
TASK_2 = Task(
    name="2",
    environment="SmartRec/Task2-v0",
    question="Which user likes which item, as far as features tell?",
    headline="final",
    settings=(QUICK, SYNTHETIC, MOVIELENS),
    contenders=COUNTING + LINEAR,
    deep=(),
    tags=frozenset({"features"}),
)
TASK_3 = Task(
    name="3",
    environment="SmartRec/Task3-v0",
    question="What do users like now, when tastes turn around?",
    headline="loop",
    settings=(Setting("quick", {"n_users": 500}), SYNTHETIC, SLATES),
    contenders=COUNTING,
    deep=(),
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
    deep=(),
    tags=frozenset({"hidden preferences", "slates"}),
)
