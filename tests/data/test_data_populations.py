import numpy as np
import pytest

from smartrec.core.errors import InvalidInput
from smartrec.data import featured_population, make_population, taste_population

SEEDS = range(5)


def truth_of(population):
    logits = population.user_factors.astype(float) @ population.item_factors.T.astype(float)
    return 1 / (1 + np.exp(-logits))


def test_probability_is_the_sigmoid_of_the_factors():
    population = make_population(40, 15, seed=3, demographics=1, interplay=1, taste=1, eagerness=1)
    users, items = np.array([0, 7, 39]), np.array([[0, 14], [3, 3], [9, 1]])
    found = population.probability(users, items)
    assert found.shape == (3, 2)
    np.testing.assert_allclose(found, truth_of(population)[users[:, None], items], atol=1e-6)


@pytest.mark.parametrize(
    ("part", "size"),
    [("eagerness", 0.7), ("demographics", 0.9), ("interplay", 0.6), ("taste", 1.2)],
)
def test_strengths_are_standard_deviations_in_logits(part, size):
    population = make_population(4000, 40, seed=0, mean=-1, quality=0, **{part: size})
    logits = population.user_factors @ population.item_factors.T
    # Age is correlated with occupation, so what is promised column by column holds roughly in sum.
    assert np.sqrt(np.mean((logits + 1) ** 2)) == pytest.approx(size, rel=0.15)


def test_quality_and_popularity():
    population = make_population(5, 200, seed=1, mean=-0.4, quality=0.8)
    appeal = population.user_factors[0] @ population.item_factors.T
    assert (appeal.mean(), appeal.std()) == pytest.approx((-0.4, 0.8), abs=1e-5)
    popular = make_population(5, 200, seed=1, quality=0, popularity=0.5)
    appeal = popular.user_factors[0] @ popular.item_factors.T
    assert np.corrcoef(appeal, np.log(popular.exposure))[0, 1] == pytest.approx(1, abs=1e-5)


def test_the_same_seed_gives_the_same_population_and_another_one_another():
    one, same, other = (taste_population(50, 30, seed=seed) for seed in (4, 4, 5))
    for name in ("user_factors", "item_factors", "exposure"):
        np.testing.assert_array_equal(getattr(one, name), getattr(same, name))
        assert not np.array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.users.features, same.users.features)


def test_catalogues_are_plain_columns():
    population = featured_population(500, 20)
    users, items = population.users, population.items
    assert users.feature_names[:2] == ("gender_f", "age")
    jobs = users.features[:, 2:]
    assert np.all(jobs.sum(1) == 1)
    age = users.features[:, 1] * 15 + 35
    assert age.min() >= 15
    assert age.max() <= 80
    genres = items.features[:, :12].sum(1)
    assert set(np.unique(genres)) <= {1, 2, 3}
    assert items.labels[17] == "Item 17"


@pytest.mark.parametrize("seed", SEEDS)
def test_featured_population_rewards_features(seed):
    population = featured_population(seed=seed)
    truth = truth_of(population)
    means = truth.mean(0)
    random, fixed, oracle = truth.mean(), means.max(), truth.max(1).mean()
    assert 0.35 <= random <= 0.55
    assert fixed >= random + 0.15
    assert oracle >= fixed + 0.06
    assert means.min() < 0.15
    assert means.max() > 0.75
    table = np.column_stack([np.ones(len(truth)), population.users.features])
    weights = np.linalg.solve(table.T @ table + 1e-3 * np.eye(table.shape[1]), table.T @ truth)
    linear = truth[np.arange(len(truth)), (table @ weights).argmax(1)].mean()
    assert linear - fixed >= 0.6 * (oracle - fixed)
    assert linear <= oracle - 0.05 * (oracle - fixed)


@pytest.mark.parametrize("seed", SEEDS)
def test_featured_population_depends_on_demographics_only(seed):
    population = featured_population(seed=seed)
    _, who, count = np.unique(population.users.features, axis=0, return_inverse=True, return_counts=True)
    twins = np.flatnonzero(who == count.argmax())
    np.testing.assert_allclose(population.user_factors[twins] - population.user_factors[twins[0]], 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_taste_population_rewards_personal_slates(seed):
    truth = truth_of(taste_population(seed=seed))
    random = 10 * truth.mean()
    fixed = np.sort(truth.mean(0))[-10:].sum()
    oracle = -np.partition(-truth, 9, axis=1)[:, :10].sum(1).mean()
    assert 2.5 <= random <= 4
    assert fixed >= 1.15 * random
    assert oracle >= 1.5 * fixed
    assert (truth > 0.98).mean() < 0.02


@pytest.mark.parametrize("seed", SEEDS)
def test_fifty_answers_show_personal_taste(seed):
    population = taste_population(seed=seed)
    truth, rng = truth_of(population), np.random.default_rng(seed)
    means = truth.mean(0)
    known = population.item_factors[:, 2:].astype(float)
    fixed, personal = 0.0, 0.0
    for user in range(300):
        shown = rng.choice(len(means), 50, replace=False)
        surprise = (rng.random(50) < truth[user, shown]) - means[shown]
        rows = known[shown]
        # One step of a logistic regression with a unit prior; 0.2 is p (1 - p) at the mean click rate.
        taste = np.linalg.solve(0.2 * rows.T @ rows + np.eye(rows.shape[1]), rows.T @ surprise)
        scores = np.log(means / (1 - means)) + known @ taste
        personal += truth[user, np.argsort(-scores)[:10]].sum()
        fixed += truth[user, np.argsort(-means)[:10]].sum()
    assert personal >= 1.15 * fixed


def test_sample_log_has_the_promised_shape():
    population = taste_population(300, 50, seed=2)
    log = population.sample_log(np.random.default_rng(0), 20)
    assert len(log) == 6000
    assert np.all(np.bincount(log.users) == 20)
    assert log.repeats() == 0
    assert np.all(np.diff(log.timestamps) > 0)
    assert set(np.unique(log.ratings)) == {0, 1}
    # Rounds: each stretch of U rows holds every user once, so a split by time leaves all of them in train.
    assert np.all(np.sort(log.users.reshape(20, 300), axis=1) == np.arange(300))


def test_sample_log_follows_exposure_and_truth():
    population = taste_population(20_000, 12, seed=6)
    log = population.sample_log(np.random.default_rng(1), 1)
    shares = np.bincount(log.items, minlength=12) / len(log)
    error = np.sqrt(population.exposure * (1 - population.exposure) / len(log))
    assert np.all(np.abs(shares - population.exposure) < 5 * error)
    truth = population.probability(log.users, log.items[:, None])[:, 0].astype(float)
    spread = np.sqrt((truth * (1 - truth)).sum())
    assert abs(log.ratings.sum() - truth.sum()) < 5 * spread
    # Clicks must follow the truth pair by pair, and not only in sum.
    likely = truth > np.median(truth)
    assert log.ratings[likely].mean() == pytest.approx(truth[likely].mean(), abs=0.03)


def test_likely_clicks_need_no_dice():
    population = taste_population(100, 30, seed=1)
    log = population.sample_log(np.random.default_rng(0), 30, clicks="likely")
    truth = population.probability(log.users, log.items[:, None])[:, 0]
    np.testing.assert_array_equal(log.ratings, truth > 0.5)


def test_exposure_is_zipf():
    exposure = np.sort(taste_population(2, 100, seed=0).exposure)[::-1]
    np.testing.assert_allclose(exposure[0] / exposure, np.arange(1, 101))


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        ({"n_users": 0}, "n_users = 0; allowed: 1 or more"),
        ({"rank": 0}, "rank = 0"),
        ({"taste": -1}, "taste = -1; allowed: 0 or more"),
        ({"quality": float("nan")}, "quality = nan"),
    ],
)
def test_bad_populations(options, fragment):
    with pytest.raises(InvalidInput) as caught:
        make_population(**({"n_users": 5, "n_items": 5, "seed": 0} | options))
    assert fragment in str(caught.value)


def test_bad_logs():
    population = make_population(5, 5, seed=0)
    with pytest.raises(InvalidInput, match=r"answers = 6; allowed: 1\.\.5"):
        population.sample_log(np.random.default_rng(0), 6)
    with pytest.raises(InvalidInput, match="clicks = 'often'"):
        population.sample_log(np.random.default_rng(0), 1, clicks="often")
