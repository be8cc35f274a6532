"""Recommenders against their closed form, against the library they stand on, and in a world of known taste."""

import sys

import numpy as np
import pytest
from gymnasium import spaces
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from smartrec import agents
from smartrec.core import Decision, Problem, Slate, Transitions
from smartrec.core.errors import InvalidConfig, MissingExtra

NAMES = ["als", "bpr", "item_knn", "ease", "two_tower"]
USERS, ITEMS = 60, 40


def _problem(users=USERS, items=ITEMS, size=5):
    return Problem.from_spaces(spaces.Dict(user=spaces.Discrete(users)), Slate(items, size), discount=0.0)


def _log(users, slates, responses):
    lanes = len(users)
    observation = {"user": users}
    return Transitions(
        observation=observation,
        decision=Decision(slates),
        responses=np.asarray(responses, float),
        observed=np.ones(slates.shape, bool),
        reward=responses.sum(axis=1),
        next_observation=observation,
        terminated=np.ones(lanes, bool),
        truncated=np.zeros(lanes, bool),
        visit=np.arange(lanes),
        step=np.zeros(lanes, int),
    )


def _random_log(probability, visits, size=5, seed=0):
    rng = np.random.default_rng(seed)
    users = np.tile(np.arange(len(probability)), visits)
    slates = np.argsort(rng.random((len(users), probability.shape[1])), axis=1)[:, :size]
    return _log(users, slates, rng.random(slates.shape) < probability[users[:, None], slates])


def _planted(users=USERS, items=ITEMS, rank=3, seed=0):
    """Return click probabilities of a known taste of low rank."""
    rng = np.random.default_rng(seed)
    taste = rng.normal(size=(users, rank)) @ rng.normal(size=(rank, items))
    return 1 / (1 + np.exp(1.0 - taste))


def _clicks(log):
    table = np.zeros((USERS, ITEMS))
    np.add.at(table, (log.observation["user"][:, None], log.items), log.responses)
    return table


def _correlation(scores, truth):
    """Return the mean correlation over users of what goes beyond the items' means."""
    scores, truth = (values - values.mean(axis=0) for values in (scores, truth))
    return np.mean([np.corrcoef(pair)[0, 1] for pair in zip(scores, truth, strict=True)])


def test_ease_solves_the_regression_of_each_item_on_the_others():
    log = _random_log(_planted(), visits=6)
    agent = agents.make("ease", _problem(), seed=0, l2=7.0)
    agent.fit(log)
    x = _clicks(log)
    expected = np.zeros((ITEMS, ITEMS))
    for item in range(ITEMS):
        others = np.delete(np.arange(ITEMS), item)
        stacked = np.vstack([x[:, others], np.sqrt(7.0) * np.eye(ITEMS - 1)])
        answers = np.concatenate([x[:, item], np.zeros(ITEMS - 1)])
        expected[others, item] = np.linalg.lstsq(stacked, answers, rcond=None)[0]
    np.testing.assert_allclose(agent.weights, expected, atol=1e-5)
    np.testing.assert_allclose(agent.scores(np.arange(USERS)), x @ expected, atol=1e-4)


def _same_as_recommend(agent, fitted, clicks):
    users = np.arange(USERS)
    ids, scores = fitted.recommend(users, clicks, N=ITEMS, filter_already_liked_items=False)
    mine = agent.scores(users)
    for user in users:
        known = ids[user] >= 0
        np.testing.assert_allclose(mine[user, ids[user][known]], scores[user][known], rtol=1e-4, atol=1e-5)
    assert (ids >= 0).mean() > 0.5


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("als", AlternatingLeastSquares, {"factors": 8, "regularization": 0.5, "alpha": 3.0, "iterations": 5}),
        ("bpr", BayesianPersonalizedRanking, {"factors": 8, "learning_rate": 0.1, "iterations": 20}),
    ],
)
def test_scores_of_vectors_are_those_of_the_library(name, kind, options):
    log = _random_log(_planted(), visits=6)
    agent = agents.make(name, _problem(), seed=5, **options)
    drawn = agents.make(name, _problem(), seed=5).rng.integers(2**31)
    agent.fit(log)
    with threadpool_limits(1, "blas"):
        fitted = kind(**options, num_threads=1, random_state=int(drawn))
        clicks = csr_matrix(_clicks(log).astype(np.float32))
        fitted.fit(clicks, show_progress=False)
        _same_as_recommend(agent, fitted, clicks)


@pytest.mark.filterwarnings("ignore:Method expects CSR")  # the library's own call of itself
@pytest.mark.parametrize(
    ("weighting", "kind"), [("cosine", CosineRecommender), ("tfidf", TFIDFRecommender), ("bm25", BM25Recommender)]
)
def test_scores_of_neighbours_are_those_of_the_library(weighting, kind):
    log = _random_log(_planted(), visits=6)
    agent = agents.make("item_knn", _problem(), seed=0, neighbours=ITEMS, weighting=weighting)
    agent.fit(log)
    fitted, clicks = kind(K=ITEMS, num_threads=1), csr_matrix(_clicks(log))
    fitted.fit(clicks, show_progress=False)
    _same_as_recommend(agent, fitted, clicks)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("exploration", ["greedy", "ucb"])
def test_a_planted_taste_is_found(name, exploration):
    truth = _planted(users=200)
    agent = agents.make(name, _problem(users=200), seed=0, exploration=exploration)
    agent.fit(_random_log(truth, visits=12))
    users, oracle = np.arange(200), -np.sort(-truth, axis=1)[:, :5].sum(axis=1).mean()
    slates = agent.act({"user": users}, explore=False).action
    earned = np.take_along_axis(truth, slates, 1).sum(axis=1).mean()
    popular = np.sort(truth.mean(axis=0))[-5:].sum()
    assert earned > popular + 0.5 * (oracle - popular)
    if exploration == "greedy":
        assert _correlation(agent.scores(users), truth) > 0.5


@pytest.mark.parametrize("name", NAMES)
def test_a_new_user_gets_what_the_others_like(name):
    """Users 0..49 click the first five items far more often; user 55 was never seen, and 56 never clicked."""
    users, rng = np.tile(np.append(np.arange(50), 56), 8), np.random.default_rng(0)
    slates = np.argsort(rng.random((len(users), ITEMS)), axis=1)[:, :5]
    clicks = rng.random(slates.shape) < np.where(slates < 5, 0.9, 0.1)
    agent = agents.make(name, _problem(), seed=0, exploration="greedy")
    agent.fit(_log(users, slates, clicks & (users != 56)[:, None]))
    # To two_tower an item that user 56 did not click is one that he does not like, and it has seen him.
    for user in (55,) if name == "two_tower" else (55, 56):
        assert set(agent.act({"user": np.array([user])}).action[0]) == set(range(5))


@pytest.mark.parametrize("name", NAMES)
def test_items_never_shown_have_no_score_in_common_with_luck(name, feedback):
    """Whoever is shown items that nobody knows sees any of them, not always the same."""
    agent = agents.make(name, _problem(), seed=0, exploration="greedy")
    agent.fit(_log(np.arange(50), np.tile(np.arange(5), (50, 1)), np.ones((50, 5))))
    unknown = agents.Mask(np.arange(ITEMS)[None] >= 10)
    shown = agent.act({"user": np.arange(USERS)}, allowed=unknown).action
    assert len(np.unique(shown)) == ITEMS - 10


@pytest.mark.parametrize("name", NAMES[:-1])  # to two_tower what was not clicked says something too
def test_nothing_is_learnt_where_nobody_clicked(name):
    agent = agents.make(name, _problem(), seed=0)
    assert agent.fit(_log(np.arange(3), np.tile(np.arange(5), (3, 1)), np.zeros((3, 5)))) == {}


def test_a_missing_library_is_named_with_its_extra(monkeypatch):
    class Missing:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == "implicit":
                raise ModuleNotFoundError(f"No module named {name!r}", name="implicit")

    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    for module in [name for name in sys.modules if name.partition(".")[0] == "implicit"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, "smartrec.agents.recommenders.als", raising=False)
    with pytest.raises(MissingExtra, match=r"smartrec\[recommenders\]"):
        agents.make("als", _problem(), seed=0)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("als", {"factors": 0}),
        ("als", {"alpha": 0.0}),
        ("bpr", {"learning_rate": 0.0}),
        ("item_knn", {"neighbours": 0}),
        ("item_knn", {"weighting": "jaccard"}),
        ("ease", {"l2": 0.0}),
    ],
)
def test_options_out_of_range_are_refused(name, options):
    with pytest.raises(InvalidConfig, match=next(iter(options))):
        agents.make(name, _problem(), seed=0, **options)
