import numpy as np
import pytest

from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.data.interactions import Interactions, Vocabulary
from smartrec.response_models import DriftingPopularity, Popularity, Preferences, State, Table
from smartrec.response_models.choice import Independent

CLASSES = {0.75: (2, 6, 8), 0.40: (0, 3, 5, 9), 0.10: (1, 4, 7)}


@pytest.mark.parametrize(("truth", "items"), CLASSES.items())
def test_a_hundred_thousand_draws_of_each_class(truth, items):
    rng = np.random.default_rng(0)
    shown = rng.choice(items, (100_000, 1))
    probability = Popularity.breads().probability(np.zeros(len(shown), int), shown, State())
    clicks, _ = Independent().respond(probability, rng.random(shown.shape))
    assert abs(clicks.mean() - truth) < 0.005
    assert (probability == truth).all()


# Clock: popular, middling, unpopular (the drift table of the original task).
DRIFT = {
    **dict.fromkeys(range(1, 6), (0.75, 0.4, 0.1)),
    6: (0.69, 0.40, 0.16),
    8: (0.57, 0.40, 0.28),
    10: (0.45, 0.40, 0.40),
    11: (0.39, 0.40, 0.46),
    12: (0.33, 0.40, 0.52),
    **dict.fromkeys((15, 16, 20, 30, 31), (0.15, 0.4, 0.7)),
}


@pytest.mark.parametrize(("clock", "row"), DRIFT.items())
def test_drift_table(clock, row):
    model = DriftingPopularity(Popularity.breads().popularity)
    state = model.at(clock)
    assert state.clock == clock
    scores = model.scores(np.arange(3), state)
    for probability, items in zip(row, CLASSES.values(), strict=True):
        assert np.abs(scores[:, list(items)] - probability).max() < 1e-12


def test_drift_is_clipped():
    model = DriftingPopularity(np.array([0.2, 0.9]), np.array([-1.0, 1.0]), start=1, end=9, rate=0.1)
    assert model.popularity(9).tolist() == [0.0, 1.0]
    assert model.popularity(1).tolist() == [0.2, 0.9]


def test_the_breads_repeat_beyond_ten():
    breads = Popularity.breads(23).popularity
    assert (breads[10:20] == breads[:10]).all()
    assert (breads[20:] == breads[:3]).all()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Popularity([0.1, 1.2]), InvalidInput, r"popularity\[1\] = 1.2; allowed: probabilities from 0 to 1"),
        (lambda: Popularity([0.1, np.nan]), InvalidInput, r"popularity\[1\] = nan"),
        (lambda: Popularity([[0.1]]), InvalidInput, r"popularity has shape \(1, 1\)"),
        (lambda: Popularity([]), InvalidInput, r"popularity has shape \(0,\)"),
        (lambda: Table(np.array([[0.1, -0.5]])), InvalidInput, r"table\[0, 1\] = -0.5; .*1 of 2 are not"),
        (lambda: Table(np.array([0.1])), InvalidInput, r"table has shape \(1,\); allowed: \[users, items\]"),
        (lambda: Table(np.empty((0, 3))), InvalidInput, r"table has shape \(0, 3\)"),
        (lambda: Preferences(np.ones((2, 3)), np.ones((4, 2))), InvalidInput, "same number of columns"),
        (lambda: Preferences(np.ones(3), np.ones((4, 2))), InvalidInput, "same number of columns"),
        (lambda: Preferences(np.full((2, 1), np.inf), np.ones((4, 1))), InvalidInput, "user_factors has NaN or inf"),
        (lambda: DriftingPopularity([0.5], end=3), InvalidConfig, "end = 3; allowed: a clock from start = 5 on"),
        (lambda: DriftingPopularity([0.5], rate=-1), InvalidConfig, "rate = -1"),
        (lambda: DriftingPopularity([0.5, 0.1], [1]), InvalidInput, "allowed: 2 finite numbers, one an item"),
        (lambda: DriftingPopularity([0.5], [np.nan]), InvalidInput, "allowed: 1 finite numbers"),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()


def _log():
    # Item 0: 3 of 4 positive. Item 1: 0 of 2. Item 2: nothing known. Mean 0.5.
    return Interactions(
        np.array([0, 1, 2, 3, 0, 1]),
        np.array([0, 0, 0, 0, 1, 1]),
        np.array([5, 4, 4, 1, 3, 2]),
        None,
        Vocabulary(range(4)),
        Vocabulary(range(3)),
    )


@pytest.mark.parametrize("prior", [0.5, 10.0])
def test_fit_shrinks_towards_the_mean(prior):
    fitted = Popularity.fit(_log(), positive=4, prior=prior).popularity
    mean = 0.5
    assert fitted == pytest.approx([(3 + prior * mean) / (4 + prior), prior * mean / (2 + prior), mean], abs=1e-15)


def test_fit_needs_a_prior():
    with pytest.raises(InvalidConfig, match="prior = 0; allowed: a number > 0"):
        Popularity.fit(_log(), positive=4, prior=0)


def test_a_popularity_does_not_follow_the_array_it_was_made_from():
    source = np.array([0.1, 0.2])
    model = Popularity(source)
    source[:] = 9
    assert model.popularity.tolist() == [0.1, 0.2]


def test_published_precision_is_kept_by_a_table():
    table = np.random.default_rng(0).random((20, 5), np.float32)
    users, items = np.arange(20), np.tile(np.arange(5), (20, 1))
    assert (Table(table).probability(users, items, State()) == table).all()


def test_independent_choice_by_hand():
    choice = Independent()
    probability = np.array([[0.2, 0.5, 0.9]])
    responses, observed = choice.respond(probability, np.array([[0.2, 0.49, 0.0]]))
    assert responses.tolist() == [[False, True, True]]
    assert observed.tolist() == [[True, True, True]]
    assert choice.expected(probability) == pytest.approx([1.6])
    assert choice.best(probability, 1) == pytest.approx([0.9])
    assert choice.best(probability, 2) == pytest.approx([1.4])
    assert choice.best(probability, 3) == pytest.approx([1.6])
