import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.data.interactions import Interactions, Vocabulary
from smartrec.response_models import Features, Preferences, State, check_response_model
from smartrec.response_models.features import default_predictor
from smartrec.response_models.report import quality

USERS, ITEMS, ANSWERS = 1000, 120, 60


@pytest.fixture(autouse=True)
def _one_thread():
    # Boosting on many threads crawls where the cores are shared with other tests.
    with threadpool_limits(1):
        yield


def _sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


@pytest.fixture(scope="module")
def planted():
    """Truth [U, I] of rank three, a log of half of each user's pairs, and which pairs it has."""
    rng = np.random.default_rng(0)
    taste = rng.normal(size=(USERS, 3)) @ rng.normal(size=(3, ITEMS))
    truth = _sigmoid(1.1 * taste + 0.5 * rng.normal(size=ITEMS) + 0.3 * rng.normal(size=(USERS, 1)) - 0.5)
    items = rng.random((USERS, ITEMS)).argsort(axis=1)[:, :ANSWERS]
    users = np.repeat(np.arange(USERS), ANSWERS)
    clicks = rng.random((USERS, ITEMS)) < truth
    known = np.zeros((USERS, ITEMS), bool)
    known[users, items.ravel()] = True
    ratings = clicks[users, items.ravel()].astype(float)
    log = Interactions(users, items.ravel(), ratings, None, Vocabulary(range(USERS)), Vocabulary(range(ITEMS)))
    return truth, clicks, known, log


def test_preferences_recover_a_planted_taste(planted):
    truth, clicks, known, log = planted
    model = Preferences.fit(log, positive=1.0, rank=3)
    scores = model.scores(np.arange(USERS), State())
    unseen = ~known
    ours, best = quality(scores[unseen], clicks[unseen]), quality(truth[unseen], clicks[unseen])
    item_means = np.broadcast_to((clicks & known).sum(0) / known.sum(0), truth.shape)
    baseline = quality(item_means[unseen], clicks[unseen])
    assert ours.auc > best.auc - 0.04
    assert ours.auc > baseline.auc + 0.1
    assert ours.calibration_error < 0.02
    assert ours.log_loss < baseline.log_loss - 0.05
    check_response_model(model, USERS)


def test_preferences_do_not_depend_on_chance_or_on_the_caller(planted):
    log = planted[3]
    one, two = (Preferences.fit(log, positive=1.0, rank=3) for _ in range(2))
    assert (one.user_factors == two.user_factors).all()
    assert (one.item_factors == two.item_factors).all()


def test_a_repeated_pair_counts_once_with_its_last_answer(planted):
    log = planted[3]
    rows = np.concatenate([np.arange(500), np.arange(len(log))])
    repeated = Interactions(
        log.users[rows],
        log.items[rows],
        np.concatenate([1 - log.ratings[:500], log.ratings]),
        None,
        log.user_ids,
        log.item_ids,
    )
    one, two = (Preferences.fit(part, positive=1.0, rank=3) for part in (log, repeated))
    assert np.allclose(one.user_factors, two.user_factors)


def _same_ten_items_for_everybody():
    """Every tenth row is about item 9: what is kept out of a fit must not follow the order of rows."""
    rng = np.random.default_rng(0)
    users, items = np.repeat(np.arange(400), 10), np.tile(np.arange(10), 400)
    truth = np.linspace(0.1, 0.9, 10)
    ratings = (rng.random(4000) < truth[items]).astype(float)
    return Interactions(users, items, ratings, None, Vocabulary(range(400)), Vocabulary(range(10))), truth


def test_a_log_in_a_regular_order_is_fitted_as_well():
    log, truth = _same_ten_items_for_everybody()
    means = Preferences.fit(log, positive=1.0, rank=1).scores(np.arange(400), State()).mean(axis=0)
    assert np.abs(means - truth).max() < 0.06


@pytest.mark.parametrize("rating", [0.0, 1.0])
def test_answers_that_are_all_alike(rating):
    log = Interactions(
        np.repeat(np.arange(6), 4),
        np.tile(np.arange(4), 6),
        np.full(24, rating),
        None,
        Vocabulary(range(6)),
        Vocabulary(range(5)),
    )
    scores = Preferences.fit(log, positive=1.0, rank=2).scores(np.arange(6), State())
    assert np.abs(scores - rating).max() < 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank = 0; allowed: 1 to 9, less than users and items"),
        ({"rank": 10}, "rank = 10; allowed: 1 to 9"),
        ({"rank": 1, "prior": 0.0}, "prior = 0.0; allowed: a number > 0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InvalidConfig, match=message):
        Preferences.fit(_same_ten_items_for_everybody()[0], positive=1.0, **options)


@pytest.fixture(scope="module")
def featured():
    """Users [U, 3] and items [I, 2] with a known probability that bends, and 20,000 answers."""
    rng = np.random.default_rng(1)
    users, items = rng.normal(size=(800, 3)), rng.normal(size=(12, 2))
    logits = 2 * users[:, :1] * items[:, 0] + users[:, 1:2] ** 2 - 1 + items[:, 1]
    truth = _sigmoid(logits)
    who, what = rng.integers(800, size=20_000), rng.integers(12, size=20_000)
    return users, items, truth, who, what, rng.random(20_000) < truth[who, what]


def test_features_beat_the_item_mean_and_come_near_the_truth(featured):
    users, items, truth, who, what, clicks = featured
    train, test = slice(0, 15_000), slice(15_000, None)
    model = Features.fit(who[train], what[train], clicks[train], users, items)
    ours = quality(model.probability(who[test], what[test][:, None], State())[:, 0], clicks[test])
    means = np.bincount(what[train], clicks[train]) / np.bincount(what[train])
    baseline, best = quality(means[what[test]], clicks[test]), quality(truth[who[test], what[test]], clicks[test])
    assert ours.auc > baseline.auc + 0.1
    assert ours.auc > best.auc - 0.02
    assert ours.calibration_error < 0.04
    check_response_model(model, len(users))


class _Constant:
    """The least that a predictor may be."""

    def fit(self, X, y):
        self.share = float(np.mean(y))
        self.columns = X.shape[1]

    def predict_proba(self, X):
        assert X.shape[1] == self.columns
        return [[1 - self.share, self.share]] * len(X)


@pytest.mark.parametrize("predictor", [LogisticRegression(), _Constant()])
def test_any_predictor_will_do(featured, predictor):
    users, items, _, who, what, clicks = featured
    model = Features.fit(who, what, clicks, users, items, predictor)
    assert model.predictor is predictor
    assert predictor.predict_proba(np.ones((1, 5)))[0][1] > 0
    assert model.scores(np.arange(800), State()).mean() == pytest.approx(clicks.mean(), abs=0.02)
    check_response_model(model, len(users))


def test_the_default_predictor_is_the_same_at_every_call(featured):
    users, items, _, who, what, clicks = featured
    one, two = (Features.fit(who[:2000], what[:2000], clicks[:2000], users, items) for _ in range(2))
    assert (one.scores(np.arange(50), State()) == two.scores(np.arange(50), State())).all()
    assert default_predictor() is not default_predictor()


@pytest.mark.parametrize(("clicked", "message"), [(True, "all 20 answers are clicks"), (False, "are no clicks")])
def test_features_need_both_answers(featured, clicked, message):
    users, items, _, who, what, _ = featured
    with pytest.raises(InvalidInput, match=message):
        Features.fit(who[:20], what[:20], np.full(20, clicked), users, items)
