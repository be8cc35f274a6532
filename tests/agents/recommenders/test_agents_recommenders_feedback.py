"""The table of showings and clicks holds what came, in whatever order and portions."""

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from smartrec.agents.recommenders.feedback import Feedback
from smartrec.core import Problem, Slate
from smartrec.core.errors import InvalidConfig, InvalidInput


def _feedback(items=6, users=5):
    observed = spaces.Dict(user=spaces.Discrete(users))
    return Feedback(Problem.from_spaces(observed, Slate(items, 2)))


def _rows(feedback, seed, count):
    rng = np.random.default_rng(seed)
    slates = rng.permuted(np.tile(np.arange(6), (count, 1)), axis=1)[:, :2]
    made = feedback(slates, rng.integers(2, size=(count, 2)), observed=rng.random((count, 2)) < 0.8)
    made.observation["user"][:] = rng.integers(5, size=count)
    return made


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), cuts=st.lists(st.integers(0, 40), max_size=5))
def test_it_holds_what_came_in_any_order_and_portions(feedback, seed, cuts):
    given_all = _rows(feedback, seed, 40)
    shown, clicks = np.zeros((5, 6)), np.zeros((5, 6))
    users = np.repeat(given_all.observation["user"][:, None], 2, axis=1)
    seen = given_all.observed
    np.add.at(shown, (users[seen], given_all.items[seen]), 1)
    np.add.at(clicks, (users[seen], given_all.items[seen]), given_all.responses[seen])
    table = _feedback()
    shuffled = given_all[np.random.default_rng(seed).permutation(40)]
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), 40], strict=True):
        table.record(shuffled[start:end])
        table.rates(1.0)  # reading in between changes nothing
    np.testing.assert_array_equal(table.shown.toarray(), shown)
    np.testing.assert_array_equal(table.clicks.toarray(), clicks)
    assert table.clicks.nnz == (clicks > 0).sum()
    assert table.transitions == seen.any(axis=1).sum()
    assert table.answers == seen.sum()
    np.testing.assert_array_equal(np.column_stack(table.pairs()[:2]), np.argwhere(shown))
    np.testing.assert_array_equal(table.known(), np.flatnonzero(shown.any(axis=1)))
    rates, counts = table.rates(4.0)
    mean = (clicks.sum() + 0.5) / (shown.sum() + 1)
    np.testing.assert_allclose(rates, (clicks.sum(axis=0) + 4 * mean) / (shown.sum(axis=0) + 4))
    np.testing.assert_array_equal(counts, shown.sum(axis=0))
    copy = _feedback()
    copy.set_state(table.get_state())
    for name in ("shown", "clicks"):
        np.testing.assert_array_equal(getattr(copy, name).toarray(), getattr(table, name).toarray())
    some = np.array([3, 0, 3])
    for part, whole in zip(table.rows(some), (shown, clicks), strict=True):
        np.testing.assert_array_equal(part.toarray(), whole[some])


def test_refits_come_early_and_then_every_so_many_transitions(feedback):
    table, refits = _feedback(), []
    for step in range(1, 101):
        made = feedback([[0, 1]], [[1, 0]])
        table.record(made)
        if table.due(10):
            table.settle()
            refits.append(step)
    assert refits[:8] == [1, 2, 3, 4, 5, 7, 9, 12]
    assert set(np.diff(refits[-5:])) == {10}


def test_bad_input_is_refused_and_nothing_is_kept(feedback):
    table = _feedback()
    stranger = feedback([[0, 1], [1, 2]], [[1, 0], [1, 1]])
    stranger.observation["user"][1] = 5
    with pytest.raises(InvalidInput, match="user 0 to 5; allowed: 0 to 4"):
        table.record(stranger)
    for value in (1.5, np.nan):
        with pytest.raises(InvalidInput, match="allowed: 0 to 1"):
            table.record(feedback([[0, 1], [1, 2]], [[1, 0], [value, 1]]))
    assert table.shown.nnz == table.transitions == 0


@pytest.mark.parametrize("observed", [{}, {"clock": spaces.Discrete(9)}, {"user": spaces.Box(0, 1, (2,))}])
def test_users_without_numbers_are_refused(observed):
    with pytest.raises(InvalidConfig, match="observe_user"):
        Feedback(Problem.from_spaces(spaces.Dict(observed), spaces.Discrete(3)))
