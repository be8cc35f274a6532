"""Draws against their exact distributions: enumeration of all slates, Plackett-Luce by hand, chi-square."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from smartrec.agents.exploration import best, epsilon_greedy, proportional
from smartrec.core.errors import InvalidInput

LANES = 40_000
INF = np.inf


def _rng():
    return np.random.default_rng(3)


def _frequencies(slates, columns):
    """Return slate -> share, for all ordered slates of these columns."""
    every = list(permutations(range(columns), slates.shape[1]))
    return {slate: float((slates == slate).all(axis=1).mean()) for slate in every}


def _plackett_luce(weights, slate):
    probability, left = 1.0, float(sum(weights))
    for item in slate:
        probability, left = probability * weights[item] / left, left - weights[item]
    return probability


@pytest.mark.parametrize("shared", [True, False], ids=["one row for all", "a row a lane"])
def test_ties_are_broken_uniformly(shared):
    scores = np.array([[1.0, 0.5, 1.0, 1.0, 0.9]])
    slates, log_probability = best(scores if shared else np.repeat(scores, LANES, 0), LANES, 1, _rng())
    counts = np.bincount(slates[:, 0], minlength=5)
    assert counts[[1, 4]].sum() == 0
    assert chisquare(counts[[0, 2, 3]]).pvalue > 1e-4
    np.testing.assert_allclose(log_probability, -np.log(3))


def test_ties_within_a_slate_are_broken_uniformly():
    """Two items tie for the places 2 and 3; three with nothing else tie for all places."""
    slates, log_probability = best(np.array([[0.2, 0.7, 0.2, 0.1]]), LANES, 3, _rng())
    seen = _frequencies(slates, 4)
    assert seen[(1, 0, 2)] == pytest.approx(0.5, abs=0.02)
    assert seen[(1, 2, 0)] == pytest.approx(0.5, abs=0.02)
    np.testing.assert_allclose(log_probability, np.log(0.5))
    slates, _ = best(np.zeros((1, 3)), LANES, 3, _rng())
    assert chisquare([share * LANES for share in _frequencies(slates, 3).values()]).pvalue > 1e-4


@given(
    seed=st.integers(0, 2**32 - 1),
    columns=st.integers(1, 60),
    lanes=st.integers(1, 5),
    shared=st.booleans(),
    data=st.data(),
)
def test_best_equals_sorting_where_nothing_ties(seed, columns, lanes, shared, data):
    slate_size = data.draw(st.integers(1, columns))
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(columns) - columns / 2, (1 if shared else lanes, 1)), axis=1)
    before = scores.copy()
    slates, log_probability = best(scores, lanes, slate_size, rng)
    expected = np.broadcast_to(np.argsort(-scores, axis=1)[:, :slate_size], (lanes, slate_size))
    np.testing.assert_array_equal(slates, expected)
    np.testing.assert_array_equal(log_probability, 0.0)
    np.testing.assert_array_equal(scores, before)


@given(seed=st.integers(0, 2**32 - 1), columns=st.integers(2, 60), levels=st.integers(1, 4), data=st.data())
def test_best_takes_the_largest_scores_with_ties_and_masks(seed, columns, levels, data):
    """Whatever way ties fall, the scores of a slate are the K largest in order, and no column comes twice."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(levels, size=(3, columns)).astype(float)
    allowed = data.draw(st.integers(1, columns))
    scores[:, allowed:] = -INF
    slate_size = data.draw(st.integers(1, allowed))
    slates, log_probability = best(scores, 3, slate_size, rng)
    taken = np.take_along_axis(scores, slates, 1)
    np.testing.assert_array_equal(taken, -np.sort(-scores, axis=1)[:, :slate_size])
    assert all(len(set(slate)) == slate_size for slate in slates.tolist())
    assert (log_probability <= 0).all()


def test_a_tie_at_the_edge_of_a_long_row_reaches_every_tied_column():
    """The shortlist must not cut a tie: 90 columns tie for one place."""
    scores = np.zeros((1, 100))
    scores[0, :10] = 1 + np.arange(10)
    slates, log_probability = best(scores, 20_000, 11, _rng())
    np.testing.assert_array_equal(slates[:, :10], np.broadcast_to(np.arange(9, -1, -1), (20_000, 10)))
    assert set(slates[:, 10]) == set(range(10, 100))
    np.testing.assert_allclose(log_probability, -np.log(90))


@pytest.mark.parametrize("shared", [True, False], ids=["one row for all", "a row a lane"])
def test_a_chain_of_ties_depends_on_who_was_chosen(shared):
    """The first ties with the second, the second with the third, but not the first with the third."""
    chain = 1 + 0.8e-9 * np.array([[2, 1, 0, -1e6]])
    slates, log_probability = best(chain if shared else np.repeat(chain, LANES, 0), LANES, 2, _rng())
    seen = _frequencies(slates, 4)
    for slate, exact in {(0, 1): 0.25, (0, 2): 0.25, (1, 0): 0.5}.items():
        assert seen[slate] == pytest.approx(exact, abs=0.02)
        np.testing.assert_allclose(np.exp(log_probability[(slates == slate).all(axis=1)]), exact)


def test_rounding_breaks_no_tie_and_makes_none():
    near = np.array([[0.1 + 0.2, 0.3, 0.3 - 1e-7]])
    slates, _ = best(near, LANES, 1, _rng())
    assert set(slates[:, 0]) == {0, 1}
    single = np.array([[0.3, 0.3 * (1 + 3e-7), 0.3 - 1e-4]], np.float32)
    slates, _ = best(np.repeat(single, 100, axis=0), 100, 1, _rng())
    assert set(slates[:, 0]) == {0, 1}
    np.testing.assert_array_equal(best(np.array([[-5.0, -5.1]]), 9, 1, _rng())[0], 0)


@pytest.mark.parametrize("slate_size", [1, 2])
def test_nan_is_refused(slate_size):
    with pytest.raises(InvalidInput, match="NaN"):
        best(np.array([[0.1, np.nan, 0.2]]), 4, slate_size, _rng())


def test_proportional_draws_are_plackett_luce():
    weights = [0.5, 0.3, 1.2]
    slates, log_probability = proportional(np.array([weights]), LANES, 2, _rng())
    for slate, share in _frequencies(slates, 3).items():
        exact = _plackett_luce(weights, slate)
        assert share == pytest.approx(exact, abs=5 * np.sqrt(exact / LANES))
        mine = (slates == slate).all(axis=1)
        np.testing.assert_allclose(np.exp(log_probability[mine]), exact, rtol=1e-12)


def test_proportional_draws_with_a_weight_of_zero_last_and_what_is_forbidden_never():
    weights = np.array([[0.0, 2.0, -INF, 0.0]])
    slates, log_probability = proportional(weights, 4000, 3, _rng())
    np.testing.assert_array_equal(slates[:, 0], 1)
    assert set(map(tuple, slates.tolist())) == {(1, 0, 3), (1, 3, 0)}
    np.testing.assert_allclose(log_probability, np.log(0.5), rtol=1e-9)
    nothing = np.array([[0.0, 0.0, -INF]])
    slates, log_probability = proportional(nothing, 4000, 1, _rng())
    assert np.bincount(slates[:, 0], minlength=3).tolist() == pytest.approx([2000, 2000, 0], abs=200)
    np.testing.assert_allclose(log_probability, np.log(0.5))


def test_proportional_log_probability_survives_weights_of_different_size():
    """The total less the largest would be 0 in floating point, and its logarithm infinite."""
    weights = np.array([[1e9, 1e-3, 3e-3]])
    _, log_probability = proportional(weights, 1000, 3, _rng())
    exact = {np.log(0.25), np.log(0.75)}
    assert all(min(abs(value - e) for e in exact) < 1e-9 for value in log_probability)


@given(
    scores=st.lists(st.sampled_from([0.0, 0.3, 0.3, 1.0]), min_size=2, max_size=4),
    epsilon=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    data=st.data(),
)
def test_probabilities_of_all_slates_add_up_to_one(scores, epsilon, data):
    """Every slate that can come up does in 3000 draws, or nearly: what is missing is bounded by chance."""
    row = np.repeat([scores], data.draw(st.sampled_from([1, 3000])), axis=0)
    slate_size = data.draw(st.integers(1, min(2, len(scores))))
    for slates, log_probability in (
        best(row, 3000, slate_size, _rng()),
        proportional(row + 0.1, 3000, slate_size, _rng()),
        epsilon_greedy(row, 3000, slate_size, epsilon, _rng()),
    ):
        known = {tuple(s): p for s, p in zip(slates.tolist(), np.exp(log_probability), strict=True)}
        assert sum(known.values()) == pytest.approx(1, abs=0.01)
        assert sum(known.values()) <= 1 + 1e-9


def test_epsilon_greedy_against_enumeration():
    scores, epsilon = [0.6, 0.9, 0.6, 0.1], 0.3
    row = np.array([[*scores, -INF]])
    slates, log_probability = epsilon_greedy(row, LANES, 2, epsilon, _rng())
    for slate in permutations(range(4), 2):
        exact = epsilon / 12 + (1 - epsilon) * (0.5 if slate in {(1, 0), (1, 2)} else 0.0)
        mine = (slates == slate).all(axis=1)
        np.testing.assert_allclose(np.exp(log_probability[mine]), exact, rtol=1e-12)
        assert mine.mean() == pytest.approx(exact, abs=5 * np.sqrt(exact / LANES))
    assert (slates < 4).all()


def test_epsilon_greedy_knows_slates_of_many_items():
    """1000 * 999 * ... of fifteen factors leaves the range of int64, and of a hundred that of float64."""
    scores = np.arange(1000.0)[None]
    _, few = epsilon_greedy(scores, 50, 15, 1.0, _rng())
    np.testing.assert_allclose(few, -np.log(1000 - np.arange(15)).sum())
    _, many = epsilon_greedy(scores, 50, 150, 1.0, _rng())
    np.testing.assert_allclose(many, -np.log(1000 - np.arange(150)).sum())


def test_lanes_draw_by_themselves():
    """Each lane has its own mask, coin and ties."""
    scores = np.where(np.eye(4, dtype=bool), 0.0, -INF)
    for draw in (
        best(scores, 4, 1, _rng()),
        epsilon_greedy(scores, 4, 1, 0.5, _rng()),
        proportional(scores, 4, 1, _rng()),
    ):
        np.testing.assert_array_equal(draw[0][:, 0], np.arange(4))
        np.testing.assert_allclose(draw[1], 0.0, atol=1e-12)
