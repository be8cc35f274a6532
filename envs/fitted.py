"""Response models fitted to a data set, for the crowds of tasks 2 and 4."""

from typing import Any

import numpy as np

from smartrec.core.arrays import BoolArray, FloatArray, IntArray
from smartrec.core.cache import Arrays, Rows, cached
from smartrec.core.errors import DataError
from smartrec.core.provenance import source_digest, versions_of
from smartrec.data.interactions import Dataset, Interactions
from smartrec.response_models.base import ResponseModel, State
from smartrec.response_models.features import Features
from smartrec.response_models.popularity import Popularity
from smartrec.response_models.preferences import Preferences
from smartrec.response_models.report import quality, report_rows

HELD_OUT = 0.2
"""Share of the answers that the report is made on."""


def feature_table(dataset: Dataset, items: IntArray) -> tuple[FloatArray, Rows]:
    """Fit answers to the features of user and item, and tabulate the chosen items.

    The model learns from all answers on the chosen items; the report is of a model that has seen the first
    four fifths of them by time, on the last fifth.

    Args:
        dataset: With features of its users.
        items: int [I], which items.

    Returns:
        float32 [U, I] probabilities, and report rows.

    Raises:
        DataError: The users of the data set have no features, or all answers are alike.
    """
    if dataset.users.features.shape[1] == 0:
        raise DataError(f"{dataset.name} has no user features, which task 2 needs; take ml-100k or ml-1m")

    def fit() -> tuple[Arrays, Rows]:
        log = dataset.interactions.select(np.isin(dataset.interactions.items, items))
        train, test = log.split_by_time(HELD_OUT)
        rows = _report(_features(train, dataset), train, test, dataset.positive, "last fifth by time")
        model = _features(log, dataset)
        users = np.arange(len(dataset.users.ids))
        table = model.probability(users, np.broadcast_to(items, (len(users), len(items))), State())
        return {"table": table.astype(np.float32)}, rows

    _require_two_answers(dataset)
    key = {
        "data": dataset.digest(),
        "items": items.tolist(),
        **_made_by(),
        "positive": dataset.positive,
    }
    arrays, rows = cached(f"click probabilities by features on {dataset.name}", key, fit)
    return arrays["table"], rows


def preferences(dataset: Dataset, items: IntArray) -> tuple[Preferences, Rows]:
    """Fit hidden factors to all answers of the data set, and keep those of the chosen items.

    The report is of a model that has seen the first four fifths of each user's answers, on the last fifth.

    Args:
        dataset: Any log.
        items: int [I], which items.

    Raises:
        DataError: Fewer than two users or items, or answers that are all alike.
    """

    def fit() -> tuple[Arrays, Rows]:
        log = dataset.interactions
        last = _last_of_each_user(log, HELD_OUT)
        train, test = log.select(~last), log.select(last)
        rank = _rank(log, dataset.name)
        held_out = Preferences.fit(train, dataset.positive, rank)
        rows = _report(held_out, train, test, dataset.positive, "last fifth of each user's answers")
        model = Preferences.fit(log, dataset.positive, rank)
        return {"users": model.user_factors, "items": model.item_factors}, rows

    _require_two_answers(dataset)
    key = {"data": dataset.digest(), **_made_by()}
    arrays, rows = cached(f"hidden preferences on {dataset.name}", key, fit)
    return Preferences(arrays["users"], arrays["items"][items]), rows


def fit_popularity(dataset: Dataset) -> tuple[FloatArray, Rows]:
    """Fit the popularity of all items; the report shows that it is the item mean, the baseline of the other models.

    Args:
        dataset: Any log.

    Returns:
        float [I] of all items of the data set, and report rows on the last fifth of each user's answers.

    Raises:
        DataError: The answers are all alike.
    """
    _require_two_answers(dataset)
    log = dataset.interactions
    last = _last_of_each_user(log, HELD_OUT)
    train, test = log.select(~last), log.select(last)
    model = Popularity.fit(train, dataset.positive)
    rows = _report(model, train, test, dataset.positive, "last fifth of each user's answers")
    return Popularity.fit(log, dataset.positive).popularity, rows


def _require_two_answers(dataset: Dataset) -> None:
    clicks = dataset.interactions.positive(dataset.positive)
    if clicks.all() or not clicks.any():
        share = "every" if clicks.all() else "no"
        raise DataError(
            f"{dataset.name}: {share} answer is a click (rating >= {dataset.positive:g}), so there is nothing to tell "
            "apart; give the rating from which an answer is a click, positive=..."
        )


def _made_by() -> dict[str, Any]:
    """Return what else decides a fit: the code that makes it and the packages that it calls."""
    modules = ("envs.fitted", "response_models.features", "response_models.preferences", "data.interactions")
    sources = source_digest(*(f"smartrec.{module}" for module in modules))
    return {"code": sources, **versions_of("numpy", "scipy", "scikit-learn")}


def _features(log: Interactions, dataset: Dataset) -> Features:
    clicks = log.positive(dataset.positive)
    return Features.fit(log.users, log.items, clicks, dataset.users.features, dataset.items.features)


def _rank(log: Interactions, name: str) -> int:
    rank = min(20, log.n_users - 1, log.n_items - 1)
    if rank < 1:
        raise DataError(f"{name} has {log.n_users} users and {log.n_items} items; a hidden taste needs two of each")
    return rank


def _report(model: ResponseModel, train: Interactions, test: Interactions, positive: float, split: str) -> Rows:
    if not len(test):
        return (("held out", f"nothing: the {split} is empty"),)
    clicks = test.positive(positive)
    predicted = model.probability(test.users, test.items[:, None], State())[:, 0]
    baseline = quality(_item_means(train, positive)[test.items], clicks)
    return report_rows(quality(predicted, clicks), baseline, split)


def _item_means(log: Interactions, positive: float, prior: float = 10.0) -> FloatArray:
    clicks = log.positive(positive)
    rows = np.bincount(log.items, minlength=log.n_items)
    positives = np.bincount(log.items, weights=clicks, minlength=log.n_items)
    means: FloatArray = (positives + prior * clicks.mean()) / (rows + prior)
    return means


def _last_of_each_user(log: Interactions, share: float) -> BoolArray:
    """Return bool [R]: the last ``share`` of each user's rows, by time where the log has it, else by row."""
    time = np.arange(len(log)) if log.timestamps is None else log.timestamps
    order = np.lexsort((time, log.users))
    counts = np.bincount(log.users, minlength=log.n_users)
    rank_in_user = np.arange(len(log)) - np.repeat(np.cumsum(counts) - counts, counts)
    last = np.empty(len(log), bool)
    last[order] = rank_in_user >= np.repeat(np.ceil((1 - share) * counts), counts)
    return last
