"""Ranking metrics against hand cases, scikit-learn and a brute force; intervals against known variances."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import ndcg_score

from smartrec.core.errors import InvalidInput
from smartrec.evaluation import ranking
from smartrec.evaluation.intervals import crossed_interval, mean_interval
from smartrec.evaluation.ranking import coverage, diversity, novelty, popularity, rank


def csr(held):
    return np.cumsum([0, *map(len, held)]), np.array([item for items in held for item in items], int)


def brute(lists, held):
    """The definitions, one user and one place at a time."""
    rows = []
    for items, truth in zip(lists, held, strict=True):
        hit = [item in truth for item in items if item >= 0]
        gain = sum(1 / math.log2(place + 2) for place, yes in enumerate(hit) if yes)
        best = sum(1 / math.log2(place + 2) for place in range(min(len(items), len(truth))))
        first = next((1 / (place + 1) for place, yes in enumerate(hit) if yes), 0.0)
        row = {"ndcg": gain / best, "mrr": first, "hit_rate": float(any(hit))}
        rows.append({**row, "recall": sum(hit) / len(truth), "precision": sum(hit) / len(items)})
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_hand_case():
    found = rank([[4, 2, 9], [1, 0, 3], [5, -1, -1]], *csr([[2, 9], [7], [5, 6, 7, 8]]), n_items=10).figures()
    assert found["hit_rate"].tolist() == [1, 0, 1]
    assert found["mrr"].tolist() == [0.5, 0, 1]
    assert found["recall"].tolist() == [1, 0, 0.25]
    assert found["precision"].tolist() == pytest.approx([2 / 3, 0, 1 / 3])
    # 1/log2(3) + 1/2 of 1 + 1/log2(3); nothing; 1 of 1 + 1/log2(3) + 1/2.
    assert found["ndcg"].tolist() == pytest.approx([0.693426, 0, 0.469279], abs=1e-6)


@st.composite
def questions(draw):
    n_items, users, k = draw(st.integers(1, 8)), draw(st.integers(1, 4)), draw(st.integers(1, 10))
    order = st.permutations(range(n_items))
    lists = [draw(order)[: draw(st.integers(0, k))] for _ in range(users)]
    held = [draw(order)[: draw(st.integers(1, n_items))] for _ in range(users)]
    return [[*items, *[-1] * (k - len(items))] for items in lists], held, n_items


@settings(max_examples=300, deadline=None)
@given(questions())
def test_vectorised_equals_brute_force_also_where_k_exceeds_the_catalogue(question):
    lists, held, n_items = question
    found = rank(np.array(lists), *csr(held), n_items).figures()
    for name, wanted in brute(lists, held).items():
        assert found[name].tolist() == pytest.approx(wanted)
        assert (found[name] >= 0).all()
        assert (found[name] <= 1 + 1e-12).all()
    assert coverage(lists, n_items) == len({item for items in lists for item in items} - {-1}) / n_items


def test_ndcg_is_scikit_learns():
    rng = np.random.default_rng(0)
    users, n_items, k = 40, 30, 10
    scores, truth = rng.random((users, n_items)), rng.random((users, n_items)) < 0.2
    truth[:, 0] = True
    lists = np.argsort(-scores, axis=1)[:, :k]
    found = rank(lists, *csr([np.flatnonzero(row).tolist() for row in truth]), n_items).ndcg
    wanted = [ndcg_score(truth[[u]].astype(int), scores[[u]], k=k) for u in range(users)]
    assert found == pytest.approx(np.array(wanted))


@settings(max_examples=100, deadline=None)
@given(questions(), st.integers(0, 99))
def test_diversity_novelty_and_popularity_equal_their_definitions(question, seed):
    lists, _, n_items = question
    rng = np.random.default_rng(seed)
    vectors, had = rng.normal(size=(n_items, 3)), rng.integers(0, 5, n_items)
    cosine = vectors @ vectors.T / np.outer(*[np.linalg.norm(vectors, axis=1)] * 2)
    for user, items in enumerate(lists):
        shown = [item for item in items if item >= 0]
        pairs = [1 - cosine[a, b] for a in shown for b in shown if a != b]
        assert diversity(lists, vectors)[user] == pytest.approx(np.mean(pairs) if pairs else 0, abs=1e-12)
        bits = [-math.log2(max(had[item], 1) / 5) for item in shown]
        assert novelty(lists, had, 5)[user] == pytest.approx(np.mean(bits) if bits else 0)
        places = [(stats.rankdata(had)[item] - 0.5) / n_items for item in shown]
        assert popularity(lists, had)[user] == pytest.approx(np.mean(places) if places else 0)


def test_known_values_of_what_is_recommended():
    assert novelty([[0, 1]], np.array([8, 2, 0]), 8).tolist() == [1.0]  # log2(8 / 8) and log2(8 / 2)
    assert novelty([[2]], np.array([8, 2, 0]), 8).tolist() == [3.0]
    assert popularity([[0], [2]], np.array([8, 2, 0])).tolist() == pytest.approx([5 / 6, 1 / 6])
    everything = np.arange(50)[None]
    assert popularity(everything, np.random.default_rng(0).integers(0, 9, 50)).tolist() == pytest.approx([0.5])
    same, opposite = np.array([[1.0, 0], [2, 0], [0, 0]]), np.array([[1.0, 0], [-3, 0]])
    assert diversity([[0, 1], [0, 2]], same).tolist() == [0.0, 1.0]
    assert diversity([[0, 1]], opposite).tolist() == [2.0]


GOOD = [[0, 1]], [0, 1], [2]
BAD = [
    ([[1, 1]], [0, 1], [2], "recommended an item twice: \\[1, 1\\]"),
    ([[0, 5]], [0, 1], [2], "item 5 is recommended"),
    ([[0, -2]], [0, 1], [2], "item -2 is recommended"),
    ([[-1, 0]], [0, 1], [2], "goes on after -1"),
    ([[0.5, 1]], [0, 1], [2], "float64"),
    ([0, 1], [0, 1], [2], r"allowed: integers \[U, K\]"),
    ([[0, 1], [0, 1]], [0, 1, 1], [2], "user 1 has 0 held-out items"),
    ([[0, 1]], [0, 2], [2], "allowed: \\[U \\+ 1\\]"),
    ([[0, 1]], [0, 1], [9], "held-out items 9 to 9"),
    ([[0, 1]], [0, 2], [2, 2], "held out twice"),
]


@pytest.mark.parametrize(("lists", "starts", "held", "message"), BAD)
def test_bad_input_is_named(lists, starts, held, message):
    rank(np.array(GOOD[0]), *GOOD[1:], n_items=5)
    with pytest.raises(InvalidInput, match=message):
        rank(np.array(lists), starts, held, n_items=5)


def test_every_metric_has_a_place_in_the_figures():
    names = {name for name, part in vars(ranking.Ranking).items() if isinstance(part, property)}
    assert names == set(rank(np.array(GOOD[0]), *GOOD[1:], n_items=5).figures())


def test_the_crossed_interval_with_one_seed_is_that_over_users():
    values = np.random.default_rng(0).normal(size=(1, 30))
    mine, plain = crossed_interval(values), mean_interval(values[0].tolist())
    assert (mine.mean, mine.half_width, mine.error) == pytest.approx((plain.mean, plain.half_width, plain.error))
    assert crossed_interval(np.ones((3, 4))).half_width == 0
    assert crossed_interval(np.ones((1, 1))).half_width == np.inf


def test_the_crossed_interval_holds_the_mean_as_often_as_it_says_or_oftener():
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(1500):
        users, seeds, rest = rng.normal(size=(1, 40)), 0.3 * rng.normal(size=(5, 1)), rng.normal(size=(5, 40))
        interval = crossed_interval(users + seeds + rest)
        inside.append(abs(interval.mean) <= interval.half_width)
    assert 0.94 < np.mean(inside) < 0.99
