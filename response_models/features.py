"""Users whose answers depend on features of user and item, by any fitted table predictor."""

from typing import Any, Protocol

import numpy as np

from smartrec.core.arrays import Array, BoolArray, FloatArray, IntArray
from smartrec.core.errors import InvalidInput
from smartrec.response_models.base import ResponseModel, State


class Predictor(Protocol):
    """What scikit-learn, LightGBM, XGBoost and CatBoost classifiers have in common."""

    def fit(self, X: FloatArray, y: BoolArray) -> Any:
        """Learn from rows ``X`` [R, D] and answers ``y`` [R]."""

    def predict_proba(self, X: FloatArray) -> FloatArray:
        """Return the probability of no click and of a click, float [R, 2]."""


class Features(ResponseModel):
    """``p(click | user, item) = predictor([user features, item features])``.

    Args:
        predictor: Fitted; a scikit-learn classifier or anything with its ``predict_proba``.
        user_features: float [U, D].
        item_features: float [I, D'].
    """

    n_users: int

    def __init__(self, predictor: Predictor, user_features: FloatArray, item_features: FloatArray) -> None:
        self.predictor, self.user_features, self.item_features = predictor, user_features, item_features
        self.n_users, self.n_items = len(user_features), len(item_features)

    @classmethod
    def example(cls, n_users: int, n_items: int, seed: int = 0) -> "Features":
        """Return a logistic regression of random answers, by one feature of the user and one of the item."""
        from sklearn.linear_model import LogisticRegression

        rng = np.random.default_rng(seed)
        of_users, of_items = rng.normal(size=(n_users, 2)), rng.normal(size=(n_items, 2))
        users, items = rng.integers(n_users, size=2000), rng.integers(n_items, size=2000)
        clicks = rng.normal(size=2000) < of_users[users, 0] + of_items[items, 0]
        return cls.fit(users, items, clicks, of_users, of_items, LogisticRegression())

    @classmethod
    def fit(
        cls,
        users: IntArray,
        items: IntArray,
        clicks: BoolArray,
        user_features: FloatArray,
        item_features: FloatArray,
        predictor: Predictor | None = None,
    ) -> "Features":
        """Fit a predictor to logged answers.

        Args:
            users: int [R].
            items: int [R].
            clicks: bool [R].
            user_features: float [U, D].
            item_features: float [I, D'].
            predictor: Unfitted; None takes histogram gradient boosting, small and regularised, because
                demographics say little about a taste and overfit easily.

        Raises:
            InvalidInput: The answers are all alike, so that there is nothing to learn.
        """
        if clicks.all() or not clicks.any():
            raise InvalidInput(
                f"all {len(clicks)} answers are {'clicks' if clicks.any() else 'no clicks'}; a predictor needs both. "
                "Choose another rating from which an answer counts as a click"
            )
        predictor = default_predictor() if predictor is None else predictor
        predictor.fit(_rows(user_features[users], item_features[items]), clicks)
        return cls(predictor, user_features, item_features)

    def probability(self, users: IntArray, items: IntArray, state: State) -> FloatArray:
        """Return the predictor's probability of a click, float [N, K]."""
        lanes, slate = items.shape
        user_rows = np.repeat(self.user_features[users], slate, axis=0)
        rows = _rows(user_rows, self.item_features[items.ravel()])
        return np.asarray(self.predictor.predict_proba(rows))[:, 1].reshape(lanes, slate)


def default_predictor() -> Predictor:
    """Return an unfitted histogram gradient boosting classifier, the same at every call."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    predictor: Predictor = HistGradientBoostingClassifier(
        max_iter=100,
        learning_rate=0.05,
        max_leaf_nodes=6,
        min_samples_leaf=50,
        l2_regularization=5.0,
        random_state=0,
    )
    return predictor


def _rows(user_features: Array, item_features: Array) -> FloatArray:
    return np.concatenate([user_features, item_features], axis=1)
