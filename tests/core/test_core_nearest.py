"""The look-up against a scan in double precision and against scikit-learn."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

import smartrec.core.nearest as module
from smartrec.core.decision import Items, Mask
from smartrec.core.errors import InvalidAction, InvalidConfig, InvalidInput, MissingExtra
from smartrec.core.nearest import NearestItems

METRICS = ("l2", "inner", "cosine")
BACKENDS = ("numpy", "faiss")


def all_distances(embeddings, vectors, metric):
    """Distances [N, I], pair by pair, in double precision."""
    e, v = np.asarray(embeddings, np.float64), np.asarray(vectors, np.float64)
    if metric == "l2":
        return np.stack([np.sqrt(((e - row) ** 2).sum(axis=1)) for row in v])
    if metric == "inner":
        return -(v @ e.T)
    return 1 - (v / np.linalg.norm(v, axis=1)[:, None]) @ (e / np.linalg.norm(e, axis=1)[:, None]).T


def check(embeddings, vectors, metric, count, allowed=None, table=None, backend="numpy", atol=1e-12):
    """Demand that ``find`` returns ``count`` different allowed items whose distances are the smallest there are."""
    items, distances = NearestItems(embeddings, metric, backend=backend).find(vectors, count, allowed)
    truth = all_distances(embeddings, vectors, metric)
    if table is not None:
        truth = np.where(table, truth, np.inf)
    assert items.shape == distances.shape == (len(vectors), count)
    assert all(len(set(row)) == count for row in items.tolist())
    np.testing.assert_allclose(np.take_along_axis(truth, items, 1), distances, rtol=1e-9, atol=atol)
    np.testing.assert_allclose(distances, np.sort(truth, axis=1)[:, :count], rtol=1e-9, atol=atol)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("n_items", "count"), [(1, 1), (7, 3), (33, 33), (1000, 1), (5000, 32), (5000, 700)])
def test_smallest_distances(metric, backend, n_items, count):
    rng = np.random.default_rng(n_items)
    check(rng.normal(size=(n_items, 16)), rng.normal(size=(9, 16)), metric, count, backend=backend)


@pytest.mark.parametrize(("metric", "theirs"), [("l2", "euclidean"), ("cosine", "cosine")])
def test_same_items_as_scikit_learn(metric, theirs):
    rng = np.random.default_rng(0)
    embeddings, vectors = rng.normal(size=(3000, 20)), rng.normal(size=(50, 20))
    peer = NearestNeighbors(n_neighbors=10, metric=theirs, algorithm="brute").fit(embeddings)
    far, near = peer.kneighbors(vectors)
    items, distances = NearestItems(embeddings, metric).find(vectors, 10)
    assert np.array_equal(items, near)
    np.testing.assert_allclose(distances, far, atol=1e-7)


@pytest.mark.parametrize("metric", METRICS)
def test_both_backends_find_the_same(metric):
    rng = np.random.default_rng(3)
    embeddings = rng.normal(size=(4000, 24)).astype(np.float32)
    vectors, table = rng.normal(size=(40, 24)), rng.random((40, 4000)) < 0.02
    for allowed in (None, Mask(table)):
        one, other = (NearestItems(embeddings, metric, backend=name).find(vectors, 12, allowed) for name in BACKENDS)
        assert np.array_equal(one[0], other[0])
        assert np.array_equal(one[1], other[1])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_masks_hold_exactly_in_both_forms(data):
    seed, n_items = data.draw(st.integers(0, 9999)), data.draw(st.integers(1, 400))
    metric, backend = data.draw(st.sampled_from(METRICS)), data.draw(st.sampled_from(BACKENDS))
    rng, lanes = np.random.default_rng(seed), 5
    table = rng.random((lanes, n_items)) < data.draw(st.sampled_from([0.02, 0.5, 0.98]))
    table[np.arange(lanes), rng.integers(n_items, size=lanes)] = True
    count = data.draw(st.integers(1, int(table.sum(axis=1).min())))
    embeddings, vectors = rng.normal(size=(n_items, 6)), rng.normal(size=(lanes, 6))
    lists = np.full((lanes, table.sum(axis=1).max() + 2), -1)
    for lane, row in enumerate(table):
        lists[lane, rng.permutation(len(lists[0]))[: row.sum()]] = rng.permutation(np.flatnonzero(row))
    for allowed in (Mask(table), Items(lists)):
        check(embeddings, vectors, metric, count, allowed, table, backend)
    shared = table[:1] | (np.arange(n_items) < count)
    check(embeddings, vectors, metric, count, Mask(shared), np.repeat(shared, lanes, 0), backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("metric", METRICS)
def test_items_with_the_same_embedding_never_repeat(metric, backend):
    rng = np.random.default_rng(5)
    embeddings = np.repeat(rng.normal(size=(3, 8)), 500, axis=0)
    check(embeddings, embeddings[::300] + 0.1, metric, 40, backend=backend)
    allowed = np.arange(1500) % 2 == 0
    check(embeddings, embeddings[:1], metric, 400, Mask(allowed[None]), allowed[None], backend)


@pytest.mark.parametrize("metric", METRICS)
def test_what_single_precision_cannot_tell_apart(metric):
    """Two far clusters whose members differ by less than a float32 can say, as rows that a mean cannot centre."""
    rng = np.random.default_rng(6)
    embeddings = 1e4 + 1e-4 * rng.normal(size=(2000, 4))
    embeddings[1000:] -= 2e4
    check(embeddings, embeddings[[3, 1500]] + 1e-5, metric, 10, atol=1e-15 if metric == "cosine" else 1e-9)


def test_numbers_too_large_for_single_precision():
    rng = np.random.default_rng(7)
    check(1e100 * rng.normal(size=(100, 4)), 1e100 * rng.normal(size=(3, 4)), "l2", 5)
    check(rng.normal(size=(100, 4)), 1e60 * rng.normal(size=(3, 4)), "inner", 5)


def test_an_item_is_nearest_to_itself_whatever_the_block(monkeypatch):
    embeddings = np.random.default_rng(8).normal(size=(300, 5)).astype(np.float32)
    whole = NearestItems(embeddings).find(embeddings, 4)
    assert np.array_equal(whole[0][:, 0], np.arange(300))
    assert not whole[1][:, 0].any()
    monkeypatch.setattr(module, "BLOCK_BYTES", 1)
    one_by_one = NearestItems(embeddings).find(embeddings, 4)
    assert np.array_equal(whole[0], one_by_one[0])


def test_no_vector_and_a_vector_of_zeros():
    lookup = NearestItems(np.eye(3), "cosine")
    assert lookup.find(np.empty((0, 3)), 2)[0].shape == (0, 2)
    assert lookup.find(np.zeros((1, 3)), 2)[1].tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize(
    ("embeddings", "options", "error", "message"),
    [
        (np.ones(3), {}, InvalidInput, r"embeddings have shape \(3,\); allowed: \[I, D\]"),
        (np.ones((3, 0)), {}, InvalidInput, r"shape \(3, 0\)"),
        (np.ones((0, 3)), {}, InvalidInput, "no row"),
        (np.array([["a"]]), {}, InvalidInput, "of type <U1; allowed: numbers"),
        (np.array([[1.0], [np.nan]]), {}, InvalidInput, "row 1 has NaN or infinity"),
        (np.array([[1.0], [0.0]]), {"metric": "cosine"}, InvalidInput, "row 1 is all zeros"),
        (np.eye(2), {"metric": "l1"}, InvalidConfig, "metric = 'l1'; allowed: l2, inner, cosine"),
        (np.eye(2), {"backend": "annoy"}, InvalidConfig, "backend = 'annoy'; allowed: numpy, faiss"),
    ],
)
def test_embeddings_that_cannot_be_used(embeddings, options, error, message):
    with pytest.raises(error, match=message):
        NearestItems(embeddings, **options)


@pytest.mark.parametrize(
    ("vectors", "count", "allowed", "error", "message"),
    [
        (np.ones((2, 3)), 1, None, InvalidInput, r"vectors have shape \(2, 3\); allowed: \[N, 2\]"),
        (np.array([[np.inf, 1.0]]), 1, None, InvalidInput, "vectors: row 0 has NaN or infinity"),
        (np.ones((1, 2)), 5, None, InvalidConfig, "count = 5; allowed: 1 to the number of items, 4"),
        (np.ones((1, 2)), 0, None, InvalidConfig, "count = 0"),
        (np.ones((1, 2)), 1, Mask(np.ones((1, 3), bool)), InvalidInput, r"allowed has shape \(1, 3\)"),
        (np.ones((1, 2)), 1, Items(np.array([[4]])), InvalidInput, "items to 4"),
        (np.ones((1, 2)), 1, Items(np.array([[0], [1]])), InvalidInput, "lists 2 lanes"),
        (np.ones((1, 2)), 2, Items(np.array([[0, -1]])), InvalidAction, "lane 0 may be shown 1 items"),
    ],
)
def test_vectors_that_cannot_be_used(vectors, count, allowed, error, message):
    with pytest.raises(error, match=message):
        NearestItems(np.arange(8.0).reshape(4, 2)).find(vectors, count, allowed)


def test_faiss_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtra, match=r"smartrec\[nearest\]"):
        NearestItems(np.eye(2), backend="faiss")
