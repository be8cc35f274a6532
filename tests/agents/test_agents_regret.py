"""Pseudo-regret of bandits against reference figures (mean and s.e. of hundreds of runs of plain NumPy loops).

Ours differ from the textbook's in two ways that do not show here. UCB1 plays each arm once and then takes ln t of
the round t; ``ucb`` gives an arm never played the bound 1 + sqrt(c ln n) and takes ln n of the n showings so far.
Ties fall at random instead of to the first arm. Each run is an agent of its own that serves one user a step.
"""

import numpy as np
import pytest

TWO = np.array([0.9, 0.8])
TEN = np.array([0.1, 0.05, 0.05, 0.05, 0.02, 0.02, 0.02, 0.01, 0.01, 0.01])


def test_two_arms(mean_regret, agrees):
    ucb = mean_regret("ucb", 12, 1000, TWO, coefficient=2.0)
    thompson = mean_regret("thompson", 30, 1000, TWO)
    assert agrees(ucb, 24.7, 0.2), ucb[0][-1]
    assert agrees(thompson, 6.4, 0.4), thompson[0][-1]
    assert thompson[0][-1] < 0.6 * ucb[0][-1]


def test_ten_arms(mean_regret, agrees):
    ucb = mean_regret("ucb", 8, 1000, TEN, coefficient=2.0)
    thompson = mean_regret("thompson", 20, 1000, TEN)
    assert agrees(ucb, 61.6, 0.1), ucb[0][-1]
    assert agrees(thompson, 40.9, 0.6), thompson[0][-1]
    assert thompson[0][-1] < ucb[0][-1]


def test_epsilon_greedy_pays_epsilon_forever(mean_regret):
    """Once the best arm is known, each step loses epsilon times half the gap: 0.005 of two arms .9 and .8."""
    mean, _ = mean_regret("epsilon_greedy", 12, 1000, np.array([0.9, 0.1]), epsilon=0.1)
    slope = (mean[-1] - mean[499]) / 500
    assert slope == pytest.approx(0.1 * 0.8 / 2, abs=0.008)


def test_forgetting_follows_a_switch(mean_regret):
    """The small form of the switching problem below: the arms trade places half-way."""
    means = np.where(np.arange(800)[:, None] < 400, [0.8, 0.2], [0.2, 0.8])
    final = {
        name: mean_regret("thompson", 8, 800, means, **options)[0]
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
def test_ten_thousand_rounds(means, name, reference, reference_se, mean_regret, agrees):
    found = mean_regret(name, 40, 10_000, means)
    assert agrees(found, reference, reference_se), found[0][-1]


@pytest.mark.slow
def test_forgetting_halves_the_regret_of_the_abrupt_problem(mean_regret):
    """Garivier and Moulines: .5 .3 .4, the third arm .9 from 3000 to 5000; time is counted in steps.

    Reference at 3000, 5000, 10000: Thompson 24, 449, 775; discounted 72, 101, 269; in a window 40, 116, 256.
    """
    means = np.tile([0.5, 0.3, 0.4], (10_000, 1))
    means[3000:5000, 2] = 0.9
    steady, discounted, windowed = (
        mean_regret("thompson", 16, 10_000, means, **options)[0]
        for options in ({}, {"discount": 0.9975}, {"window": 1213})
    )
    assert steady[[2999, 4999, 9999]] == pytest.approx([24, 449, 775], rel=0.3)
    assert discounted[[2999, 4999, 9999]] == pytest.approx([72, 101, 269], rel=0.15)
    assert windowed[[2999, 4999, 9999]] == pytest.approx([40, 116, 256], rel=0.3)
    assert discounted[-1] < 0.5 * steady[-1]
    assert windowed[-1] < 0.5 * steady[-1]
