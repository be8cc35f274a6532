"""Returns-to-go of visits that come in pieces: by hand, in any order, with losses, within bounded memory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartrec.agents.deep.visits import Visits, rest_of
from smartrec.core import Decision, Transitions
from smartrec.core.errors import InvalidInput


def steps(visit, step, reward, terminated=False, truncated=False, observed=True):
    """Return transitions of one item each; scalars hold for all of them."""
    count = len(visit)
    full = [np.broadcast_to(value, count).copy() for value in (reward, observed, terminated, truncated, step)]
    reward, observed, terminated, truncated, step = full
    seen = {"x": np.zeros((count, 1), np.float32)}
    responses = np.asarray(reward, float)[:, None]
    return Transitions(
        seen, Decision(np.zeros(count, int)), responses, observed[:, None], responses[:, 0], seen,
        terminated, truncated, np.asarray(visit), step,
    )  # fmt: skip


def nothing_cut(places):
    raise AssertionError(f"no visit was cut off, and {places} were asked for")


def test_a_visit_of_three_steps_by_hand():
    visits = Visits(8, discount=0.5)
    visits.record(np.arange(3), steps([7, 7, 7], [4, 5, 6], [1.0, 2.0, 8.0], terminated=[False, False, True]))
    visits.settle(nothing_cut)
    # After the last step nothing follows; before it 0.5 * 8; before that 0.5 * (2 + 0.5 * 8).
    np.testing.assert_allclose(visits.rest[:3], [3.0, 4.0, 0.0])
    assert visits.known.tolist() == [0, 1, 2]


def test_a_slate_counts_the_positions_that_somebody_saw():
    visits, seen = Visits(4, discount=1.0), {"x": np.zeros((2, 1))}
    observed = np.array([[True, True], [True, False]])
    slates = Transitions(
        seen, Decision(np.array([[0, 1], [2, 3]])), np.array([[1.0, 1.0], [3.0, np.nan]]), observed, np.zeros(2), seen,
        np.array([False, True]), np.zeros(2, bool), np.zeros(2, int), np.arange(2),
    )  # fmt: skip
    visits.record(np.arange(2), slates)
    visits.settle(nothing_cut)
    np.testing.assert_allclose(visits.rest[:2], [3.0, 0.0])


def test_a_visit_cut_off_is_bootstrapped_and_one_that_ended_is_not():
    visits = Visits(4, discount=0.9)
    cut = steps([0, 0, 1], [0, 1, 0], 1.0, truncated=[False, True, True], terminated=[False, False, True])
    visits.record(np.arange(3), cut)
    asked = []
    visits.settle(lambda places: asked.append(places.tolist()) or np.array([10.0]))
    assert asked == [[1]]  # an end is an end, even where the environment also says that time was up
    np.testing.assert_allclose(visits.rest[:3], [0.9 * (1 + 9.0), 9.0, 0.0])
    visits.settle(nothing_cut)


def test_nothing_is_known_before_the_end_and_never_before_a_gap():
    visits = Visits(6, discount=1.0)
    visits.record(np.array([0, 1, 2]), steps([0, 0, 1], [0, 1, 0], 1.0))
    visits.settle(nothing_cut)
    assert not len(visits.known)
    visits.record(np.array([3, 4]), steps([0, 1], [3, 1], 1.0, terminated=True))  # step 2 of visit 0 was lost
    visits.settle(nothing_cut)
    assert visits.known.tolist() == [2, 3, 4]
    assert visits.rest[[2, 3, 4]].tolist() == [1.0, 0.0, 0.0]
    visits.record(np.array([5]), steps([0], [2], 5.0))  # or came late
    visits.settle(nothing_cut)
    assert visits.rest[[0, 1, 5]].tolist() == [7.0, 6.0, 1.0]


def test_without_a_discount_nothing_is_waited_for():
    visits = Visits(3, discount=0.0)
    visits.record(np.array([2, 0]), steps([0, 1], 0, 1.0))
    assert visits.known.tolist() == [0, 2]


def test_what_was_overwritten_is_forgotten():
    visits = Visits(2, discount=1.0)
    visits.record(np.array([0, 1]), steps([0, 0], [0, 1], 1.0))
    visits.record(np.array([0]), steps([0], [2], 1.0, terminated=True))
    visits.settle(nothing_cut)
    assert visits.rest.tolist() == [0.0, 1.0]


@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=8), discount=st.floats(0.1, 1.0), seed=st.integers(0, 99)
)
def test_any_order_in_any_parts_gives_what_the_formula_gives(lengths, discount, seed):
    rng = np.random.default_rng(seed)
    visit = np.repeat(np.arange(len(lengths)), lengths)
    step = np.concatenate([rng.integers(5) + np.arange(length) for length in lengths])
    ends = np.concatenate([np.arange(length) == length - 1 for length in lengths])
    reward = rng.normal(size=len(visit))
    expected = [
        sum(discount ** (step[j] - step[i]) * reward[j] for j in np.flatnonzero((visit == visit[i]) & (step > step[i])))
        for i in range(len(visit))
    ]
    visits, order = Visits(len(visit) + 3, discount), rng.permutation(len(visit))
    for part in np.array_split(order, 3):
        visits.record(part, steps(visit[part], step[part], reward[part], terminated=ends[part]))
        visits.settle(nothing_cut)
    np.testing.assert_allclose(visits.rest[: len(visit)], expected, atol=1e-12)


def test_what_is_kept_comes_back_from_its_state():
    visits, other = Visits(4, discount=0.5), Visits(4, discount=0.5)
    visits.record(np.arange(2), steps([0, 0], [0, 1], 1.0))
    other.set_state(visits.get_state())
    for one in (visits, other):
        one.record(np.array([2]), steps([0], [2], 4.0, terminated=True))
        one.settle(nothing_cut)
    np.testing.assert_array_equal(visits.rest, other.rest)
    assert visits.rest[0] == pytest.approx(0.5 * (1 + 0.5 * 4))


def test_a_world_that_begins_anew_is_kept_apart_from_the_one_before():
    visits = Visits(10, 0.5)
    visits.record(np.arange(3), steps([0, 0, 1], [0, 1, 0], 1.0))
    visits.record(np.arange(3, 5), steps([0, 0], [0, 1], 1.0, terminated=[False, True]))
    visits.settle(nothing_cut)
    assert visits.known.tolist() == [3, 4]
    visits.record(np.arange(5, 6), steps([1], [1], 1.0, terminated=True))
    visits.settle(nothing_cut, lambda earlier, later: np.zeros(len(earlier), bool))
    assert visits.known.tolist() == [3, 4, 5]


def test_what_followed_in_a_batch():
    """Visit 4 ends, visit 7 breaks off after step 2, visit 9 has a gap after step 0."""
    ended = np.array([1, 0, 0, 0, 0, 1], bool)
    batch = steps(np.array([4, 7, 4, 9, 7, 9]), np.array([1, 1, 0, 0, 2, 2]), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], ended)
    worth = np.array([np.nan, np.nan, np.nan, 10.0, 20.0, np.nan])
    rest = rest_of(batch, worth, 0.5)
    np.testing.assert_allclose(rest, [0, 0.5 * (5 + 0.5 * 20), 0.5 * 1, 0.5 * 10, 0.5 * 20, 0])
    np.testing.assert_array_equal(rest_of(batch, worth, 0.0), np.zeros(6))
    with pytest.raises(InvalidInput, match="twice"):
        rest_of(batch[np.array([0, 1, 1])], worth[:3], 0.5)
