"""Windows and discounts against closed forms; the split into batches, the order and the delay must not matter."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartrec import agents
from smartrec.agents.bandits.counts import Counts
from smartrec.agents.forgetting import Evidence, Forgetting
from smartrec.core.errors import InvalidConfig, InvalidInput

ITEMS = 4
EVENTS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, ITEMS - 1), st.integers(0, 1)), min_size=1, max_size=25)
LIMITS = st.sampled_from([(1.0, None), (0.5, None), (1.0, 3), (0.7, 5), (0.0, None), (1.0, 1), (0.9, 40)])


def _closed_form(events, forgetting, now):
    """Return [I, 2] by the definition: discount ** (now - c) while now - c <= window."""
    sums = np.zeros((ITEMS, 2))
    for clock, item, click in events:
        age = now - clock
        if forgetting.window is None or age <= forgetting.window:
            sums[item] += forgetting.discount**age * np.array([click, 1])
    return sums


@given(events=EVENTS, limits=LIMITS, cuts=st.lists(st.integers(0, 25), max_size=4), late=st.integers(0, 6))
def test_sums_are_the_closed_form_whatever_the_batches_the_order_and_the_delay(events, limits, cuts, late, feedback):
    forgetting = Forgetting(*limits)
    now = 12 + late
    counts = Counts(ITEMS, forgetting)
    bounds = sorted({0, len(events), *(min(cut, len(events)) for cut in cuts)})
    for start, end in pairwise(bounds):  # in the order drawn, which is any order
        clock, items, clicks = (np.array(column) for column in zip(*events[start:end], strict=True))
        counts.record(feedback(items, clicks, clock=clock))
    counts.advance(now)
    np.testing.assert_allclose(counts.sums, _closed_form(events, forgetting, now), atol=1e-12)


@given(events=EVENTS, limits=LIMITS)
def test_time_may_pass_before_between_or_after_the_feedback(events, limits, feedback):
    forgetting = Forgetting(*limits)
    early, late = Counts(ITEMS, forgetting), Counts(ITEMS, forgetting)
    late.advance(15)
    for clock, item, click in sorted(events):
        for moment in range(early.now + 1, clock + 1):
            early.advance(moment)
        for counts in (early, late):
            counts.record(feedback([item], [click], clock=[clock]))
    early.advance(15)
    np.testing.assert_allclose(early.sums, late.sums, atol=1e-12)
    np.testing.assert_allclose(late.sums, _closed_form(events, forgetting, 15), atol=1e-12)


def test_without_a_clock_steps_are_counted(problem, seen, feedback):
    """Acting lets one step pass; feedback of step s, however late, weighs discount ** (now - s)."""
    agent = agents.make("thompson", problem(2, clock=False), seed=0, discount=0.5)
    for _ in range(6):
        agent.act(seen(3))
    agent.observe(feedback([0], [1], step=2))  # now is step 5
    agent.observe(feedback([1, 1], [1, 0], step=[5, 0]))
    np.testing.assert_allclose(agent.counts.sums, [[1 / 8, 1 / 8], [1, 1 + 1 / 32]])


def test_the_observed_clock_counts_and_not_the_steps(problem, seen, feedback):
    agent = agents.make("thompson", problem(2), seed=0, discount=0.5)
    for clock in (1, 1, 1, 2):
        agent.act(seen(3, clock))
    agent.observe(feedback([0], [1], clock=[1], step=900))
    np.testing.assert_allclose(agent.counts.sums, [[0.5, 0.5], [0, 0]])


def test_lanes_that_straddle_a_tick_weigh_by_their_own_clock(problem, seen, feedback):
    agent = agents.make("thompson", problem(2), seed=0, discount=0.5)
    agent.observe(feedback([0], [1], clock=[2]))
    agent.act(seen(4, [3, 4, 4, 3]))
    np.testing.assert_allclose(agent.counts.sums, [[0.25, 0.25], [0, 0]])  # now is the latest tick, 4
    agent.observe(feedback([0, 0, 1, 1], [1, 0, 1, 1], clock=[3, 3, 4, 4]))
    np.testing.assert_allclose(agent.counts.sums, [[0.75, 1.25], [2.0, 2.0]])


@pytest.mark.parametrize("options", [{"discount": 0.1}, {"window": 2}], ids=["discount", "window"])
def test_priors_are_not_forgotten(options, problem, seen, feedback):
    agent = agents.make("thompson", problem(2), seed=0, prior_clicks=30.0, prior_misses=10.0, **options)
    agent.act(seen(1, 1))
    agent.observe(feedback([0] * 50, [0] * 50, clock=1))
    assert (agent.act(seen(50, 1), explore=False).action == 1).all()
    # A thousand ticks later nothing but the prior is left, for both items.
    assert set(agent.act(seen(50, 1000), explore=False).action) == {0, 1}
    draws = agent.act(seen(4000, 1000)).action
    assert draws.mean() == pytest.approx(0.5, abs=0.04)


def test_a_window_leaves_no_rounding_behind(feedback):
    """What is left of an item after all its feedback has expired is nothing, not 1e-17 of a showing."""
    counts = Counts(ITEMS, Forgetting(0.9, 7))
    rng = np.random.default_rng(0)
    for clock in range(200):
        items = rng.integers(2, size=3) if clock < 190 else np.full(3, 3)
        counts.record(feedback(items, rng.random(3), clock=clock))
    assert (counts.sums[:2] == 0).all()
    np.testing.assert_array_equal(counts.mean(unseen=0.25)[:3], 0.25)


def test_a_window_keeps_its_feedback_and_not_a_table_a_tick(feedback):
    counts = Counts(100_000, Forgetting(window=1000))
    for clock in range(300):
        counts.record(feedback([clock], [1], clock=clock))
    assert sum(part.nbytes for part in counts.get_state().values() if isinstance(part, np.ndarray)) < 3e6


@pytest.mark.parametrize("limits", [(0.9, None), (1.0, 3), (0.8, 5)])
def test_state_comes_back_bit_for_bit(limits, feedback):
    rng = np.random.default_rng(1)

    def live(counts, clocks):
        for clock in clocks:
            lag = rng.integers(3)
            counts.record(feedback(rng.integers(ITEMS, size=5), rng.random(5), clock=max(clock - lag, 0)))
            counts.advance(clock)

    steady = Counts(ITEMS, Forgetting(*limits))
    live(steady, range(10))
    restored = Counts(ITEMS, Forgetting(*limits))
    restored.set_state({key: np.copy(value) for key, value in steady.get_state().items()})
    for counts in (steady, restored):
        rng = np.random.default_rng(2)
        live(counts, range(10, 20))
    np.testing.assert_array_equal(steady.sums, restored.sums)
    assert steady.now == restored.now


def test_a_thousand_ticks_at_once_are_a_thousand_ticks(feedback):
    for limits in [(0.99, None), (1.0, 500), (0.99, 500)]:
        slow, fast = (Evidence((2, 1), Forgetting(*limits)) for _ in range(2))
        for evidence in (slow, fast):
            evidence.add(0, np.array([0]), np.array([[3.0]]))
            evidence.add(700, np.array([1]), np.array([[5.0]]))
        for now in range(701, 1101):
            slow.advance(now)
        fast.advance(1100)
        np.testing.assert_allclose(slow.sums, fast.sums, rtol=1e-10)


@pytest.mark.parametrize(("name", "value"), [("discount", 1.5), ("discount", -0.1), ("window", 0)])
@pytest.mark.parametrize("agent", ["most_popular", "epsilon_greedy", "ucb", "thompson"])
def test_options_out_of_range_are_refused(agent, name, value, problem):
    with pytest.raises(InvalidConfig, match=f"{name} = {value}"):
        agents.make(agent, problem(3), seed=0, **{name: value})


def test_a_bad_response_is_refused_before_anything_is_counted(feedback):
    counts = Counts(ITEMS, Forgetting(0.9))
    for wrong in (1.5, -0.5, np.nan):
        with pytest.raises(InvalidInput, match="0 to 1"):
            counts.record(feedback([0, 1], [1.0, wrong], clock=[1, 2]))
        assert (counts.sums == 0).all()
        assert counts.now == -1
    counts.record(feedback([0, 1], [1.0, np.nan], clock=[1, 2], observed=[True, False]))
    np.testing.assert_allclose(counts.sums[:2], [[0.9, 0.9], [0, 0]])  # time moved on to 2
