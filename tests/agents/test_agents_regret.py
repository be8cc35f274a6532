"""Pseudo-regret of bandits against reference figures (mean and s.e. of hundreds of runs of plain NumPy loops).

Ours differ from the textbook's in two ways that do not show here. UCB1 plays each arm once and then takes ln t of
the round t; ``ucb`` gives an arm never played the bound 1 + sqrt(c ln n) and takes ln n of the n showings so far.
Ties fall at random instead of to the first arm. Each run is an agent of its own that serves one user a step.
"""

import numpy as np
import pytest

from smartrec import agents
from smartrec.core import Transitions

TWO = np.array([0.9, 0.8])
TEN = np.array([0.1, 0.05, 0.05, 0.05, 0.02, 0.02, 0.02, 0.01, 0.01, 0.01])


def _regret(name, problem, seed, steps, means, **options):
    """Return the cumulated pseudo-regret of one run, float [T].

    Args:
        name: A registered agent.
        problem: The fixture.
        seed: Of agent and users.
        steps: T.
        means: Click rates, float [I], or [T, I] where they change.
        **options: Of the agent.
    """
    table = np.broadcast_to(means, (steps, np.shape(means)[-1]))
    agent = agents.make(name, problem(table.shape[1], clock=False), seed=seed, **options)
    dice = np.random.default_rng([seed, 1]).random(steps)
    seen, yes, no = {"user": np.zeros(1, int)}, np.ones((1, 1), bool), np.zeros(1, bool)
    lost = np.empty(steps)
    for step in range(steps):
        decision = agent.act(seen)
        rate = table[step, decision.action[0]]
        reward = np.array([float(dice[step] < rate)])
        numbers = np.array([step])
        agent.observe(Transitions(seen, decision, reward[:, None], yes, reward, seen, yes[0], no, numbers, numbers))
        agent.update()
        lost[step] = table[step].max() - rate
    return np.cumsum(lost)


def _mean_regret(name, problem, runs, steps, means, **options):
    """Return mean and standard error over runs, float [T] each."""
    curves = np.array([_regret(name, problem, seed, steps, means, **options) for seed in range(runs)])
    return curves.mean(axis=0), curves.std(axis=0, ddof=1) / np.sqrt(runs)


def _agrees(found, reference, reference_se, share=0.05):
    """Whether a mean [T], s.e. [T] at its end is within four s.e. of the reference, and 5 % for the rounding."""
    mean, se = (float(curve[-1]) for curve in found)
    return abs(mean - reference) <= 4 * np.hypot(se, reference_se) + share * reference


def test_two_arms(problem):
    ucb = _mean_regret("ucb", problem, 12, 1000, TWO, coefficient=2.0)
    thompson = _mean_regret("thompson", problem, 30, 1000, TWO)
    assert _agrees(ucb, 24.7, 0.2), ucb[0][-1]
    assert _agrees(thompson, 6.4, 0.4), thompson[0][-1]
    assert thompson[0][-1] < 0.6 * ucb[0][-1]


def test_ten_arms(problem):
    ucb = _mean_regret("ucb", problem, 8, 1000, TEN, coefficient=2.0)
    thompson = _mean_regret("thompson", problem, 20, 1000, TEN)
    assert _agrees(ucb, 61.6, 0.1), ucb[0][-1]
    assert _agrees(thompson, 40.9, 0.6), thompson[0][-1]
    assert thompson[0][-1] < ucb[0][-1]


def test_epsilon_greedy_pays_epsilon_forever(problem):
    """Once the best arm is known, each step loses epsilon times half the gap: 0.005 of two arms .9 and .8."""
    mean, _ = _mean_regret("epsilon_greedy", problem, 12, 1000, np.array([0.9, 0.1]), epsilon=0.1)
    slope = (mean[-1] - mean[499]) / 500
    assert slope == pytest.approx(0.1 * 0.8 / 2, abs=0.008)


def test_forgetting_follows_a_switch(problem):
    """The small form of the switching problem below: the arms trade places half-way."""
    means = np.where(np.arange(800)[:, None] < 400, [0.8, 0.2], [0.2, 0.8])
    final = {
        name: _mean_regret("thompson", problem, 8, 800, means, **options)[0]
        for name, options in {"steady": {}, "discount": {"discount": 0.98}, "window": {"window": 60}}.items()
    }
    assert final["discount"][-1] < 0.5 * final["steady"][-1]
    assert final["window"][-1] < 0.5 * final["steady"][-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("means", "name", "reference", "reference_se"),
    [(TWO, "ucb", 87.0, 0.8), (TWO, "thompson", 9.7, 0.5), (TEN, "ucb", 500, 1), (TEN, "thompson", 80.9, 1.1)],
    ids=["two ucb", "two thompson", "ten ucb", "ten thompson"],
)
def test_ten_thousand_rounds(means, name, reference, reference_se, problem):
    found = _mean_regret(name, problem, 40, 10_000, means)
    assert _agrees(found, reference, reference_se), found[0][-1]


@pytest.mark.slow
def test_forgetting_halves_the_regret_of_the_abrupt_problem(problem):
    """Garivier and Moulines: .5 .3 .4, the third arm .9 from 3000 to 5000; time is counted in steps.

    Reference at 3000, 5000, 10000: Thompson 24, 449, 775; discounted 72, 101, 269; in a window 40, 116, 256.
    """
    means = np.tile([0.5, 0.3, 0.4], (10_000, 1))
    means[3000:5000, 2] = 0.9
    steady, discounted, windowed = (
        _mean_regret("thompson", problem, 16, 10_000, means, **options)[0]
        for options in ({}, {"discount": 0.9975}, {"window": 1213})
    )
    assert steady[[2999, 4999, 9999]] == pytest.approx([24, 449, 775], rel=0.3)
    assert discounted[[2999, 4999, 9999]] == pytest.approx([72, 101, 269], rel=0.15)
    assert windowed[[2999, 4999, 9999]] == pytest.approx([40, 116, 256], rel=0.3)
    assert discounted[-1] < 0.5 * steady[-1]
    assert windowed[-1] < 0.5 * steady[-1]
