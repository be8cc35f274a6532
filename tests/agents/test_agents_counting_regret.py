"""Pseudo-regret of UCB1, KL-UCB and their kin against reference figures, with the loop of the other regret tests.

The references are plain NumPy loops: ten arms and two over 200 and 400 runs, the abrupt problem of Garivier and
Moulines over 200, where sliding-window UCB has the radius sqrt(xi ln min(t, tau) / N) and discounted UCB
2 sqrt(xi ln n / N), xi = 1/2: coefficients of 1/2 and 2.
"""

import numpy as np
import pytest

TWO = np.array([0.9, 0.8])
TEN = np.array([0.1, 0.05, 0.05, 0.05, 0.02, 0.02, 0.02, 0.01, 0.01, 0.01])
ABRUPT = np.tile([0.5, 0.3, 0.4], (10_000, 1))
ABRUPT[3000:5000, 2] = 0.9


@pytest.mark.parametrize(
    ("means", "name", "runs", "reference", "reference_se"),
    [
        (TWO, "ucb1", 10, 24.7, 0.2),
        (TWO, "kl_ucb", 10, 7.7, 0.3),
        (TEN, "ucb1", 6, 61.6, 0.1),
        (TEN, "kl_ucb", 6, 42.8, 0.5),
    ],
    ids=["two ucb1", "two kl_ucb", "ten ucb1", "ten kl_ucb"],
)
def test_a_thousand_rounds(means, name, runs, reference, reference_se, mean_regret, agrees):
    found = mean_regret(name, runs, 1000, means)
    assert agrees(found, reference, reference_se), found[0][-1]


@pytest.mark.parametrize("name", ["kl_ucb", "bayes_ucb", "thompson"])
def test_what_knows_that_rates_are_bounded_loses_less_than_ucb1(name, mean_regret):
    final = {each: mean_regret(each, 4, 1000, TWO)[0][-1] for each in ("ucb1", name)}
    assert final[name] < 0.6 * final["ucb1"], final


@pytest.mark.parametrize("name", ["exp3", "softmax", "gaussian_thompson"])
def test_the_others_lose_less_than_half_of_chance(name, mean_regret):
    mean, _ = mean_regret(name, 4, 1000, np.array([0.8, 0.2]))
    assert mean[-1] < 0.5 * 1000 * 0.3, mean[-1]


def test_a_window_follows_a_switch(mean_regret):
    """The small form of the abrupt problem: the better arm becomes bad after 1000 rounds."""
    means = np.where(np.arange(1500)[:, None] < 1000, [0.9, 0.6], [0.1, 0.6])
    steady = mean_regret("ucb1", 4, 1500, means)[0][-1]
    windowed = mean_regret("ucb1", 4, 1500, means, coefficient=0.5, window=150)[0][-1]
    assert windowed < 0.6 * steady, (windowed, steady)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("means", "name", "runs", "steps", "reference", "reference_se"),
    [
        (TWO, "ucb1", 12, 10_000, 87.0, 0.8),
        (TWO, "kl_ucb", 8, 10_000, 14.9, 0.4),
        (TEN, "ucb1", 4, 20_000, 841, 2),
        (TEN, "kl_ucb", 4, 20_000, 131, 1),
    ],
    ids=["two ucb1", "two kl_ucb", "ten ucb1", "ten kl_ucb"],
)
def test_ten_thousand_rounds_and_more(means, name, runs, steps, reference, reference_se, mean_regret, agrees):
    found = mean_regret(name, runs, steps, means)
    assert agrees(found, reference, reference_se), found[0][-1]


@pytest.mark.slow
def test_thompson_loses_less_than_kl_ucb_and_that_less_than_ucb1(mean_regret):
    """Ten arms after 10,000 rounds; reference 80.9, 112 and 500."""
    final = {name: mean_regret(name, 4, 10_000, TEN)[0][-1] for name in ("thompson", "kl_ucb", "ucb1")}
    assert final["thompson"] < final["kl_ucb"] < final["ucb1"], final
    assert final["kl_ucb"] < 0.5 * final["ucb1"], final


@pytest.mark.slow
def test_a_sliding_window_beats_ucb1_on_the_abrupt_problem_and_a_discount_hardly_does(mean_regret):
    """Reference at 3000, 5000, 10000: UCB1 90, 131, 609; in a window 68, 125, 281; discounted 184, 278, 592."""
    steady, windowed, discounted = (
        mean_regret("ucb1", runs, 10_000, ABRUPT, **options)[0][[2999, 4999, 9999]]
        for runs, options in (
            (8, {}),
            (8, {"coefficient": 0.5, "window": 1213}),
            (4, {"coefficient": 2.0, "discount": 0.9975}),
        )
    )
    assert steady == pytest.approx([90, 131, 609], rel=0.25)
    assert windowed == pytest.approx([68, 125, 281], rel=0.3)
    assert discounted == pytest.approx([184, 278, 592], rel=0.1)
    assert windowed[-1] < 0.6 * steady[-1]
