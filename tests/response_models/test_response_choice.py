"""How users go through slates: closed forms and dice against enumeration of everything that can happen."""

from itertools import combinations, permutations, product
from math import comb

import numpy as np
import pytest

from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.response_models import Cascade, Independent, MultinomialLogit
from smartrec.response_models.slates import random_products

RNG = np.random.default_rng(0)
BIAS = [0.6, 0.9, 0.3, 0.5]


def squared(probability):
    return 3 * probability**2


CHOICES = {
    "independent": Independent(),
    "logit": MultinomialLogit(),
    "eager logit": MultinomialLogit(no_click=-2.0),
    "logit of given utility": MultinomialLogit(no_click=0.5, utility=squared),
    "cascade": Cascade([1.0] * 4),
    "cascade with bias": Cascade(BIAS),
}
by_choice = pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)


def law(choice, row):
    """Every outcome of one slate: {(clicks, looks): probability}, by the definition and not by the code."""
    found = {}
    slate = range(len(row))
    if isinstance(choice, MultinomialLogit):
        utility = squared(row) if choice.utility is squared else np.log(row / (1 - row))
        weights = np.exp(utility) / (np.exp(choice.no_click) + np.exp(utility).sum())
        for k in slate:
            found[tuple(j == k for j in slate), (True,) * len(row)] = weights[k]
        found[(False,) * len(row), (True,) * len(row)] = 1 - weights.sum()
        return found
    bias = choice.bias if isinstance(choice, Cascade) else np.ones(4)
    for looks, likes in product(product([False, True], repeat=len(row)), repeat=2):
        chance = np.prod([bias[k] if looks[k] else 1 - bias[k] for k in slate])
        chance *= np.prod([row[k] if likes[k] else 1 - row[k] for k in slate])
        clicks, seen = [look and like for look, like in zip(looks, likes, strict=True)], list(looks)
        if isinstance(choice, Cascade) and any(clicks):
            end = clicks.index(True) + 1
            clicks[end:] = seen[end:] = [False] * (len(row) - end)
        key = tuple(clicks), tuple(seen)
        found[key] = found.get(key, 0.0) + chance
    return found


def value(choice, row):
    return sum(sum(clicks) * chance for (clicks, _), chance in law(choice, row).items())


@by_choice
def test_dice_follow_the_law(choice):
    row = np.array([0.3, 0.7, 0.45])
    throws = 200_000
    responses, observed = choice.respond(np.tile(row, (throws, 1)), RNG.random((throws, 3)))
    assert responses.dtype == observed.dtype == bool
    counts = {}
    for line in map(tuple, np.hstack([responses, observed]).tolist()):
        counts[line] = counts.get(line, 0) + 1
    truth = {(*clicks, *seen): chance for (clicks, seen), chance in law(choice, row).items() if chance > 0}
    assert sum(truth.values()) == pytest.approx(1)
    assert set(counts) <= set(truth)
    for line, chance in truth.items():
        assert abs(counts.get(line, 0) / throws - chance) < 5 * np.sqrt(chance * (1 - chance) / throws)


@by_choice
def test_only_what_may_skip_skips_and_a_click_is_always_seen(choice):
    responses, observed = choice.respond(RNG.random((5000, 4)), RNG.random((5000, 4)))
    assert observed.all() == (not choice.skips)
    assert observed[responses].all()
    if not choice.additive:
        assert responses.sum(axis=1).max() == 1


@by_choice
def test_expected_is_that_of_the_law(choice):
    rows = RNG.random((20, 4))
    assert choice.expected(rows) == pytest.approx([value(choice, row) for row in rows], abs=1e-12)


@by_choice
@pytest.mark.parametrize("slate_size", [1, 2, 3, 4])
def test_best_is_the_best_of_all_slates(choice, slate_size):
    scores = RNG.random((8, 6))
    slates = np.array(list(permutations(range(6), slate_size)))
    for row, best in zip(scores, choice.best(scores, slate_size), strict=True):
        assert best == pytest.approx(choice.expected(row[slates]).max(), abs=1e-12)
    assert choice.best(scores.astype(np.float32), slate_size) == pytest.approx(
        choice.best(scores, slate_size), abs=1e-6
    )


@by_choice
@pytest.mark.parametrize("slate_size", [1, 2, 3, 4])
def test_random_is_the_mean_of_all_slates(choice, slate_size):
    scores = RNG.random((8, 6))
    slates = np.array(list(permutations(range(6), slate_size)))
    by_hand = [choice.expected(row[slates]).mean() for row in scores]
    assert choice.random(scores, slate_size) == pytest.approx(by_hand, abs=1e-6)


@by_choice
def test_items_that_may_not_be_shown_are_in_no_slate(choice):
    scores = RNG.random((8, 7))
    hidden = RNG.random((8, 7)).argsort(axis=1) < np.arange(8)[:, None] % 5  # 0 to 4 items a lane
    masked = np.where(hidden, -np.inf, scores)
    for lane in range(8):
        allowed = scores[lane, ~hidden[lane]]
        values = choice.expected(allowed[np.array(list(permutations(range(len(allowed)), 3)))])
        assert choice.random(masked, 3)[lane] == pytest.approx(values.mean(), abs=1e-6)
        assert choice.best(masked, 3)[lane] == pytest.approx(values.max(), abs=1e-12)


@by_choice
def test_certainties_stay_in_range(choice):
    for scores in (np.zeros((2, 5)), np.ones((2, 5)), np.array([[0, 1, 0, 1, 1.0]] * 2)):
        for found in (choice.best(scores, 3), choice.random(scores, 3), choice.expected(scores[:, :3])):
            assert found.shape == (2,)
            assert ((found >= -1e-6) & (found <= 3 + 1e-6)).all()


def test_random_slates_of_a_large_catalogue():
    scores = RNG.random((2, 400))
    slates = RNG.random((20_000, 400)).argpartition(10, axis=1)[:, :10]
    for choice in (MultinomialLogit(no_click=3.0), Cascade(np.linspace(0.5, 0.05, 10))):
        for row, found in zip(scores, choice.random(scores, 10), strict=True):
            sampled = choice.expected(row[slates])
            assert abs(found - sampled.mean()) < 5 * sampled.std() / np.sqrt(len(slates))


def test_products_of_random_items_are_symmetric_polynomials():
    factors = RNG.random((3, 9))
    found = random_products(factors.T, 9)
    for lane, row in enumerate(factors):
        by_hand = [sum(np.prod(some) for some in combinations(row, m)) / comb(9, m) for m in range(10)]
        assert found[:, lane] == pytest.approx(by_hand, abs=1e-14)


def test_a_logit_slate_of_one_is_clicked_with_its_probability():
    probability = np.array([[0.0], [0.2], [0.5], [0.99], [1.0]])
    assert MultinomialLogit().expected(probability) == pytest.approx(probability[:, 0], abs=1e-12)


def test_logit_by_hand():
    choice = MultinomialLogit()
    probability = np.array([[0.5, 0.75, 0.5]])  # odds 1, 3, 1 beside 1 for no click
    assert choice.shares(probability)[0] == pytest.approx([1 / 6, 3 / 6, 1 / 6])
    for draw, click in [(0.0, 0), (0.16, 0), (0.17, 1), (0.66, 1), (0.67, 2), (0.83, 2), (0.84, None)]:
        responses, _ = choice.respond(probability, np.array([[draw, 0.0, 0.0]]))
        assert np.flatnonzero(responses).tolist() == ([] if click is None else [click])


def test_cascade_by_hand():
    choice = Cascade([1.0, 0.5, 0.8])
    probability = np.array([[0.2, 0.4, 0.5]])
    for draws, clicks, seen in [
        ([0.1, 0.1, 0.1], [1, 0, 0], [1, 0, 0]),
        ([0.3, 0.1, 0.1], [0, 1, 0], [1, 1, 0]),
        ([0.3, 0.3, 0.1], [0, 0, 1], [1, 1, 1]),
        ([0.3, 0.6, 0.5], [0, 0, 0], [1, 0, 1]),
        ([0.3, 0.6, 0.9], [0, 0, 0], [1, 0, 0]),
    ]:
        responses, observed = choice.respond(probability, np.array([draws]))
        assert (responses[0].tolist(), observed[0].tolist()) == (clicks, seen)
    assert choice.expected(probability) == pytest.approx([1 - 0.8 * 0.8 * 0.6])


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda: MultinomialLogit(np.nan), InvalidConfig, "no_click = nan; allowed: a finite number"),
        (lambda: MultinomialLogit(utility=lambda p: p[:, :1]).expected(RNG.random((2, 3))), InvalidInput, "one finite"),
        (lambda: MultinomialLogit(utility=lambda p: p * np.inf).expected(RNG.random((2, 3))), InvalidInput, "6 values"),
        (lambda: Cascade([]), InvalidInput, r"bias has shape \(0,\); allowed: \[positions\]"),
        (lambda: Cascade([0.5, 1.2]), InvalidInput, r"bias\[1\] = 1.2; allowed: probabilities"),
        (lambda: Cascade([0.5]).expected(RNG.random((2, 3))), InvalidInput, "bias has 1 positions, a slate 3"),
    ],
)
def test_bad_input_is_refused(act, error, message):
    with pytest.raises(error, match=message):
        act()
