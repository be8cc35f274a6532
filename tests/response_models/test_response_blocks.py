"""Sim4Rec's building blocks against closed forms, and the counter-based noise against the law it promises."""

import numpy as np
import pytest
from scipy import stats

from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.response_models import (
    Calibration,
    Constant,
    CosineSimilarity,
    DriftingPopularity,
    Independent,
    Noise,
    Popularity,
    Preferences,
    ResponseModel,
    State,
    Table,
    WeightedSum,
    check_response_model,
)
from smartrec.response_models.counters import normals

USERS = np.array([[1, 0], [1, 2], [3, 1], [2, 0], [0, 0]], float)
ITEMS = np.array([[0, 1], [-1, -2], [3, 1], [0, 5], [1, 1]], float)
PAIRS = np.arange(5), np.arange(5)[:, None]
START = State()


def test_cosine_similarity_of_published_cases():
    model = CosineSimilarity(USERS, ITEMS)
    assert model.probability(*PAIRS, START)[:, 0] == pytest.approx([0.5, 0, 1, 0.5, 0], abs=1e-7)
    with_constant = WeightedSum([model, Constant(0.5, 5)], [0.5, 0.5])
    assert with_constant.probability(*PAIRS, START)[:, 0] == pytest.approx([0.5, 0.25, 0.75, 0.5, 0.25], abs=1e-7)


def test_cosine_similarity_is_the_angle_at_any_length():
    angle = np.linspace(0, np.pi, 50)
    items = np.column_stack([np.cos(angle), np.sin(angle)])
    lengths = 10.0 ** np.linspace(-200, 200, 50)
    model = CosineSimilarity([[3e-320, 0], [1e300, 0]], items * lengths[:, None])
    expected = np.tile(1 - angle / np.pi, (2, 1))
    np.testing.assert_allclose(model.scores(np.arange(2), START), expected, atol=1e-7)


def test_an_item_of_zeros_is_liked_by_nobody():
    model = CosineSimilarity(USERS, np.zeros((5, 2)))
    assert (model.scores(np.arange(5), START) == 0).all()


def test_the_sum_of_three_parts_is_the_formula():
    fitted = Preferences.example(6, 4)
    heuristic = CosineSimilarity(np.random.default_rng(1).normal(size=(6, 3)), np.eye(4)[:, :3] + 0.1)
    noise = Noise(0.4, 0.3, 4, seed=5)
    model = WeightedSum([heuristic, fitted, noise], [0.5, 0.3, 0.2])
    users, state = np.arange(6), model.at(7)
    by_hand = (
        0.5 * heuristic.scores(users, state) + 0.3 * fitted.scores(users, state) + 0.2 * noise.scores(users, state)
    )
    np.testing.assert_allclose(model.scores(users, state), by_hand, atol=1e-12)
    check_response_model(model, 6)
    clicks, _ = Independent().respond(np.tile(by_hand, (20_000, 1)), np.random.default_rng(0).random((120_000, 4)))
    rates = clicks.reshape(20_000, 6, 4).mean(axis=0)
    assert np.abs(rates - by_hand).max() < 5 * np.sqrt(0.25 / 20_000)


@pytest.mark.parametrize(
    "model",
    [
        WeightedSum([Calibration(Noise(0.5, 1.0, 4), 0.5), Table(np.random.default_rng(0).random((6, 4)))], [0.9, 0.1]),
        WeightedSum([WeightedSum([Constant(1, 4), Noise(1, 1, 4, 1)], [0.3, 0.7]), Constant(1, 4)], [0.1, 0.9]),
        Calibration(WeightedSum([DriftingPopularity([0.1, 0.9, 0.5, 0.3])] * 10, [0.1] * 10), 4.0, -1.0, "platt"),
        Calibration(CosineSimilarity.example(6, 4), -1.0, 1.0),
        WeightedSum([Constant(1, 4)] * 10, [0.1] * 10),
    ],
)
def test_compositions_keep_the_contract(model):
    check_response_model(model, 6)


def test_compositions_are_as_stationary_and_know_as_many_users_as_their_blocks():
    fixed, drifting = Popularity([0.5] * 4), DriftingPopularity([0.5] * 4)
    assert WeightedSum([fixed, fixed], [0.5, 0.5]).stationary
    assert not WeightedSum([fixed, drifting], [0.5, 0.5]).stationary
    assert not Calibration(Noise(0.5, 0.1, 4)).stationary
    assert WeightedSum([fixed, fixed], [0.5, 0.5]).n_users is None
    tables = [Table(np.full((users, 4), 0.5)) for users in (7, 3)]
    assert WeightedSum([*tables, fixed], [0.2, 0.3, 0.5]).n_users == 3
    assert Calibration(tables[0]).n_users == 7


def test_calibration_by_hand():
    model = Popularity([0.0, 0.2, 0.5, 1.0])
    users = np.zeros(1, int)
    assert Calibration(model, 0.5).scores(users, START)[0] == pytest.approx([0, 0.1, 0.25, 0.5])
    assert Calibration(model, 2, -0.3).scores(users, START)[0] == pytest.approx([0, 0.1, 0.7, 1])
    odds = np.exp(0.5) * (0.2 / 0.8) ** 2
    assert Calibration(model, 2, 0.5, "platt").scores(users, START)[0] == pytest.approx(
        [0, odds / (1 + odds), 1 / (1 + np.exp(-0.5)), 1]
    )
    assert Calibration(model, 1, 0, "platt").scores(users, START)[0] == pytest.approx([0, 0.2, 0.5, 1], abs=1e-12)


# Noise


def test_the_hash_is_splitmix64():
    # Item by item the words are SplitMix64's: its first outputs from the seed 1234567 (Vigna's reference code),
    # here as the normal numbers that Box and Muller make of them.
    words = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    expected = [
        np.sqrt(-2 * np.log(((word >> 32) + 1) / 2**32)) * np.cos(2 * np.pi * (word % 2**32) / 2**32) for word in words
    ]
    seed = _unmixed(_unmixed_user(1234567))
    found = normals(0, seed, np.array([0]), np.arange(4))
    np.testing.assert_allclose(found, expected, atol=1e-12)


def _unmixed(word):
    """The word that SplitMix64's mixing takes to ``word``: shifts and products undone one by one."""

    def unshifted(value, shift):
        found = value
        for _ in range(64 // shift + 1):
            found = value ^ (found >> shift)
        return found

    word = unshifted(word, 31)
    word = (word * pow(0x94D049BB133111EB, -1, 2**64)) % 2**64
    word = unshifted(word, 27)
    word = (word * pow(0xBF58476D1CE4E5B9, -1, 2**64)) % 2**64
    return unshifted(word, 30)


def _unmixed_user(word):
    """What the hash of seed and key must be for user 0 to begin at ``word``."""
    return (_unmixed(word) - 0x9E3779B97F4A7C15) % 2**64


def test_noise_is_standard_normal():
    found = normals(3, 99, np.arange(500)[:, None], np.arange(1000))
    assert stats.kstest(found.ravel(), "norm").pvalue > 0.001
    # Neither users nor items nor keys nor seeds are alike: correlations of 500,000 pairs.
    others = [
        normals(3, 99, np.arange(500)[:, None], np.arange(1, 1001)),
        normals(3, 99, np.arange(1, 501)[:, None], np.arange(1000)),
        normals(3, 100, np.arange(500)[:, None], np.arange(1000)),
        normals(4, 99, np.arange(500)[:, None], np.arange(1000)),
    ]
    for other in others:
        assert abs(np.corrcoef(found.ravel(), other.ravel())[0, 1]) < 5 / np.sqrt(found.size)
    assert np.abs(np.corrcoef(found[:20])[np.triu_indices(20, 1)]).max() < 5 / np.sqrt(1000)


def test_clipped_noise_has_the_mean_of_the_clipped_law():
    mu, sigma = 0.2, 0.5
    low, high = (0 - mu) / sigma, (1 - mu) / sigma
    inside = stats.norm.cdf(high) - stats.norm.cdf(low)
    mean = mu * inside + sigma * (stats.norm.pdf(low) - stats.norm.pdf(high)) + stats.norm.sf(high)
    values = Noise(mu, sigma, 1000).scores(np.arange(400), START)
    assert abs(values.mean() - mean) < 5 * values.std() / np.sqrt(values.size)
    assert (values == 0).mean() == pytest.approx(stats.norm.cdf(low), abs=0.005)
    assert (values == 1).mean() == pytest.approx(stats.norm.sf(high), abs=0.005)


def test_noise_is_the_same_in_any_order_and_batch():
    model = Noise(0.5, 0.2, 30, seed=2)
    state = model.at(3)
    table = model.scores(np.arange(40), state)
    rng = np.random.default_rng(0)
    users, items = rng.permutation(40), rng.integers(30, size=(40, 7))
    assert (model.probability(users, items, state) == table[users[:, None], items]).all()
    for user in (0, 39):
        for item in (0, 29):
            assert model.probability(np.array([user]), np.array([[item]]), state)[0, 0] == table[user, item]
    assert (
        model.probability(users.astype(np.int32), items.astype(np.uint8), state) == table[users[:, None], items]
    ).all()


def test_noise_differs_by_tick_and_seed_and_begins_anew_alike():
    model, users = Noise(0.5, 0.05, 30), np.arange(40)
    first, second = model.start(), model.advance(model.start())
    assert (model.scores(users, first) != model.scores(users, second)).all()
    assert (model.scores(users, first) == Noise(0.5, 0.05, 30).scores(users, model.start())).all()
    assert (model.scores(users, first) != Noise(0.5, 0.05, 30, seed=1).scores(users, first)).all()


# Bad input


class _OwnState(ResponseModel):
    n_items = 4

    def probability(self, users, items, state):
        return np.full(items.shape, 0.5)

    def start(self):
        return State(1, 5)


FOUR = Constant(0.5, 4)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Constant(1.5, 4), InvalidConfig, "value = 1.5; allowed: a probability"),
        (lambda: Constant(np.nan, 4), InvalidConfig, "value = nan"),
        (lambda: Constant(0.5, 0), InvalidConfig, "n_items = 0; allowed: a whole number >= 1"),
        (lambda: Constant(0.5, 2.0), InvalidConfig, "n_items = 2.0"),
        (lambda: Noise(np.inf, 1, 4), InvalidConfig, "mu = inf"),
        (lambda: Noise(0, -1, 4), InvalidConfig, "sigma = -1; allowed: a finite number >= 0"),
        (lambda: Noise(0, 1, 4, seed=-1), InvalidConfig, "seed = -1; allowed: a whole number"),
        (lambda: Noise(0, 1, 4, seed=0.5), InvalidConfig, "seed = 0.5"),
        (lambda: Noise(0, 1, True), InvalidConfig, "n_items = True"),
        (lambda: CosineSimilarity(USERS, ITEMS[:, :1]), InvalidInput, r"\(5, 2\), item embeddings \(5, 1\)|have shape"),
        (lambda: CosineSimilarity(USERS[0], ITEMS), InvalidInput, "have shape"),
        (lambda: CosineSimilarity(USERS[:0], ITEMS), InvalidInput, "allowed: tables with rows"),
        (lambda: CosineSimilarity(USERS, ITEMS * np.nan), InvalidInput, r"item_embeddings\[0, 0\] = nan"),
        (lambda: WeightedSum([], []), InvalidInput, "no blocks; allowed: at least one"),
        (lambda: WeightedSum([FOUR], [0.5, 0.5]), InvalidInput, r"shape \(2,\); allowed: 1 numbers"),
        (lambda: WeightedSum([FOUR, FOUR], [0.5, 0.6]), InvalidInput, "sum to 1.1; allowed: a sum of 1"),
        (lambda: WeightedSum([FOUR, FOUR], [1.5, -0.5]), InvalidInput, r"weights\[0\] = 1.5; allowed: prob"),
        (lambda: WeightedSum([FOUR, FOUR], [np.nan, 1]), InvalidInput, "sum to nan"),
        (lambda: WeightedSum([FOUR, Constant(0.5, 5)], [0.5, 0.5]), InvalidInput, r"blocks know \[4, 5\] items"),
        (lambda: WeightedSum([_OwnState()], [1]), InvalidInput, r"_OwnState has a start\(\) or advance\(\) of its own"),
        (lambda: Calibration(_OwnState()), InvalidInput, "_OwnState"),
        (lambda: Calibration(FOUR, np.nan), InvalidConfig, "scale = nan"),
        (lambda: Calibration(FOUR, 1, np.inf), InvalidConfig, "shift = inf"),
        (lambda: Calibration(FOUR, kind="isotonic"), InvalidConfig, "kind = 'isotonic'; allowed: 'linear', 'platt'"),
    ],
)
def test_bad_input_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
