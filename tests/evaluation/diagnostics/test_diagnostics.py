"""Diagnostics against closed forms, brute force and vectors whose law is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.spatial.distance import cdist

from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.core.nearest import NearestItems
from smartrec.evaluation.diagnostics import METRICS, density, distances, nearest, overlap, pairs, shared_items

BRUTE = {
    "euclidean": lambda a, b: np.sqrt(((a - b) ** 2).sum()),
    "cosine": lambda a, b: 1 - a @ b / np.sqrt((a @ a) * (b @ b)),
    "inner": lambda a, b: -(a @ b),
    "cityblock": lambda a, b: np.abs(a - b).sum(),
    "chebyshev": lambda a, b: np.abs(a - b).max(),
    "minkowski": lambda a, b: (np.abs(a - b) ** 3).sum() ** (1 / 3),
    "canberra": lambda a, b: (np.abs(a - b) / (np.abs(a) + np.abs(b))).sum(),
    "braycurtis": lambda a, b: np.abs(a - b).sum() / np.abs(a + b).sum(),
    "correlation": lambda a, b: 1 - np.corrcoef(a, b)[0, 1],
}


@pytest.mark.parametrize("metric", METRICS)
def test_nearest_items_equal_brute_force(metric):
    rng = np.random.default_rng(0)
    vectors, items = rng.normal(size=(300, 7)), rng.normal(size=(40, 7))
    found, apart = nearest(vectors, items, 5, metric)
    table = np.array([[BRUTE[metric](vector, item) for item in items] for vector in vectors])
    assert found.tolist() == np.argsort(table, axis=1, kind="stable")[:, :5].tolist()
    assert apart == pytest.approx(np.sort(table, axis=1)[:, :5])


@pytest.mark.parametrize(("name", "mine"), [("l2", "euclidean"), ("cosine", "cosine"), ("inner", "inner")])
def test_they_are_those_that_agents_look_up(name, mine):
    rng = np.random.default_rng(1)
    vectors, items = rng.normal(size=(20, 6)), rng.normal(size=(500, 6))
    wanted, apart = NearestItems(items, name).find(vectors, 8)
    found, mine_apart = nearest(vectors, items, 8, mine)
    assert found.tolist() == wanted.tolist()
    assert mine_apart == pytest.approx(apart)


def test_what_has_no_distance_is_at_1():
    zero, one = np.zeros((1, 3)), np.array([[1.0, 2, 3]])
    assert distances(zero, one, "cosine").tolist() == [[1.0]]
    assert distances(np.ones((1, 3)), one, "correlation").tolist() == [[1.0]]
    assert np.isfinite([distances(zero, zero, metric) for metric in METRICS]).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(METRICS))
def test_pairs_are_symmetric_and_their_figures_are_means(seed, metric):
    rng = np.random.default_rng(seed)
    real, made = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    found = pairs(real, made, metric)
    assert found.table == pytest.approx(found.table.T)
    across = np.array([[BRUTE[metric](b, a) for a in real] for b in made])
    assert found.figures["across"] == pytest.approx(across.mean())
    assert found.figures["nearest"] == pytest.approx(across.min(axis=1).mean())
    inside = [BRUTE[metric](a, b) for i, a in enumerate(made) for j, b in enumerate(made) if i != j]
    assert found.figures["generated"] == pytest.approx(np.mean(inside))


def test_a_policy_that_collapsed_to_a_point_has_no_spread():
    real = np.random.default_rng(0).normal(size=(30, 4))
    point = np.tile(real[3], (10, 1))
    figures = pairs(real, point).figures
    assert figures["spread"] == 0
    assert figures["nearest"] == pytest.approx(0, abs=1e-6)
    assert pairs(real, real).figures["spread"] == 1
    # Two points of a standard normal law of 4 dimensions lie 2 Gamma(5/2) / Gamma(2) = 2.659 apart in the mean.
    many = np.random.default_rng(1).normal(size=(600, 4))
    assert pairs(many, many).figures["real"] == pytest.approx(2.659, abs=0.05)


def test_equal_actions_share_everything_and_those_far_apart_nothing():
    items = np.concatenate([np.random.default_rng(k).normal(10 * k, 0.1, (10, 3)) for k in range(3)])
    same = overlap(np.tile(items[4], (5, 1)), items, 10)
    assert same.figures == {"overlap": 1.0, "distance": 0.0, "different_items": 10.0}
    apart = overlap(np.array([[0.0, 0, 0], [10, 10, 10], [20, 20, 20]]), items, 10)
    assert apart.figures["overlap"] == 0
    assert apart.figures["different_items"] == 30
    assert apart.figures["distance"] == pytest.approx(10 * 3**0.5 * 4 / 3)
    assert overlap(items[:1], items, 10).figures["overlap"] == 1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_shared_items_are_sizes_of_intersections(seed):
    rng = np.random.default_rng(seed)
    lists = np.array([rng.permutation(12)[:5] for _ in range(4)])
    wanted = [[len(set(a) & set(b)) / 5 for b in lists.tolist()] for a in lists.tolist()]
    assert shared_items(lists, 12) == pytest.approx(np.array(wanted))


def test_the_density_is_one():
    scores = np.random.default_rng(0).gamma(3.0, size=200)
    area, _ = quad(lambda x: density(scores, np.array([x]))[0], -10, 40, limit=200)
    assert area == pytest.approx(1, abs=1e-3)
    assert density(np.ones(5), np.linspace(0, 2, 9)).tolist() == [0] * 9


BAD = [
    (lambda v: distances(v, v, "euclid"), InvalidConfig, "Did you mean 'euclidean'"),
    (lambda v: distances(v, v[:, :2]), InvalidInput, "allowed: the same length"),
    (lambda v: distances(v * np.nan, v), InvalidInput, "NaN"),
    (lambda v: nearest(v, v, 9), InvalidConfig, "count = 9; allowed: 1 to the number of items, 4"),
    (lambda v: nearest(v[:0], v, 2), InvalidInput, "no vectors to find items for"),
    (lambda v: pairs(v[:1], v), InvalidInput, "at least two of each"),
    (lambda v: shared_items(np.array([[1, 1]]), 4), InvalidInput, "twice"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call(np.random.default_rng(0).normal(size=(4, 3)))


def test_cdist_and_ours_agree_on_what_minkowski_is_not():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 3)), rng.normal(size=(6, 3))
    assert np.abs(distances(a, b, "minkowski") - cdist(a, b)).max() > 0.01
