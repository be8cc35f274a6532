"""Fits a recommender of RePlay on Spark, and brings its scores back as a table."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from smartrec.agents.adapters.replay_facts import Facts
from smartrec.agents.adapters.replay_faults import quiet
from smartrec.core.arrays import Array, BoolArray, FloatArray
from smartrec.core.optional import optional
from smartrec.core.spark import require_session, running_session, session


@dataclass(frozen=True, eq=False)
class Log:
    """What a recommender is fitted to.

    Attributes:
        users: int [R], of R rows.
        items: int [R].
        relevance: float [R].
        times: int [R], whatever their unit, or None.
        user_features: float [U, D], NaN for users whom nobody met, or None.
        item_features: float [I, D'], or None.
    """

    users: Array
    items: Array
    relevance: Array
    times: Array | None = None
    user_features: FloatArray | None = None
    item_features: FloatArray | None = None


def fitted_scores(
    recommender: Any, facts: Facts, log: Log, n_users: int, n_items: int
) -> tuple[FloatArray, FloatArray]:
    """Fit a recommender of RePlay, and return all its scores.

    Args:
        recommender: Object of ``replay.models``.
        facts: Its.
        log: At least one row.
        n_users: U.
        n_items: I.

    Returns:
        Scores, float32 [1, I], [U, I] or [clusters, I], NaN where it has none; and the clusters' centres, float
        [clusters, D], without rows where there are no clusters.
    """
    spark = _session()
    no_centres: FloatArray = np.zeros((0, 0))
    # Word2Vec of Spark fails without a word.
    if np.bincount(log.items).max() < getattr(recommender, "min_count", 0):
        return np.full((n_users, n_items), np.nan, np.float32), no_centres
    with quiet():
        items = spark.range(n_items).selectExpr("int(id) as item_idx")
        try:
            if facts.scores == "category":
                return _by_category(spark, recommender, log, items, (n_users, n_items)), no_centres
            data = dataset(spark, log)
            recommender.fit(data)
            if facts.scores == "all":
                pairs = items.selectExpr("0 as user_idx", "item_idx")
                return _table(recommender.predict_pairs(pairs), (1, n_items)), no_centres
            if facts.scores == "cluster":
                centres = np.array(recommender.model.clusterCenters())
                found = recommender.item_rel_in_cluster.withColumnRenamed("cluster", "user_idx")
                return _table(found, (len(centres), n_items)), centres
            queries = _frame(spark, user_idx=np.unique(log.users))
            found = recommender.predict(data, n_items, queries=queries, items=items, filter_seen_items=False)
            return _table(found, (n_users, n_items)), no_centres
        finally:
            recommender._clear_cache()


def _by_category(spark: Any, recommender: Any, log: Log, items: Any, shape: tuple[int, int]) -> FloatArray:
    """Return the popularity of items within each category, mixed for each user as often as they click it, [U, I]."""
    assert log.item_features is not None
    member = categories_of(log.item_features)  # [I, C]
    number: Array = np.arange(member.shape[1])
    tree = _frame(spark, category=number).selectExpr("category", "int(null) as parent_cat")
    recommender.set_cat_tree(tree)
    row, category = np.nonzero(member[log.items])
    rows = Log(log.users[row], log.items[row], log.relevance[row])
    recommender.fit(dataset(spark, rows, category=category))
    found = recommender.predict(tree.select("category"), shape[1], items=items)
    popularity = np.nan_to_num(_table(found, (len(number), shape[1]), "category"))
    clicks = csr_matrix((rows.relevance, (rows.users, category)), (shape[0], len(number))).toarray()  # [U, C]
    known = clicks.any(axis=1)
    scores = np.full(shape, np.nan, np.float32)
    scores[known] = clicks[known] / clicks[known].sum(axis=1, keepdims=True) @ popularity
    return scores


def categories_of(item_features: FloatArray) -> BoolArray:
    """Return which item belongs to which category, bool [I, C]: the columns of 0 and 1 that are not empty."""
    flags = np.isin(item_features, (0, 1)).all(axis=0) & item_features.any(axis=0)
    return np.asarray(item_features[:, flags] == 1)


def dataset(spark: Any, log: Log, **columns: Array) -> Any:
    """Return a log, and further columns [R] of it, as RePlay takes them."""
    rows = {"user_idx": log.users, "item_idx": log.items, **columns}
    if log.times is not None:
        rows["timestamp"] = np.unique(log.times, return_inverse=True)[1]
    return dataset_of(
        _frame(spark, **rows, relevance=log.relevance.astype(np.float64)),
        query_features=_features(spark, "user_idx", log.user_features),
        item_features=_features(spark, "item_idx", log.item_features),
    )


def dataset_of(rows: Any, query_features: Any = None, item_features: Any = None) -> Any:
    """Return DataFrames as RePlay takes them.

    Args:
        rows: With user_idx, item_idx and relevance, perhaps timestamp.
        query_features: With user_idx and a column a feature, or None.
        item_features: With item_idx and a column a feature, or None.
    """
    data = optional("replay.data", "spark", "RePlay")
    kinds, hints = data.FeatureType, data.FeatureHint
    columns = [
        ("user_idx", kinds.CATEGORICAL, hints.QUERY_ID),
        ("item_idx", kinds.CATEGORICAL, hints.ITEM_ID),
        ("relevance", kinds.NUMERICAL, hints.RATING),
        ("timestamp", kinds.NUMERICAL, hints.TIMESTAMP),
    ]
    schema = data.FeatureSchema([data.FeatureInfo(*column) for column in columns if column[0] in rows.columns])
    features = {"query_features": query_features, "item_features": item_features}
    return data.Dataset(schema, rows, **features, check_consistency=False, categorical_encoded=True)


def _features(spark: Any, key: str, features: FloatArray | None) -> Any:
    """Return the rows of features that are known, by their number, or None."""
    if features is None:
        return None
    known = np.flatnonzero(~np.isnan(features).any(axis=1))
    columns = {f"{key[:4]}_feature_{d}": column for d, column in enumerate(features[known].astype(np.float64).T)}
    return _frame(spark, **{key: known}, **columns)


def _frame(spark: Any, **columns: Array) -> Any:
    """Return columns as a DataFrame; whole numbers become those of 32 bits, as RePlay wants its ids."""
    import pyarrow as pa

    narrow = {
        name: values.astype(np.int32) if values.dtype.kind in "iu" else values for name, values in columns.items()
    }
    return spark.createDataFrame(pa.table(narrow))


def _table(found: Any, shape: tuple[int, int], row: str = "user_idx") -> FloatArray:
    """Return scores that lie in a DataFrame as float32 ``shape``, NaN where there are none."""
    rows = found.select(row, "item_idx", "relevance").toArrow()
    found.unpersist()
    places, items, values = (rows.column(name).to_numpy() for name in (row, "item_idx", "relevance"))
    # A rule without exception has an infinite gain; it only has to be above all others.
    finite = values[np.isfinite(values)]
    scores = np.full(shape, np.nan, np.float32)
    scores[places, items] = np.minimum(values, 2 * finite.max(initial=1.0))
    return scores


def _session() -> Any:
    """Return the session that is running, or one on this machine, and let RePlay use it."""
    running = running_session()
    spark = session("local[*]") if running is None else require_session(running)
    with quiet():
        optional("replay.utils.session_handler", "spark", "RePlay").State(spark)
    return spark
