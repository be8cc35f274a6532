"""Decisions and updates of the counting bandits for 1000 users x 1000 items beside bare NumPy on the same arrays."""

import time
from dataclasses import replace

import numpy as np
import pytest

from smartrec import agents
from smartrec.agents import Decision

USERS, ITEMS = 1000, 1000


def _seconds(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _ratio(work, bare, repeats=6):
    """Return the least time of ``work`` over that of ``bare``: taken in turns, and noise only adds."""
    times = [(_seconds(work), _seconds(bare)) for _ in range(repeats)]
    return min(time for time, _ in times) / min(time for _, time in times)


def _table():
    return np.random.default_rng(0).random((USERS, ITEMS)).argmax(axis=1)


def _gumbels():
    return np.random.default_rng(0).gumbel(size=(USERS, ITEMS)).argmax(axis=1)


def _normals():
    return np.random.default_rng(0).standard_normal((USERS, ITEMS)).argmax(axis=1)


def _logarithms():
    """Thirty of them an item, about what ten steps of Newton's method take."""
    values = np.linspace(0.1, 0.9, ITEMS)
    return [np.log(values) for _ in range(30)]


@pytest.fixture
def learnt(problem, feedback):
    """A function from name and options to an agent that has seen 1000 showings, and those showings."""

    def learn(name, rows=USERS, **options):
        rng = np.random.default_rng(1)
        given = feedback(rng.integers(ITEMS, size=rows), rng.integers(2, size=rows).astype(float), 1)
        given = replace(given, decision=Decision(given.decision.action, np.full(rows, -np.log(ITEMS))))
        agent = agents.make(name, problem(ITEMS), seed=0, **options)
        agent.observe(given)
        return agent, given

    return learn


@pytest.mark.parametrize(
    ("name", "bare", "factor"),
    [
        ("ucb1", _table, 3),
        ("kl_ucb", _table, 3),
        ("bayes_ucb", _table, 3),
        ("exp3", _table, 3),
        ("softmax", _gumbels, 6),
        ("gaussian_thompson", _normals, 6),
    ],
)
def test_deciding_is_array_work(name, bare, factor, learnt, seen):
    agent, _ = learnt(name)
    users = seen(USERS, 1)
    assert _ratio(lambda: agent.act(users), bare) < factor


@pytest.mark.parametrize("name", ["ucb1", "kl_ucb", "bayes_ucb", "softmax", "gaussian_thompson", "exp3"])
def test_counting_is_array_work(name, learnt):
    """Against what the counting itself is: two bincounts."""
    agent, given = learnt(name, rows=100_000, discount=0.9)
    items, responses = given.decision.action, given.responses[:, 0]

    def bare():
        np.bincount(items, weights=responses, minlength=ITEMS)
        np.bincount(items, minlength=ITEMS)

    assert _ratio(lambda: agent.observe(given), bare) < 30


def test_kl_ucb_solves_all_items_at_once(learnt):
    agent, given = learnt("kl_ucb")

    def solve():
        agent.observe(given)
        agent.scores()

    assert _ratio(solve, _logarithms) < 20


def test_bayes_ucb_solves_only_when_counts_change(learnt, seen):
    agent, given = learnt("bayes_ucb")
    users = seen(10, 1)

    def anew():
        agent.observe(given)
        agent.act(users)

    assert _ratio(lambda: agent.act(users), anew) < 0.5
