"""A batch is array work: the time of bare NumPy on the same arrays, measured beside it, times a generous factor."""

import time
from itertools import count, islice

import numpy as np
import pytest

from smartrec import agents

USERS, ITEMS, FEATURES = 1000, 1000, 20


def _seconds(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _ratio(work, bare, repeats=6):
    """Return the least time of ``work`` over that of ``bare``: taken in turns, and noise only adds.

    Bounds are three times what a quiet machine shows: a loop over users or items would take a hundred times as long.
    """
    times = [(_seconds(work), _seconds(bare)) for _ in range(repeats)]
    return min(time for time, _ in times) / min(time for _, time in times)


def _draws():
    rng = np.random.default_rng(0)
    return rng.beta(np.full(ITEMS, 2.0), np.full(ITEMS, 3.0), size=(USERS, ITEMS)).argmax(axis=1)


def _table():
    return np.random.default_rng(0).random((USERS, ITEMS)).argmax(axis=1)


def _products():
    x = np.ones((USERS, 231), np.float32)
    return np.sqrt(x @ np.ones((231, ITEMS), np.float32) + 1).argmax(axis=1)


@pytest.mark.parametrize(
    ("name", "bare", "factor"),
    [("thompson", _draws, 9), ("ucb", _table, 9), ("epsilon_greedy", _table, 9), ("lin_ucb", _products, 24)],
)
def test_deciding_is_array_work(name, bare, factor, problem, seen, feedback):
    rng = np.random.default_rng(1)
    features = rng.normal(size=(USERS, FEATURES)).astype(np.float32)
    agent = agents.make(name, problem(ITEMS, features=FEATURES), seed=0)
    agent.observe(feedback(rng.integers(ITEMS, size=USERS), rng.integers(2, size=USERS), 1, features))
    agent.update()
    users = seen(USERS, 1, features)
    assert _ratio(lambda: agent.act(users), bare) < factor


@pytest.mark.parametrize("name", ["thompson", "ucb", "epsilon_greedy"])
def test_counting_is_array_work(name, problem, feedback):
    """Against what the counting itself is: two bincounts."""
    rng = np.random.default_rng(1)
    items, responses = rng.integers(ITEMS, size=100_000), rng.integers(2, size=100_000).astype(float)
    agent = agents.make(name, problem(ITEMS), seed=0, discount=0.9)
    given = feedback(items, responses, 1)

    def bare():
        np.bincount(items, weights=responses, minlength=ITEMS)
        np.bincount(items, minlength=ITEMS)

    assert _ratio(lambda: agent.observe(given), bare) < 60


def test_learning_of_lin_ucb_is_array_work(problem, feedback):
    """Against the inverses of as many matrices as there are items with news, which no exact form avoids."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(USERS, FEATURES)).astype(np.float32)
    agent = agents.make("lin_ucb", problem(ITEMS, features=FEATURES), seed=0)
    given = feedback(rng.integers(ITEMS, size=USERS), rng.integers(2, size=USERS), 1, features)
    matrices = np.eye(FEATURES + 1) + np.zeros((ITEMS, 1, 1))

    def learn():
        agent.observe(given)
        agent.update()

    assert _ratio(learn, lambda: np.linalg.inv(matrices)) < 12


def test_feedback_of_many_ticks_is_split_in_one_sort(problem, feedback):
    """Ten times the rows and the ticks cost about ten times, not a hundred."""

    def observe(rows):
        agent = agents.make("thompson", problem(5), seed=0, window=100)
        given = feedback(np.zeros(rows, int), np.ones(rows), np.arange(rows))
        return lambda: agent.observe(given)

    assert _ratio(observe(10_000), observe(1000), repeats=3) < 40


def test_a_window_costs_what_leaves_it_and_not_its_length(problem, seen, feedback):
    def steps(window):
        agent = agents.make("thompson", problem(3, clock=False), seed=0, window=window)
        users, clock = seen(1), count()

        def live(steps):
            for step in islice(clock, steps):
                agent.act(users)
                agent.observe(feedback([step % 3], [1], step=step))

        live(3000)
        return lambda: live(200)

    assert _ratio(steps(2500), steps(10)) < 4
